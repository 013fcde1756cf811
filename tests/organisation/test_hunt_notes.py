"""An event that asks for a hunt is acked after that is noted; no other event waits for anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluent_plugin_amp import facts
from fluent_plugin_amp.model import Delivery, Pending
from fluent_plugin_amp.organisation.hunt_notes import HuntNotes
from fluent_plugin_amp.pipeline.asking import Ask
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory
from fluent_plugin_amp.source.ledger import Ledger

LINE = "acme/hunts"
A, B = "a" * 64, "b" * 64
DAY_S = 86_400.0


class FakeKeeper:
    """Commits when told to."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.aside: list[tuple[str, str]] = []
        self._put: list[tuple[dict[tuple[str, str], bytes | None], Callable[[], None]]] = []

    def put(self, rows: dict[tuple[str, str], bytes | None], done: Callable[[], None]) -> None:
        """As `KeptRows.put`."""
        self._put.append((rows, done))

    def commit(self) -> None:
        """What was put is in the file."""
        put, self._put = self._put, []
        for rows, done in put:
            for (_, name), data in rows.items():
                if data is not None:
                    self.values[name] = data
            done()

    async def load_of(self, source: str) -> dict[str, bytes]:
        """As `KeptRows.load_of`."""
        assert source == LINE
        return dict(self.values)

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """As `KeptRows.set_aside`."""
        self.aside += keys


class Rig:
    """Notes around a memory, as a process has them."""

    def __init__(self, keeper: FakeKeeper) -> None:
        self.keeper = keeper
        self.facts: list[facts.Fact] = []
        self.notes = HuntNotes(DeliveredMemory(), keeper, self.facts.append, clock=lambda: 1_700_000_000.0)
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
            assert self.notes.contains("s", delivery.digest)
            if pending is None:
                self.safe.append(sha256)
            else:
                self._then(pending, sha256)

    def _then(self, pending: Pending, sha256: str | None) -> None:
        pending.then(lambda: self.safe.append(sha256))


async def test_an_event_that_asks_waits_until_that_is_kept() -> None:
    """Further ones of the same file, and those that ask for nothing, do not."""
    rig = Rig(FakeKeeper())
    await rig.notes.restore(LINE)
    rig.deliver(A, None, A)
    assert rig.safe == [None, A]
    rig.keeper.commit()
    assert rig.safe == [None, A, A]
    assert [*rig.keeper.values] == [A]


async def test_an_event_that_asks_before_anything_is_known_waits_for_it() -> None:
    """What was kept is not hidden by it: a file that was hunted is not hunted again."""
    keeper = FakeKeeper()
    first = Rig(keeper)
    await first.notes.restore(LINE)
    first.deliver(A)
    keeper.commit()
    keeper.values |= {name: data for name, data in first.notes.queues[LINE].done(A).items() if data}
    keeper.values["garbled"] = b"?"
    second = Rig(keeper)
    second.deliver(A, B)
    assert second.safe == []
    queue = await second.notes.restore(LINE)
    assert queue.waiting == 1
    assert keeper.aside == [(LINE, "garbled")]
    keeper.commit()
    assert second.safe == [A, B]
    assert await second.notes.restore(LINE) is queue


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
