"""Does an action at Cisco's cloud, once, and says what became of it.

"Already" is success: 409 of an isolation or a list, 404 of what is to go.  A lost answer is looked up; only where the
cloud shows that nothing was done, and is not still at it, is the action asked once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from fluent_plugin_amp.amp_respond.entries import ALREADY, DONE, Action
from fluent_plugin_amp.cisco import computers, file_lists, isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import (
    ActionInDoubt,
    CloudRefused,
    ComputerNotFound,
    FileListNotFound,
    IsolationConflict,
    IsolationForbidden,
)
from fluent_plugin_amp.errors import PluginError, UnavailableError


@dataclass(frozen=True, slots=True)
class Outcome:
    """An action is as it was wanted."""

    result: str
    """`DONE` or `ALREADY`."""
    looked_up: bool = False
    """The answer was lost; what the cloud shows says that it was done."""
    state: str = ""
    """Of an isolation, right afterwards where it was looked at."""


async def perform(api: CiscoApi, action: Action, comment: str) -> Outcome:
    """Do it; ``comment`` goes to the cloud where the cloud takes one.

    Raises:
        ActionInDoubt: it was sent, and nothing shows that it was done.
        PluginError: it was not done. IsolationForbidden, IsolationConflict, ComputerNotFound and FileListNotFound
            say why.
    """
    try:
        return await _once(api, action, comment)
    except ActionInDoubt as error:
        doubt = error
    if (outcome := await _looked_up(api, action, comment, doubt)) is not None:
        return outcome
    if doubt.late:
        raise doubt
    try:
        outcome = await _once(api, action, comment)
    except ActionInDoubt as again:
        if (outcome := await _looked_up(api, action, comment, again)) is not None:
            return outcome
        raise
    except (UnavailableError, IsolationConflict):
        raise doubt from None  # the cloud may have been slow with the first one
    # What is so already, the first one did.
    return await _whose(api, action, comment, outcome, doubt) if outcome.result == ALREADY else outcome


async def _once(api: CiscoApi, action: Action, comment: str) -> Outcome:
    try:
        await _send(api, action, comment)
    except CloudRefused as error:
        if error.status in _ALREADY[action.kind]:
            if action.kind not in ("isolate", "release"):
                return Outcome(ALREADY)
            is_so, state = await look(api, action)  # 409 has other reasons, too
            if is_so:
                return Outcome(ALREADY, state=state)
        raise _explained(action, error) from error
    return Outcome(DONE)


async def _looked_up(api: CiscoApi, action: Action, comment: str, doubt: ActionInDoubt) -> Outcome | None:
    try:
        is_so, state = await look(api, action)
    except PluginError:  # a refusal, too, is one of the look
        raise doubt from None
    return await _whose(api, action, comment, Outcome(ALREADY, state=state), doubt) if is_so else None


async def _whose(api: CiscoApi, action: Action, comment: str, outcome: Outcome, doubt: ActionInDoubt) -> Outcome:
    """`DONE` where it was this action; an isolation with another comment is somebody else's, and not to be undone."""
    try:
        is_other = (
            action.kind == "isolate"
            and action.computer is not None
            and (await isolation.status(api, action.computer.guid)).comment != comment
        )
    except PluginError:
        raise doubt from None
    return outcome if is_other else replace(outcome, result=DONE, looked_up=True)


async def look(api: CiscoApi, action: Action) -> tuple[bool, str]:
    """Whether it is as the action wants it; and the state of an isolation."""
    if action.computer is None:
        is_listed = await file_lists.has(api, _guid(action), action.sha256)
        return is_listed is (action.kind == "block"), ""
    if action.kind == "move":
        group = (await computers.by_guid(api, action.computer.guid)).group_guid
        return action.to_group is not None and group == action.to_group.guid.lower(), ""
    state = (await isolation.status(api, action.computer.guid)).status
    return state in (isolation.STARTED if action.kind == "isolate" else isolation.STOPPED), state


def _send(api: CiscoApi, action: Action, comment: str) -> Awaitable[None]:
    guid = _guid(action)
    send: dict[str, Callable[[], Awaitable[None]]] = {
        "isolate": lambda: isolation.start(api, guid, comment),
        "release": lambda: isolation.stop(api, guid, comment),
        "block": lambda: file_lists.add(api, guid, action.sha256, comment),
        "unblock": lambda: file_lists.remove(api, guid, action.sha256),
        "move": lambda: computers.move(api, guid, action.to_group.guid if action.to_group else ""),
    }
    return send[action.kind]()


_ALREADY = {"isolate": (409,), "release": (404, 409), "block": (409,), "unblock": (404,), "move": ()}
"""Answers that can mean that it is so already."""


def _guid(action: Action) -> str:
    """Of what the request goes to."""
    ref = action.computer or action.list
    if ref is None:
        raise ValueError(f"{action.kind} of nothing")
    return ref.guid


def _explained(action: Action, error: CloudRefused) -> PluginError:
    if action.kind == "isolate" and error.status == 405:
        return IsolationForbidden(str(error))
    if action.kind in ("isolate", "release") and error.status == 409:
        return IsolationConflict(str(error))
    if error.status == 404:
        return FileListNotFound(str(error)) if action.computer is None else ComputerNotFound(str(error))
    return error
