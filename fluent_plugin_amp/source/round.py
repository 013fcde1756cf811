"""A round: as much as was in a queue when it was looked at first.  Pure.

With ``once`` a stream makes one round; with ``poll_interval`` it makes one after the other and rests in between, not
connected.  What arrives during a round is the next one's: a round has an end however many events come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fluent_plugin_amp.model import Counters


@dataclass(slots=True)
class Round:
    """One round.  Times in seconds: ``began_at`` of a steady clock, ``pulled_at`` since the epoch."""

    began_at: float
    pulled_at: float
    before: Counters
    """What was counted of the stream before; a copy."""
    acked: int = 0
    """Deliveries acked to the broker."""
    wanted: int | None = None
    """Messages that were in the queue; None: nobody looked yet."""

    @classmethod
    def begin(cls, now: float, wall_now: float, counters: Counters) -> Round:
        """A round that begins now."""
        return cls(now, wall_now, replace(counters))

    def looked(self, messages: int) -> None:
        """So many messages are ready: what the round is about, when this is its first look."""
        if self.wanted is None:
            self.wanted = messages

    def has_all(self, unacked: int) -> bool:
        """As many as were there are acked, and nothing is under way."""
        return self.wanted is not None and self.acked >= self.wanted and not unacked

    def next_in_s(self, now: float, interval_s: float) -> float:
        """Until the next round, when one is to begin every ``interval_s``: at once after a long one."""
        return max(0.0, self.began_at + interval_s - now)
