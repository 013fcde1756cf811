"""What the commands of `amp-streams` for one stream do that takes several steps, and what they say about it.

Between `cli`, which parses, and `cisco`, which knows the cloud: here a user is told, asked, and never left
without the password that the cloud shows once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fluent_plugin_amp.admin.screen import Screen, Unprintable
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_streams import rotation as rotations
from fluent_plugin_amp.amp_streams.description import Description, describe, few
from fluent_plugin_amp.amp_streams.rotation import Rotation, Stage
from fluent_plugin_amp.cisco import streams
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.credentials import StreamCredentials, render, reserve
from fluent_plugin_amp.cisco.errors import CredentialsNotSaved
from fluent_plugin_amp.cisco.names import Abbreviated, Names, is_all
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, PluginError, UsageError

HOLD_ON = "please wait: the cloud's answer holds the one-time password (again: give it up)"


@dataclass(frozen=True, slots=True)
class Keep:
    """Where the credentials of a new stream go: ``save``, or standard output; nowhere in a dry run."""

    save: Path | None
    format_: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What to change of a stream: empty names leave it, None means all, as the name `all` does."""

    name: str | None
    event_types: tuple[str, ...] | None
    groups: tuple[str, ...] | None


# --- create, duplicate, update, delete -----------------------------------------------------------


def create(session: Session, name: str, event_types: Sequence[str], groups: Sequence[str], keep: Keep) -> None:
    """Create a stream of the types and groups that the names mean; no names mean all."""
    types, guids = _ids(session, event_types, groups)
    wanted = EventStream(0, _checked_name(name), types, guids)
    session.with_api(lambda api: _create(session, api, wanted, keep))


async def duplicate(session: Session, api: CiscoApi, like: str, name: str, keep: Keep) -> None:
    """Create a stream with the types and groups of another."""
    other = await streams.find(api, like)
    wanted = EventStream(0, _checked_name(name), other.event_types, other.group_guids)
    await _create(session, api, wanted, keep)


async def _create(session: Session, api: CiscoApi, wanted: EventStream, keep: Keep) -> None:
    """Create ``wanted`` and see its credentials safe: in the file, or printed."""
    name, types, guids = wanted.name, wanted.event_types, wanted.group_guids
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(reserve(keep.save)) if keep.save else None
        if keep.dry_run:
            streams.refuse_creation(await api.event_streams(), name)
            (told,) = await describe(api, [wanted])
            session.screen.note(f"would create {_told(told)}{f'; would save {keep.save}' if keep.save else ''}")
            return
        stack.enter_context(session.interrupts.held_back(HOLD_ON))
        if file is not None:
            made = await streams.create_saved(
                api, name, file, format_=keep.format_, event_types=types, group_guids=guids
            )
        else:
            made = await streams.create(api, name, event_types=types, group_guids=guids)
            _print_credentials(session.screen, api, made, keep.format_)
        session.screen.note(f"created {name!r} (id {made.id})")
        if keep.save is not None:
            session.screen.note(f"saved   {keep.save} (mode 0600); the password is not shown again")
            if keep.format_ in ("yaml", "json"):
                session.screen.note(f"next    streams: [{{credentials_file: {keep.save}}}] in the configuration")


def _print_credentials(screen: Screen, api: CiscoApi, made: EventStream, format_: str) -> None:
    text = render(StreamCredentials.of(made, api.cloud), format_)
    try:
        screen.data(text)
    except Unprintable as exc:
        raise CredentialsNotSaved(f"{made.name!r} ({made.id}) was created, but {exc}", rescue=text) from exc


def update(session: Session, text: str, change: Change, *, dry_run: bool) -> None:
    """Change what ``change`` names, and say what the stream is then."""
    types, guids = _ids(session, change.event_types or (), change.groups or ())
    # () means all from here on, and None that it stays
    to_types = None if change.event_types == () else types or ()
    to_guids = None if change.groups == () else guids or ()
    session.with_api(lambda api: _update(session, api, text, change.name, to_types, to_guids, dry_run=dry_run))


