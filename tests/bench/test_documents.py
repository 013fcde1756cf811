"""The tables of README.md and docs/performance.md are those of the figures in docs/measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.bench.documents import MEASURED, PAGES, filled
from tests.bench.tables import parts
from tests.peers.tables import parts as peers_parts

PAGE = """\
Before.
<!-- bench: start -->
an old table
<!-- end -->
Between.
<!-- peers: speed -->
<!-- end -->
"""


def test_a_part_is_replaced_and_nothing_else() -> None:
    """Text around it stays, and so do the parts of another bench."""
    once = filled(PAGE, "bench", {"start": "| a |\n", "unused": "| b |"})
    assert once == PAGE.replace("an old table", "| a |")
    assert filled(once, "bench", {"start": "| a |\n"}) == once


def test_a_page_is_written_by_a_whole_run() -> None:
    """A part that was not measured is no reason to leave an old one."""
    with pytest.raises(ValueError, match="start was not measured"):
        filled(PAGE, "bench", {"head": ""})


@pytest.mark.parametrize(("bench", "parts_of"), [("bench", parts), ("peers", peers_parts)])
def test_the_pages_show_what_was_measured(
    bench: str, parts_of: Callable[[dict[str, Any], dict[str, Any]], dict[str, str]]
) -> None:
    """Whoever changes a figure by hand is found here, and who takes the figures away that the pages are made of."""
    saved = json.loads((MEASURED / f"{bench}.json").read_text())
    made = parts_of(saved["conditions"], saved["figures"])
    for path in PAGES:
        page = path.read_text()
        assert filled(page, bench, made) == page
