"""Computers, found without a guess."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco import computers
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood, ComputerAmbiguous, ComputerNotFound
from fluent_plugin_amp.testing.organisation import Organisation


async def test_a_guid_or_a_whole_name_finds_a_computer(api: CiscoApi, organisation: Organisation) -> None:
    """In whatever case."""
    made = organisation.responses.add_computer("Desk-014")
    organisation.responses.add_computer("Desk-0145")
    for text in (made.guid, made.guid.upper(), "Desk-014", "desk-014", " DESK-014 "):
        assert (await computers.find(api, text)).guid == made.guid


async def test_a_part_of_a_name_finds_nothing(api: CiscoApi, organisation: Organisation) -> None:
    """The error names what was meant, perhaps."""
    organisation.responses.add_computer("Desk-014")
    for text in ("Desk", "Desk-01", "", "*"):
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
    assert await computers.count_in_group(api, made.group_guid) == 1
    await computers.move(api, made.guid, triage)
    now = await computers.by_guid(api, made.guid)
    assert (now.group_guid, now.policy) == (triage, "Protect")
    assert (await computers.by_guid(api, made.guid)).policy == "Triage"


def test_a_computer_has_a_guid() -> None:
    """What has none, or one that would lead to another path, is not understood."""
    for guid in (None, 7, "", "../event_streams/1"):
        with pytest.raises(CloudAnswerNotUnderstood):
            computers.computer({"connector_guid": guid})
