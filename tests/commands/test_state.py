"""`state show` and `state reset` work beside a daemon, and say what there is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fluent_plugin_amp.commands import state as job
from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE, Interrupted, UsageError
from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.state.errors import StateUnusable
from fluent_plugin_amp.state.lock import Lock
from fluent_plugin_amp.state.store import STEP_EVENTS, Store
from fluent_plugin_amp.state.values import BLOCK_EVENTS, KeptDeadLetter, split

NOW = 1_700_000_000

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.db"


@pytest.fixture
def daemon(path: Path) -> Iterator[Store]:
    """A state file in use, with events of two streams and a letter."""
    lock = Lock(path)
    lock.acquire()
    store = Store.open(path, create=True)
    with store.transaction():
        for number in range(10):
            add(store, "emea", BLOCK_EVENTS, NOW - 7200 * number, number)
        add(store, "[us]", 1, NOW, 99)
        store.add_letter(KeptDeadLetter("emea", "event.not-json", "no JSON", "", False, 0.0, b"x"))
        store.sort_unindexed()
        while store.index():
            pass
    yield store
    store.close()
    lock.release()


def add(store: Store, stream: str, count: int, at: int, salt: int) -> None:
    """Some events that were delivered together."""
    digests = [bytes([salt, *number.to_bytes(15, "big")]) for number in range(count)]
    store.add_delivered(split(stream, at, digests, [EventIdentity(None, 0, 0, None, None)] * count))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command, with a configuration that names the state file."""
    config = tmp_path / "config.yml"
    config.touch(mode=0o600)
    config.write_text("{streams: [{url: 'amqps://u:p@h', queue: q}], state: {path: state.db}}")

    def invoke(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "-c", str(config)], **options)  # type: ignore[arg-type]

    return invoke


# --- show ----------------------------------------------------------------------------------------


def test_it_counts_each_stream(path: Path, daemon: Store) -> None:
    """In all, in the last hour and day; the oldest and the newest; letters; size; and who has the file."""
    report = job.show(path, NOW + 1)
    assert report.streams == (
        ("[us]", 1, NOW, NOW, 1, 1, 0),
        ("emea", 10 * BLOCK_EVENTS, NOW - 9 * 7200, NOW, BLOCK_EVENTS, 10 * BLOCK_EVENTS, 1),
    )
    assert report.letters == 1
    assert report.size_bytes > 40 * BLOCK_EVENTS
    assert (report.holder or "").startswith("process ")


def test_nobody_uses_a_file_whose_daemon_has_ended(path: Path) -> None:
    """The file alone can be looked at."""
    Store.open(path, create=True).close()
    report = job.show(path, NOW)
    assert report.holder is None
    assert report.streams == ()


def test_a_file_that_is_not_there_is_no_empty_file(path: Path) -> None:
    """It is not made by looking."""
    with pytest.raises(StateUnusable, match="does not exist"):
        job.show(path, NOW)
    assert not path.exists()


def test_the_command_shows_a_table(run: Run, daemon: Store) -> None:
    """Each stream by its very name, whatever is in it."""
    result = run("state", "show")
    assert result.exit_code == EXIT_OK, result.output
    first, head, us, emea = result.output.splitlines()
    assert "1 dead letter kept, in use by process" in first
    assert head.split()[:2] == ["stream", "delivered"]
    assert us.split()[:2] == ["[us]", "1"]
    assert emea.split()[:2] == ["emea", "2560"]
    assert "2023-11-14 22:13:20Z" in emea


def test_the_command_prints_json(run: Run, daemon: Store) -> None:
    """All figures."""
    shown = json.loads(run("state", "show", "--json").output)
    assert shown["letters"] == 1
    assert shown["streams"][1]["events"] == 2560
    assert shown["streams"][1]["oldest_at"] == NOW - 9 * 7200