async def _update(
    session: Session,
    api: CiscoApi,
    text: str,
    name: str | None,
    types: tuple[int, ...] | None,
    guids: tuple[str, ...] | None,
    *,
    dry_run: bool,
) -> None:
    there = await api.event_streams()
    before = streams.pick(there, text)
    if name is not None:
        streams.refuse_name([each for each in there if each.id != before.id], _checked_name(name))
    if dry_run:
        now = replace(
            before,
            name=name or before.name,
            event_types=before.event_types if types is None else types or None,
            group_guids=before.group_guids if guids is None else guids or None,
        )
    else:
        now = await streams.update(api, before, name=name, event_types=types, group_guids=guids)
    (told,) = await describe(api, [now])
    session.screen.note(f"{'would be' if dry_run else 'is now'} {_told(told)}")


def delete(session: Session, text: str, *, yes: bool) -> None:
    """Delete a stream, once the user agrees."""

    async def look(api: CiscoApi) -> EventStream:
        return await streams.find(api, text)

    found = session.with_api(look)
    _confirm_deletion(session, found, " and what waits in its queue?", yes=yes)
    session.with_api(lambda api: api.delete_event_stream(found.id))
    session.screen.note(f"deleted {found.name!r} (id {found.id})")


def _confirm_deletion(session: Session, stream: EventStream, rest: str, *, yes: bool) -> None:
    """The question says in which organisation: others may have a stream of this name and id."""
    question = f"in the organisation {session.organisation()}:\nDelete {stream.name!r} (id {stream.id}){rest}"
    session.confirm(question, yes)


def _ids(
    session: Session, event_types: Sequence[str], groups: Sequence[str]
) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """The ids of event types and groups that the names mean; None for no name, and for ``all``.

    The cloud is asked for names only where there are any, and the user where a name is not written in full.
    """

    async def look(api: CiscoApi) -> tuple[Names[int] | None, Names[str] | None]:
        return (
            await streams.event_type_names(api) if event_types else None,
            await streams.group_names(api) if groups else None,
        )

    types, guids = session.with_api(look) if event_types or groups else (None, None)
    return (
        types.find_all([_in_full(session, types, text) for text in event_types]) if types is not None else None,
        guids.find_all([_in_full(session, guids, text) for text in groups]) if guids is not None else None,
    )


def _in_full(session: Session, names: Names[Any], text: str) -> str:
    """``text``, or the id of what it is the beginning of, when the user says that it is meant."""
    if is_all(text):
        return text
    try:
        names.find(text)
    except Abbreviated as short:
        if not session.can_ask:
            raise
        session.confirm(short.question, yes=False)
        return str(short.meant)
    return text


def _checked_name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise UsageError("a stream's name must not be empty, nor hold control characters")
    return name


def _told(each: Description) -> str:
    return f"{each.stream.name!r}: event types: {few(each.event_types)}; groups: {few(each.groups)}"


# --- names -------------------------------------------------------------------------------------


def show_names(screen: Screen, names: Names[Any], search: str, id_name: str, *, as_json: bool) -> int:
    """What a search finds among event types or groups; the exit code says whether it found anything."""
    found = names.search(search)
    if as_json:
        screen.json([{id_name.lower(): one.id, "name": one.name, "older_names": list(one.aliases)} for one in found])
    else:
        columns = (id_name, "NAME", "OLDER NAMES") if any(one.aliases for one in found) else (id_name, "NAME")
        rows = [(str(one.id), one.name, ", ".join(one.aliases)) for one in found]
        screen.table(columns, [row[: len(columns)] for row in rows])
    if not found:
        screen.note(f"no {names.kind} has {search!r} in it" if search else f"there is no {names.kind}")
    return EXIT_OK if found else EXIT_NO


