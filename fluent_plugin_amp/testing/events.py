"""Synthetic events of every type that Cisco's cloud is known to send, with the traps of the real ones.

::

    generator = EventGenerator(seed=7)
    generator.event(1090519054)     # a Threat Detected, as a decoder shows it
    generator.body()                # the next event as the bytes of a message
    generator.bodies(1000)          # and a thousand of them

Invariants: the same seed gives the same events, times included; no two events of a generator have the same id;
of any 124 events drawn from the deck each type is one, so a few hundred hold every type and every shape; a body
decodes to what `fluent_plugin_amp` may forward as it is (for what it may not see `hostile`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from random import Random
from typing import Any, Literal

import msgspec

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.testing.vocabulary import (
    COMMAND_LINES,
    DETECTIONS,
    ERRORS,
    INDICATORS,
    SEVERITIES,
    Part,
    Vocabulary,
)

THREAT_DETECTED = 1090519054
THREAT_QUARANTINED = 553648143
QUARANTINE_FAILURE = 2164260880
RETROSPECTIVE_DETECTION = 553648147
RETROSPECTIVE_QUARANTINE = 553648155
RETROSPECTIVE_QUARANTINE_FAILURE = 2164260893
THREAT_HUNTING_INCIDENT = 1107296344

Outcome = Literal["none", "quarantined", "failed", "failed, then quarantined"]

_START_S = 1_593_079_552.619
_FIRST_ID = 6_533_241_145_273_614_338
"""Ids of the cloud are of this size: beyond 2^53."""
_FAILURES_FROM = 2**31
_ACCOUNT = {1003, 1004, 1005, 2001}
_VULNERABLE_APPLICATION = 1107296279
_COMPROMISES = set(range(1107296257, 1107296286)) - {_VULNERABLE_APPLICATION}
_NETWORK = {1090519084, 1090519102}
_EXPLOIT = 1090519103
_METADATA_CHANGED = 570425395
_ISOLATION = {553648202, 553648204, 553648206, 553648215, 2164260939, 2164260941, 2164260943}
_SCANS = {554696714, 554696715, 554696756, 554696757, 1090519089, 1091567628, 1091567670, 2165309453, 2165309495}
_UPDATES = {553648134, 553648135, 553648136, 553648137, 1090519096, 1090519097, 2164260922}
_DETECTIONS = {
    *(THREAT_DETECTED, THREAT_QUARANTINED, QUARANTINE_FAILURE, RETROSPECTIVE_DETECTION),
    *(RETROSPECTIVE_QUARANTINE, RETROSPECTIVE_QUARANTINE_FAILURE, _EXPLOIT, 553648145, 553648146, 553648149),
    *(553648152, 553648154, 553648168, 553648199, 553648222, 1090519081, 1090519105, 1090519112, 1090524040),
    *(1090524041, 2164260884, 2164260889, 2164260892, 2181038130),
}
# What the first event of a case may be followed by: quarantine and failure, in the words of `Outcome`.
_FOLLOW_UPS = {
    THREAT_DETECTED: (THREAT_QUARANTINED, QUARANTINE_FAILURE),
    RETROSPECTIVE_DETECTION: (RETROSPECTIVE_QUARANTINE, RETROSPECTIVE_QUARANTINE_FAILURE),
}
_LONGEST_DELAY = 20
"""Events that may come between two of one case."""


class EventGenerator:
    """An endless, seeded deck of events.

    ``start_s`` is the time of the first event, seconds since the epoch; the next ones follow within a second
    each.  ``clock_ns`` (such as ``time.time_ns``) stamps each event with the time at which it is made instead,
    to measure how long it was under way.  ``event_type_ids`` restricts the deck.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        start_s: float = _START_S,
        clock_ns: Callable[[], int] | None = None,
        event_type_ids: Sequence[int] | None = None,
    ) -> None:
        self._random = Random(seed)
        self._vocabulary = Vocabulary(self._random)
        self._at_ns = round(start_s * 1_000_000) * 1000
        self._clock_ns = clock_ns
        self._names = {entry.id: (entry.name, *entry.aliases) for entry in catalogue()}
        self._types = list(event_type_ids or self._names)
        self._deck: list[int] = []
        self._waiting: list[tuple[int, Part]] = []
        """Events of open cases, and before which draw they are due."""
        self._draws = 0
        self._next_id = _FIRST_ID + self._random.getrandbits(48) * 1000

    def event(self, event_type_id: int | None = None) -> dict[str, Any]:
        """One event, as a decoder shows its body; of the given type, or the next from the deck."""
        event: dict[str, Any] = msgspec.json.decode(self.body(event_type_id))
        return event

    def body(self, event_type_id: int | None = None, *, size: int = 0) -> bytes:
        """One event as the cloud sends it: compact JSON in UTF-8, padded to ``size`` bytes unless it is longer."""
        return self._encode(self._draw() if event_type_id is None else self._make(event_type_id), size)

    def bodies(self, count: int, *, size: int = 0) -> Iterator[bytes]:
        """The next ``count`` events from the deck, as ``body`` gives them."""
        for _ in range(count):
            yield self.body(size=size)

    def case(self, outcome: Outcome = "quarantined", *, retrospective: bool = False) -> list[dict[str, Any]]:
        """The events of one detection, in the order of their times, with one ``detection_id`` between them."""
        first = RETROSPECTIVE_DETECTION if retrospective else THREAT_DETECTED
        events = self._make_case(first, outcome)
        return [msgspec.json.decode(self._encode(event)) for event in events]

    # --- the deck --------------------------------------------------------------------------------

    def _draw(self) -> Part:
        """The next event; those of a case come in any order, with others in between."""
        self._draws += 1
        for waiting in self._waiting:
            if waiting[0] <= self._draws:
                self._waiting.remove(waiting)
                return waiting[1]
        if not self._deck:
            self._deck = self._random.sample(self._types, len(self._types))
        event_type_id = self._deck.pop()
        if event_type_id not in _FOLLOW_UPS:
            return self._make(event_type_id)
        outcomes: tuple[Outcome, ...] = ("none", "quarantined", "failed", "failed, then quarantined")
        first, *others = self._shuffled(self._make_case(event_type_id, self._random.choice(outcomes)))
        for event in others:
            self._waiting.append((self._draws + self._random.randrange(1, _LONGEST_DELAY), event))
        return first

    def _make_case(self, first_type: int, outcome: Outcome) -> list[Part]:
        quarantine, failure = _FOLLOW_UPS[first_type]
        types = {"none": (), "quarantined": (quarantine,), "failed": (failure,)}.get(outcome, (failure, quarantine))
        detected = self._make(first_type)
        shared = {key: detected[key] for key in ("detection", "detection_id", "file")}
        others = [self._make(event_type_id, detected["computer"]) | shared for event_type_id in types]
        return [detected, *others]

    def _shuffled(self, events: list[Part]) -> list[Part]:
        return self._random.sample(events, len(events))

    # --- one event -------------------------------------------------------------------------------

    def _make(self, event_type_id: int, computer: Part | None = None) -> Part:
        random = self._random
        event: Part = {} if event_type_id == THREAT_HUNTING_INCIDENT else {"id": self._id()}
        seconds, nanoseconds = divmod(self._time_ns(), 1_000_000_000)
        date = datetime.fromtimestamp(seconds, timezone.utc).isoformat()
        event |= {"timestamp": seconds, "timestamp_nanoseconds": nanoseconds, "date": date}
        event |= {"event_type": self._name(event_type_id), "event_type_id": event_type_id}
        if event_type_id in _ACCOUNT:
            # Nothing happened on a computer; and the id is text.
            return event | {"id": str(event["id"]), "group_guids": [self._vocabulary.guid()]}
        detailed = event_type_id in _ISOLATION | {THREAT_HUNTING_INCIDENT, _METADATA_CHANGED}
        computer = computer or self._vocabulary.computer(detailed=detailed)
        if random.random() < 0.95:
            event["connector_guid"] = computer["connector_guid"]
            event["severity"] = random.choice(SEVERITIES)
        if event_type_id != THREAT_HUNTING_INCIDENT:
            event["group_guids"] = [computer["links"]["group"].rpartition("/")[2]]
        event["computer"] = computer
        return event | self._details(event_type_id, seconds)

    def _details(self, event_type_id: int, seconds: int) -> Part:
        """What tells one kind of event from another."""
        random, vocabulary = self._random, self._vocabulary
        details: Part = {}
        if event_type_id in _DETECTIONS:
            details |= {"detection": random.choice(DETECTIONS), "detection_id": str(self._id())}
            details["file"] = vocabulary.file(attacked=event_type_id == _EXPLOIT)
        if event_type_id in _COMPROMISES:
            short, description = random.choice(INDICATORS)
            details["cloud_ioc"] = {"description": description, "short_description": short}
            details |= {"tactics": vocabulary.tactics(), "techniques": vocabulary.techniques()}
            details |= {"file": vocabulary.file(), "command_line": {"arguments": random.choice(COMMAND_LINES)}}
        if event_type_id in _COMPROMISES | {_VULNERABLE_APPLICATION}:
            started = seconds - random.randrange(600)
            started_date = datetime.fromtimestamp(started, timezone.utc).isoformat()
            details |= {"start_timestamp": started, "start_date": started_date}
        if event_type_id == _VULNERABLE_APPLICATION:
            details |= {"file": vocabulary.file(), "vulnerabilities": vocabulary.vulnerabilities()}
        if event_type_id in _NETWORK:
            details["network_info"] = vocabulary.network()
        if event_type_id in _SCANS:
            details["scan"] = self._scan(with_detections="With" in self._names[event_type_id][0])
        if event_type_id in _UPDATES:
            details["bp_data"] = {
                "package_manager_serial_number": str(random.randrange(10**9)),
                "package_manager_current_version": "7.3.1.20001",
                "package_manager_pending_version": "7.3.3.20017",
                "sts": random.choice(("pending", "done")),
            }
        code, description = random.choice(ERRORS)
        if event_type_id in _ISOLATION:
            details["isolation"] = {"duration": random.randrange(86400), "error_code": code}
        if event_type_id >= _FAILURES_FROM:
            details["error"] = {"error_code": code, "description": description}
        if event_type_id == THREAT_HUNTING_INCIDENT:
            details |= self._threat_hunting(seconds)
        return details

    def _scan(self, *, with_detections: bool) -> Part:
        return {
            "description": "Flash Scan",
            "clean": not with_detections,
            "scanned_files": self._random.randrange(10**6),
            "scanned_processes": self._random.randrange(500),
            "scanned_paths": self._random.randrange(10**4),
            "malicious_detections": self._random.randrange(1, 9) if with_detections else 0,
        }

    def _threat_hunting(self, seconds: int) -> Part:
        described = {
            "tactics": self._vocabulary.tactics(as_objects=True),
            "techniques": self._vocabulary.techniques(as_objects=True),
        }
        incident = {
            "incident_report_guid": self._vocabulary.guid(),
            "incident_hunt_guid": self._vocabulary.guid(),
            "incident_title": "Suspicious use of “PowerShell”",
            "incident_summary": "A document started a shell.\n\nThe shell fetched a file.",
            "incident_remediation": "Isolate the computer; reimage it.",
            "incident_id": self._random.randrange(10**6),
            "severity": "critical",
            "incident_start_time": seconds - 86400,
            "incident_end_time": seconds,
        }
        return {"threat_hunting": incident | described, **described}

    def _name(self, event_type_id: int) -> str:
        """One of the names that the type has or had; a few types have none that is known."""
        names = [name for name in self._names.get(event_type_id, ()) if name]
        return self._random.choice(names) if names else f"Event {event_type_id}"

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _time_ns(self) -> int:
        if self._clock_ns is not None:
            return self._clock_ns()
        at_ns = self._at_ns
        self._at_ns += self._random.randrange(1000) * 1_000_000
        return at_ns

    def _encode(self, event: Part, size: int = 0) -> bytes:
        body = msgspec.json.encode(event)
        if len(body) >= size:
            return body
        arguments = event.get("command_line", {"arguments": ""})["arguments"]
        unpadded = msgspec.json.encode(event | {"command_line": {"arguments": arguments}})
        missing = max(size - len(unpadded), 0)
        # Hexadecimal digits at random: they compress as badly as the hashes that real events are full of.
        padding = f"{self._random.getrandbits(4 * missing):0{missing}x}"[:missing]
        return msgspec.json.encode(event | {"command_line": {"arguments": arguments + padding}})
