"""Computers, found without a guess."""

from __future__ import annotations

import json

import pytest

from fluent_plugin_amp.cisco import computers
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import (
    ActionInDoubt,
    CloudAnswerNotUnderstood,
    ComputerAmbiguous,
    ComputerNotFound,
)
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation


async def test_a_guid_or_a_whole_name_finds_a_computer(api: CiscoApi, organisation: Organisation) -> None:
    """In whatever case."""
    made = organisation.responses.add_computer("Desk-014")
    organisation.responses.add_computer("Desk-0145")
    for text in (made.guid, made.guid.upper(), "Desk-014", "desk-014", "DESK-014"):
        assert (await computers.find(api, text)).guid == made.guid


async def test_a_part_of_a_name_finds_nothing(api: CiscoApi, organisation: Organisation) -> None:
    """The error names what was meant, perhaps."""
    organisation.responses.add_computer("Desk-014")
    for text in ("Desk", "Desk-01", "", "*", " Desk-014", "Desk-014\x1f", f" {organisation.client_id}"):
        with pytest.raises(ComputerNotFound):
            await computers.find(api, text)
    with pytest.raises(ComputerNotFound, match=r"meant perhaps: Desk-014 \("):
        await computers.find(api, "Desk")
    with pytest.raises(ComputerNotFound, match="connector GUID"):
        await computers.find(api, "6a5f008f-9240-4c59-b73a-982517dc3824")


async def test_a_name_of_several_is_an_error_with_the_candidates(api: CiscoApi, organisation: Organisation) -> None:
    """Each with its GUID and what tells it from the other."""
    both = [organisation.responses.add_computer(name) for name in ("desk-014", "DESK-014")]
    with pytest.raises(ComputerAmbiguous) as raised:
        await computers.find(api, "desk-014")
    assert all(one.guid in str(raised.value) for one in both)
    assert "last seen 2026-03-02" in str(raised.value)


async def test_a_moved_computer_is_in_the_other_group(api: CiscoApi, organisation: Organisation) -> None:
    """At once; its policy comes later."""
    made = organisation.responses.add_computer("desk-014")
    triage = next(guid for guid, name in organisation.groups.items() if name == "Triage")
    protect = made.group_guid
    assert await computers.is_anybody_in(api, protect)
    assert await computers.is_anybody_in(api, protect, {made.guid}) is False
    await computers.move(api, made.guid, triage)
    now = await computers.by_guid(api, made.guid)
    assert (now.group_guid, now.policy) == (triage, "Protect")
    assert (await computers.by_guid(api, made.guid)).policy == "Triage"
    assert await computers.is_anybody_in(api, protect) is False


@pytest.mark.parametrize("how", ["of another group", "cut", "of no group", "in another group itself"])
async def test_only_who_says_it_itself_is_in_a_group(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud, how: str
) -> None:
    """Whatever the total is: it may ignore the filter.  A list that is cut leaves it untold."""
    protect = organisation.responses.add_computer("desk-014").group_guid
    other = organisation.responses.add_computer("desk-015", group="Triage")
    group = {"of another group": other.group_guid, "of no group": None}.get(how, protect)
    told = [] if how == "cut" else [{"connector_guid": other.guid, "hostname": "desk-015", "group_guid": group}]
    total = 2 if how == "cut" else 1
    metadata = {"results": {"total": total}}
    answered = cloud.fail(Failure("GET", "/v1/computers", status=200, times=1))
    answered.body = json.dumps({"metadata": metadata, "data": told}).encode()
    if how == "cut":
        answered.times = 9
    expected = None if how in ("cut", "in another group itself") else False
    assert await computers.is_anybody_in(api, protect) is expected


async def test_the_answer_is_about_the_computer_that_was_asked_for(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud
) -> None:
    """One about another computer is not understood: nobody else is isolated."""
    asked, other = (organisation.responses.add_computer(name) for name in ("desk-014", "desk-015"))
    body = json.dumps({"data": {"connector_guid": other.guid, "hostname": "desk-014"}}).encode()
    cloud.fail(Failure("GET", f"/v1/computers/{asked.guid}", body=body, status=200))
    with pytest.raises(CloudAnswerNotUnderstood, match=other.guid):
        await computers.find(api, asked.guid)


@pytest.mark.parametrize("how", ["another name", "cut"])
async def test_a_list_is_not_believed_over_the_computer(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud, how: str
) -> None:
    """It gives the name to another GUID; or it has a part, and the other one of this name may be missing."""
    other, told = organisation.responses.add_computer("finance-01"), cloud.fail(Failure("GET", "/v1/computers"))
    about = {"connector_guid": other.guid, "hostname": "desk-014" if how == "another name" else "finance-01"}
    metadata = {"results": {"total": 2}} if how == "cut" else {}
    told.body = json.dumps({"metadata": metadata, "data": [about]}).encode()
    told.status, told.times = 200, 1 if how == "another name" else 9
    with pytest.raises(
        CloudAnswerNotUnderstood, match=f"itself is finance-01.*{other.guid}" if metadata == {} else "cut"
    ):
        await computers.find(api, about["hostname"])


@pytest.mark.parametrize("told", ["another group", "another computer", "nothing"])
async def test_the_answer_to_a_move_is_read(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud, told: str
) -> None:
    """Where it does not say that this computer is in this group, it is not known whether it is."""
    made, other = (organisation.responses.add_computer(name) for name in ("desk-014", "desk-015"))
    triage = next(guid for guid, name in organisation.groups.items() if name == "Triage")
    about = {
        "another group": {"connector_guid": made.guid, "group_guid": made.group_guid},
        "another computer": {"connector_guid": other.guid, "group_guid": triage},
        "nothing": {},
    }[told]
    cloud.fail(Failure("PATCH", status=202, body=json.dumps({"data": about}).encode()))
    with pytest.raises(ActionInDoubt) as raised:
        await computers.move(api, made.guid, triage)
    assert raised.value.late  # so it is looked up, and not asked for again


@pytest.mark.parametrize(
    ("named", "called"),
    [
        ("desk-014", "des\u212a-014"),
        ("\u212a-014", "k-014"),
        ("strasse", "stra\xdfe"),
        ("stra\xdfe", "STRA\u1e9eE"),
        ("\xc5-014", "\u212b-014"),
        ("\xe5-014", "\u212b-014"),
        ("\u03c3-014", "\u03c2-014"),
        ("\u01c6-014", "\u01c5-014"),
    ],
)
async def test_a_name_that_looks_alike_is_another(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud, named: str, called: str
) -> None:
    """Case is that of one letter: neither is the sign for Kelvin a k, nor a sharp s two of them."""
    made = organisation.responses.add_computer(called)
    body = json.dumps({"data": [{"connector_guid": made.guid, "hostname": called}]}).encode()
    cloud.fail(Failure("GET", "/v1/computers", body=body, status=200))
    with pytest.raises(ComputerNotFound):
        await computers.find(api, named)


def test_a_computer_has_a_guid() -> None:
    """What has none, or one that would lead to another path, is not understood."""
    for guid in (None, 7, "", "../event_streams/1"):
        with pytest.raises(CloudAnswerNotUnderstood):
            computers.computer({"connector_guid": guid})
