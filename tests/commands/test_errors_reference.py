from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from fluent_plugin_amp import errors
from fluent_plugin_amp.commands.errors_reference import reference
from fluent_plugin_amp.errors import PluginError

ROOT = Path(__file__).parents[2]
ERRORS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, PluginError) and value is not PluginError
]


def test_the_page_is_current() -> None:
    """docs/errors.md is what errors.py says; `make docs` writes it anew."""
    assert (ROOT / "docs/errors.md").read_text("utf-8") == reference()


def test_the_command_prints_the_page() -> None:
    """`make docs` only has to redirect it."""
    command = [sys.executable, "-m", "fluent_plugin_amp.commands.errors_reference"]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert done.stdout == reference()


@pytest.mark.parametrize("error", ERRORS)
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
