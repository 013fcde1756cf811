"""The vulnerable programs of an organisation: what is new, and what has changed."""

from __future__ import annotations

import json
import time

import pytest

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood, CloudCredentialsRefused, CloudRefused
from fluent_plugin_amp.errors import NoProgress
from fluent_plugin_amp.organisation import checkpoint
from fluent_plugin_amp.organisation.vulnerabilities import OVERLAP_S, Vulnerabilities
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.organisation.polling import Memory, Receiver


@pytest.fixture
def polled(api: CiscoApi, receiver: Receiver, memory: Memory) -> Vulnerabilities:
    """The source, before its first round."""
    return Vulnerabilities("acme/vulnerabilities", "acme", api, receiver, memory)


async def test_a_program_is_told_when_it_is_new_and_when_it_changed(
    polled: Vulnerabilities, receiver: Receiver, organisation: Organisation
) -> None:
    """One record each, with all of its computers."""
    inventory = organisation.inventory
    guids = inventory.add_computers(3)
    found = inventory.add_vulnerability(1, guids[:2])
    await polled.poll()
    (record,) = receiver.taken()
    assert (record["organisation"], record["change"], record["application"]) == ("acme", "appeared", "Program 1")
    assert [one["connector_guid"] for one in record["computers"]] == guids[:2]
    await polled.poll()
    assert receiver.taken() == []
    found.computers.append(guids[2])
    found.cves.append(("CVE-2026-9", 9.8))
    await polled.poll()
    (record,) = receiver.taken()
    assert (record["change"], record["changed"]) == ("changed", ["cves", "computers"])


async def test_lists_that_were_cut_are_completed_in_parts(
    polled: Vulnerabilities, receiver: Receiver, organisation: Organisation
) -> None:
    """Each part has a thousand computers at most."""
    guids = organisation.inventory.add_computers(2500)
    organisation.inventory.add_vulnerability(1, guids)
    await polled.poll()
    records = receiver.taken()
    assert [(each["part"], each["parts"], len(each["computers"])) for each in records] == [
        (1, 3, 1000),
        (2, 3, 1000),
        (3, 3, 500),
    ]
    assert [one["connector_guid"] for each in records for one in each["computers"]] == guids
    assert organisation.requests.used == 1 + 5


