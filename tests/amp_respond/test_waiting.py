"""Waiting for the state of an isolation: what is told, and what is written down meanwhile."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.amp_respond import waiting
from fluent_plugin_amp.amp_respond.errors import JournalUnusable
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.cisco import isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import COMMANDS, YES, Run, told


@pytest.mark.parametrize("when", ["between two", "while it waits"])
def test_what_was_done_before_an_interrupt_is_told(
    run: Run, responses: Responses, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Ctrl-C, and the entries of what was done are shown all the same; the exit code is that of an interrupt."""
    computers = [responses.add_computer(name, offline=True) for name in ("desk-014", "desk-015")]
    act, status = CiscoApi.act, isolation.status

    async def interrupted(self: CiscoApi, *others: Any) -> HttpAnswer:
        answer = await act(self, *others)
        if when == "between two":
            signal.raise_signal(signal.SIGINT)
        return answer

    async def looked(*others: Any) -> isolation.Isolation:
        found = await status(*others)
        if when != "between two" and computers[1].status == "pending_start":
            signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(isolation, "status", status)
            monkeypatch.setattr(waiting, "FIRST_LOOK_S", 1.0)
        return found

    monkeypatch.setattr(CiscoApi, "act", interrupted)
    monkeypatch.setattr(isolation, "status", looked)
    monkeypatch.setattr(waiting, "LOOK_S", 1.0)
    result = run("isolate", "desk-014", "desk-015", *YES, code=130)
    rows = [row.split() for row in result.stdout.splitlines()[1:]]
    last = ["not", "tried", "-"] if when == "between two" else ["done", "pending_start"]
    assert [row[4:] for row in rows] == [["done", "-" if when == "between two" else "pending_start"], last]
    assert result.stderr.count("error [interrupted]") == 1


