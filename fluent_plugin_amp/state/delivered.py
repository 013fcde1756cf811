"""What was delivered, remembered in the state file: a `model.Delivered`.

An event is known from `record` on: first by the digests in memory, later by the file's index.  The memory holds two
generations.  When the young one has `INDEX_EVENTS` it becomes the old one, and the file indexes what was added.  The
old generation goes only after that.  While the file is in trouble it goes without an index: then only the latest
events are known, as in a memory without a file.

Lookups are for redelivered events only, and take some microseconds, so they read the file on the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.model import Delivery, Pending
from fluent_plugin_amp.state.errors import StateSlow, StateUnusable
from fluent_plugin_amp.state.indexing import INDEX_EVENTS, Indexing
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.writer import Opened, Writer

PRUNE_EVERY_S = 30.0


class FileDelivered:
    """Remembers what was delivered, in memory and in the state file.

    Args:
        writer: of the state file.
        remember_s: how long, in seconds, what was delivered is remembered.
        on_reset: called with the name of a stream that a tool had the file forget.
        clock: seconds since the epoch.
    """

    wants_facts = True

    def __init__(
        self,
        writer: Writer,
        remember_s: float,
        *,
        on_reset: Callable[[str], None] = lambda stream: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._remember_s = remember_s
        self._clock = clock
        self._reader: Store | None = None
        self._young: dict[str, set[bytes]] = {}
        self._old: dict[str, set[bytes]] = {}
        self._young_events = 0
        self._indexing = Indexing(writer)
        self._resets: dict[str, int] | None = None
        self._on_reset = on_reset

    def opened(self, opened: Opened) -> None:
        """The file was opened, for the first time or again."""
        self.close()
        self._reader = opened.reader
        for stream, digests in opened.unindexed:
            self._young.setdefault(stream, set()).update(digests)
            self._young_events += len(digests)

    def close(self) -> None:
        """Read no more from the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- Delivered ---------------------------------------------------------------------------------------------

    def contains(self, stream: str, digest: bytes) -> bool:
        """Part of `Delivered`: whether this event was delivered."""
        if digest in self._young.get(stream, ()) or digest in self._old.get(stream, ()):
            return True
        # A disk that hangs must not hang the loop; with any other trouble, reading may still work.
        if self._reader is None or isinstance(self._writer.error, StateSlow):
            return False
        try:
            return self._reader.contains(stream, digest)
        except StateUnusable as error:
            self.close()
            self._writer.suspect(error)
            return False

    def record(self, deliveries: list[Delivery]) -> Pending:
        """Part of `Delivered`: pending until the commit, or until trouble prevents it."""
        for delivery in deliveries:
            young = self._young.get(delivery.stream)
            if young is None:
                young = self._young[delivery.stream] = set()
            young.add(delivery.digest)
        self._young_events += len(deliveries)
        pending = Pending()
        self._writer.remember(deliveries, int(self._clock()), lambda error: pending.is_safe_now())
        if self._young_events >= INDEX_EVENTS and not self._indexing.is_running:
            self._begin_indexing()
        return pending

    def _begin_indexing(self) -> None:
        self._young_events = 0
        self._old, self._young = self._young, {}
        self._indexing.begin()

    # --- housekeeping ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Forget what is too old, again and again, until cancelled."""
        while True:
            try:
                self._forget_reset(await self._writer.call(Store.resets))
                await self._prune()
            except PluginError:
                pass  # the writer has reported it
            await asyncio.sleep(PRUNE_EVERY_S)

    async def _prune(self) -> None:
        """Forget in steps; in between, what was delivered meanwhile is committed."""
        after: int | None = 0
        while after is not None:
            now = self._clock()
            after = await self._writer.call(
                partial(Store.prune, before=int(now - self._remember_s), now=int(now), after=after)
            )

    def _forget_reset(self, resets: dict[str, int]) -> None:
        """Forget the streams that a tool made the file forget."""
        for stream, count in resets.items():
            if self._resets is not None and count != self._resets.get(stream, 0):
                self._young.pop(stream, None)
                self._old.pop(stream, None)
                self._on_reset(stream)
        self._resets = resets
