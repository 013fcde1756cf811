"""Completeness records of a run: a local cloud, a server, a state file, and a clock that the test turns."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import pytest

from fluent_plugin_amp import tls
from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.answers import EventPage
from fluent_plugin_amp.cisco.api import CiscoApi, Query
from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.cisco.errors import CloudUnreachable
from fluent_plugin_amp.completeness import journal
from fluent_plugin_amp.completeness.pace import SharedPace
from fluent_plugin_amp.completeness.record import Figures, Record, is_hmac_right
from fluent_plugin_amp.completeness.schedule import Due, due
from fluent_plugin_amp.completeness.verify import Mark
from fluent_plugin_amp.config import load
from fluent_plugin_amp.config.models import ShardConfig
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.facts import InternalError, SourcePolled, SourceTrouble
from fluent_plugin_amp.history.batches import cloud_of
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.run import completing as completing_module
from fluent_plugin_amp.run import daemon, looking
from fluent_plugin_amp.run.completing import CUT_AGAIN, LINE, RETRY_S, Completing, trouble_of
from fluent_plugin_amp.run.looking import WORTH_A_TOTAL, ListCut
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.testing.cloud import LocalCloud, too_many_requests
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.reactions import Ack, NoAck
from tests.cisco.helpers import clean_environment
from tests.commands.history.history_rig import event
from tests.observe.scenes import stream as figures_of
from tests.run.proving import BEGIN, HOUR_S, KEY, TAG, World, write_due


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A cloud, a server, no event."""
    clean_environment(monkeypatch)
    with LocalCloud() as cloud:
        async with FakeFluentd() as fluentd:
            made = World(tmp_path, cloud, fluentd)
            made.stands = {"messages_ready": 0}
            made.budgets = {}
            yield made


def hour_of(number: int, count: int = 20) -> list[bytes]:
    """Events of the hour that begins so many hours after `BEGIN`."""
    return [event(1000 * number + each, BEGIN + number * HOUR_S + each * 60) for each in range(count)]


async def test_an_hour_has_its_record(world: World) -> None:
    """Under its tag, sealed with the key, once it is two hours old; a day of hours before the chain comes first."""
    async with world.running() as completing:
        await write_due(completing)
        before = len(world.records)
        bodies = hour_of(0)
        world.organisation.publish(bodies)
        world.remember(bodies[:17], delivered_at=BEGIN)
        world.now = BEGIN + 3 * HOUR_S - 1
        await write_due(completing)
        assert [record["hour"] for record in world.records[before:]] == [
            "2023-11-14T20:00:00Z",
            "2023-11-14T21:00:00Z",
        ]
        world.now += 1
        await write_due(completing)
    record = world.records[-1]
    assert (record["hour"], record["in_cloud"], record["delivered"], record["missing"]) == (
        "2023-11-14T22:00:00Z",
        20,
        17,
        3,
    )
    assert is_hmac_right(record, KEY.encode())
    assert {chunk.tag for chunk in world.fluentd.chunks} == {TAG}
    report = world.check()
    assert [problem.what for problem in report.problems] == ["3 of 20 events were not delivered"]


async def test_late_truth_is_another_revision(world: World) -> None:
    """What was missing was only late: the next look says so, and a look that finds nothing new says nothing."""
    async with world.running() as completing:
        bodies = hour_of(0)
        world.organisation.publish(bodies)
        world.remember(bodies[:17], delivered_at=BEGIN)
        world.now = BEGIN + 3 * HOUR_S
        await write_due(completing)
        proof = completing.proofs["emea"]
        assert (proof.until, proof.missing, proof.missing_since) == (BEGIN + HOUR_S, 3, BEGIN)
        assert (proof.hours[BEGIN], proof.hours[BEGIN - HOUR_S]) == ("missing", "clean")
        world.remember(bodies[17:], delivered_at=BEGIN)
        world.now = BEGIN + 7 * HOUR_S
        await write_due(completing)
        assert completing.proofs["emea"].missing == 0
        again = [record for record in world.records if record["hour"] == "2023-11-14T22:00:00Z"]
        assert [(each["revision"], each["missing"]) for each in again] == [(1, 3), (2, 0)]
        world.now = BEGIN + 25 * HOUR_S
        await write_due(completing)
    assert len([record for record in world.records if record["hour"] == "2023-11-14T22:00:00Z"]) == 2
    report = world.check()
    assert report.is_good
    assert report.streams[0].hours[BEGIN].mark is Mark.REPAIRED


