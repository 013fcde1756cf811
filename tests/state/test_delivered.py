"""An event is known from `record` on, after a crash if it was committed, and without the file for a while."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.facts import Fact
from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.state import delivered as delivered_module
from fluent_plugin_amp.state.delivered import FileDelivered
from fluent_plugin_amp.state.errors import StateCorrupt, StateDiskFull, StateSlow
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.ledgers import FakeLedger

FEW = 4
"""Stands for INDEX_EVENTS."""


def delivery(number: int, stream: str = "a") -> Delivery:
    """A delivered event."""
    return Delivery(
        stream,
        FakeLedger(),
        1,
        b"",
        digest=digest_of(b"%d" % number),
        facts=EventIdentity(number, number, 0, 7, "guid"),
        parts=0,
    )


@pytest.fixture(autouse=True)
def often_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few events show what thousands do."""
    monkeypatch.setattr(delivered_module, "INDEX_EVENTS", FEW)


class Rig:
    """A state file, and what was told of it."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.facts: list[Fact] = []
        self.file = StateFile(path, 1000.0, self.facts.append, clock=clock)
        self.done: list[int] = []
        self._gate = threading.Event()
        self._gate.set()

    @property
    def delivered(self) -> FileDelivered:
        """What is tested."""
        return self.file.delivered

    def record(self, numbers: Iterable[int], stream: str = "a") -> None:
        """These were delivered."""
        recorded = list(numbers)
        pending = self.delivered.record([delivery(number, stream) for number in recorded])
        pending.then(lambda: self.done.extend(recorded))

    def known(self, numbers: Iterable[int], stream: str = "a") -> list[int]:
        """Those of them."""
        return [number for number in numbers if self.delivered.contains(stream, digest_of(b"%d" % number))]

    def hold(self) -> None:
        """Commit nothing that comes from now on."""
        self._gate = threading.Event()
        gate = self._gate
        self.file.writer.put(lambda store: gate.wait(DEADLINE_S))

    async def settle(self) -> None:
        """Commit everything that came so far."""
        self._gate.set()
        await self.file.writer.call(lambda store: None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        """The end of it."""
        self._gate.set()
        await self.file.close(DEADLINE_S)


@pytest.fixture
async def rig(path: Path) -> AsyncIterator[Rig]:
    """A state file in use."""
    rig = Rig(path)
    await rig.file.start()
    yield rig
    await rig.close()


async def restarted(rig: Rig, path: Path) -> Rig:
    """Another process with the same file."""
    await rig.close()
    again = Rig(path)
    await again.file.start()
    return again


# --- remembering ---------------------------------------------------------------------------------


async def test_a_restart_remembers(rig: Rig, path: Path) -> None:
    """By stream, what was indexed and what was not."""
    rig.record(range(FEW + 1))
    rig.record([7], "b")
    await rig.settle()
    again = await restarted(rig, path)
    assert again.known(range(10)) == list(range(FEW + 1))
    assert again.known(range(10), "b") == [7]
    await again.close()


async def test_an_event_is_known_before_it_is_committed(rig: Rig) -> None:
    """It is not sent twice while the disk takes its time."""
    rig.hold()
    rig.record([1])
    assert rig.known([1]) == [1]
    await asyncio.sleep(0.02)
    assert rig.done == []
    await rig.settle()
    assert rig.done == [1]


async def test_done_comes_in_order(rig: Rig) -> None:
    """Once for each record, whatever is committed together."""
    for number in range(200):
        rig.record([number])
        if number % 7 == 0:
            await asyncio.sleep(0)
    await rig.settle()
    assert rig.done == list(range(200))


async def test_closing_commits_what_waits(rig: Rig, path: Path) -> None:
    """Those events were acked by a server: a clean stop must not forget them."""
    rig.record([1, 2, 3])
    again = await restarted(rig, path)
    assert again.known(range(5)) == [1, 2, 3]
    await again.close()


async def test_memory_is_handed_to_the_file(rig: Rig) -> None:
    """Two generations of digests at most are held; the others are found in the file."""
    for number in range(50):
        rig.record([number])
        await rig.settle()
    held = [*rig.delivered._young.get("a", ()), *rig.delivered._old.get("a", ())]
    assert len(held) <= 2 * FEW
    assert rig.known(range(60)) == list(range(50))


async def test_nothing_is_let_go_before_the_file_has_it(rig: Rig) -> None:
    """However many come while indexing takes its time."""
    rig.hold()
    for number in range(20 * FEW):
        rig.record([number])
    assert rig.known(range(20 * FEW)) == list(range(20 * FEW))
    await rig.settle()
    assert rig.known(range(20 * FEW)) == list(range(20 * FEW))


async def test_the_facts_are_there_for_a_comparison(rig: Rig, path: Path) -> None:
    """Of every event; one that could not be read counts at the time of its arrival."""
    rig.record([5, 6])
    unread = Delivery("a", FakeLedger(), 1, b"", received_at=9.5, digest=digest_of(b"?"))
    rig.delivered.record([unread])
    await rig.settle()
    tool = Store.open(path)
    assert [event.facts for event in tool.delivered_between("a", 0, 10)] == [
        EventIdentity(5, 5, 0, 7, "guid"),
        EventIdentity(6, 6, 0, 7, "guid"),
        EventIdentity(None, 9, 0, None, None),
    ]
    tool.close()


moves = st.one_of(
    st.tuples(st.just("record"), st.sampled_from("ab"), st.lists(st.integers(0, 40), min_size=1, max_size=6)),
    st.tuples(st.just("settle")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("restart")),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(moves, min_size=5, max_size=25))
def test_known_from_record_on_and_after_a_crash_if_committed(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[object, ...]]
) -> None:
    """After a crash exactly those are known that ``done`` had come for; after a stop in order, all."""

    async def walk() -> None:
        folder = tmp_path_factory.mktemp("walk")
        rig = Rig(folder / "0.db")
        await rig.file.start()
        rig.hold()
        recorded: set[tuple[str, int]] = set()
        committed: set[tuple[str, int]] = set()
        for step, move in enumerate(moves, 1):
            match move:
                case ("record", str(stream), list(numbers)):
                    rig.record(numbers, stream)
                    recorded |= {(stream, number) for number in numbers}
                case ("settle",):
                    await rig.settle()
                    committed = set(recorded)
                case ("crash",):
                    path = folder / f"{step}.db"
                    for suffix in ("", "-wal"):  # what is on the disk at this moment
                        shutil.copy(f"{rig.file.path}{suffix}", f"{path}{suffix}")
                    await rig.close()
                    rig = Rig(path)
                    await rig.file.start()
                    recorded = set(committed)
                case ("restart",):
                    rig = await restarted(rig, rig.file.path)
                    committed = set(recorded)
            for stream in "ab":
                assert set(rig.known(range(41), stream)) == {number for name, number in recorded if name == stream}
            if move[0] != "record":
                rig.hold()
        await rig.close()

    asyncio.run(walk())


# --- forgetting ----------------------------------------------------------------------------------


async def test_what_is_too_old_is_forgotten_by_and_by(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is still in memory is gone after the next restart."""
    monkeypatch.setattr(delivered_module, "PRUNE_EVERY_S", 0.01)
    now = 10_000.0
    rig = Rig(path, clock=lambda: now)
    await rig.file.start()
    rig.record(range(3 * FEW))
    await rig.settle()
    now += 500
    rig.record([100])
    await rig.settle()
    now += 600
    tool = Store.open(path)
    await rig.until(lambda: sum(row.events for row in tool.summary(0)) == 1)
    tool.close()
    again = await restarted(rig, path)
    assert again.known(range(101)) == [100]
    await again.close()


