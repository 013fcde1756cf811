"""Tables that are written as text."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.pipeline.shape.tables import ids, is_in, numbered, rows


def test_rows() -> None:
    """Remarks and empty lines are none; a table is read once."""
    table = """
# a | b
one | 1 |

 two|2|x
"""
    assert rows(table) == (("one", "1", ""), ("two", "2", "x"))
    assert rows(table) is rows(table)


@pytest.mark.parametrize(
    ("where", "version", "expected"),
    [("", "1.1.0", True), ("1.1", "1.1.0", True), ("1.1", "1.5.0", False), ("1.5+", "1.8.0", True)],
)
def test_versions(where: str, version: str, expected: bool) -> None:
    """A row without a version holds in all of them."""
    assert is_in(where, version) is expected


def test_numbers() -> None:
    """With a name, and as a list with spans."""
    assert numbered("3 Medium") == (3, "Medium")
    assert numbered("99") == (99, "")
    assert [*ids("7 10-12")] == [7, 10, 11, 12]
