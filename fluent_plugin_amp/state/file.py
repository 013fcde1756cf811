"""The state file of a daemon: lock, writer, what was delivered and the letters kept, as one part.

Opened before the first event is consumed.  When another process has it, there is no start; whatever else is wrong
with the file, then or later, is reported and tried again while events are delivered without it: `StateFile.error`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.state.combined import KeptCombined
from fluent_plugin_amp.state.delivered import FileDelivered
from fluent_plugin_amp.state.letters import KeptLetters
from fluent_plugin_amp.state.lock import Lock
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.writer import Opened, Writer


class StateFile:
    """See the module.

    Args:
        path: of the file; its folder must be there.
        remember_s: how long what was delivered is remembered.
        observer: hears of trouble, recovery and letters.
        clock: seconds since the epoch.
    """

    def __init__(
        self, path: Path, remember_s: float, observer: Observer, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._lock = Lock(path)
        self.writer = Writer(path, self._open, self._opened, observer)
        self.delivered = FileDelivered(self.writer, remember_s, clock=clock)
        self.letters = KeptLetters(self.writer, observer)
        self.combined = KeptCombined(self.writer)
        self.task: asyncio.Task[None] | None = None
        """From `start` on; it ends only with an error of ours."""

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
        """Commit what waits, and close; a disk that hangs is given up after ``timeout_s``."""
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
        await _together(self.writer.run, self.delivered.run, self.letters.run)

    def _open(self, is_thorough: bool) -> Opened:
        """In the thread."""
        self._lock.acquire()
        store = Store.open(self.path, create=True)
        try:
            if is_thorough:
                store.check_integrity()
            with store.transaction():
                store.check_writable()
            return Opened(store, Store.open(self.path), store.unindexed(), store.count_letters())
        except BaseException:
            store.close()
            raise

    def _opened(self, opened: Opened) -> None:
        self.delivered.opened(opened)
        self.letters.opened(opened)


async def _together(*parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run all until one ends with an exception, or this is cancelled."""
    tasks = [asyncio.ensure_future(part()) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
