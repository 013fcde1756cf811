"""What waits in a stream's queue, as far as can be told without taking it out.  Pure.

The broker tells how many messages wait, not how old they are.  What is waiting came after the queue was last seen
empty, and after the newest event that was received (a queue is first in, first out), so the age given is that of the
later of the two: an upper bound, and a close one while events flow.  Of a queue that was never seen empty and gave
nothing yet only a lower bound is known: how long this process has been looking at it.  What the broker took back is
older than it seems, by as long as it was held here.

A queue is looked at every few seconds or minutes.  What was received since the last look waits no more, so it is
taken off: when all that was seen has been received, nothing is known to wait.
"""

from __future__ import annotations

from collections import deque

TREND_S = 60.0
"""The queue is said to grow or to shrink by what it did over this time."""
TREND_LEAST_S = 4.0


class Backlog:
    """The looks at one queue.  Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._messages: int | None = None
        self._received = 0
        self._first_look_at = 0.0
        self._empty_at = 0.0
        self._looks: deque[tuple[float, int]] = deque()

    def looked(self, messages: int, now: float, *, received: int = 0) -> None:
        """So many messages were ready ``now``, when ``received`` had been received since the start."""
        self._messages = messages
        self._received = received
        self._first_look_at = self._first_look_at or now
        if messages == 0:
            self._empty_at = now
        while self._looks and now - self._looks[0][0] > TREND_S:
            self._looks.popleft()
        self._looks.append((now, messages))

    def lost(self) -> None:
        """The connection is gone: nobody knows what waits."""
        self._messages = None
        self._looks.clear()

    def turned(self) -> None:
        """The stream consumes again: where the queue went before says nothing of where it goes now."""
        self._looks.clear()

    def messages(self, *, received: int = 0) -> int | None:
        """Ready in the queue, that is not delivered to anybody; None: not known now.

        ``received`` have been received by now.
        """
        return None if self._messages is None else max(0, self._messages - (received - self._received))

    def oldest_age_s(self, newest_event_at: float, now: float, *, received: int = 0) -> float | None:
        """How long the oldest message has been waiting; 0 when none waits, None when that is not known.

        ``newest_event_at`` is the latest event time received; 0 for none.
        """
        messages = self.messages(received=received)
        if not messages:
            return None if messages is None else 0.0
        return max(0.0, now - (max(self._empty_at, newest_event_at) or self._first_look_at))

    @property
    def growth_per_s(self) -> float | None:
        """Messages a second by which the queue grows, less than 0 when it shrinks; None when that is not known."""
        if not self._looks or self._looks[-1][0] - self._looks[0][0] < TREND_LEAST_S:
            return None
        (since, before), (now, messages) = self._looks[0], self._looks[-1]
        return (messages - before) / (now - since)