def test_what_polled_sources_keep_is_shown(run: Run, daemon: Store) -> None:
    """How much of it there is, and how far an audit log was delivered, in the table and as JSON."""
    with daemon.transaction():
        daemon.put_rows("kept", {("acme/audit_logs", "delivered_to"): b"%d" % NOW, ("acme/computers", "x"): b"12345"})
    *_, log, computers = run("state", "show").output.splitlines()
    assert log.split() == ["acme/audit_logs", "1", "10", "B", *units.day_and_time(NOW).split()]
    assert computers.split() == ["acme/computers", "1", "5", "B"]
    assert json.loads(run("state", "show", "--json").output)["kept"] == [
        {"source": "acme/audit_logs", "values": 1, "size_bytes": 10, "delivered_to": NOW},
        {"source": "acme/computers", "values": 1, "size_bytes": 5, "delivered_to": None},
    ]


def test_a_cursor_that_cannot_be_read_is_not_shown(run: Run, daemon: Store) -> None:
    """The source that has it begins anew, too."""
    with daemon.transaction():
        daemon.put_rows("kept", {("acme/audit_logs", "delivered_to"): b"soon"})
    assert json.loads(run("state", "show", "--json").output)["kept"][0]["delivered_to"] is None


def test_the_configuration_may_stand_before_the_command(tmp_path: Path, run: Run, daemon: Store) -> None:
    """`state -c FILE show` is `state show -c FILE`."""
    result = CliRunner().invoke(cli, ["state", "-c", str(tmp_path / "config.yml"), "show", "--json"])
    assert result.output == run("state", "show", "--json").output


def test_without_a_state_file_there_is_nothing_to_show(tmp_path: Path, run: Run) -> None:
    """A configuration without one is told so; a file that is not there yet is another matter."""
    assert run("state", "show").exit_code == EXIT_UNAVAILABLE
    (tmp_path / "config.yml").write_text("streams: [{url: 'amqps://u:p@h', queue: q}]")
    result = run("state", "show")
    assert result.exit_code == EXIT_USAGE
    assert "no state file is configured" in result.output


# --- reset ---------------------------------------------------------------------------------------


def test_a_stream_is_forgotten_beside_the_daemon(path: Path, daemon: Store) -> None:
    """Altogether; the others, and dead letters, stay; the daemon goes on with the same file."""
    job.reset(path, "emea")
    assert [(row.stream, row.events, row.letters) for row in daemon.summary(int(time.time()))] == [
        ("[us]", 1, 0),
        ("emea", 0, 1),
    ]
    with daemon.transaction():
        add(daemon, "emea", 1, NOW, 5)
    assert daemon.summary(NOW)[1].events == 1


def test_open_detections_and_incidents_are_forgotten_too(path: Path, daemon: Store) -> None:
    """All rows of that stream, in small steps; what is still to be sent stays, as other streams' rows do."""
    rows = {("emea", f"part {number}"): b"x" for number in range(2 * STEP_EVENTS)}
    stay = {("emea", "unsent detection D/1"): b"x", ("[us]", "part 1"): b"x"}
    with daemon.transaction():
        daemon.put_rows("combined", {**rows, **stay, ("emea", "clock"): b"x"})
    before = daemon.resets()
    job.reset(path, "emea")
    assert daemon.rows("combined") == stay
    after = daemon.resets()
    assert after["emea"] > before["emea"]
    assert after["[us]"] == before["[us]"]


def test_a_stream_of_which_only_detections_are_left(path: Path, daemon: Store) -> None:
    """A daemon is told all the same."""
    job.reset(path, "emea")
    before = daemon.resets()["emea"]
    with daemon.transaction():
        daemon.put_rows("combined", {("emea", "head D"): b"x"})
    job.reset(path, "emea")
    assert daemon.rows("combined") == {}
    assert daemon.resets()["emea"] == before + 1


def test_a_stream_that_is_unknown_is_a_mistake(path: Path, daemon: Store) -> None:
    """A misspelt name is told with those that there are."""
    with pytest.raises(UsageError, match=r"known are: \[us\], emea"):
        job.reset(path, "eema")


