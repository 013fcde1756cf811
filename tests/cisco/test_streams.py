"""Streams found by name, created once, changed and read back."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco import streams
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi, CreationInDoubt
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerLost,
    CloudRefused,
    CloudServerError,
    EventStreamAmbiguous,
    EventStreamLimit,
    EventStreamNameTaken,
    EventStreamNotFound,
)
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, lost_answer
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import Connect

DETECTED = 1090519054
AUDIT = "b077d6bc-bbdf-42f7-8838-a06053fbd98a"
THERE = [EventStream(6, "SIEM"), EventStream(7, "siem"), EventStream(8, "SIEM test"), EventStream(9, "8")]


# --- finding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "id_"), [("6", 6), ("SIEM", 6), ("siem", 7), ("siem TEST", 8), ("9", 9)])
def test_a_stream_is_found_by_id_and_by_name(text: str, id_: int) -> None:
    """The exact name goes before the name in another case."""
    assert streams.pick(THERE, text).id == id_


@pytest.mark.parametrize("text", ["SIE", "SIEM te", "", "10", "SIEM "[:-1] + "x"])
def test_a_part_of_a_name_finds_nothing(text: str) -> None:
    """What may be about to be deleted is never guessed; the streams that exist are listed."""
    with pytest.raises(EventStreamNotFound, match=r"there are: 'SIEM' \(6\)"):
        streams.pick(THERE, text)
    with pytest.raises(EventStreamNotFound, match="there are none"):
        streams.pick([], text)


@pytest.mark.parametrize("text", ["8", "Siem"])
def test_a_name_of_several_is_ambiguous(text: str) -> None:
    """One stream's id that is another's name, and names that differ in case only, are both listed."""
    with pytest.raises(EventStreamAmbiguous, match="are called") as caught:
        streams.pick(THERE, text)
    assert "id" in caught.value.remedy


async def test_a_stream_of_the_configuration_is_looked_up(api: CiscoApi) -> None:
    """``event_stream_name:`` gives host, port, user and queue, without a password."""
    made = await streams.create(api, "SIEM")
    where = await streams.find_by_name(api, "SIEM")
    assert made.amqp is not None
    assert (where.url, where.host, where.port) == ("amqps://localhost:443", "localhost", 443)
    assert (where.username, where.queue) == (made.amqp.user_name, made.amqp.queue_name)


async def test_a_list_without_credentials_is_looked_up_one_by_one(api: CiscoApi, cloud: LocalCloud) -> None:
    """Where the list of streams leaves the credentials out, the stream itself is asked for."""
    made = await streams.create(api, "SIEM")
    cloud.fail(
        Failure(
            "GET", "/v1/event_streams", status=200, body=f'{{"data": [{{"id": {made.id}, "name": "SIEM"}}]}}'.encode()
        )
    )
    assert (await streams.find_by_name(api, "SIEM")).queue == f"event_stream_{made.id}"


async def test_event_types_are_found_by_the_names_they_had(api: CiscoApi, organisation: Organisation) -> None:
    """A type that the cloud calls by its new name is found by the one in the catalogue, and the other way round."""
    for entry in organisation.event_types:
        if entry["id"] == 553648147:
            entry["name"] = "Retrospective Detection"
    names = await streams.event_type_names(api)
    for text in ("Cloud Recall Detection", "retrospective detection", "553648147"):
        assert names.find(text).id == 553648147
    assert names.name_of(553648147) == "Retrospective Detection"


async def test_groups_are_found_by_name(api: CiscoApi) -> None:
    """The organisation's groups, by name or GUID."""
    assert (await streams.group_names(api)).find("audit").id == AUDIT


# --- creating ------------------------------------------------------------------------------------


async def test_a_taken_name_is_said_before_anything_is_created(api: CiscoApi, cloud: LocalCloud) -> None:
    """In any case; no creation is sent."""
    await streams.create(api, "SIEM")
    cloud.requests.clear()
    with pytest.raises(EventStreamNameTaken, match=r"'SIEM' \(1\) already"):
        await streams.create(api, "siem")
    assert cloud.requests == [("GET", "/v1/event_streams")]


async def test_a_stream_too_many_is_said_before_anything_is_created(api: CiscoApi, cloud: LocalCloud) -> None:
    """The five that exist are listed; no creation is sent."""
    for n in range(5):
        await streams.create(api, f"s{n}")
    cloud.requests.clear()
    with pytest.raises(EventStreamLimit, match=r"has 5 event streams, Cisco allows 5: 's0' \(1\), 's1'"):
        await streams.create(api, "s5")
    assert cloud.requests == [("GET", "/v1/event_streams")]


