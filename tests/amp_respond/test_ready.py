"""What is asked right before a request: what is old by then is asked again, whatever took the time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.amp_respond import actions, ready
from fluent_plugin_amp.amp_respond.entries import entries
from fluent_plugin_amp.amp_respond.journal import Journal, before_now
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.testing.cloud import LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from fluent_plugin_amp.testing.rest import Request
from tests.amp_respond.conftest import COMMANDS, SHA256, Run, changes, told

YES = ("--reason", "case 77", "--yes", "--wait", "0s")
MOVE = ("move", "desk-014", "--group", "Triage", "--reason", "case 77", "--yes")


@dataclass
class Clock:
    """The time since a start, which goes on only when a test says so."""

    now_s: float = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the clock by which something is old."""
    clock = Clock()
    monkeypatch.setattr(ready, "seconds", lambda: clock.now_s)
    return clock


@pytest.fixture
def triage(organisation: Organisation) -> str:
    """The GUID of the group that computers are moved to."""
    return next(guid for guid, name in organisation.groups.items() if name == "Triage")


@pytest.fixture
def server(responses: Responses, computer: LocalComputer) -> LocalComputer:
    """The only other computer of the group."""
    return next(one for one in responses.computers.values() if one is not computer)


Slow = Callable[[Callable[[Request], bool], Callable[[], object]], None]


