"""The tables of the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.blocks import PAGES, ROOT

_BAR = re.compile(r"(?<!\\)\|")


def odd_rows(text: str) -> Iterator[str]:
    """Rows that are not as wide as the head of their table, or do not end."""
    head = None
    for line in re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if not line.startswith("|"):
            head = None
            continue
        width = len(_BAR.findall(line)) - 1
        head = width if head is None else head
        if width != head or not line.endswith("|"):
            yield line


@pytest.mark.parametrize("page", PAGES)
def test_a_table_is_as_wide_in_each_row_as_in_its_head(page: str) -> None:
    """Every cell stands below its heading."""
    assert list(odd_rows((ROOT / page).read_text("utf-8"))) == []


def test_odd_rows_are_found() -> None:
    """Those that lack a cell, have one too many, or are cut off."""
    text = "| a | b |\n|---|---|\n| 1 |\n| 1 | 2 | 3 |\n| 1 \\| 2 | 3 |\n| 1 | 2\n\n| c |\n```\n| d | e |\n```\n"
    assert list(odd_rows(text)) == ["| 1 |", "| 1 | 2 | 3 |", "| 1 | 2"]
