"""The table of errors: what each command that changes something does, tells and writes down."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.amp_respond import doing
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import COMMANDS, SHA256, WHY, YES, Run, changes, group_of, told


def test_a_read_only_key_changes_nothing(run: Run, kind: str, organisation: Organisation, journal: Path) -> None:
    """It is told as such, and written down as refused."""
    organisation.read_only = True
    assert "cloud.read-only-key" in run(kind, *COMMANDS[kind][0], *YES, code=77).stderr
    assert [line.get("outcome") for line in told(journal)] == [None, "refused"]


def test_a_lost_answer_is_looked_up(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """The cloud was asked once; the journal says that it was looked up."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, works=True, silent=True))
    run(kind, *arguments, *YES)
    assert changes(cloud) == [method]
    assert (told(journal)[1]["outcome"], told(journal)[1]["looked_up"]) == ("done", True)


def test_what_is_so_already_is_not_asked_for(
    run: Run, kind: str, computer: LocalComputer, responses: Responses, cloud: LocalCloud, journal: Path
) -> None:
    """So its answer cannot be lost; the entry says how it stood before, and undo leaves alone what others did."""
    soc = next(iter(responses.lists.values()))
    computer.status, computer.comment = "isolated" if kind == "isolate" else "not_isolated", "by somebody else"
    soc.files = {SHA256: "by somebody else"} if kind == "block" else {}
    arguments, method, path = COMMANDS[kind]
    if kind == "move":
        arguments = ["desk-014", "--group", "Protect"]
    before = (computer.status, dict(soc.files), computer.group_guid)
    cloud.fail(Failure(method, path, works=True, silent=True))
    run(kind, *arguments, *YES)
    assert changes(cloud) == []
    assert (computer.status, soc.files, computer.group_guid) == before
    if kind == "move":  # which is told before anything is written
        assert not journal.exists()
        return
    asked, answered = told(journal)[:2]
    states = {"isolate": "isolated", "release": "not_isolated", "block": "listed", "unblock": "not listed"}
    assert (asked["before"], answered["outcome"]) == (states[kind], "already")
    run("undo", asked["entry"], "--yes", code=77)
    assert (computer.status, soc.files, computer.group_guid) == before


@pytest.mark.parametrize("kind", ["isolate", "release", "block"], indirect=True)
def test_what_somebody_else_did_in_between_is_not_taken_for_ones_own(
    run: Run, kind: str, computer: LocalComputer, responses: Responses, cloud: LocalCloud, journal: Path
) -> None:
    """A colleague is faster, and the answer that says so is lost: the comment tells whose it is."""
    soc = next(iter(responses.lists.values()))
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, works=True, silent=True))
    act = CiscoApi.act

    def colleague() -> None:
        if kind == "block":
            soc.files[SHA256] = "by somebody else"
        else:
            computer.status = {"isolate": "isolated", "release": "not_isolated"}[kind]
            computer.comment = "by somebody else"

    async def act_late(self: CiscoApi, *others: Any) -> HttpAnswer:
        colleague()
        return await act(self, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CiscoApi, "act", act_late)
        run(kind, *arguments, *YES)
    asked, answered = told(journal)[:2]
    assert (answered["outcome"], changes(cloud)) == ("already", [method])
    before = (computer.status, dict(soc.files))
    run("undo", asked["entry"], "--yes", code=77)
    assert (computer.status, soc.files) == before


