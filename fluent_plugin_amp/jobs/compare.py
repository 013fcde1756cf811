"""What the cloud has against what was delivered: which events are missing.  Pure.

An event of the REST API is not the message of the event stream to the byte, so it is known by what it says: by its
``id``; and since ids over REST have been seen rounded through a float, else by second, nanoseconds, event type and
connector.  Two ids that nobody rounded are two events, whatever else they share.

Where several events are alike and fewer were delivered than the cloud has, nobody can tell which: all of them are
candidates (`Comparison.candidates`), of which some number is missing.  Who repairs sends all of them: an event twice
rather than not at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fluent_plugin_amp.model import EventFacts

EXACT_IN_FLOAT = 2**53


@dataclass(slots=True)
class Comparison:
    """Indices refer to the events of the cloud as they were given."""

    missing: list[int] = field(default_factory=list)
    """One for each event that is missing, in order."""
    candidates: list[int] = field(default_factory=list)
    """What has to be sent so that nothing is missing, in order."""


@dataclass(slots=True)
class _Alike:
    """Events with the same `_key` that were not found by their ids."""

    exact: list[int] = field(default_factory=list)
    rounded: list[int] = field(default_factory=list)
    """Or with no id at all: then so are those delivered."""
    exact_delivered: int = 0
    rounded_delivered: int = 0


def compare(cloud: Sequence[EventFacts], delivered: Sequence[tuple[bytes, EventFacts]]) -> Comparison:
    """Which events of the cloud were not delivered.

    Args:
        cloud: facts of its events.
        delivered: digest and facts of what was delivered in the same seconds; an event that was delivered twice
            with the same digest counts once.
    """
    facts = list(dict(delivered).values())
    found = _found_ids(cloud, facts)
    alike: dict[Hashable, _Alike] = defaultdict(_Alike)
    for index, event in enumerate(cloud):
        if event[0] not in found:
            group = alike[_key(event)]
            (group.rounded if _may_be_rounded(event[0]) else group.exact).append(index)
    for event in facts:
        if event[0] in found or _key(event) not in alike:
            continue
        if _may_be_rounded(event[0]):
            alike[_key(event)].rounded_delivered += 1
        else:
            alike[_key(event)].exact_delivered += 1
    result = Comparison()
    for group in alike.values():
        _judge(group, result)
    result.missing.sort()
    result.candidates.sort()
    return result


def _key(event: EventFacts) -> Hashable:
    """What two views of one event share: everything but the id, and whether there is one."""
    return event[0] is None, *event[1:]


def _found_ids(cloud: Sequence[EventFacts], delivered: Sequence[EventFacts]) -> set[int]:
    """The ids that say by themselves that all their events were delivered: a rounded one may be that of several."""
    deliveries = Counter(event[0] for event in delivered)
    wanted = Counter(event[0] for event in cloud)
    return {
        event_id
        for event_id, count in wanted.items()
        if event_id is not None and deliveries[event_id] >= (count if _may_be_rounded(event_id) else 1)
    }


def _judge(group: _Alike, result: Comparison) -> None:
    """An exact id fits rounded ones only, a rounded one fits any."""
    fit = min(len(group.exact), group.rounded_delivered)
    _note(group.exact, fit, result)
    fit = min(len(group.rounded), group.exact_delivered + group.rounded_delivered - fit)
    _note(group.rounded, fit, result)


def _note(indices: list[int], delivered: int, result: Comparison) -> None:
    if delivered < len(indices):
        result.missing += indices[delivered:]
        result.candidates += indices


def _may_be_rounded(event_id: int | None) -> bool:
    """Whether a float may have been in the way, be it printed with all its digits or no more than it needs."""
    if event_id is None:
        return True
    if not EXACT_IN_FLOAT < abs(event_id) < 2**64:
        return False
    number = float(event_id)
    return event_id in (int(number), int(Decimal(repr(number))))
