"""How long to wait before the next try.  Pure: the time and the randomness are arguments.

`backoff_s` is one wait.  `Outage` counts the tries of one peer, file or task; the longer it fails, the longer are the
waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OUTAGE_LEAST_CAP_S = 1.0
OUTAGE_MOST_CAP_S = 30.0
STEADY_AFTER_S = 10.0
"""A connection that stood for so long ended the outage before it."""


def backoff_s(attempt: int, jitter: float, *, first_s: float = 0.2, cap_s: float = 30.0) -> float:
    """Seconds to wait before attempt number ``attempt`` (1 is the first retry).

    Doubles from ``first_s`` up to ``cap_s``.  ``jitter`` in 0 … 1 takes off up to half, so that many clients
    that lost the same peer do not return in step.
    """
    full = min(cap_s, first_s * 2.0 ** min(attempt - 1, 32))
    return full * (1.0 - 0.5 * jitter)


def outage_cap_s(outage_s: float) -> float:
    """The longest wait between two tries, ``outage_s`` seconds into an outage: a tenth of that, within the limits.

    So an outage lasts at most a tenth longer than the peer was away, whether that was a restart of half a minute or
    a failure of minutes, and a long one costs few tries.
    """
    return max(OUTAGE_LEAST_CAP_S, min(OUTAGE_MOST_CAP_S, outage_s / 10.0))


@dataclass(frozen=True, slots=True)
class Pace:
    """The first and the longest wait, in seconds, for a trouble that time alone does not mend."""

    first_s: float
    cap_s: float


class Outage:
    """The outages of one peer, file or task, one after the other.

    An outage begins with the first failure, and ends when the owner calls `over`: when the peer has shown that it is
    well.  A connection that it accepts shows nothing: a peer that closes it at once would be tried in a tight loop.

    Args:
        clock: the time, in seconds.
        jitter: a random number in 0 … 1, see `backoff_s`.
    """

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self.attempts = 0
        """Failures since the outage began; 0 without one."""
        self._clock = clock
        self._jitter = jitter
        self._began_at = 0.0

    @property
    def lasted_s(self) -> float:
        """Seconds since the outage began; 0 without one."""
        return self._clock() - self._began_at if self.attempts else 0.0

    def failed(self, pace: Pace | None = None) -> float:
        """Count a failure, and return the seconds to wait before the next try.

        Without a ``pace`` the tries are quick at first, and slower the longer the outage lasts, see `outage_cap_s`.
        """
        if not self.attempts:
            self._began_at = self._clock()
        self.attempts += 1
        jitter = self._jitter()
        if pace is None:
            return backoff_s(self.attempts, jitter, cap_s=outage_cap_s(self.lasted_s))
        return backoff_s(self.attempts, jitter, first_s=pace.first_s, cap_s=pace.cap_s)

    def over(self) -> None:
        """End the outage: the peer is well."""
        self.attempts = 0
