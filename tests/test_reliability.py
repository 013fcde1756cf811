"""docs/reliability.md names the tests of each invariant: they must be there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line for line in (ROOT / "docs/reliability.md").read_text("utf-8").splitlines() if re.match(r"\| \d+ \*\*", line)
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(path: str) -> set[str]:
    """Functions, and walks that hypothesis makes into test cases."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def test_all_nine_invariants_are_there() -> None:
    """Numbered, in order."""
    assert [row.split()[1] for row in ROWS] == [str(number) for number in range(1, 10)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("**")[1].rstrip("."))
def test_the_tests_that_are_named_exist(row: str) -> None:
    """Each row names at least three, by file and name."""
    named = NAMED.findall(row)
    assert len(named) >= 3
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []
