"""Entries of the audit log: their time, their secrets, and bytes by which they are known again."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.organisation.entries import body_of, mask_secrets, moment_of, second_of


@pytest.mark.parametrize(
    ("created_at", "second"),
    [
        ("2024-06-19T10:16:22Z", 1718792182),
        ("2024-06-19T10:16:22", 1718792182),
        ("2024-06-19T12:16:22+02:00", 1718792182),
        ("1924-06-19T10:16:22Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("yesterday", None),
        (None, None),
        (5, None),
    ],
)
def test_when_it_happened(created_at: Any, second: int | None) -> None:
    """Without a zone it is UTC; what cannot be read is None."""
    assert second_of({"created_at": created_at}) == second


def test_the_api_is_asked_with_an_offset() -> None:
    """ISO 8601."""
    assert moment_of(1718792182) == "2024-06-19T10:16:22+00:00"


def test_secrets_are_masked_at_any_depth() -> None:
    """Whatever the configuration says; null stays null."""
    entry = {
        "event": "update",
        "old_attributes": {"unlock_code": None, "name": "n"},
        "new_attributes": {"Unlock_Code": "qwerty", "list": [{"api_key": {"a": 1}}, ["x"]]},
    }
    assert mask_secrets(entry) == {
        "event": "update",
        "old_attributes": {"unlock_code": None, "name": "n"},
        "new_attributes": {"Unlock_Code": "***", "list": [{"api_key": "***"}, ["x"]]},
    }


def test_equal_entries_have_equal_bytes() -> None:
    """However the cloud orders their keys; another value is another entry."""
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert body_of(one) == body_of(other)
    assert body_of(one)[1] == b'{"a":1,"b":{"c":2,"d":3}}'
    assert body_of({"a": 2})[0] != body_of({"a": 3})[0]
