"""Incidents: detections that belong together, grouped as Cisco advises integrations to do.  Pure.

Theory of operation.  There are three groupings, each on its own: the same SHA-256 on any computers, the same SHA-256
on one computer, and any detections on one computer.  In each, an incident begins with its first event and takes what
happened within ``window_s`` of that; what comes next begins the next one.  Time is event time: a stream's clock is
the latest time of its events so far, and an incident is closed, and written, when ``lateness_s`` more than its window
has passed on that clock.  Until then events may come in any order.  Later ones are not lost, they make incidents of
their own.  The clock of a stream in which nothing happens stands still: whoever sees it idle closes its incidents
(`close_idle`).

At most ``max_open`` groups are open: of more, the oldest is closed early.
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
from fluent_plugin_amp.pipeline.member import Emission, Member, moment

LISTED = 1000
"""So many events, computers, … are listed in a record; ``count`` counts them all."""

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

    members: dict[bytes, Member] = field(default_factory=dict)
    first_ns: int = 0


class Incidents:
    """All open incidents, of all streams.

    After each call, ``emissions`` and ``changes`` hold what followed; whoever calls takes and clears them.
    """

    def __init__(self, window_s: float, lateness_s: float, by: tuple[str, ...], max_open: int) -> None:
        self._window_ns = int(window_s * _SECOND)
        self._patience_ns = self._window_ns + int(lateness_s * _SECOND)
        self._by = by
        self._max_open = max_open
        self._groups: dict[GroupKey, _Group] = {}  # in the order in which they were opened
        self._due: dict[str, list[tuple[int, GroupKey]]] = {}  # of each stream, a heap: when a group may be closed
        self.clocks: dict[str, int] = {}
        """Of each stream: the latest event time, nanoseconds since the epoch."""
        self.closed_early = 0
        self.emissions: list[Emission] = []
        self.changes: list[Change] = []

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def patience_s(self) -> float:
        """Window and lateness together: how long an idle stream's incidents stay open."""
        return self._patience_ns / _SECOND

    def restore(self, stream: str, member: Member, by: tuple[str, ...]) -> None:
        """As kept: the groupings in which its incidents are open."""
        for each in by:
            if each in GROUPINGS and (key := GROUPINGS[each](member)) is not None:
                self._put((stream, each, key), member)

    def add(self, stream: str, member: Member, now: float) -> None:
        """An event came; ``now`` in seconds since the epoch.  An event from the future moves no clock."""
        member = member._replace(details=b"")
        keys = [(by, key) for by in self._by if (key := GROUPINGS[by](member)) is not None]
        if not any([self._put((stream, by, key), member) for by, key in keys]):  # noqa: C419, all of them
            return
        self.changes.append(Change(stream, member))
        at = _ns(member)
        if self.clocks.get(stream, -1) < at <= now * _SECOND:
            self.clocks[stream] = at
        self._close_due(stream)
        while len(self._groups) > self._max_open:
            self.closed_early += 1
            self._close(next(iter(self._groups)))

    def places(self, stream: str, member: Member) -> tuple[str, ...]:
        """The groupings in which an event's incidents are open."""
        return tuple(
            by
            for by in self._by
            if (key := GROUPINGS[by](member)) is not None
            and (group := self._groups.get((stream, by, key))) is not None
            and member.digest in group.members
        )

    def close_idle(self, stream: str) -> None:
        """Close all that is open of a stream."""
        for key in [key for key in self._groups if key[0] == stream]:
            self._close(key)

    def forget(self, stream: str) -> None:
        """Forget all of a stream, and write nothing."""
        for key in [key for key in self._groups if key[0] == stream]:
            self.changes += [Change(stream, member) for member in self._groups.pop(key).members.values()]
        self._due.pop(stream, None)
        self.clocks.pop(stream, None)

    def flush(self) -> None:
        """Close everything."""
        for key in list(self._groups):
            self._close(key)

    def _put(self, key: GroupKey, member: Member) -> bool:
        group = self._groups.get(key)
        at = _ns(member)
        if group is None:
            group = self._groups[key] = _Group(first_ns=at)
        elif member.digest in group.members:
            return False
        if not group.members or at < group.first_ns:
            group.first_ns = at
            self._plan(key, group)
        group.members[member.digest] = member
        return True

    def _plan(self, key: GroupKey, group: _Group) -> None:
        heapq.heappush(self._due.setdefault(key[0], []), (group.first_ns + self._patience_ns, key))

    def _close_due(self, stream: str) -> None:
        due = self._due.get(stream, [])
        while due and due[0][0] <= self.clocks.get(stream, -1):
            at, key = heapq.heappop(due)
            group = self._groups.get(key)
            if group is not None and group.first_ns + self._patience_ns == at:
                self._close_first(key, group)

    def _close(self, key: GroupKey) -> None:
        """Close all incidents of a group."""
        while (group := self._groups.get(key)) is not None:
            self._close_first(key, group)

    def _close_first(self, key: GroupKey, group: _Group) -> None:
        """Write the first incident of a group; what does not belong to it goes on as the next."""
        members = sorted(group.members.values(), key=lambda member: member.order)
        end = _ns(members[0]) + self._window_ns
        inside = [member for member in members if _ns(member) < end]
        outside = members[len(inside) :]
        self.emissions.append(_emission(key, inside))
        if outside:
            group.members = {member.digest: member for member in outside}
            group.first_ns = _ns(outside[0])
            self._plan(key, group)
        else:
            del self._groups[key]
        self.changes += [Change(key[0], member) for member in inside]


def _ns(member: Member) -> int:
    return member.seconds * _SECOND + member.nanoseconds


def _emission(group: GroupKey, members: list[Member]) -> Emission:
    stream, by, key = group
    first, last = members[0], members[-1]
    incident_id = hashlib.sha256(msgspec.json.encode([stream, by, key, first.digest.hex()])).hexdigest()[:32]
    record: Record = {
        "stream": stream,
        "incident_id": incident_id,
        "by": by,
        "key": key,
        "first_seen": moment(first.seconds, first.nanoseconds),
        "last_seen": moment(last.seconds, last.nanoseconds),
        "count": len(members),
        "event_ids": [member.event_id for member in members[:LISTED]],
        "computers": _listed({member.computer for member in members}),
        "sha256s": _listed({member.sha256 for member in members}),
        "ips": _listed({member.remote_ip for member in members}),
        "detections": _listed({member.detection_id for member in members}),
    }
    return Emission(stream, "incident", incident_id, last.seconds, last.nanoseconds, record)


def _listed(values: set[str | None]) -> list[str]:
    return sorted(value for value in values if value is not None)[:LISTED]
