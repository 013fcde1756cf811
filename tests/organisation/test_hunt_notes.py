"""An event that asks for a hunt is acked after that is noted; no other event waits for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fluent_plugin_amp import facts
from fluent_plugin_amp.model import Delivery, Pending
from fluent_plugin_amp.organisation.hunt_notes import HuntNotes
from fluent_plugin_amp.pipeline.asking import Ask
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory
from fluent_plugin_amp.source.ledger import Ledger
from fluent_plugin_amp.testing.waiting import DEADLINE_S

LINE = "acme/hunts"
A, B = "a" * 64, "b" * 64
DAY_S = 86_400.0


class FakeKeeper:
    """Commits when told to."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.aside: list[tuple[str, str]] = []
        self.is_broken = False
        self.has_rows = asyncio.Event()
        self._put: list[tuple[dict[tuple[str, str], bytes | None], Callable[[], None]]] = []

    def put(self, rows: dict[tuple[str, str], bytes | None], done: Callable[[], None]) -> None:
        """As `KeptRows.put`."""
        self._put.append((rows, done))
        self.has_rows.set()

    def commit(self) -> None:
        """What was put is in the file."""
        put, self._put = self._put, []
        self.has_rows.clear()
        for rows, done in put:
            for (_, name), data in rows.items():
                if data is not None:
                    self.values[name] = data
            done()

    async def load_of(self, source: str) -> dict[str, bytes]:
        """As `KeptRows.load_of`."""
        assert source == LINE
        if self.is_broken:
            raise RuntimeError(source)
        return dict(self.values)

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """As `KeptRows.set_aside`."""
        self.aside += keys


class Rig:
    """Notes around a memory, as a process has them."""

    def __init__(self, keeper: FakeKeeper) -> None:
        self.keeper = keeper
        self.facts: list[facts.Fact] = []
        self.memory = DeliveredMemory()
        self.notes = HuntNotes(self.memory, keeper, self.facts.append, clock=lambda: 1_700_000_000.0)
        self.notes.follow({LINE: DAY_S})
        self.safe: list[str | None] = []
        self._count = 0

    def deliver(self, *sha256s: str | None, line: str = LINE) -> None:
        """A server has events that ask for these, or for nothing."""
        for sha256 in sha256s:
            self._count += 1
            ask: Any = None if sha256 is None else Ask(line, sha256, "s")
            delivery = Delivery("s", Ledger(), self._count, b"", digest=b"%d" % self._count, ask=ask)
            pending = self.notes.record([delivery])
            if pending is None:
                self.safe.append(sha256)
            else:
                self._then(pending, sha256)

    @property
    def remembered(self) -> list[int]:
        """The numbers of the events that are known as delivered."""
        return [n for n in range(1, self._count + 1) if self.notes.contains("s", b"%d" % n)]

    def _then(self, pending: Pending, sha256: str | None) -> None:
        pending.then(lambda: self.safe.append(sha256))


async def test_an_event_that_asks_waits_until_that_is_kept() -> None:
    """Until then it is not remembered as delivered: after a crash it comes again, and asks again.

    Further ones of the same file, and those that ask for nothing, wait for nothing.
    """
    rig = Rig(FakeKeeper())
    await rig.notes.restore(LINE)
    rig.deliver(A, None, A)
    assert (rig.safe, rig.remembered) == ([None, A], [2, 3])
    rig.keeper.commit()
    assert (rig.safe, rig.remembered) == ([None, A, A], [1, 2, 3])
    assert [*rig.keeper.values] == [A]


async def test_an_event_that_asks_before_anything_is_known_waits_for_it() -> None:
    """A file that was hunted is not hunted again; others are noted then.  The event is not remembered before."""
    keeper = FakeKeeper()
    first = Rig(keeper)
    await first.notes.restore(LINE)
    first.deliver(A)
    keeper.commit()
    keeper.values |= {name: data for name, data in first.notes.queues[LINE].done(A).items() if data}
    keeper.values["garbled"] = b"?"
    second = Rig(keeper)
    second.deliver(A, B, None)
    assert (second.safe, second.remembered) == ([None], [3])
    queue = await second.notes.restore(LINE)
    assert queue.waiting == 1
    assert keeper.aside == [(LINE, "garbled")]
    assert (second.safe, second.remembered) == ([None, A], [1, 3])
    keeper.commit()
    assert second.safe == [None, A, B]
    assert await second.notes.restore(LINE) is queue


