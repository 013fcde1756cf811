"""The command `amp-respond hunt`: who has seen it, and who raised no event for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fluent_plugin_amp.admin.screen import Screen, error_json
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.admin.tenants import Tenant
from fluent_plugin_amp.amp_respond.entries import Json
from fluent_plugin_amp.cisco import hunting
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.file_lists import refuse_other_hash
from fluent_plugin_amp.errors import PluginError, UsageError
from fluent_plugin_amp.hashes import is_sha256
from fluent_plugin_amp.text import how_many

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
    """None: not asked, or the computer was removed."""
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
    not_asked_ran: int = 0
    """Computers that were not asked whether they ran it, beyond `MAX_TRAJECTORIES`."""
    error: PluginError | None = None
    """The organisation could not be asked: nothing is known of it."""

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
        return {"tenant": self.tenant, **told, "computers": computers, "error": error_json(self.error)}


def checked(what: str, *, executed: bool) -> str:
    """What is looked for.  Raises UsageError; NotSha256 for a hash of another kind, or a mistyped one."""
    what = what.strip()
    if not what or len(what) > MAX_WHAT or not what.isprintable():
        raise UsageError("give a SHA-256, an IPv4 address, or the name of a file")
    refuse_other_hash(what)
    if executed and not is_sha256(what):
        raise UsageError("--executed: only of a SHA-256 can be told who ran it")
    return what.lower() if is_sha256(what) else what


async def hunt_all(session: Session, tenants: Sequence[Tenant], what: str, *, executed: bool) -> list[Hunt]:
    """Each organisation in turn; one that cannot be asked stops no other, and has an ``error``."""
    what = checked(what, executed=executed)
    found: list[Hunt] = []
    for tenant in tenants:
        async with session.http(tenant.cloud.ca_file) as http:
            wait = session.screen.wait_beside(tenant.name)
            api = session.api(tenant.cloud, tenant.key, http, wait=wait)
            try:
                found.append(await hunt(api, what, executed=executed, tenant=tenant.name))
            except PluginError as error:
                session.screen.note(f"{tenant.name} could not be asked:")
                session.screen.error(error, debug=False)
                found.append(Hunt(what, (), False, tenant.name, error=error))
    return found


async def hunt(api: CiscoApi, what: str, *, executed: bool = False, tenant: str | None = None) -> Hunt:
    """Look for a SHA-256, an IPv4 address or a name; those without an event come first.

    Raises UsageError.
    """
    what = checked(what, executed=executed)
    is_hash = is_sha256(what)
    seen = await hunting.seen(api, what)
    told = await hunting.told(api, what) if is_hash else None
    console = api.cloud.console_host
    found = []
    for computer in seen.computers:
        raised_event = None if told is None else computer.guid in told.guids
        found.append(Found(computer, raised_event, link=hunting.computer_link(console, computer.guid, what)))
    found.sort(key=lambda each: (not each.is_finding, each.computer.hostname.casefold()))
    asked = found[:MAX_TRAJECTORIES] if executed else []
    found[: len(asked)] = [replace(one, ran=await hunting.ran(api, one.computer.guid, what)) for one in asked]
    is_complete = seen.is_complete and (told is None or told.is_complete)
    link = hunting.file_link(console, what) if is_hash else ""
    return Hunt(what, found, is_complete, tenant, link, not_asked_ran=len(found) - len(asked) if executed else 0)


def show(screen: Screen, hunts: Sequence[Hunt]) -> None:
    """A row for each computer; those that raised no event come first.

    Shows nothing where no organisation could be asked.
    """
    asked = [hunt for hunt in hunts if hunt.error is None]
    if not asked:
        return
    words = {True: "yes", False: "no", None: "-"}
    rows = [
        (
            hunt.tenant or "-",
            one.computer.hostname,
            one.computer.guid,
            words[one.raised_event],
            words[one.ran],
            one.link,
        )
        for hunt in asked
        for one in hunt.found
    ]
    first = 0 if any(hunt.tenant for hunt in asked) else 1
    columns = ("TENANT", "COMPUTER", "GUID", "EVENT", "EXECUTED", "CONSOLE")
    screen.table(columns[first:], [row[first:] for row in rows])
    silent = sum(one.is_finding for hunt in asked for one in hunt.found)
    of_events = f", {silent} of them raised no event"
    if not all(is_sha256(hunt.what) for hunt in asked):
        of_events = "; whether they raised events is asked for a SHA-256 only"
    screen.note(f"{len(rows)} {'has' if len(rows) == 1 else 'have'} seen it{of_events}")
    if left := sum(hunt.not_asked_ran for hunt in asked):
        screen.note(
            f"{how_many(left, 'computer')} not asked whether the file ran there: {MAX_TRAJECTORIES} are the most"
        )
    if not all(hunt.is_complete for hunt in asked):
        screen.note(hunting.INCOMPLETE)


def show_failed(screen: Screen, hunts: Sequence[Hunt]) -> None:
    """The organisations that could not be asked, in one line."""
    failed = [hunt.tenant or "-" for hunt in hunts if hunt.error is not None]
    if failed:
        of_all = how_many(len(hunts), "organisation")
        screen.note(f"{len(failed)} of {of_all} could not be asked: {', '.join(failed)}")
