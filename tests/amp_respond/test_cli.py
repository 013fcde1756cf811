"""`amp-respond` against the local cloud, within this process: what it does, what it refuses, what it writes down."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import click
import pytest

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond import doing, hunts, ready
from fluent_plugin_amp.amp_respond.errors import JournalUnusable
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.cisco import hunting, isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.commands import console
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import COMMANDS, SHA256, WHY, YES, Run, changes, told

# --- the way there and back ----------------------------------------------------------------------


def test_a_computer_is_isolated_and_released(run: Run, computer: LocalComputer, journal: Path) -> None:
    """The states are waited for; the journal has who, what, why and what became of it; nobody else can read it."""
    assert "isolated" in run("isolate", "desk-014", *YES).stdout
    assert computer.status == "isolated"
    run("release", computer.guid, *YES)
    assert computer.status == "not_isolated"
    lines = told(journal)
    assert [line["phase"] for line in lines] == ["asked", "answered", "seen", "seen"] * 2
    asked, answered = lines[:2]
    assert asked["computer"] == {"guid": computer.guid, "name": "desk-014"}
    assert (asked["action"], asked["reason"], answered["outcome"]) == ("isolate", "case 77", "done")
    assert "@" in asked["by"]
    assert computer.comment == f"[{asked['by']}, {lines[4]['entry']}] case 77"
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    shown = json.loads(run("journal", "--json").stdout)
    assert [(one["action"], one["outcome"], one["state"]) for one in shown] == [
        ("isolate", "done", "isolated"),
        ("release", "done", "not_isolated"),
    ]
    shown = run("journal", "--since", "7d").stdout
    assert shown.count("case 77") == 2
    assert f" {asked['at'][:19]}Z " in shown


@pytest.mark.parametrize(("kind", "other"), [("isolate", "release"), ("block", "unblock"), ("move", "move")])
def test_what_was_done_is_undone(
    run: Run, computer: LocalComputer, responses: Responses, journal: Path, kind: str, other: str
) -> None:
    """The inverse is done, and is an entry of its own that names the first."""
    soc = responses.add_list("SOC list")
    group = computer.group_guid
    arguments = {
        "isolate": ["desk-014"],
        "block": [SHA256, "--list", "SOC list"],
        "move": ["desk-014", "--group", "Triage"],
    }[kind]
    run(kind, *arguments, *YES)
    assert (computer.status, list(soc.files), computer.group_guid) != ("not_isolated", [], group)
    entry = told(journal)[0]["entry"]
    run("undo", entry, "--yes")
    assert (computer.status, list(soc.files), computer.group_guid) == ("not_isolated", [], group)
    undone = next(line for line in told(journal) if line.get("undoes") == entry)
    assert (undone["action"], undone["reason"]) == (other, f"undo of {entry}: case 77")


def test_what_was_so_already_is_success_and_not_undone(run: Run, computer: LocalComputer, journal: Path) -> None:
    """409 is no error; but to undo it would undo what somebody else did."""
    computer.status = "isolated"
    assert "already" in run("isolate", "desk-014", *YES).stdout
    result = run("undo", told(journal)[0]["entry"], "--yes", code=77)
    assert "respond.nothing-to-undo" in result.stderr
    assert computer.status == "isolated"
    assert "respond.entry-unknown" in run("undo", "00000000", "--yes", code=2).stderr


def test_what_was_changed_again_since_is_not_undone(
    run: Run, computer: LocalComputer, responses: Responses, journal: Path
) -> None:
    """An old entry does not release who was isolated anew; the last one is undone, and so is its undo."""
    soc = responses.add_list("SOC list")
    for there, back, arguments in (
        ("isolate", "release", ["desk-014"]),
        ("block", "unblock", [SHA256, "--list", "SOC list"]),
    ):
        for kind in (there, back, there):
            run(kind, *arguments, *YES)
        first, second, third = [line["entry"] for line in told(journal) if line["phase"] == "asked"][-3:]
        for old in (first, second):
            assert f"by entry {third}" in run("undo", old, "--yes", code=77).stderr
        assert (computer.status, *soc.files) in [("isolated",), ("isolated", SHA256)]
        run("undo", third, "--yes")
        run("undo", told(journal)[-1]["entry"], "--yes")
    assert (computer.status, *soc.files) == ("isolated", SHA256)


def test_a_file_is_blocked_twice_and_unblocked_twice(run: Run, responses: Responses) -> None:
    """409 and 404 say that it was so: both are success."""
    soc = responses.add_list("SOC list")
    for outcome in ("done", "already"):
        assert outcome in run("block", SHA256.upper(), "--list", "soc list", *YES).stdout
        assert list(soc.files) == [SHA256]
    for outcome in ("done", "already"):
        assert outcome in run("unblock", SHA256, "--list", "SOC list", *YES).stdout
        assert soc.files == {}


@pytest.mark.parametrize("before", ["case 76, by bob", ""])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_file_goes_back_on_its_list_with_its_description(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, before: str, is_lost: bool
) -> None:
    """Where it had none, user and entry stand there.  It is ours, also after a lost answer, so it can be undone."""
    soc = responses.add_list("SOC list")
    soc.files[SHA256] = before
    run("unblock", SHA256, "--list", "SOC list", *YES)
    unblocked = told(journal)[0]
    assert (unblocked["description"], soc.files) == (before, {})
    if is_lost:
        cloud.fail(Failure("POST", works=True, silent=True))
    assert "done" in run("undo", unblocked["entry"], "--yes").stdout
    blocked = told(journal)[2]
    assert soc.files[SHA256].startswith(before or f"[{blocked['by']}, {blocked['entry']}] undo of")
    soc.files[SHA256] += ", and by a colleague since"
    code = 77 if before else 0  # a longer one may be what was written
    assert ("by somebody else now" in run("undo", blocked["entry"], "--yes", code=code).stderr) is bool(before)
    if before:
        soc.files[SHA256] = before
        run("undo", blocked["entry"], "--yes")
    assert soc.files == {}


def test_a_description_that_changes_while_it_waits_goes_back_as_it_was_last(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague writes another one while the rate limit is waited for: that is the one of before."""
    soc = responses.add_list("SOC list")
    soc.files[SHA256] = "case 76"
    limited = too_many_requests(120)
    limited.method = "DELETE"
    cloud.fail(limited)

    async def wait(*_: Any) -> None:
        soc.files[SHA256] = "case 78"

    monkeypatch.setattr(Screen, "wait", wait)
    run("unblock", SHA256, "--list", "SOC list", *YES)
    run("undo", told(journal)[0]["entry"], "--yes")
    assert soc.files == {SHA256: "case 78"}