@pytest.fixture
def slow(responses: Responses, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """``slow(which, happens)``: such answers take 12 s each; that happens meanwhile, and is not in them."""

    def slow(which: Callable[[Request], bool], happens: Callable[[], object]) -> None:
        answer = responses.answer

        def slowly(request: Request) -> Any:
            answered = answer(request)
            if request.method == "GET" and which(request):
                clock.now_s += 12.0
                happens()
            return answered

        monkeypatch.setattr(responses, "answer", slowly)

    return slow


@pytest.fixture
def waits_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """``waits_for(happens)``: that happens during each pause for the rate limit, which is over at once."""

    def waits_for(happens: Callable[[], object]) -> None:
        async def wait(self: Screen, seconds: float, why: str) -> None:
            happens()

        monkeypatch.setattr(Screen, "wait", wait)

    return waits_for


def lists(group_guid: str) -> Callable[[Request], bool]:
    """Requests for the computers of a group."""
    return lambda request: group_guid in request.values("group_guid[]")


def about(computer: LocalComputer) -> Callable[[Request], bool]:
    """Requests for a computer itself."""
    return lambda request: request.path == f"/v1/computers/{computer.guid}"


def test_the_clock_goes_on_by_itself() -> None:
    """Also while the process is stopped, and where there is no clock that counts a machine's sleep."""
    before, start = ready.seconds(), time.monotonic()
    while time.monotonic() == start:
        pass
    assert ready.seconds() > before


def at_the(number: int, happens: Callable[[], object]) -> Callable[[], object]:
    """It happens the so many-th time."""
    times = itertools.count(1)
    return lambda: happens() if next(times) == number else None


@pytest.mark.parametrize("is_left", [True, False])
def test_a_slow_answer_empties_no_group(
    run: Run, computer: LocalComputer, server: LocalComputer, triage: str, slow: Slow, is_left: bool
) -> None:
    """A colleague moves the other one away meanwhile, and the rate limit held up nothing.

    The answer is that of the other one, right before the request, or the list of the group that they are moved to.
    """
    left = computer.group_guid
    which = about(server) if is_left else lists(triage)
    slow(which, at_the(1 + is_left, lambda: setattr(server, "group_guid", triage)))
    assert "respond.group-would-be-empty" in run(*MOVE, code=77).stderr
    assert computer.group_guid == left


def test_who_was_in_the_group_already_for_a_moment_empties_none(
    run: Run, computer: LocalComputer, server: LocalComputer, triage: str, responses: Responses, cloud: LocalCloud
) -> None:
    """A colleague moves both computers and takes one back, between two looks: the other group is asked about then."""
    left, looks, answer = computer.group_guid, itertools.count(1), responses.answer

    def moving(request: Request) -> Any:
        if request.method == "GET" and about(computer)(request):
            look = next(looks)
            if look == 2:  # 1: before it is shown
                computer.group_guid = server.group_guid = triage
            if look == 3:
                computer.group_guid = left
        return answer(request)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(responses, "answer", moving)
        assert "respond.group-would-be-empty" in run(*MOVE, code=77).stderr
    assert "PATCH" not in [method for method, _ in cloud.requests]


def test_a_list_that_is_slow_each_time_forbids_nothing(
    run: Run, computer: LocalComputer, triage: str, slow: Slow
) -> None:
    """After some tries only what is asked after the list must not be old."""
    slow(lists(computer.group_guid), lambda: None)
    run(*MOVE)
    assert computer.group_guid == triage


def test_a_slow_cloud_releases_nobody_whom_a_colleague_isolated_anew(
    run: Run, computer: LocalComputer, journal: Path, slow: Slow
) -> None:
    """The colleague's comment comes after the look, while the answer about the name is waited for."""
    run("isolate", "desk-014", *YES)
    computer.status = "isolated"
    slow(about(computer), at_the(2, lambda: setattr(computer, "comment", "case 99 [bob]")))  # 1: before the prompt
    said = run("undo", told(journal)[0]["entry"], "--yes", code=77).stderr
    assert "respond.nothing-to-undo" in said
    assert computer.status == "isolated"


def test_what_is_old_each_time_it_is_seen_is_not_acted_on(
    run: Run, computer: LocalComputer, journal: Path, slow: Slow
) -> None:
    """Where even what is asked last takes too long, nothing is asked for or written down."""
    slow(about(computer), lambda: None)
    assert "respond.state-is-old" in run("isolate", "desk-014", *YES, code=69).stderr
    assert computer.status == "not_isolated"
    assert told(journal) == []


def test_a_slow_disk_isolates_nobody_anew(
    run: Run,
    computer: LocalComputer,
    journal: Path,
    cloud: LocalCloud,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line before the request took its time: it is looked at again, and a colleague was faster."""
    append = Journal.append

    def slowly(self: Journal, *lines: Any) -> None:
        append(self, *lines)
        if lines[0]["phase"] == "asked":
            clock.now_s += 12.0
            computer.status, computer.comment = "isolated", "case 99 [bob]"

    monkeypatch.setattr(Journal, "append", slowly)
    run("isolate", "desk-014", *YES)
    assert "PUT" not in [method for method, _ in cloud.requests]
    assert [line.get("outcome") for line in told(journal)] == [None, "already"]


def test_a_disk_that_is_slow_twice_releases_nobody_whom_a_colleague_isolated_anew(
    run: Run, computer: LocalComputer, journal: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen before the line that says what differs is old behind it."""
    run("isolate", "desk-014", *YES)
    computer.offline = True
    append = Journal.append

    def slowly(self: Journal, *lines: Any) -> None:
        append(self, *lines)
        clock.now_s += 11.0
        if lines[0]["phase"] == "asked":
            computer.status = "isolated"
        if lines[0]["phase"] == "looked":
            computer.comment = "case 99, bob isolated it anew"

    monkeypatch.setattr(Journal, "append", slowly)
    run("undo", told(journal)[0]["entry"], "--yes", "--wait", "0s", code=77)
    assert computer.status == "isolated"


def test_a_disk_that_is_slow_each_time_changes_nothing(
    run: Run, computer: LocalComputer, journal: Path, clock: Clock, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something else differs each time, so there is always a line to write."""
    computer.status, computer.offline = "isolated", True
    states = itertools.cycle(["pending_start", "isolated"])
    append = Journal.append

    def slowly(self: Journal, *lines: Any) -> None:
        append(self, *lines)
        clock.now_s += 11.0
        computer.status = next(states)

    monkeypatch.setattr(Journal, "append", slowly)
    assert "the disk is too slow" in run("release", "desk-014", *YES, code=69).stderr
    assert "DELETE" not in [method for method, _ in cloud.requests]


def test_a_list_of_thousands_on_a_slow_cloud_takes_a_file(
    run: Run, responses: Responses, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks for a file that is not there reads all of it: that alone takes longer than ten seconds."""
    soc = responses.add_list("SOC list")
    soc.files |= {f"{number:064x}": "" for number in range(1500)}
    answer = responses.answer

    def slowly(request: Request) -> Any:
        clock.now_s += 4.0 * request.path.endswith("/files")
        return answer(request)

    monkeypatch.setattr(responses, "answer", slowly)
    new = "f" * 64
    run("block", new, "--list", "SOC list", "--reason", "case 77", "--yes")
    assert new in soc.files


def test_a_cloud_that_takes_seconds_for_each_answer_is_asked_all_the_same(
    run: Run, kind: str, cloud: LocalCloud, clock: Clock, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six seconds each: two answers one after the other would be old, so what is asked last is asked at once."""
    exchange = CiscoApi._exchange

    async def slowly(self: CiscoApi, *arguments: Any, **options: Any) -> Any:
        until_s = clock.now_s + 6.0
        answer = await exchange(self, *arguments, **options)
        clock.now_s = max(clock.now_s, until_s)
        return answer

    monkeypatch.setattr(CiscoApi, "_exchange", slowly)
    arguments, method, _ = COMMANDS[kind]
    run(kind, *arguments, "--reason", "case 77", "--yes")
    assert changes(cloud) == [method]
    run("undo", told(journal)[0]["entry"], "--yes")
    assert len(changes(cloud)) == 2


def test_what_differs_after_the_rate_limit_is_written_down(
    run: Run,
    computer: LocalComputer,
    server: LocalComputer,
    responses: Responses,
    triage: str,
    cloud: LocalCloud,
    journal: Path,
    waits_for: Callable[[Callable[[], object]], None],
) -> None:
    """A colleague puts the first computer into the group meanwhile, and takes it away: undo does not empty it."""
    responses.add_computer("desk-015")
    left = computer.group_guid
    failure = too_many_requests(30)
    failure.method = "PATCH"
    cloud.fail(failure)
    waits_for(lambda: setattr(server, "group_guid", triage))
    run(*MOVE)
    lines = told(journal)
    assert [line["phase"] for line in lines] == ["asked", "looked", "answered"]
    assert [line.get("group_was_empty") for line in lines] == [True, False, None]
    assert entries(lines)[0].asked["group_was_empty"] is False
    server.group_guid = left
    assert "respond.group-would-be-empty" in run("undo", lines[0]["entry"], "--yes", code=77).stderr
    assert computer.group_guid == triage


@pytest.mark.parametrize("how", ["two commands", "one command", "undo"])
def test_who_was_moved_out_of_a_group_does_not_stay_there_though_the_cloud_still_shows_it(
    run: Run,
    computer: LocalComputer,
    server: LocalComputer,
    responses: Responses,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """The cloud accepts each move, and shows the group of before: the last one is not moved."""
    entry = ""
    if how == "undo":
        run("move", "desk-014", "srv-linux-1", "--group", "Triage", "--empty-group", *MOVE[4:])
        responses.add_computer("srv-linux-2")
        entry = told(journal)[2]["entry"]
    before = computer.group_guid
    change = responses._computer

    def late(request: Request, method: str, one: LocalComputer, rest: list[str]) -> Any:
        answered = change(request, method, one, rest)
        if method == "PATCH":
            one.group_guid = before
            if how == "one command":  # a colleague, by the console
                responses.computers.pop(server.guid, None)
        return answered

    monkeypatch.setattr(responses, "_computer", late)
    if how == "one command":
        responses.add_computer("desk-015")
        assert "respond.group-would-be-empty" in run("move", "desk-014", "desk-015", *MOVE[2:], code=77).stderr
        assert [line.get("outcome") for line in told(journal)] == [None, "done", None, "refused"]
    elif how == "two commands":
        run(*MOVE)
        assert "respond.group-would-be-empty" in run("move", "srv-linux-1", *MOVE[2:], code=77).stderr
    else:
        run("undo", told(journal)[0]["entry"], "--yes")
        assert "respond.group-would-be-empty" in run("undo", entry, "--yes", code=77).stderr


def test_the_time_of_an_entry_is_that_of_its_line(
    run: Run, computer: LocalComputer, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look can take minutes where the rate limit is used up: what is asked is asked behind it."""
    looked: list[str] = []
    look = actions.look

    async def late(*arguments: Any, **options: Any) -> Any:
        stand = await look(*arguments, **options)
        await asyncio.sleep(0.005)  # the journal counts milliseconds
        looked.append(before_now(timedelta()))
        return stand

    monkeypatch.setattr(ready, "look", late)
    run("isolate", "desk-014", *YES)
    assert told(journal)[0]["at"] >= looked[-1]


def test_a_list_that_is_slow_is_read_once_for_a_file(
    run: Run, responses: Responses, cloud: LocalCloud, slow: Slow
) -> None:
    """What counts is how old its end is, or it would be read in vain."""
    soc = responses.add_list("SOC list")
    slow(lambda request: request.path.endswith("/files"), lambda: None)
    run("block", SHA256, "--list", "SOC list", "--reason", "case 77", "--yes")
    assert list(soc.files) == [SHA256]
    assert [path.endswith("/files") for method, path in cloud.requests if method == "GET"].count(True) == 1
