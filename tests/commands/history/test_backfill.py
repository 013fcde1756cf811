"""Recorded events through the pipeline: which of them, how often, and how it goes on."""

from __future__ import annotations

import asyncio
import json

import pytest

from fluent_plugin_amp.cisco.errors import EventStreamNotFound
from fluent_plugin_amp.cisco.walk import PAGE
from fluent_plugin_amp.commands.history import bookmark
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, RefusedError, UsageError
from fluent_plugin_amp.history.batches import Progress
from fluent_plugin_amp.state.errors import StateUnusable
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.testing.cloud import Failure, error_body, too_many_requests
from fluent_plugin_amp.testing.organisation import DEFAULT_GROUPS, RequestLimit
from fluent_plugin_amp.testing.reactions import Ack, HoldAck
from tests.commands.history.history_rig import DETECTED, NOW, QUARANTINED, Rig, event, events, ids_of

AUDIT, PROTECT = list(DEFAULT_GROUPS)[:2]


def files_of(rig: Rig) -> list[str]:
    """Bookmarks that are there."""
    return [path.name for path in rig.folder.glob("*.backfill-*")]


async def test_a_span_is_delivered_once(rig: Rig) -> None:
    """From ``since`` on and before ``until``, ids exact, each once although more events happen with every page."""
    bodies = events(2000)
    rig.organisation.publish(bodies)
    late = iter(range(10**6, 10**7))
    rig.organisation.arriving = ([event(next(late), NOW + 5) for _ in range(30)] for _ in range(100))
    job = rig.backfill(NOW - 1500, NOW - 100)
    await rig.run(job)
    assert rig.arrived() == ids_of(bodies[500:1900])
    assert (job.is_done, job.in_cloud, job.known, job.counters.delivered) == (True, 1400, 0, 1400)
    assert files_of(rig) == []


async def test_what_is_known_is_left_out(rig: Rig) -> None:
    """With ids rounded: what `run` has delivered, and then what an earlier backfill has."""
    rig.organisation.events.rounded_ids = True
    bodies = events(1200)
    rig.organisation.publish(bodies)
    rig.remember(bodies[:400] + bodies[500:])
    job = rig.backfill(NOW - 1200)
    await rig.run(job)
    assert (job.known, job.counters.delivered) == (1100, 100)
    assert sorted(record["detection"] for record in rig.fluentd.records) == sorted(
        json.loads(body)["detection"] for body in bodies[400:500]
    )
    again = rig.backfill(NOW - 1200)
    await rig.run(again)
    assert (again.known, again.counters.delivered) == (1200, 0)


async def test_resend_sends_everything(rig: Rig) -> None:
    """Known or not."""
    bodies = events(30)
    rig.organisation.publish(bodies)
    rig.remember(bodies)
    job = rig.backfill(NOW - 30, resend=True)
    await rig.run(job)
    assert rig.arrived() == ids_of(bodies)


async def test_it_ends_though_every_page_has_a_next(rig: Rig) -> None:
    """The last one, and the empty one behind it: what was asked for is delivered once, and then it is over."""
    rig.organisation.next_on_the_last_page = True
    bodies = events(14)
    rig.organisation.publish(bodies)
    job = rig.backfill(NOW - 100)
    await rig.run(job)
    assert (rig.arrived(), job.is_done) == (ids_of(bodies), True)
    assert [path for _, path in rig.cloud.requests].count("/v1/events") < 20


async def test_a_list_that_is_cut_is_told(rig: Rig) -> None:
    """What is listed is delivered, and nobody can say that it was all: exit code 1.  No bookmark says so either."""
    bodies = events(3)
    cut = rig.cut_list(bodies[:2])
    job = rig.backfill(NOW - 100)
    await rig.run(job)
    assert (rig.arrived(), job.is_done, job.exit_code) == (ids_of(bodies[:2]), True, EXIT_NO)
    assert files_of(rig) == []
    cut.times = 0
    rig.organisation.publish(bodies)
    whole = rig.backfill(NOW - 100)
    await rig.run(whole)
    assert (whole.counters.delivered, whole.exit_code) == (1, EXIT_OK)


