"""Simulated days of a stream, with a clock of their own: what goes wrong is drawn, so the truth is known.

Events happen, are recorded late, are delivered late, or never; the cloud shows their ids rounded.  The broker is away
for hours, the API for a day; the state file is lost in the middle; the process is killed, also while a record is on
its way.  `Simulation.run` compares each record with what `Truth` says of its hour at its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.completeness.record import Gap, Record, second_of
from fluent_plugin_amp.completeness.schedule import DELAYED_S, SETTLED_S
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import digest_of, identity_of
from fluent_plugin_amp.run import completing as module
from fluent_plugin_amp.run import looking
from fluent_plugin_amp.run.completing import Completing
from fluent_plugin_amp.state.rows import KeptRows
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import split
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.organisation import RequestLimit
from fluent_plugin_amp.testing.reactions import Ack, NoAck
from fluent_plugin_amp.testing.rest import Request
from tests.commands.history.history_rig import event
from tests.run.proving import HOUR_S, World, write_due

DAY_S = 24 * HOUR_S
STEP_S = 1800
NOTE_EVERY_S = 60


@dataclass(slots=True)
class Happened:
    """One event, and what becomes of it; seconds since the epoch."""

    number: int
    second: int
    recorded_at: int
    """The cloud shows it from then on."""
    delivered_at: int | None
    """A server acknowledged it; None: it is lost on the way."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Away:
    """From ``since`` on and before ``until``."""

    since: int
    until: int

    def __contains__(self, second: int) -> bool:
        return self.since <= second < self.until


