"""The unacked deliveries of one AMQP channel, and which acks to send for them.  Pure.

Theory of operation.  Delivery tags count up from 1 on each channel and mean nothing on any other, so a ledger
belongs to one channel and is closed with it: whatever is resolved afterwards is forgotten, since the broker
delivers those messages again.

Acks are coalesced.  A contiguous run of resolved tags from the oldest on is acked by one ``basic.ack`` with
``multiple``, which must name a tag that is itself still unacked (the broker closes the channel otherwise).
What is resolved behind an unresolved tag, a *hole*, waits `HOLE_PATIENCE_S` for the hole to close and is then
acked one by one, so that one slow event does not hold up hundreds until they are all delivered again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

HOLE_PATIENCE_S = 1.0


class Ack(NamedTuple):
    """One ``basic.ack``."""

    delivery_tag: int
    multiple: bool


class Ledger:
    """Which deliveries of a channel are unacked, and what may be acked of them.

    Args:
        on_resolved: called when a delivery was resolved and nothing else had been since the last `due`.
        on_acked: given the arrivals, ascending, of deliveries that an ack covers, and when it was made.
    """

    __slots__ = ("_on_acked", "_on_resolved", "_resolved", "_unacked", "_unclaimed", "closed")

    def __init__(
        self,
        on_resolved: Callable[[], None] = lambda: None,
        on_acked: Callable[[list[float], float], None] = lambda arrivals, now: None,
    ) -> None:
        self._on_resolved = on_resolved
        self._on_acked = on_acked
        self._unacked: dict[int, float] = {}  # delivery tag → arrival; in the order of the tags
        self._resolved: dict[int, float | None] = {}  # → when `due` first saw it behind a hole
        self._unclaimed = False
        self.closed = False

    @property
    def unacked(self) -> int:
        """Deliveries that no ack was made for yet."""
        return len(self._unacked)

    @property
    def unresolved(self) -> int:
        """Deliveries that are not safe yet."""
        return len(self._unacked) - len(self._resolved)

    def deliver(self, delivery_tag: int, now: float) -> None:
        """A delivery arrived; tags ascend."""
        self._unacked[delivery_tag] = now

    def resolve(self, delivery_tag: int) -> None:
        """Every part of this delivery is safe.  Ignored when the channel is closed."""
        if self.closed:
            return
        if delivery_tag not in self._unacked or delivery_tag in self._resolved:
            raise AssertionError(f"delivery tag {delivery_tag} was resolved twice, or never delivered")
        self._resolved[delivery_tag] = None
        if not self._unclaimed:
            self._unclaimed = True
            self._on_resolved()

    def due(self, now: float, hole_patience_s: float = HOLE_PATIENCE_S) -> list[Ack]:
        """The acks to send now; each delivery is covered by exactly one over the ledger's life.

        Without patience, before the channel is closed, everything that is resolved is acked.
        """
        self._unclaimed = False
        acks: list[Ack] = []
        last = 0
        run = 0
        resolved = self._resolved
        for tag in self._unacked:
            if tag not in resolved:
                break
            last = tag
            run += 1
        if run:
            self._on_acked(list(islice(self._unacked.values(), run)), now)
        if run == len(self._unacked):
            self._unacked.clear()
            resolved.clear()
        else:
            for tag in list(resolved) if run == len(resolved) else self._first(run):
                del self._unacked[tag]
                del resolved[tag]
        if run:
            acks.append(Ack(last, multiple=True))
        for tag in self._behind_hole(now, hole_patience_s):
            self._on_acked([self._unacked.pop(tag)], now)
            del resolved[tag]
            acks.append(Ack(tag, multiple=False))
        return acks

    def oldest_at(self) -> float | None:
        """When the oldest unacked delivery arrived."""
        return next(iter(self._unacked.values()), None)

    def close(self) -> int:
        """The channel is gone, and with it every tag.  Returns how many deliveries went back unacked."""
        requeued = len(self._unacked)
        self.closed = True
        self._unacked.clear()
        self._resolved.clear()
        return requeued

    def _first(self, count: int) -> list[int]:
        tags = iter(self._unacked)
        return [next(tags) for _ in range(count)]

    def _behind_hole(self, now: float, patience_s: float) -> list[int]:
        """Tags that waited behind a hole for long enough; starts the wait of the others."""
        waited = []
        for tag, since in self._resolved.items():
            if since is None:
                since = self._resolved[tag] = now
            if now - since >= patience_s:
                waited.append(tag)
        return sorted(waited)
