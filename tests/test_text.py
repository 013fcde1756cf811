"""`text`, and every surface on which text from elsewhere is shown."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp import facts
from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.commands import state
from fluent_plugin_amp.commands.check import Row, table
from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.commands.console import report_errors
from fluent_plugin_amp.errors import ConfigError, HandshakeRefused, PluginError
from fluent_plugin_amp.observe import logs
from fluent_plugin_amp.observe.forward_log import ForwardLog
from fluent_plugin_amp.observe.logs import LOGGER, LogObserver
from fluent_plugin_amp.observe.page import render
from fluent_plugin_amp.observe.systemd import Notifier
from fluent_plugin_amp.observe.troubles import Troubles
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.state.values import StreamSummary
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.text import (
    MAX_CHARS,
    host_and_port,
    how_many,
    in_json,
    lines,
    modules_of,
    of_bug,
    of_error,
    one_line,
    place_of,
    values,
)
from tests.observe.scenes import Scene

FORGED = (
    "no\n2026-01-01T00:00:00.000Z info    all is well\r\x1b[2J\x1b]0;title\x07\x9b1m\x00\x7f"
    "\u202etxt.exe\u2066\u2028\u200b\ud800"
)
"""What a hostile peer says for a reason."""
SHOWN = (
    "no\\n2026-01-01T00:00:00.000Z info    all is well\\r\\x1b[2J\\x1b]0;title\\x07\\x9b1m\\x00\\x7f"
    "\\u202etxt.exe\\u2066\\u2028\\u200b\\ud800"
)
LONG = "a reason " * 200_000
REFUSED = HandshakeRefused(FORGED)


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test sets up is gone after it."""
    monkeypatch.setattr(LOGGER, "handlers", [])
    monkeypatch.setattr(LOGGER, "propagate", False)
    level = LOGGER.level
    yield
    LOGGER.setLevel(level)


def trouble(error: PluginError) -> facts.Fact:
    """A server in it."""
    return facts.ServerTrouble("a", error, 0, 10.0)


# --- the functions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "event", "0 events"),
        (1, "event", "1 event"),
        (2, "dead letter", "2 dead letters"),
        (1, "entry", "1 entry"),
        (30, "entry", "30 entries"),
    ],
)
def test_a_number_and_its_noun(count: int, noun: str, text: str) -> None:
    """No message says that 1 events were delivered."""
    assert how_many(count, noun) == text


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    """Whatever comes in; and what was made so stays so."""
    shown = one_line(text)
    assert shown.isprintable()
    assert one_line(shown) == shown
    if text.isprintable():
        assert shown == text


def test_what_is_escaped_can_be_read() -> None:
    """As in a string of Python."""
    assert one_line(FORGED) == SHOWN
    assert one_line("Zoë läuft. 漢字 \U0001f600 C:\\temp") == "Zoë läuft. 漢字 \U0001f600 C:\\temp"


def test_what_is_long_loses_its_middle() -> None:
    """Beginning and end stay, and how much is left out is told."""
    shown = one_line("begin" + "x" * 1_000_000 + "end")
    assert shown.startswith("beginx")
    assert shown.endswith("xend")
    assert f" … {1_000_008 - MAX_CHARS + 40} characters … " in shown
    for text in ("begin" + "x" * 1_000_000 + "end", "\0" * 1_000_000, "\0" * MAX_CHARS):
        assert len(one_line(text)) <= MAX_CHARS
        assert one_line(one_line(text)) == one_line(text)


def test_lines_keep_our_own_line_ends() -> None:
    """And nothing else."""
    assert lines("one\ntwo\r\x1b[1m\u2028three", "  ") == "  one\n  two\\r\\x1b[1m\\u2028three"


@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_says_the_same_without_what_is_not_printable(value: object) -> None:
    """Names and values alike; what is printable stays as it is."""
    shown = in_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == value
    assert in_json('{"a": "Zoë 漢字"}') == '{"a": "Zoë 漢字"}'


