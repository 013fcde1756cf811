"""The writer commits what it is given in order, tells when, and never holds anybody up."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Fact, InternalError, StateOpened, StateRecovered, StateTrouble
from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.state import writer as writer_module
from fluent_plugin_amp.state.errors import (
    StateCorrupt,
    StateDiskFull,
    StateInUse,
    StateSlow,
    StateUnusable,
    StateValueRefused,
)
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import Block
from fluent_plugin_amp.state.writer import Opened, Writer
from fluent_plugin_amp.testing.waiting import DEADLINE_S


class StubbornStore(Store):
    """A store whose transactions fail or hang as its rig says."""

    rig: Rig | None = None
    """None while it is opened."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`."""
        if self.rig is not None:
            self.rig.waiting.set()
            assert self.rig.may_commit.wait(DEADLINE_S)
            if self.rig.commit_error is not None:
                raise self.rig.commit_error
            self.rig.commits += 1
        with super().transaction():
            yield


class Rig:
    """A writer on a real file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: list[Fact] = []
        self.open_error: PluginError | None = None
        self.commit_error: Exception | None = None
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.waiting = threading.Event()
        self.commits = 0
        self.opened: list[Opened] = []
        self.thorough: list[bool] = []
        self.writer = Writer(
            path,
            self.open,
            self.opened.append,
            self.facts.append,
            pace_s=0.0,
            patience_s=DEADLINE_S,
            retry_first_s=0.001,
            jitter=lambda: 0.0,
        )
        self.task: asyncio.Task[None] | None = None
        self.done: list[tuple[str, PluginError | None]] = []

    def open(self, is_thorough: bool) -> Opened:
        """The opener."""
        self.thorough.append(is_thorough)
        if self.open_error is not None:
            raise self.open_error
        store = StubbornStore.open(self.path, create=True)
        assert isinstance(store, StubbornStore)
        store.rig = self
        return Opened(store, Store.open(self.path), [], 0)

    def start(self, *, patience_s: float = DEADLINE_S) -> None:
        """Run it."""
        self.writer._patience_s = patience_s
        self.task = asyncio.create_task(self.writer.run())

    def put(self, name: str, *, events: int = 1) -> None:
        """A job that leaves its name in the file and in `done`."""

        def job(store: Store) -> None:
            store.add_delivered([Block(name, 0, [b"x" * 16], [EventIdentity(None, 0, 0, None, None)])])

        self.writer.put(job, lambda error: self.done.append((name, error)), events=events)

    def written(self) -> list[str]:
        """The names in the file, in order."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute(
                "SELECT name FROM delivered JOIN streams ON streams.id = stream ORDER BY number"
            )
            return [name for (name,) in rows.fetchall()]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.task is None or not self.task.done() or self.task.result()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    def troubles(self) -> list[type[PluginError]]:
        """What was reported."""
        return [type(fact.error) for fact in self.facts if isinstance(fact, StateTrouble)]

    def contained(self) -> list[type[Exception]]:
        """What nobody foresaw."""
        return [type(fact.error) for fact in self.facts if isinstance(fact, InternalError)]


@pytest.fixture
async def rig(path: Path) -> AsyncIterator[Rig]:
    """A writer that is not running yet."""
    rig = Rig(path)
    yield rig
    rig.may_commit.set()
    if rig.task is not None:
        rig.task.cancel()
        await asyncio.gather(rig.task, return_exceptions=True)
    await rig.writer.close(DEADLINE_S)
    for opened in rig.opened:
        opened.reader.close()


# --- all is well ---------------------------------------------------------------------------------


async def test_jobs_are_committed_and_told_in_order(rig: Rig) -> None:
    """Those that came before the file was open too."""
    names = [f"{number:03}" for number in range(100)]
    for name in names[:50]:
        rig.put(name)
    rig.start()
    for name in names[50:]:
        await asyncio.sleep(0)
        rig.put(name)
    await rig.until(lambda: len(rig.done) == 100)
    assert rig.done == [(name, None) for name in names]
    assert rig.written() == names
    assert rig.facts == [StateOpened(str(rig.path), 0)]
    assert rig.writer.error is None


async def test_nothing_is_told_before_it_is_on_the_disk(rig: Rig) -> None:
    """A job is done when another connection can read what it wrote."""
    rig.start()
    seen: list[list[str]] = []
    rig.writer.put(lambda store: None, lambda error: seen.append(rig.written()))
    rig.put("a")
    rig.writer.put(lambda store: None, lambda error: seen.append(rig.written()))
    await rig.until(lambda: len(seen) == 2)
    assert seen[-1] == ["a"]
    rig.may_commit.clear()
    rig.put("b")
    await rig.until(rig.waiting.is_set)
    await asyncio.sleep(0.02)
    assert rig.done == [("a", None)]


async def test_what_waits_is_committed_together(rig: Rig) -> None:
    """A slow disk makes larger commits, not a longer queue."""
    rig.start()
    await rig.until(lambda: rig.opened)
    rig.may_commit.clear()
    rig.put("first")
    await rig.until(rig.waiting.is_set)
    for number in range(500):
        rig.put(f"{number}")
    rig.may_commit.set()
    await rig.until(lambda: len(rig.done) == 501)
    assert rig.commits == 2


