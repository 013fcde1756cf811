"""Entries into chunks: one open batch a tag, bounded in bytes and in count.  Pure.

There is no timer.  What arrives while earlier chunks are in flight becomes the next chunk, so latency is a
round trip when little comes, and chunks are large when much comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fluent_plugin_amp.model import Chunk, Delivery

MAX_ENTRIES = 10_000


class Batcher:
    """Collects entries and hands out chunks, the oldest first, so that no tag starves another.

    Args:
        limit_bytes: of packed entries in a chunk; a larger single entry makes a chunk of its own.
        new_id: makes the id of a chunk.
    """

    def __init__(self, limit_bytes: int, new_id: Callable[[], str], limit_entries: int = MAX_ENTRIES) -> None:
        self._limit_bytes = limit_bytes
        self._limit_entries = limit_entries
        self._new_id = new_id
        self._waiting: deque[Chunk] = deque()  # full or not, in the order in which they were opened
        self._open: dict[tuple[str, bool], Chunk] = {}  # those of them that still take entries
        self._open_bytes: dict[tuple[str, bool], int] = {}
        self.pending_bytes = 0
        """Packed entries that are in no chunk handed out yet."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, tag: str, entry: bytes, delivery: Delivery, *, is_dead_letter: bool = False) -> None:
        """Add one entry; dead letters never share a chunk with events, even under the same tag."""
        key = (tag, is_dead_letter)
        size = len(entry)
        chunk = self._open.get(key)
        if chunk is not None:
            size_after = self._open_bytes[key] + size
            if size_after <= self._limit_bytes and len(chunk.entries) < self._limit_entries:
                chunk.entries.append(entry)
                chunk.deliveries.append(delivery)
                self._open_bytes[key] = size_after
                self.pending_bytes += size
                return
        chunk = self._open[key] = Chunk(self._new_id(), tag, [entry], [delivery], is_dead_letter)
        self._waiting.append(chunk)
        self._open_bytes[key] = size
        self.pending_bytes += size

    def take(self) -> Chunk | None:
        """The next chunk to send; None when nothing waits."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        key = (chunk.tag, chunk.is_dead_letters)
        if self._open.get(key) is chunk:
            del self._open[key]
            del self._open_bytes[key]
        self.pending_bytes -= chunk.bytes
        return chunk

    def held(self) -> list[Chunk]:
        """The chunks that were not handed out yet."""
        return [*self._waiting]

    def discard_requeued(self) -> list[Delivery]:
        """Forget the entries of requeued deliveries; those deliveries, once for each entry."""
        chunks = list(self._waiting)
        self._waiting.clear()
        self._open.clear()
        self._open_bytes.clear()
        self.pending_bytes = 0
        discarded = []
        for chunk in chunks:
            for entry, delivery in zip(chunk.entries, chunk.deliveries, strict=True):
                if delivery.is_requeued:
                    discarded.append(delivery)
                else:
                    self.add(chunk.tag, entry, delivery, is_dead_letter=chunk.is_dead_letters)
        return discarded
