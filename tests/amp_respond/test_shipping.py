"""The journal's entries reach a server, once they are acknowledged no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.amp_respond import shipping
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.commands.replay import replay
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.responses import LocalComputer
from fluent_plugin_amp.text import how_many
from tests.amp_respond.conftest import Run, told


@pytest.fixture
async def server() -> AsyncIterator[FakeFluentd]:
    """A server that acknowledges."""
    async with FakeFluentd() as server:
        yield server


@pytest.fixture
def config(server: FakeFluentd, tmp_path: Path) -> Path:
    """A configuration with the server."""
    stream = {
        "name": "siem",
        "url": "amqps://localhost:443",
        "username": "u",
        "password": "p",
        "queue": "event_stream_1",
    }
    forward = {"servers": [{"host": server.host, "port": server.port}]}
    config = tmp_path / "amp.yml"
    config.write_text(yaml.safe_dump({"streams": [stream], "forward": forward, "observe": {"listen": None}}))
    config.chmod(0o600)
    return config


async def test_an_entry_without_an_answer_is_shipped(
    run: Run, config: Path, server: FakeFluentd, journal: Path
) -> None:
    """Who kills the program does not keep what it did from the servers; nobody is at it any more."""
    written = Journal(journal)
    with written.writing():
        written.append({"entry": "00c0ffee", "phase": "asked", "action": "isolate", "at": "2026-03-02T09:00:00Z"})
    for count in (1, 0):
        said = (await asyncio.to_thread(run, "journal", "--ship", str(config))).stderr
        assert f"{how_many(count, 'entry')} sent" in said
    assert [entry.record["outcome"] for entry in server.entries] == ["unknown"]


async def test_entries_are_shipped_once(
    run: Run, computer: LocalComputer, config: Path, server: FakeFluentd, journal: Path
) -> None:
    """With the action that makes them; a second time there is nothing to send."""
    yes = ("--reason", "case 77", "--yes", "--ship", str(config))
    done = await asyncio.to_thread(run, "isolate", "desk-014", *yes)
    assert "1 entry sent" in done.stderr
    (entry,) = Journal(journal).entries()[0]
    assert entry.is_shipped
    (sent,) = server.entries
    record = sent.record
    assert {chunk.tag for chunk in server.chunks} == {"edr.cisco.amp.responses"}
    assert (record["action"], record["outcome"], record["reason"]) == ("isolate", "done", "case 77")
    assert record["entry"] == told(journal)[0]["entry"]
    again = await asyncio.to_thread(run, "journal", "--ship", str(config))
    assert "0 entries sent" in again.stderr


async def test_entries_are_marked_all_at_once(
    run: Run, config: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is waited for once, not for each of thousands."""
    written = Journal(journal)
    asked = [{"entry": id_, "phase": "asked", "action": "isolate", "at": "2026-03-02T09:00:00Z"} for id_ in "abc"]
    with written.writing():
        written.append(*asked)
    append, lines = Journal.append, []

    def count(self: Journal, *others: Any) -> None:
        lines.append(len(others))
        append(self, *others)

    monkeypatch.setattr(Journal, "append", count)
    await asyncio.to_thread(run, "journal", "--ship", str(config))
    assert lines == [3]
    assert all(entry.is_shipped for entry in written.entries()[0])


async def test_others_may_write_while_entries_are_sent(
    run: Run, config: Path, server: FakeFluentd, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that are away keep nobody from isolating a computer; what is written meanwhile is sent next time."""
    written = Journal(journal)
    asked = [{"entry": id_, "phase": "asked", "action": "isolate", "at": "2026-03-02T09:00:00Z"} for id_ in "ab"]
    with written.writing():
        written.append(*asked)

    async def others_write(*arguments: Any) -> None:
        await replay(*arguments)
        with written.writing():
            written.append({"entry": "b", "phase": "seen", "state": "isolated"})

    monkeypatch.setattr(shipping, "replay", others_write)
    await asyncio.to_thread(run, "journal", "--ship", str(config))
    assert [entry.is_shipped for entry in written.entries()[0]] == [True, False]


async def test_the_number_of_entries_comes_after_the_journal(run: Run, config: Path, journal: Path) -> None:
    """Above a long journal nobody sees it."""
    written = Journal(journal)
    with written.writing():
        written.append({"entry": "00c0ffee", "phase": "asked", "action": "isolate", "at": "2026-03-02T09:00:00Z"})
    said = await asyncio.to_thread(run, "journal", "--ship", str(config))
    assert said.output.index("00c0ffee") < said.output.index("1 entry sent")


@pytest.mark.parametrize("arguments", [("journal",), ("isolate", "desk-014", "--reason", "case 77", "--yes")])
def test_a_configuration_that_cannot_be_read_is_told_by_its_option(
    run: Run, computer: LocalComputer, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """`-c` of the plugin's own commands is no remedy here; and nothing was done."""
    said = run(*arguments, "--ship", str(tmp_path / "none.yml"), code=78).stderr
    assert "what to do: Give --ship" in said
    assert "-c" not in said.split("what to do")[1]
    assert computer.status == "not_isolated"
