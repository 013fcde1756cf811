"""Who has seen a file, an address or a name, and who raised no event for it: Cisco's own workflow for hunting.

::

    seen(q)        computers in whose history it is: the newest 5000 entries of the organisation, no more
    told(sha256)   computers that raised an event for the file
    ran(guid, …)   whether a computer ran the file: one request a computer

What is seen, and not told, is the finding.  The file must be known to be bad: one that is clean finds every computer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.api import FULL_PAGES, CiscoApi
from fluent_plugin_amp.cisco.computers import Computer, computer
from fluent_plugin_amp.cisco.errors import CloudRefused
from fluent_plugin_amp.cisco.listing import Listing, guid_of
from fluent_plugin_amp.cisco.names import is_guid

HISTORY = 5000
"""Historical entries that the cloud searches at most."""
INCOMPLETE = f"not complete: the cloud searches its newest {HISTORY} entries only, or told a part of what it found"
MAX_EVENTS = 50_000
"""Events of one file that are read: a hundred requests."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The computers in whose history something is."""

    computers: tuple[Computer, ...]
    is_complete: bool
    """The search did not end at `HISTORY`, as far as can be told, and its list was not cut."""


@dataclass(frozen=True, slots=True)
class Told:
    """The computers that raised an event."""

    guids: frozenset[str]
    is_complete: bool
    """Not more than `MAX_EVENTS` events were there, and all of them came."""


async def seen(api: CiscoApi, what: str) -> Seen:
    """Who has seen a SHA-256, an IPv4 address, a file's name or a part of a URL."""
    listing = Listing(api, "/v1/computers/activity", guid_of("connector_guid"), query=(("q", what),))
    found = []
    async for item in listing.items():
        found.append(computer(item))
        if len(found) >= HISTORY:
            break
    # A computer may stand in the list once for each entry: what came counts, not only who is new.
    is_cut = max(len(found), listing.read) >= HISTORY
    return Seen(tuple(found), not is_cut and listing.is_steady and not listing.odd)


async def told(api: CiscoApi, sha256: str) -> Told:
    """Who raised an event for a file."""
    found = set[str]()
    count = 0
    listing = Listing(api, "/v1/events", _key_of, query=(("detection_sha256", sha256),))
    async for event in listing.items():
        guid = _guid_of(event)
        if isinstance(guid, str) and is_guid(guid):
            found.add(guid.lower())
        count += 1
        if count >= MAX_EVENTS:
            return Told(frozenset(found), is_complete=False)
    return Told(frozenset(found), is_complete=listing.is_steady and not listing.odd)


async def ran(api: CiscoApi, guid: str, sha256: str) -> bool | None:
    """Whether the trajectory of a computer shows that it ran a file; it does not go back for ever.

    None: the computer was removed, and its trajectory with it.
    """
    path = f"/v1/computers/{guid}/trajectory"
    try:
        data = answers.one(await api.envelope(path, (("q", sha256), *FULL_PAGES)), f"GET {path}")
    except CloudRefused as error:
        if error.status == 404:
            return None
        raise
    events = data.get("events")
    return any(
        isinstance(event, dict) and event.get("event_type") == "Executed by" and _sha256(event.get("file")) == sha256
        for event in (events if isinstance(events, list) else ())
    )


def computer_link(console: str, guid: str, what: str) -> str:
    """To the trajectory of a computer in the console (a host), where ``what`` is looked for."""
    return f"https://{console}/computers/{guid}/trajectory?q={quote(what, safe='')}"


def file_link(console: str, sha256: str) -> str:
    """To the trajectory of a file."""
    return f"https://{console}/file/trajectory/{sha256}"


def _key_of(event: dict[str, Any]) -> str:
    """Its id and its computer: an id may be a rounded one, which events of several computers share."""
    id_ = event.get("id")
    return f"{id_} {_guid_of(event)}" if id_ else str(event)


def _guid_of(event: dict[str, Any]) -> Any:
    about = event.get("computer")
    return event.get("connector_guid") or (about.get("connector_guid") if isinstance(about, dict) else None)


def _sha256(file: object) -> str:
    identity = file.get("identity") if isinstance(file, dict) else None
    return answers.text(identity.get("sha256")).lower() if isinstance(identity, dict) else ""
