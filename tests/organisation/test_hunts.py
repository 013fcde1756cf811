"""Each hash that waits is hunted; it waits no more when a server has the record."""

from __future__ import annotations

import json

import pytest

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.errors import HuntsLeftOut, NoProgress, PluginError
from fluent_plugin_amp.organisation.hunt_queue import HuntQueue
from fluent_plugin_amp.organisation.hunts import Hunts
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.organisation.polling import Memory, Receiver

NOW = 1_700_000_000
A, B = "a" * 64, "b" * 64
EVENT = {"event": {"id": 1}}


@pytest.fixture
def queue() -> HuntQueue:
    """Nothing waits."""
    queue = HuntQueue(86_400.0, max_waiting=2)
    queue.restore({})
    return queue


@pytest.fixture
def hunts(api: CiscoApi, receiver: Receiver, memory: Memory, queue: HuntQueue) -> Hunts:
    """A minute after what is noted at `NOW`."""
    return Hunts("acme/hunts", "acme", api, receiver, memory, queue, delay_s=60.0, clock=lambda: NOW + 60.0)


async def test_who_has_seen_it_and_said_nothing(
    hunts: Hunts, queue: HuntQueue, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """Once, and not before its time."""
    told, silent = (organisation.responses.add_computer(name) for name in ("desk-014", "desk-015"))
    organisation.responses.see(A, told, silent)
    event = {"id": 1, "connector_guid": told.guid, "file": {"identity": {"sha256": A}}}
    organisation.publish([json.dumps(event).encode()])
    queue.note(A, EVENT, NOW)
    queue.note(B, EVENT, NOW + 1)
    await hunts.poll()
    await hunts.poll()
    (record,) = receiver.taken()
    assert [one["hostname"] for one in record["computers"]] == ["desk-015"]
    assert (record["priority"], record["file"]["identity"], record["event"]) == ("high", {"sha256": A}, {"id": 1})
    assert memory.values == {A: b"[%d,null]" % NOW}
    assert queue.waiting == 1


async def test_trouble_with_one_lets_the_next_one_go_first(
    hunts: Hunts, queue: HuntQueue, receiver: Receiver, cloud: LocalCloud, organisation: Organisation
) -> None:
    """Nothing is skipped."""
    organisation.responses.add_computer("desk-014")
    queue.note(A, EVENT, NOW)
    queue.note(B, EVENT, NOW)
    cloud.fail(Failure(status=200, body=b"?"))
    with pytest.raises(PluginError):
        await hunts.poll()
    await hunts.poll()
    assert [record["file"]["identity"]["sha256"] for record in receiver.taken()] == [B, A]


async def test_a_record_that_got_lost_is_made_again(
    hunts: Hunts, queue: HuntQueue, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """It has the same id."""
    organisation.responses.add_computer("desk-014")
    queue.note(A, EVENT, NOW)
    receiver.is_lossy = True
    with pytest.raises(NoProgress):
        await hunts.poll()
    assert memory.values == {}
    receiver.is_lossy = False
    await hunts.poll()
    first, again = receiver.taken()
    assert first["hunt_id"] == again["hunt_id"]
    assert [*memory.values] == [A]


async def test_what_was_left_out_is_told_once(
    hunts: Hunts, queue: HuntQueue, receiver: Receiver, organisation: Organisation
) -> None:
    """After those that are hunted."""
    organisation.responses.add_computer("desk-014")
    for sha256 in (A, B, "c" * 64):
        queue.note(sha256, EVENT, NOW)
    with pytest.raises(HuntsLeftOut):
        await hunts.poll()
    assert len(receiver.taken()) == 2
    await hunts.poll()


async def test_old_hunts_are_forgotten_in_the_file(
    api: CiscoApi, receiver: Receiver, memory: Memory, queue: HuntQueue
) -> None:
    """Without a request."""
    queue.note(A, EVENT, NOW)
    memory.values |= {name: data for name, data in queue.done(A).items() if data}
    later = Hunts("acme/hunts", "acme", api, receiver, memory, queue, delay_s=0, clock=lambda: NOW + 86_400.0)
    await later.poll()
    assert memory.values == {}
