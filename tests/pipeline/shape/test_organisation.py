"""Audit logs, computers, vulnerabilities and hunts in OCSF and ECS: valid, and nothing lost."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape import ecs_organisation_table as organisation_in_ecs
from fluent_plugin_amp.pipeline.shape import ocsf_organisation_table as organisation
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.shape.ocsf_table import VERSIONS
from fluent_plugin_amp.pipeline.shape.records import EVENTS, KINDS
from fluent_plugin_amp.pipeline.shape.rules import MAX_REPEATED_CHARACTERS
from fluent_plugin_amp.pipeline.shape.tables import rows
from tests.pipeline.shape.ecs_schema import faults as faults_in_ecs
from tests.pipeline.shape.hostile import hostile
from tests.pipeline.shape.ocsf_schema import faults
from tests.pipeline.shape.organisation_records import (
    AUDIT_LOGS,
    COMPUTER,
    COMPUTERS,
    HUNTS,
    RECORDS,
    SHA256,
    VULNERABILITIES,
)
from tests.pipeline.shape.test_ecs import lost_in as lost_in_ecs
from tests.pipeline.shape.test_ecs import own
from tests.pipeline.shape.test_ocsf import lost_in

ARRIVAL = 1772500000.25
EACH_KIND = pytest.mark.parametrize("kind", RECORDS)
EACH_VERSION = pytest.mark.parametrize("version", VERSIONS)


def shaped(kind: str, record: dict[str, Any], version: str = "1.6.0") -> dict[str, Any]:
    """In OCSF."""
    return OcsfShape("acme", version, records=kind)(record, ARRIVAL)


@EACH_VERSION
@EACH_KIND
def test_every_record_is_valid(kind: str, version: str) -> None:
    """As Cisco sends it, with nothing lost."""
    for record in RECORDS[kind]:
        made = shaped(kind, record, version)
        assert faults(made) == [], record
        assert lost_in(record, made) == [], record


@EACH_VERSION
@EACH_KIND
def test_hostile_records_are_valid_and_nothing_is_lost(kind: str, version: str) -> None:
    """Whatever the values are: null, masked, of the wrong type, missing."""
    shape, random = OcsfShape("acme", version, records=kind), Random(kind)
    for number in range(400):
        record = hostile(RECORDS[kind][number % len(RECORDS[kind])], random)
        if not isinstance(record, dict):
            continue
        before = copy.deepcopy(record)
        made = shape(record, ARRIVAL)
        assert record == before
        assert lost_in(record, made) == [], record
        if number % 4 == 0:
            assert faults(made) == [], record


@EACH_KIND
def test_records_in_ecs(kind: str) -> None:
    """As Cisco sends them and hostile ones: of the right types, with nothing lost."""
    shape, random = EcsShape("acme", records=kind), Random(kind)
    for number in range(1000):
        record = RECORDS[kind][number % len(RECORDS[kind])]
        if number >= len(RECORDS[kind]):
            record = hostile(record, random)
        if not isinstance(record, dict):
            continue
        before = copy.deepcopy(record)
        made = shape(record, ARRIVAL)
        assert record == before
        assert faults_in_ecs(made) == [], record
        assert lost_in_ecs(record, made) == [], record


def test_what_an_audit_log_tells_in_ecs() -> None:
    """Who did what, when, to which thing."""
    made = EcsShape("acme", records="audit_logs")(AUDIT_LOGS[3], ARRIVAL)
    assert (made["event"]["category"], made["event"]["action"]) == (["authentication"], "login")
    assert made["user"]["email"] == made["related"]["user"][0] == "ada@example.com"
    assert (made["@timestamp"], own(made)["item"]) == ("2026-03-02T09:14:31.000000000Z", "ada@example.com")
    assert made["event"]["dataset"] == "cisco_secure_endpoint.audit_log"


def test_a_computer_and_a_vulnerability_in_ecs() -> None:
    """A computer is an asset; a vulnerability the state of a file on computers, found by their names."""
    made = EcsShape("acme", records="computers")(COMPUTERS[0], ARRIVAL)
    assert (made["event"]["kind"], made["event"]["action"], made["host"]["name"]) == ("asset", "appeared", "desk_014")
    made = EcsShape("acme", records="vulnerabilities")(VULNERABILITIES[0], ARRIVAL)
    assert (made["event"]["kind"], made["event"]["severity"], made["related"]["hosts"]) == ("state", 99, ["desk-014"])
    assert (made["vulnerability"]["score"]["base"], made["package"]["version"]) == (10.0, "41.0")
    assert made["@timestamp"].startswith("2026-03-02T08:20:00")


def test_the_kinds_of_records() -> None:
    """Each table is that of one kind."""
    assert set(KINDS) - {EVENTS} == set(RECORDS) == set(organisation.FIELDS)
    assert set(organisation_in_ecs.FIELDS) == set(organisation_in_ecs.DATASETS) == set(RECORDS)
    for table in (organisation, organisation_in_ecs):
        assert {columns[0] for columns in rows(table.KINDS)} == set(RECORDS)


@pytest.mark.parametrize(
    ("type_", "event", "class_uid", "activity"),
    [
        ("User", "login", 3002, "Logon"),
        ("User", "create", 3001, "Create"),
        ("User", "destroy", 3001, "Delete"),
        ("User", "update", 3004, "Update"),
        ("Policy", "create", 3004, "Create"),
        ("Policy", "unheard_of", 3004, "unheard_of"),
    ],
)
def test_what_an_audit_log_tells(type_: str, event: str, class_uid: int, activity: str) -> None:
    """Logons and accounts have classes of their own; the rest is the management of an entity."""
    made = shaped("audit_logs", {**AUDIT_LOGS[0], "audit_log_type": type_, "event": event})
    assert (made["class_uid"], made["activity_name"]) == (class_uid, activity)


def test_who_changed_what() -> None:
    """The attributes of before and after are data of the entity; the time is that of the entry."""
    made = shaped("audit_logs", AUDIT_LOGS[0])
    assert made["actor"]["user"] == {"name": "ada@example.com", "email_addr": "ada@example.com"}
    assert (made["entity"]["name"], made["entity"]["type"]) == ("Protect", "Policy")
    assert made["entity"]["data"] == AUDIT_LOGS[0]["old_attributes"]
    assert made["entity_result"]["data"] == AUDIT_LOGS[0]["new_attributes"]
    assert made["time"] == 1772442871000


def test_a_logon_without_a_user_manages_an_entity() -> None:
    """Its activity is another one there; without any name it is a Base Event."""
    without = {"event": "login", "audit_log_type": "User", "audit_log_id": ["no text"]}
    made = shaped("audit_logs", {**without, "new_attributes": {"a": 1}})
    assert (made["class_uid"], made["activity_name"], made["time"]) == (0, "login", 1772500000250)
    assert faults(made) == []


def test_a_word_that_the_table_does_not_know() -> None:
    """It is counted, with its field; a computer without a change is known."""
    shape = OcsfShape("acme", records="audit_logs")
    shape({**AUDIT_LOGS[0], "event": "unheard_of", "novelty": 1}, ARRIVAL)
    assert set(shape.drift.samples) == {("value", "event"), ("field", "novelty")}
    for kind in ("computers", "vulnerabilities", "hunts"):
        other = OcsfShape("acme", records=kind)
        for record in RECORDS[kind]:
            other(record, ARRIVAL)
        assert other.drift.samples == {}


def test_a_computer_that_is_gone() -> None:
    """The name of the activity tells what became of it."""
    assert shaped("computers", COMPUTERS[2])["activity_name"] == "gone"
    made = shaped("computers", COMPUTERS[1])
    assert (made["class_uid"], made["activity_name"], made["message"]) == (5001, "Collect", "changed")
    assert made["device"]["groups"] == [{"uid": COMPUTER["group_guid"], "name": "Protect"}]


def test_a_vulnerability() -> None:
    """Every CVE names the program; the worst score is the severity; computers are resources; CVEs can be searched."""
    made = shaped("vulnerabilities", VULNERABILITIES[0])
    (package,) = made["vulnerabilities"][1]["affected_packages"]
    assert (package["name"], package["version"], package["hash"]["value"]) == (
        "Mozilla Firefox",
        "41.0",
        SHA256.lower(),
    )
    assert made["severity"] == "Critical"
    assert [each["name"] for each in made["resources"]] == ["desk-014"]
    assert {each["value"] for each in made["observables"]} == {"CVE-2015-7204", "CVE-2013-0422"}


def test_a_vulnerability_that_changed() -> None:
    """Is an update of the finding with the same id, and not new."""
    appeared, changed = shaped("vulnerabilities", VULNERABILITIES[0]), shaped("vulnerabilities", VULNERABILITIES[2])
    assert (appeared["activity_name"], appeared["status"]) == ("Create", "New")
    assert changed["activity_name"] == "Update"
    assert "status" not in changed
    assert appeared["finding_info"]["uid"] == changed["finding_info"]["uid"]


def test_a_long_name_beside_many_cves() -> None:
    """It stays where it is: in each CVE it would multiply."""
    cves = [{"id": f"CVE-1-{number}"} for number in range(100)]
    name = "x" * (MAX_REPEATED_CHARACTERS // 100)
    made = shaped("vulnerabilities", {"application": name, "version": "1", "cves": cves})
    assert made["unmapped"] == {"application": name, "version": "1"}
    assert "affected_packages" not in made["vulnerabilities"][0]


def test_a_hunt() -> None:
    """A finding about the file, on the computer whose event asked; the silent ones are its resources."""
    silent, nobody, _ = HUNTS
    made = shaped("hunts", silent)
    assert (made["class_uid"], made["severity"], made["time"]) == (2004, "High", 1772442060000)
    assert made["finding_info"]["uid"] == silent["hunt_id"]
    assert made["finding_info"]["related_events"] == [{"uid": str(silent["event"]["id"])}]
    assert made["evidences"][0]["file"]["hashes"][0]["value"] == silent["file"]["identity"]["sha256"]
    assert made["device"]["hostname"] == "desk_014"
    assert [each["name"] for each in made["resources"]] == ["desk-015"]
    assert shaped("hunts", nobody)["severity"] == "Low"


def test_a_hunt_in_ecs() -> None:
    """It is an alert where a computer was silent; such computers are related hosts."""
    silent, nobody, _ = HUNTS
    made = EcsShape("acme", records="hunts")(silent, ARRIVAL)
    assert (made["event"]["kind"], made["event"]["severity"], made["event"]["dataset"]) == (
        "alert",
        73,
        "cisco_secure_endpoint.hunt",
    )
    assert made["file"]["hash"]["sha256"] in made["related"]["hash"]
    assert made["related"]["hosts"] == ["desk_014", "desk-015"]
    assert made["@timestamp"] == "2026-03-02T09:01:00.000000000Z"
    assert EcsShape("acme", records="hunts")(nobody, ARRIVAL)["event"]["kind"] == "event"
