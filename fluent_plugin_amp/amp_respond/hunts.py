"""The command `amp-respond hunt`: who has seen it, and who raised no event for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from fluent_plugin_amp.amp_respond.entries import Json
from fluent_plugin_amp.cisco import hunting
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.errors import UsageError

MAX_WHAT = 200
"""Characters of what is looked for."""
MAX_TRAJECTORIES = 100
"""Computers that are asked whether they ran it: a request each."""


@dataclass(frozen=True, slots=True)
class Found:
    """A computer that has seen it."""

    computer: Computer
    raised_event: bool | None
    """None: only events of files can be looked for."""
    ran: bool | None = None
    """None: not asked."""
    link: str = ""
    """To the trajectory of the computer, in the console."""

    @property
    def is_finding(self) -> bool:
        """It has seen it and said nothing."""
        return self.raised_event is False


@dataclass(frozen=True, slots=True)
class Hunt:
    """What was found in one organisation."""

    what: str
    found: Sequence[Found]
    is_complete: bool
    """Neither the history nor the events had more than is searched."""
    tenant: str | None = None
    link: str = ""
    """To the trajectory of the file, in the console."""

    def as_json(self) -> Json:
        """For ``--json``."""
        computers = [
            {
                "connector_guid": each.computer.guid,
                "hostname": each.computer.hostname,
                "raised_event": each.raised_event,
                "executed": each.ran,
                "link": each.link,
            }
            for each in self.found
        ]
        told: Json = {"hunted": self.what, "complete": self.is_complete, "link": self.link or None}
        return {"tenant": self.tenant, **told, "computers": computers}


async def hunt(api: CiscoApi, what: str, *, executed: bool = False, tenant: str | None = None) -> Hunt:
    """Look for a SHA-256, an IPv4 address or a name; those without an event come first.

    Raises UsageError.
    """
    what = what.strip()
    if not what or len(what) > MAX_WHAT or not what.isprintable():
        raise UsageError("give a SHA-256, an IPv4 address, or the name of a file")
    is_hash = re.fullmatch(r"[0-9a-fA-F]{64}", what) is not None
    if executed and not is_hash:
        raise UsageError("--executed: only of a SHA-256 can be told who ran it")
    what = what.lower() if is_hash else what
    seen = await hunting.seen(api, what)
    told = await hunting.told(api, what) if is_hash else None
    console = f"https://{api.cloud.console_host}"
    found = []
    for number, computer in enumerate(seen.computers):
        asks = executed and number < MAX_TRAJECTORIES
        ran = await hunting.ran(api, computer.guid, what) if asks else None
        link = f"{console}/computers/{computer.guid}/trajectory?q={quote(what, safe='')}"
        found.append(Found(computer, None if told is None else computer.guid in told.guids, ran, link))
    found.sort(key=lambda each: (not each.is_finding, each.computer.hostname.casefold()))
    is_complete = seen.is_complete and (told is None or told.is_complete)
    return Hunt(what, found, is_complete, tenant, f"{console}/file/trajectory/{what}" if is_hash else "")