async def test_what_was_kept_is_taken_up_where_nothing_is_polled() -> None:
    """As with `run --once`: of the lines at the beginning, and of those that a reload brings."""
    rig = Rig(FakeKeeper())
    rig.deliver(A)
    task = asyncio.create_task(rig.notes.run())
    for sha256 in (A, B):
        rig.notes.follow({LINE: DAY_S})
        rig.deliver(sha256)
        await asyncio.wait_for(rig.keeper.has_rows.wait(), DEADLINE_S)
        rig.keeper.commit()
        rig.notes.follow({})
    assert rig.safe == [A, A, B]
    assert {*rig.keeper.values} == {A, B}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_two_that_take_up_what_was_kept_take_it_up_once() -> None:
    """What was noted after the first is still there after the second."""
    rig = Rig(FakeKeeper())
    answer = asyncio.Event()

    async def load_of(source: str) -> dict[str, bytes]:
        await answer.wait()
        return {}

    rig.keeper.load_of = load_of  # type: ignore[method-assign]
    rig.deliver(A)
    both = asyncio.gather(rig.notes.restore(LINE), rig.notes.restore(LINE))
    await asyncio.sleep(0)
    answer.set()
    first, second = await both
    assert first is second
    assert first.waiting == 1


async def test_hunts_that_are_configured_no_more_hold_nothing_up() -> None:
    """Neither what asked before nor what asks after; others keep their queue."""
    rig = Rig(FakeKeeper())
    rig.deliver(A)
    rig.notes.follow({"other/hunts": DAY_S})
    rig.deliver(B)
    assert rig.safe == [A, B]
    before = rig.notes.queues["other/hunts"]
    rig.notes.follow({"other/hunts": 3600.0})
    assert rig.notes.queues["other/hunts"] is before
    assert before.every_s == 3600.0


async def test_hunts_that_end_before_they_begin_are_no_fault() -> None:
    """A reload may take the organisation away while its task is about to ask for the queue."""
    rig = Rig(FakeKeeper())
    rig.notes.follow({})
    queue = await rig.notes.restore(LINE)
    assert (queue.waiting, queue.forget_old(2e9), rig.notes.queues) == (0, {}, {})


async def test_where_nothing_can_be_read_events_wait_for_nothing() -> None:
    """Whatever the fault is; it is told, and later hunts are noted."""
    rig = Rig(FakeKeeper())
    rig.keeper.is_broken = True
    rig.deliver(A)
    await rig.notes.restore(LINE)
    rig.keeper.commit()
    assert (rig.safe, [*rig.keeper.values]) == ([A], [A])
    (fact,) = rig.facts
    assert isinstance(fact, facts.InternalError)
    assert fact.where == "hunts"


async def test_a_memory_that_fails_holds_no_event_up() -> None:
    """It is acked when its hunt is noted."""
    rig = Rig(FakeKeeper())
    await rig.notes.restore(LINE)
    rig.memory.record = None  # type: ignore[method-assign, assignment]
    rig.deliver(A)
    rig.keeper.commit()
    assert rig.safe == [A]
    (fact,) = rig.facts
    assert isinstance(fact, facts.InternalError)
    assert fact.where == "memory"


async def test_a_fault_costs_the_hunt_and_not_the_event() -> None:
    """It is told."""
    rig = Rig(FakeKeeper())
    await rig.notes.restore(LINE)
    rig.keeper.put = None  # type: ignore[method-assign, assignment]
    rig.deliver(A)
    assert rig.safe == [A]
    (fact,) = rig.facts
    assert isinstance(fact, facts.InternalError)
    assert fact.where == "hunts"
