"""Synthetic events: every type, every field and every trap of the real ones, the same again for the same seed."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.testing.events import (
    QUARANTINE_FAILURE,
    RETROSPECTIVE_DETECTION,
    RETROSPECTIVE_QUARANTINE,
    RETROSPECTIVE_QUARANTINE_FAILURE,
    THREAT_DETECTED,
    THREAT_HUNTING_INCIDENT,
    THREAT_QUARANTINED,
    EventGenerator,
    Outcome,
)

# Every field seen in events of the cloud or named in its published schemas: "where: name:types …".
FIELDS = """
: id:int,str timestamp:int timestamp_nanoseconds:int date:str start_timestamp:int start_date:str event_type:str
: event_type_id:int detection:str detection_id:str connector_guid:str group_guids[]:str severity:str
: tactics[]:str techniques[]:str
cloud_ioc: description:str short_description:str
command_line: arguments:str
computer: active:bool connector_guid:str external_ip:str hostname:str internal_ips[]:str is_compromised:bool
computer: operating_system:str risk_score:int user:str
computer.isolation: available:bool status:str
computer.links: computer:str group:str trajectory:str
computer.network_addresses[]: ip:str mac:str
computer.policy: guid:str name:str
error: description:str error_code:int
file: disposition:str file_name:str file_path:str
file.attack_details: application:str attacked_module:str base_address:str suspicious_files[]:str
file.identity: md5:str sha1:str sha256:str
file.parent: disposition:str file_name:str process_id:int
file.parent.identity: md5:str sha1:str sha256:str
bp_data: package_manager_serial_number:str package_manager_current_version:str package_manager_pending_version:str
bp_data: sts:str
isolation: duration:int error_code:int
network_info: dirty_url:str local_ip:str local_port:int remote_ip:str remote_port:int
network_info.nfm: direction:str protocol:str
network_info.parent: disposition:str file_name:str process_id:int
network_info.parent.identity: md5:str sha1:str sha256:str
scan: description:str clean:bool scanned_files:int scanned_processes:int scanned_paths:int malicious_detections:int
tactics[]: description:str external_id:str mitre_name:str mitre_url:str name:str
techniques[]: data_sources:str description:str external_id:str mitre_name:str mitre_url:str name:str permissions:str
techniques[]: platforms:str system_requirements:NoneType,str tactics_names:str
threat_hunting: incident_end_time:int incident_hunt_guid:str incident_id:int incident_remediation:str severity:str
threat_hunting: incident_report_guid:str incident_start_time:int incident_summary:str incident_title:str
threat_hunting.tactics[]: description:str external_id:str mitre_name:str mitre_url:str name:str
threat_hunting.techniques[]: data_sources:str description:str external_id:str mitre_name:str mitre_url:str name:str
threat_hunting.techniques[]: permissions:str platforms:str system_requirements:NoneType,str tactics_names:str
vulnerabilities[]: cve:str name:str score:str url:str version:str
"""


def known_fields() -> set[tuple[str, str]]:
    """FIELDS as (path, type)."""
    return {
        (f"{where}.{name}".removeprefix("."), kind)
        for where, _, fields in (line.partition(": ") for line in FIELDS.strip().splitlines())
        for name, _, kinds in (field.partition(":") for field in fields.split())
        for kind in kinds.split(",")
    }


def fields_of(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of an event as (path, type)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields_of(inner, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for inner in value:
            yield from fields_of(inner, f"{path}[]")
    else:
        yield path, type(value).__name__


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    """Enough of them to show every shape, decoded by an independent decoder."""
    return [json.loads(body) for body in EventGenerator(seed=1).bodies(3000)]


def test_every_field_of_the_cloud_occurs_and_no_other(events: list[dict[str, Any]]) -> None:
    """With every type that was seen for it."""
    seen = {field for event in events for field in fields_of(event)}
    assert known_fields() - seen == set()
    assert seen - known_fields() == set()


def test_every_event_type_occurs_under_each_of_its_names(events: list[dict[str, Any]]) -> None:
    """The deck holds each type, and names drift as in the cloud."""
    seen = defaultdict(set)
    for event in events:
        seen[event["event_type_id"]].add(event["event_type"])
    expected = {entry.id: {entry.name, *entry.aliases} - {""} for entry in catalogue()}
    assert len(expected) == 124
    assert seen.keys() == expected.keys()
    assert {id_: names for id_, names in seen.items() if expected[id_] and names != expected[id_]} == {}


def test_each_deal_of_the_deck_has_every_type_once() -> None:
    """So that few events show everything."""
    types = [entry.id for entry in catalogue() if entry.id not in (THREAT_DETECTED, RETROSPECTIVE_DETECTION)]
    generator = EventGenerator(seed=5, event_type_ids=types)
    for _ in range(3):
        assert {generator.event()["event_type_id"] for _ in types} == set(types)


def test_ids_are_unique_and_beyond_floating_point(events: list[dict[str, Any]]) -> None:
    """As integers where they are integers; a few are text, threat hunting incidents have none."""
    ids = [event["id"] for event in events if "id" in event]
    assert len(set(map(str, ids))) == len(ids)
    assert all(2**53 < int(id_) < 2**63 for id_ in ids)
    without = {event["event_type_id"] for event in events if "id" not in event}
    assert without == {THREAT_HUNTING_INCIDENT}
    assert all("group_guids" not in event for event in events if "id" not in event)
    assert all((isinstance(event.get("id"), str)) == (event["event_type_id"] < 10_000) for event in events)


def test_times_agree_and_go_forward(events: list[dict[str, Any]]) -> None:
    """Seconds, sub-second part and ISO date tell one moment; cases apart, later events are later."""
    for event in events:
        date = datetime.fromisoformat(event["date"])
        assert (date.timestamp(), date.tzinfo) == (event["timestamp"], timezone.utc)
        assert 0 <= event["timestamp_nanoseconds"] < 1_000_000_000
        if "start_timestamp" in event:
            assert event["start_timestamp"] <= event["timestamp"]
    assert events[0]["date"] == "2020-06-25T10:05:52+00:00"
    assert events[-1]["timestamp"] > events[0]["timestamp"] + 1000


def test_the_start_can_be_chosen_and_the_clock_too() -> None:
    """To test windows, and to measure how long an event was under way."""
    event = EventGenerator(start_s=1_700_000_000.25).event(THREAT_DETECTED)
    assert (event["timestamp"], event["timestamp_nanoseconds"]) == (1_700_000_000, 250_000_000)
    generator = EventGenerator(clock_ns=time.time_ns)
    before = time.time_ns()
    event = generator.event()
    assert before <= event["timestamp"] * 1_000_000_000 + event["timestamp_nanoseconds"] <= time.time_ns()


def test_failures_are_recognisable_by_id_and_carry_an_error(events: list[dict[str, Any]]) -> None:
    """Event types of failures exceed 2^31."""
    assert all(("error" in event) == (event["event_type_id"] >= 2**31) for event in events)


def collect(value: Any, key: str) -> Iterator[Any]:
    """Every value under this key, wherever it is."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from collect(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from collect(inner, key)


