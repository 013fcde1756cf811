from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from fluent_plugin_amp.commands.errors_reference import MODULES, reference
from fluent_plugin_amp.errors import PluginError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fluent_plugin_amp"
ERRORS: set[type[PluginError]] = {
    value
    for module in MODULES
    for value in vars(module).values()
    if inspect.isclass(value) and issubclass(value, PluginError) and value is not PluginError
}


def test_no_room_is_left_out() -> None:
    """Each module of errors has its errors on the page."""
    paths = {path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("errors.py")}
    assert {".".join(path.parts) for path in paths} == {module.__name__ for module in MODULES}


def test_the_page_is_current() -> None:
    """docs/errors.md is what the code says; `make docs` writes it anew."""
    assert (ROOT / "docs/errors.md").read_text("utf-8") == reference()


def test_the_command_prints_the_page() -> None:
    """`make docs` only has to redirect it."""
    command = [sys.executable, "-m", "fluent_plugin_amp.commands.errors_reference"]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert done.stdout == reference()


@pytest.mark.parametrize("error", sorted(ERRORS, key=repr))
def test_every_error_has_an_entry(error: type[PluginError]) -> None:
    """Id, cause and remedy of each error stand on the page."""
    page = reference()
    assert page.count(f"### `{error.id}`\n") == 1
    entry = page.split(f"### `{error.id}`\n")[1].split("\n#")[0]
    assert " ".join((error.__doc__ or "").split()) in entry
    assert error.default_remedy in entry
    assert "**Exit code:**" in entry


def test_exit_codes_are_those_of_the_errors() -> None:
    """The table of exit codes has each code that an error asks for."""
    page = reference()
    for error in ERRORS:
        assert f"| {error.exit_code} | " in page