async def test_rows_of_many_puts_are_few_statements(rig: Rig) -> None:
    """Of one key the last one counts, and what is put before and after a job stays so."""
    rig.start()
    await rig.until(lambda: rig.opened)
    ran: list[str] = []
    rig.opened[0].store._connection.set_trace_callback(ran.append)
    done: list[int] = []
    for number in range(50):
        rows = {("s", "a"): b"%d" % number, ("s", str(number)): b"x"}
        rig.writer.keep("combined", rows, lambda error, number=number: done.append(number))  # type: ignore[misc]
    between: list[dict[tuple[str, str], bytes]] = []
    rig.writer.put(lambda store: between.append(store.rows("combined")))
    rig.writer.keep("combined", {("s", "a"): None}, lambda error: done.append(50))
    await rig.until(lambda: len(done) == 51)
    assert between == [{("s", "a"): b"49", **{("s", str(number)): b"x" for number in range(50)}}]
    assert done == list(range(51))
    assert ("s", "a") not in await rig.writer.call(lambda store: store.rows("combined"))
    changes = [words[0] for words in map(str.split, ran) if "combined" in words and words[0] != "SELECT"]
    assert changes == ["INSERT", "DELETE"]


async def test_a_call_returns_what_the_job_found(rig: Rig) -> None:
    """After the commit."""
    rig.start()
    rig.put("a")
    assert await rig.writer.call(lambda store: store.resets()) == {"a": 0}


async def test_who_no_longer_waits_for_a_call_does_no_harm(rig: Rig) -> None:
    """The job is done all the same."""
    rig.start()
    rig.may_commit.clear()
    call = asyncio.ensure_future(rig.writer.call(lambda store: store.resets()))
    await rig.until(rig.waiting.is_set)
    call.cancel()
    rig.may_commit.set()
    rig.put("a")
    await rig.until(lambda: rig.done)
    assert call.cancelled()


# --- trouble -------------------------------------------------------------------------------------


async def test_when_a_commit_fails_everybody_is_answered(rig: Rig) -> None:
    """Nobody waits for a full disk: neither what was in the commit nor what came behind it."""
    rig.start()
    await rig.until(lambda: rig.opened)
    rig.may_commit.clear()
    rig.commit_error = StateDiskFull("full")
    rig.put("a")
    rig.put("b", events=0)
    await rig.until(rig.waiting.is_set)
    rig.put("c")
    rig.may_commit.set()
    await rig.until(lambda: len(rig.done) == 3)
    assert rig.done == [("a", rig.commit_error), ("b", rig.commit_error), ("c", rig.commit_error)]
    assert rig.writer.error is rig.commit_error
    assert rig.written() == []
    with pytest.raises(StateDiskFull):
        await rig.writer.call(lambda store: None)


async def test_after_trouble_what_is_worth_it_is_written_late(rig: Rig) -> None:
    """Events that were delivered meanwhile are remembered then, in their order; each is told once."""
    rig.start()
    rig.commit_error = StateDiskFull("full")
    rig.put("a")
    rig.put("not worth it", events=0)
    await rig.until(lambda: len(rig.done) == 2)
    rig.put("b")
    rig.put("not worth it either", events=0)
    assert len(rig.done) == 4
    rig.commit_error = None
    await rig.until(lambda: rig.writer.error is None)
    rig.put("c")
    await rig.until(lambda: len(rig.done) == 5)
    assert rig.written() == ["a", "b", "c"]
    assert rig.facts[-1] == StateRecovered(str(rig.path))
    assert len(rig.opened) >= 2