@pytest.mark.parametrize(
    ("key", "patterns"),
    [
        ("ip", ["", r"\d+\.\d+\.\d+\.\d+", "2001:db8::.+"]),
        ("mac", ["(..:){5}..", "(..-){5}.."]),
        ("sha256", ["[0-9a-f]{64}", "[0-9A-F]{64}"]),
        ("file_path", [r"\\\\\?\\C:\\.+", r"C:\\.+", "/C:/.+", "file:///C%3A/.+"]),
        ("hostname", ["[ -~]+", ".*[Ѐ-ӿ].*", ".*[一-鿿].*", ".*\U0001f6d2.*"]),
        ("user", ["[ -~]+", r"[^\\]+\\[^\\]+", ".*ß.*"]),
    ],
)
def test_values_vary_as_in_the_cloud(events: list[dict[str, Any]], key: str, patterns: list[str]) -> None:
    """Each known style occurs."""
    values = set(collect(events, key))
    for pattern in patterns:
        assert any(re.fullmatch(pattern, value) for value in values), pattern


def test_only_the_first_vulnerability_names_the_program(events: list[dict[str, Any]]) -> None:
    """Its scores are text."""
    found = [event["vulnerabilities"] for event in events if "vulnerabilities" in event]
    for first, *others in found:
        assert {"name", "version"} <= first.keys()
        assert others
        assert not any({"name", "version"} & other.keys() for other in others)
        assert all(0 < float(vulnerability["score"]) <= 10 for vulnerability in [first, *others])


