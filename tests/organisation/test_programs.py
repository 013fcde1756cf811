"""Which vulnerable programs are new, and which have changed."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.organisation import programs as module
from fluent_plugin_amp.organisation.programs import Change, Programs, is_complete, parts_of, record_of, sha256_of

SHA256 = "e6e53fa8273d50297097d180062f73a4d8ab0bea03aea09cc40ee902f65876ab"


def program(**fields: Any) -> dict[str, Any]:
    """A program as the cloud tells it."""
    return {
        "application": "Firefox",
        "version": "41.0",
        "file": {"filename": "firefox.exe", "identity": {"sha256": SHA256}},
        "cves": [{"id": "CVE-1", "cvss": 10.0}, {"id": "CVE-2", "cvss": 6.8}],
        "latest_timestamp": 1772439600,
        "computers_total_count": 2,
        "computers": [{"connector_guid": "a", "links": {}}, {"connector_guid": "b", "links": {}}],
    } | fields


def take(programs: Programs, program: dict[str, Any]) -> Change | None:
    """It comes, and is told."""
    change = programs.take(program)
    if change is not None:
        assert programs.take(program) == change
        programs.told()
    return change


@pytest.fixture
def programs() -> Programs:
    """One is known."""
    programs = Programs()
    assert take(programs, program()) == Change("appeared", [])
    return programs


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"latest_timestamp": 1},
        {"file": {"identity": {"sha256": SHA256.upper()}}},
        {"cves": [{"id": "CVE-2", "cvss": 10}, {"id": "cve-1"}]},
        {"computers": [{"connector_guid": "B"}, {"connector_guid": "A"}]},
    ],
)
def test_what_is_no_change(programs: Programs, fields: dict[str, Any]) -> None:
    """It was seen again; case and order of what it lists."""
    assert take(programs, program(**fields)) is None


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({"cves": [{"id": "CVE-1"}]}, ["cves"]),
        ({"computers_total_count": 1, "computers": [{"connector_guid": "a"}]}, ["computers"]),
        ({"cves": None, "computers": None, "computers_total_count": None}, ["cves", "computers"]),
    ],
)
def test_a_change_says_of_what(programs: Programs, fields: dict[str, Any], changed: list[str]) -> None:
    """The CVEs, the computers, or both."""
    assert take(programs, program(**fields)) == Change("changed", changed)
    assert take(programs, program(**fields)) is None


@pytest.mark.parametrize(
    "fields", [{"version": "42.0"}, {"file": {"identity": {"sha256": "0"}}}, {"file": 7}, {"application": "Fox"}]
)
def test_another_version_file_or_name_is_another_program(programs: Programs, fields: dict[str, Any]) -> None:
    """It appears."""
    assert take(programs, program(**fields)) == Change("appeared", [])
    assert len(programs) == 2


def test_programs_without_a_file_do_not_take_turns(programs: Programs) -> None:
    """Of the same version: only their names tell them apart, and neither has changed when it comes again."""
    both = [program(file=None, application=name, cves=[{"id": name}]) for name in ("Office", "Flash")]
    assert [take(programs, each) for each in both] == [Change("appeared", [])] * 2
    assert [take(programs, each) for each in both] == [None, None]


def test_of_a_list_that_was_cut_the_number_counts(programs: Programs) -> None:
    """Which ones are listed differs from answer to answer."""
    take(programs, program(computers_total_count=1402))
    other = program(computers_total_count=1402, computers=[{"connector_guid": "c"}])
    assert not is_complete(other)
    assert take(programs, other) is None
    assert take(programs, other | {"computers_total_count": 1403}) == Change("changed", ["computers"])


def test_what_is_kept_is_taken_up_again(programs: Programs) -> None:
    """And what is garbled is told."""
    rows = {name: data for name, data in programs.rows().items() if data is not None}
    assert programs.rows() == {}
    again = Programs()
    assert again.restore(rows | {"bucket xx": b"?", "delivered_to": b"?"}) == ["bucket xx"]
    assert take(again, program()) is None
    assert take(again, program(cves=[])) == Change("changed", ["cves"])


def test_the_oldest_are_forgotten(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known is bounded; nothing is left of them where it is kept."""
    monkeypatch.setattr(module, "MAX_PROGRAMS", 1)
    programs.rows()
    take(programs, program(version="42.0"))
    assert len(programs) == 1
    rows = programs.rows().values()
    assert sum(len(data) for data in rows if data is not None) == module.ROW_BYTES
    assert take(programs, program()) == Change("appeared", [])


@pytest.mark.parametrize("file", [None, {}, {"identity": 7}, {"identity": {"sha256": 7}}])
def test_a_program_may_have_no_hash(file: object) -> None:
    """It is known by what there is."""
    assert sha256_of({"file": file}) == ""


def test_a_program_is_told_with_its_computers() -> None:
    """Without links to the API; of several parts each has the whole program."""
    computers = [{"connector_guid": str(number), "links": {}} for number in range(2)]
    told = program() | {
        "organisation": "acme",
        "change": "appeared",
        "computers": [{"connector_guid": "0"}, {"connector_guid": "1"}],
    }
    assert record_of("acme", program(), Change("appeared", []), computers, part=1, parts=1) == told
    part = record_of("acme", program(), Change("changed", ["cves"]), computers, part=2, parts=3)
    assert part == told | {"change": "changed", "changed": ["cves"], "part": 2, "parts": 3}


@pytest.mark.parametrize(("count", "parts"), [(None, 1), (0, 1), (1000, 1), (1001, 2), (50_000, 50)])
def test_many_computers_are_told_in_parts(count: object, parts: int) -> None:
    """A thousand each."""
    assert parts_of({"computers_total_count": count}) == parts


def test_fields_of_a_record_are_not_taken_from_a_program() -> None:
    """Whatever the cloud calls its own: a whole program that appeared is no part, and changed in nothing."""
    foreign = {"organisation": "other", "change": "gone", "changed": ["x"], "part": 7, "parts": 9, "computers": []}
    record = record_of("acme", program(**foreign), Change("appeared", []), [], part=1, parts=1)
    assert record == {"organisation": "acme", "change": "appeared"} | program(computers=[])