def test_only_mistakes_in_a_configuration_have_lines() -> None:
    """Words of a peer never do."""
    assert of_error(ConfigError("2 mistakes:\n  one\x1b\n  two")) == "2 mistakes:\n  one\\x1b\n  two"
    assert of_error(REFUSED) == SHOWN


def test_fields_keep_what_is_no_text() -> None:
    """For machines."""
    assert values({"a": "x\n", "b": 1, "c": None, "d": 1.5}) == {"a": "x\\n", "b": 1, "c": None, "d": 1.5}


# --- the log -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [REFUSED, HandshakeRefused(LONG)], ids=["forged", "long"])
@pytest.mark.parametrize("format", ["text", "json"])
def test_a_peer_cannot_forge_a_line_of_the_log(
    error: PluginError, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, short enough, with what to do at its end."""
    logs.set_up("info", format)  # type: ignore[arg-type]
    LogObserver()(trouble(error))
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert line.isprintable()
    assert "Next try in 10.0 s." in line
    assert len(line) < 5 * MAX_CHARS
    if format == "json":
        read = msgspec.json.decode(line)
        assert all(value.isprintable() for value in read.values() if isinstance(value, str))
        assert read["error_id"] == "forward.handshake-refused"
    if error is REFUSED:
        assert SHOWN in (line if format == "text" else read["error"])


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_cannot_forge_a_line_either(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lines are indented, and hold nothing else that is not printable."""
    logs.set_up("info", format)  # type: ignore[arg-type]
    try:
        raise RuntimeError(FORGED)
    except RuntimeError:
        LOGGER.exception("crashed")
    first, *rest = capsys.readouterr().err.split("\n")[:-1]
    assert all(each.isprintable() for each in (first, *rest))
    assert all(each.startswith("    ") for each in rest)
    if format == "json":
        assert all(each.isprintable() for each in msgspec.json.decode(first)["traceback"].split("\n"))


async def test_nor_a_record_of_the_log() -> None:
    """On its way to the servers."""
    log = logging.Logger("fluent_plugin_amp", logging.INFO)
    async with FakeFluentd() as server:
        shipper = ForwardLog("log", ForwardSettings((ServerAddress("a", server.host, server.port),)))
        log.addHandler(shipper)
        task = asyncio.create_task(shipper.run())
        log.warning("refused: %s", FORGED, extra={"fields": {"error": FORGED}})
        await server.wait_for(lambda: server.records)
        (record,) = server.records
        assert (record["message"], record["error"]) == (f"refused: {SHOWN}", SHOWN)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- the page, the probes, the service manager ---------------------------------------------------


def test_nor_the_page() -> None:
    """Nothing in it turns the direction of writing; the probes say what it says."""
    status = Scene().add_server("a", is_up=False).tell(trouble(REFUSED)).status()
    page = render(status, {}, 0.0)
    assert all(line.isprintable() for line in page.split("\n"))
    assert html.escape(SHOWN) in page
    assert SHOWN in [finding.what for finding in status.findings]


def test_what_is_remembered_of_a_trouble_is_short() -> None:
    """`Troubles` does not keep a megabyte of a peer's words."""
    troubles = Troubles()
    troubles(trouble(HandshakeRefused(LONG)))
    remembered = troubles.servers["a"].trouble
    assert remembered is not None
    assert len(remembered.what) < MAX_CHARS + 50


def test_nor_a_word_to_the_service_manager(tmp_path: Path) -> None:
    """A name of a server is no variable of systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        Notifier(str(tmp_path / "notify")).ready("servers a\nWATCHDOG=trigger")
        assert manager.recv(4096) == b"READY=1\nSTATUS=servers a\\nWATCHDOG=trigger"


# --- the terminal --------------------------------------------------------------------------------


def test_nor_an_error_in_a_terminal() -> None:
    """Its words are one line, its remedy another."""

    @click.command()
    @report_errors
    def refused() -> int:
        raise REFUSED

    lines_shown = CliRunner().invoke(refused).output.split("\n")[:-1]
    assert lines_shown == [
        f"error [forward.handshake-refused]: {SHOWN}",
        f"  what to do: {REFUSED.remedy}",
    ]


def test_nor_a_row_of_check() -> None:
    """Each peer has one."""
    ((_, line),) = table([Row("server", "a", "a:1", False, FORGED, "forward.handshake-refused")])
    assert line.isprintable()
    assert SHOWN in line


def test_nor_a_traceback_in_a_terminal() -> None:
    """With --debug, of our own errors and of bugs."""

    @click.group()
    @click.option("--debug", is_flag=True)
    def main(debug: bool) -> None: ...

    @main.command()
    @click.argument("kind")
    @report_errors
    def failing(kind: str) -> int:
        raise REFUSED if kind == "refused" else RuntimeError(FORGED)

    for kind in ("refused", "bug"):
        shown = CliRunner().invoke(main, ["--debug", "failing", kind]).output.split("\n")
        assert shown[0] == "Traceback (most recent call last):"
        assert all(line.isprintable() for line in shown)


def test_the_words_of_a_bug_need_debug() -> None:
    """They may hold anything, a secret too; its kind and place do not."""

    @click.command()
    @report_errors
    def failing() -> int:
        raise RuntimeError("hunter2")

    result = CliRunner().invoke(failing)
    assert result.exit_code == 70
    assert "error [bug]: RuntimeError in test_text.py:" in result.output
    assert "hunter2" not in result.output


def test_nor_an_event_that_is_explained(tmp_path: Path) -> None:
    """Its values and names are shown as JSON that says the same."""
    name = FORGED.replace("\ud800", "")
    (tmp_path / "event.json").write_text(json.dumps({"id": 1, name: name}))
    (tmp_path / "amp.yml").write_text("streams: [{name: a, url: 'amqps://u:p@127.0.0.1:1', queue: q}]")
    (tmp_path / "amp.yml").chmod(0o600)
    for options in ([], ["--json"]):
        arguments = ["explain", "-c", str(tmp_path / "amp.yml"), *options, str(tmp_path / "event.json")]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0
        assert all(line.isprintable() for line in result.output.split("\n"))
        assert "\\u202etxt.exe" in result.output


def test_nor_the_name_of_a_stream_in_a_state_file() -> None:
    """It comes from the file, which anything may have written."""
    stream = StreamSummary(FORGED, 1, 0, 0, 1, 1, 0)
    report = state.Report(Path(f"/{FORGED}"), 1, FORGED, (stream,))
    (cell,) = state.table(report).columns[0].cells
    assert str(cell) == SHOWN
    assert state.heading(report).isprintable()


def test_nor_what_amp_streams_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of the cloud in a table, and words of the cloud in an error."""
    screen = Screen()
    screen.table(("NAME",), [(FORGED.replace("\ud800", ""),)])
    screen.error(REFUSED, debug=False)
    shown = capsys.readouterr()
    assert len(shown.out.split("\n")) == 3
    assert len(shown.err.split("\n")) == 3
    assert all(line.isprintable() for line in (*shown.out.split("\n"), *shown.err.split("\n")))


def test_where_an_error_was_raised() -> None:
    """Its file and line, and the modules on the way; of one that nobody raised there is nothing to say."""
    with pytest.raises(AttributeError) as caught:
        lines(None)  # type: ignore[arg-type]
    assert re.fullmatch(r".*/fluent_plugin_amp/text\.py:\d+", place_of(caught.value))
    assert modules_of(caught.value) == [__name__, "fluent_plugin_amp.text"]
    assert re.fullmatch(r"AttributeError in text\.py:\d+", of_bug(caught.value))
    assert (place_of(ValueError()), modules_of(ValueError())) == ("", [])


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    """Otherwise nobody can tell its last group from the port."""
    assert host_and_port("broker.example", 5671) == "broker.example:5671"
    assert host_and_port("192.0.2.7", 443) == "192.0.2.7:443"
    assert host_and_port("2001:db8::7", 443) == "[2001:db8::7]:443"
