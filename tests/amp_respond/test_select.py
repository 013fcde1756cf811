"""Which names are meant: what a file says, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fluent_plugin_amp.amp_respond.select import names
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.responses import LocalComputer
from tests.amp_respond.conftest import Run


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("desk#14", ["desk#14"]),
        ("Lab Mac #2", ["Lab Mac #2"]),
        ("desk-014\t# ada's", ["desk-014\t# ada's"]),
        ("  # desk-014", []),
        ("#desk-014", []),
        ("\ufeffdesk-014", ["desk-014"]),
        ("desk-014\r", ["desk-014"]),
        (" desk-014 ", [" desk-014 "]),
        ("desk-014\x1f", ["desk-014\x1f"]),
        (" \t\r", []),
        ("desk-01\x0b4", ["desk-01\x0b4"]),
        ("desk-01\u20284", ["desk-01\u20284"]),
    ],
)
def test_a_name_of_a_file_is_never_cut(tmp_path: Path, line: str, found: list[str]) -> None:
    """A part of it may be another computer's name: only a line ends it, and only a whole line is a comment."""
    (tmp_path / "names").write_bytes(f"{line}\n".encode())
    assert names([], tmp_path / "names") == found


def test_standard_input_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mistake, and not as a bug."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="closed"):
        names([], Path("-"))


@pytest.mark.parametrize("name", ["desk-01\x004", "desk-\udcff", "desk-\u202e014", "desk-01\u20284"])
def test_a_name_that_cannot_be_read_is_no_computers(
    run: Run, computer: LocalComputer, cloud: LocalCloud, name: str
) -> None:
    """It is not asked for, either."""
    assert "cloud.computer-not-found" in run("isolate", name, "--yes", "--reason", "case 77", code=77).stderr
    assert cloud.requests == []