async def test_what_is_missing_is_repaired(world: World) -> None:
    """With ``repair``, unless events wait in the queue: from there they will come."""
    async with world.running(repair=True) as completing:
        bodies = hour_of(0)
        world.organisation.publish(bodies)
        world.remember(bodies[:17], delivered_at=BEGIN)
        world.stands["messages_ready"] = 5
        world.now = BEGIN + 3 * HOUR_S
        await write_due(completing)
        assert (world.records[-1]["missing"], world.records[-1]["repaired"]) == (3, 0)
        assert world.arrived() == []
        world.stands["messages_ready"] = 0
        world.now = BEGIN + 7 * HOUR_S
        await write_due(completing)
    again = [record for record in world.records if record["hour"] == "2023-11-14T22:00:00Z"]
    assert [(each["missing"], each["repaired"]) for each in again] == [(3, 0), (3, 3)]
    assert len(world.arrived()) == 3
    assert world.check().is_good


async def test_a_record_that_no_server_has_is_sent_again_to_the_byte(world: World) -> None:
    """The process ends before the ack; the next one sends the same, whatever the cloud says meanwhile."""
    async with world.running() as completing:
        await write_due(completing)
        world.fluentd.reaction = NoAck()
        chunks = len(world.fluentd.chunks)
        world.now = BEGIN + 3 * HOUR_S
        task = asyncio.create_task(write_due(completing))
        await world.fluentd.wait_for(lambda: len(world.fluentd.chunks) > chunks)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    (lost,) = [entry.record for entry in world.fluentd.chunks[-1].entries]
    world.fluentd.reaction = Ack()
    world.organisation.publish(hour_of(-2))
    world.now += 60
    async with world.running() as completing:
        await write_due(completing)
    assert [record["sequence"] for record in world.records] == list(range(1, len(world.records) + 1))
    assert world.records.count(lost) == 1
    assert lost["in_cloud"] == 0
    assert world.check().is_good


async def test_a_cloud_that_is_away_delays_the_record(world: World) -> None:
    """The hour waits; its record says by how much."""
    async with world.running() as completing:
        await write_due(completing)
        stream_id, stream = world.organisation.streams.popitem()
        world.now = BEGIN + 3 * HOUR_S
        await write_due(completing)
        sent = len(world.records)
        world.organisation.streams[stream_id] = stream
        await write_due(completing)
        assert len(world.records) == sent  # not asked again so soon
        (trouble,) = [fact for fact in world.facts if isinstance(fact, SourceTrouble)]
        assert trouble.source == "completeness of emea"
        world.now = BEGIN + 6 * HOUR_S + RETRY_S
        await write_due(completing)
    late = next(record for record in world.records if record["hour"] == "2023-11-14T22:00:00Z")
    assert late["delayed_by"] == 3 * HOUR_S + RETRY_S
    (over,) = [fact for fact in world.facts if isinstance(fact, SourcePolled)]
    assert over.outage_s == 3 * HOUR_S + RETRY_S
    assert world.check().is_good


def count_and_list(monkeypatch: pytest.MonkeyPatch, *, more: int = 0, at_most: int = 1000) -> None:
    """The cloud counts so many events more than it has, and lists so many at most."""
    whole = CiscoApi.event_page

    async def event_page(api: CiscoApi, filters: Query, *, offset: int, limit: int) -> EventPage:
        page = await whole(api, filters, offset=offset, limit=limit)
        total = (page.total or 0) + more
        events = page.events[: max(0, at_most - offset)]
        return EventPage(events, total, is_last=offset + len(events) >= total)

    monkeypatch.setattr(CiscoApi, "event_page", event_page)