@pytest.mark.parametrize(("answer", "left"), [("n\n", 2560), ("y\n", 0)])
def test_the_command_asks(run: Run, daemon: Store, answer: str, left: int) -> None:
    """Nothing is forgotten unless it is confirmed."""
    run("state", "reset", "--stream", "emea", input=answer)
    assert daemon.summary(NOW)[1].events == left


def ask_and_be_interrupted(*_: object, **__: object) -> bool:
    """What click makes of Ctrl-C."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise click.Abort  # noqa: B904, as click does


def test_ctrl_c_at_the_question_is_an_interruption(run: Run, daemon: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the words and the exit code of any other; no answer at all is a mistake; no is no."""
    assert (run("state", "reset", "--stream", "emea", input="n\n").exit_code) == EXIT_NO
    result = run("state", "reset", "--stream", "emea", input="")
    assert (result.exit_code, "error [usage]: this needs a yes" in result.output) == (EXIT_USAGE, True)
    monkeypatch.setattr("click.confirm", ask_and_be_interrupted)
    result = run("state", "reset", "--stream", "emea")
    assert (result.exit_code, "error [interrupted]" in result.output) == (Interrupted.exit_code, True)
    assert daemon.summary(NOW)[1].events == 2560


def test_the_command_need_not_ask(run: Run, daemon: Store) -> None:
    """In a script."""
    result = run("state", "reset", "--stream", "emea", "--yes")
    assert result.exit_code == EXIT_OK, result.output
    assert daemon.summary(NOW)[1].events == 0


# --- garbage -------------------------------------------------------------------------------------

STATEMENTS = [
    "UPDATE streams SET name = zeroblob(id)",
    "UPDATE streams SET name = CAST(x'ff' || id AS TEXT)",
    "UPDATE streams SET resets = 'garbage'",
    "UPDATE delivered SET delivered_at = 'garbage', events = 1e300",
    "UPDATE delivered SET delivered_at = 9223372036854775807, digests = 7, facts = ''",
    "UPDATE delivered SET events = -5, stream = 'x'",
    "UPDATE letters SET stream = x'ff', received_at = 'x'",
    "DELETE FROM streams",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_garbled_rows_are_shown_or_left_out(run: Run, path: Path, daemon: Store, statement: str) -> None:
    """Never a traceback; a stream is forgotten, or there is an error with an id."""
    daemon._execute(statement)
    for arguments in (("show",), ("show", "--json")):
        result = run("state", *arguments)
        assert result.exit_code == EXIT_OK, result.output
        assert "[bug]" not in result.output
    result = run("state", "reset", "--stream", "emea", "--yes")
    assert result.exit_code in (EXIT_OK, EXIT_USAGE, EXIT_UNAVAILABLE)
    assert result.exit_code == EXIT_OK or "error [" in result.output
    assert "[bug]" not in result.output


@pytest.mark.parametrize(
    "garbage", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 9000, bytes(9000), b"", b"streams: []"]
)
@pytest.mark.parametrize("arguments", [("show",), ("reset", "--stream", "emea", "--yes")])
def test_a_file_that_is_none_is_an_error(run: Run, path: Path, garbage: bytes, arguments: tuple[str, ...]) -> None:
    """With an id and what to do."""
    path.write_bytes(garbage)
    result = run("state", *arguments)
    assert result.exit_code == EXIT_UNAVAILABLE, result.output
    assert "error [state." in result.output
    assert "what to do" in result.output
    assert path.read_bytes() == garbage


def test_a_garbled_page_is_an_error(run: Run, path: Path, daemon: Store) -> None:
    """With an id."""
    daemon.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(range(256)) * 16 * (len(data) // 4096 - 1))
    for arguments in (("show",), ("reset", "--stream", "emea", "--yes")):
        result = run("state", *arguments)
        assert result.exit_code == EXIT_UNAVAILABLE, result.output
        assert "error [state.corrupt]" in result.output
