"""What only the records of an organisation have."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape.convert_records import LISTS, VALUES
from tests.pipeline.shape import hostile

CASES: list[tuple[str, Any, Any]] = [
    ("date", "2026-03-02T09:14:31Z", 1772442871000),
    ("date", "2026-03-02T10:14:31+01:00", 1772442871000),
    ("date", "2026-02-30T09:14:31Z", None),
    ("date", "1969-03-02T09:14:31Z", None),
    ("date", "2026-03-02", None),
    ("email", "ada@example.com", "ada@example.com"),
    ("email", "0123456789abcdef0123", None),
    ("an_object", {"a": 1}, {"a": 1}),
    ("an_object", {}, None),
    ("entity_type", "Policy", {"type_id": 5, "type": "Policy"}),
    ("entity_type", "FetchedFile", {"type_id": 99, "type": "FetchedFile"}),
    ("entity_type", "Email", None),
    ("related_event", 7, {"uid": "7"}),
    ("related_event", None, None),
    ("named_groups", [{"guid": "g", "name": "n"}], ([{"uid": "g", "name": "n"}], True)),
    ("named_groups", [{"more": 1, "name": ""}, {"guid": "g"}, 7], ([{"uid": "g"}], False)),
    ("named_groups", "g", ([], False)),
    (
        "scored_cves",
        [{"id": "C1", "link": "https://x", "cvss": 6.8}],
        (
            [
                {
                    "cve": {
                        "uid": "C1",
                        "references": ["https://x"],
                        "cvss": [{"base_score": 6.8, "version": "Unknown"}],
                    }
                }
            ],
            True,
        ),
    ),
    ("scored_cves", [{"cvss": "x", "link": ""}, {"id": "C1"}], ([{"cve": {"uid": "C1"}}], False)),
    ("scored_cves", "C1", ([], False)),
    (
        "resources",
        [{"connector_guid": "g", "hostname": "h", "active": True}, {"hostname": "i"}],
        (
            [
                {"type": "Computer", "uid": "g", "name": "h", "data": {"active": True}},
                {"type": "Computer", "name": "i"},
            ],
            True,
        ),
    ),
    ("resources", [{"active": True}], ([], False)),
    ("resources", None, ([], False)),
    ("cve_ids", [{"id": "C1"}, {"id": 7}], (["C1"], False)),
    ("cve_links", [{"link": "https://x"}], (["https://x"], False)),
    ("hostnames", [{"hostname": "h"}], (["h"], False)),
    ("highest_score", [{"cvss": 6.8}, {"cvss": "10"}, {"cvss": "x"}], 10.0),
    ("highest_score", "x", None),
    ("worst_score", [{"cvss": 6.8}], {"severity_id": 3, "severity": "Medium"}),
    ("worst_score", [{"cvss": 0}], None),
    ("ecs_worst_score", [{"cvss": 9.0}], 99),
    ("ecs_worst_score", [], None),
]
CONVERTERS: dict[str, Any] = {**VALUES, **LISTS}


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_what_a_converter_makes(name: str, value: Any, expected: Any) -> None:
    """None, or no items: the schema does not take the value."""
    assert CONVERTERS[name](value) == expected


def test_each_converter_has_a_case() -> None:
    """None is forgotten above."""
    assert {name for name, _, _ in CASES} == set(CONVERTERS)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_a_converter_never_raises(name: str) -> None:
    """Whatever the value is, and whatever its items are."""
    for value in (*hostile.VALUES, [*hostile.VALUES]):
        CONVERTERS[name](value)