ODD: list[object] = [None, [], {}, "", "x", 0, -1, 2**60 + 1, 2**70, 1.5, True, "9" * 5000, [[{}]]]


async def test_odd_values_in_events_cost_an_event_at_most(rig: Rig) -> None:
    """In every field that is read: it goes out as it is, or as a dead letter, and the others go on."""
    fields = ("id", "event_type_id", "connector_guid", "timestamp_nanoseconds", "detection_id", "date", "group_guids")
    odd = [json.loads(event(number, NOW - 5)) | {name: ODD[number]} for number in range(len(ODD)) for name in fields]
    body = json.dumps({"data": odd, "metadata": {"results": {"total": len(odd)}}}).encode()
    rig.cloud.fail(Failure("GET", "/v1/events", status=200, body=body))
    job = rig.backfill(NOW - 100)
    await rig.run(job)
    letters = [record for record in rig.fluentd.records if "error_id" in record]
    assert {record["error_id"] for record in letters} == {"event.integer-too-large"}
    assert len(rig.fluentd.records) == len(odd)
    check = rig.reconcile(NOW - 100)
    rig.cloud.fail(Failure("GET", "/v1/events", status=200, body=body, times=2))
    await rig.run(check)
    assert check.total.in_cloud == len(odd)


async def test_it_asks_as_the_stream_is_filtered(rig: Rig) -> None:
    """By event type and group, both."""
    rig.make_stream(event_type=[DETECTED], group_guid=[AUDIT])
    wanted = [event(1, NOW - 3, group_guids=[AUDIT]), event(2, NOW - 3, group_guids=[PROTECT, AUDIT])]
    others = [event(3, NOW - 3, group_guids=[PROTECT]), event(4, NOW - 3)]
    rig.organisation.publish([*wanted, *others, event(5, NOW - 3, group_guids=[AUDIT], event_type_id=QUARANTINED)])
    await rig.run(rig.backfill(NOW - 10))
    assert rig.arrived() == ids_of(wanted)


async def test_the_transforms_of_run_are_applied(rig: Rig) -> None:
    """Fields are added, dropped types are counted and neither sent nor compared."""
    rig.organisation.publish([event(1, NOW - 3), event(2, NOW - 3, event_type_id=QUARANTINED)])
    config = rig.config(transform={"add": {"tenant": "acme"}, "drop_event_types": [QUARANTINED]})
    job = rig.backfill(NOW - 10, config=config)
    await rig.run(job)
    assert [record["tenant"] for record in rig.fluentd.records] == ["acme"]
    assert (job.in_cloud, job.dropped) == (1, 1)


async def test_what_cannot_be_sent_becomes_a_dead_letter(rig: Rig) -> None:
    """And is known by the next run as well."""
    rig.organisation.publish([event(1, NOW - 3, large=2**70), event(2, NOW - 3)])
    job = rig.backfill(NOW - 10)
    await rig.run(job)
    assert (job.counters.delivered, job.counters.dead_letters) == (2, 1)
    again = rig.backfill(NOW - 10)
    await rig.run(again)
    assert again.counters.delivered == 0


async def test_without_a_state_file_everything_is_sent(rig: Rig) -> None:
    """Nothing is known, nothing is written."""
    rig.organisation.publish(events(20))
    job = rig.backfill(NOW - 20, config=rig.config(state={}))
    await rig.run(job)
    assert rig.arrived() == ids_of(events(20))
    assert [path.name for path in rig.folder.iterdir()] == ["config.yml"]


async def test_what_is_delivered_is_in_the_state_file(rig: Rig) -> None:
    """With the facts by which it is known again, not with a transform's."""
    rig.organisation.publish(events(20))
    await rig.run(rig.backfill(NOW - 20, config=rig.config(transform={"flatten": {}})))
    store = Store.open(rig.state)
    try:
        found = store.delivered_between("emea", NOW - 20, NOW)
    finally:
        store.close()
    assert sorted(each.facts.event_id for each in found if type(each.facts.event_id) is int) == ids_of(events(20))
    assert {each.facts.connector_guid for each in found} == {f"connector-{number}" for number in range(5)}