def test_who_waits_is_not_stopped_by_who_writes_the_journal(
    run: Run, computer: LocalComputer, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has it during a look: what was seen is written down after the next pause."""
    status, wait, held = isolation.status, Screen.wait, ExitStack()

    async def waited(self: Screen, seconds: float, why: str) -> None:
        held.close()
        await wait(self, seconds, why)

    async def looked(*others: Any) -> isolation.Isolation:
        if computer.status == "pending_start":
            held.enter_context(Journal(journal).writing())
        return await status(*others)

    monkeypatch.setattr(isolation, "status", looked)
    monkeypatch.setattr(Screen, "wait", waited)
    run("isolate", "desk-014", *YES)
    assert [line.get("state") for line in told(journal)] == [None, None, "isolated"]


@pytest.mark.parametrize(("state", "code"), [("pending_start", 1), ("isolated", 0)])
def test_a_state_is_told_though_another_process_has_the_journal(
    run: Run, computer: LocalComputer, journal: Path, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    """To the end of the wait: the exit code is that of the state, and a note says that the journal lacks it."""
    computer.offline = state == "pending_start"
    status, held = isolation.status, ExitStack()

    async def looked(*others: Any) -> isolation.Isolation:
        if computer.status == "pending_start" and not computer.offline:
            computer.status = "isolated"
        if computer.status == state:
            held.enter_context(Journal(journal).writing())
            monkeypatch.setattr(isolation, "status", status)
        return await status(*others)

    monkeypatch.setattr(isolation, "status", looked)
    with held:
        result = run("isolate", "desk-014", *YES, "--wait", "0.05s", "--json", code=code)
    assert [one["state"] for one in json.loads(result.stdout)] == [state]
    assert "another amp-respond has the journal: the states are not in it" in result.stderr
    assert [line["phase"] for line in told(journal)] == ["asked", "answered"]


def test_what_was_seen_in_one_turn_is_written_at_once(
    run: Run, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is taken once for all computers: where another process has it, each try takes half a second."""
    for number in range(3):
        responses.add_computer(f"desk-{number}", offline=True)
    append, written = Journal.append, []

    def count(self: Journal, *lines: Any) -> None:
        written.append([line["phase"] for line in lines])
        append(self, *lines)

    monkeypatch.setattr(Journal, "append", count)
    run("isolate", "desk-0", "desk-1", "desk-2", *YES, "--count", "3", "--wait", "0.05s", code=1)
    assert written[-1] == ["seen"] * 3


def test_a_state_that_cannot_be_written_down_is_an_error(
    run: Run, computer: LocalComputer, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was reached, and is told; but the journal does not have it."""
    append = Journal.append

    def fail(self: Journal, *lines: Any) -> None:
        if lines[0].get("state") == "isolated":
            raise JournalUnusable("no space left")
        append(self, *lines)

    monkeypatch.setattr(Journal, "append", fail)
    result = run("isolate", "desk-014", *YES, "--json", code=2)
    (shown,) = json.loads(result.stdout)
    assert (shown["state"], shown["error"]["id"]) == ("isolated", "respond.journal-unusable")


def test_one_that_is_removed_while_it_is_waited_for_hides_no_other(
    run: Run, responses: Responses, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state cannot be seen any more; the others are looked at until they are isolated."""
    first, second = (responses.add_computer(name) for name in ("desk-014", "desk-015"))
    act = CiscoApi.act

    async def act_and_remove(self: CiscoApi, method: str, path: str, *others: Any) -> HttpAnswer:
        answer = await act(self, method, path, *others)
        if second.guid in path:
            del responses.computers[first.guid]
        return answer

    monkeypatch.setattr(CiscoApi, "act", act_and_remove)
    result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=77)
    assert [(one["outcome"], one["state"], one["error"] is None) for one in json.loads(result.stdout)] == [
        ("done", None, False),
        ("done", "isolated", True),
    ]


def test_only_an_isolation_waits_for_an_offline_computer(
    run: Run, kind: str, computer: LocalComputer, journal: Path
) -> None:
    """It and its end are pending, which the exit code says; lists and groups are the cloud's own."""
    computer.offline = True
    pending = kind in ("isolate", "release")
    wait = ("--wait", "0.05s") if pending else ()
    result = run(kind, *COMMANDS[kind][0], *YES, *wait, code=1 if pending else 0)
    assert ("1 pending" in result.stderr) is pending
    assert told(journal)[1]["outcome"] == "done"


def test_an_offline_computer_stays_pending(run: Run, computer: LocalComputer, journal: Path) -> None:
    """The exit code says that it is not so yet; with --wait 0s only that it was asked."""
    computer.offline = True
    result = run("isolate", "desk-014", *YES, "--wait", "0.05s", code=1)
    assert "1 pending" in result.stderr
    assert told(journal)[-1]["state"] == "pending_start"
    run("isolate", "desk-014", *YES, "--wait", "0s")


@pytest.mark.parametrize("state", ["not_isolated", "failed"])
def test_a_computer_that_is_not_as_it_was_wanted_is_no_success(
    run: Run, computer: LocalComputer, cloud: LocalCloud, state: str
) -> None:
    """The request was taken, and no isolation came of it: the exit code says so."""
    body = json.dumps({"data": {"status": state}}).encode()
    cloud.fail(Failure("GET", f"/v1/computers/{computer.guid}/isolation", body=body, status=200, times=9999))
    result = run("isolate", "desk-014", *YES, "--wait", "0.05s", code=1)
    assert f"desk-014: {state}" in result.stderr


def test_what_was_done_is_told_though_its_state_cannot_be_seen(
    run: Run, computer: LocalComputer, cloud: LocalCloud, journal: Path
) -> None:
    """The cloud goes away after the action: it was done, and the error says what is not known."""
    fails = cloud.fail(Failure("GET", f"/v1/computers/{computer.guid}/isolation", status=503, times=0))
    act = CiscoApi.act

    async def act_and_fail(self: CiscoApi, *others: Any) -> HttpAnswer:
        fails.times = 99
        return await act(self, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CiscoApi, "act", act_and_fail)
        result = run("isolate", "desk-014", *YES, "--json", code=69)
    assert [(one["outcome"], one["error"]["id"]) for one in json.loads(result.stdout)] == [
        ("done", "cloud.server-error")
    ]
    assert [line["phase"] for line in told(journal)] == ["asked", "answered"]


def test_who_is_isolated_has_no_part_in_the_error_of_another(
    run: Run, responses: Responses, cloud: LocalCloud
) -> None:
    """The cloud tells the state of one of two, and then no more."""
    first, second = (responses.add_computer(name) for name in ("desk-014", "desk-015"))
    fails = cloud.fail(Failure("GET", f"/v1/computers/{second.guid}/isolation", status=503, times=0))
    act = CiscoApi.act

    async def act_and_fail(self: CiscoApi, *others: Any) -> HttpAnswer:
        fails.times = 99 if second.guid in str(others) else 0
        return await act(self, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CiscoApi, "act", act_and_fail)
        first.status = "isolated"
        result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=69)
    shown = [(one["outcome"], one["state"], one["error"] is None) for one in json.loads(result.stdout)]
    assert shown == [("already", "isolated", True), ("done", None, False)]
