"""The rate of one stream: now, and minute by minute over the last hour.  Pure.

It takes a few hundred bytes for each stream, however much that delivers.
"""

from __future__ import annotations

from collections import deque

MINUTE_S = 60.0
MINUTES = 60
RATE_OVER_S = 30.0


class History:
    """Samples of a count that only grows.

    Args:
        total: the count at the beginning.
        now: seconds, of a clock that all samples share.
    """

    def __init__(self, total: int, now: float) -> None:
        self.minutes: deque[int] = deque(maxlen=MINUTES)
        """The count of each whole minute, the latest last."""
        self._minute_began_at = now
        self._minute_began_with = total
        self._recent: deque[tuple[float, int]] = deque([(now, total)])

    def sample(self, total: int, now: float) -> None:
        """Note the count at ``now``."""
        while now - self._minute_began_at >= MINUTE_S:
            # a minute without a sample gets the count of the first sample after its end
            self.minutes.append(total - self._minute_began_with)
            self._minute_began_with = total
            self._minute_began_at += MINUTE_S
        self._recent.append((now, total))
        while len(self._recent) > 2 and now - self._recent[1][0] >= RATE_OVER_S:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Events a second, over the last half minute or a little more."""
        (since, before), (now, total) = self._recent[0], self._recent[-1]
        return (total - before) / (now - since) if now > since else 0.0
