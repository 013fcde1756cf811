"""Detections: the events of one ``detection_id`` as one record, whatever the order of their arrival.  Pure.

Theory of operation.  A detection is opened by its first event and written first when it is *settled* (an event that
says that something was detected and one that says what became of it are both there), or when ``window_s`` since the
first arrival is over.  After that each further event makes the next revision.  What a revision says depends on
nothing but the set of its events: so the last one is the same for any order of arrival, but for its number, which
counts the writes.

A detection is remembered for `KEEP_S`, longer than the broker keeps events, and at most ``max_open`` are, and events
by a multiple of that: the oldest is closed early, and written if it was not yet.  One detection takes `MAX_EVENTS`,
those that came first, since each revision names them all.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.combine.member import (
    DETECTION_TYPES,
    FAILURE_TYPES,
    QUARANTINE_TYPES,
    Emission,
    Member,
    Order,
    moment,
)
from fluent_plugin_amp.pipeline.names import FIELD as NAMES_FIELD
from fluent_plugin_amp.pipeline.names import together

KEEP_S = 11 * 86400.0
MAX_EVENTS = 1000
"""Of one detection; Cisco's have two to six."""
EVENTS_EACH = 4
"""Of a detection, on average, when ``max_open`` are open."""

_SEVERITIES = ("Low", "Medium", "High", "Critical")


class Head(NamedTuple):
    """What is remembered of a detection besides its members."""

    first_arrival: float
    """Seconds since the epoch."""
    revision: int
    """Written last; 0: none yet."""


@dataclass(slots=True)
class _Detection:
    first_arrival: float
    revision: int = 0
    members: list[Member] = field(default_factory=list)
    """In their order; only `shown` has its details."""
    shown: Member | None = None
    """One of the members: that whose details are shown."""

    @property
    def is_settled(self) -> bool:
        types = {member.event_type_id for member in self.members}
        return not types.isdisjoint(DETECTION_TYPES) and not types.isdisjoint(QUARANTINE_TYPES | FAILURE_TYPES)


class Change(NamedTuple):
    """One detection changed, for whoever keeps them: ``head`` None: it is forgotten, with these members."""

    stream: str
    detection_id: str
    head: Head | None
    members: Sequence[Member]
    """Those that came, or went."""


