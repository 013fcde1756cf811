"""How long things took, counted by upper bounds.  Pure.

Plain numbers and no locks: a run of a thousand things that end together costs little more than one of them.

Invariant: ``sum(counts)`` is the number of things observed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Durations, each counted at the first of the ascending ``bounds_s`` that it does not exceed."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = tuple(bounds_s)
        self.counts = [0] * (len(self.bounds_s) + 1)
        """One for each bound, and the last one for what took longer than all of them."""
        self.sum_s = 0.0

    def observe(self, began_at: Sequence[float], now: float) -> None:
        """Things that began at these ascending moments all ended ``now``."""
        bounds = self.bounds_s
        longest = bisect_left(bounds, now - began_at[0])
        if longest == bisect_left(bounds, now - began_at[-1]):
            self.counts[longest] += len(began_at)
        else:
            for moment in began_at:
                self.counts[bisect_left(bounds, now - moment)] += 1
        self.sum_s += len(began_at) * now - sum(began_at)