def test_lists_are_shown_with_the_policies_that_use_them(run: Run, responses: Responses) -> None:
    """One that no policy uses has no effect, which is said; allow lists are not shown."""
    responses.add_list("SOC list", "simple_custom_detections", "Protect").files[SHA256] = "case 77"
    responses.add_list("Unused", "application_blocking")
    responses.add_list("Known good", "allowed_applications")
    shown = run("lists", "--files").stdout
    assert SHA256 in shown
    assert "no policy" in shown
    assert "Known good" not in shown
    assert json.loads(run("lists", "--json").stdout)[0]["policies"] == ["Protect"]


def test_status_tells_what_is_known(run: Run, computer: LocalComputer) -> None:
    """Isolation, group, policy, last seen."""
    shown = run("status", "desk-014").stdout
    assert all(word in shown for word in ("not_isolated", "Protect", computer.guid, "2026-03-02"))
    assert json.loads(run("status", "desk-014", "--json").stdout)["group"] == "Protect"


# --- what is only shown --------------------------------------------------------------------------


def test_one_is_asked_about(run: Run, computer: LocalComputer, cloud: LocalCloud) -> None:
    """No is no, and where nobody answers nothing is done."""
    run("isolate", "desk-014", *WHY, stdin="n\n", code=2)
    run("isolate", "desk-014", *WHY, stdin="", code=2)
    assert changes(cloud) == []
    run("isolate", "desk-014", *WHY, stdin="y\n")
    assert computer.status == "isolated"


@pytest.mark.parametrize("count", [1, 11])
def test_nobody_agrees_on_a_closed_input(responses: Responses, cloud: LocalCloud, journal: Path, count: int) -> None:
    """It is told as such, and is no bug."""
    names = [responses.add_computer(f"desk-{number:03}").hostname for number in range(count)]
    yes = ["--yes"] if count > 1 else []
    command = [sys.executable, "-c", "from fluent_plugin_amp.amp_respond.cli import main; main()"]
    shell = ["sh", "-c", '"$@" <&-', "sh", *command, "isolate", *names, *WHY, *yes]
    said = subprocess.run(shell, capture_output=True, encoding="utf-8", timeout=120)
    assert (said.returncode, "no terminal to ask on" in said.stderr) == (2, True), said.stderr
    assert ("what to do: Give --yes." if count == 1 else "what to do: Give --count 11.") in said.stderr
    assert changes(cloud) == []


