"""A round: as much as was in a queue when it was looked at first.  Pure.

With ``once`` a stream makes one round; with ``poll_interval`` it makes one after the other and rests in between, not
connected.  What arrives during a round is the next one's: a round has an end however many events come.

A round that others take events from ends when its queue is empty.  One look does not prove that: the channel process
of a RabbitMQ asks the queue out of turn, so the answer may overtake deliveries that are already under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fluent_plugin_amp.model import Counters

EMPTY_LOOKS = 3
"""So many looks in a row, without progress in between, prove that a queue is empty."""


@dataclass(slots=True)
class Round:
    """One round.  Times in seconds: ``began_at`` of a steady clock, ``pulled_at`` since the epoch."""

    began_at: float
    pulled_at: float
    before: Counters
    """What was counted of the stream before; a copy."""
    requeued_before: int = 0
    acked: int = 0
    """Deliveries acked to the broker."""
    wanted: int | None = None
    """Messages that were in the queue; None: nobody looked yet."""
    empty_looks: int = 0
    """In a row."""
    acked_at_look: int = 0
    is_over: bool = False
    """What is held is still to be delivered; nothing more is."""

    @classmethod
    def begin(cls, now: float, wall_now: float, counters: Counters, requeued_before: int = 0) -> Round:
        """A round that begins now."""
        return cls(now, wall_now, replace(counters), requeued_before)

    def looked(self, messages: int) -> None:
        """So many messages are ready on a new channel: with those acked, what the round is about.

        What a lost channel requeued is among them, also where it was acked and the ack was lost: it counts again.
        """
        self.wanted = max(self.wanted or 0, self.acked + messages)
        self.is_over = False

    def is_empty(self, messages: int, unacked: int) -> bool:
        """One more look at the queue, and what is under way; whether looks prove by now that no more will come."""
        if messages or unacked:
            self.empty_looks = 0
        else:
            self.empty_looks = self.empty_looks + 1 if self.acked == self.acked_at_look else 1
            self.acked_at_look = self.acked
        return self.empty_looks >= EMPTY_LOOKS

    def has_all(self, unacked: int) -> bool:
        """As many as were there are acked, and nothing is under way."""
        return self.wanted is not None and self.acked >= self.wanted and not unacked

    def next_in_s(self, now: float, interval_s: float) -> float:
        """Until the next round, when one is to begin every ``interval_s``: at once after a long one."""
        return max(0.0, self.began_at + interval_s - now)
