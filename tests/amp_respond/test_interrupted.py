"""Ctrl-C, SIGTERM and a lost terminal: what was not sent is not sent any more."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.amp_respond import actions, ready
from fluent_plugin_amp.amp_respond.actions import Stand
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.cisco import transport
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from tests.amp_respond.conftest import COMMANDS, YES, Run, changes, told

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize(
    ("kind", "number"),
    [("isolate", signal.SIGINT), ("block", signal.SIGTERM), ("move", signal.SIGHUP)],
    indirect=["kind"],
)
def test_a_signal_during_the_look_ends_it_before_the_request(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: Patch, number: signal.Signals
) -> None:
    """Nothing was sent, so there is no entry; it is told once."""

    async def look(*arguments: Any, **options: Any) -> Stand:
        signal.raise_signal(number)
        return await actions.look(*arguments, **options)

    monkeypatch.setattr(ready, "look", look)
    result = run(kind, *COMMANDS[kind][0], *YES, code=130)
    assert result.stderr.count("error [interrupted]") == 1
    assert "not done" in result.stdout
    assert changes(cloud) == []
    assert told(journal) == []


@pytest.mark.parametrize("kind", ["isolate"], indirect=True)
def test_a_signal_while_the_line_is_written_ends_it_before_the_request(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: Patch
) -> None:
    """The disk was slow: the entry says that nothing was done."""
    append = Journal.append

    def slowly(self: Journal, *lines: Any) -> None:
        append(self, *lines)
        if lines[0]["phase"] == "asked":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Journal, "append", slowly)
    run(kind, *COMMANDS[kind][0], *YES, code=130)
    assert changes(cloud) == []
    assert [line.get("outcome") for line in told(journal)] == [None, "not done"]


def signalled(monkeypatch: Patch, times: int) -> None:
    """Ctrl-C so often when a request is about to be made, after its line was written."""
    act = CiscoApi.act

    async def act_on(self: CiscoApi, *arguments: Any) -> HttpAnswer:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return await act(self, *arguments)

    monkeypatch.setattr(CiscoApi, "act", act_on)


@pytest.mark.parametrize("kind", ["isolate", "move"], indirect=True)
def test_a_signal_while_the_connection_is_made_ends_it_before_the_request(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: Patch
) -> None:
    """The line is written by then: the entry says that nothing was done."""
    signalled(monkeypatch, 1)
    run(kind, *COMMANDS[kind][0], *YES, code=130)
    assert changes(cloud) == []
    assert [line.get("outcome") for line in told(journal)] == [None, "not done"]


def interrupted(monkeypatch: Patch) -> None:
    """Ctrl-C while the answer to a request is waited for."""
    note = transport._Way.note

    async def noted(self: transport._Way, event: str, info: Mapping[str, Any]) -> None:
        await note(self, event, info)
        is_waited = event.endswith("receive_response_headers.started")
        if is_waited and info["request"].method not in (b"GET", b"OPTIONS"):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(transport._Way, "note", noted)


@pytest.mark.parametrize("kind", ["isolate", "move"], indirect=True)
@pytest.mark.parametrize(("status", "outcome"), [(200, "done"), (429, "not done"), (502, "in doubt")])
def test_a_signal_while_the_request_is_under_way_ends_it_before_a_repeat(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: Patch, status: int, outcome: str
) -> None:
    """Its answer is waited for, and looked up where it is in doubt; but nothing is sent once more."""
    _, method, path = COMMANDS[kind]
    if status != 200:
        cloud.fail(Failure(method, path, status=status))
    interrupted(monkeypatch)
    run(kind, *COMMANDS[kind][0], *YES, code=130)
    assert changes(cloud) == [method]
    assert told(journal)[1]["outcome"] == outcome


@pytest.mark.parametrize("kind", ["isolate"], indirect=True)
def test_a_second_ctrl_c_names_the_journal(run: Run, kind: str, journal: Path, monkeypatch: Patch) -> None:
    """It ends at once: nobody knows what became of the request, and the journal says so."""
    signalled(monkeypatch, 2)
    assert "what to do: See `amp-respond journal`" in run(kind, *COMMANDS[kind][0], *YES, code=130).stderr
    assert [line["phase"] for line in told(journal)] == ["asked"]
