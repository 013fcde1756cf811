"""Both programs end, wait and show figures in one way."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.text import Text

from fluent_plugin_amp.admin.session import connected
from fluent_plugin_amp.commands.console import (
    Unconfirmed,
    count_down,
    new_table,
    note_wait,
    report_errors,
    shared_code,
    table_text,
)
from fluent_plugin_amp.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_NO, EXIT_UNAVAILABLE, TooManyFiles


@pytest.mark.parametrize("decorator", [report_errors, connected], ids=["fluent-plugin-amp", "amp-streams"])
@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "error [interrupted]: interrupted"),
        (Unconfirmed(), EXIT_NO, "nothing was done"),
        (TooManyFiles("no \x1b descriptor"), EXIT_UNAVAILABLE, "error [process.too-many-files]: no \\x1b descriptor"),
        (RuntimeError("hunter2"), EXIT_BUG, "error [bug]: RuntimeError in test_console.py"),
    ],
)
def test_a_command_of_either_program_ends_in_the_same_way(
    decorator: Callable[[Any], Any], raised: BaseException, code: int, said: str
) -> None:
    """Its error has an id and an exit code; a fault of our own says its place, and nothing that may be secret."""

    def command(*_: object) -> int:
        raise raised

    result = CliRunner().invoke(click.command()(decorator(command)), [])
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(said)
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(("codes", "code"), [((), 0), ((69, 69), 69), ((69, 77), 1)])
def test_several_failures_have_one_exit_code(codes: tuple[int, ...], code: int) -> None:
    """The one that they share."""
    assert shared_code(codes) == code


def test_where_nobody_watches_a_row_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long, without blanks at its end, and without taking anything in it for mark-up."""
    monkeypatch.setattr("sys.stdout", io.StringIO())
    table = new_table("name", "more")
    table.add_row(Text("[red]:smile:"), Text("x" * 1000))
    table.add_row(Text("b"), Text(""))
    assert table_text(table) == f"name          more\n[red]:smile:  {'x' * 1000}\nb\n"


def test_a_wait_is_counted_down_in_whole_seconds() -> None:
    """Whoever is told how long it takes may end it."""
    told: list[str] = []

    def tick(left: str) -> None:
        told.append(left)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        asyncio.run(count_down(120.4, tick))
    assert told == ["2 min"]


def test_only_a_pause_that_somebody_notices_is_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And it stays one line, whatever the cloud says."""
    note_wait(0.4, "short")
    note_wait(90.2, "the rate limit\nis used up")
    assert capsys.readouterr().err == "the rate limit\\nis used up: waiting 1.5 min\n"