async def clean_hour(world: World, completing: Completing) -> None:
    """An hour in which all events were delivered becomes due."""
    await write_due(completing)
    bodies = hour_of(0)
    world.organisation.publish(bodies)
    world.remember(bodies, delivered_at=BEGIN)
    world.now = BEGIN + 3 * HOUR_S


async def test_an_hour_whose_list_is_cut_has_no_record(world: World) -> None:
    """It would say that fewer events happened; the hour waits until the list is whole."""
    async with world.running() as completing:
        await clean_hour(world, completing)
        with pytest.MonkeyPatch.context() as cut:
            count_and_list(cut, at_most=15)
            await write_due(completing)
        assert of_the_hour(world) == []
        (trouble,) = [fact for fact in world.facts if isinstance(fact, SourceTrouble)]
        assert "the list ends before all events that the cloud counts" in str(trouble.error)
        world.now += RETRY_S
        await write_due(completing)
    assert [(each["in_cloud"], each["delivered"]) for each in of_the_hour(world)] == [(20, 20)]


async def test_an_hour_whose_list_stays_cut_holds_up_no_other(world: World) -> None:
    """Later hours have their records, and the one that is cut is looked at less and less often."""
    async with world.running() as completing:
        await clean_hour(world, completing)
        bodies = hour_of(1)
        world.organisation.publish(bodies)
        world.remember(bodies, delivered_at=BEGIN)
        world.now += HOUR_S
        with pytest.MonkeyPatch.context() as cut:
            count_and_list(cut, at_most=35)
            await write_due(completing)
            assert of_the_hour(world) == []
            assert (world.records[-1]["hour"], world.records[-1]["in_cloud"]) == ("2023-11-14T23:00:00Z", 20)
            assert [fact for fact in world.facts if isinstance(fact, SourceTrouble)]
            requests = completing.proofs["emea"].requests
            world.now += RETRY_S
            await write_due(completing)
            assert completing.proofs["emea"].requests == requests
        world.now += HOUR_S / 4
        await write_due(completing)
        assert [(each["in_cloud"], each["delivered"]) for each in of_the_hour(world)] == [(20, 20)]
        assert isinstance(
            [fact for fact in world.facts if isinstance(fact, SourceTrouble | SourcePolled)][-1], SourcePolled
        )


async def test_a_look_that_fails_forgets_no_hour_that_was_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those behind the failed one are not asked for sooner than they would be."""
    looked: list[int] = []
    fails: set[int] = set()

    async def look(_: object, at: Due, *__: object) -> None:
        looked.append(at.hour)
        raise CloudUnreachable("away") if at.hour in fails else ListCut

    async with world.running() as completing:
        await write_due(completing)
        monkeypatch.setattr(completing._looks, "look", look)
        world.now = BEGIN + 31 * HOUR_S
        await write_due(completing)
        first, second = looked[:2]
        again_s = CUT_AGAIN * (world.now - first - HOUR_S)
        assert again_s > 3 * RETRY_S
        world.now += again_s - 60  # all are looked at again, but the first
        await write_due(completing)
        assert (looked.count(first), looked.count(second)) == (1, 2)
        looked.clear()
        world.now += RETRY_S
        fails.add(first)
        await write_due(completing)
        assert looked == [first]
        fails.clear()
        world.now += RETRY_S
        await write_due(completing)
    assert looked[:2] == [first, first]
    assert second not in looked


async def test_what_is_counted_too_much_outside_of_the_hour_is_no_obstacle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an event of just now that is not listed yet: of the hour as many came as the cloud counts."""
    async with world.running() as completing:
        await clean_hour(world, completing)
        count_and_list(monkeypatch, more=1)
        await write_due(completing)
    assert [(each["in_cloud"], each["delivered"]) for each in of_the_hour(world)] == [(20, 20)]


