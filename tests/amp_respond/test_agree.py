"""What is only shown, what is asked about, what is done; and what a reader that leaves changes of it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.commands import console
from fluent_plugin_amp.testing.cloud import LocalCloud, too_many_requests
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import COMMANDS, SHA256, WHY, YES, Run, changes, told


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


def leave(*_: Any, **options: Any) -> None:
    """Nobody reads any more."""
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


# --- who reads it ---------------------------------------------------------------------------------


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


# --- several --------------------------------------------------------------------------------------


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
    assert (
        "2 names are given, --max allows 1"
        in run(kind, "desk-014", "desk-015", *to, *YES, "--max", "1", code=2).stderr
    )
    assert cloud.requests == []