def test_a_computer_is_told_consistently(events: list[dict[str, Any]]) -> None:
    """Connector and group of the event are those of its computer; older bodies lack connector and severity."""
    for event in events:
        computer = event.get("computer")
        if computer is None:
            continue
        if "connector_guid" in event:
            assert event["connector_guid"] == computer["connector_guid"]
        if "group_guids" in event:
            assert computer["links"]["group"].endswith(event["group_guids"][0])
    assert any("severity" not in event for event in events if "computer" in event)


# --- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "retrospective", "types"),
    [
        ("none", False, [THREAT_DETECTED]),
        ("quarantined", False, [THREAT_DETECTED, THREAT_QUARANTINED]),
        ("failed", False, [THREAT_DETECTED, QUARANTINE_FAILURE]),
        ("failed, then quarantined", False, [THREAT_DETECTED, QUARANTINE_FAILURE, THREAT_QUARANTINED]),
        ("quarantined", True, [RETROSPECTIVE_DETECTION, RETROSPECTIVE_QUARANTINE]),
        ("failed", True, [RETROSPECTIVE_DETECTION, RETROSPECTIVE_QUARANTINE_FAILURE]),
    ],
)
def test_a_case_is_one_detection(outcome: Outcome, retrospective: bool, types: list[int]) -> None:
    """One detection_id, file and computer; ids and times of their own, in order."""
    case = EventGenerator(seed=3).case(outcome, retrospective=retrospective)
    assert [event["event_type_id"] for event in case] == types
    for key in ("detection_id", "detection", "file", "computer", "group_guids"):
        assert all(event[key] == case[0][key] for event in case)
    assert len({event["id"] for event in case}) == len(case)
    moments = [(event["timestamp"], event["timestamp_nanoseconds"]) for event in case]
    assert moments == sorted(moments)


def test_cases_arrive_in_any_order_with_others_in_between(events: list[dict[str, Any]]) -> None:
    """The outcome may come before its detection; nothing of a case is withheld for long."""
    places = defaultdict(list)
    for place, event in enumerate(events):
        if "detection_id" in event:
            places[event["detection_id"]].append((place, event["event_type_id"]))
    cases = [case for case in places.values() if len(case) > 1]
    first_types = {case[0][1] for case in cases}
    assert first_types > {THREAT_DETECTED, THREAT_QUARANTINED, QUARANTINE_FAILURE}
    assert max(case[-1][0] - case[0][0] for case in cases) < 100
    assert any(case[1][0] - case[0][0] > 1 for case in cases)
    assert all(isinstance(detection_id, str) and int(detection_id) > 2**53 for detection_id in places)


# --- determinism and size ------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 2**64))
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    """Times included, whichever way the events are asked for."""
    bodies = list(EventGenerator(seed).bodies(150))
    again = EventGenerator(seed)
    assert [json.loads(body) for body in bodies] == [again.event() for _ in range(150)]
    assert bodies != list(EventGenerator(seed + 1).bodies(150))


def test_a_changed_event_changes_no_other() -> None:
    """Events share nothing with each other."""
    one, other = EventGenerator(seed=1), EventGenerator(seed=1)
    for _ in range(300):
        event = one.event()
        assert event == other.event()
        for value in event.values():
            if isinstance(value, dict):
                value.clear()


def test_bodies_are_compact_json_in_utf8(events: list[dict[str, Any]]) -> None:
    """As Cisco sends them: no spaces, no escapes for letters."""
    body = next(body for body in EventGenerator(seed=1).bodies(1000) if "Büro".encode() in body)
    assert body == json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("size", [1500, 2000, 100_000])
def test_bodies_can_be_padded(size: int) -> None:
    """To exactly the size, but for those that are longer anyway; they stay valid and do not compress away."""
    bodies = list(EventGenerator(seed=1).bodies(200, size=size))
    assert min(map(len, bodies)) == size
    assert sum(len(body) == size for body in bodies) > 100
    assert all("event_type_id" in json.loads(body) for body in bodies)
    padded = [len(zlib.compress(body)) for body in bodies if len(body) == size]
    assert min(padded) > size / 3