# --- interrupted ---------------------------------------------------------------------------------


async def stopped_after(rig: Rig, pages: int, since: int = NOW - 3000, *, resend: bool = False) -> int:
    """Run until so many pages have come, and stop; how many requests that took."""
    stop = asyncio.Event()
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == pages:
            stop.set()

    before = len(rig.cloud.requests)
    job = rig.backfill(since, resend=resend)
    await rig.run(job, stop=stop, on_progress=watch)
    assert not job.is_done
    return len(rig.cloud.requests) - before


@pytest.mark.parametrize("resend", [False, True])
async def test_it_goes_on_where_it_was_stopped(rig: Rig, resend: bool) -> None:
    """Everything arrives, next to nothing twice, and the pages that were read are not read again."""
    bodies = events(3000)
    rig.organisation.publish(bodies)
    await stopped_after(rig, 4, resend=resend)
    assert files_of(rig) != []
    first = len(rig.cloud.requests)
    arrived = len(rig.arrived())
    assert 500 < arrived < 2500
    rig.organisation.publish([event(10**6 + number, NOW + 10) for number in range(1700)])
    job = rig.backfill(NOW - 3000, resend=resend)
    await rig.run(job)
    assert job.resumed is not None
    assert set(rig.arrived()) == set(ids_of(bodies))
    assert len(rig.arrived()) - len(bodies) <= (PAGE if resend else 0)
    assert job.in_cloud < 3000 - arrived + 2 * PAGE
    assert len(rig.cloud.requests) - first < 25
    assert files_of(rig) == []


async def test_the_same_words_later_also_mean_what_came_since(rig: Rig) -> None:
    """`--since 7d`, stopped, and said again when more has happened: first the rest, then the new."""
    bodies = events(2000)
    rig.organisation.publish(bodies)
    await stopped_after(rig, 3, NOW - 2000, resend=True)
    new = [event(5000 + number, NOW + number) for number in range(300)]
    rig.organisation.publish(new)
    await rig.run(rig.backfill(NOW - 1700, NOW + 300, resend=True))
    assert set(rig.arrived()) == set(ids_of([*bodies, *new]))
    assert len(rig.arrived()) <= 2300 + PAGE


async def test_restart_begins_anew(rig: Rig) -> None:
    """The whole span is read again; what is known is left out."""
    bodies = events(2000)
    rig.organisation.publish(bodies)
    await stopped_after(rig, 3, NOW - 2000)
    job = rig.backfill(NOW - 2000, restart=True)
    await rig.run(job)
    assert (job.in_cloud, job.resumed) == (2000, None)
    assert rig.arrived() == ids_of(bodies)


async def test_nothing_is_noted_before_it_is_acknowledged(rig: Rig) -> None:
    """While a server holds back its acks, a stop leaves the bookmark where it was: the events come again."""
    bodies = events(1000)
    rig.organisation.publish(bodies)
    rig.fluentd.reaction = HoldAck()
    stop = asyncio.Event()
    config = rig.config()
    quick = config.model_copy(update={"forward": config.forward.model_copy(update={"shutdown_timeout": 0.1})})
    running = asyncio.create_task(rig.run(rig.backfill(NOW - 1000, config=quick), stop=stop))
    await rig.fluentd.wait_for(lambda: bool(rig.fluentd.chunks))
    stop.set()
    await running
    assert (rig.arrived(), files_of(rig)) == ([], [])
    rig.fluentd.reaction = Ack()
    await rig.run(rig.backfill(NOW - 1000))
    assert rig.arrived() == ids_of(bodies)


async def test_a_bookmark_that_cannot_be_read_is_none(rig: Rig) -> None:
    """The work begins anew."""
    rig.organisation.publish(events(10))
    bookmark.bookmark_file(rig.state, "emea", "7d", "", "False").write_bytes(b"\xff")
    await rig.run(rig.backfill(NOW - 10))
    assert rig.arrived() == ids_of(events(10))


