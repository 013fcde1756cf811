"""Incidents: detections that belong together, grouped as Cisco advises integrations to do.  Pure.

Theory of operation.  There are three groupings, each on its own: the same SHA-256 on any computers, the same SHA-256
on one computer, and any detections on one computer.  In each, an incident begins with its first event and takes what
happened within ``window_s`` of that; what comes next begins the next one.  Time is event time, and each key (a hash,
a computer) has a clock of its own, the latest time of its events: a computer that was away for an hour brings its
events late, but in order.  An incident is closed, and written, when ``lateness_s`` more than its window has passed on
its key's clock.  Until then events may come in any order.  Later ones are not lost: those that come together make
incidents of their own together, which wait for more until as much time has passed again.

The clock of a key that brings nothing stands still.  So what is open of it is closed when nothing came for so long,
by the watch of whoever calls (`close_quiet`) as well as by the clock of its stream, the latest time of any of its
events: then it is not that the stream works off slowly what had piled up.  A stream in which nothing happens at all
has all of its incidents closed (`close_idle`).

At most ``max_open`` groups are open, and events by a multiple of that: of more, what is quiet for longest is closed.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.combine.member import Emission, Member, Order, moment
from fluent_plugin_amp.pipeline.names import FIELD as NAMES_FIELD
from fluent_plugin_amp.pipeline.names import together

LISTED = 1000
"""So many events, computers, … are listed in a record; ``count`` counts them all."""

MAX_EVENTS = 10_000
"""Of one key that wait; its first incident is closed early when there are more."""
EVENTS_EACH = 4
"""Of a key, on average, when ``max_open`` are open."""

_SECOND = 1_000_000_000


def _pair(one: str | None, other: str | None) -> str | None:
    return f"{one}/{other}" if one and other else None


GROUPINGS: Mapping[str, Callable[[Member], str | None]] = MappingProxyType(
    {
        "sha256": lambda member: member.sha256,
        "sha256_and_computer": lambda member: _pair(member.sha256, member.computer),
        "computer": lambda member: member.computer if member.sha256 or member.remote_ip else None,
    }
)
"""The key of an event in each grouping; None: it has no place in it."""


class Change(NamedTuple):
    """The places of an event (`Incidents.places`) changed."""

    stream: str
    member: Member


GroupKey = tuple[str, str, str]
"""Stream, grouping, key."""


@dataclass(slots=True)
class _Group:
    """Events of one key whose incidents are open."""

    waiting: list[tuple[Order, Member]] = field(default_factory=list)
    """A heap: in the order of the events."""
    digests: set[bytes] = field(default_factory=set)
    clock_ns: int = -1
    late_ns: int = -1
    """What the clock was when an event of the first incident came too late."""
    seen_s: float = 0.0
    """When an event came last, by the watch; and by the stream's clock:"""
    seen_ns: int = -1

    @property
    def first_ns(self) -> int:
        """When the first incident began."""
        return _ns(self.waiting[0][1])


