"""Lists: what is made of each item, and whether that is all of the value."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape.convert_lists import LISTS, OBJECTS, cvss_score
from fluent_plugin_amp.pipeline.shape.rules import MAX_REPEATED_CHARACTERS
from tests.pipeline.shape.hostile import VALUES

UNKNOWN = {"type_id": 0, "type": "Unknown"}
TACTIC = {"external_id": "TA0002", "name": "TA0002: Execution", "mitre_url": "https://x"}
SUB = {"external_id": "T1059.001", "name": "PowerShell"}

CASES: list[tuple[str, Any, Any]] = [
    (
        "interfaces",
        [{"ip": "192.0.2.7", "mac": "87-9c-f8-c6-c9-cf"}],
        ([{"ip": "192.0.2.7", "mac": "87:9C:F8:C6:C9:CF", **UNKNOWN}], True),
    ),
    ("interfaces", [{"ip": "", "name": "eth0"}, 7], ([], False)),
    ("interfaces", {}, ([], False)),
    ("addresses", ["192.0.2.7", "***"], ([{"ip": "192.0.2.7", **UNKNOWN}], False)),
    ("addresses", "192.0.2.7", ([], False)),
    ("ips", ["192.0.2.7"], (["192.0.2.7"], True)),
    ("ips", None, ([], False)),
    ("interface_ips", [{"ip": "192.0.2.7"}, {"ip": "***"}, 7], (["192.0.2.7"], False)),
    ("interface_macs", [{"mac": "87:9c:f8:c6:c9:cf"}], (["87-9C-F8-C6-C9-CF"], False)),
    ("cves", [{"cve": "CVE-1"}, {}], (["CVE-1"], False)),
    ("cve_urls", {"url": "https://x"}, ([], False)),
    ("groups", ["a", ""], ([{"uid": "a"}], False)),
    ("groups", "a", ([], False)),
    ("texts", ["a"], (["a"], True)),
    ("texts", "a", ([], False)),
    ("related_events", [7, "8", None], ([{"uid": "7"}, {"uid": "8"}], False)),
    ("related_events", 7, ([], False)),
    ("tactics", ["TA0002"], ([{"tactic": {"uid": "TA0002"}}], True)),
    ("tactics", ["Execution", "***", 7], ([{"tactic": {"name": "Execution"}}], False)),
    ("tactics", [TACTIC], ([{"tactic": {"uid": "TA0002", "name": "Execution", "src_url": "https://x"}}], True)),
    (
        "tactics",
        [{**TACTIC, "name": "TA0002: "}],
        ([{"tactic": {"uid": "TA0002", "name": "TA0002: ", "src_url": "https://x"}}], True),
    ),
    ("tactics", [{"mitre_url": "https://x"}], ([], False)),
    ("tactics", [{"name": "a", "more": 1, "none": None}], ([{"tactic": {"name": "a"}}], False)),
    ("tactics", [{}], ([], True)),
    ("tactics", "TA0002", ([], False)),
    ("techniques", ["T1204"], ([{"technique": {"uid": "T1204"}}], True)),
    ("techniques", ["T1.1"], ([{"technique": {"uid": "T1"}, "sub_technique": {"uid": "T1.1"}}], True)),
    (
        "vulnerabilities",
        [{"cve": "C1", "url": "https://x", "score": "9.8", "name": "n", "version": "1"}, {"cve": "C2", "name": ""}],
        (
            [
                {
                    "cve": {
                        "uid": "C1",
                        "references": ["https://x"],
                        "cvss": [{"base_score": 9.8, "version": "Unknown"}],
                    },
                    "affected_packages": [{"name": "n", "version": "1"}],
                },
                {"cve": {"uid": "C2"}, "affected_packages": [{"name": "n", "version": "1"}]},
            ],
            True,
        ),
    ),
    ("vulnerabilities", [{"cve": "C1", "name": "n"}], ([{"cve": {"uid": "C1"}}], False)),
    (
        "vulnerabilities",
        [{"cve": "C1", "name": "n"}, {"name": "m", "score": "x"}, 7],
        ([{"cve": {"uid": "C1"}}], False),
    ),
    ("vulnerabilities", [{"cve": "C1"}], ([{"cve": {"uid": "C1"}}], True)),
    (
        "vulnerabilities",
        [{"cve": "C1", "name": "n" * MAX_REPEATED_CHARACTERS, "version": "1"}],
        ([{"cve": {"uid": "C1"}}], False),
    ),
    ("vulnerabilities", "C1", ([], False)),
    ("tactic_arrays", ["TA0002"], {"id": ["TA0002"]}),
    ("tactic_arrays", [TACTIC, TACTIC], {"id": ["TA0002"], "name": ["Execution"], "reference": ["https://x"]}),
    ("tactic_arrays", ["TA0002", TACTIC], None),
    ("tactic_arrays", ["***"], None),
    ("tactic_arrays", "TA0002", None),
    ("technique_arrays", ["T1204"], {"id": ["T1204"]}),
    ("technique_arrays", ["T1.1", "T2"], {"id": ["T1", "T2"], "subtechnique": {"id": ["T1.1"]}}),
    ("technique_arrays", [SUB], {"id": ["T1059"], "subtechnique": {"id": ["T1059.001"], "name": ["PowerShell"]}}),
    ("technique_arrays", [{"name": "a"}], {"name": ["a"]}),
    ("technique_arrays", [SUB, 7], None),
]
CONVERTERS: dict[str, Any] = {**LISTS, **OBJECTS}


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_what_is_made_of_a_list(name: str, value: Any, expected: Any) -> None:
    """Items and whether they are all of it; for ECS arrays, or None."""
    assert CONVERTERS[name](value) == expected


def test_each_has_a_case() -> None:
    """None is forgotten above."""
    assert {name for name, _, _ in CASES} == set(CONVERTERS)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_none_raises(name: str) -> None:
    """Whatever the value is, and whatever its items are."""
    for value in (*VALUES, [*VALUES]):
        CONVERTERS[name](value)


@pytest.mark.parametrize(
    ("value", "expected"), [(10, 10.0), ("6.8", 6.8), (10.1, None), ("x", None), ("1" * 9, None), (True, None)]
)
def test_a_score(value: Any, expected: float | None) -> None:
    """A number from 0 to 10, or a text that is one."""
    assert cvss_score(value) == expected