async def test_requests_are_counted_and_spend_the_budget_of_the_key(world: World) -> None:
    """That which the organisation's sources have; an hour with few events costs two requests."""
    key = world.cloud.url, world.organisation.client_id
    budget = world.budgets[key] = Budget(0.5)
    async with world.running() as completing:
        await write_due(completing)
        assert completing.proofs["emea"].requests == len(world.cloud.requests) == budget.used == 22 * 2
        assert world.budgets == {key: budget}
        budget.used = 1500  # somebody else used up the share: the next hour waits for the window to end
        world.now = BEGIN + 3 * HOUR_S

        async def end_the_window(seconds: float, why: str) -> None:
            budget.used = 0
            world.waits.append((seconds, why))

        completing._looks._wait = end_the_window
        await write_due(completing)
    assert [why for _, why in world.waits] == ["this program's share of the rate limit is used up"]


async def test_the_share_of_an_organisation_holds_where_another_process_polls_it(world: World) -> None:
    """As `shard` shares them out; each process may use as much."""
    shards = [ShardConfig(of=2, index=index) for index in range(2)]
    (shard,) = [shard for shard in shards if shard.has("emea")]
    name = next(name for name in "abcdefgh" if not shard.has(name))
    api = {"client_id": world.organisation.client_id, "api_key": world.organisation.api_key}
    section = {
        "name": name,
        "cloud": {"api": world.cloud.url},
        "api": api,
        "rate_limit_share": 0.125,
        "audit_logs": {},
    }
    world.sections = {"organisations": [section], "shard": {"of": 2, "index": shard.index}}
    async with world.running() as completing:
        await write_due(completing)
    assert [budget.share for budget in world.budgets.values()] == [0.125]


async def test_each_request_counts_in_the_pace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That for the event stream, those for events, and those for totals."""
    counted = []
    pause_s = SharedPace.pause_s

    def count(self: SharedPace, events: int, now: float, requests: int = 1) -> float:
        counted.append(requests)
        return pause_s(self, events, now, requests)

    monkeypatch.setattr(SharedPace, "pause_s", count)
    async with world.running() as completing:
        await big_hour(world, completing)  # it forgets the requests
        counted.clear()
        await write_due(completing)
    assert sum(counted) == len(world.cloud.requests)


async def test_how_one_stream_stands_is_asked_of_it_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of 300 streams takes 2 ms: one for each of them, and for each page, would hold up their events."""
    async with world.running() as completing:
        monkeypatch.setattr(completing, "_snapshot", None)
        monkeypatch.setattr(completing, "_stands", lambda name: figures_of(name=name, messages_ready=7))
        await completing._until_queues_are_known()
        world.now = BEGIN + 3 * HOUR_S
        await write_due(completing)
    assert world.records[-1]["queue_depth"] == 7


async def test_rounds_begin_one_in_each_turn_of_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 300 streams together would hold events up for 90 ms, each half minute."""
    turn, began = 0, []

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def begin(_: object) -> None:
        began.append(turn)

    async with world.running() as completing:
        (one,) = completing.streams
        many = [one.model_copy(update={"name": f"s{number}"}) for number in range(20)]
        monkeypatch.setattr(Completing, "streams", many)
        monkeypatch.setattr(completing, "_round", begin)
        counting = asyncio.create_task(count_turns())
        await write_due(completing)
        counting.cancel()
    assert len({*began}) == len(began) == 20


async def test_the_cas_are_read_once_for_all_looks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read the system's takes 24 ms of the event loop, and a new chain looks at 24 hours of each stream."""
    made = []

    def trusting(ca_file: str | None) -> ssl.SSLContext:
        made.append(ca_file)
        return ssl.create_default_context()

    hours = [Due(BEGIN - number * HOUR_S, BEGIN) for number in (4, 3)]
    monkeypatch.setattr(completing_module, "due", lambda *_: hours)
    monkeypatch.setattr(tls, "_shared", WeakValueDictionary())
    monkeypatch.setattr(tls, "trusting", trusting)
    async with world.running() as completing:
        save = completing._save

        async def collect_and_save(name: str) -> None:
            gc.collect()  # after each look: what is held by nobody is gone
            await save(name)

        monkeypatch.setattr(completing, "_save", collect_and_save)
        await write_due(completing)
    assert (len(world.records), made) == (2, [None])


