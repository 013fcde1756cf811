"""A consumer that the broker has forgotten without a word.  Pure.

A broker tells when it cancels a consumer.  RabbitMQ 3.10 was seen not to, now and then, when a quorum queue was
deleted and declared again within milliseconds: channel and connection stay open, messages wait, and none comes.

A look's answer may overtake what the broker sends, but only by a moment.  So messages that wait, look after look,
while nothing is under way to their only consumer, are not on their way.
"""

from __future__ import annotations

LOOKS = 3


class Starvation:
    """The looks of one channel at its queue."""

    def __init__(self) -> None:
        self._looks = 0
        self._progress_at: float | None = None

    def looked(self, *, messages: int, consumers: int, idle: bool, progress_at: float) -> bool:
        """Whether the consumer is forgotten, after one more look.

        Args:
            messages: that wait in the queue.
            consumers: of the queue; with others it may be their turn.
            idle: it consumes, and holds nothing.
            progress_at: when anything was acked last, of any clock.
        """
        starves = messages > 0 and consumers <= 1 and idle and progress_at == self._progress_at
        self._progress_at = progress_at
        self._looks = self._looks + 1 if starves else 0
        return self._looks >= LOOKS
