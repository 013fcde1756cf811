"""A twin takes a stream's place, whatever interrupts it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from fluent_plugin_amp.amp_streams import rotation as rotations
from fluent_plugin_amp.amp_streams.rotation import (
    Rotation,
    Stage,
    check_saved,
    count_waiting,
    find_rotation,
    refuse_unknown,
)
from fluent_plugin_amp.cisco import streams
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.credentials import FORMATS, reserve
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable, EventStreamLimit, EventStreamNotFound
from fluent_plugin_amp.errors import BrokerUnreachable, PluginError
from fluent_plugin_amp.testing.organisation import Organisation

DETECTED = 1090519054
AUDIT = "b077d6bc-bbdf-42f7-8838-a06053fbd98a"
OLD, TWIN, OTHER = EventStream(6, "SIEM"), EventStream(7, "SIEM (rotating)"), EventStream(8, "SOC")


@pytest.mark.parametrize(
    ("there", "stage"),
    [
        ([OLD, OTHER], Stage.START),
        ([OTHER, TWIN, OLD], Stage.DRAIN),
        ([TWIN, OTHER], Stage.RENAME),
    ],
)
def test_the_stage_is_seen_in_the_cloud(there: list[EventStream], stage: Stage) -> None:
    """The stream, its twin, or both: by name and by id, the stream's or the twin's."""
    for text in ["SIEM", *(str(stream.id) for stream in there if stream is not OTHER)]:
        found = find_rotation(there, text)
        assert (found.name, found.stage) == ("SIEM", stage)
        assert found.old == (OLD if OLD in there else None)
        assert found.twin == (TWIN if TWIN in there else None)


def test_a_stream_that_is_not_there_is_not_rotated() -> None:
    """Neither the stream nor a twin of it."""
    with pytest.raises(EventStreamNotFound, match="'SIEM'"):
        find_rotation([OTHER], "SIEM")


async def begin(api: CiscoApi, path: Path, format_: str = "yaml") -> Rotation:
    """A rotation with its twin made."""
    with reserve(path) as file:
        await rotations.create_twin(api, find_rotation(await api.event_streams(), "SIEM"), file, format_)
    return find_rotation(await api.event_streams(), "SIEM")


async def test_a_rotation_from_beginning_to_end(api: CiscoApi, tmp_path: Path) -> None:
    """Same types, groups and name; another id, queue and password; the file says the final name from the start."""
    old = await streams.create(api, "SIEM", event_types=[DETECTED], group_guids=[AUDIT])
    path = tmp_path / "new.yml"
    rotation = await begin(api, path)
    assert rotation.stage is Stage.DRAIN
    check_saved(rotation, path)
    now = await rotations.finish(api, rotation)
    assert (now.name, now.event_types, now.group_guids) == ("SIEM", (DETECTED,), (AUDIT,))
    assert now.id != old.id
    assert [stream.id for stream in await api.event_streams()] == [now.id]
    saved = yaml.safe_load(path.read_text())
    assert (saved["name"], saved["id"], saved["queue"]) == ("SIEM", now.id, f"event_stream_{now.id}")


@pytest.mark.parametrize("format_", sorted(FORMATS))
async def test_the_twins_credentials_are_recognised_in_every_format(
    api: CiscoApi, tmp_path: Path, format_: str
) -> None:
    """The old stream may be deleted when the new password is known to be in the file."""
    await streams.create(api, "SIEM")
    check_saved(await begin(api, tmp_path / "new", format_), tmp_path / "new")


@pytest.mark.parametrize("content", [None, b"", b"username: 1-0000", b"\xff"])
async def test_without_the_twins_credentials_nothing_is_deleted(
    api: CiscoApi, tmp_path: Path, content: bytes | None
) -> None:
    """A file that is missing, empty, of another stream or no text: said, with the way out."""
    await streams.create(api, "SIEM")
    rotation = await begin(api, tmp_path / "new.yml")
    other = tmp_path / "other.yml"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(CredentialsFileUnusable, match="does not hold the credentials") as caught:
        check_saved(rotation, other)
    assert rotation.twin is not None
    assert f"amp-streams delete {rotation.twin.id}" in caught.value.remedy


async def test_a_pipe_in_place_of_the_twins_credentials_is_not_waited_for(api: CiscoApi, tmp_path: Path) -> None:
    """It holds none."""
    await streams.create(api, "SIEM")
    rotation = await begin(api, tmp_path / "new.yml")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CredentialsFileUnusable, match="does not hold the credentials"):
        check_saved(rotation, tmp_path / "pipe")


@pytest.mark.parametrize("answer", [0, 3])
async def test_what_waits_in_the_old_queue_is_counted(api: CiscoApi, answer: int) -> None:
    """The broker is asked about the queue of the old stream."""
    old = await streams.create(api, "SIEM")
    asked = []

    async def ask(queue: str) -> int:
        asked.append(queue)
        return answer

    assert refuse_unknown(await count_waiting(old, ask)) == answer
    assert asked == [f"event_stream_{old.id}"]


async def test_an_unknown_number_is_never_taken_for_none(api: CiscoApi) -> None:
    """The error says why it is unknown, and what to do: of a broker that does not tell, of a queue without a name."""

    async def ask(queue: str) -> int:
        raise BrokerUnreachable("broker:443 is away", remedy="Look.")

    for old, said in (
        (await streams.create(api, "SIEM"), "is away"),
        (OLD, r"does not name the queue of 'SIEM' \(id 6"),
    ):
        waiting = await count_waiting(old, ask)
        with pytest.raises(PluginError, match=said) as caught:
            refuse_unknown(waiting)
        assert isinstance(waiting, PluginError)
        assert "--discard" not in waiting.remedy
        assert caught.value.remedy.endswith(" Or give --discard, where the new stream has them too.")


async def test_a_rotation_interrupted_after_the_deletion_is_resumed(api: CiscoApi, tmp_path: Path) -> None:
    """The twin alone only lacks its name."""
    old = await streams.create(api, "SIEM")
    await begin(api, tmp_path / "new.yml")
    await api.delete_event_stream(old.id)
    rotation = find_rotation(await api.event_streams(), "SIEM")
    assert rotation.stage is Stage.RENAME
    assert (await rotations.finish(api, rotation)).name == "SIEM"


async def test_an_old_stream_that_vanishes_meanwhile_is_gone(
    api: CiscoApi, organisation: Organisation, tmp_path: Path
) -> None:
    """Somebody else's deletion of it does not stop the renaming."""
    old = await streams.create(api, "SIEM")
    rotation = await begin(api, tmp_path / "new.yml")
    organisation.delete(old.id)
    assert (await rotations.finish(api, rotation)).name == "SIEM"


async def test_a_rotation_needs_room_for_the_twin(api: CiscoApi, tmp_path: Path) -> None:
    """With five streams it is refused before anything is created, and no file is left."""
    for name in ("SIEM", "a", "b", "c", "d"):
        await streams.create(api, name)
    with pytest.raises(EventStreamLimit):
        await begin(api, tmp_path / "new.yml")
    assert os.listdir(tmp_path) == []


async def test_what_cannot_be_done_at_this_stage_is_a_mistake_of_the_caller(api: CiscoApi, tmp_path: Path) -> None:
    """A twin of nothing, and an end without a twin."""
    with pytest.raises(ValueError, match="no stream"), reserve(tmp_path / "new.yml") as file:
        await rotations.create_twin(api, Rotation("SIEM", None, TWIN), file, "yaml")
    with pytest.raises(ValueError, match="no twin"):
        await rotations.finish(api, Rotation("SIEM", OLD, None))
