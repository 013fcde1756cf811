"""Refusals: what was agreed to is not so any more.  It is asked for right before a request, and by `undo` first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from fluent_plugin_amp.amp_respond.actions import Stand
from fluent_plugin_amp.amp_respond.entries import Action, who_left
from fluent_plugin_amp.amp_respond.errors import ChangedMeanwhile, GroupWouldBeEmpty
from fluent_plugin_amp.amp_respond.journal import Journal, before_now
from fluent_plugin_amp.cisco import computers, file_lists
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import FileListWrongType
from fluent_plugin_amp.cisco.names import is_called, is_guid
from fluent_plugin_amp.text import how_many

LATE = timedelta(minutes=10)
"""The cloud accepts a move, and may show the group of before for some time."""


async def refuse_renamed(api: CiscoApi, action: Action, now: Stand) -> None:
    """Raises ChangedMeanwhile where the computer has another name than the one that was agreed to."""
    if action.computer is None:
        return
    found = now.computer or await computers.by_guid(api, action.computer.guid)
    if not is_called(found.hostname, action.computer.name):
        raise ChangedMeanwhile(f"{action}: the computer is called {found.hostname!r} now")


async def refuse_another_list(api: CiscoApi, action: Action, now: Stand) -> None:
    """The list is of another type, or has another name.

    Raises FileListNotFound, FileListWrongType, ChangedMeanwhile.
    """
    if action.list is not None:
        guid, type_ = action.list.guid, action.list.type
        # One request: a cloud is slow.
        there = [one for one in await file_lists.of_type(api, type_) if one.guid == guid]
        found = there[0] if there else await file_lists.find(api, guid)
        if found.type != type_:
            raise FileListWrongType(f"the list {found} was one of the type {type_}")
        if not is_called(found.name, action.list.name):
            raise ChangedMeanwhile(f"{action}: the list is called {found.name!r} now")


async def refuse_another_group(api: CiscoApi, action: Action) -> None:
    """The group that is moved to is gone, or has another name.  Raises NameUnknown, ChangedMeanwhile."""
    to = action.to_group
    if to is not None:
        name = (await computers.groups(api)).find_exactly(to.guid).name
        if not is_guid(to.name) and not is_called(name, to.name):  # a GUID: it was not known
            raise ChangedMeanwhile(f"{action}: the group is called {name!r} now")


async def refuse_to_empty(api: CiscoApi, action: Action, left: Sequence[Action], journal: Journal) -> None:
    """Raises GroupWouldBeEmpty where nobody stays in the group, once the moves that are left are done.

    Whom the journal shows as moved out of it in the last `LATE` does not stay, whatever the cloud still shows.
    """
    group = action.from_group
    if group is None or not group.guid:
        raise GroupWouldBeEmpty("in which group the computer is, the cloud does not tell")
    leaving = {one.computer.guid for one in left if one.computer is not None and one.from_group == group}
    moved = who_left(journal.entries()[0], group.guid, before_now(LATE)) - leaving
    late = f"; the journal has {how_many(len(moved), 'computer')} as just moved out of it" if moved else ""
    stays = await computers.is_anybody_in(api, group.guid, leaving | moved)
    if stays is None:
        raise GroupWouldBeEmpty(f"whether anybody stays in the group {group.name!r}, the cloud does not tell{late}")
    if not stays:
        raise GroupWouldBeEmpty(f"nobody would stay in the group {group.name!r}{late}")