# --- trouble -------------------------------------------------------------------------------------


async def test_the_rate_limit_is_kept(rig: Rig) -> None:
    """Before it is used up it waits until the count starts anew, and is never turned away."""
    rig.organisation.publish(events(3000))
    rig.organisation.requests = RequestLimit(limit=5, window_s=1000.0)

    async def wait(seconds: float, why: str) -> None:
        await rig.wait(seconds, why)
        rig.organisation.requests = RequestLimit(limit=5, window_s=1000.0)

    await rig.run(rig.backfill(NOW - 3000), wait=wait)
    assert rig.arrived() == ids_of(events(3000))
    assert rig.waits != []
    assert {why for _, why in rig.waits} == {"the rate limit is nearly used up"}
    assert all(900 < seconds <= 1000 for seconds, _ in rig.waits)


async def test_a_refusal_for_the_rate_limit_is_waited_out(rig: Rig) -> None:
    """However long an hour is."""
    rig.organisation.publish(events(10))
    rig.cloud.fail(too_many_requests(3500))
    await rig.run(rig.backfill(NOW - 10))
    assert rig.arrived() == ids_of(events(10))
    assert rig.waits[0][0] == 3500


async def test_a_cloud_that_fails_half_way_costs_nothing(rig: Rig) -> None:
    """What was sent until then is waited for and noted; the next run delivers the rest, nothing twice."""
    rig.organisation.publish(events(2000))
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 2:
            rig.cloud.fail(Failure(status=403, body=error_body(403, "Forbidden", "not today")))

    with pytest.raises(RefusedError):
        await rig.run(rig.backfill(NOW - 2000, resend=True), on_progress=watch)
    assert len(rig.arrived()) == seen[-1].read - 1  # the last second is held back until it is whole
    job = rig.backfill(NOW - 2000, resend=True)
    await rig.run(job)
    assert job.resumed is not None
    assert rig.arrived() == ids_of(events(2000))


async def test_a_state_file_that_fails_ends_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered could not be remembered: no bookmark goes past it."""
    rig.organisation.publish(events(1000))

    def fail(*_: object) -> None:
        raise StateUnusable("disk full")

    monkeypatch.setattr(Store, "add_delivered", fail)
    with pytest.raises(StateUnusable, match="disk full"):
        await rig.run(rig.backfill(NOW - 1000))
    assert files_of(rig) == []


async def test_a_stream_that_the_key_does_not_see_is_an_error(rig: Rig) -> None:
    """Its filters are not known, so it is not guessed what to ask for."""
    with pytest.raises(EventStreamNotFound, match="event_stream_77"):
        await rig.run(rig.backfill(NOW - 10, config=rig.config(queue="event_stream_77")))


async def test_the_key_may_come_from_the_environment(rig: Rig) -> None:
    """As `amp-streams` takes it; without any the error says what to give."""
    rig.organisation.publish(events(3))
    config = rig.config(api=None, cloud=None)
    with pytest.raises(UsageError, match="stream emea") as refused:
        await rig.run(rig.backfill(NOW - 10, config=config))
    assert "api_key_file" in refused.value.remedy
    environ = {
        "AMP_CLIENT_ID": rig.organisation.client_id,
        "AMP_API_KEY": rig.organisation.api_key,
        "AMP_API_HOST": rig.cloud.url,
    }
    await rig.run(rig.backfill(NOW - 10, config=config), environ=environ)
    assert rig.arrived() == ids_of(events(3))


async def test_the_progress_tells_how_much_is_left(rig: Rig) -> None:
    """Down to nothing."""
    rig.organisation.publish(events(2000))
    seen: list[Progress] = []
    await rig.run(rig.backfill(NOW - 2000), on_progress=seen.append)
    assert [each.read for each in seen] == sorted(each.read for each in seen)
    assert (seen[0].read, seen[0].left) == (500, 1500)
    assert (seen[-1].read, seen[-1].left) == (2000, 0)
    assert all(each.left_s is not None and each.left_s >= 0 for each in seen[:-1])