def test_what_was_not_done_is_asked_again_after_a_look(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """502 before anything was done: a look, and then once more."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=502))
    run(kind, *arguments, *YES)
    assert changes(cloud) == [method] * 2
    assert told(journal)[1]["outcome"] == "done"


def test_what_stays_in_doubt_is_told_as_such(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """502 again and again: nothing shows that it was done."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=502, times=9))
    assert "cloud.action-in-doubt" in run(kind, *arguments, *YES, code=69).stderr
    assert told(journal)[1]["outcome"] == "in doubt"


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_look_that_fails_leaves_the_doubt(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, status: int
) -> None:
    """It was done, its answer was lost, and what is refused then is the look: the entry does not say `refused`."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, works=True, silent=True))
    fails = Failure("GET", path, status=status, times=0)
    cloud.fail(fails)
    act = CiscoApi.act

    async def act_and_fail(self: CiscoApi, method: str, *others: Any) -> HttpAnswer:
        fails.times = 99
        return await act(self, method, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CiscoApi, "act", act_and_fail)
        run(kind, *arguments, *YES, code=69)
    assert changes(cloud) == [method]
    assert told(journal)[1]["outcome"] == "in doubt"


@pytest.mark.parametrize("second", ["already", "not done"])
def test_what_the_first_try_may_have_done_is_no_other_persons(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, second: str
) -> None:
    """The cloud was slow with the first try: what the second one is answered does not deny it."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=502))
    status = {"already": {"move": 200, "unblock": 404}.get(kind, 409), "not done": 429}[second]
    headers = {"X-Rate-Limit-Reset": "600"} if second == "not done" else {}
    works = second == "already"
    cloud.fail(Failure(method, path, status=status, works=works, headers=headers, times=9, body=b'{"data": {}}'))
    run(kind, *arguments, *YES, "--max-wait", "1s", code=0 if works else 69)
    assert told(journal)[1]["outcome"] == ("done" if works else "in doubt")


def test_the_rate_limit_is_told_or_waited_out(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """Nothing was done then, which is what the journal says; a short one is no trouble."""
    arguments, method, path = COMMANDS[kind]
    failure = too_many_requests(600, times=9)
    failure.method, failure.path = method, path
    cloud.fail(failure)
    assert "cloud.rate-limited" in run(kind, *arguments, *YES, "--max-wait", "1s", code=69).stderr
    assert told(journal)[-1]["outcome"] == "not done"
    failure.headers["X-Rate-Limit-Reset"], failure.times = "0", 1
    run(kind, *arguments, *YES)
    assert failure.times == 0
    assert [line.get("outcome") for line in told(journal)][2:4] == [None, "done"]


def test_what_is_not_there_is_told(
    run: Run, kind: str, computer: LocalComputer, responses: Responses, cloud: LocalCloud, journal: Path
) -> None:
    """An unknown computer or list: nothing is asked for, and nothing written down."""
    del responses.computers[computer.guid]
    responses.lists.clear()
    error = f"cloud.{'list' if kind in ('block', 'unblock') else 'computer'}-not-found"
    assert error in run(kind, *COMMANDS[kind][0], *YES, code=77).stderr
    assert changes(cloud) == []
    assert not journal.exists()


def test_a_policy_forbids_an_isolation_and_nothing_else(
    run: Run, kind: str, computer: LocalComputer, cloud: LocalCloud, journal: Path
) -> None:
    """Who is isolated can be released, whatever the policy says since."""
    computer.available = False
    result = run(kind, *COMMANDS[kind][0], *YES, code=77 if kind == "isolate" else 0)
    assert ("cloud.isolation-forbidden" in result.stderr) is (kind == "isolate")
    assert len(changes(cloud)) == (0 if kind == "isolate" else 1)
    assert told(journal)[1]["outcome"] == ("refused" if kind == "isolate" else "done")


# --- what is called otherwise when the prompt is answered -----------------------------------------


@pytest.mark.parametrize("kind", ["block", "unblock", "move"], indirect=True)
def test_a_list_or_group_that_has_another_name_when_the_prompt_is_answered_is_left_alone(
    run: Run,
    kind: str,
    computer: LocalComputer,
    organisation: Organisation,
    at_the_prompt: Callable[[Callable[[], object]], None],
    cloud: LocalCloud,
) -> None:
    """It means something else by then: what was agreed to was the name.  Another case is the same name."""
    triage = group_of(organisation, "Triage")
    (soc,) = organisation.responses.lists.values()

    def rename(list_name: str, group_name: str) -> None:
        soc.name, organisation.groups[triage] = list_name, group_name

    at_the_prompt(lambda: rename("Finance exceptions", "Retired"))
    said = run(kind, *COMMANDS[kind][0], *WHY, code=77).stderr
    assert "respond.changed-meanwhile" in said
    assert f"is called {'Retired' if kind == 'move' else 'Finance exceptions'!r} now" in said
    assert changes(cloud) == []
    rename("SOC list", "Triage")
    at_the_prompt(lambda: rename("soc LIST", "TRIAGE"))
    run(kind, *COMMANDS[kind][0], *WHY)


@pytest.mark.parametrize("kind", ["isolate", "release", "move"], indirect=True)
def test_who_has_another_name_when_the_prompt_is_answered_is_left_alone(
    run: Run,
    kind: str,
    computer: LocalComputer,
    at_the_prompt: Callable[[Callable[[], object]], None],
    cloud: LocalCloud,
    journal: Path,
) -> None:
    """The connector is somebody else's by then: what was agreed to was the name."""
    at_the_prompt(lambda: setattr(computer, "hostname", "finance-01"))
    said = run(kind, *COMMANDS[kind][0], *WHY, code=77).stderr
    assert "respond.changed-meanwhile" in said
    assert "is called 'finance-01' now" in said
    assert changes(cloud) == []
    assert [line.get("outcome") for line in told(journal)] == [None, "refused"]


# --- what cannot be seen, or written down ---------------------------------------------------------


def test_what_cannot_be_looked_at_is_not_done(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """How it stands is not told after the question was answered: nothing is sent, and nothing is written down."""
    arguments, _, path = COMMANDS[kind]
    fails = cloud.fail(Failure("GET", path, status=503, times=0))
    with pytest.MonkeyPatch.context() as patched:
        writing = Journal.writing

        def write_and_fail(self: Journal) -> AbstractContextManager[None]:
            fails.times = 99
            return writing(self)

        patched.setattr(Journal, "writing", write_and_fail)
        result = run(kind, *arguments, *YES, "--json", code=69)
    assert [(one["outcome"], one["entry"]) for one in json.loads(result.stdout)] == [("not done", None)]
    assert "cloud.server-error" in result.stderr
    assert (changes(cloud), told(journal)) == ([], [])


def test_a_full_disk_stops_what_follows(
    run: Run, responses: Responses, monkeypatch: pytest.MonkeyPatch, journal: Path
) -> None:
    """What was done is told; without a line of its own nothing else is done."""
    computers = [responses.add_computer(name) for name in ("desk-014", "desk-015")]
    write, left = Journal._write, iter([True, False, False])

    def full(self: Journal, descriptor: int, data: bytes) -> None:
        if not next(left):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, descriptor, data)

    monkeypatch.setattr(Journal, "_write", full)
    result = run("isolate", "desk-014", "desk-015", *YES, "--wait", "0s", "--json", code=2)
    assert [one["outcome"] for one in json.loads(result.stdout)] == ["done", "not tried"]
    assert "respond.journal-unusable" in result.stderr
    assert [one.status != "not_isolated" for one in computers] == [True, False]


def test_a_refusal_that_cannot_be_written_down_stops_what_follows(
    run: Run, responses: Responses, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is what is told then, not the refusal: nothing is changed without it."""
    first, second = (responses.add_computer(name) for name in ("desk-014", "desk-015"))
    cloud.fail(Failure("PUT", f"/v1/computers/{first.guid}", status=405))
    write, left = Journal._write, iter([True, False, True, True])

    def full(self: Journal, descriptor: int, data: bytes) -> None:
        if not next(left):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, descriptor, data)

    monkeypatch.setattr(Journal, "_write", full)
    result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=2)
    assert [(one["outcome"], one["state"]) for one in json.loads(result.stdout)] == [
        ("refused", None),
        ("not tried", None),
    ]
    assert "respond.journal-unusable" in result.stderr
    assert second.status == "not_isolated"


def test_what_was_done_is_told_though_the_next_cannot_be_written(
    run: Run, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full before the second one: the entry of the first is shown, and nothing else is done."""
    computers = [responses.add_computer(name) for name in ("desk-014", "desk-015")]
    write, left = Journal._write, iter([True, True, False])

    def full(self: Journal, descriptor: int, data: bytes) -> None:
        if not next(left):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, descriptor, data)

    monkeypatch.setattr(Journal, "_write", full)
    monkeypatch.setattr(doing, "wait_for_states", lambda *arguments: asyncio.sleep(0))
    result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=2)
    assert [(one["outcome"], bool(one["entry"])) for one in json.loads(result.stdout)] == [
        ("done", True),
        ("not done", False),
    ]
    assert "respond.journal-unusable" in result.stderr
    assert [one.status != "not_isolated" for one in computers] == [True, False]
