"""What the command line says when something is not as it should be."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.commands.console import MEANT
from fluent_plugin_amp.errors import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE
from fluent_plugin_amp.testing import rabbitmq_node


def said(*arguments: str) -> tuple[int, str]:
    """The exit code, and what is on standard error."""
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.stderr


@pytest.mark.parametrize("name", MEANT)
def test_a_command_of_another_program(name: str) -> None:
    """It is no abbreviation of one of ours; the one that is meant is suggested."""
    code, text = said(name)
    assert code == EXIT_USAGE
    assert f"No such command '{name}'. Did you mean '{MEANT[name]}'?" in text
    assert MEANT[name] in cli.commands


@pytest.mark.parametrize("name", ["sta", "stat", "che", "ru"])
def test_no_command_is_abbreviated(name: str) -> None:
    """Never one that was not named."""
    code, text = said(name)
    assert code == EXIT_USAGE
    assert f"No such command '{name}'" in text


@pytest.mark.parametrize("command", [["run"], ["check"], ["state", "show"], ["explain", os.devnull]])
@pytest.mark.parametrize("kind", ["forbidden", "folder", "missing"])
def test_a_configuration_that_cannot_be_read(
    command: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words, id and exit code for each command, and not the command line's own."""
    path = tmp_path / "c.yml"
    reason = {"forbidden": "Permission denied", "folder": "Is a directory", "missing": "No such file or directory"}
    if kind == "folder":
        path.mkdir()
    if kind == "forbidden":
        path.touch(0o000)
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
        monkeypatch.setattr(os, "open", forbidding(path, os.open))
    code, text = said(*command, "-c", str(path))
    assert code == EXIT_CONFIG
    assert text.startswith(f"error [config.unreadable]: {path} cannot be read: {reason[kind]}\n")


def forbidding(path: Path, original: Any) -> Any:
    """``os.open`` for a user who may not read this file: root may."""

    def opened(name: Any, *arguments: Any, **options: Any) -> Any:
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return original(name, *arguments, **options)

    return opened


def test_the_demo_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing on this machine is no fault of the plugin."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    code, text = said("demo")
    assert code == EXIT_UNAVAILABLE
    assert text.startswith(
        "error [demo.incomplete]: the package trustme, which makes certificates, is not installed\n"
    )
    assert "pip install '.[demo]'" in text


def test_the_demo_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same."""
    monkeypatch.setattr(rabbitmq_node, "find_server", lambda: None)
    code, text = said("demo")
    assert code == EXIT_UNAVAILABLE
    assert text.startswith("error [demo.incomplete]: no rabbitmq-server on this machine")
