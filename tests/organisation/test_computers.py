"""The computers of an organisation, as they come, change and go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from fluent_plugin_amp import turns as turns_of_work
from fluent_plugin_amp.cisco import transport
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudCredentialsRefused, CloudRefused
from fluent_plugin_amp.cisco.listing import Listing
from fluent_plugin_amp.cisco.unpacking import Unpacking
from fluent_plugin_amp.errors import ComputersLeftOut, NoProgress
from fluent_plugin_amp.organisation import checkpoint, computers, fleet
from fluent_plugin_amp.organisation.computers import Computers
from fluent_plugin_amp.pipeline.names import Names, Naming
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.organisation.polling import Memory, Receiver

DAY_S = 86_400


class Crashed(BaseException):
    """The process ends."""


async def _crash(*_: object, **__: object) -> None:
    raise Crashed


class Polled(Computers):
    """The computers, on a clock that only the test moves."""

    def __init__(self, api: CiscoApi, receiver: Receiver | None, memory: Memory) -> None:
        self.names = Names("acme")
        self.now = time.time()
        super().__init__("acme/computers", api, receiver, memory, self.names, clock=lambda: self.now)


@pytest.fixture
def polled(api: CiscoApi, receiver: Receiver, memory: Memory) -> Polled:
    """The source, before its first round."""
    return Polled(api, receiver, memory)


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """What changed since this was called last: change and GUID."""
    return sorted((each["change"], each["computer"]["connector_guid"]) for each in receiver.taken())


async def test_what_appears_changes_and_goes_is_told_once(
    polled: Polled, receiver: Receiver, organisation: Organisation
) -> None:
    """The first round tells all there are, the next ones what is different."""
    inventory = organisation.inventory
    guids = inventory.add_computers(4)
    await polled.poll()
    assert told(receiver) == sorted(("appeared", guid) for guid in guids)
    await polled.poll()
    assert told(receiver) == []
    inventory.computers[guids[0]].connector_version = "9.0"
    del inventory.computers[guids[1]]
    await polled.poll()
    (record,) = receiver.taken()
    assert (record["organisation"], record["change"], record["changed"]) == ("acme", "changed", ["connector_version"])
    assert record["computer"]["connector_version"] == "9.0"
    polled.now += DAY_S
    await polled.poll()
    await polled.poll()
    (record,) = receiver.taken()
    assert record == {
        "organisation": "acme",
        "change": "gone",
        "computer": {"connector_guid": guids[1], "hostname": "Lab’s Mac-00001"},
    }


async def test_between_sweeps_those_that_reported_are_asked_for(
    polled: Polled, receiver: Receiver, organisation: Organisation
) -> None:
    """A silent computer waits for the sweep."""
    (silent,) = organisation.inventory.add_computers(1, last_seen=1_700_000_000)
    await polled.poll()
    organisation.inventory.computers[silent].connector_version = "9.0"
    (new,) = organisation.inventory.add_computers(1)
    receiver.taken()
    await polled.poll()
    assert told(receiver) == [("appeared", new)]
    polled.now += DAY_S
    await polled.poll()
    assert told(receiver) == [("changed", silent)]


async def test_between_sweeps_a_list_that_moves_is_read_once(
    polled: Polled, receiver: Receiver, organisation: Organisation, cloud: LocalCloud
) -> None:
    """Of many thousands that report, one comes or goes in each reading; whom it missed the next round finds."""
    inventory = organisation.inventory
    guids = inventory.add_computers(600)
    inventory.happening = iter([lambda: inventory.add_computers(1)] * 100)
    for is_sweep in (True, False):
        cloud.requests.clear()
        await polled.poll()
        requests = [path for _, path in cloud.requests if path == "/v1/computers"]
        assert len(requests) == (6 if is_sweep else 2)
    inventory.happening = iter(())
    await polled.poll()
    assert told(receiver) == sorted(("appeared", guid) for guid in inventory.computers)
    assert len(inventory.computers) > len(guids)


async def test_a_restart_goes_on_where_it_was(
    polled: Polled, api: CiscoApi, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """What is known is kept; with it the names, and when the next sweep is due."""
    guids = organisation.inventory.add_computers(2)
    await polled.poll()
    receiver.taken()
    del organisation.inventory.computers[guids[0]]
    again = Polled(api, receiver, memory)
    await again.poll()
    assert told(receiver) == []
    assert again.names.as_of == polled.names.as_of is not None
    assert again.names.computers.keys() == polled.names.computers.keys() == set(guids)
    again.now += DAY_S
    await again.poll()
    assert told(receiver) == [("gone", guids[0])]


async def test_what_happens_again_is_told_again(
    polled: Polled, api: CiscoApi, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """What is known as delivered by its bytes is not sent: the second time they differ, after a crash they do not."""
    computers = organisation.inventory.computers
    (guid,) = organisation.inventory.add_computers(1)
    computer = computers[guid]
    await polled.poll()
    gone = []
    for _ in range(2):
        del computers[guid]
        polled.now += DAY_S
        before = dict(memory.values)
        receiver.bodies.clear()
        await polled.poll()
        (body,) = receiver.bodies
        gone.append(body)
        crashed = Memory()
        crashed.values = before
        again = Polled(api, receiver, crashed)
        again.now = polled.now
        await again.poll()
        assert receiver.bodies == [body, body]
        computers[guid] = computer
        await polled.poll()
    assert json.loads(gone[0]) == json.loads(gone[1])
    assert gone[0] != gone[1]


async def test_what_was_not_safe_is_told_again(
    polled: Polled, api: CiscoApi, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """Nothing is kept before a server has what was told: lost records, or a crash, repeat, and never skip."""
    (guid,) = organisation.inventory.add_computers(1)
    receiver.is_lossy = True
    with pytest.raises(NoProgress):
        await polled.poll()
    assert memory.values.keys() == {"newcomers 0"}
    assert told(receiver) == [("appeared", guid)]
    receiver.is_lossy = False
    for source in (Polled(api, receiver, Memory()), polled):
        await source.poll()
        assert told(receiver) == [("appeared", guid)]


async def test_who_is_new_is_kept_once_however_often_it_is_told(
    polled: Polled, api: CiscoApi, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """Crashes and losses one after the other do not fill the state file: only who is new since then is added."""
    guids = organisation.inventory.add_computers(2)
    receiver.is_lossy = True
    for source in (polled, polled, Polled(api, receiver, memory)):
        with pytest.raises(NoProgress):
            await source.poll()
        assert told(receiver) == sorted(("appeared", guid) for guid in guids)
        assert memory.values.keys() == {"newcomers 0"}
    (third,) = organisation.inventory.add_computers(1)
    with pytest.raises(NoProgress):
        await polled.poll()
    assert told(receiver) == sorted(("appeared", guid) for guid in (*guids, third))
    assert memory.values.keys() == {"newcomers 0", "newcomers 1"}
    assert len(memory.values["newcomers 1"]) < len(memory.values["newcomers 0"])


async def test_after_many_records_what_is_known_is_kept(
    polled: Polled, memory: Memory, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a crash repeats a part of a long sweep."""
    monkeypatch.setattr(checkpoint, "MOST_TOLD", 2)
    monkeypatch.setattr(computers, "AT_ONCE", 2)
    organisation.inventory.add_computers(5)
    await polled.poll()
    assert memory.saves == 3 + 3  # three times who is new, before it is told


