"""The record of a hunt.

Fields that events have, too, have the same names and places: what masks them in events masks them here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.hunting import HISTORY, MAX_EVENTS, Seen, Told, computer_link, file_link
from fluent_plugin_amp.organisation.hunt_queue import Noted

MAX_COMPUTERS = 1000
"""Listed in one record; all are counted."""


def silent_of(seen: Seen, told: Told, noted: Noted) -> list[Computer]:
    """The computers that have seen the file and raised no event for it, by host name.

    The one whose event asked has raised one, whether the cloud lists that event yet or not.
    """
    asked = str(noted.event.get("computer", {}).get("connector_guid", "")).lower()
    silent = [one for one in seen.computers if one.guid not in told.guids and one.guid != asked]
    return sorted(silent, key=lambda one: (one.hostname.casefold(), one.guid))


def record_of(
    organisation: str,
    noted: Noted,
    seen: Seen,
    told: Told,
    now: float,
    console: str,
    hides: Callable[[str], bool] = lambda field: False,
) -> dict[str, Any]:
    """What is sent of one hunt.

    Args:
        organisation: its label.
        noted: the hash, and the event that asked.
        seen: who has seen it.
        told: who raised an event for it.
        now: seconds since the epoch.
        console: host of the console, for links.
        hides: whether a field is obfuscated: then no link has its value.
    """
    silent = silent_of(seen, told, noted)
    sha256 = noted.sha256
    is_hash_shown = not hides("file.identity.sha256")
    is_linked = is_hash_shown and not hides("computers[].connector_guid")
    record = {
        "hunt_id": hashlib.sha256(f"{organisation} {sha256} {noted.asked_at}".encode()).hexdigest()[:16],
        "organisation": organisation,
        "priority": "high" if silent else "low",
        "asked_at": _moment(noted.asked_at),
        "hunted_at": _moment(now),
        "file": {**noted.event.get("file", {}), "identity": {"sha256": sha256}},
        "event": noted.event.get("event", {}),
        "computer": noted.event.get("computer", {}),
        "computers": [
            _described(one)
            | ({"links": {"trajectory": computer_link(console, one.guid, sha256)}} if is_linked else {})
            for one in silent[:MAX_COMPUTERS]
        ],
        "computers_seen": len(seen.computers),
        "computers_silent": len(silent),
        "is_complete": not (limits := limits_of(seen, told, len(silent))),
        "limits": limits,
    }
    return record | ({"links": {"file_trajectory": file_link(console, sha256)}} if is_hash_shown else {})


def limits_of(seen: Seen, told: Told, silent: int) -> list[str]:
    """Why there may be more computers than the record lists, or fewer; nothing: it is complete."""
    limits = []
    if not seen.is_complete:
        limits.append(f"the cloud searches its newest {HISTORY} entries, or told a part: computers may be missing")
    if not told.is_complete:
        limits.append(f"only a part of its events was read, {MAX_EVENTS} at most: a computer may have raised another")
    if silent > MAX_COMPUTERS:
        limits.append(f"{MAX_COMPUTERS} of {silent} computers are listed")
    return limits


def _described(one: Computer) -> dict[str, Any]:
    fields: Sequence[tuple[str, str]] = (
        ("connector_guid", one.guid),
        ("hostname", one.hostname),
        ("operating_system", one.operating_system),
        ("policy", one.policy),
        ("isolation", one.isolation),
        ("last_seen", one.last_seen),
    )
    return {name: value for name, value in fields if value}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
