"""`amp-respond isolate` and `release`: who is meant, who is refused, and the way there and back."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from fluent_plugin_amp.cisco import hunting
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import SHA256, WHY, YES, Run, changes, told


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


async def told_in_part(*arguments: object) -> hunting.Told:
    """Too many events to read."""
    return hunting.Told(frozenset(), is_complete=False)


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


def test_no_other_computer_is_isolated(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """A part of a name, and a name of two computers, are errors; the other names of the command are not acted on."""
    for name in ("desk-014", "DESK-014", "desk-015"):
        responses.add_computer(name)
    assert "cloud.computer-ambiguous" in run("isolate", "desk-015", "desk-014", *YES, code=77).stderr
    assert "cloud.computer-not-found" in run("isolate", "desk-01", *YES, code=77).stderr
    assert changes(cloud) == []


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
