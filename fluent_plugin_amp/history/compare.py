"""What the cloud has against what was delivered: which events are missing.  Pure.

An event of the REST API is not the message of the event stream to the byte, so it is known by what it says: by its
``id``; and since ids over REST have been seen rounded through a float, else by second, nanoseconds, event type,
connector, and the detection that it belongs to, whose id is a text and never rounded.  Two ids that nobody rounded
are two events, whatever else they share.

Where several events are alike and fewer were delivered than the cloud has, nobody can tell which: all of them are
candidates (`Comparison.candidates`), of which some number is missing.  Who repairs sends all of them: an event twice
rather than not at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fluent_plugin_amp.model import EventIdentity

EXACT_IN_FLOAT = 2**53
MOST_ROUNDED = 18_446_744_073_709_552_000
"""As which a float prints 2**64; ids have 64 bits."""
NINETEEN_DIGITS = 10**18


@dataclass(slots=True)
class Comparison:
    """Indices refer to the events of the cloud as they were given."""

    missing: list[int] = field(default_factory=list)
    """One for each event that is missing, in order."""
    candidates: list[int] = field(default_factory=list)
    """What has to be sent so that nothing is missing, in order."""


@dataclass(slots=True)
class _Pool:
    """Deliveries that may be some event's."""

    exact: int = 0
    rounded: int = 0
    """Or with no id at all: then so is the event."""


@dataclass(slots=True)
class _Alike:
    """Events with the same `_key` and detection that were not found by their ids."""

    exact: list[int] = field(default_factory=list)
    rounded: list[int] = field(default_factory=list)
    exact_missing: int = 0
    rounded_missing: int = 0
    pool: _Pool = field(default_factory=_Pool)

    def use(self, pool: _Pool) -> None:
        """An exact id fits rounded ones only, a rounded one fits any."""
        fit = min(self.exact_missing, pool.rounded)
        self.exact_missing -= fit
        pool.rounded -= fit
        fit = min(self.rounded_missing, pool.exact + pool.rounded)
        self.rounded_missing -= fit
        pool.rounded -= max(0, fit - pool.exact)
        pool.exact -= min(fit, pool.exact)


def compare(cloud: Sequence[EventIdentity], delivered: Sequence[tuple[bytes, EventIdentity]]) -> Comparison:
    """Which events of the cloud were not delivered.

    Args:
        cloud: facts of its events.
        delivered: digest and facts of what was delivered in the same seconds; an event that was delivered twice
            with the same digest counts once.
    """
    facts = list(dict(delivered).values())
    found = _found_ids(cloud, facts)
    groups: dict[Hashable, dict[int | str | None, _Alike]] = defaultdict(lambda: defaultdict(_Alike))
    for index, event in enumerate(cloud):
        if _known_by(event) not in found:
            alike = groups[_key(event)][event.detection_id]
            if _may_be_rounded(event.event_id):
                alike.rounded.append(index)
                alike.rounded_missing += 1
            else:
                alike.exact.append(index)
                alike.exact_missing += 1
    for event in facts:
        if _known_by(event) in found or _key(event) not in groups:
            continue
        pool = groups[_key(event)][event.detection_id].pool
        if _may_be_rounded(event.event_id):
            pool.rounded += 1
        else:
            pool.exact += 1
    result = Comparison()
    for group in groups.values():
        _judge(group, result)
    result.missing.sort()
    result.candidates.sort()
    return result


def _key(event: EventIdentity) -> Hashable:
    """What two views of one event share: all but the id, whether there is one, and the detection, which is apart."""
    return event.event_id is None, event.seconds, event.nanoseconds, event.event_type_id, event.connector_guid


def _known_by(event: EventIdentity) -> Hashable:
    """Its id, where that says by itself which event it is; a rounded one together with the detection."""
    return (event.event_id, event.detection_id) if _may_be_rounded(event.event_id) else event.event_id


def _found_ids(cloud: Sequence[EventIdentity], delivered: Sequence[EventIdentity]) -> set[Hashable]:
    """Those of which all events were delivered: a rounded one may be that of several."""
    deliveries = Counter(map(_known_by, delivered))
    wanted = Counter(map(_known_by, (event for event in cloud if event.event_id is not None)))
    return {
        known_by
        for known_by, count in wanted.items()
        if deliveries[known_by] >= (count if type(known_by) is tuple else 1)
    }


def _judge(group: dict[int | str | None, _Alike], result: Comparison) -> None:
    """Of the same detection first; what names none may be of any."""
    unnamed = group.pop(None, _Alike())
    for alike in group.values():
        alike.use(alike.pool)
        unnamed.use(alike.pool)
    candidates = _missing_of([unnamed, *group.values()])
    for alike in (unnamed, *group.values()):
        alike.use(unnamed.pool)
    for indices, missing in _missing_of([unnamed, *group.values()]):
        result.missing += indices[len(indices) - missing :]
    if _missing_of([unnamed, *group.values()]):
        result.candidates += [index for indices, _ in candidates for index in indices]


def _missing_of(group: list[_Alike]) -> list[tuple[list[int], int]]:
    """Events that are alike, and how many of them are missing, where any are."""
    each = [(alike.exact, alike.exact_missing) for alike in group]
    each += [(alike.rounded, alike.rounded_missing) for alike in group]
    return [(indices, missing) for indices, missing in each if missing]


def _may_be_rounded(event_id: int | str | None) -> bool:
    """Whether a float may have been in the way, be it printed with all its digits or no more than it needs."""
    if event_id is None:
        return True
    if type(event_id) is not int:
        return False
    if not EXACT_IN_FLOAT <= abs(event_id) <= MOST_ROUNDED:
        return False
    if event_id >= NINETEEN_DIGITS and event_id % 100 and event_id % 128:
        return False  # of so large a number a float has steps of 128 at least, and prints 17 digits at most
    number = float(event_id)
    return event_id in (int(number), int(Decimal(repr(number))))
