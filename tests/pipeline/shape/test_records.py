"""The kind of a record, and its time."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape.records import KINDS, Finder

TABLE = [("User", "login sso_login", "logon"), ("*", "update", "change"), ("*", "*", "other")]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"audit_log_type": "User", "event": "sso_login"}, ("logon", True)),
        ({"audit_log_type": "Policy", "event": "update"}, ("change", True)),
        ({"audit_log_type": "Policy", "event": "login"}, ("other", False)),
        ({"audit_log_type": "User", "event": "***"}, ("other", True)),
        ({"audit_log_type": 7, "event": ["login"]}, ("other", True)),
        ({}, ("other", True)),
    ],
)
def test_the_row_of_a_record(record: dict[str, Any], expected: tuple[str, bool]) -> None:
    """By its type and what was done; a word that the table does not know is told, unless it is masked or missing."""
    assert Finder("audit_logs", TABLE)(record) == expected


def test_the_time_of_a_record() -> None:
    """A text, a number, or none: then it is when the record was read."""
    assert Finder("audit_logs", TABLE).when({"created_at": "2026-03-02T09:14:31Z"}, 1.5) == (1772442871, 0)
    assert Finder("vulnerabilities", TABLE).when({"latest_timestamp": 1772442871}, 1.5) == (1772442871, 0)
    assert Finder("computers", TABLE).when({}, 1.5) == (1, 500_000_000)


def test_the_kinds() -> None:
    """Events come from a stream; the others from an organisation."""
    assert KINDS == ("events", "audit_logs", "computers", "vulnerabilities", "hunts")