# --- rotate --------------------------------------------------------------------------------------


_HOW_TO_RUN_BOTH = """\
From now on both collect the same events. What to do:
  1. Keep the old stream running, and consume the new one beside it (SIGHUP reloads the configuration):
       streams:
         - (the entry of {name}, as it is)
         - {{name: {name}-new, credentials_file: {save}}}
     Events of this time arrive once from each.
  2. When the old queue is empty (`fluent-plugin-amp check` shows 0 messages waiting), finish:
       amp-streams rotate '{name}' --save {save} --finish
  3. Keep one entry: {{name: {name}, credentials_file: {save}}}, and reload."""


def rotate(session: Session, text: str, save: Path, keep: Keep, *, finish: bool, discard: bool, yes: bool) -> int:
    """The next step of a rotation; which one that is shows in the cloud."""

    async def look(api: CiscoApi) -> Rotation:
        return rotations.find_rotation(await api.event_streams(), text)

    found = session.with_api(look)
    if found.stage is Stage.START:
        if finish:
            raise UsageError(f"{found.name!r} has no twin yet", remedy="Run it without --finish first.")
        session.with_api(lambda api: _begin_rotation(session, api, found, save, keep))
        return EXIT_OK
    rotations.check_saved(found, save)
    if finish:
        return _finish_rotation(session, found, save, discard=discard, yes=yes, dry_run=keep.dry_run)
    session.screen.note(f"{found.twin_name!r} is there, and its credentials are in {save}\n")
    session.screen.note(_HOW_TO_RUN_BOTH.format(name=found.name, save=save))
    return EXIT_OK


async def _begin_rotation(session: Session, api: CiscoApi, found: Rotation, save: Path, keep: Keep) -> None:
    with reserve(save) as file:
        if keep.dry_run:
            streams.refuse_creation(await api.event_streams(), found.twin_name)
            session.screen.note(f"would create {found.twin_name!r} like {found.name!r}; would save {save}")
            return
        with session.interrupts.held_back(HOLD_ON):
            twin = await rotations.create_twin(api, found, file, keep.format_)
            session.screen.note(f"created {twin.name!r} (id {twin.id})")
            session.screen.note(f"saved   {save} (mode 0600); the password is not shown again\n")
            session.screen.note(_HOW_TO_RUN_BOTH.format(name=found.name, save=save))


def _finish_rotation(
    session: Session, found: Rotation, save: Path, *, discard: bool, yes: bool, dry_run: bool
) -> int:
    old = found.old
    if old is not None:
        waiting = session.run(lambda: _count_waiting(session, old, save))
        told = f"unknown [{waiting.id}]" if isinstance(waiting, PluginError) else str(waiting)
        session.screen.note(f"events waiting in the queue of {old.name!r} (id {old.id}): {told}")
        if not discard and rotations.refuse_unknown(waiting) > 0:
            session.screen.note("not deleted: drain it first; or give --discard, where the new stream has them too")
            return EXIT_NO
    if dry_run:
        deletion = f"delete {old.name!r} (id {old.id}), and " if old else ""
        session.screen.note(f"would {deletion}call {found.twin_name!r} {found.name!r}")
        return EXIT_OK
    if old is not None:
        _confirm_deletion(session, old, "? What came before the twin was made must be delivered.", yes=yes)
    now = session.with_api(lambda api: rotations.finish(api, found))
    session.screen.note(f"done: {now.name!r} is id {now.id} now, its credentials are in {save}")
    return EXIT_OK


async def _count_waiting(session: Session, old: EventStream, save: Path) -> int | PluginError:
    from fluent_plugin_amp.commands.queue_depth import Brokers

    broker, ca_file = Brokers(session.broker_proxy), session.access().broker_ca_file
    return await rotations.count_waiting(old, lambda queue: broker.count_waiting(queue, save, ca_file=ca_file))
