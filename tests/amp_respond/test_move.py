"""`amp-respond move`: no group is left without computers by accident, whatever happens meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import COMMANDS, WHY, YES, Run, changes, group_of, told, turned_away


def test_no_group_is_emptied_by_accident(run: Run, computer: LocalComputer, organisation: Organisation) -> None:
    """The last ones stay, unless it is said."""
    both = ("desk-014", "srv-linux-1", "--group", "Triage")
    assert "respond.group-would-be-empty" in run("move", *both, *YES, code=77).stderr
    run("move", "desk-014", "--group", "triage", *YES)
    assert organisation.groups[computer.group_guid] == "Triage"
    assert "name.unknown" in run("move", "srv-linux-1", "--group", "Nowhere", *YES, code=2).stderr
    run("move", "srv-linux-1", "--group", "Triage", *YES, "--empty-group")
    assert "already" in run("move", "srv-linux-1", "--group", "Triage", *YES).stderr


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


def test_a_group_that_would_be_empty_keeps_its_computers_and_no_others(
    run: Run, computer: LocalComputer, responses: Responses, organisation: Organisation, journal: Path
) -> None:
    """The last one of a group stays, though another of the same command is moved."""
    last = responses.add_computer("desk-9", group="Server")
    run("move", "desk-9", "desk-014", "--group", "Triage", *YES, code=77)
    assert [organisation.groups[one.group_guid] for one in (last, computer)] == ["Server", "Triage"]
    assert [line.get("outcome") for line in told(journal)] == [None, "refused", None, "done"]


# --- while a prompt, or the rate limit, is waited for ---------------------------------------------


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
