"""The command `amp-respond vulnerable`: which programs are, and on which computers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.amp_respond.entries import Json
from fluent_plugin_amp.cisco import answers, computers
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer, computer
from fluent_plugin_amp.cisco.file_lists import checked_sha256
from fluent_plugin_amp.cisco.listing import Listing, guid_of
from fluent_plugin_amp.text import how_many

PAGE = 50
"""An entry lists up to a thousand computers: a page of 500 entries would be larger than an answer may be."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is known to be vulnerable."""

    application: str
    version: str
    sha256: str
    cves: tuple[str, ...]
    cvss: float
    """The highest."""
    count: int
    """Computers that have it."""
    computers: tuple[Computer, ...]
    """The last thousand of them at most."""

    def as_json(self) -> Json:
        """For ``--json``."""
        return {
            "application": self.application,
            "version": self.version,
            "sha256": self.sha256,
            "cves": list(self.cves),
            "cvss": self.cvss,
            "computers_total_count": self.count,
            "computers": [{"connector_guid": one.guid, "hostname": one.hostname} for one in self.computers],
        }


async def programs(api: CiscoApi, name: str | None, sha256: str | None) -> list[Program]:
    """All of them; or those on a computer, or of a file.  Raises ComputerNotFound, ComputerAmbiguous, UsageError."""
    wanted = checked_sha256(sha256) if sha256 is not None else None
    there = await computers.find(api, name) if name is not None else None
    found = []
    for item in await Listing(api, "/v1/vulnerabilities", _key_of, limit=PAGE).whole():
        one = program(item)
        if wanted is not None and one.sha256 != wanted:
            continue
        if there is not None and not await _is_on(api, one, there.guid):
            continue
        found.append(one)
    return sorted(found, key=lambda one: (-one.cvss, one.application.casefold(), one.version))


def show(screen: Screen, found: Sequence[Program]) -> None:
    """A row for each, with the first computers that have it."""
    if not found:
        screen.note(how_many(0, "vulnerable program"))
        return
    rows = [
        (
            *(one.application, one.version, f"{one.cvss:g}", str(len(one.cves)), str(one.count)),
            ", ".join(each.hostname for each in one.computers[:4]) + (", …" if one.count > 4 else ""),
            one.sha256,
        )
        for one in found
    ]
    screen.table(("PROGRAM", "VERSION", "CVSS", "CVES", "COMPUTERS", "ON", "SHA256"), rows)


async def _is_on(api: CiscoApi, one: Program, guid: str) -> bool:
    if any(each.guid == guid for each in one.computers):
        return True
    if one.count <= len(one.computers) or not one.sha256:
        return False
    listing = Listing(api, f"/v1/vulnerabilities/{one.sha256}/computers", guid_of("connector_guid"))
    async for item in listing.items():
        if computer(item).guid == guid:
            return True
    listing.refuse_if_cut()
    return False


def _key_of(item: Mapping[str, Any]) -> str:
    one = program(item)
    return f"{one.sha256} {one.application} {one.version}"


def program(item: Mapping[str, Any]) -> Program:
    """An entry of ``/v1/vulnerabilities``; what is missing is empty."""
    file = item.get("file")
    identity = file.get("identity") if isinstance(file, dict) else None
    sha256 = answers.text(identity.get("sha256")).lower() if isinstance(identity, dict) else ""
    cves = [one for one in _list(item.get("cves")) if isinstance(one, dict)]
    scores = [one["cvss"] for one in cves if type(one.get("cvss")) in (int, float)]
    listed = tuple(computer(one) for one in _list(item.get("computers")) if isinstance(one, dict))
    count = item.get("computers_total_count")
    return Program(
        answers.text(item.get("application")),
        answers.text(item.get("version")),
        sha256 if sha256.isalnum() else "",
        tuple(answers.text(one.get("id")) for one in cves),
        float(max(scores, default=0)),
        count if type(count) is int else len(listed),
        listed,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
