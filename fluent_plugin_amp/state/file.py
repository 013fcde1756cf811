"""The state file of a daemon: lock, writer, what was delivered and the letters kept, as one part.

It is opened before the first event is consumed.  When another process has it, the daemon does not start.  Any other
trouble with the file, then or later, is reported and tried again, and events are delivered without it meanwhile:
`StateFile.error`.

Damage is set aside: garbled rows within the file (`valid_rows`), and a damaged file beside itself (`salvage`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from fluent_plugin_amp.containment import keep_running
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.state.database import tighten
from fluent_plugin_amp.state.dead_letters import KeptDeadLetters, Post
from fluent_plugin_amp.state.delivered import FileDelivered
from fluent_plugin_amp.state.errors import StateCorrupt
from fluent_plugin_amp.state.lock import Lock
from fluent_plugin_amp.state.rows import KeptRows
from fluent_plugin_amp.state.salvage import aside_file, can_be_replaced, replace
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.translate import SET_ASIDE_REMEDY, garbled_rows
from fluent_plugin_amp.state.writer import Opened, Writer


class StateFile:
    """The state file in use by a daemon, with its tasks.

    Args:
        path: of the file; its folder must be there.
        remember_s: how long, in seconds, what was delivered is remembered.
        observer: told of trouble, recovery and letters.
        post: sends a dead letter.
        is_available: whether a server is there to take a letter; by default none ever is.
        on_reset: called with the name of a stream that a tool had the file forget.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        remember_s: float,
        observer: Observer,
        *,
        post: Post = lambda delivery, error: None,
        is_available: Callable[[], bool] = lambda: False,
        on_reset: Callable[[str], None] = lambda stream: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._observer = observer
        self._lock = Lock(path)
        self.writer = Writer(path, self._open, self._opened, observer)
        self.delivered = FileDelivered(self.writer, remember_s, on_reset=on_reset, clock=clock)
        self.dead_letters = KeptDeadLetters(self.writer, observer, post, is_available)
        self.combined = KeptRows(self.writer, "combined")
        """What combined records are made from."""
        self.kept = KeptRows(self.writer, "kept")
        """What the parts of the daemon keep, each under a source of its own."""
        self.task: asyncio.Task[None] | None = None
        """The task of the file, from `start` on; it ends only by a fault of our own."""

    @property
    def error(self) -> PluginError | None:
        """Why the file is not in use at the moment."""
        return self.writer.error

    async def start(self) -> None:
        """Open the file, or report what prevents it.

        Raises:
            StateInUse: another process has it.
        """
        self.task = asyncio.create_task(self._run(), name="state")
        decided = asyncio.create_task(self.writer.decided.wait())
        await asyncio.wait({self.task, decided}, return_when=asyncio.FIRST_COMPLETED)
        decided.cancel()
        if self.task.done():
            self.task.result()

    async def close(self, timeout_s: float) -> None:
        """Commit what waits, and close; wait at most ``timeout_s`` for a disk that hangs."""
        if self.task is not None and not self.task.done():
            if self.error is None:
                flushed = asyncio.ensure_future(self.writer.call(lambda store: None))
                await asyncio.wait({flushed, self.task}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                flushed.cancel()
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.delivered.close()
        await self.writer.close(timeout_s)
        self._lock.release()

    async def _run(self) -> None:
        parts = (self.writer.run, self.delivered.run, self.dead_letters.run)
        await _together(
            *(partial(keep_running, "state", part, self._observer, ends_with=(PluginError,)) for part in parts)
        )

    def _open(self, is_thorough: bool) -> Opened:
        """Open the file, in the thread."""
        self._lock.acquire()
        was_open_to_others = tighten(self.path)
        try:
            opened = self._open_store(is_thorough)
        except StateCorrupt as error:
            if not (is_thorough and can_be_replaced(self.path)):
                raise
            replace(self.path)
            opened = self._open_store(is_thorough=False)
            what = f"{error}; what could be read was taken over, and the file is kept as {aside_file(self.path)}"
            opened.set_aside.append(StateCorrupt(what, remedy=SET_ASIDE_REMEDY))
        opened.was_open_to_others = was_open_to_others
        return opened

    def _open_store(self, is_thorough: bool) -> Opened:
        store = Store.open(self.path, create=True)
        try:
            if is_thorough:
                store.check_integrity()
            with store.transaction():
                store.check_writable()
            garbled = [
                garbled_rows(self.path, table, count)
                for table, count in store.set_garbled_aside(all_of_it=is_thorough).items()
            ]
            return Opened(store, Store.open(self.path), store.unindexed(), store.count_letters(), garbled)
        except BaseException:
            store.close()
            raise

    def _opened(self, opened: Opened) -> None:
        self.delivered.opened(opened)
        self.dead_letters.opened(opened)


async def _together(*parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run all until one ends with an exception, or this is cancelled."""
    tasks = [asyncio.ensure_future(part()) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
