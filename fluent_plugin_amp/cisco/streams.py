"""Event streams: found by name, created without losing a password, changed and duplicated.

The rules that Cisco leaves to the client live here: a name is taken at most once, a fifth stream is the last,
a creation whose answer was lost is looked for before it is tried again, and a change is read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from fluent_plugin_amp.cisco.address import StreamAddress, address_of
from fluent_plugin_amp.cisco.answers import MAX_EVENT_STREAMS, EventStream
from fluent_plugin_amp.cisco.api import CiscoApi, CreationInDoubt
from fluent_plugin_amp.cisco.credentials import Reservation, StreamCredentials, render
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerLost,
    CloudRefused,
    CredentialsNotSaved,
    EventStreamAmbiguous,
    EventStreamLimit,
    EventStreamNameTaken,
    EventStreamNotFound,
)
from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.cisco.names import Named, Names, fold
from fluent_plugin_amp.errors import UnavailableError

# --- finding -------------------------------------------------------------------------------------


async def find_by_name(api: CiscoApi, name: str) -> StreamAddress:
    """Where the stream called ``name`` (or with this id) is consumed.

    Raises EventStreamNotFound, EventStreamAmbiguous, and what `CiscoApi` raises.
    """
    stream = await find(api, name)
    if stream.amqp is None:
        stream = await api.event_stream(stream.id)
    return address_of(stream, api.cloud)


async def find(api: CiscoApi, name: str) -> EventStream:
    """The stream called ``name``, or with this id, as the list of streams describes it."""
    return pick(await api.event_streams(), name)


def pick(streams: Sequence[EventStream], text: str) -> EventStream:
    """The one stream that ``text`` means: its id, its exact name, or its name in another case.

    Never a part of a name: what is picked here may be about to be deleted.  Raises EventStreamNotFound with the
    names there are, EventStreamAmbiguous when several fit, one by its id and another by its name included.
    """
    exact = [stream for stream in streams if text in (stream.name, str(stream.id))]
    found = exact or [stream for stream in streams if fold(stream.name) == fold(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise EventStreamAmbiguous(f"several event streams are called {text!r}: {_listed(found)}")
    there = f"there are: {_listed(streams)}" if streams else "there are none"
    raise EventStreamNotFound(f"no event stream is called {text!r}; {there}")


def _listed(streams: Iterable[EventStream]) -> str:
    return ", ".join(f"{stream.name!r} ({stream.id})" for stream in streams)


async def event_type_names(api: CiscoApi) -> Names[int]:
    """The organisation's event types, with the older names that the catalogue knows as aliases."""
    known = {each.id: each for each in catalogue()}
    entries = []
    for entry in await api.event_types():
        older = known.get(entry.id)
        aliases = tuple(name for name in (older.name, *older.aliases) if name != entry.name) if older else ()
        entries.append(Named(entry.id, entry.name, aliases, entry.description))
    return Names("event type", entries)


async def group_names(api: CiscoApi) -> Names[str]:
    """The organisation's groups."""
    return Names("group", await api.groups())


# --- changing ------------------------------------------------------------------------------------


def refuse_name(streams: Sequence[EventStream], name: str) -> None:
    """Raise EventStreamNameTaken when one of ``streams`` has this name, in whatever case."""
    for stream in streams:
        if fold(stream.name) == fold(name):
            raise EventStreamNameTaken(f"there is an event stream {stream.name!r} ({stream.id}) already")


def refuse_creation(streams: Sequence[EventStream], name: str) -> None:
    """Say why ``name`` cannot be created beside ``streams``: EventStreamNameTaken or EventStreamLimit."""
    refuse_name(streams, name)
    if len(streams) >= MAX_EVENT_STREAMS:
        raise EventStreamLimit(
            f"the organisation has {len(streams)} event streams, Cisco allows {MAX_EVENT_STREAMS}: "
            + _listed(streams)
        )


async def create(
    api: CiscoApi,
    name: str,
    *,
    event_types: Sequence[int] | None = None,
    group_guids: Sequence[str] | None = None,
) -> EventStream:
    """Create a stream that does not exist yet; the result holds its password.

    When the answer to the creation is lost, the streams are listed: one that is there now was created, and
    CloudAnswerLost says so; if there is none, the creation is tried a second time, unless the cloud may still
    be working on the first.
    """
    refuse_creation(await api.event_streams(), name)
    try:
        return await api.create_event_stream(name, event_types=event_types, group_guids=group_guids)
    except CreationInDoubt as doubt:
        await _refuse_if_created(api, name, doubt)
        if doubt.late:
            raise
    try:
        return await api.create_event_stream(name, event_types=event_types, group_guids=group_guids)
    except CreationInDoubt as doubt:
        await _refuse_if_created(api, name, doubt)
        raise doubt.trouble from doubt


async def create_saved(
    api: CiscoApi,
    name: str,
    file: Reservation,
    *,
    format_: str = "yaml",
    label: str | None = None,
    event_types: Sequence[int] | None = None,
    group_guids: Sequence[str] | None = None,
) -> EventStream:
    """`create`, and put the credentials into ``file``, which was made sure of before.

    ``label`` is the name in the file, where it is not to be the stream's.  Raises CredentialsNotSaved, with the
    credentials, when the file cannot be written after all.
    """
    stream = await create(api, name, event_types=event_types, group_guids=group_guids)
    credentials = StreamCredentials.of(stream, api.cloud)
    text = render(replace(credentials, name=label or name), format_)
    try:
        file.commit(text)
    except OSError as exc:
        raise CredentialsNotSaved(
            f"{name!r} ({stream.id}) was created, but {file.path} could not be written: {exc.strerror}", rescue=text
        ) from exc
    return stream


async def _refuse_if_created(api: CiscoApi, name: str, doubt: CreationInDoubt) -> None:
    try:
        created = [stream for stream in await api.event_streams() if stream.name == name]
    except UnavailableError:
        raise doubt from doubt.trouble
    if created:
        raise CloudAnswerLost(
            f"{name!r} was created (id {created[0].id}), but the answer with its password was lost: {doubt.trouble}",
            remedy=f"Delete it, nobody can consume it, and create it again: amp-streams delete {created[0].id}",
        ) from doubt


async def update(
    api: CiscoApi,
    stream: EventStream,
    *,
    name: str | None = None,
    event_types: Sequence[int] | None = None,
    group_guids: Sequence[str] | None = None,
) -> EventStream:
    """Change what is given (an empty sequence means all) and return the stream as the cloud has it then.

    Raises CloudRefused when the cloud accepted the change and did something else.
    """
    changes: dict[str, Any] = {"name": name, "event_type": event_types, "group_guid": group_guids}
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        return stream
    await api.update_event_stream(stream.id, changes)
    now = await api.event_stream(stream.id)
    for key, wanted, is_now in (
        ("name", name, now.name),
        ("event types", event_types, now.event_types or ()),
        ("groups", group_guids, now.group_guids or ()),
    ):
        same = wanted == is_now if isinstance(wanted, str) else wanted is None or set(wanted) == set(is_now)
        if not same:
            raise CloudRefused(
                f"the cloud accepted the change of {stream.name!r} ({stream.id}), but its {key} are not as asked for",
                remedy="See `amp-streams show`; if it stays so, make a new stream with `amp-streams create`.",
            )
    return now
