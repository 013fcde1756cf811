"""Who has seen it, who raised no event for it."""

from __future__ import annotations

import json

import pytest

from fluent_plugin_amp.cisco import hunting
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation

SHA256 = "95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba"


async def test_computers_that_saw_a_file_and_told_nothing(api: CiscoApi, organisation: Organisation) -> None:
    """Both see it, one raises an event, the other ran it."""
    told, silent = (organisation.responses.add_computer(name) for name in ("desk-014", "desk-015"))
    organisation.responses.see(SHA256, told)
    organisation.responses.see(SHA256, silent, executed=True)
    event = {"id": 1, "connector_guid": told.guid, "file": {"identity": {"sha256": SHA256}}}
    organisation.publish([json.dumps(event).encode()])
    seen = await hunting.seen(api, SHA256)
    assert ([one.hostname for one in seen.computers], seen.is_complete) == (["desk-014", "desk-015"], True)
    assert await hunting.told(api, SHA256) == hunting.Told(frozenset({told.guid}), is_complete=True)
    assert not await hunting.ran(api, told.guid, SHA256)
    assert await hunting.ran(api, silent.guid, SHA256)


async def test_a_search_that_was_cut_says_so(
    api: CiscoApi, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what was seen nor who told is taken for complete then."""
    monkeypatch.setattr(hunting, "HISTORY", 3)
    monkeypatch.setattr(hunting, "MAX_EVENTS", 1)
    for number in range(3):
        organisation.responses.see(SHA256, organisation.responses.add_computer(f"desk-{number}"))
    about = {"computer": {"connector_guid": "6a5f008f-9240-4c59-b73a-982517dc3824"}}
    organisation.publish([json.dumps({"id": 1, "file": {"identity": {"sha256": SHA256}}, **about}).encode()])
    assert not (await hunting.seen(api, SHA256)).is_complete
    assert await hunting.told(api, SHA256) == hunting.Told(
        frozenset({"6a5f008f-9240-4c59-b73a-982517dc3824"}), is_complete=False
    )


async def test_a_computer_that_is_listed_for_each_entry_counts_as_often(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cloud's limit is one of entries: a search that reached it is not complete, however few it found."""
    about = {"connector_guid": "6a5f008f-9240-4c59-b73a-982517dc3824", "hostname": "desk-014"}
    body = json.dumps({"metadata": {"results": {"total": 3}}, "data": [about] * 3}).encode()
    cloud.fail(Failure("GET", times=99, status=200, body=body))
    for history in (4, 3):
        monkeypatch.setattr(hunting, "HISTORY", history)
        seen = await hunting.seen(api, SHA256)
        assert (len(seen.computers), seen.is_complete) == (1, history == 4)


async def test_events_of_two_computers_may_have_one_rounded_id(api: CiscoApi, organisation: Organisation) -> None:
    """Neither computer counts as silent then."""
    guids = [organisation.responses.add_computer(name).guid for name in ("desk-014", "desk-015")]
    events = [{"id": 2**62, "connector_guid": guid, "file": {"identity": {"sha256": SHA256}}} for guid in guids]
    organisation.publish([json.dumps(event).encode() for event in events])
    assert await hunting.told(api, SHA256) == hunting.Told(frozenset(guids), is_complete=True)


async def test_a_list_that_is_cut_is_not_complete(api: CiscoApi, cloud: LocalCloud) -> None:
    """The total says that more have seen it, and that more events are there, than came."""
    about = {"id": 1, "connector_guid": "6a5f008f-9240-4c59-b73a-982517dc3824", "hostname": "desk-014"}
    body = json.dumps({"metadata": {"results": {"total": 2}}, "data": [about]}).encode()
    cloud.fail(Failure("GET", times=99, status=200, body=body))
    seen, told = await hunting.seen(api, SHA256), await hunting.told(api, SHA256)
    assert ([one.guid for one in seen.computers], seen.is_complete) == ([about["connector_guid"]], False)
    assert (told.guids, told.is_complete) == (frozenset({about["connector_guid"]}), False)
