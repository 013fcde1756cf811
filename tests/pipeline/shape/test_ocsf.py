"""Events in OCSF: valid, and nothing lost."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.pipeline.combine.detections import Detections
from fluent_plugin_amp.pipeline.combine.incidents import Incidents
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.shape import ocsf_table as table
from fluent_plugin_amp.pipeline.shape.drift import Drift
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfOfOrganisation, OcsfShape, compiled
from fluent_plugin_amp.pipeline.shape.tables import ids, rows
from fluent_plugin_amp.testing.events import EventGenerator
from tests.pipeline.shape.hostile import lost
from tests.pipeline.shape.ocsf_schema import faults

ARRIVAL = 1557506167.25
DETECTED = 1090519054
RESTORED = 553648149
REGISTERED = 50331649
DFC = 1090519084
HUNT = 1107296344
FETCHED = 553648173
SCAN_STARTED = 554696714
DISPOSITIONS = {"detected": "Detected", "quarantined": "Quarantined", "quarantine_failed": "Uncorrected"}


def lost_in(event: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """What of an event an OCSF record does not have."""
    mapped = {name: value for name, value in record.items() if name not in ("unmapped", "observables", "raw_data")}
    return lost(event, mapped, record.get("unmapped", {}), record["time"])


@pytest.mark.parametrize("version", table.VERSIONS)
def test_every_kind_is_valid(version: str) -> None:
    """What Cisco sends, of every known type, keeps to the schema: attributes, enumerations, texts beside numbers."""
    shape, generator = OcsfShape("emea", version), EventGenerator(3)
    found = {entry.id: wrong for entry in catalogue() if (wrong := faults(shape(generator.event(entry.id), ARRIVAL)))}
    assert found == {}


def test_every_type_has_a_kind() -> None:
    """All types that are known are in the table, each of them once."""
    listed = [each for columns in rows(table.KINDS) for each in ids(columns[9])]
    assert len(listed) == len(set(listed))
    assert {entry.id for entry in catalogue()} == set(listed)


def test_every_row_is_used() -> None:
    """Every attribute that the table names is there for some class and version."""
    targets = {columns[1] for columns in rows(table.FIELDS) if columns[1] and not columns[0].startswith("= ")}
    used = {
        field.target
        for version in table.VERSIONS
        for each in compiled(version).classes.values()
        for field in each._fields()
    }
    places = {"{file}": ("evidences[].file", "file")}
    for target in targets:
        ways = [target.replace("{file}", place) for place in places["{file}"]]
        assert set(ways) & used, target


def test_ids_are_text() -> None:
    """They exceed what readers of JSON keep exact."""
    event = EventGenerator(1).event(DETECTED)
    record = OcsfShape("emea")(event, ARRIVAL)
    assert record["metadata"]["uid"] == str(event["id"])
    assert record["finding_info"]["uid"] == record["metadata"]["correlation_uid"] == event["detection_id"]


def test_a_remediation_without_a_file() -> None:
    """It is a Remediation Activity then."""
    event = EventGenerator(1).event(RESTORED)
    assert OcsfShape("emea")(event, ARRIVAL)["class_uid"] == 7002
    record = OcsfShape("emea")({**event, "file": {"identity": {"sha256": "***"}}}, ARRIVAL)
    assert record["class_uid"] == 7001
    assert record["unmapped"]["file"] == {"identity": {"sha256": "***"}}


def test_an_inventory_without_a_computer() -> None:
    """It is a Base Event then."""
    assert OcsfShape("emea")({"event_type_id": REGISTERED, "id": 1}, ARRIVAL)["class_uid"] == 0


def test_an_unknown_type_is_what_its_fields_say() -> None:
    """A detection is a finding, a scan is a scan, and what tells nothing a Base Event."""
    shape = OcsfShape("emea")
    for fields, class_uid in (({"detection": "x"}, 2004), ({"scan": {"clean": True}}, 6007), ({}, 0)):
        record = shape({"event_type_id": 7, **fields}, ARRIVAL)
        assert (record["class_uid"], faults(record)) == (class_uid, [])


def test_an_incoming_connection_has_its_source_at_the_other_end() -> None:
    """Source and destination are those of the connection."""
    event = EventGenerator(1).event(DFC)
    event["network_info"]["nfm"]["direction"] = "Incoming connection from"
    (evidence, *_) = OcsfShape("emea")(event, ARRIVAL)["evidences"]
    assert evidence["connection_info"]["direction"] == "Inbound"
    assert evidence["src_endpoint"]["ip"] == event["network_info"]["remote_ip"]
    assert evidence["dst_endpoint"]["port"] == event["network_info"]["local_port"]


def test_a_combined_record_of_no_known_status_is_what_its_fields_say() -> None:
    """It is counted among the types that the table does not know."""
    shape = OcsfShape("emea")
    assert shape({"event_ids": [1], "status": "odd", "detection": "x"}, ARRIVAL)["class_uid"] == 2004
    assert shape({"event_ids": [1], "status": 7}, ARRIVAL)["class_uid"] == 0
    assert shape.drift.counts["event_type"] == 2


def test_records_of_an_organisation() -> None:
    """Their time is theirs; a word that the table does not know is counted."""
    shape = OcsfShape("acme", records="audit_logs")
    entry = {"event": "fly", "audit_log_type": "User", "created_at": "2026-03-02T09:14:31Z"}
    record = shape(entry, ARRIVAL)
    assert (record["time"], record["activity_name"]) == (1772442871000, "fly")
    assert shape.drift.samples == {("value", "event"): None}
    assert faults(record) == []


def test_what_made_a_record_and_what_is_left_of_the_event() -> None:
    """The rows are those of its class."""
    shape = OcsfShape("emea")
    record = shape({"event_type_id": REGISTERED, "id": 1, "odd": 7}, ARRIVAL)
    assert shape.left(record) == {"odd": 7}
    assert shape.left({}) == {}
    assert "metadata.uid" in {row.target for row in shape.rows(record)}


def test_a_parent_without_its_number_is_a_file() -> None:
    """Its file is a second evidence, since a process needs a number; it can be searched for all the same."""
    event = EventGenerator(1).event(DETECTED)
    event["file"] = {"file_name": "a.exe", "parent": {"file_name": "b.exe", "identity": {"md5": "0" * 32}}}
    record = OcsfShape("emea")(event, ARRIVAL)
    assert [evidence["file"]["name"] for evidence in record["evidences"]] == ["a.exe", "b.exe"]
    assert "process" not in record.get("actor", {})
    observed = {(each["name"], each["value"]) for each in record["observables"]}
    assert {("evidences[].file.name", "b.exe"), ("evidences[].file.hashes[].value", "0" * 32)} <= observed
    assert "actor.process.name" not in {name for name, _ in observed}


@pytest.mark.parametrize("version", table.VERSIONS)
def test_the_severity_of_a_hunt(version: str) -> None:
    """It is the event's where that has none, and stays where it is, too."""
    shape, event = OcsfShape("emea", version), EventGenerator(1).event(HUNT)
    event = {"threat_hunting": {**event["threat_hunting"], "severity": "critical"}, **event}
    for given, expected in (("Low", "Low"), (None, "Critical")):
        record = shape({**event, "severity": given}, ARRIVAL)
        assert (record["severity"], record["unmapped"]["threat_hunting"]["severity"]) == (expected, "critical")
        assert faults(record) == []
    assert shape({**event, "severity": None, "threat_hunting": "***"}, ARRIVAL)["severity"] == "Unknown"


