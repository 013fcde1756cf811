"""Computers: found without a guess, and moved to another group.

What is found here may be about to be cut off from its network.  So a host name counts only in full, and one that
several computers have is an error that lists them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import (
    ActionInDoubt,
    CloudAnswerNotUnderstood,
    CloudRefused,
    ComputerAmbiguous,
    ComputerNotFound,
)
from fluent_plugin_amp.cisco.listing import Listing, guid_of
from fluent_plugin_amp.cisco.names import Names, is_called, is_guid

MAX_SHOWN = 12
"""So many candidates an error lists, and so many are asked whether they are in a group."""


@dataclass(frozen=True, slots=True)
class Computer:
    """A computer as Cisco's cloud describes it; what an answer does not have is empty."""

    guid: str
    """Of the connector."""
    hostname: str
    group_guid: str = ""
    policy: str = ""
    operating_system: str = ""
    last_seen: str = ""
    isolation: str = ""
    """``not_isolated``, ``pending_start``, ``isolated``, ``pending_stop``."""

    def __str__(self) -> str:
        more = ", ".join(filter(None, (self.operating_system, self.last_seen and f"last seen {self.last_seen}")))
        return f"{self.hostname or '(no name)'} ({self.guid}{', ' + more if more else ''})"


def computer(item: Mapping[str, Any]) -> Computer:
    """An entry of ``/v1/computers``, or of a list that tells less about each.  Raises CloudAnswerNotUnderstood."""
    guid = item.get("connector_guid")
    if not isinstance(guid, str) or not is_guid(guid):
        raise CloudAnswerNotUnderstood("a computer without a connector_guid")
    policy, isolation = item.get("policy"), item.get("isolation")
    return Computer(
        guid=guid.lower(),
        hostname=answers.text(item.get("hostname")),
        group_guid=answers.text(item.get("group_guid")).lower(),
        policy=answers.text(policy.get("name")) if isinstance(policy, dict) else "",
        operating_system=answers.text(item.get("operating_system")),
        last_seen=answers.text(item.get("last_seen")),
        isolation=answers.text(isolation.get("status")) if isinstance(isolation, dict) else "",
    )


async def find(api: CiscoApi, text: str) -> Computer:
    """The computer with this connector GUID, or with exactly this host name, whatever the case; a blank counts.

    The list only finds it: what is told of it is what it is told to be by itself.

    Raises ComputerNotFound, and ComputerAmbiguous with the candidates.
    """
    if is_guid(text):
        return await by_guid(api, text)
    if not text or not text.isprintable():
        raise ComputerNotFound(f"{text[:80]!r} is no computer's name")
    # Whether the cloud looks for a part of the name is not documented: only the whole name counts.
    listing = Listing(api, "/v1/computers", guid_of("connector_guid"), query=(("hostname[]", text),))
    near = [computer(item) for item in await listing.whole()]
    found = [one for one in near if is_called(one.hostname, text)]
    if len(found) == 1:
        itself = await by_guid(api, found[0].guid)
        if not is_called(itself.hostname, text):
            raise CloudAnswerNotUnderstood(f"the list of computers has {found[0]}, the computer itself is {itself}")
        return itself
    if found:
        raise ComputerAmbiguous(f"{len(found)} computers are called {text!r}: {listed(found)}")
    hint = f"; meant perhaps: {listed(near)}" if near else ""
    raise ComputerNotFound(f"no computer is called {text!r}{hint}")


async def by_guid(api: CiscoApi, guid: str) -> Computer:
    """The computer with this connector GUID, and no other.  Raises ComputerNotFound, CloudAnswerNotUnderstood."""
    path = f"/v1/computers/{guid.lower()}"
    try:
        found = computer(answers.one(await api.envelope(path), f"GET {path}"))
    except CloudRefused as error:
        if error.status == 404:
            raise ComputerNotFound(f"no computer has the connector GUID {guid}") from error
        raise
    if found.guid != guid.lower():
        raise CloudAnswerNotUnderstood(f"GET {path}: the answer is about another computer, {found}")
    return found


async def groups(api: CiscoApi) -> Names[str]:
    """The groups there are, all of them: names may repeat, and one that did not come may be meant."""
    listing = Listing(api, "/v1/groups", guid_of("guid"))
    return Names("group", [answers.group(item) for item in await listing.whole()])


async def is_anybody_in(api: CiscoApi, group_guid: str, leaving: Collection[str] = ()) -> bool | None:
    """Whether a group has a computer besides those that leave it (GUIDs, in lower case); None: nobody can tell.

    One that says so itself, when it is asked: a total may count others, or those that have just left.
    """
    wanted, asked = group_guid.lower(), 0
    listing = Listing(api, "/v1/computers", guid_of("connector_guid"), query=(("group_guid[]", group_guid),))
    async for item in listing.items():
        one = computer(item)
        if one.group_guid != wanted or one.guid in leaving:
            continue
        with contextlib.suppress(ComputerNotFound):  # removed since
            if (await by_guid(api, one.guid)).group_guid == wanted:
                return True
        asked += 1
        if asked == MAX_SHOWN:
            return None
    return False if listing.is_steady and not listing.odd and not asked else None


async def move(api: CiscoApi, guid: str, group_guid: str) -> None:
    """Put a computer into another group; its policy follows later.

    Raises:
        ActionInDoubt: or the answer does not say that this computer is in this group now.
        CloudRefused
    """
    path = f"/v1/computers/{guid}"
    answer = await api.act("PATCH", path, {"group_guid": group_guid})
    try:
        told = computer(answers.one(answers.envelope(answer.body, f"PATCH {path}"), f"PATCH {path}"))
        if (told.guid, told.group_guid) != (guid.lower(), group_guid.lower()):
            raise CloudAnswerNotUnderstood(f"PATCH {path}: the answer has {told} in the group {told.group_guid!r}")
    except CloudAnswerNotUnderstood as error:
        raise ActionInDoubt(f"it is not known whether it was done: {error}", late=True) from error


def listed(computers: Iterable[Computer]) -> str:
    """The first of them, in words."""
    computers = list(computers)
    more = len(computers) - MAX_SHOWN
    return "; ".join(map(str, computers[:MAX_SHOWN])) + (f" and {more} more" if more > 0 else "")
