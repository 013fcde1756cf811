"""When an hour is looked at.  Pure.

An hour is looked at when it is two hours old: by then its events have arrived.  One that was not clean is looked at
again after 6 hours, 24 hours and 8 days, while the broker still keeps its events (ten days).  One that was clean is
looked at once more after 24 hours, as the cloud may record events late; of a large one its total may be enough.

Another look makes another record only where it finds something else than the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fluent_plugin_amp.completeness.record import HOUR_S

SETTLED_S = 2 * HOUR_S
"""The age of an hour, from its end, at its first look."""
AGAIN_S = (6 * HOUR_S, 24 * HOUR_S, 8 * 24 * HOUR_S)
"""The ages of an hour that was not clean, at further looks."""
AGAIN_CLEAN_S = (24 * HOUR_S,)
"""The same for one that was clean."""
LOST_S = 10 * 24 * HOUR_S
"""An hour of this age that was never looked at gets a record which says so: nobody can tell any more."""
DELAYED_S = HOUR_S
"""A first look that is later than that is called delayed."""
AHEAD_S = HOUR_S
"""How far the clock may go back before what was kept until then is not believed."""
BACK_S = LOST_S - 36 * HOUR_S
"""How far a chain goes back then, besides `BEGINS_BEFORE_S`: nobody knows since when the clock was wrong, so to all
hours that are not lost yet, nor before there was time to look at them."""
LONGEST_S = 90 * 24 * HOUR_S
"""A chain that is to go on with an older hour is not believed: each hour that is lost has a record."""
BEGINS_BEFORE_S = 24 * HOUR_S
"""A new chain begins with the hours before it, so that the place where one chain follows another shows no hole."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of an hour so far."""

    revision: int = 0
    """Of its last record; 0: it has none."""
    age_s: int = 0
    """Of the hour at the last look."""
    is_clean: bool = False
    counts: tuple[int | None, ...] = ()
    """`Figures.what_counts` of its last record."""
    was_missing: bool = False
    """Something was missing at one of the looks."""
    cloud_total: int | None = None
    """See `Figures.cloud_total`."""

    @property
    def missing(self) -> int:
        """Events that were neither delivered nor repaired, as far as anybody could tell."""
        _, missing, _, repaired = self.counts or (None,) * 4
        return max(0, (missing or 0) - (repaired or 0))

    @property
    def word(self) -> str:
        """What the hour is like, see `observe.snapshot.Proof.hours`."""
        in_cloud, _, not_known, repaired = self.counts or (None,) * 4
        if in_cloud is None:
            return "no answer"
        if self.missing:
            return "missing"
        if not_known:
            return "not known"
        return "repaired" if repaired or self.was_missing else "clean"


@dataclass(frozen=True, slots=True)
class Due:
    """An hour to look at."""

    hour: int
    """Its first second, since the epoch."""
    since: int
    """The second in which this look became due."""
    is_lost: bool = False
    """It is too late for a look."""

    def delayed_by(self, now: float, revision: int) -> int | None:
        """Seconds by which the first record of the hour is late; None: it is not, or not by much."""
        late = int(now) - self.since
        return late if revision == 1 and late > DELAYED_S else None


def first_hour(now: float) -> int:
    """With which a new chain begins."""
    return (int(now) - BEGINS_BEFORE_S) // HOUR_S * HOUR_S


def due(hours: Mapping[int, Looked], begins: int, now: float) -> Iterator[Due]:
    """The hours to look at now, the oldest first.

    Args:
        hours: those that were looked at, of the last ten days.
        begins: the first hour that is to have a record.
        now: seconds since the epoch.
    """
    last = (int(now) - SETTLED_S) // HOUR_S * HOUR_S - HOUR_S
    for hour in range(begins, last + 1, HOUR_S):
        age_s = int(now) - (hour + HOUR_S)
        looked = hours.get(hour)
        if looked is None:
            yield Due(hour, hour + HOUR_S + SETTLED_S, is_lost=age_s >= LOST_S)
        elif age_s < LOST_S:
            passed = [
                again for again in (AGAIN_CLEAN_S if looked.is_clean else AGAIN_S) if looked.age_s < again <= age_s
            ]
            if passed:
                yield Due(hour, hour + HOUR_S + passed[0])


def is_ahead(second: float, now: float) -> bool:
    """Whether what was kept at a time can only come from a clock that was ahead, or is garbled."""
    return second > now + AHEAD_S


def is_over(hour: int, now: float) -> bool:
    """Whether an hour is never looked at again."""
    return now - (hour + HOUR_S) >= LOST_S
