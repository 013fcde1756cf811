"""Everything that is written to the state file: one connection, a thread of its own, group commits.

Theory of operation.  The loop never waits for the disk.  It puts deliveries to remember, and other jobs, on a queue.
The thread commits whatever is on the queue as one transaction; then each ``done`` is called, in order.  Commits begin
at least `PACE_S` apart: under load a commit serves many jobs, and a lone one starts at once.

The thread shares the interpreter with a busy loop.  Each time that it needs the interpreter it may wait for
milliseconds.  So the usual commit, of nothing but deliveries, is a single statement.

Trouble (disk full, file damaged, or no answer within `PATIENCE_S`) holds nobody up.  Every job, waiting or new, is
answered with the error.  Jobs that hold events stay on the queue, up to `BACKLOG_EVENTS` events, the latest ones.
They are tried again when the file has been opened anew, or when the disk answers at last.  A value that SQLite does
not take is no trouble of the file: its job alone is answered with the error, and is not tried again.

The queue is bounded.  Without trouble, each event on it waits for its ack, so it holds no more than may be unacked at
the broker.  With trouble it holds `BACKLOG_EVENTS`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from fluent_plugin_amp.backoff import Outage, Pace
from fluent_plugin_amp.containment import contained
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import InternalError, Observer, StateOpened, StateRecovered, StateSetAside, StateTrouble
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.state.errors import StateCorrupt, StateInUse, StateSlow, StateUnusable, StateValueRefused
from fluent_plugin_amp.state.store import BLOCKS_AT_ONCE, Store
from fluent_plugin_amp.state.thread import CallThread
from fluent_plugin_amp.state.translate import FOREIGN, translate
from fluent_plugin_amp.state.values import blocks_of

PACE_S = 0.01
PATIENCE_S = 10.0
BACKLOG_EVENTS = 20_000
RETRY_FIRST_S = 1.0
RETRY_CAP_S = 30.0

Job = Callable[[Store], object]
"""Runs in the thread, within a transaction.  It runs again when that failed, so it must change nothing else."""

Rows = Mapping[tuple[str, str], bytes | None]
"""By stream or source, and name; None: the row is removed."""

Done = Callable[[PluginError | None], None]
"""Called on the loop: None when the job is committed."""

Result = TypeVar("Result")


@dataclass(slots=True)
class Opened:
    """What opening the file gave."""

    store: Store
    reader: Store
    """A second connection, for lookups on the loop; its user closes it."""
    unindexed: list[tuple[str, list[bytes]]]
    """Stream and digests that `Store.contains` does not find yet."""
    letters: int
    set_aside: list[StateCorrupt] = field(default_factory=list)
    """What was garbled, and where it is kept."""
    was_open_to_others: bool = False


@dataclass(slots=True, eq=False)
class _Item:
    job: Job | None
    done: Done
    events: int
    deliveries: Sequence[Delivery] = ()
    delivered_at: int = 0
    table: str = ""
    rows: Rows = field(default_factory=dict)
    """To be kept in ``table``."""
    is_answered: bool = False

    def answer(self, error: PluginError | None) -> None:
        if not self.is_answered:
            self.is_answered = True
            self.done(error)


class Writer:
    """Writes jobs to the state file, in a thread, in the order in which they come.

    Args:
        path: for messages.
        opener: opens the file, in the thread; given True, it looks for damage everywhere.
        on_opened: called on the loop each time that the file was opened.
        observer: hears of trouble and recovery.
    """

    def __init__(
        self,
        path: Path,
        opener: Callable[[bool], Opened],
        on_opened: Callable[[Opened], None],
        observer: Observer,
        *,
        pace_s: float = PACE_S,
        patience_s: float = PATIENCE_S,
        retry_first_s: float = RETRY_FIRST_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.error: PluginError | None = None
        """Why nothing is written at the moment."""
        self.decided = asyncio.Event()
        """The file was opened for the first time, or there is trouble."""
        self.file = path
        self._path = str(path)
        self._opener = opener
        self._on_opened = on_opened
        self._observer = observer
        self._pace_s = pace_s
        self._patience_s = patience_s
        self._pace = Pace(retry_first_s, RETRY_CAP_S)
        self._outage = Outage(time.monotonic, jitter)
        self._thread = CallThread("state")
        self._opened: Opened | None = None
        self._items: deque[_Item] = deque()
        self._queued_events = 0
        self._batch: list[_Item] = []  # in the thread now
        self._suspicion: StateUnusable | None = None
        self._wanted = asyncio.Event()

    # --- what others ask for -----------------------------------------------------------------------------------

    def remember(self, deliveries: Sequence[Delivery], delivered_at: int, done: Done) -> None:
        """Remember these as delivered, at ``delivered_at`` seconds since the epoch; ``done`` as with `put`."""
        self._put(_Item(None, done, len(deliveries), deliveries, delivered_at))

    def keep(self, table: str, rows: Rows, done: Done) -> None:
        """Keep rows of one of `store.OWNERS`; ``done`` as with `put`.  They are not tried again after trouble."""
        self._put(_Item(None, done, 0, table=table, rows=rows))

    def put(self, job: Job, done: Done = lambda error: None, *, events: int = 0) -> None:
        """Queue a job; ``done`` is called once, perhaps at once.

        Args:
            job: what to write.
            done: told of the commit, or of the error that prevents it.
            events: how many events the job holds; a job with events is tried again after trouble.
        """
        self._put(_Item(job, done, events))

    async def call(self, job: Callable[[Store], Result]) -> Result:
        """Queue a job, wait for its commit, and return its result.

        Raises:
            StateUnusable, StateInUse: there is trouble.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        results: list[Result] = []

        def done(error: PluginError | None) -> None:
            if committed.done():  # the caller was cancelled
                return
            if error is None:
                committed.set_result(None)
            else:
                committed.set_exception(error)

        self.put(lambda store: results.append(job(store)), done)
        await committed
        return results[-1]

    def _put(self, item: _Item) -> None:
        if self.error is None or item.events:
            self._items.append(item)
            self._queued_events += item.events
            self._wanted.set()
        if self.error is not None:
            self._answer(item, self.error)
            self._bound_backlog()

    def suspect(self, error: StateUnusable) -> None:
        """Open the file anew: a reader met this error."""
        if self.error is None and self._suspicion is None:
            self._suspicion = error
            self._wanted.set()

    def set_aside(self, error: StateCorrupt) -> None:
        """Report what was garbled, and where it is kept."""
        self._observer(StateSetAside(self._path, error))

    # --- life --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the file and write until cancelled.

        Raises:
            StateInUse: another process has the file when it is first opened; later that is trouble like any other.
        """
        while True:
            try:
                if self._opened is None:
                    await self._open()
                    self._wanted.set()
                else:
                    await self._serve(self._opened)
            except Exception as exc:  # trouble; or what nobody foresaw, whose domain is this file
                error = self._as_trouble(exc)
                if isinstance(error, StateInUse) and not self.decided.is_set():
                    raise
                retry_in_s = self._outage.failed(self._pace)
                self._fail(error, retry_in_s)
                await asyncio.sleep(retry_in_s)

    async def close(self, timeout_s: float) -> None:
        """Close the file, after `run` was cancelled; do not wait for a disk that hangs."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await asyncio.wait({self._thread.call(opened.store.close)}, timeout=timeout_s)
        self._thread.stop()

    async def _open(self) -> None:
        opened = await self._in_thread(partial(self._opener, isinstance(self.error, StateCorrupt)))
        self._opened = opened
        self._on_opened(opened)
        for error in opened.set_aside:
            self.set_aside(error)
        if self.error is None:
            self._observer(StateOpened(self._path, opened.letters, opened.was_open_to_others))
        elif not self._items:
            self._recovered()
        self.decided.set()

    async def _serve(self, opened: Opened) -> None:
        """Commit what comes until there is trouble."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._suspicion is not None:
                raise self._suspicion
            if not self._items:
                continue
            began = loop.time()
            self._batch, self._items, self._queued_events = list(self._items), deque(), 0
            refused = await self._in_thread(partial(_commit, opened.store, self._batch))
            self._recovered()
            committed, self._batch = self._batch, []
            for item, error in zip(committed, refused, strict=True):
                if error is not None and isinstance(error.__cause__, Exception):
                    self._observer(InternalError("state", error.__cause__))
                self._answer(item, error)
            await asyncio.sleep(began + self._pace_s - loop.time())

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        """Run it in the thread, and return its result; when that takes too long, answer all others with the error."""
        slow = StateSlow(f"{self._path}: no answer for {self._patience_s:g} s")
        too_long = asyncio.get_running_loop().call_later(self._patience_s, self._answer_all, slow, None)
        try:
            return await self._thread.call(function)
        except (*FOREIGN, OSError) as exc:
            raise translate(self.file, exc) from exc
        finally:
            too_long.cancel()

    def _answer(self, item: _Item, error: PluginError | None) -> None:
        """Answer one job; an exception of whoever hears it harms neither the file nor the other jobs."""
        with contained("state", self._observer):
            item.answer(error)

    # --- trouble -----------------------------------------------------------------------------------------------

    def _as_trouble(self, exc: Exception) -> PluginError:
        if isinstance(exc, PluginError):
            return exc
        self._observer(InternalError("state", exc))
        return StateUnusable(f"{self._path}: {type(exc).__name__}, which nobody foresaw")

    def _fail(self, error: PluginError, retry_in_s: float) -> None:
        """Close the file, answer every job, and keep those that are worth another try."""
        opened, self._opened = self._opened, None
        self._suspicion = None
        if opened is not None:
            self._thread.call(opened.store.close)
            if isinstance(error, StateCorrupt):  # it may be set aside: nothing may have it open
                opened.reader.close()
        self._items.extendleft(reversed(self._batch))
        self._batch = []
        self._answer_all(error, retry_in_s)

    def _answer_all(self, error: PluginError, retry_in_s: float | None) -> None:
        self.error = error
        self._observer(StateTrouble(self._path, error, retry_in_s))
        for item in [*self._batch, *self._items]:
            self._answer(item, error)
        self._items = deque(item for item in self._items if item.events)
        self._queued_events = sum(item.events for item in self._items)
        self._bound_backlog()
        self.decided.set()

    def _bound_backlog(self) -> None:
        while self._queued_events > BACKLOG_EVENTS:
            self._queued_events -= self._items.popleft().events

    def _recovered(self) -> None:
        self._outage.over()
        if self.error is not None:
            self.error = None
            self._observer(StateRecovered(self._path))


def _commit(store: Store, items: list[_Item]) -> list[StateValueRefused | None]:
    """Commit, in the thread, what was delivered, then the jobs: all of it or nothing.

    Returns for each job None, or the error of a job that fails by itself or has a value that SQLite does not take.
    """
    try:
        _commit_together(store, items)
    except (*FOREIGN, StateValueRefused) as exc:
        if len(items) > 1:
            return [refused for item in items for refused in _commit(store, [item])]
        is_said = isinstance(exc, StateValueRefused)
        refused = StateValueRefused(str(exc) if is_said else f"{store.path}: {type(exc).__name__}: {exc}")
        refused.__cause__ = exc.__cause__ if is_said else exc
        return [refused]
    return [None] * len(items)


def _commit_together(store: Store, items: list[_Item]) -> None:
    at = max(item.delivered_at for item in items)
    blocks = blocks_of((delivery for item in items for delivery in item.deliveries), at)
    is_more = any(item.job is not None or item.rows for item in items)
    if not is_more and len(blocks) <= BLOCKS_AT_ONCE:
        store.add_delivered(blocks)
        return
    with store.transaction():
        store.add_delivered(blocks)
        tables: dict[str, dict[tuple[str, str], bytes | None]] = {}
        for item in items:
            if item.rows:
                tables.setdefault(item.table, {}).update(item.rows)  # of many puts as few statements as of one
            if item.job is not None:
                _put_rows(store, tables)
                item.job(store)
        _put_rows(store, tables)


def _put_rows(store: Store, tables: dict[str, dict[tuple[str, str], bytes | None]]) -> None:
    """Put what is collected, and begin anew."""
    for table, rows in tables.items():
        store.put_rows(table, rows)
    tables.clear()