async def big_hour(world: World, completing: Completing) -> None:
    """An hour with many events, all of them delivered, has its record; then a day has passed."""
    await write_due(completing)
    bodies = [event(number, BEGIN + number * 6) for number in range(WORTH_A_TOTAL + 50)]
    world.organisation.publish(bodies)
    world.remember(bodies, delivered_at=BEGIN)
    world.now = BEGIN + 3 * HOUR_S
    await write_due(completing)
    assert (world.records[-1]["in_cloud"], world.records[-1]["missing"]) == (WORTH_A_TOTAL + 50, 0)
    world.cloud.requests.clear()
    world.now = BEGIN + 25 * HOUR_S


def of_the_hour(world: World) -> list[Record]:
    """The records of the hour at `BEGIN`."""
    return [record for record in world.records if record["hour"] == "2023-11-14T22:00:00Z"]


async def test_an_hour_that_was_clean_and_has_the_same_total_is_not_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three totals are all that is asked for; there is no other record, and no third look."""
    async with world.running() as completing:
        await big_hour(world, completing)
        monkeypatch.setattr(completing_module, "due", lambda *_: [Due(BEGIN, BEGIN + 25 * HOUR_S)])
        await write_due(completing)
        assert world.cloud.requests == [("GET", "/v1/event_streams"), *[("GET", "/v1/events")] * 3]
        known = completing._journals["emea"]
    assert len(of_the_hour(world)) == 1
    assert not [each for each in due(known.hours, BEGIN, world.now) if each.hour == BEGIN]


async def test_an_event_that_came_late_has_the_hour_read_again(world: World) -> None:
    """The total says so."""
    async with world.running() as completing:
        await big_hour(world, completing)
        world.organisation.publish([event(9999, BEGIN + 5)])
        await write_due(completing)
    assert [(each["revision"], each["missing"]) for each in of_the_hour(world)] == [(1, 0), (2, 1)]


async def test_totals_that_do_not_fit_what_is_listed_are_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud that counts to 100 only: the hour is read again."""
    monkeypatch.setattr(answers, "total", lambda decoded: 100)
    async with world.running() as completing:
        await big_hour(world, completing)
        assert completing._journals["emea"].hours[BEGIN].cloud_total is None
        world.organisation.publish([event(9999, BEGIN + 5)])
        await write_due(completing)
    assert [(each["revision"], each["missing"]) for each in of_the_hour(world)] == [(1, 0), (2, 1)]


async def test_a_clock_that_was_ahead_keeps_no_hour_from_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours looked at too early are looked at again, in a chain of their own; `verify` has nothing against it."""
    monkeypatch.setattr(journal, "BACK_S", 2 * HOUR_S)  # fewer looks
    async with world.running() as completing:
        await write_due(completing)
        world.now = BEGIN + 5 * HOUR_S
        await write_due(completing)
        bodies = hour_of(0)
        world.organisation.publish(bodies)
        world.remember(bodies[:17], delivered_at=BEGIN)
        world.now = BEGIN + 3 * HOUR_S
        await write_due(completing)
        sent = len(world.records)
        await write_due(completing)
        assert len(world.records) == sent
        assert completing.proofs["emea"].until == BEGIN + HOUR_S
    last = [record for record in world.records if record["hour"] == "2023-11-14T22:00:00Z"][-1]
    assert (last["in_cloud"], last["missing"], last["looked_at"]) == (20, 3, "2023-11-15T01:00:00Z")
    report = world.check()
    assert report.streams[0].hours[BEGIN].mark is Mark.MISSING
    assert not [problem for problem in report.problems if "sequence" in problem.what or "revision" in problem.what]
    assert ["a new chain begins" in note for note in report.notes] == [True]


async def test_a_chain_that_would_go_on_in_1970_begins_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets hundreds of thousands of records of hours that are lost."""
    monkeypatch.setattr(journal, "BACK_S", 2 * HOUR_S)  # fewer looks
    async with world.running() as completing:
        await completing._kept.save("completeness", {"chain:emea": b'{"begins":0,"since":0}'})
        await completing.load()
        await asyncio.wait_for(write_due(completing), 20.0)
    assert (len(world.records), world.records[0]["hour"]) == (24, "2023-11-13T20:00:00Z")
    assert world.check().is_good


