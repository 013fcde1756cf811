"""Events in ECS: of the right types, and nothing lost."""

from __future__ import annotations

import copy
import sys
from datetime import datetime
from typing import Any

import pytest

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.pipeline.shape import ecs_table, ocsf_table
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import compiled
from fluent_plugin_amp.pipeline.shape.tables import rows
from fluent_plugin_amp.testing.events import EventGenerator
from tests.pipeline.shape.ecs_schema import faults
from tests.pipeline.shape.hostile import lost
from tests.pipeline.shape.test_ocsf import combined

ARRIVAL = 1557506167.25
DETECTED = 1090519054
COMPROMISE = 1107296273
DFC = 1090519084
HUNT = 1107296344
SCAN_STARTED = 554696714


def own(record: dict[str, Any]) -> dict[str, Any]:
    """What is under Cisco's own names."""
    found: dict[str, Any] = record["cisco"]["secure_endpoint"]
    return found


def seconds(text: str) -> int:
    """Since the epoch."""
    return int(datetime.fromisoformat(f"{text[:19]}+00:00").timestamp())


def lost_in(event: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """What of an event an ECS record does not have."""
    kept = own(record)
    nanoseconds = int(record["@timestamp"][20:29])
    moment = seconds(record["@timestamp"]) * 1000 + nanoseconds // 1_000_000
    start = seconds(record["event"].get("start", "1970-01-01T00:00:00Z"))
    severities = {number: name for name, number in (("Low", 21), ("Medium", 47), ("High", 73), ("Critical", 99))}
    mapped = {name: value for name, value in record.items() if name not in ("cisco", "related")}
    mapped["also"] = [severities.get(record["event"].get("severity", 0)), nanoseconds, start]
    in_either = lost(event, mapped, kept, moment)
    return [each for each in in_either if each in lost(event, mapped, kept.get("unmapped", {}), moment)]


def test_every_kind_fits() -> None:
    """What Cisco sends, of every known type, has the types of the fields and the words of the categorization."""
    shape, generator = EcsShape("emea"), EventGenerator(3)
    found = {
        entry.id: wrong
        for _ in range(3)
        for entry in catalogue()
        if (wrong := faults(shape(generator.event(entry.id), ARRIVAL)))
    }
    assert found == {}


def test_combined_records() -> None:
    """Detections and incidents fit, with nothing lost; their time is that of the last event."""
    shape = EcsShape("emea")
    for record in (*combined(incidents=False), *combined(incidents=True)):
        made = shape(copy.deepcopy(record), 0.0)
        assert faults(made) == []
        assert lost_in(record, made) == []
        assert made["@timestamp"] == record["last_seen"]
        assert made["event"]["kind"] == "alert"


def test_every_kind_has_its_words() -> None:
    """The kinds of both tables are the same."""
    kinds = {columns[0] for columns in rows(ecs_table.KINDS)}
    assert kinds == {columns[0] for columns in rows(ocsf_table.KINDS)} | {"quarantine_failed", "incident", "unknown"}


def test_a_command_line_is_of_the_file() -> None:
    """The process is the event's file, and its parent the file's parent."""
    event = EventGenerator(1).event(COMPROMISE)
    event["file"] = {"file_name": "a.exe", "identity": {"md5": "A" * 32}, "parent": {"file_name": "b.exe"}}
    process = EcsShape("emea")(event, ARRIVAL)["process"]
    assert process["command_line"] == event["command_line"]["arguments"]
    assert (process["name"], process["parent"]["name"]) == ("a.exe", "b.exe")
    assert process["hash"] == {"md5": "a" * 32}


def test_without_a_command_line_the_process_is_the_parent() -> None:
    """It did something with the file."""
    event = EventGenerator(1).event(DETECTED)
    event["file"]["parent"] = {"file_name": "b.exe", "process_id": 7}
    assert EcsShape("emea")(event, ARRIVAL)["process"] == {"name": "b.exe", "pid": 7}


def test_an_incoming_connection_has_its_source_at_the_other_end() -> None:
    """Source and destination are those of the connection."""
    event = EventGenerator(1).event(DFC)
    event["network_info"]["nfm"]["direction"] = "Incoming connection from"
    record = EcsShape("emea")(event, ARRIVAL)
    assert record["network"]["direction"] == "ingress"
    assert record["source"]["ip"] == event["network_info"]["remote_ip"]
    assert record["destination"]["port"] == event["network_info"]["local_port"]


@pytest.mark.parametrize(
    ("event", "ends"),
    [
        ({"local_ip": "192.0.2.1"}, {"destination": {"ip": "192.0.2.1"}}),
        ({"remote_ip": "192.0.2.2"}, {"source": {"ip": "192.0.2.2"}}),
    ],
)
def test_an_incoming_connection_with_one_end(event: dict[str, Any], ends: dict[str, Any]) -> None:
    """The other one is not there."""
    nfm = {"direction": "Incoming connection from"}
    record = EcsShape("emea")({"event_type_id": DFC, "network_info": {**event, "nfm": nfm}}, ARRIVAL)
    assert {name: record[name] for name in ("source", "destination") if name in record} == ends


def test_a_combined_record_of_no_known_status_is_unknown() -> None:
    """It is counted among the types that the table does not know."""
    shape = EcsShape("emea")
    for event in ({"event_ids": [1], "status": "odd"}, {"event_ids": [1], "status": 7}, {"status": "detected"}):
        assert shape(event, ARRIVAL)["event"]["kind"] == "event"
    assert shape.drift.counts["event_type"] == 3


def test_records_of_an_organisation() -> None:
    """Their time is theirs; a word that the table does not know is counted."""
    shape = EcsShape("acme", records="audit_logs")
    assert "event" in shape({"event": "login", "audit_log_type": "User"}, ARRIVAL)
    assert shape.drift.samples == {}
    record = shape({"event": "fly", "audit_log_type": "User", "created_at": "2026-03-02T09:14:31Z"}, ARRIVAL)
    assert record["@timestamp"] == "2026-03-02T09:14:31.000000000Z"
    assert shape.drift.samples == {("value", "event"): None}
    assert "user.name" in {row.target for row in shape.rows(record)}


def test_what_made_a_record_and_what_is_left_of_the_event() -> None:
    """The rows are those of an event with a command line, or without."""
    shape = EcsShape("emea")
    command_line = {"command_line": {"arguments": "a.exe /s"}}
    for fields, parent in (({}, "process.name"), (command_line, "process.parent.name")):
        record = shape({"event_type_id": DETECTED, "odd": 7, **fields}, ARRIVAL)
        assert parent in {row.target for row in shape.rows(record)}
        assert shape.left(record) == own(record)


def test_a_field_of_a_name_that_is_ours_stands_apart() -> None:
    """Cisco's `related` is not in the place of those hashes and users."""
    record = EcsShape("emea")({"event_type_id": DETECTED, "related": 7}, ARRIVAL)
    assert own(record)["unmapped"] == {"related": 7}


def test_what_is_not_there_is_related_to_nothing() -> None:
    """A host without a name."""
    record = EcsShape("emea")({"event_type_id": DETECTED, "computer": {"connector_guid": "g"}}, ARRIVAL)
    assert record["host"] == {"id": "g"}
    assert "related" not in record


def test_a_masked_address_is_no_address() -> None:
    """Elasticsearch would refuse the document: it is kept where no type is given."""
    event = EventGenerator(1).event(DETECTED)
    event["computer"] |= {"external_ip": "***", "hostname": "Kiosk-7"}
    record = EcsShape("emea")(event, ARRIVAL)
    assert own(record)["unmapped"] == {"computer": {"external_ip": "***"}}
    assert (record["host"]["name"], record["host"]["hostname"]) == ("kiosk-7", "Kiosk-7")


def test_the_severity_of_a_hunt() -> None:
    """It is the event's where that has none."""
    event = EventGenerator(1).event(HUNT)
    event = {"threat_hunting": {**event["threat_hunting"], "severity": "critical"}, **event}
    for given, expected in (("Low", 21), (None, 99)):
        assert EcsShape("emea")({**event, "severity": given}, ARRIVAL)["event"]["severity"] == expected
    hidden = {**event, "severity": None, "threat_hunting": "***"}
    assert "severity" not in EcsShape("emea")(hidden, ARRIVAL)["event"]


def test_where_a_search_finds_an_event() -> None:
    """All of its addresses are related, a link to the console is its own page, and a scan is no malware."""
    shape, generator = EcsShape("emea"), EventGenerator(1)
    event = generator.event(DETECTED)
    event["computer"]["external_ip"] = "203.0.113.7"
    record = shape({**event, "console_links": {"device_trajectory_event": "https://x"}}, ARRIVAL)
    assert "203.0.113.7" in record["related"]["ip"]
    assert own(record)["computer"]["external_ip"] == "203.0.113.7"
    assert record["event"]["url"] == "https://x"
    assert faults(record) == []
    assert shape(generator.event(SCAN_STARTED), ARRIVAL)["event"]["category"] == ["host"]


def test_the_event_goes_along() -> None:
    """As JSON, where that was asked for."""
    event = EventGenerator(1).event(DETECTED)
    record = EcsShape("emea", raw_data=True)(event, ARRIVAL)
    assert str(event["id"]) in record["event"]["original"]
    assert faults(record) == []


def calls_of(shape: EcsShape, events: list[dict[str, Any]]) -> float:
    """How many functions, of Python and of C, are called for an event."""
    count = 0

    def note(frame: object, what: str, argument: object) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for event in events:
            shape(event, ARRIVAL)
    finally:
        sys.setprofile(before)
    return count / len(events)


def test_what_an_event_costs() -> None:
    """Of the calls that it takes, 168 on average: a further one for each object or field would be seen here."""
    shape, generator = EcsShape("emea"), EventGenerator(1)
    events = [generator.event() for _ in range(500)]
    calls_of(shape, events)  # what is computed once
    assert calls_of(shape, events) < 172


def test_what_is_taken_apart_for_each_event() -> None:
    """Plain tuples: a named one takes Python four times as long, and there are some thirty of them an event."""
    shape = EcsShape("emea")
    plan = shape._ecs.plan_of({}).plan
    assert {type(each) for each in plan._attach} == {tuple}
    assert {type(rule) for rule in plan._rules.values() if rule is not None} == {tuple}
    assert {type(each) for each in compiled("1.6.0").classes[2004].observables} == {tuple}
