"""Records that no broker delivers, through conductor and sink: of a file, of the cloud, of the plugin itself.

The place of the AMQP channel is taken by a `Feed`: it hands in bodies as deliveries, holds back while too many are
unresolved, and knows up to which one everything is safe.
"""

from __future__ import annotations

import asyncio
import time

from fluent_plugin_amp.errors import NoProgress
from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.conductor import Conductor

MAX_UNRESOLVED = 2000
FEED_STEP = 100
"""Records handed in between two turns of the loop."""
LOOK_EVERY_S = 1.0
"""Without patience, how often a feed that waits looks whether there is anything left to wait for."""


class Feed:
    """A ledger (`model.Ledger`) that is fed by hand.

    Args:
        conductor: where the records go.
        stream: the line of the conductor whose transforms they get.
        max_held_bytes: `put` waits while the conductor holds more.
        max_own_bytes: `put` waits while it holds more of these; None: they may take all of ``max_held_bytes``.
        patience_s: after so long in which no record became safe, `NoProgress` is raised.  None: the servers may be
            away for as long as they like, as they may for a daemon.
    """

    def __init__(
        self,
        conductor: Conductor,
        stream: str,
        *,
        max_held_bytes: int,
        max_own_bytes: int | None = None,
        patience_s: float | None = None,
    ) -> None:
        self.closed = False
        """Nobody waits for these records any more; whoever sets it calls `Conductor.forget_requeued`."""
        self.fed = 0
        self.resolved = 0
        self.safe = 0
        """How many records are resolved, counted from the first one to the first gap."""
        self._ahead: set[int] = set()  # resolved, beyond the first gap
        self._conductor = conductor
        self._stream = stream
        self._max_held_bytes = max_held_bytes
        self._max_own_bytes = max_held_bytes if max_own_bytes is None else max_own_bytes
        self._patience_s = patience_s
        self._progress = asyncio.Event()

    def resolve(self, delivery_tag: int) -> None:
        """A record is safe, or dropped on purpose."""
        if delivery_tag <= self.safe:
            return  # it was given up as lost
        self.resolved += 1
        self._ahead.add(delivery_tag)
        while self.safe + 1 in self._ahead:
            self.safe += 1
            self._ahead.remove(self.safe)
        self._progress.set()

    async def put(
        self,
        body: bytes,
        facts: EventIdentity | None = None,
        *,
        received_at: float | None = None,
        perhaps_again: bool = False,
    ) -> None:
        """Hand in one record; waits while too much is on its way.

        Args:
            body: a JSON object.
            facts: remembered of a body that cannot be read as an event, and becomes a dead letter.
            received_at: the time of a record that has no ``timestamp`` or ``date``, in seconds since the epoch; None:
                now.
            perhaps_again: this body may have been delivered before, by this process or an earlier one: then it is not
                sent again.

        Raises:
            NoProgress
        """
        conductor = self._conductor
        while (
            self.fed - self.resolved >= MAX_UNRESOLVED
            or conductor.total_held_bytes > self._max_held_bytes
            or conductor.held_bytes(self._stream) > self._max_own_bytes
        ):
            await self._wait()
        self.fed += 1
        at = time.time() if received_at is None else received_at
        self._conductor.receive(
            Delivery(self._stream, self, self.fed, body, redelivered=perhaps_again, received_at=at, facts=facts)
        )
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
        """Until there is progress, or, without patience, for `LOOK_EVERY_S`: memory may be free again.

        Raises:
            NoProgress: there was none for too long; or a fault lost what this feed waits for.
        """
        before = self.resolved
        self._progress.clear()
        limit_s = LOOK_EVERY_S if self._patience_s is None else self._patience_s
        too_long = asyncio.get_running_loop().call_later(limit_s, self._progress.set)
        try:
            await self._progress.wait()
        finally:
            too_long.cancel()
        if self.resolved > before:
            return
        if self._patience_s is not None:
            raise NoProgress(f"no event was acknowledged for {self._patience_s:g} s")
        if self.resolved < self.fed and self._conductor.has_nothing_of(self._stream):
            self.resolved = self.safe = self.fed  # nobody will resolve them: whoever is told makes them again
            self._ahead.clear()
            raise NoProgress("a fault lost records that are not delivered")