def with_another(completing: Completing, **api: str) -> None:
    """Before the stream there is another one, ``apac``, with these keys of ``api`` changed."""
    (stream,) = completing.streams
    assert stream.api is not None
    other = stream.model_copy(update={"name": "apac", "api": stream.api.model_copy(update=api)})
    completing._streams = lambda: [other, stream]


def record_streams(world: World) -> set[str]:
    """Those that have records at the server."""
    return {record["stream"] for record in world.records}


async def test_a_rate_limit_holds_up_the_streams_of_its_key_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lasts for an hour; the records of the others come meanwhile, also where one key is asked at a time."""
    monkeypatch.setattr(completing_module, "CONNECT_S", 0.0)  # one has no queue
    monkeypatch.setattr(looking, "AT_ONCE", 1)
    never = asyncio.Event()

    async def wait_for_the_window(seconds: float, why: str) -> None:
        await never.wait()

    async with world.running() as completing:
        completing._looks._wait = wait_for_the_window
        with_another(completing, client_id="another")
        world.cloud.fail(replace(too_many_requests(3600), client_id="another"))
        task = asyncio.create_task(completing.write())
        await world.fluentd.wait_for(lambda: len(world.records) == 22)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert record_streams(world) == {"emea"}
        assert all(each.done() for each in completing._rounds.values())


async def test_what_nobody_foresaw_in_one_stream_stops_no_other(world: World) -> None:
    """It is told, and tried again after a while."""
    async with world.running() as completing:
        with_another(completing)
        send, sent = completing._send, []

        async def fail(name: str) -> None:
            sent.append(name)
            if name == "apac" and sent.count("apac") == 1:
                raise RuntimeError("nobody foresaw this")
            await send(name)

        completing._send = fail  # type: ignore[method-assign]
        for _ in range(2):
            await write_due(completing)
        assert record_streams(world) == {"emea"}
        (told,) = [fact for fact in world.facts if isinstance(fact, InternalError)]
        assert told.where == "completeness of apac"
        world.now += RETRY_S
        await write_due(completing)
        assert record_streams(world) == {"apac", "emea"}


@pytest.mark.parametrize(
    ("api", "at_once", "looks_at_once"),
    [({}, 2, 1), ({"client_id": "another"}, 2, 2), ({"client_id": "another"}, 1, 1)],
)
async def test_so_many_looks_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, api: dict[str, str], at_once: int, looks_at_once: int
) -> None:
    """One look of each key at a time, and so many of all: each has files open."""
    monkeypatch.setattr(looking, "AT_ONCE", at_once)
    monkeypatch.setattr(journal, "BACK_S", 2 * HOUR_S)  # fewer looks
    world.cloud.add_organisation("another", world.organisation.api_key).streams = world.organisation.streams
    async with world.running() as completing:
        with_another(completing, **api)
        looks, looking_now, most = completing._looks, 0, 0
        all_there = asyncio.Event()
        compare = looks._compare

        async def count(*arguments: Any) -> Figures:
            nonlocal looking_now, most
            looking_now += 1
            most = max(most, looking_now)
            if most == looks_at_once:
                all_there.set()
            await all_there.wait()
            try:
                return await compare(*arguments)
            finally:
                looking_now -= 1

        looks._compare = count  # type: ignore[assignment, method-assign]
        await write_due(completing)
        assert record_streams(world) == {"apac", "emea"}
        assert most == looks_at_once


async def test_a_record_names_the_organisation(world: World) -> None:
    """That of the configuration; a stream that names none has its cloud's."""
    async with world.running() as completing:
        (stream,) = completing.streams
        cloud = cloud_of(stream)
        assert cloud is not None
        assert completing._origin(stream).organisation == cloud.name
        named = stream.model_copy(update={"organisation": "acme"})
        assert completing._origin(named).organisation == "acme"


async def test_own_gaps_are_told(world: World) -> None:
    """Without a server, and the time in which the plugin did not run, with what was counted meanwhile."""
    async with world.running() as completing:
        await write_due(completing)
        for at, is_available in ((0, True), (15, False), (30, False), (45, True)):
            world.now, world.is_available = BEGIN + at, is_available
            world.stands["counters"] = Counters(dead_letters=at // 15, duplicates=at // 5, newest_event_at=BEGIN)
            await completing.note()
    world.stands.pop("counters")
    async with world.running() as completing:
        world.now = BEGIN + 600
        await completing.note()
        world.now = BEGIN + 3 * HOUR_S
        await write_due(completing)
    record = world.records[-1]
    assert [(gap["from"][11:], gap["to"][11:], gap["why"]) for gap in record["gaps"]] == [
        ("22:00:15Z", "22:00:45Z", "no server takes events"),
        ("22:00:45Z", "22:10:00Z", "the plugin did not run"),
    ]
    assert (record["dead_letters"], record["duplicates"]) == (3, 9)


async def test_an_old_event_is_not_known(world: World) -> None:
    """Older than the state file: neither delivered nor missing."""
    bodies = hour_of(-5)
    world.organisation.publish(bodies)
    async with world.running() as completing:
        await write_due(completing)
    record = next(record for record in world.records if record["in_cloud"])
    assert (record["not_known"], record["missing"], record["delivered"]) == (20, 0, 0)
    assert record["not_known_why"] == "older than the state file, which goes back to 2023-11-14T22:00:00Z"


async def test_the_daemon_sends_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` has the records of the hours before its start sent, though its broker is away."""
    monkeypatch.setattr(completing_module, "CONNECT_S", 0.5)
    running = asyncio.create_task(daemon.run(world.proving(), world.facts.append))
    await world.fluentd.wait_for(lambda: len(world.records) == 22)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert world.check().is_good
    assert {record["queue_depth"] for record in world.records} == {None}


async def test_what_cannot_be_read_begins_anew(world: World) -> None:
    """A garbled row costs its chain, and is set aside."""
    async with world.running() as completing:
        await write_due(completing)
        await completing.note()
        await completing._kept.save("completeness", {"chain:emea": b"{", "watch:emea": b"[]"})
    async with world.running() as completing:
        await write_due(completing)
    firsts = [record["plugin"]["instance"] for record in world.records if record["sequence"] == 1]
    assert len(set(firsts)) == len(firsts) == 2


def test_why_a_stream_cannot_work() -> None:
    """In the order in which it matters."""
    assert trouble_of(figures_of("a"), is_available=True) is None
    assert trouble_of(figures_of("a"), is_available=False) == "no server takes events"
    assert trouble_of(figures_of("a", is_connected=False), is_available=True) == "no connection to the broker"
    paused = figures_of("a", state=State.PAUSED, reason=Reason.PAUSED)
    assert trouble_of(paused, is_available=True) == "paused"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"completeness": {}}, "needs `state.path`"),
        ({"completeness": {}, "state": {"path": "s.db"}}, "needs `api` on a stream"),
    ],
)
def test_what_is_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A proof that could prove nothing."""
    stream = {"name": "s", "url": "amqp://u:p@h", "queue": "q"}
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"streams": [stream], **keys}))
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        load(file, {})


def test_every_record_is_of_an_hour(tmp_path: Path) -> None:
    """`every` has one value so far; and the key may stand in a `key_file`."""
    (tmp_path / "proof.key").write_text(KEY + "\n")
    stream = {"name": "s", "url": "amqp://u:p@h", "queue": "q", "api": {"client_id": "c", "api_key": "k" * 32}}
    section = {"every": "1h", "key_file": "proof.key"}
    file = tmp_path / "c.json"
    document = {"streams": [stream], "state": {"path": "s.db"}, "completeness": section}
    file.write_text(json.dumps(document))
    completeness = load(file, {}).completeness
    assert completeness is not None
    assert completeness.every == 3600.0
    assert completeness.key is not None
    assert completeness.key.get_secret_value() == KEY
    file.write_text(json.dumps({**document, "completeness": {"every": "2h"}}))
    with pytest.raises(ConfigError, match="must be at most 1h"):
        load(file, {})


def test_the_line_of_the_records_is_none_of_a_stream() -> None:
    """No name of a stream is like it by chance."""
    assert LINE == "(completeness)"