async def test_each_round_asks_for_what_is_new(
    polled: Vulnerabilities, api: CiscoApi, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """Less an overlap, also after a restart; a time in the future moves nothing."""
    inventory, now = organisation.inventory, int(time.time())
    guids = inventory.add_computers(1)
    inventory.add_vulnerability(1, guids, latest=now - 10)
    inventory.add_vulnerability(2, guids, latest=now + 3600)
    await polled.poll()
    assert memory.values["latest"] == b"%d" % (now - 10)
    assert len(receiver.taken()) == 2
    inventory.add_vulnerability(3, guids, latest=now - 10 - OVERLAP_S)
    inventory.add_vulnerability(4, guids, latest=now - 11 - OVERLAP_S)
    await Vulnerabilities("acme/vulnerabilities", "acme", api, receiver, memory).poll()
    assert [each["application"] for each in receiver.taken()] == ["Program 3"]


async def test_a_program_counts_as_known_once_all_of_it_is_told(
    polled: Vulnerabilities,
    receiver: Receiver,
    memory: Memory,
    organisation: Organisation,
    cloud: LocalCloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trouble while its computers are listed, in a page behind the first record, skips nothing; nor would a crash."""
    monkeypatch.setattr(checkpoint, "MOST_TOLD", 1)  # a checkpoint behind each record
    organisation.inventory.add_vulnerability(1, organisation.inventory.add_computers(2500))
    for _ in range(3):  # the list of programs, and the first two pages of its computers
        cloud.fail(Failure(path="/v1/vulnerabilities"))
    cloud.fail(Failure(path="/v1/vulnerabilities", status=401, body=b"{}"))
    with pytest.raises(CloudCredentialsRefused):
        await polled.poll()
    assert [each["part"] for each in receiver.taken()] == [1]
    assert not [name for name in memory.values if name.startswith("bucket")]
    await polled.poll()
    assert [each["part"] for each in receiver.taken()] == [1, 2, 3]
    await polled.poll()
    assert receiver.taken() == []


async def test_what_was_not_safe_is_told_again(
    polled: Vulnerabilities, receiver: Receiver, memory: Memory, organisation: Organisation
) -> None:
    """Nothing is kept before a server has it."""
    organisation.inventory.add_vulnerability(1, organisation.inventory.add_computers(1))
    receiver.is_lossy = True
    with pytest.raises(NoProgress):
        await polled.poll()
    assert memory.values == {}
    receiver.is_lossy = False
    receiver.taken()
    await polled.poll()
    assert len(receiver.taken()) == 1


@pytest.mark.parametrize("odd", [{"latest": b"?"}, {"latest": b"9" * 30}, {"bucket 00": b"?"}])
async def test_what_was_kept_and_is_garbled_is_read_anew(
    polled: Vulnerabilities, receiver: Receiver, memory: Memory, organisation: Organisation, odd: dict[str, bytes]
) -> None:
    """From the beginning."""
    guids = organisation.inventory.add_computers(1)
    organisation.inventory.add_vulnerability(1, guids, latest=1_700_000_000)
    memory.values = {"latest": b"%d" % int(time.time())} | odd
    await polled.poll()
    assert len(receiver.taken()) == 1
    assert polled.odd_rows == [name for name in odd if name != "latest"]


@pytest.mark.parametrize(
    "program",
    [
        b"{}",
        b'{"computers_total_count":5,"computers":7}',
        b'{"version":"1","computers":[7,{}],"latest_timestamp":"x"}',
    ],
)
async def test_odd_programs_are_told_as_they_are(
    polled: Vulnerabilities, receiver: Receiver, cloud: LocalCloud, program: bytes
) -> None:
    """Without a hash there is no list of computers to be read."""
    cloud.fail(Failure(status=200, body=b'{"data":[%s]}' % program))
    await polled.poll()
    (record,) = receiver.taken()
    assert record["change"] == "appeared"


@pytest.mark.parametrize(("status", "error"), [(404, CloudRefused), (200, CloudAnswerNotUnderstood)])
async def test_a_program_whose_list_always_fails_holds_up_no_other(
    polled: Vulnerabilities,
    api: CiscoApi,
    receiver: Receiver,
    memory: Memory,
    organisation: Organisation,
    cloud: LocalCloud,
    status: int,
    error: type[Exception],
) -> None:
    """The others are told, and known also after a restart; the round fails, and the next one asks for all again."""
    inventory = organisation.inventory
    guids = inventory.add_computers(1001)
    inventory.add_vulnerability(1, guids, latest=int(time.time()) - 10)
    inventory.add_vulnerability(2, guids[:1], latest=1_700_000_000)
    failure = cloud.fail(Failure(path="/v1/vulnerabilities/", status=status, body=b"{}", times=100))
    with pytest.raises(error):
        await polled.poll()
    assert [each["application"] for each in receiver.taken()] == ["Program 2"]
    again = Vulnerabilities("acme/vulnerabilities", "acme", api, receiver, memory)
    with pytest.raises(error):
        await again.poll()
    assert receiver.taken() == []
    assert "latest" not in memory.values
    failure.times = 0
    await again.poll()
    assert [each["application"] for each in receiver.taken()] == ["Program 1", "Program 1"]


async def test_a_key_that_is_refused_ends_a_round(
    polled: Vulnerabilities, receiver: Receiver, organisation: Organisation, cloud: LocalCloud
) -> None:
    """No further list is asked for."""
    guids = organisation.inventory.add_computers(1001)
    organisation.inventory.add_vulnerability(1, guids)
    organisation.inventory.add_vulnerability(2, guids)
    cloud.fail(Failure(path="/v1/vulnerabilities/", status=401, body=b"{}"))
    with pytest.raises(CloudCredentialsRefused):
        await polled.poll()
    assert receiver.taken() == []


@pytest.mark.parametrize("sha256", ["../../computers?x=", "a" * 63, "a" * 65, "a" * 64 + "\n"])
async def test_what_is_no_sha256_is_asked_for_nowhere(
    polled: Vulnerabilities, receiver: Receiver, organisation: Organisation, cloud: LocalCloud, sha256: str
) -> None:
    """It would be a part of a path; the program is told with the computers that came with it."""
    program = {"file": {"identity": {"sha256": sha256}}, "computers_total_count": 5, "computers": [{"hostname": "a"}]}
    cloud.fail(Failure(status=200, body=json.dumps({"data": [program]}).encode()))
    await polled.poll()
    (record,) = receiver.taken()
    assert record["computers"] == [{"hostname": "a"}]
    assert organisation.requests.used == 0


async def test_a_program_whose_computers_went_meanwhile_is_told_without_any(
    polled: Vulnerabilities, receiver: Receiver, organisation: Organisation, cloud: LocalCloud
) -> None:
    """Its list is empty by the time that it is read."""
    organisation.inventory.add_vulnerability(1, organisation.inventory.add_computers(1001))
    cloud.fail(Failure(path="/v1/vulnerabilities/", status=200, body=b'{"data":[]}'))
    await polled.poll()
    (record,) = receiver.taken()
    assert record["computers"] == []