@pytest.mark.parametrize("is_told", [True, False])
async def test_who_appeared_before_a_crash_and_is_gone_after_it_is_told_as_gone(
    api: CiscoApi, receiver: Receiver, organisation: Organisation, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """Nobody knows whether it was told: a computer that the receiver does not know can be gone.  Another appears."""
    memory = Memory()
    monkeypatch.setattr(computers, "AT_ONCE", 2)
    guids = organisation.inventory.add_computers(3)
    polled = Polled(api, receiver, memory)
    if is_told:
        receiver.is_lossy = True
    else:
        monkeypatch.setattr(receiver, "put", _crash)
    with pytest.raises((NoProgress, Crashed)):
        await polled.poll()
    monkeypatch.undo()
    receiver.is_lossy = False
    appeared = receiver.taken()
    assert len(appeared) == (3 if is_told else 0)
    for guid in guids[0], guids[2]:
        del organisation.inventory.computers[guid]
    again = Polled(api, receiver, memory)
    await again.poll()
    assert told(receiver) == sorted(
        [("appeared", guids[1]), ("gone", guids[0]), *([("gone", guids[2])] if is_told else [])]
    )
    assert not [name for name in memory.values if name.startswith("newcomers")]
    await Polled(api, receiver, memory).poll()
    assert told(receiver) == []


async def test_who_may_have_been_told_is_known_over_several_crashes(
    polled: Polled, api: CiscoApi, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """Also when the sweep that could miss it does not come to its end; until it is told as gone, once."""
    (guid,) = organisation.inventory.add_computers(1)
    receiver.is_lossy = True
    with pytest.raises(NoProgress):
        await polled.poll()
    del organisation.inventory.computers[guid]
    (other,) = organisation.inventory.add_computers(1)
    with pytest.raises(NoProgress):
        await Polled(api, receiver, memory).poll()
    receiver.is_lossy = False
    receiver.taken()
    await Polled(api, receiver, memory).poll()
    assert told(receiver) == [("appeared", other), ("gone", guid)]
    later = Polled(api, receiver, memory)
    later.now += DAY_S
    await later.poll()
    assert told(receiver) == []


async def test_there_is_room_for_so_many(
    polled: Polled, receiver: Receiver, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are known are told as ever, the others are counted, and told when others have gone."""
    monkeypatch.setattr(fleet, "MAX_COMPUTERS", 2)
    guids = organisation.inventory.add_computers(4)
    with pytest.raises(ComputersLeftOut, match="2 computers left out: 2 others known"):
        await polled.poll()
    known = [guid for _, guid in told(receiver)]
    assert len(known) == 2
    organisation.inventory.computers[known[0]].connector_version = "9.0"
    del organisation.inventory.computers[known[1]]
    polled.now += DAY_S
    with pytest.raises(ComputersLeftOut, match="2 computers"):
        await polled.poll()
    assert told(receiver) == sorted([("changed", known[0]), ("gone", known[1])])
    with pytest.raises(ComputersLeftOut, match="1 computer left out"):
        await polled.poll()
    ((change, guid),) = told(receiver)
    assert (change, guid in guids, guid in known) == ("appeared", True, False)


async def test_a_cloud_that_fails_costs_a_round(
    polled: Polled, receiver: Receiver, organisation: Organisation, cloud: LocalCloud
) -> None:
    """The next one tells what is missing, and nothing twice."""
    guids = organisation.inventory.add_computers(600)
    cloud.fail(Failure(path="/v1/computers"))  # the first page as it is
    cloud.fail(Failure(path="/v1/computers", status=401, body=b"{}"))
    with pytest.raises(CloudCredentialsRefused):
        await polled.poll()
    assert len(receiver.records) == 500
    assert polled.listing is None
    await polled.poll()
    assert told(receiver) == sorted(("appeared", guid) for guid in guids)


async def test_a_list_that_lacks_most_proves_nothing(
    polled: Polled, receiver: Receiver, organisation: Organisation, cloud: LocalCloud
) -> None:
    """Each computer that it lacks is asked for, before it is told to have gone."""
    guids = organisation.inventory.add_computers(3)
    await polled.poll()
    receiver.taken()
    polled.now += DAY_S
    del organisation.inventory.computers[guids[2]]
    cloud.fail(Failure(path="/v1/computers", status=200, body=b'{"data":[]}'))
    await polled.poll()
    assert told(receiver) == [("gone", guids[2])]


@pytest.mark.parametrize("status", [None, 418])
async def test_all_are_asked_for_in_turn(
    polled: Polled,
    receiver: Receiver,
    organisation: Organisation,
    cloud: LocalCloud,
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
) -> None:
    """Those that are there, or whose answer is an error, do not keep the others from being asked for."""
    monkeypatch.setattr(computers, "MOST_ASKED", 2)
    guids = sorted(organisation.inventory.add_computers(5))
    await polled.poll()
    receiver.taken()
    for guid in (guids[0], guids[4]):
        del organisation.inventory.computers[guid]
    cloud.fail(Failure(path=f"/v1/computers/{guids[1]}", status=status, body=b"{}", times=100))
    rounds = []
    for _ in range(4):
        polled.now += DAY_S
        cloud.fail(Failure(path="/v1/computers", status=200, body=b'{"data":[]}'))
        with contextlib.suppress(CloudRefused):
            await polled.poll()
        rounds.append(told(receiver))
    assert rounds == [[("gone", guids[0])], [], [("gone", guids[4])], []]
    asked = [path for _, path in cloud.requests if path.startswith("/v1/computers/")]
    assert {path.rpartition("/")[2] for path in asked} == set(guids)


async def test_what_is_no_guid_is_asked_for_nowhere(
    polled: Polled, receiver: Receiver, organisation: Organisation, cloud: LocalCloud
) -> None:
    """It would be a part of a path; a list that proves nothing leaves such a computer known."""
    odd = b'{"data":[{"connector_guid":"../groups?x="}]}'
    cloud.fail(Failure(path="/v1/computers", status=200, body=odd))
    await polled.poll()
    receiver.taken()
    polled.now += DAY_S
    before = organisation.requests.used
    await polled.poll()
    assert organisation.requests.used - before == 3  # groups, policies, computers
    assert told(receiver) == []


async def test_so_many_are_asked_for_in_one_round(
    polled: Polled, organisation: Organisation, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is asked for after the next sweep; other refusals cost the round."""
    monkeypatch.setattr(computers, "MOST_ASKED", 1)
    organisation.inventory.add_computers(3)
    await polled.poll()
    polled.now += DAY_S
    cloud.fail(Failure(path="/v1/computers", status=200, body=b'{"data":[]}'))
    before = organisation.requests.used
    await polled.poll()
    assert organisation.requests.used - before == 3  # groups, policies, one computer
    polled.now += DAY_S
    cloud.fail(Failure(path="/v1/computers", status=200, body=b'{"data":[]}'))
    cloud.fail(Failure(path="/v1/computers/", status=418, body=b"{}"))
    with pytest.raises(CloudRefused):
        await polled.poll()


async def test_names_are_learnt_on_the_way(api: CiscoApi, memory: Memory, organisation: Organisation) -> None:
    """Without telling of computers, too; what is kept is kept all the same."""
    polled = Polled(api, None, memory)
    (guid,) = organisation.inventory.add_computers(1)
    await polled.poll()
    group = organisation.inventory.computers[guid].group_guid
    made = Naming(polled.names)({"connector_guid": guid, "group_guids": [group]})
    assert made == {
        "organisation": "acme",
        "groups": [organisation.groups[group]],
        "policy": "Protect",
        "operating_system": "Windows 10",
        "connector_version": "8.4.0.30201",
        "as_of": polled.names.as_of,
    }
    assert "swept_at" in memory.values


async def test_names_are_there_after_a_restart_with_the_cloud_away(
    polled: Polled, api: CiscoApi, memory: Memory, organisation: Organisation, cloud: LocalCloud
) -> None:
    """Of groups and policies, too; and what was renamed since is kept anew."""
    (guid,) = organisation.inventory.add_computers(1)
    group = organisation.inventory.computers[guid].group_guid
    await polled.poll()
    organisation.groups[group] = "Renamed"
    await polled.poll()
    cloud.fail(Failure(status=401, body=b"{}", times=1000))
    again = Polled(api, None, memory)
    with pytest.raises(CloudCredentialsRefused):
        await again.poll()
    event = {"connector_guid": guid, "group_guids": [group]}
    assert Naming(again.names)(event) == Naming(polled.names)(event)
    assert Naming(again.names)(event)["groups"] == ["Renamed"]
    assert again.names.policies == polled.names.policies != {}


async def test_too_many_names_to_be_kept_are_known_all_the_same(
    polled: Polled, memory: Memory, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those that were kept before are not taken for them after a restart."""
    organisation.inventory.add_computers(1)
    await polled.poll()
    assert {"groups", "policies"} <= memory.values.keys()
    monkeypatch.setattr(computers, "MAX_LIST_BYTES", 1)
    organisation.groups["new"] = "New"
    await polled.poll()
    assert "groups" not in memory.values
    assert polled.names.groups["new"] == "New"


async def test_a_group_without_a_name_is_not_known(polled: Polled, cloud: LocalCloud) -> None:
    """Whatever stands in its place."""
    cloud.fail(
        Failure(path="/v1/groups", status=200, body=b'{"data":[{"guid":"a","name":7},{"guid":"B","name":"b"}]}')
    )
    await polled.poll()
    assert polled.names.groups == {"b": "b"}


async def test_what_is_read_of_groups_is_bounded(
    polled: Polled, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only what is known of them: a cloud may make up names without end."""
    learnt: list[tuple[str, str]] = []
    monkeypatch.setattr(polled.names, "learn_groups", learnt.extend)
    monkeypatch.setattr(computers, "MAX_KNOWN", 2)
    groups = [{"guid": str(number), "name": "n" * 1000 if number else ""} for number in range(4)]
    cloud.fail(Failure(path="/v1/groups", status=200, body=json.dumps({"data": groups}).encode()))
    await polled.poll()
    assert learnt == [("1", "n" * 256), ("2", "n" * 256)]


async def test_a_computer_that_is_too_large_is_left_out_and_not_gone(
    polled: Polled, receiver: Receiver, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some hundred are held at a time: it is counted as odd."""
    (guid,) = organisation.inventory.add_computers(1)
    await polled.poll()
    assert told(receiver) == [("appeared", guid)]
    monkeypatch.setattr(computers, "MAX_COMPUTER_BYTES", 10)
    polled.now += DAY_S
    await polled.poll()
    assert (told(receiver), polled.odd, len(polled.fleet)) == ([], 1, 1)


@pytest.mark.parametrize("odd", [{"swept_at": b"?"}, {"swept_at": b"9" * 30}, {"bucket 00": b"?"}, {"groups": b"?"}])
async def test_what_was_kept_and_is_garbled_is_found_again(
    polled: Polled, memory: Memory, receiver: Receiver, organisation: Organisation, odd: dict[str, Any]
) -> None:
    """By a sweep."""
    (guid,) = organisation.inventory.add_computers(1, last_seen=1_700_000_000)
    memory.values = {"swept_at": b"%d" % int(polled.now)} | odd
    await polled.poll()
    assert polled.odd_rows == [name for name in odd if name != "swept_at"]
    assert told(receiver) == [("appeared", guid)]


async def test_a_sweep_gives_events_their_turn_after_each_computer(
    polled: Polled, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an answer is unpacked, while computers are compared, and while those are sought that have gone."""
    organisation.inventory.add_computers(60)
    await polled.poll()
    polled.now += DAY_S
    monkeypatch.setattr(turns_of_work, "WORK_S", 0.0)
    monkeypatch.setattr(transport, "AT_ONCE", 1000)
    turn = 0
    seen: dict[str, list[int]] = {}

    async def go_on() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def spied(step: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*args: Any) -> Any:
            seen.setdefault(step.__qualname__, []).append(turn)
            return step(*args)

        return spy

    monkeypatch.setattr(Unpacking, "take", spied(Unpacking.take))
    monkeypatch.setattr(fleet.Fleet, "take", spied(fleet.Fleet.take))
    monkeypatch.setattr(Listing, "__contains__", spied(Listing.__contains__))
    others = asyncio.create_task(go_on())
    await polled.poll()
    others.cancel()
    assert len(seen["Fleet.take"]) == len(seen["Listing.__contains__"]) == 60
    assert len(seen["Unpacking.take"]) > 5
    for turns in seen.values():
        assert len(set(turns)) == len(turns)