async def test_a_reset_by_a_tool_reaches_the_memory(rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of that stream only."""
    rig.record([1], "a")
    rig.record([2], "b")
    await rig.settle()
    monkeypatch.setattr(delivered_module, "PRUNE_EVERY_S", 0.01)
    again = await restarted(rig, path)
    await again.until(lambda: again.delivered._resets is not None)
    told: list[str] = []
    again.delivered._on_reset = told.append
    tool = Store.open(path)
    with tool.transaction():
        assert tool.forget("a")
    tool.close()
    await again.until(lambda: again.known([1], "a") == [])
    assert again.known([2], "b") == [2]
    assert told == ["a"]
    await again.close()


# --- trouble -------------------------------------------------------------------------------------


async def test_without_the_file_the_last_events_are_known(rig: Rig) -> None:
    """And ``done`` comes at once: delivery goes on; memory stays small."""
    rig.file.writer._fail(StateDiskFull("full"), 1000.0)
    for number in range(100):
        rig.record([number])
    assert rig.done == list(range(100))
    assert isinstance(rig.file.error, StateDiskFull)
    known = rig.known(range(100))
    assert known[-FEW:] == [96, 97, 98, 99]
    assert len(known) <= 2 * FEW


async def test_with_a_full_disk_the_file_can_still_be_read(rig: Rig) -> None:
    """What was delivered before is not sent again."""
    for number in range(5 * FEW):
        rig.record([number])
        await rig.settle()
    rig.file.writer._fail(StateDiskFull("full"), 1000.0)
    assert rig.known(range(5 * FEW)) == list(range(5 * FEW))


async def test_a_disk_that_hangs_is_not_read(rig: Rig) -> None:
    """The loop would hang with it."""
    for number in range(5 * FEW):
        rig.record([number])
        await rig.settle()
    rig.file.writer.error = StateSlow("slow")
    assert len(rig.known(range(5 * FEW))) <= 2 * FEW
    rig.file.writer.error = None


async def test_damage_met_by_a_lookup_is_trouble(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is sent again, the trouble told, and the file opened anew."""

    def malformed(store: Store, stream: str, digest: bytes) -> bool:
        raise StateCorrupt("malformed")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "contains", malformed)
        assert rig.known([1]) == []
    await rig.until(lambda: len(rig.facts) > 2)
    rig.record([1])
    await rig.until(lambda: rig.file.error is None)
    await rig.settle()
    assert rig.known([1, 2]) == [1]