def test_a_reader_that_leaves_before_the_request_leaves_all_as_it_is(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is meant was not shown to anybody; the exit code says so, but for a dry run."""
    arguments = COMMANDS[kind][0]
    with monkeypatch.context() as patch:
        patch.setattr(console, "note", leave)
        run(kind, *arguments, *WHY, "--dry-run")
        run(kind, *arguments, *YES, code=69)
    monkeypatch.setattr(click, "confirm", leave)
    assert "`amp-respond journal`" in run(kind, *arguments, *WHY, code=69).stderr
    assert changes(cloud) == []
    assert not journal.exists()


def leave(*_: Any, **options: Any) -> None:
    """Nobody reads any more."""
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_reader_that_leaves_later_stops_no_request(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try has to wait for the rate limit, which nobody reads: it is done, and its entry says so."""
    method, path = COMMANDS[kind][1:]
    failure = too_many_requests(1)
    failure.method, failure.path = method, path
    cloud.fail(failure)
    left: list[str] = []

    def note(text: str) -> None:
        if cloud.requests[-1][0] == method or left:
            left.append(text)
            leave()

    async def no_time(*_: Any) -> None:
        """A pause."""

    monkeypatch.setattr(console, "note", note)
    monkeypatch.setattr(Screen, "_sleep", no_time)
    assert "ENTRY" in run(kind, *COMMANDS[kind][0], *YES, code=69).stdout  # that somebody still reads
    assert len(left) == 1
    assert changes(cloud) == [method, method]
    assert "done" in [line.get("outcome") for line in told(journal)]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_reader_that_leaves_with_one_of_two_stops_neither(
    responses: Responses, cloud: LocalCloud, journal: Path, as_json: list[str]
) -> None:
    """`… 2>&1 | head`: both computers are isolated, and all of it is in the journal; the exit code tells it."""
    names = [responses.add_computer(f"desk-{number:03}").hostname for number in range(2)]
    failure = too_many_requests(1)
    failure.method = "PUT"
    cloud.fail(failure)
    command = [sys.executable, "-c", "from fluent_plugin_amp.amp_respond.cli import main; main()"]
    arguments = ["isolate", *names, *YES, "--wait", "0s", *as_json]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("reason:"):
            pass
        process.stdout.close()
        assert process.wait(120) == 69
    assert [one.status for one in responses.computers.values()] == ["pending_start", "pending_start"]
    assert [line.get("outcome") for line in told(journal) if line["phase"] == "answered"] == ["done", "done"]


def test_each_computer_is_shown_on_one_line(run: Run, responses: Responses) -> None:
    """Whatever its name is: it makes no line that looks like another computer's."""
    named = [responses.add_computer(name) for name in ("desk\n1 in all", "desk-014")]
    shown = run("isolate", *(one.guid for one in named), *WHY).stderr.splitlines()
    assert len(shown) == 5
    assert "desk\\n1 in all" in shown[1]


@pytest.mark.parametrize("how", ["two names", "file", "hash", "dry run"])
def test_what_nobody_saw_before_is_only_shown(
    run: Run, computer: LocalComputer, responses: Responses, cloud: LocalCloud, tmp_path: Path, how: str
) -> None:
    """Several names, a file's names, whoever saw a hash: nothing is done without --yes, and none is written down."""
    (tmp_path / "names").write_text("# case 77\ndesk-014\n\n")
    responses.see(SHA256, computer)
    arguments = {
        "two names": ["desk-014", "srv-linux-1"],
        "file": ["--from", str(tmp_path / "names")],
        "hash": ["--hash", SHA256],
        "dry run": ["desk-014", "--yes", "--dry-run"],
    }[how]
    assert "would isolate desk-014" in run("isolate", *arguments, *WHY).stderr
    assert changes(cloud) == []
    if how != "dry run":
        run("isolate", *arguments, *YES)
        assert computer.status == "isolated"


def test_more_than_ten_need_their_number(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """Typed at a prompt, or with --count; a wrong one stops everything."""
    names = [responses.add_computer(f"desk-{number:03}").hostname for number in range(12)]
    assert "nothing was done; --yes --count 12 does it" in run("isolate", *names, *WHY).stderr
    assert "nothing was done; --yes does it" in run("isolate", *names, *WHY, "--count", "12").stderr
    for stdin, code in (("11\n", 2), ("", 2), ("y\n", 2)):
        said = run("isolate", *names, *YES, stdin=stdin, code=code).stderr
        assert ("needs their number" in said) is ("Give --count 12." in said) is (stdin == "")
    assert "respond.too-many" in run("isolate", *names, *YES, "--count", "11", code=2).stderr
    assert changes(cloud) == []
    run("isolate", *names, *YES, stdin="12\n")
    run("release", *names, *YES, "--count", "12")
    assert len(changes(cloud)) == 24


def test_nobody_is_isolated_for_events_that_were_not_read(
    run: Run, computer: LocalComputer, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more events than are read, --no-event cannot tell who raised none."""
    responses.see(SHA256, computer)
    monkeypatch.setattr(hunting, "told", told_in_part)
    said = run("isolate", "--hash", SHA256, "--no-event", *YES, code=2).stderr
    assert "more events" in said
    assert computer.status == "not_isolated"


@pytest.mark.parametrize("more", [(), ("--no-event",)])
def test_a_search_that_found_a_part_says_so(
    run: Run, computer: LocalComputer, responses: Responses, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """Before anything is agreed to, at the end, and as JSON: others may have the file."""
    monkeypatch.setattr(hunting, "HISTORY", 1)
    responses.see(SHA256, computer)
    for options in (WHY, YES):
        said = run("isolate", "--hash", SHA256, *more, *options)
        first, *_, last = [line for line in said.stderr.splitlines() if "waiting" not in line]
        assert first.startswith("not complete: ")
        assert last == first
        computer.status = "not_isolated"
        said = run("isolate", "--hash", SHA256, *more, *options, "--json")
        assert [one["complete"] for one in json.loads(said.stdout)] == [False]
    assert json.loads(run("isolate", "desk-014", *YES, "--json").stdout)[0]["complete"] is True


def test_who_is_named_and_has_seen_the_file_is_meant_once(
    run: Run, computer: LocalComputer, responses: Responses
) -> None:
    """Though the two answers about the computer do not tell the same of it."""
    responses.see(SHA256, *responses.computers.values())
    assert "2 in all" in run("isolate", "desk-014", "--hash", SHA256, *WHY).stderr


def test_who_has_seen_a_file_is_shown_by_its_own_name(
    run: Run, computer: LocalComputer, cloud: LocalCloud, responses: Responses
) -> None:
    """What is agreed to is what the computer is called itself, and not what the history says."""
    about = {"connector_guid": computer.guid, "hostname": "test-01"}
    body = json.dumps({"data": [about]}).encode()
    cloud.fail(Failure("GET", "/v1/computers/activity", body=body, status=200))
    said = run("isolate", "--hash", SHA256, *WHY).stderr
    assert f"would isolate desk-014 ({computer.guid})" in said
    assert "test-01" not in said


@pytest.mark.parametrize("kind", ["move"], indirect=True)
@pytest.mark.parametrize("works", [True, False])
def test_a_move_whose_answer_says_something_else_is_looked_up(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, computer: LocalComputer, works: bool
) -> None:
    """The answer has another group: what the cloud shows afterwards counts, and it is asked for once."""
    arguments, method, path = COMMANDS[kind]
    about = {"connector_guid": computer.guid, "group_guid": "6a5f008f-9240-4c59-b73a-982517dc3824"}
    body = json.dumps({"data": about}).encode()
    cloud.fail(Failure(method, path, status=202, works=works, body=body))
    run(kind, *arguments, *YES, code=0 if works else 69)
    assert changes(cloud) == [method]
    assert told(journal)[1]["outcome"] == ("done" if works else "in doubt")


async def told_in_part(*arguments: object) -> hunting.Told:
    """Too many events to read."""
    return hunting.Told(frozenset(), is_complete=False)


def test_more_than_max_are_refused(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """25, unless it is said: a clean file that every computer has seen isolates nobody."""
    responses.see(SHA256, *(responses.add_computer(f"desk-{number:03}") for number in range(26)))
    assert "26 are meant, --max allows 25" in run("isolate", "--hash", SHA256, *YES, code=2).stderr
    cloud.requests.clear()
    assert "26 in all" in run("isolate", "--hash", SHA256, *WHY, "--dry-run").stderr
    assert len(cloud.requests) == 1  # thousands may have seen it
    assert changes(cloud) == []


@pytest.mark.parametrize("kind", ["isolate", "release", "move"])
def test_more_than_max_are_not_looked_for(run: Run, kind: str, computer: LocalComputer, cloud: LocalCloud) -> None:
    """A thousand names would take most of the hour's requests, and then be refused."""
    to = ["--group", "Triage"] if kind == "move" else []
    assert "2 are meant, --max allows 1" in run(kind, "desk-014", "desk-015", *to, *YES, "--max", "1", code=2).stderr
    assert cloud.requests == []


# --- what a reviewer does not manage -------------------------------------------------------------


def test_no_other_computer_is_isolated(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """A part of a name, and a name of two computers, are errors; the other names of the command are not acted on."""
    for name in ("desk-014", "DESK-014", "desk-015"):
        responses.add_computer(name)
    assert "cloud.computer-ambiguous" in run("isolate", "desk-015", "desk-014", *YES, code=77).stderr
    assert "cloud.computer-not-found" in run("isolate", "desk-01", *YES, code=77).stderr
    assert changes(cloud) == []


def test_no_hash_gets_onto_an_allow_list(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """Neither by name nor by GUID."""
    allowed = responses.add_list("Known good", "allowed_applications")
    for name in ("Known good", allowed.guid):
        for command in ("block", "unblock"):
            assert "cloud.list-not-found" in run(command, SHA256, "--list", name, *YES, code=77).stderr
    assert changes(cloud) == []
    assert allowed.files == {}


def test_no_group_is_emptied_by_accident(run: Run, computer: LocalComputer, organisation: Organisation) -> None:
    """The last ones stay, unless it is said."""
    both = ("desk-014", "srv-linux-1", "--group", "Triage")
    assert "respond.group-would-be-empty" in run("move", *both, *YES, code=77).stderr
    run("move", "desk-014", "--group", "triage", *YES)
    assert organisation.groups[computer.group_guid] == "Triage"
    assert "name.unknown" in run("move", "srv-linux-1", "--group", "Nowhere", *YES, code=2).stderr
    run("move", "srv-linux-1", "--group", "Triage", *YES, "--empty-group")
    assert "already" in run("move", "srv-linux-1", "--group", "Triage", *YES).stderr


@pytest.fixture
def at_the_prompt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """``at_the_prompt(happens)``: that happens while the next prompt waits, and then it is agreed to."""

    def at_the_prompt(happens: Callable[[], object]) -> None:
        monkeypatch.setattr(Session, "confirm", lambda *arguments, **options: happens())

    return at_the_prompt


@pytest.mark.parametrize("command", ["block", "unblock"])
def test_a_list_that_becomes_an_allow_list_is_left_alone(
    run: Run,
    responses: Responses,
    cloud: LocalCloud,
    at_the_prompt: Callable[[Callable[[], object]], None],
    command: str,
) -> None:
    """The same GUID has another type when the prompt is answered: the type is asked again before the request."""
    soc = responses.add_list("SOC list")
    soc.files = {SHA256: ""} if command == "unblock" else {}
    at_the_prompt(lambda: setattr(soc, "type", "allowed_applications"))
    assert "cloud.list-not-found" in run(command, SHA256, "--list", "SOC list", *WHY, code=77).stderr
    soc.type = "simple_custom_detections"
    at_the_prompt(lambda: setattr(soc, "type", "application_blocking"))
    assert "cloud.list-wrong-type" in run(command, SHA256, "--list", "SOC list", *WHY, code=77).stderr
    assert changes(cloud) == []


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


@pytest.mark.parametrize(
    ("arguments", "twice"),
    [
        (["isolate"], ["--hash", SHA256]),
        (["isolate"], ["--from", "names"]),
        (["block", SHA256], ["--list", "SOC list"]),
        (["move", "desk-014"], ["--group", "Triage"]),
        (["isolate", "desk-014", "--fleet", "fleet.yml"], ["--tenant", "acme"]),
        (["isolate", "desk-014", "--tenant", "acme"], ["--fleet", "fleet.yml"]),
        (["isolate", "desk-014"], ["--reason", "case 78"]),
        *(
            (["isolate", "desk-014"], [option, "us"])
            for option in (
                "-c",
                "--of-stream",
                "--client-id",
                "--api-key-file",
                "--region",
                "--api-host",
                "--ca-file",
            )
        ),
    ],
)
def test_what_is_named_twice_is_not_taken_for_the_last_one(
    run: Run, computer: LocalComputer, cloud: LocalCloud, arguments: list[str], twice: list[str]
) -> None:
    """Whoever gives two files or groups means both, or forgot the first: nothing is done with one of them."""
    assert f"{twice[0]}: give it once" in run(*arguments, *twice, *twice, *YES, code=2).stderr
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("isolate desk-014 --reason attacked srv-linux-1 --yes", "--reason"),
        ("isolate desk-014 --yes --wait 0s srv-linux-1 --reason x", "--wait"),
        ("isolate desk-014 --reason=attacked -- srv-linux-1 --yes", "--reason"),
        ("release - --reason attacked srv-linux-1 --yes", "--reason"),
        ("move desk-014 --group Triage srv-linux-1 --reason x --yes", "--group"),
        (f"block {SHA256} --list SOC {SHA256} --reason x --yes", "--list"),
        ("isolate --reason attacked srv-linux-1 --yes desk-014", "--yes"),
    ],
)
def test_a_word_of_a_reason_is_no_name(
    run: Run, computer: LocalComputer, cloud: LocalCloud, words: str, option: str
) -> None:
    """Without quotes the second word of a reason would be a computer's name: names stand together."""
    said = run(*words.split(), code=2).stderr
    assert f"names stand before and after {option}:" in said
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        ("isolate desk-014 --yes --reason --dry-run", "--reason", "--dry-run"),
        ("isolate desk-014 --reason x --yes --journal --dry-run", "--journal", "--dry-run"),
        (f"isolate --hash {SHA256} --yes --reason --no-event", "--reason", "--no-event"),
        ("undo 0123456789ab --yes --reason --dry-run", "--reason", "--dry-run"),
    ],
)
def test_no_option_is_the_value_of_another(
    run: Run, computer: LocalComputer, cloud: LocalCloud, words: str, option: str, value: str
) -> None:
    """As where a variable of the shell is empty: a dry run would become the real thing."""
    assert f"{option} lacks its value: {value} is an option" in run(*words.split(), code=2).stderr
    assert cloud.requests == []


def test_names_that_stand_together_are_taken(run: Run, computer: LocalComputer) -> None:
    """Before, between and after options; the reason is shown with them, as it may not be all of it."""
    for words in (
        "isolate desk-014 srv-linux-1 --dry-run --reason attacked",
        "isolate --reason attacked --dry-run -- desk-014 srv-linux-1",
        "isolate --wait 0s desk-014 srv-linux-1 --reason attacked --dry-run",
    ):
        said = run(*words.split()).stderr
        assert said.count("would isolate") == 2
        assert "\nreason: attacked\n2 in all" in said


def test_nobody_is_moved_by_a_list_of_groups_that_was_cut(
    run: Run, computer: LocalComputer, organisation: Organisation, cloud: LocalCloud
) -> None:
    """Names of groups may repeat: the one that did not come may be the one that was meant."""
    groups = [{"guid": guid, "name": name} for guid, name in organisation.groups.items()]
    metadata = {"results": {"total": len(groups) + 1, "current_item_count": len(groups), "index": 0}}
    body = json.dumps({"version": "v1.2.0", "metadata": metadata, "data": groups}).encode()
    cloud.fail(Failure("GET", "/v1/groups", status=200, body=body, times=99))
    said = run("move", "desk-014", "--group", "Triage", *YES, code=69).stderr
    assert "the list is cut" in said
    assert changes(cloud) == []


def test_no_group_is_emptied_while_a_prompt_waits(
    run: Run,
    computer: LocalComputer,
    organisation: Organisation,
    at_the_prompt: Callable[[Callable[[], object]], None],
    journal: Path,
) -> None:
    """Two want to move the last two: it is asked again right before the request, and the second one stays."""
    other = next(one for one in organisation.responses.computers.values() if one is not computer)
    at_the_prompt(lambda: run("move", other.guid, "--group", "Triage", *YES))
    result = run("move", "desk-014", "--group", "Triage", *WHY, code=77)
    assert "respond.group-would-be-empty" in result.stderr
    assert [organisation.groups[one.group_guid] for one in (computer, other)] == ["Protect", "Triage"]
    assert [line.get("outcome") for line in told(journal)] == [None, "done", None, "refused"]


def test_who_was_moved_while_a_prompt_waits_stays_there(
    run: Run,
    computer: LocalComputer,
    organisation: Organisation,
    at_the_prompt: Callable[[Callable[[], object]], None],
    cloud: LocalCloud,
) -> None:
    """The entry would say that it came from another group than it did, and undo would believe it."""
    server = next(guid for guid, name in organisation.groups.items() if name == "Server")
    at_the_prompt(lambda: setattr(computer, "group_guid", server))
    for more in ((), ("--empty-group",)):
        computer.group_guid = next(guid for guid, name in organisation.groups.items() if name == "Protect")
        result = run("move", "desk-014", "--group", "Triage", *WHY, *more, code=77)
        assert "respond.changed-meanwhile" in result.stderr
    assert changes(cloud) == []


def test_who_is_in_the_group_already_is_no_row(run: Run, computer: LocalComputer, cloud: LocalCloud) -> None:
    """It is told; and what reads JSON gets some."""
    result = run("move", "desk-014", "--group", "Protect", *YES, "--json")
    assert (json.loads(result.stdout), result.stderr) == ([], "desk-014 is in Protect already\n")
    assert changes(cloud) == []


def test_who_is_moved_is_asked_once_right_before(run: Run, computer: LocalComputer, cloud: LocalCloud) -> None:
    """One answer tells group and name: a second request would be one of the hour's 3000."""
    run("move", "desk-014", "--group", "Triage", *YES)
    itself = ("GET", f"/v1/computers/{computer.guid}")
    sent = [(method, path.split("?")[0]) for method, path in cloud.requests]
    change = sent.index(("PATCH", itself[1]))
    assert sent[change - 2 : change].count(itself) == 1


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


@pytest.mark.parametrize("when", ["between two", "while it waits"])
def test_what_was_done_before_an_interrupt_is_told(
    run: Run, responses: Responses, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Ctrl-C, and the entries of what was done are shown all the same; the exit code is that of an interrupt."""
    computers = [responses.add_computer(name, offline=True) for name in ("desk-014", "desk-015")]
    act, status = CiscoApi.act, isolation.status

    async def interrupted(self: CiscoApi, *others: Any) -> HttpAnswer:
        if when == "between two":
            signal.raise_signal(signal.SIGINT)
        return await act(self, *others)

    async def looked(*others: Any) -> isolation.Isolation:
        found = await status(*others)
        if when != "between two" and computers[1].status == "pending_start":
            signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(isolation, "status", status)
            monkeypatch.setattr(doing, "FIRST_LOOK_S", 1.0)
        return found

    monkeypatch.setattr(CiscoApi, "act", interrupted)
    monkeypatch.setattr(isolation, "status", looked)
    monkeypatch.setattr(doing, "LOOK_S", 1.0)
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


def test_several_are_moved_until_the_last_one_would_be_gone(
    run: Run, responses: Responses, organisation: Organisation, cloud: LocalCloud
) -> None:
    """Whoever was to stay leaves in between: those of the command that are left stay, too."""
    first, second, third = (responses.add_computer(f"desk-{number}") for number in range(3))
    act = CiscoApi.act

    async def act_and_leave(self: CiscoApi, *others: Any) -> HttpAnswer:
        third.group_guid = next(guid for guid, name in organisation.groups.items() if name == "Server")
        return await act(self, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CiscoApi, "act", act_and_leave)
        said = run("move", "desk-0", "desk-1", "--group", "Triage", *YES, "--json", code=77)
    assert [one["outcome"] for one in json.loads(said.stdout)] == ["done", "refused"]
    assert [organisation.groups[one.group_guid] for one in (first, second)] == ["Triage", "Protect"]


def test_an_undo_empties_no_group_but_one_that_was_empty(
    run: Run, computer: LocalComputer, responses: Responses, organisation: Organisation, journal: Path
) -> None:
    """Back into a group that is empty by now is no trouble; out of one that had somebody before is."""
    other = next(one for one in responses.computers.values() if one is not computer)
    run("move", "desk-014", "srv-linux-1", "--group", "Triage", *YES, "--empty-group")
    first, second = [line["entry"] for line in told(journal) if line["phase"] == "asked"]
    assert [line.get("group_was_empty") for line in told(journal)[::2]] == [True, False]
    run("undo", first, "--yes")
    assert "respond.group-would-be-empty" in run("undo", second, "--yes", code=77).stderr
    assert [organisation.groups[one.group_guid] for one in (computer, other)] == ["Protect", "Triage"]
    run("move", "srv-linux-1", "--group", "Protect", *YES, "--empty-group")


@pytest.mark.parametrize("untold", ["who stays", "which group"])
def test_no_group_is_emptied_because_nobody_could_tell(
    run: Run, computer: LocalComputer, cloud: LocalCloud, untold: str
) -> None:
    """Where the cloud does not say who else is in a group, or which one it is, they may be its last."""
    about: dict[str, object] = {"connector_guid": computer.guid, "hostname": "desk-014"}
    if untold == "who stays":
        about["group_guid"] = computer.group_guid
    body = json.dumps({"data": about}).encode()
    cloud.fail(Failure("GET", f"/v1/computers/{computer.guid}", body=body, status=200, times=99))
    if untold == "who stays":
        body = b'{"data": [], "metadata": {"results": {"total": 2}}}'
        cloud.fail(Failure("GET", "/v1/computers", body=body, status=200, times=99))
    result = run("move", computer.guid, "--group", "Triage", *YES, code=77)
    assert "respond.group-would-be-empty" in result.stderr
    assert changes(cloud) == []
    run("move", computer.guid, "--group", "Triage", "--empty-group", *YES)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "\x1b[2J"])
def test_a_reason_is_given(run: Run, computer: LocalComputer, reason: str) -> None:
    """Something that can be read, of bounded length."""
    run("isolate", "desk-014", "--yes", "--reason", reason, code=2)
    assert computer.status == "not_isolated"


# --- the table of errors -------------------------------------------------------------------------


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
    monkeypatch.setattr(doing, "_watch", lambda *arguments: asyncio.sleep(0))
    result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=2)
    assert [(one["outcome"], bool(one["entry"])) for one in json.loads(result.stdout)] == [
        ("done", True),
        ("not done", False),
    ]
    assert "respond.journal-unusable" in result.stderr
    assert [one.status != "not_isolated" for one in computers] == [True, False]


@pytest.mark.parametrize("why", ["policy", "removed", "refused"])
def test_one_that_cannot_be_isolated_stops_no_other(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, why: str
) -> None:
    """Its policy forbids it, it was removed since, or the cloud refuses to tell: the others are isolated.

    It is shown as refused before anything is agreed to, at the end, and in the journal, with the reason.
    """
    named = [responses.add_computer(name) for name in ("desk-014", "srv-1", "desk-015")]
    responses.see(SHA256, *named)
    path = f"/v1/computers/{named[1].guid}"
    status = {"policy": 405, "removed": 404, "refused": 400}[why]
    cloud.fail(Failure("OPTIONS" if why == "policy" else "GET", path, status=status, times=9))
    error = {"policy": "isolation-forbidden", "removed": "computer-not-found", "refused": "refused"}[why]
    shown = run("isolate", "--hash", SHA256, *WHY, code=77).stderr
    assert shown.splitlines()[2].startswith(f"refused: isolate srv-1 ({named[1].guid}): ")
    assert "3 in all, 1 of them refused, nothing was done; --yes does it" in shown
    assert f"error [cloud.{error}]" in shown
    dry = json.loads(run("isolate", "--hash", SHA256, *WHY, "--dry-run", "--json", code=77).stdout)
    assert [one["outcome"] for one in dry] == ["dry run", "refused", "dry run"]
    assert (changes(cloud), journal.exists()) == ([], False)
    result = run("isolate", "--hash", SHA256, *YES, "--count", "3", code=77)
    assert [one.status for one in named] == ["isolated", "not_isolated", "isolated"]
    assert [row.split()[4] for row in result.stdout.splitlines()[1:]] == ["done", "refused", "done"]
    written = json.loads(run("journal", "--json").stdout)
    assert [one["outcome"] for one in written] == ["done", "refused", "done"]
    assert written[1]["error"]["id"] == f"cloud.{error}"
    assert changes(cloud) == ["PUT"] * 2
    assert "it was refused" in run("undo", written[1]["entry"], "--yes", code=77).stderr


@pytest.mark.parametrize("names", [("desk-014",), ("desk-014", "desk-015")])
def test_where_everybody_is_refused_nobody_is_asked(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, names: tuple[str, ...]
) -> None:
    """There is nothing to agree to; with --yes the journal says what was refused."""
    for name in names:
        responses.add_computer(name, available=False)
    said = run("isolate", *names, *WHY, code=77).stderr
    assert f"{len(names)} in all, {len(names)} of them refused, nothing was done\n" in said
    assert not journal.exists()
    run("isolate", *names, *YES, code=77)
    assert [line.get("outcome") for line in told(journal)] == [None, "refused"] * len(names)
    assert changes(cloud) == []


def test_a_group_that_would_be_empty_keeps_its_computers_and_no_others(
    run: Run, computer: LocalComputer, responses: Responses, organisation: Organisation, journal: Path
) -> None:
    """The last one of a group stays, though another of the same command is moved."""
    last = responses.add_computer("desk-9", group="Server")
    run("move", "desk-9", "desk-014", "--group", "Triage", *YES, code=77)
    assert [organisation.groups[one.group_guid] for one in (last, computer)] == ["Server", "Triage"]
    assert [line.get("outcome") for line in told(journal)] == [None, "refused", None, "done"]


def test_a_file_that_is_refused_stops_no_other(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path
) -> None:
    """The cloud takes one of two files: the other is told, and written down, as refused."""
    soc, other = responses.add_list("SOC list"), "a" * 64
    cloud.fail(Failure("POST", f"/v1/file_lists/{soc.guid}/files/{other}", status=400))
    run("block", other, SHA256, "--list", "SOC list", *YES, code=77)
    assert list(soc.files) == [SHA256]
    assert [line.get("outcome") for line in told(journal)] == [None, "refused", None, "done"]


def test_a_conflict_is_told(run: Run, computer: LocalComputer, cloud: LocalCloud, journal: Path) -> None:
    """409 while it is on its way to the other state is no success."""
    cloud.fail(Failure("PUT", status=409, body=b'{"data": {}, "errors": ["busy"]}'))
    assert "cloud.isolation-conflict" in run("isolate", "desk-014", *YES, code=77).stderr
    assert told(journal)[1]["outcome"] == "refused"


def test_one_refusal_stops_no_other(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """What is refused for one computer is done for the next; the exit code is the refusal's."""
    first, second = (responses.add_computer(name) for name in ("desk-014", "desk-015"))
    cloud.fail(Failure("PUT", f"/v1/computers/{first.guid}", status=405))
    result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=77)
    assert [one["outcome"] for one in json.loads(result.stdout)] == ["refused", "done"]
    assert (first.status, second.status) == ("not_isolated", "isolated")


# --- hunting -------------------------------------------------------------------------------------


def test_a_hunt_finds_who_said_nothing(run: Run, computer: LocalComputer, organisation: Organisation) -> None:
    """They come first, with links to the console; a hash then isolates them alone."""
    responses = organisation.responses
    silent = next(one for one in responses.computers.values() if one is not computer)
    responses.see(SHA256, computer)
    responses.see(SHA256, silent, executed=True)
    event = {"id": 1, "connector_guid": computer.guid, "file": {"identity": {"sha256": SHA256}}}
    organisation.publish([json.dumps(event).encode()])
    result = run("hunt", SHA256.upper(), "--executed")
    assert "2 have seen it, 1 of them raised no event" in result.stderr
    assert f"/computers/{silent.guid}/trajectory?q={SHA256}" in result.stdout
    found = json.loads(run("hunt", SHA256, "--json").stdout)
    assert [(one["hostname"], one["raised_event"]) for one in found["computers"]] == [
        ("srv-linux-1", False),
        ("desk-014", True),
    ]
    run("isolate", "--hash", SHA256, "--no-event", *YES)
    assert (computer.status, silent.status) == ("not_isolated", "isolated")
    responses.see("203.0.113.7", computer)
    assert json.loads(run("hunt", "203.0.113.7", "--json").stdout)["computers"][0]["raised_event"] is None
    said = run("hunt", "203.0.113.7").stderr
    assert said == "1 has seen it; whether they raised events is asked for a SHA-256 only\n"
    run("hunt", "203.0.113.7", "--executed", code=2)


def test_who_said_nothing_is_asked_first_whether_the_file_ran(
    run: Run, computer: LocalComputer, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more have seen it than are asked; a dash could be taken for a no."""
    monkeypatch.setattr(hunts, "MAX_TRAJECTORIES", 1)
    silent = organisation.responses.add_computer("zzz")
    organisation.responses.see(SHA256, computer, silent, executed=True)
    event = {"id": 1, "connector_guid": computer.guid, "file": {"identity": {"sha256": SHA256}}}
    organisation.publish([json.dumps(event).encode()])
    result = run("hunt", SHA256, "--executed")
    assert [row.split()[:1] + row.split()[2:4] for row in result.stdout.splitlines()[1:]] == [
        ["zzz", "no", "yes"],
        ["desk-014", "yes", "-"],
    ]
    assert "1 computer not asked whether the file ran there" in result.stderr
    assert "not asked" not in run("hunt", SHA256).stderr


def test_a_computer_that_is_removed_during_a_hunt_hides_no_other(
    run: Run, computer: LocalComputer, responses: Responses, cloud: LocalCloud
) -> None:
    """Its history is still there, its trajectory is not: whether it ran the file is not known of it alone."""
    silent = next(one for one in responses.computers.values() if one is not computer)
    responses.see(SHA256, computer, silent, executed=True)
    cloud.fail(Failure("GET", f"/v1/computers/{computer.guid}/trajectory", status=404))
    found = json.loads(run("hunt", SHA256, "--executed", "--json").stdout)["computers"]
    assert {one["hostname"]: one["executed"] for one in found} == {"desk-014": None, "srv-linux-1": True}


def test_every_tenant_is_hunted_in(
    run: Run, computer: LocalComputer, organisation: Organisation, cloud: LocalCloud, tmp_path: Path
) -> None:
    """One that cannot be asked stops no other; and one can be meant, which is named before anything is done."""
    organisation.responses.see(SHA256, computer)
    fleet = tmp_path / "fleet.yml"
    (tmp_path / "key").write_text(organisation.api_key)
    (tmp_path / "bad").write_text("0" * 32)
    fleet.write_text(
        f"defaults: {{api_host: '{cloud.url}', streams: [{{name: SIEM}}]}}\n"
        "tenants:\n"
        "  - {name: Bad, client_id: nobody, api_key_file: bad}\n"
        f"  - {{name: Acme, client_id: {organisation.client_id}, api_key_file: key}}\n"
    )
    result = run("hunt", SHA256, "--fleet", str(fleet), "--all-tenants", "--json", code=77)
    assert "Bad could not be asked" in result.stderr
    assert result.stderr.endswith("\n1 of 2 organisations could not be asked: Bad\n")
    shown = run("hunt", SHA256, "--fleet", str(fleet), "--all-tenants", code=77).stderr
    assert shown.endswith("1 has seen it, 1 of them raised no event\n1 of 2 organisations could not be asked: Bad\n")
    unasked, asked = json.loads(result.stdout)
    assert (asked["tenant"], len(asked["computers"]), asked["error"]) == ("Acme", 1, None)
    assert (unasked["tenant"], unasked["complete"], unasked["computers"]) == ("Bad", False, [])
    assert unasked["error"]["id"] == "cloud.credentials-refused"
    assert "desk-014" in run("hunt", SHA256, "--fleet", str(fleet), "--tenant", "acme").stdout
    run("hunt", SHA256, "--all-tenants", code=2)
    run("isolate", "desk-014", *WHY, "--tenant", "acme", code=2)
    shown = run("isolate", "desk-014", *WHY, "--dry-run", "--fleet", str(fleet), "--tenant", "acme").stderr
    whose = f"client id {organisation.client_id[:8]}…, cloud {cloud.url.split('/')[-1]}"
    assert shown.startswith(f"in the organisation Acme ({whose}):\nwould isolate desk-014 ")
    shown = run("isolate", "desk-014", *WHY, "--dry-run").stderr
    assert shown.startswith(f"in the organisation of the {whose}:\nwould isolate desk-014 ")
    assert organisation.client_id not in shown


def test_a_configuration_and_an_environment_of_two_organisations_change_nothing(
    run: Run, computer: LocalComputer, organisation: Organisation, cloud: LocalCloud, tmp_path: Path
) -> None:
    """A variable of the last case is still set: it would go before the configuration, which is named now."""
    config = tmp_path / "acme.yml"
    api = "api: {client_id: %s, api_key: secret}, cloud: {api: '%s'}"
    config.write_text(f"streams: [{{name: acme, {api % ('another', cloud.url)}}}]")
    said = run("isolate", "desk-014", *YES, "-c", str(config), code=2).stderr
    assert "AMP_CLIENT_ID is not the client id of acme.yml" in said.replace(f"{tmp_path}/", "")
    assert cloud.requests == []
    config.write_text(f"streams: [{{name: acme, {api % (organisation.client_id, cloud.url)}}}]")
    run("isolate", "desk-014", *YES, "-c", str(config))
    assert computer.status == "isolated"


@pytest.mark.parametrize("option", ["--region", "--api-host", "--client-id", "--api-key-file", "-c", "--of-stream"])
@pytest.mark.parametrize("which", [["isolate", "desk-014", "--tenant", "acme"], ["hunt", SHA256, "--all-tenants"]])
def test_a_tenant_and_another_organisation_are_not_both_meant(
    run: Run, computer: LocalComputer, cloud: LocalCloud, which: list[str], option: str
) -> None:
    """The fleet file has cloud and key of the tenant: another one beside it would be forgotten."""
    why = YES if which[0] == "isolate" else ()
    said = run(*which, "--fleet", "fleet.yml", option, "another", *why, code=2).stderr
    assert f"--fleet has cloud and key, and so has {option}" in said
    assert cloud.requests == []


def test_a_stream_without_a_client_id_is_not_of_the_environments_organisation(
    run: Run, computer: LocalComputer, cloud: LocalCloud, tmp_path: Path
) -> None:
    """It is named, so its organisation is meant; which that is, nothing tells."""
    config = tmp_path / "both.yml"
    config.write_text("streams: [{name: globex}, {name: acme, api: {client_id: another, api_key: secret}}]")
    said = run("isolate", "desk-014", *YES, "-c", str(config), "--of-stream", "globex", code=2).stderr
    assert "which organisation?" in said
    assert cloud.requests == []


def test_vulnerable_programs_are_shown(run: Run, computer: LocalComputer, responses: Responses) -> None:
    """The worst first; of one computer, of one file; and that there are none."""
    responses.vulnerabilities.append({"application": "Chrome", "file": {"identity": {"sha256": "A" * 64}}})
    none = run("vulnerable", "--sha256", SHA256)
    assert (none.stdout, none.stderr) == ("", "0 vulnerable programs\n")
    responses.vulnerabilities.clear()
    about = {"connector_guid": computer.guid, "hostname": computer.hostname}
    for name, score, sha256, computers in (("Firefox", 6.8, "E" * 64, [about]), ("Java", 10, SHA256, [])):
        responses.vulnerabilities.append(
            {
                "application": name,
                "version": "1.7.0:update_10",
                "file": {"identity": {"sha256": sha256}},
                "cves": [{"id": "CVE-2013-0422", "cvss": score}],
                "computers_total_count": len(computers),
                "computers": computers,
            }
        )
    assert [one["application"] for one in json.loads(run("vulnerable", "--json").stdout)] == ["Java", "Firefox"]
    assert "Java" not in run("vulnerable", "--computer", "desk-014").stdout
    assert "Firefox" not in run("vulnerable", "--sha256", SHA256.upper()).stdout


# --- while the rate limit is waited for ----------------------------------------------------------


@pytest.fixture
def while_it_waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """``while_it_waits(happens)``: that happens during each pause for the rate limit, which is over at once."""
    now_s = 0.0

    def while_it_waits(happens: Callable[[], object]) -> None:
        async def wait(self: Screen, seconds: float, why: str) -> None:
            nonlocal now_s
            now_s += seconds
            happens()

        monkeypatch.setattr(Screen, "wait", wait)
        monkeypatch.setattr(ready, "seconds", lambda: now_s)

    return while_it_waits


def group_of(organisation: Organisation, name: str) -> str:
    """The GUID of a group."""
    return next(guid for guid, called in organisation.groups.items() if called == name)


def turned_away(method: str, path: str = "/v1/") -> Failure:
    """A 429 to such a request; the limit starts anew in two minutes."""
    failure = too_many_requests(120)
    failure.method, failure.path = method, path
    return failure


@pytest.mark.parametrize("is_lost_first", [False, True])
def test_no_group_is_emptied_while_the_rate_limit_is_waited_for(
    run: Run,
    computer: LocalComputer,
    organisation: Organisation,
    cloud: LocalCloud,
    while_it_waits: Callable[[Callable[[], object]], None],
    journal: Path,
    is_lost_first: bool,
) -> None:
    """What was asked minutes ago is asked again: others moved the last one away meanwhile.

    The pause may also come after a first try whose answer was lost, and which was not done.
    """
    other = next(one for one in organisation.responses.computers.values() if one is not computer)
    while_it_waits(lambda: setattr(other, "group_guid", group_of(organisation, "Triage")))
    cloud.fail(Failure("PATCH", silent=True) if is_lost_first else turned_away("PATCH"))
    act = CiscoApi.act

    async def acted(self: CiscoApi, *arguments: Any) -> HttpAnswer:
        try:
            return await act(self, *arguments)
        finally:
            cloud.fail(turned_away("GET"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CiscoApi, "act", acted)
        result = run("move", "desk-014", "--group", "Triage", *YES, code=69 if is_lost_first else 77)
    assert ("respond.group-would-be-empty" in result.stderr) is not is_lost_first
    assert "just moved out" not in result.stderr  # who is to be moved was not
    assert changes(cloud) == ["PATCH"]
    assert organisation.groups[computer.group_guid] == "Protect"
    assert [line.get("outcome") for line in told(journal)] == [None, "in doubt" if is_lost_first else "refused"]


def test_who_was_moved_while_the_rate_limit_is_waited_for_stays_there(
    run: Run,
    computer: LocalComputer,
    organisation: Organisation,
    cloud: LocalCloud,
    at_the_prompt: Callable[[Callable[[], object]], None],
    while_it_waits: Callable[[Callable[[], object]], None],
) -> None:
    """The pause may also come between two looks before the request: then both are done again."""
    other = next(one for one in organisation.responses.computers.values() if one is not computer)
    while_it_waits(lambda: setattr(computer, "group_guid", group_of(organisation, "Server")))
    at_the_prompt(lambda: cloud.fail(turned_away("GET", f"/v1/computers/{other.guid}")))
    result = run("move", "desk-014", "--group", "Triage", *WHY, code=77)
    assert "respond.changed-meanwhile" in result.stderr
    assert changes(cloud) == []


def test_what_happens_while_the_rate_limit_is_waited_for_is_not_undone(
    run: Run,
    computer: LocalComputer,
    cloud: LocalCloud,
    while_it_waits: Callable[[Callable[[], object]], None],
    journal: Path,
) -> None:
    """A colleague released the computer and isolated it anew: that is nobody's to undo."""
    run("isolate", "desk-014", *YES)
    while_it_waits(lambda: setattr(computer, "comment", "case 99 [bob]"))
    cloud.fail(turned_away("DELETE"))
    result = run("undo", told(journal)[0]["entry"], "--yes", code=77)
    assert "respond.nothing-to-undo" in result.stderr
    assert computer.status == "isolated"
    assert told(journal)[-1]["outcome"] == "refused"
