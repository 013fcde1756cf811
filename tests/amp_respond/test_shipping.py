"""The journal's entries reach a server, once they are acknowledged no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.responses import LocalComputer
from tests.amp_respond.conftest import Run, told


@pytest.fixture
async def server() -> AsyncIterator[FakeFluentd]:
    """A server that acknowledges."""
    async with FakeFluentd() as server:
        yield server


async def test_entries_are_shipped_once(
    run: Run, computer: LocalComputer, server: FakeFluentd, journal: Path, tmp_path: Path
) -> None:
    """With the action that makes them; a second time there is nothing to send."""
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
    yes = ("--reason", "case 77", "--yes", "--ship", str(config))
    done = await asyncio.to_thread(run, "isolate", "desk-014", *yes)
    assert "1 entries sent" in done.stderr
    (entry,) = Journal(journal).entries()[0]
    assert entry.is_shipped
    (sent,) = server.entries
    record = sent.record
    assert {chunk.tag for chunk in server.chunks} == {"edr.cisco.amp.responses"}
    assert (record["action"], record["outcome"], record["reason"]) == ("isolate", "done", "case 77")
    assert record["entry"] == told(journal)[0]["entry"]
    again = await asyncio.to_thread(run, "journal", "--ship", str(config))
    assert "0 entries sent" in again.stderr
