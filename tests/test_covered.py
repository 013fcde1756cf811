"""What `make coverage` measures is there, and is what it says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.covered import ROOT, covered_modules, mirrored


@pytest.mark.parametrize("module", covered_modules(), ids=str)
def test_a_covered_module_is_pure_and_has_mirrored_its_own(module: Path) -> None:
    """A name that is nobody's would be covered without a word."""
    assert "Pure" in (ast.get_docstring(ast.parse((ROOT / module).read_text())) or "")
    assert (ROOT / mirrored(module)).exists()


def test_the_list_is_in_order() -> None:
    """Nothing is there twice, and a module is easily found: those at the top of the package come first."""
    modules = covered_modules()
    assert modules == sorted(set(modules), key=lambda module: (len(module.parts) > 2, module))