class Plan:
    """What will happen.

    Args:
        seed: draws it.
        begin: a whole hour.
        days: how long it goes on.
    """

    def __init__(self, seed: int, begin: int, days: int) -> None:
        draw = random.Random(seed)
        self.begin, self.end = begin, begin + days * DAY_S
        hours = days * 24

        def away(lasts: int, day: float) -> Away:
            since = begin + int(day * DAY_S) + draw.randrange(HOUR_S) // NOTE_EVERY_S * NOTE_EVERY_S
            return Away(since, since + lasts)

        self.broker = [away(draw.randrange(300, 4 * HOUR_S, 60), day + draw.random() * 0.6) for day in range(days)]
        self.api = Away(begin + days * DAY_S // 3, begin + days * DAY_S // 3 + DAY_S)
        self.state_lost = begin + days * DAY_S * 7 // 10
        self.kills = sorted(begin + draw.randrange(2, hours) * HOUR_S for _ in range(max(2, days // 2)))
        self.events = [self._event(draw, number) for number in range(hours * 6)]

    def _event(self, draw: random.Random, number: int) -> Happened:
        second = self.begin + number * 600 + draw.randrange(600)
        late_s = draw.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, draw.randrange(1, 20 * HOUR_S)))
        delivered_at: int | None = second + draw.randrange(5)
        for each in self.broker:
            if second in each:
                delivered_at = each.until
        if draw.random() < 0.03:
            delivered_at = None
        return Happened(number, second, second + late_s, delivered_at, event(number, second))


@dataclass(slots=True)
class Truth:
    """What a look at an hour must find."""

    plan: Plan
    eras: list[int]
    """When each state file was new: it cannot tell what happened before."""
    lost_at: int | None = None
    """The first state file was lost then, with all that was delivered until then."""

    def of(self, hour: int, at: int, depth: int, *, repairs: bool) -> dict[str, int]:
        """The figures of a look."""
        era = max(each for each in self.eras if each <= at)
        there = [each for each in self.plan.events if hour <= each.second < hour + HOUR_S and each.recorded_at <= at]
        unknown = [each for each in there if not self.knows(each, at)]
        not_known = sum(each.second < era for each in unknown)
        missing = len(unknown) - not_known
        return {
            "in_cloud": len(there),
            "delivered": len(there) - len(unknown),
            "missing": missing,
            "not_known": not_known,
            "repaired": missing if repairs and depth == 0 else 0,
        }

    def knows(self, each: Happened, at: int) -> bool:
        """Whether the state file of the time knows that an event was delivered."""
        since = self.lost_at if self.lost_at is not None and at > self.lost_at else -1
        return each.delivered_at is not None and since < each.delivered_at <= at


class Simulation:
    """Runs a plan.

    Args:
        plan: what happens.
        world: with a cloud and a server.
        repairs: what is missing is delivered.
    """

    def __init__(self, plan: Plan, world: World, *, repairs: bool) -> None:
        self.plan, self.world, self.repairs = plan, world, repairs
        self.truth = Truth(plan, [])
        self.told = 0
        """Records that were compared."""
        self.sequence: list[tuple[str, int]] = []
        self._is_new = False
        """The state file was lost, and nothing was told to the new one."""
        self._noted: list[tuple[int, str | None]] = []
        self._depths: dict[int, int] = {}
        self._recorded: list[Happened] = sorted(plan.events, key=lambda each: each.recorded_at)
        self._to_deliver = sorted(
            (each for each in plan.events if each.delivered_at is not None), key=lambda each: each.delivered_at or 0
        )
        world.now = plan.begin
        world.organisation.requests = RequestLimit(10**9)
        world.organisation.events.rounded_ids = True

    async def run(self) -> None:
        """From the beginning to the end."""
        kills = [*self.plan.kills, self.plan.end]
        now, number = self.plan.begin, 0
        while now < self.plan.end:
            until = kills[number]
            async with self.world.running(repair=self.repairs) as completing:
                while now < min(until, self.plan.end):
                    if not self._was_lost and now >= self.plan.state_lost:
                        break
                    await self._step(completing, now)
                    now += STEP_S
                else:
                    number += 1
                    if number % 2 and now < self.plan.end:
                        await self._begin_what_is_not_acknowledged(completing, now)
            if not self._was_lost and now >= self.plan.state_lost:
                self._happen(now)
                for path in self.world.folder.glob("state.db*"):
                    path.unlink()
                self._noted.clear()
                self.truth.lost_at, self._is_new = now, True
            now += draw_pause(number)
        self._compare()

    @property
    def _was_lost(self) -> bool:
        return self.truth.lost_at is not None

    async def _step(self, completing: Completing, now: int) -> None:
        """Half an hour: what happens in it, and the looks at its end."""
        world, kept, late = self.world, completing._kept, _Late()
        completing._kept = late  # one commit in half an hour: the disk is not what is tried here
        for at in range(now, now + STEP_S, NOTE_EVERY_S):
            world.now = at
            is_away = any(at in each for each in self.plan.broker)
            world.stands["is_connected"] = not is_away
            self._noted.append((at, "no connection to the broker" if is_away else None))
            await completing.note()
        completing._kept = kept
        await kept.save(module.SOURCE, late.rows)
        now += STEP_S
        self._happen(now)
        if not self.truth.eras or self._is_new:
            told = [each.delivered_at for each in self.plan.events if self.truth.knows(each, now)]
            self.truth.eras.append(min([now, *(at for at in told if at is not None)]))
            self._is_new = False
        await write_due(completing)
        self._compare()

    def _happen(self, now: int) -> None:
        """All that happens before the looks of this step."""
        world = self.world
        world.now = now
        shown = [each for each in self._recorded if each.recorded_at <= now]
        del self._recorded[: len(shown)]
        world.organisation.publish(each.body for each in shown)
        delivered = [each for each in self._to_deliver if (each.delivered_at or 0) <= now]
        del self._to_deliver[: len(delivered)]
        if delivered:
            self._remember(delivered)
        waiting = sum(each.second <= now for each in self._to_deliver)
        world.stands["messages_ready"] = self._depths[now] = waiting

    def _remember(self, delivered: list[Happened]) -> None:
        store = Store.open(self.world.state, create=True)
        with store.transaction():
            for each in delivered:
                record = decode(each.body)
                facts = identity_of(record, *event_time(record, 0.0))
                rows = split("emea", each.delivered_at or 0, [digest_of(each.body)], [facts])
                store.add_delivered(rows)
        store.close()

    async def _begin_what_is_not_acknowledged(self, completing: Completing, now: int) -> None:
        """The process ends while a record, or a repair, is on its way."""
        world = self.world
        self._happen(now)
        world.fluentd.reaction = NoAck()
        chunks = len(world.fluentd.chunks)
        task = asyncio.create_task(write_due(completing))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(
                asyncio.shield(world.fluentd.wait_for(lambda: len(world.fluentd.chunks) > chunks)), 1.0
            )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.fluentd.reaction = Ack()

    # --- the comparison ----------------------------------------------------------------------------

    def check(self) -> None:
        """What `verify` says of the whole: two chains, none of them broken, and a record of every hour."""
        report = self.world.check()
        assert all(each.what.endswith("events were not delivered") for each in report.problems), report.problems
        (stream,) = report.streams
        last = self.plan.end - SETTLED_S - 3 * HOUR_S
        assert stream.hours.keys() >= set(range(self.plan.begin, last, HOUR_S))
        assert len({instance for instance, _ in self.sequence}) == 2
        asked_at = [second_of(each["looked_at"]) or 0 for each in self.world.records]
        assert not [at for at in asked_at if at in self.plan.api], "nobody could have asked"

    def _compare(self) -> None:
        records = self.world.records
        for record in records[self.told :]:
            self._compare_one(record)
        self.told = len(records)

    def _compare_one(self, record: Record) -> None:
        hour, at = second_of(record["hour"]), second_of(record["looked_at"])
        assert hour is not None
        assert at is not None
        expected = self.truth.of(hour, at, self._depths[at], repairs=self.repairs)
        found = {name: record[name] for name in expected}
        assert found == expected, record
        assert record["gaps"] == [gap.as_json() for gap in self._gaps_of(hour)], record
        late_s = at - (hour + HOUR_S + SETTLED_S)
        is_first = record["revision"] == 1
        assert record["delayed_by"] == (late_s if is_first and late_s > DELAYED_S else None)
        self.sequence.append((record["plugin"]["instance"], record["sequence"]))
        if record["repaired"]:
            for each in self.plan.events:
                is_known = each.second >= max(era for era in self.truth.eras if era <= at)
                is_there = hour <= each.second < hour + HOUR_S and each.recorded_at <= at
                if is_there and is_known and (each.delivered_at is None or each.delivered_at > at):
                    each.delivered_at = at + 1

    def _gaps_of(self, hour: int) -> list[Gap]:
        """What of the hour the plugin could not work."""
        gaps: list[Gap] = []
        for (since, trouble), (until, _) in pairwise(self._noted):
            why = "the plugin did not run" if until - since > NOTE_EVERY_S else trouble
            since, until = max(since, hour), min(until, hour + HOUR_S)
            if why is None or since >= until:
                continue
            if gaps and gaps[-1].until == since and gaps[-1].why == why:
                gaps[-1] = gaps[-1]._replace(until=until)
            else:
                gaps.append(Gap(since, until, why))
        return gaps


class _Late(KeptRows):
    """Remembers what is to be kept."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes | None] = {}

    async def save(self, source: str, changed: Mapping[str, bytes | None]) -> None:
        """For later."""
        self.rows.update(changed)


def draw_pause(number: int) -> int:
    """How long nothing runs after a kill: nothing, half an hour, or an hour."""
    return number % 3 * STEP_S


@contextlib.contextmanager
def without_sockets(world: World, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The API is asked within the process, and is away as planned."""

    def answer(request: httpx.Request) -> httpx.Response:
        if int(world.now) in plan.api:
            raise httpx.ConnectError("away")
        query = parse_qsl(request.url.query.decode())
        given = world.organisation.answer(Request(request.method, request.url.path, world.cloud.url, query))
        return httpx.Response(given.status, headers=given.headers, stream=httpx.ByteStream(given.body or b""))

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))

    @contextlib.asynccontextmanager
    async def open_api(cloud: Any, key: Any, proxy: Any = None, **options: Any) -> AsyncIterator[CiscoApi]:
        yield CiscoApi(cloud, key, client, **options)

    with monkeypatch.context() as patched:
        patched.setattr(looking, "open_api", open_api)
        yield


async def simulate(
    seed: int, days: int, folder: Path, monkeypatch: pytest.MonkeyPatch, *, repairs: bool
) -> Simulation:
    """One plan, to its end."""
    begin = int(time.time()) // HOUR_S * HOUR_S - (days + 1) * DAY_S
    plan = Plan(seed, begin, days)
    with LocalCloud() as cloud:
        async with FakeFluentd() as fluentd:
            world = World(folder, cloud, fluentd)
            world.stands, world.budgets = {"messages_ready": 0}, {}
            with without_sockets(world, plan, monkeypatch):
                simulation = Simulation(plan, world, repairs=repairs)
                await simulation.run()
    return simulation