class Detections:
    """All open detections, of all streams.

    After each call, ``emissions`` and ``changes`` hold what followed; whoever calls takes and clears them.
    """

    def __init__(self, window_s: float, max_open: int) -> None:
        self._window_s = window_s
        self._max_open = max_open
        self._open: dict[tuple[str, str], _Detection] = {}  # in the order of their first arrivals
        self._waiting: dict[tuple[str, str], None] = {}  # those never written, in the same order
        self._events = 0
        self._max_events = MAX_EVENTS + EVENTS_EACH * max_open
        self.closed_early = 0
        self.emissions: list[Emission] = []
        self.changes: list[Change] = []

    def __len__(self) -> int:
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Those that were never written."""
        return len(self._waiting)

    def restore(self, stream: str, detection_id: str, head: Head, members: list[Member]) -> None:
        """As kept; in the order of ``head.first_arrival``."""
        detection = _Detection(head.first_arrival, head.revision)
        for member in members:
            self._events += _insert(detection, member)
        self._open[stream, detection_id] = detection
        if not head.revision:
            self._waiting[stream, detection_id] = None

    def add(self, stream: str, member: Member, now: float) -> None:
        """An event that `Member.is_combined` came; ``now`` in seconds since the epoch."""
        assert member.detection_id is not None
        key = (stream, member.detection_id)
        detection = self._open.get(key)
        if detection is None:
            detection = self._open[key] = _Detection(now)
            self._waiting[key] = None
        if not _insert(detection, member):
            return
        self._events += 1
        if detection.revision or detection.is_settled:
            self._write(key, detection)
        head = Head(detection.first_arrival, detection.revision)
        self.changes.append(Change(stream, member.detection_id, head, [member]))
        while len(self._open) > self._max_open or self._events > self._max_events:
            self._close(next(iter(self._open)))

    def tick(self, now: float) -> None:
        """Write what waited long enough, forget what is too old."""
        while self._waiting:
            key = next(iter(self._waiting))
            detection = self._open[key]
            if 0 <= now - detection.first_arrival < self._window_s:
                break
            self._write(key, detection)
            self.changes.append(Change(*key, Head(detection.first_arrival, detection.revision), []))
        while self._open:
            key = next(iter(self._open))
            if now - self._open[key].first_arrival < KEEP_S:
                break
            self._close(key)

    def forget(self, stream: str) -> None:
        """Forget all of a stream, and write nothing."""
        for key in [key for key in self._open if key[0] == stream]:
            self._waiting.pop(key, None)
            self.changes.append(Change(*key, None, self._pop(key).members))

    def flush(self) -> None:
        """Write what was never written: nothing will be remembered."""
        for key in list(self._waiting):
            self._write(key, self._open[key])

    def _close(self, key: tuple[str, str]) -> None:
        detection = self._pop(key)
        if not detection.revision:
            self.closed_early += 1
            self._write(key, detection)
        self.changes.append(Change(*key, None, detection.members))

    def _pop(self, key: tuple[str, str]) -> _Detection:
        detection = self._open.pop(key)
        self._events -= len(detection.members)
        return detection

    def _write(self, key: tuple[str, str], detection: _Detection) -> None:
        detection.revision += 1
        self._waiting.pop(key, None)
        stream, detection_id = key
        last = detection.members[-1]
        record = _record(stream, detection_id, detection)
        name = f"{detection_id}/{detection.revision}"
        self.emissions.append(Emission(stream, "detection", name, last.seconds, last.nanoseconds, record))


def _insert(detection: _Detection, member: Member) -> bool:
    """Put a member in its place; False: it is there already, or there is no room.  Details are kept of one only."""
    members, shown = detection.members, detection.shown
    if len(members) >= MAX_EVENTS or any(each.digest == member.digest for each in members):
        return False
    if shown is None:
        detection.members, detection.shown = [member], member
        return True
    # Keep no second copy of what they have in common.
    sha256 = shown.sha256 if shown.sha256 == member.sha256 else member.sha256
    member = member._replace(detection_id=shown.detection_id, sha256=sha256)
    if _rank(member) < _rank(shown):
        members[members.index(shown)] = shown._replace(details=b"")
        detection.shown = member
    else:
        member = member._replace(details=b"")
    insort(members, member, key=_order)
    return True


def _rank(member: Member) -> tuple[bool, Order]:
    """Whose details are shown: what says that something was detected knows most."""
    return member.event_type_id not in DETECTION_TYPES, member.order


def _order(member: Member) -> Order:
    return member.order


def _time(member: Member) -> tuple[int, int]:
    return member.seconds, member.nanoseconds


def _record(stream: str, detection_id: str, detection: _Detection) -> Record:
    members, shown = detection.members, detection.shown
    assert shown is not None
    computer, file, links = shown.shown
    named = [member.detection for member in (shown, *members) if member.detection is not None]
    record: Record = {
        "stream": stream,
        "detection_id": detection_id,
        "revision": detection.revision,
        "status": _status(members),
        "detection": named[0] if named else None,
        "severity": _highest([member.severity for member in members]),
        "first_seen": moment(*_time(members[0])),
        "last_seen": moment(*_time(members[-1])),
        "event_ids": [member.event_id for member in members],
        "event_types": [member.event_type for member in members],
        "computer": computer,
        "file": file,
    }
    if links:
        record["console_links"] = links
    if (names := together(member.names for member in members)) is not None:
        record[NAMES_FIELD] = names
    return record


def _status(members: list[Member]) -> str:
    """By the latest event that tells an outcome; of two at the same moment, the failure."""
    outcomes = [
        (_time(member), member.event_type_id in FAILURE_TYPES)
        for member in members
        if member.event_type_id in QUARANTINE_TYPES | FAILURE_TYPES
    ]
    if not outcomes:
        return "detected"
    return "quarantine_failed" if max(outcomes)[1] else "quarantined"


def _highest(severities: list[object]) -> object:
    """The highest of Cisco's four; where there is none of them, the first that there is."""
    known = [each for each in severities if each in _SEVERITIES]
    if known:
        return max(known, key=lambda each: _SEVERITIES.index(str(each)))
    return next((each for each in severities if each is not None), None)
