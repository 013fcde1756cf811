"""Remembers what a tool delivers beside the daemon, in the daemon's state file: a `model.Delivered`.

The tool has its own connection, and does not take the daemon's lock.  Its transactions are the writer's group
commits, some milliseconds each, so neither waits for long.  It indexes most of what it adds, because a daemon loads
what is not indexed into memory when it starts.  When something cannot be remembered, `failed` has the error, and the
tool ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Fact
from fluent_plugin_amp.model import Delivery, Pending
from fluent_plugin_amp.state.indexing import INDEX_EVENTS, Indexing
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.writer import Opened, Writer

CLOSE_TIMEOUT_S = 5.0


class DeliveredByTool:
    """The state file, as a tool uses it.  The file must be there.

    Args:
        path: of the state file.
        clock: seconds since the epoch.
    """

    wants_facts = True

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the error when something cannot be remembered."""
        self._clock = clock
        self._added = 0
        self._writer = Writer(path, lambda is_thorough: _open(path), _close_reader, _ignore)
        self._indexing = Indexing(self._writer)
        self._task = asyncio.create_task(self._writer.run(), name="state")

    def contains(self, stream: str, digest: bytes) -> bool:
        """Part of `Delivered`: False.  The tool leaves known events out before; a body's bytes tell nothing here."""
        return False

    def record(self, deliveries: list[Delivery]) -> Pending:
        """Part of `Delivered`: remember these; pending until the commit."""
        pending = Pending()
        self._writer.remember(deliveries, int(self._clock()), partial(self._recorded, len(deliveries), pending))
        return pending

    async def close(self) -> None:
        """Close the file.  What was not committed is not remembered."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._writer.close(CLOSE_TIMEOUT_S)
        self.failed.cancel()

    def _recorded(self, events: int, pending: Pending, error: PluginError | None) -> None:
        if error is None:
            self._added += events
            if self._added >= INDEX_EVENTS and not self._indexing.is_running:
                self._added = 0
                self._indexing.begin()
            pending.is_safe_now()
        elif not self.failed.done():
            self.failed.set_exception(error)


def _open(path: Path) -> Opened:
    """Open the file, in the thread."""
    return Opened(Store.open(path), Store.open(path), [], 0)


def _close_reader(opened: Opened) -> None:
    opened.reader.close()


def _ignore(fact: Fact) -> None:
    """Nobody needs the fact: the error is raised where the tool waits."""