async def test_a_creation_whose_answer_was_lost_is_found(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation
) -> None:
    """The stream exists and its password is lost: that is said with its id, and no second one is created."""
    cloud.fail(lost_answer())
    with pytest.raises(CloudAnswerLost, match=r"'SIEM' was created \(id 1\), but .* was lost") as caught:
        await streams.create(api, "SIEM")
    assert "amp-streams delete 1" in caught.value.remedy
    assert list(organisation.streams) == [1]


@pytest.mark.parametrize("failure", [Failure("POST", silent=True), Failure("POST", status=503)])
async def test_a_creation_that_did_not_happen_is_tried_once_more(
    api: CiscoApi, cloud: LocalCloud, failure: Failure
) -> None:
    """After a look that found nothing, the second creation has its password."""
    failure.times = 1
    cloud.fail(failure)
    made = await streams.create(api, "SIEM")
    assert made.amqp is not None
    assert made.amqp.password
    assert [method for method, _ in cloud.requests] == ["GET", "POST", "GET", "POST"]


async def test_a_creation_is_not_tried_a_third_time(api: CiscoApi, cloud: LocalCloud) -> None:
    """Two failures are reported as what they were."""
    cloud.fail(Failure("POST", status=500, times=2))
    with pytest.raises(CloudServerError, match="POST /v1/event_streams was answered 500"):
        await streams.create(api, "SIEM")
    assert [method for method, _ in cloud.requests] == ["GET", "POST", "GET", "POST", "GET"]


async def test_a_second_creation_may_lose_its_answer_too(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation
) -> None:
    """The look after the second try finds the stream."""
    cloud.fail(Failure("POST", silent=True))
    cloud.fail(lost_answer())
    with pytest.raises(CloudAnswerLost, match=r"was created \(id 1\)"):
        await streams.create(api, "SIEM")
    assert list(organisation.streams) == [1]


async def test_a_creation_that_may_still_come_is_not_repeated(
    connect: Connect, cloud: LocalCloud, organisation: Organisation
) -> None:
    """After a timeout the cloud may be slow, not deaf: a second creation could make a second stream."""
    cloud.fail(Failure("POST", delay_s=30))
    async with connect(organisation, timeout_s=0.5) as api:
        with pytest.raises(CreationInDoubt, match="timed out"):
            await streams.create(api, "SIEM")
    assert [method for method, _ in cloud.requests] == ["GET", "POST", "GET"]


async def test_a_network_that_stays_away_leaves_the_doubt(api: CiscoApi, cloud: LocalCloud) -> None:
    """When even the look fails, nobody knows: the doubt is reported."""
    cloud.fail(Failure("GET"))  # the first list of streams is as it should be
    cloud.fail(Failure(silent=True, times=100))
    with pytest.raises(CreationInDoubt, match="not known whether"):
        await streams.create(api, "SIEM")


# --- changing ------------------------------------------------------------------------------------


async def test_a_change_is_read_back(api: CiscoApi) -> None:
    """What the cloud has afterwards is what is requeued."""
    made = await streams.create(api, "SIEM", event_types=[DETECTED], group_guids=[AUDIT])
    now = await streams.update(api, made, name="SOC", event_types=[])
    assert (now.name, now.event_types, now.group_guids) == ("SOC", None, (AUDIT,))
    assert await streams.update(api, now) is now


async def test_a_change_that_the_cloud_ignores_is_reported(api: CiscoApi, cloud: LocalCloud) -> None:
    """Accepted, but not done: an operator who believes it would miss events."""
    made = await streams.create(api, "SIEM", event_types=[DETECTED])
    cloud.fail(Failure("PATCH", status=200, body=b"{}"))
    with pytest.raises(CloudRefused, match="its event types are not as asked for"):
        await streams.update(api, made, event_types=[])


async def test_a_stream_deleted_in_between_is_not_found(api: CiscoApi, organisation: Organisation) -> None:
    """Somebody else's deletion shows as what it is."""
    made = await streams.create(api, "SIEM")
    organisation.delete(made.id)
    with pytest.raises(EventStreamNotFound):
        await streams.update(api, made, name="SOC")


@pytest.mark.parametrize("name", ["Zürich ☂ SIEM", 'it\'s "quoted" \\ here', "  two  spaces ", "<b>&amp;", "日本語"])
async def test_names_of_any_script_survive(api: CiscoApi, name: str) -> None:
    """Unicode, quotes, spaces and mark-up come back as they were sent, and find their stream."""
    made = await streams.create(api, name)
    assert made.name == name
    assert (await streams.find(api, name)).id == made.id