@pytest.mark.parametrize("version", table.VERSIONS)
def test_the_application_is_the_one_that_the_event_is_about(version: str) -> None:
    """Orbital comes with its own events."""
    shape, generator = OcsfShape("emea", version), EventGenerator(1)
    for entry in catalogue():
        record = shape({**generator.event(entry.id), "event_type": entry.name}, ARRIVAL)
        if record["class_uid"] == 6002:
            expected = "Orbital" if "Orbital" in entry.name else "Secure Endpoint"
            assert (record["app"]["name"], faults(record)) == (expected, [])


def test_what_is_told_of_no_command_and_no_threat() -> None:
    """A scan has no id of a command, and a file that somebody fetched is logged: nothing detected it."""
    shape, generator = OcsfShape("emea"), EventGenerator(1)
    assert "command_uid" not in shape(generator.event(SCAN_STARTED), ARRIVAL)
    assert shape(generator.event(FETCHED), ARRIVAL)["disposition"] == "Logged"


def test_options() -> None:
    """Observables can be left out; the event can go along."""
    event = EventGenerator(1).event(DETECTED)
    record = OcsfShape("emea", raw_data=True, observables=False)(event, ARRIVAL)
    assert "observables" not in record
    assert str(event["id"]) in record["raw_data"]
    assert faults(record) == []