async def test_trouble_does_not_pile_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is written late there is a bound: the last events."""
    monkeypatch.setattr(writer_module, "BACKLOG_EVENTS", 3)
    rig.start()
    rig.commit_error = StateDiskFull("full")
    for name in "abcdef":
        rig.put(name)
        await rig.until(lambda: rig.writer.error)
    rig.commit_error = None
    await rig.until(lambda: rig.writer.error is None)
    assert rig.written() == ["d", "e", "f"]


async def test_a_file_that_cannot_be_opened_at_first_is_tried_again(rig: Rig) -> None:
    """And everybody is answered meanwhile; trouble with opening is reported each time."""
    rig.open_error = StateUnusable("no")
    rig.put("a", events=0)
    rig.start()
    await asyncio.wait_for(rig.writer.decided.wait(), DEADLINE_S)
    assert rig.done == [("a", rig.open_error)]
    await rig.until(lambda: len(rig.troubles()) > 2)
    rig.open_error = None
    await rig.until(lambda: rig.writer.error is None)
    assert rig.facts[-1] == StateRecovered(str(rig.path))
    rig.put("b")
    await rig.until(lambda: len(rig.done) == 2)
    assert rig.written() == ["b"]


async def test_a_lock_held_by_another_ends_it_at_first(rig: Rig) -> None:
    """That is a wrong configuration."""
    rig.open_error = StateInUse("in use")
    rig.start()
    assert rig.task is not None
    with pytest.raises(StateInUse):
        await asyncio.wait_for(rig.task, DEADLINE_S)
    rig.task = None


async def test_a_lock_lost_later_is_trouble_like_any_other(rig: Rig) -> None:
    """A running process goes on."""
    rig.start()
    await rig.until(lambda: rig.opened)
    rig.commit_error = StateDiskFull("full")
    rig.open_error = StateInUse("in use")
    rig.put("a")
    await rig.until(lambda: StateInUse in rig.troubles())
    rig.commit_error = rig.open_error = None
    await rig.until(lambda: rig.writer.error is None)
    assert rig.written() == ["a"]


async def test_a_disk_that_hangs_holds_nobody_up(rig: Rig) -> None:
    """After the patience everybody is answered; when the disk answers at last, all is well again."""
    rig.start()
    await rig.until(lambda: rig.opened)
    rig.writer._patience_s = 0.05
    rig.may_commit.clear()
    rig.put("a")
    rig.put("b")
    await rig.until(lambda: len(rig.done) == 2)
    error = rig.writer.error
    assert isinstance(error, StateSlow)
    assert [type(error) for _, error in rig.done] == [StateSlow, StateSlow]
    rig.put("c")
    assert len(rig.done) == 3
    rig.may_commit.set()
    await rig.until(lambda: rig.writer.error is None)
    await rig.until(lambda: rig.written() == ["a", "b", "c"])
    assert len(rig.done) == 3
    assert rig.facts[1:] == [StateTrouble(str(rig.path), error, None), StateRecovered(str(rig.path))]


async def test_damage_that_a_reader_finds_opens_the_file_anew(rig: Rig) -> None:
    """And then all of it is looked at."""
    rig.start()
    await rig.until(lambda: rig.opened)
    rig.writer.suspect(StateCorrupt("malformed"))
    rig.writer.suspect(StateCorrupt("again"))
    await rig.until(lambda: len(rig.opened) == 2)
    await rig.until(lambda: rig.writer.error is None)
    assert rig.troubles() == [StateCorrupt]
    assert rig.thorough == [False, True]


async def test_a_bug_in_a_job_costs_that_job(rig: Rig) -> None:
    """It is not taken for trouble with the disk, the other jobs are done, and it is told."""
    rig.put("a")
    rig.writer.put(lambda store: 1 / 0, lambda error: rig.done.append(("bug", error)), events=1)
    rig.put("b")
    rig.start()
    await rig.until(lambda: len(rig.done) == 3)
    assert [(name, type(error)) for name, error in rig.done] == [
        ("a", type(None)),
        ("bug", StateValueRefused),
        ("b", type(None)),
    ]
    assert rig.contained() == [ZeroDivisionError]
    assert rig.written() == ["a", "b"]
    assert rig.troubles() == []


async def test_a_value_that_sqlite_does_not_take_costs_its_job(rig: Rig) -> None:
    """Of all that would be committed with it, nothing else; it is not tried again, and it is told."""
    rig.put("a")
    rig.writer.put(lambda store: store.remove_letter(2**70), lambda error: rig.done.append(("big", error)), events=1)
    rig.put("b")
    rig.start()
    await rig.until(lambda: len(rig.done) == 3)
    assert [type(error) for _, error in rig.done] == [type(None), StateValueRefused, type(None)]
    assert rig.contained() == [OverflowError]
    assert rig.written() == ["a", "b"]
    assert rig.troubles() == []


async def test_a_bug_in_who_waits_costs_nobody_else(rig: Rig) -> None:
    """The others are answered, and it is told."""

    def fail(error: PluginError | None) -> None:
        raise LookupError("bug")

    rig.writer.put(lambda store: None, fail)
    rig.put("a")
    rig.start()
    await rig.until(lambda: rig.done)
    assert rig.done == [("a", None)]
    assert rig.contained() == [LookupError]


async def test_closing_gives_up_a_disk_that_hangs(rig: Rig) -> None:
    """The process must end."""
    rig.start()
    await rig.until(lambda: rig.opened)
    rig.may_commit.clear()
    rig.put("a")
    await rig.until(rig.waiting.is_set)
    assert rig.task is not None
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)
    await asyncio.wait_for(rig.writer.close(0.02), DEADLINE_S)
    assert rig.done == []


async def test_what_nobody_foresaw_is_trouble_like_any_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is opened anew, and what was about to be written is written then."""
    rig.start()
    await rig.until(lambda: rig.opened)
    recovered = rig.writer._recovered

    def trip() -> None:
        monkeypatch.setattr(rig.writer, "_recovered", recovered)
        raise ReferenceError

    monkeypatch.setattr(rig.writer, "_recovered", trip)
    rig.put("a")
    rig.put("b")
    await rig.until(lambda: len(rig.opened) == 2 and rig.writer.error is None)
    assert rig.contained() == [ReferenceError]
    assert rig.troubles() == [StateUnusable]
    assert {name for name, _ in rig.done} == {"a", "b"}
