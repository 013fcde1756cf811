"""A sink that sends nothing.  It takes everything, and counts by tag what would be sent."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from fluent_plugin_amp.model import Answer, Chunk, Outcome, ServerSnapshot

MAX_CHUNKS = 4


class DryRunSink:
    """A `run.build.ClosableSink`; every chunk is acked in the next turn of the loop."""

    available = True

    def __init__(self) -> None:
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self.records: Counter[str] = Counter()
        """By tag."""
        self.bytes: Counter[str] = Counter()
        """Of the records, packed; by tag."""
        self._taken: deque[Chunk] = deque()

    @property
    def room(self) -> int:
        """How many chunks it takes now."""
        return MAX_CHUNKS - len(self._taken)

    @property
    def in_flight(self) -> int:
        """Chunks taken and not counted yet."""
        return len(self._taken)

    def figures(self) -> tuple[ServerSnapshot, ...]:
        """No server."""
        return ()

    def send(self, chunk: Chunk) -> None:
        """Take a chunk."""
        self._taken.append(chunk)
        asyncio.get_running_loop().call_soon(self._count)

    def held(self) -> list[Chunk]:
        """Chunks taken and not counted yet."""
        return [*self._taken]

    def shed(self) -> None:
        """Nothing waits for long."""

    async def run(self) -> None:
        """Until cancelled."""
        self.on_change()
        await asyncio.get_running_loop().create_future()

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Nothing is left."""
        return []

    def _count(self) -> None:
        chunk = self._taken.popleft()
        self.records[chunk.tag] += len(chunk.entries)
        self.bytes[chunk.tag] += chunk.bytes
        self.on_answer(Answer(chunk, Outcome.ACKED))
        self.on_change()