def test_the_time_is_the_events_or_its_arrival() -> None:
    """Milliseconds; what is finer stays in ``unmapped``."""
    event = {"event_type_id": DETECTED, "timestamp": 1593079552, "timestamp_nanoseconds": 619_000_001}
    record = OcsfShape("emea")(event, ARRIVAL)
    assert (record["time"], record["unmapped"]["timestamp_nanoseconds"]) == (1593079552619, 619_000_001)
    assert OcsfShape("emea")({"timestamp": "x"}, ARRIVAL)["time"] == 1557506167250
    record = OcsfShape("emea")({"event_type_id": DETECTED, "timestamp_nanoseconds": 619_000_000}, ARRIVAL)
    assert (record["time"], record["unmapped"]) == (1557506167250, {"timestamp_nanoseconds": 619_000_000})


def combined(*, incidents: bool) -> list[dict[str, Any]]:
    """Records that the plugin makes of Cisco's events."""
    generator = EventGenerator(8)
    maker = MemberMaker(None, Links("console.example"), b"secret")
    detections, made = Detections(1.0, 1000), Incidents(1.0, 0.0, ("sha256", "computer"), 1000)
    for number in range(600):
        event = generator.event()
        member = maker(event, event["timestamp"], event["timestamp_nanoseconds"], number.to_bytes(16, "big"))
        if member is None:
            continue
        if incidents:
            made.add("emea", member, 0.0)
        elif member.is_combined:
            detections.add("emea", member, 0.0)
    detections.flush()
    made.flush()
    return [emission.record for emission in (*detections.emissions, *made.emissions)]


@pytest.mark.parametrize("version", table.VERSIONS)
@pytest.mark.parametrize("incidents", [False, True], ids=["detections", "incidents"])
def test_combined_records_are_findings(incidents: bool, version: str) -> None:
    """Valid, with nothing lost; their time is that of the last event."""
    shape = OcsfShape("emea", version)
    records = combined(incidents=incidents)
    assert len(records) > 5
    for record in records:
        made = shape(copy.deepcopy(record), 0.0)
        assert faults(made) == []
        assert made["class_uid"] == 2004
        assert made["time"] == made["finding_info"]["last_seen_time"] > 1_500_000_000_000
        assert lost_in(record, made) == []
        assert made["disposition"] == DISPOSITIONS[record.get("status", "detected")]


def test_a_later_revision_is_an_update() -> None:
    """The first record of a detection creates the finding."""
    record = next(each for each in combined(incidents=False) if each["revision"] == 1)
    assert OcsfShape("emea")(record, 0.0)["activity_name"] == "Create"
    assert OcsfShape("emea")({**record, "revision": 2}, 0.0)["activity_name"] == "Update"


def test_what_is_compiled() -> None:
    """The classes that the kinds need; for computers that is one of twelve, until an event needs another."""
    made = OcsfOfOrganisation("1.6.0", "computers")
    assert made.classes.keys() == {5001}
    assert not {3001, 3002, 3004} & compiled("1.6.0").classes.keys()
    assert made.instead(made.kind_of({"change": "gone"}, Drift()), 0).ocsf_class.number == 0
    assert made.classes.keys() == {5001, 0}
