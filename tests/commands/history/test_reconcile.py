"""What the cloud has against what was delivered: the figures, the verdict, the repair, and what cannot be known."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fluent_plugin_amp.commands.history.past import LIST_IS_CUT
from fluent_plugin_amp.commands.history.reconcile import Reconciliation
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, UsageError
from fluent_plugin_amp.history.hours import Hour
from fluent_plugin_amp.state.errors import StateUnusable
from fluent_plugin_amp.testing.rabbitmq import StreamCredentials
from tests.commands.history.history_rig import NOW, QUARANTINED, Rig, event, events, ids_of
from tests.conftest import MakeStream

HOUR = NOW // 3600 * 3600


def figures(job: Reconciliation) -> tuple[int, int, int, int]:
    """In the cloud, delivered, missing, not known; of all hours."""
    total = job.total
    return total.in_cloud, total.delivered, total.missing, total.not_known


@pytest.mark.parametrize("rounded_ids", [False, True])
async def test_gaps_are_found_hour_by_hour(rig: Rig, rounded_ids: bool) -> None:
    """A stretch that is missing, and single events; nothing is sent."""
    rig.organisation.events.rounded_ids = rounded_ids
    bodies = events(1000, every_s=10)
    rig.organisation.publish(bodies)
    rig.remember([body for number, body in enumerate(bodies) if not 300 <= number < 400 and number % 50])
    job = rig.reconcile(NOW - 10_000)
    await rig.run(job)
    assert figures(job) == (1000, 882, 118, 0)
    assert job.exit_code == EXIT_NO
    assert list(job.found.hours) == sorted(job.found.hours, reverse=True)
    assert {start: hour.in_cloud for start, hour in job.found.hours.items()} == {
        HOUR: 80,
        HOUR - 3600: 360,
        HOUR - 7200: 360,
        HOUR - 10800: 200,
    }
    assert rig.fluentd.counts.connections == 0


async def test_nothing_missing_is_the_answer_yes(rig: Rig) -> None:
    """Exit code 0; of events that happen meanwhile nothing is said."""
    bodies = events(600)
    rig.organisation.publish(bodies)
    rig.remember(bodies)
    late = iter(range(10**6, 10**7))
    rig.organisation.arriving = ([event(next(late), NOW + 5)] for _ in range(100))
    job = rig.reconcile(NOW - 600)
    await rig.run(job)
    assert (figures(job), job.exit_code, job.notes()) == ((600, 600, 0, 0), EXIT_OK, [])


async def test_it_ends_though_every_page_has_a_next(rig: Rig) -> None:
    """The last one, and the empty one behind it."""
    rig.organisation.next_on_the_last_page = True
    bodies = events(14)
    rig.organisation.publish(bodies)
    rig.remember(bodies[1:])
    job = rig.reconcile(NOW - 100)
    await rig.run(job)
    assert figures(job) == (14, 13, 1, 0)
    assert [path for _, path in rig.cloud.requests].count("/v1/events") < 20


async def test_a_list_that_is_cut_is_told(rig: Rig) -> None:
    """Nobody can say that nothing is missing: exit code 1."""
    bodies = events(2)
    rig.remember(bodies)
    rig.cut_list(bodies)
    job = rig.reconcile(NOW - 100)
    await rig.run(job)
    assert (figures(job), job.exit_code) == ((2, 2, 0, 0), EXIT_NO)
    assert job.notes() == [LIST_IS_CUT]


@pytest.mark.parametrize("rounded_ids", [False, True])
async def test_repair_delivers_what_is_missing_and_no_more(rig: Rig, rounded_ids: bool) -> None:
    """Then nothing is missing any more."""
    rig.organisation.events.rounded_ids = rounded_ids
    bodies = events(1000)
    rig.organisation.publish(bodies)
    rig.remember(bodies[:600] + bodies[650:])
    job = rig.reconcile(NOW - 1000, repair=True)
    await rig.run(job)
    assert sorted(record["detection"] for record in rig.fluentd.records) == sorted(
        json.loads(body)["detection"] for body in bodies[600:650]
    )
    assert (job.total.missing, job.repaired, job.exit_code) == (50, 50, EXIT_OK)
    assert "Events delivered now: 50." in job.notes()
    again = rig.reconcile(NOW - 1000)
    await rig.run(again)
    assert (again.total.missing, again.exit_code) == (0, EXIT_OK)


def in_another_form(body: bytes) -> bytes:
    """The same event, as another part of the cloud writes it."""
    fields = json.loads(body)
    guid = fields.pop("connector_guid")
    changed = {"id": str(fields["id"]), "event_type_id": str(fields["event_type_id"])}
    return json.dumps({**fields, **changed, "computer": {"connector_guid": guid.upper()}}).encode()


@pytest.mark.parametrize("rounded_ids", [False, True])
@pytest.mark.parametrize("is_other", [(True, False), (False, True)], ids=["stream", "API"])
async def test_events_in_another_form_are_known(rig: Rig, rounded_ids: bool, is_other: tuple[bool, bool]) -> None:
    """Nothing is missing, so nothing is sent twice."""
    rig.organisation.events.rounded_ids = rounded_ids
    bodies = events(300)
    stream, cloud = ([in_another_form(body) for body in bodies] if other else bodies for other in is_other)
    rig.organisation.publish(cloud)
    rig.remember(stream)
    job = rig.reconcile(NOW - 300, repair=True)
    await rig.run(job)
    assert (figures(job), job.repaired) == ((300, 300, 0, 0), 0)


async def test_of_events_that_are_alike_the_detection_decides(rig: Rig) -> None:
    """Ids rounded to the same, same time, type and connector, another detection: what is missing is sent alone."""
    rig.organisation.events.rounded_ids = True
    alike = [
        event(number, NOW - 5, timestamp_nanoseconds=0, connector_guid="c", detection_id=str(2**60 + number))
        for number in range(2)
    ]
    rig.organisation.publish(alike)
    rig.remember(alike[:1])
    job = rig.reconcile(NOW - 10, repair=True)
    await rig.run(job)
    assert (job.total.missing, job.repaired) == (1, 1)
    assert [record["detection"] for record in rig.fluentd.records] == ["event 1"]


async def test_of_events_that_are_alike_all_are_sent(rig: Rig) -> None:
    """Ids rounded to the same, same time, type and connector: one is missing, both go, none is lost."""
    rig.organisation.events.rounded_ids = True
    alike = [event(number, NOW - 5, timestamp_nanoseconds=0, connector_guid="c") for number in range(2)]
    rig.organisation.publish(alike)
    rig.remember(alike[:1])
    job = rig.reconcile(NOW - 10, repair=True)
    await rig.run(job)
    assert (job.total.missing, job.repaired) == (1, 2)


async def test_before_the_state_file_nothing_is_known(rig: Rig) -> None:
    """What was delivered is recognised; the rest is neither delivered nor missing, and is not repaired."""
    bodies = events(300)
    rig.organisation.publish(bodies)
    rig.remember([*bodies[50:100], *bodies[100:290]], delivered_at=NOW - 200)
    job = rig.reconcile(NOW - 300, repair=True)
    await rig.run(job)
    assert figures(job) == (300, 240, 10, 50)
    assert rig.arrived() == ids_of(bodies[290:])
    assert "The state file goes back to 2023-11-14 22:10:00Z." in job.notes()[0]


async def test_what_is_older_than_remembered_is_not_known(rig: Rig) -> None:
    """`state.remember` counts back from now, whatever is left in the file."""
    bodies = events(300)
    rig.organisation.publish(bodies)
    rig.remember(bodies[:1], delivered_at=NOW - 86400)
    config = rig.config(state={"path": str(rig.state), "remember": "100s"})
    job = rig.reconcile(NOW - 300, config=config)
    await rig.run(job)
    assert figures(job) == (300, 1, 100, 199)


async def test_a_file_that_knows_nothing_is_no_witness(rig: Rig) -> None:
    """All is not known, and the answer is not yes."""
    rig.organisation.publish(events(10))
    rig.remember([])
    job = rig.reconcile(NOW - 10, repair=True)
    await rig.run(job)
    assert (figures(job), job.exit_code, job.repaired) == ((10, 0, 0, 10), EXIT_NO, 0)
    assert "nobody can tell" in job.notes()[0]


async def test_dropped_types_are_not_missing(rig: Rig) -> None:
    """They were never to be delivered."""
    rig.organisation.publish([event(1, NOW - 3), event(2, NOW - 3, event_type_id=QUARANTINED)])
    rig.remember([event(1, NOW - 3)])
    job = rig.reconcile(NOW - 10, config=rig.config(transform={"drop_event_types": [QUARANTINED]}))
    await rig.run(job)
    assert (figures(job), job.exit_code) == ((1, 1, 0, 0), EXIT_OK)
    assert "Left out here: 1 event of the types" in job.notes()[0]


async def test_without_a_state_file_there_is_no_answer(rig: Rig) -> None:
    """None is configured, or none is there yet."""
    with pytest.raises(UsageError, match="no state file is configured"):
        await rig.run(rig.reconcile(NOW - 10, config=rig.config(state={})))
    with pytest.raises(StateUnusable, match="does not exist"):
        await rig.run(rig.reconcile(NOW - 10))


async def test_it_can_be_stopped(rig: Rig) -> None:
    """And says that it is not done."""
    rig.remember(events(1))
    stop = asyncio.Event()
    stop.set()
    job = rig.reconcile(NOW - 10)
    await rig.run(job, stop=stop)
    assert not job.is_done


async def test_what_waits_in_the_queue_is_told(rig: Rig, make_stream: MakeStream, broker: Any) -> None:
    """It counts as missing, so the note says how much of that there is; none of it is taken."""
    waiting: StreamCredentials = make_stream()
    bodies = events(5)
    await asyncio.to_thread(broker.publish, waiting.queue, bodies)
    rig.organisation.publish(bodies)
    rig.remember(events(1, until=NOW - 500))
    (stream,) = rig.organisation.streams.values()
    config = rig.config(url=waiting.url, username=waiting.username, password=waiting.password, event_stream_name=None)
    moved = config.streams[0].model_copy(update={"queue": waiting.queue})
    stream.id = int(waiting.queue.rpartition("_")[2])
    job = rig.reconcile(NOW - 10, config=config.model_copy(update={"streams": (moved,)}))
    await rig.run(job)
    assert (job.waiting, job.total.missing) == (5, 5)
    assert "(5 messages at the moment)" in job.notes()[0]
    assert (await asyncio.to_thread(broker.queue_depth, waiting.queue))[:2] == (5, 0)


def test_the_figures_add_up() -> None:
    """What is neither missing nor unknown was delivered."""
    assert Hour(10, 3, 2).as_json() == {"in_cloud": 10, "delivered": 5, "missing": 3, "not_known": 2}
