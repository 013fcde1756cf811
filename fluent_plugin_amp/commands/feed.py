"""Events that do not come from a broker, through the same conductor and sink: for `replay`, `backfill`, `reconcile`.

The place of the AMQP channel is taken by a `Feed`: it hands in bodies as deliveries, holds back while too many are
unresolved, and knows when the last one is safe.
"""

from __future__ import annotations

import asyncio
import time

from fluent_plugin_amp.errors import NoProgress
from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.conductor import Conductor

MAX_UNRESOLVED = 2000
FEED_STEP = 100
"""Events handed in between two turns of the loop."""


class Feed:
    """A ledger (`model.Ledger`) that is fed by hand.

    Args:
        conductor: where the events go.
        stream: whose transforms they get.
        max_held_bytes: `put` waits while the conductor holds more.
        patience_s: after so long in which no event became safe, `NoProgress` is raised.
    """

    def __init__(self, conductor: Conductor, stream: str, *, max_held_bytes: int, patience_s: float) -> None:
        self.closed = False
        self.fed = 0
        self.resolved = 0
        self.safe = 0
        """How many events are resolved, counted from the first one to the first gap."""
        self._ahead: set[int] = set()  # resolved, beyond the first gap
        self._conductor = conductor
        self._stream = stream
        self._max_held_bytes = max_held_bytes
        self._patience_s = patience_s
        self._progress = asyncio.Event()

    def resolve(self, delivery_tag: int) -> None:
        """An event is safe, or dropped on purpose."""
        self.resolved += 1
        self._ahead.add(delivery_tag)
        while self.safe + 1 in self._ahead:
            self.safe += 1
            self._ahead.remove(self.safe)
        self._progress.set()

    async def put(self, body: bytes, facts: EventIdentity | None = None) -> None:
        """Hand in one event; waits while too much is on its way.

        ``facts`` are remembered of a body that cannot be read as an event, and becomes a dead letter.

        Raises:
            NoProgress
        """
        while self.fed - self.resolved >= MAX_UNRESOLVED or self._conductor.total_held_bytes > self._max_held_bytes:
            await self._wait()
        self.fed += 1
        self._conductor.receive(Delivery(self._stream, self, self.fed, body, received_at=time.time(), facts=facts))
        if self.fed % FEED_STEP == 0:
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Wait until everything handed in is safe.

        Raises:
            NoProgress
        """
        while self.resolved < self.fed:
            await self._wait()

    async def _wait(self) -> None:
        self._progress.clear()
        try:
            await asyncio.wait_for(self._progress.wait(), self._patience_s)
        except asyncio.TimeoutError as exc:
            raise NoProgress(f"no event was acknowledged for {self._patience_s:g} s") from exc
