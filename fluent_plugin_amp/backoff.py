"""Jittered exponential back-off as one function of the attempt.  Pure: the randomness is an argument."""

from __future__ import annotations


def backoff_s(attempt: int, jitter: float, *, first_s: float = 0.2, cap_s: float = 30.0) -> float:
    """Seconds to wait before attempt number ``attempt`` (1 is the first retry).

    Doubles from ``first_s`` up to ``cap_s``.  ``jitter`` in 0 … 1 takes off up to half, so that many clients
    that lost the same peer do not return in step.
    """
    full = min(cap_s, first_s * 2.0 ** min(attempt - 1, 32))
    return full * (1.0 - 0.5 * jitter)


def outage_cap_s(outage_s: float, *, least_s: float = 1.0, most_s: float = 30.0) -> float:
    """The longest wait between two tries, ``outage_s`` seconds into an outage: a tenth of that, within the limits.

    So an outage lasts at most a tenth longer than the peer was away, whether that was a restart of half a minute or
    a failure of minutes, and a long one costs few tries.
    """
    return max(least_s, min(most_s, outage_s / 10.0))
