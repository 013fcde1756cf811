"""Each converter takes what a schema takes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape import convert
from fluent_plugin_amp.pipeline.shape.convert import CONVERTERS, hunt_severity
from tests.pipeline.shape.hostile import VALUES

SHA256, SHA1, MD5 = "AB" * 32, "AB" * 20, "AB" * 16
LONG = "x" * 300

CASES: list[tuple[str, Any, Any]] = [
    ("text", "a", "a"),
    ("text", "", None),
    ("lower_text", "TCP", "tcp"),
    ("lower_text", 6, None),
    ("id_text", 6533241145273614339, "6533241145273614339"),
    ("id_text", -(10**30), None),
    ("id_text", "7", "7"),
    ("id_text", None, None),
    ("integer", 2**31 - 1, 2**31 - 1),
    ("integer", 2**31, None),
    ("integer", True, None),
    ("port", 65535, 65535),
    ("port", 65536, None),
    ("milliseconds", 7, 7000),
    ("milliseconds", 2**32, None),
    ("nanoseconds", 619_000_000, 619),
    ("nanoseconds", 619_000_001, None),
    ("any_nanoseconds", 619_000_001, 619_000_001),
    ("any_nanoseconds", 1_000_000_000, None),
    ("moment", "2020-06-25T10:05:52.619000000Z", 1593079552619),
    ("moment", "2020-06-25", None),
    ("moment", "2020-02-30T10:05:52.619000000Z", None),
    ("moment_text", "2020-06-25T10:05:52.619000000Z", "2020-06-25T10:05:52.619000000Z"),
    ("moment_text", 7, None),
    ("ip", "203.0.113.7", "203.0.113.7"),
    ("ip", "2001:db8::1", "2001:db8::1"),
    ("ip", "***", None),
    ("ip", LONG, None),
    ("mac", "87-9c-f8-c6-c9-cf", "87:9C:F8:C6:C9:CF"),
    ("mac", "87-9c-f8-c6-c9-cg", None),
    ("mac", "87", None),
    ("ascii_hostname", "kiosk-7.example", "kiosk-7.example"),
    ("ascii_hostname", "kiosk 7", None),
    ("sha256", SHA256, {"algorithm_id": 3, "algorithm": "SHA-256", "value": SHA256.lower()}),
    ("sha1", SHA1, {"algorithm_id": 2, "algorithm": "SHA-1", "value": SHA1.lower()}),
    ("md5", MD5, {"algorithm_id": 1, "algorithm": "MD5", "value": MD5.lower()}),
    ("md5", SHA1, None),
    ("path", r"\\?\C:\a", r"C:\a"),
    ("path", "/C:/a/b", r"C:\a\b"),
    ("path", "file:///C%3A/a", r"C:\a"),
    ("path", "/usr/bin/x", "/usr/bin/x"),
    ("path", "\\\\?\\", "\\\\?\\"),
    ("path", LONG, LONG),
    ("path", None, None),
    ("orbital", "Orbital Install", "Orbital"),
    ("orbital", "Install", None),
    ("last_name", r"C:\a\b.exe", "b.exe"),
    ("last_name", "/usr/bin/", None),
    ("user", r"CORP\ada", {"name": "ada", "domain": "CORP"}),
    ("user", "ada@example.com", {"name": "ada", "domain": "example.com"}),
    ("user", "ada", {"name": "ada"}),
    ("user", "@b", {"name": "@b"}),
    ("user", "Not Available", None),
    ("severity", "HIGH", {"severity_id": 4, "severity": "High"}),
    ("severity", "odd", {"severity_id": 99, "severity": "odd"}),
    ("severity", "", None),
    ("operating_system", "Windows 10", {"name": "Windows 10", "type_id": 100, "type": "Windows"}),
    ("operating_system", "OS X 10.14.6", {"name": "OS X 10.14.6", "type_id": 300, "type": "macOS"}),
    ("operating_system", "CentOS 7", {"name": "CentOS 7", "type_id": 200, "type": "Linux"}),
    ("operating_system", "Plan 9", {"name": "Plan 9", "type_id": 0, "type": "Unknown"}),
    ("operating_system", 9, None),
    ("direction", "Outgoing connection from", {"direction_id": 2, "direction": "Outbound"}),
    ("direction", "ingress", {"direction_id": 1, "direction": "Inbound"}),
    ("direction", "sideways", None),
    ("direction", 1, None),
    ("malware_classes", "W32.Trojan.x", {"classification_ids": [18], "classifications": ["Trojan"]}),
    ("malware_classes", "W32.x", {"classification_ids": [0], "classifications": ["Unknown"]}),
    ("malware_classes", "", None),
    ("lower_hash_256", SHA256, SHA256.lower()),
    ("lower_hash_256", "g" * 64, None),
    ("lower_hash_256", "a b " * 16, None),
    ("lower_hash_256", "ä" * 64, None),
    ("lower_hash_1", SHA1, SHA1.lower()),
    ("lower_hash_5", MD5, MD5.lower()),
    ("lower_hash_5", 7, None),
    ("iso_seconds", 1593079552, "2020-06-25T10:05:52Z"),
    ("iso_seconds", 2**32 - 1, "2106-02-07T06:28:15Z"),
    ("iso_seconds", 2**32, None),
    ("ecs_severity", "Critical", 99),
    ("ecs_severity", "odd", None),
    ("ecs_severity", 4, None),
    ("ecs_system", "OS X 10.14", {"full": "OS X 10.14", "type": "macos"}),
    ("ecs_system", "Plan 9", {"full": "Plan 9"}),
    ("ecs_system", None, None),
    ("ecs_direction", "Outgoing", "egress"),
    ("ecs_direction", "Incoming", "ingress"),
    ("ecs_direction", "", None),
    ("scalar", 1.5, 1.5),
    ("scalar", [], None),
    ("scalars", ["a", 1], ["a", 1]),
    ("scalars", ["a", {}], None),
    ("scalars", "a", None),
    ("long", -(2**63), -(2**63)),
    ("long", 2**63, None),
    ("seconds", 7, 7),
    ("seconds", -1, None),
    ("objects", {"a": 1}, {"a": 1}),
    ("objects", [{}], [{}]),
    ("objects", [{}, 1], None),
    ("objects", "a", None),
]


@pytest.mark.parametrize(("name", "value", "expected"), CASES)
def test_what_a_converter_makes(name: str, value: Any, expected: Any) -> None:
    """None: the schema does not take the value."""
    assert CONVERTERS[name](value) == expected


def test_each_converter_has_a_case() -> None:
    """None is forgotten above."""
    assert {name for name, _, _ in CASES} == set(CONVERTERS)


@pytest.mark.parametrize("name", sorted(set(CONVERTERS) - {"orbital", "last_name"}))
def test_a_converter_never_raises(name: str) -> None:
    """Whatever the value is; the two that are left out take what another one made."""
    for value in VALUES:
        CONVERTERS[name](value)


def test_a_mac_with_dashes() -> None:
    """As ECS writes it."""
    assert convert.dashed_mac("87:9c:f8:c6:c9:cf") == "87-9C-F8-C6-C9-CF"
    assert convert.dashed_mac("87:9c:f8:c6:c9:cg") is None
    assert convert.dashed_mac(7) is None


def test_the_severity_of_a_hunts_report() -> None:
    """Of an event that has one, whatever it is."""
    assert hunt_severity({"threat_hunting": {"severity": "high"}}) == "high"
    assert hunt_severity({"threat_hunting": "***"}) is None
