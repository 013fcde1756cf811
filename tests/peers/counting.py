"""What became of numbered events, from what was published, what arrived and what the broker still has.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple


class Tally(NamedTuple):
    """Numbers of events."""

    lost: int
    """Neither arrived nor at the broker: gone."""
    doubled: int
    """Arrived more than once, however often."""
    left: int
    """At the broker, and not arrived."""
    changed: int
    """Arrived with another id than they were published with."""


def tally(
    published: Mapping[int, object], arrived: Iterable[tuple[int, object]], at_broker: Collection[int]
) -> Tally:
    """Count.

    Args:
        published: the id of each event, by its number.
        arrived: number and id of each arrival, as often as it came.
        at_broker: numbers of the events that can still be consumed.

    Raises:
        ValueError: an event arrived, or is at the broker, that was never published.
    """
    times: Counter[int] = Counter()
    changed = set()
    for number, id_ in arrived:
        times[number] += 1
        # 1 and 1.0 are equal, but not the same to who reads them.
        if (type(id_), id_) != (type(published.get(number)), published.get(number)):
            changed.add(number)
    if strangers := (times.keys() | set(at_broker)) - published.keys():
        raise ValueError(f"never published: {sorted(strangers)[:10]}")
    missing = published.keys() - times.keys()
    left = missing & set(at_broker)
    return Tally(
        lost=len(missing - left),
        doubled=sum(count > 1 for count in times.values()),
        left=len(left),
        changed=len(changed),
    )
