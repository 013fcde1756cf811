"""Messages that went from a queue although nobody acked them.  Pure.

A quorum queue deletes, without a word, what was requeued more often than its delivery limit; queues delete what has
expired.  Neither is told to a consumer.  But what was in the queue at a look, or with us, and was not acked since,
must be there when the next channel opens: only that look is exact, since nothing is on its way to us then.

Other consumers take messages, too.  So nothing is expected where there was one, or where the broker may take an
earlier channel of ours for alive.
"""

from __future__ import annotations


class Vanished:
    """The messages of one queue."""

    def __init__(self) -> None:
        self._expected = 0

    def looked(self, *, messages: int, unacked: int, others: int) -> None:
        """So many are in the queue, and so many with us, and it has so many other consumers."""
        self._expected = 0 if others else messages + unacked

    def acked(self, deliveries: int) -> None:
        """So many will not be there any more."""
        self._expected = max(0, self._expected - deliveries)

    def left(self, unacked: int, *, consumed: bool) -> None:
        """The channel is gone; what was unacked goes back.

        Args:
            unacked: deliveries.
            consumed: there was a consumer to the end: as long as the broker knows it, nothing has gone back yet.
        """
        self._expected = max(self._expected, unacked) if consumed else 0

    def opened(self, *, messages: int, consumers: int) -> int:
        """The next channel is open, without a consumer yet: how many are missing."""
        missing = 0 if consumers else max(0, self._expected - messages)
        self._expected = 0
        return missing
