"""The options of `backfill` and `reconcile`, and what is printed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.commands.history import cli as history_cli
from fluent_plugin_amp.commands.history.cli import Watch
from fluent_plugin_amp.commands.history.past import LIST_IS_CUT
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, EXIT_USAGE
from fluent_plugin_amp.history.batches import Progress
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from tests.cisco.helpers import clean_environment
from tests.history.world import STREAM, World, history, second_of

Run = Callable[..., Result]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A cloud and a configuration; no server, so nothing can be sent."""
    clean_environment(monkeypatch)
    with LocalCloud() as cloud:
        yield World(tmp_path, cloud, 9, tmp_path / "none")


def run(made: World, *arguments: str) -> Result:
    """The command, in this process."""
    command, *options = arguments
    return CliRunner().invoke(cli, [command, "-c", str(made.config), *options])


@pytest.mark.parametrize("command", ["backfill", "reconcile"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing option '--since'"),
        (["--since", "tomorrow"], "'tomorrow' is not a time"),
        (["--since", "1h", "--until", "2h"], "--since must be before --until"),
        (["--since", "1h", "--stream", "apac"], "no stream is named 'apac'"),
        (["--since", "1h", "--stream", "emea", "--source", "audit_logs"], "--stream and --source exclude each other"),
        (["--since", "1h", "--source", "audit_logs"], "no organisation has `audit_logs`"),
    ],
)
def test_mistakes_are_told(made: World, command: str, options: list[str], words: str) -> None:
    """Exit code 2."""
    result = run(made, command, *options)
    assert (result.exit_code, words in result.output) == (EXIT_USAGE, True), result.output


def test_of_several_streams_one_must_be_named(made: World) -> None:
    """None is guessed."""
    document = yaml.safe_load(made.config.read_text())
    document["streams"].append({**document["streams"][0], "name": "us"})
    made.config.write_text(yaml.safe_dump(document))
    result = run(made, "backfill", "--since", "1h")
    assert (result.exit_code, "which stream? There are: emea, us" in result.output) == (EXIT_USAGE, True)


@pytest.mark.parametrize("command", ["backfill", "reconcile"])
def test_of_an_audit_log_what_run_reads_is_no_past(made: World, command: str) -> None:
    """Nor is the last minute: entries of it may still appear."""
    audit_log_of(made)
    result = run(made, command, "--source", "audit_logs", "--since", "50s", "--until", "now")
    assert result.exit_code == EXIT_USAGE
    assert "acme/audit_logs: `run` itself reads what was added since 20" in result.output


@pytest.mark.parametrize("command", ["backfill", "reconcile"])
def test_an_end_that_is_not_the_one_asked_for_is_told(made: World, command: str) -> None:
    """On standard error; of an end that is kept nothing is said."""
    audit_log_of(made)
    made.remember([], delivered_at=time.time())
    result = run(made, command, "--source", "audit_logs", "--since", "1h", "--until", "now")
    assert result.exit_code == EXIT_OK, result.output
    assert re.search(r"^note: ends at 20.*Z: what is later is left to `run`$", result.stderr, re.MULTILINE)
    assert "ends at" not in run(made, command, "--source", "audit_logs", "--since", "1h", "--until", "30m").output


def audit_log_of(made: World) -> None:
    """An organisation with one, in the configuration."""
    document = yaml.safe_load(made.config.read_text())
    api = {"client_id": made.organisation.client_id, "api_key": made.organisation.api_key}
    document["organisations"] = [{"name": "acme", "cloud": {"api": made.cloud.url}, "api": api, "audit_logs": {}}]
    made.config.write_text(yaml.safe_dump(document))


def test_an_hour_is_a_row(made: World) -> None:
    """Hour, in the cloud, delivered, missing, not known; the sum; and in notes below what the figures do not say."""
    now = time.time()
    bodies = history(200, until=now - 3600, spacing_s=30)
    made.organisation.publish(bodies)
    made.remember(bodies[:50], delivered_at=now - 86400)
    result = run(made, "reconcile", "--since", "3h")
    hours = len({second_of(body) // 3600 for body in bodies if second_of(body) >= now - 3 * 3600})
    heading, columns, *rows = result.output.splitlines()
    assert result.exit_code == EXIT_NO
    assert heading.startswith(f"stream {STREAM}, ")
    assert columns.split("  ")[0] == "hour (UTC)"
    assert [row.split()[0] == "total" for row in rows[: hours + 1]] == [False] * hours + [True]
    assert "note: Events that still wait in the queue" in result.output


def test_without_a_state_file_backfill_says_what_that_means(made: World) -> None:
    """It works all the same."""
    document = yaml.safe_load(made.config.read_text())
    del document["state"]
    made.config.write_text(yaml.safe_dump(document))
    result = run(made, "backfill", "--since", "3h")
    assert (result.exit_code, "note: no `state.path`" in result.output) == (EXIT_OK, True), result.output


def test_a_list_that_is_cut_is_told(made: World) -> None:
    """In a note below what was delivered."""
    body = b'{"data": [], "metadata": {"results": {"total": 3}}}'
    made.cloud.fail(Failure(path="/v1/events", status=200, body=body, times=99))
    result = run(made, "backfill", "--since", "3h")
    assert (result.exit_code, result.output.splitlines()[-1]) == (EXIT_NO, f"note: {LIST_IS_CUT}")


def test_where_nobody_watches_a_line_tells_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far it is, and what it waits for."""
    monkeypatch.setattr(history_cli, "LINE_EVERY_S", 0.0)
    with Watch("backfill emea") as watch:
        watch(Progress(500, 1500, 65.0))
        watch(Progress(500, None, None))
        asyncio.run(watch.wait(0.0, "not worth a line"))
    assert capsys.readouterr().err.splitlines() == [
        "backfill emea: 500 of about 2000 events, 1.1 min left",
        "backfill emea: 500 of about ? events, the time left is not known",
    ]


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time left; and while it waits, why and for how long."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with Watch("backfill emea") as watch:
        watch(Progress(500, 1500, 65.0))
        assert watch._bar is not None
        watch._bar.refresh()
        asyncio.run(watch.wait(0.05, "the rate limit is nearly used up"))
        watch._bar.refresh()
    shown = capsys.readouterr().err
    assert "500/2000" in shown
    assert "1.1 min left" in shown
    assert "the rate limit is nearly used up, goes on in 0 s" in shown
