"""A new password for a stream: Cisco cannot reset one, so a twin takes the stream's place.

::

    START    the stream alone     create its twin: same types and groups, a queue and a password of its own
    DRAIN    stream and twin      both collect; when the old queue is empty, the old stream can be deleted
    RENAME   the twin alone       give it the stream's name

Each stage is recognised by what is in the cloud, so a rotation can be interrupted anywhere and resumed on another
machine.  The old stream is deleted only when the twin's credentials are known to be in the file.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.credentials import Reservation
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood, CredentialsFileUnusable, EventStreamNotFound
from fluent_plugin_amp.cisco.streams import create_saved, pick, update
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.files import MAX_SECRET_BYTES, read_text

_SUFFIX = " (rotating)"


def twin_name(name: str) -> str:
    """What the twin of a stream is called until the old stream is gone."""
    return name + _SUFFIX


class Stage(enum.Enum):
    """How far a rotation has come."""

    START = "start"
    DRAIN = "drain"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation as the cloud shows it."""

    name: str
    """The stream's name, before and after."""
    old: EventStream | None
    twin: EventStream | None

    @property
    def stage(self) -> Stage:
        """What comes next."""
        if self.twin is None:
            return Stage.START
        return Stage.RENAME if self.old is None else Stage.DRAIN

    @property
    def twin_name(self) -> str:
        """What the twin is called until the old stream is gone."""
        return twin_name(self.name)


def find_rotation(streams: Sequence[EventStream], text: str) -> Rotation:
    """The rotation of the stream that ``text`` means, by name or id, or by the name or id of its twin.

    Raises EventStreamNotFound, EventStreamAmbiguous.
    """
    try:
        found = pick(streams, text)
    except EventStreamNotFound:
        if not any(stream.name == twin_name(text) for stream in streams):
            raise
        found = pick(streams, twin_name(text))
    name = found.name.removesuffix(_SUFFIX)
    by_name = {stream.name: stream for stream in streams}
    return Rotation(name, by_name.get(name), by_name.get(twin_name(name)))


async def create_twin(
    api: CiscoApi, rotation: Rotation, file: Reservation, format_: str, label: str | None = None
) -> EventStream:
    """Create the twin and save its credentials, under ``label`` or the stream's own name."""
    old = rotation.old
    if old is None:
        raise ValueError("there is no stream to rotate")
    return await create_saved(
        api,
        rotation.twin_name,
        file,
        format_=format_,
        label=label or rotation.name,
        event_types=old.event_types,
        group_guids=old.group_guids,
    )


def check_saved(rotation: Rotation, path: Path) -> None:
    """Make sure that ``path`` holds the twin's credentials, in whatever format.

    Raises CredentialsFileUnusable: without them the old stream must not be deleted.
    """
    twin = rotation.twin
    user = twin.amqp.user_name if twin is not None and twin.amqp is not None else ""
    try:
        text = read_text(path, MAX_SECRET_BYTES)
    except OSError:
        text = ""
    if twin is None or not user or user not in text:
        id_ = twin.id if twin else "ID"
        raise CredentialsFileUnusable(
            f"{path} does not hold the credentials of {rotation.twin_name!r} ({id_})",
            remedy="Name the file that they were saved to. If it is lost, delete the twin and begin again: "
            f"amp-streams delete {id_}",
        )


async def count_waiting(old: EventStream, ask: Callable[[str], Awaitable[int]]) -> int | PluginError:
    """The events that wait in the old queue, or why their number is unknown.  ``ask``: a broker, about a queue."""
    if old.amqp is None:
        return CloudAnswerNotUnderstood(f"the cloud does not name the queue of {old.name!r} (id {old.id})")
    try:
        return await ask(old.amqp.queue_name)
    except PluginError as error:
        return error


def refuse_unknown(waiting: int | PluginError) -> int:
    """The events that wait in the old queue: with none the old stream may be deleted without ``--discard``.

    Raises the error of an unknown number: who agrees to the end of a rotation agrees to delete an empty queue.
    """
    if isinstance(waiting, int):
        return waiting
    remedy = f"{waiting.remedy} Or give --discard, where the new stream has them too."
    raise type(waiting)(str(waiting), remedy=remedy) from waiting


async def finish(api: CiscoApi, rotation: Rotation) -> EventStream:
    """Delete the old stream, if it is still there, and give the twin its name."""
    if rotation.twin is None:
        raise ValueError("there is no twin to take the stream's place")
    if rotation.old is not None:
        with contextlib.suppress(EventStreamNotFound):  # somebody else was faster
            await api.delete_event_stream(rotation.old.id)
    return await update(api, rotation.twin, name=rotation.name)
