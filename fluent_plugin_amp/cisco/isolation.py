"""Isolation: a computer that is cut off from its network, but for Cisco's cloud.

It takes its time: ``pending_start`` until the computer hears of it, for as long as it is offline.  The code that
ends an isolation at the computer itself comes with most answers; it is read nowhere, so it is shown nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.errors import CloudRefused, ComputerNotFound, IsolationForbidden

NOT_ISOLATED, PENDING_START, ISOLATED, PENDING_STOP = "not_isolated", "pending_start", "isolated", "pending_stop"
STARTED = (PENDING_START, ISOLATED)
STOPPED = (PENDING_STOP, NOT_ISOLATED)


@dataclass(frozen=True, slots=True)
class Isolation:
    """How it stands with the isolation of a computer."""

    status: str
    """One of the four above, or what the cloud says instead."""
    available: bool = True
    """The policy and the connector allow it."""
    comment: str = ""
    """Of the last start or stop; it stays, that of a stop too."""
    isolated_by: str = ""


def isolation(item: Mapping[str, Any]) -> Isolation:
    """``data`` of ``/v1/computers/{guid}/isolation``, without its unlock code."""
    return Isolation(
        status=answers.text(item.get("status")) or "unknown",
        available=item.get("available") is not False,
        comment=answers.text(item.get("comment")),
        isolated_by=answers.text(item.get("isolated_by")),
    )


async def may_start(api: CiscoApi, guid: str) -> bool:
    """Whether the policy of the computer lets it be isolated."""
    try:
        answer = await api.may(_path(guid))
    except CloudRefused as error:
        if error.status == 405:
            return False
        raise _unknown(guid, error) from error
    allowed = next((value for name, value in answer.headers if name.lower() == "allow"), None)
    return allowed is None or "PUT" in allowed.upper()


async def refuse_forbidden(api: CiscoApi, computer: Computer) -> None:
    """Raises IsolationForbidden where `may_start` says no."""
    if not await may_start(api, computer.guid):
        raise IsolationForbidden(f"the policy {computer.policy or '(unknown)'} of {computer.hostname} forbids it")


async def status(api: CiscoApi, guid: str) -> Isolation:
    """How it stands.  Raises ComputerNotFound."""
    try:
        return isolation(answers.one(await api.envelope(_path(guid)), f"GET {_path(guid)}"))
    except CloudRefused as error:
        raise _unknown(guid, error) from error


async def start(api: CiscoApi, guid: str, comment: str) -> None:
    """Isolate a computer.  Raises ActionInDoubt, CloudRefused (409: it is isolated, or on its way)."""
    await api.act("PUT", _path(guid), {"comment": comment})


async def stop(api: CiscoApi, guid: str, comment: str) -> None:
    """Release a computer.  Raises ActionInDoubt, CloudRefused (409, 404: it is not isolated)."""
    await api.act("DELETE", _path(guid), {"comment": comment})


def _path(guid: str) -> str:
    return f"/v1/computers/{guid}/isolation"


def _unknown(guid: str, error: CloudRefused) -> CloudRefused | ComputerNotFound:
    return ComputerNotFound(f"no computer has the connector GUID {guid}") if error.status == 404 else error
