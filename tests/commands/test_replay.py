"""`replay` as a command: what it takes, what it refuses, and what it would send."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.errors import EXIT_OK, EXIT_USAGE

EVENTS: list[dict[str, Any]] = [
    {"id": number, "event_type_id": number % 3 + 1, "timestamp": 1} for number in range(166)
]

Replay = Callable[..., Result]


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    """The command, on a file with this text; no server is there."""
    config = tmp_path / "config.yml"
    config.touch(mode=0o600)
    section = "{url: 'amqps://u:p@h', queue: q, tag: 'amp.{event_type_id}', transform: {drop_event_types: [2]}}"
    config.write_text(f"streams: [{section}]")

    def invoke(text: str, *options: str) -> Result:
        file = tmp_path / "events"
        file.write_text(text)
        return CliRunner().invoke(cli, ["replay", "-c", str(config), *options, str(file)])

    return invoke


@pytest.mark.parametrize("indent", [None, 2])
def test_a_dry_run_counts_what_would_be_sent(replay: Replay, indent: int | None) -> None:
    """By tag, with the transforms of the stream; a whole answer is its events."""
    result = replay(json.dumps({"version": "v1", "data": EVENTS}, indent=indent), "--dry-run")
    assert result.exit_code == EXIT_OK, result.output
    said, *tags = result.output.splitlines()
    assert said == "166 events: 111 to deliver, 0 dead letters, 55 dropped"
    assert [line.rpartition(" records")[0] for line in tags] == ["amp.1: 56", "amp.3: 55"]


def test_a_dry_run_counts_dead_letters(replay: Replay) -> None:
    """A line that is no event, among events."""
    result = replay('{"id": 1}\nno JSON\n', "--dry-run")
    assert "2 events: 1 to deliver, 1 dead letter, 0 dropped" in result.output
    assert "edr.cisco.amp.dead_letters: 1 record" in result.output


def test_anything_else_stops_at_the_first_line(replay: Replay) -> None:
    """With an error that names file and line."""
    result = replay("hello\nworld\n", "--dry-run")
    assert result.exit_code == EXIT_USAGE
    assert "error [replay.file-unusable]" in result.output
    assert "events, line 1: 'hello' is no event" in result.output
    assert "to deliver" not in result.output


def test_a_dry_run_writes_no_records(replay: Replay) -> None:
    """So there is no form of them."""
    result = replay('{"id": 1}', "--dry-run", "--stdout", "json")
    assert result.exit_code == EXIT_USAGE


def test_no_broker_is_met(tmp_path: Path) -> None:
    """So captured events are replayed where the broker's CA file is of no use."""
    config, events, ca_file = tmp_path / "config.json", tmp_path / "events", tmp_path / "ca.pem"
    ca_file.write_text("no certificate")
    config.touch(mode=0o600)
    stream = {"url": "amqps://u:p@h", "queue": "q", "tls": {"ca_file": str(ca_file)}}
    config.write_text(json.dumps({"streams": [stream]}))
    events.write_text('{"id": 1}')
    result = CliRunner().invoke(cli, ["replay", "-c", str(config), "--dry-run", str(events)])
    assert (result.exit_code, result.stderr) == (EXIT_OK, "1 event: 1 to deliver, 0 dead letters, 0 dropped\n")