class Incidents:
    """All open incidents, of all streams.

    After each call, ``emissions`` and ``changes`` hold what followed; whoever calls takes and clears them.
    """

    def __init__(self, window_s: float, lateness_s: float, by: tuple[str, ...], max_open: int) -> None:
        self._window_ns = int(window_s * _SECOND)
        self._patience_ns = self._window_ns + int(lateness_s * _SECOND)
        self._by = [(each, GROUPINGS[each]) for each in by]
        self._max_open = max_open
        self._max_events = MAX_EVENTS + EVENTS_EACH * max_open
        self._groups: dict[GroupKey, _Group] = {}  # what is quiet for longest comes first
        self._of_stream: dict[str, dict[GroupKey, _Group]] = {}  # the same of each stream, in the same order
        self._events = 0
        self.clocks: dict[str, int] = {}
        """Of each stream: the latest event time, nanoseconds since the epoch."""
        self.watch_s = 0.0
        """A watch, seconds, set by whoever calls: when events come."""
        self.closed_early = 0
        self.emissions: list[Emission] = []
        self.changes: list[Change] = []

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def patience_s(self) -> float:
        """Window and lateness together: how long incidents of which nothing comes stay open."""
        return self._patience_ns / _SECOND

    def restore(self, stream: str, member: Member, by: tuple[str, ...], now: float) -> None:
        """As kept: the groupings in which its incidents are open.  The stream's clock must be there already."""
        for each in by:
            if each in GROUPINGS and (key := GROUPINGS[each](member)) is not None:
                self._put((stream, each, key), (member.order, member), _ns(member), now * _SECOND)

    def add(self, stream: str, member: Member, now: float) -> None:
        """An event came; ``now`` in seconds since the epoch.  An event from the future moves no clock."""
        keys = [(stream, by, name) for by, key_of in self._by if (name := key_of(member)) is not None]
        if not keys:
            return
        if member.details:
            member = member._replace(details=b"")
        at, now_ns = _ns(member), now * _SECOND
        if self.clocks.get(stream, -1) < at <= now_ns:
            self.clocks[stream] = at
        entry = (member.order, member)
        if not any([self._put(key, entry, at, now_ns) for key in keys]):  # noqa: C419, all of them
            return
        self.changes.append(Change(stream, member))
        for key in keys:
            self._close_due(key, self._groups[key])
        while len(self._groups) > self._max_open or self._events > self._max_events:
            quiet, group = next(iter(self._groups.items()))
            # By the stream's clock it may be time: then only the watch is slow, as when a backlog is worked off.
            self.closed_early += self.clocks.get(quiet[0], -1) < group.first_ns + self._patience_ns
            self._close(quiet, group)

    def places(self, stream: str, member: Member) -> tuple[str, ...]:
        """The groupings in which an event's incidents are open."""
        return tuple(
            by
            for by, key_of in self._by
            if (key := key_of(member)) is not None
            and (group := self._groups.get((stream, by, key))) is not None
            and member.digest in group.digests
        )

    def close_quiet(self, stream: str, since_s: float) -> None:
        """Close what nothing came of for long enough, of a stream that gets everything ``since_s`` on the watch."""
        groups = self._of_stream.get(stream, {})
        clock_ns = self.clocks.get(stream, -1)
        while groups:
            key, group = next(iter(groups.items()))
            if self.watch_s - max(since_s, group.seen_s) < self.patience_s:
                break
            if clock_ns - group.seen_ns < self._patience_ns:
                break
            self._close(key, group)

    def close_idle(self, stream: str) -> None:
        """Close all that is open of a stream."""
        for key, group in list(self._of_stream.get(stream, {}).items()):
            self._close(key, group)

    def forget(self, stream: str) -> None:
        """Forget all of a stream, and write nothing."""
        for key, group in self._of_stream.pop(stream, {}).items():
            del self._groups[key]
            self._events -= len(group.waiting)
            self.changes += [Change(stream, member) for _, member in group.waiting]
        self.clocks.pop(stream, None)

    def flush(self) -> None:
        """Close everything."""
        for key, group in list(self._groups.items()):
            self._close(key, group)

    def _put(self, key: GroupKey, entry: tuple[Order, Member], at: int, now_ns: float) -> bool:
        """Put an event of the time ``at`` into its group, which becomes the one that is quiet least.

        False: it is there already.
        """
        stream = key[0]
        of_stream = self._of_stream.setdefault(stream, {})
        group = self._groups.pop(key, None)
        if group is None:
            group = _Group()
        else:
            del of_stream[key]
        self._groups[key] = of_stream[key] = group
        digest = entry[1].digest
        if digest in group.digests:
            return False
        if at + self._patience_ns <= group.clock_ns and at < group.first_ns + self._window_ns:
            group.late_ns = group.clock_ns
        heapq.heappush(group.waiting, entry)
        group.digests.add(digest)
        self._events += 1
        if group.clock_ns < at <= now_ns:
            group.clock_ns = at
        group.seen_s, group.seen_ns = self.watch_s, self.clocks.get(stream, -1)
        return True

    def _close_due(self, key: GroupKey, group: _Group) -> None:
        while group.waiting and group.clock_ns >= max(group.first_ns, group.late_ns) + self._patience_ns:
            self._close_first(key, group)
        if len(group.waiting) > MAX_EVENTS:
            self.closed_early += 1
            self._close_first(key, group)

    def _close(self, key: GroupKey, group: _Group) -> None:
        """Close all incidents of a group."""
        while group.waiting:
            self._close_first(key, group)

    def _close_first(self, key: GroupKey, group: _Group) -> None:
        """Write the first incident of a group; what does not belong to it goes on as the next."""
        end = group.first_ns + self._window_ns
        inside: list[Member] = []
        while group.waiting and _ns(group.waiting[0][1]) < end:
            inside.append(heapq.heappop(group.waiting)[1])
        self._events -= len(inside)
        group.digests.difference_update([member.digest for member in inside])
        if not group.waiting:
            del self._groups[key], self._of_stream[key[0]][key]
        self.emissions.append(_emission(key, inside))
        self.changes += [Change(key[0], member) for member in inside]


def _ns(member: Member) -> int:
    return member.seconds * _SECOND + member.nanoseconds


def _emission(group: GroupKey, members: list[Member]) -> Emission:
    stream, by, key = group
    first, last = members[0], members[-1]
    first_seen = moment(first.seconds, first.nanoseconds)
    incident_id = hashlib.sha256(msgspec.json.encode([stream, by, key, first.digest.hex()])).hexdigest()[:32]
    record: Record = {
        "stream": stream,
        "incident_id": incident_id,
        "by": by,
        "key": key,
        "first_seen": first_seen,
        "last_seen": first_seen if last is first else moment(last.seconds, last.nanoseconds),
        "count": len(members),
        "event_ids": [member.event_id for member in members[:LISTED]],
        "computers": _listed({member.computer for member in members}),
        "sha256s": _listed({member.sha256 for member in members}),
        "ips": _listed({member.remote_ip for member in members}),
        "detections": _listed({member.detection_id for member in members}),
    }
    if (names := together(member.names for member in members)) is not None:
        record[NAMES_FIELD] = names
    return Emission(stream, "incident", incident_id, last.seconds, last.nanoseconds, record)


def _listed(values: set[str | None]) -> list[str]:
    values.discard(None)
    return sorted(values)[:LISTED]  # type: ignore[type-var, return-value]
