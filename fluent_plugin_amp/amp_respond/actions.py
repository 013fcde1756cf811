"""Does an action at Cisco's cloud, once, and says what became of it.

How it stands is looked at before the request: what is so already is not asked for, and nobody's to undo.

A lost answer, or a proxy's, is looked up.  Only where the cloud shows that nothing was done, and is not still at it,
is the action asked once more; a refusal of that second try does not say that the first one was not done.

409 of an isolation or a list, and 404 of what is to go, can say that somebody else was faster, which is success, too:
a look tells whether it is so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from fluent_plugin_amp.amp_respond.comments import COMMENTED, comment, is_ours
from fluent_plugin_amp.amp_respond.entries import ALREADY, DONE, IN_DOUBT, NOT_DONE, REFUSED, Action
from fluent_plugin_amp.cisco import computers, file_lists, isolation
from fluent_plugin_amp.cisco.api import CiscoApi, NotTaken
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.errors import (
    ActionInDoubt,
    CloudCertificateRefused,
    CloudCredentialsRefused,
    CloudProxyRefused,
    CloudReadOnlyKey,
    CloudRefused,
    ComputerNotFound,
    FileListNotFound,
    IsolationConflict,
    IsolationForbidden,
)
from fluent_plugin_amp.errors import PluginError, RefusedError


@dataclass(frozen=True, slots=True)
class Outcome:
    """An action is as it was wanted."""

    result: str
    """`DONE` or `ALREADY`."""
    looked_up: bool = False
    """The answer was lost; what the cloud shows says that it was done."""
    state: str = ""
    """Of an isolation, right afterwards where it was looked at."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How it stands with what an action changes."""

    state: str
    """The status of an isolation; `LISTED` or `NOT_LISTED`; of a computer to move, the GUID of its group."""
    comment: str = ""
    """Of the isolation or its end, or of the file on the list: who asked for it, and why."""
    computer: Computer | None = None
    """As it describes itself; None: not asked."""


Again = Callable[[], Awaitable[Stand]]
"""How it stands now, and that it may be done; it waits for the rate limit, and raises where it must not be done."""
TRIES = 5
"""Of what the cloud does not take."""

LISTED, NOT_LISTED = "listed", "not listed"


async def look(api: CiscoApi, action: Action, *, at_computer: bool = False) -> Stand:
    """How it stands now.  Raises ComputerNotFound, FileListNotFound.

    ``at_computer``: the computer of an isolation is asked, too, and at once: one after the other, what a slow cloud
    said first would be old.
    """
    if action.computer is None:
        # The list is read for each file, though one reading could answer for all of a command: where a colleague
        # blocks one of them meanwhile, undo would take that back.  25 files on a list of 5000 take 250 requests.
        file = await file_lists.listed(api, _guid(action), action.sha256)
        return Stand(LISTED, file.description) if file else Stand(NOT_LISTED)
    if action.kind == "move":
        computer = await computers.by_guid(api, action.computer.guid)
        return Stand(computer.group_guid, computer=computer)
    guid = action.computer.guid
    if not at_computer:
        isolated = await isolation.status(api, guid)
        return Stand(isolated.status, isolated.comment)
    status = asyncio.ensure_future(isolation.status(api, guid))
    itself = asyncio.ensure_future(computers.by_guid(api, guid))
    await asyncio.gather(status, itself, return_exceptions=True)  # both are over before one of them is told as failed
    return Stand(status.result().status, status.result().comment, itself.result())


def is_so(action: Action, state: str) -> bool:
    """In this `Stand.state` nothing is left to do for the action."""
    if action.kind == "move":
        return action.to_group is not None and state == action.to_group.guid.lower()
    return state in _WANTED[action.kind]


_WANTED = {
    "isolate": isolation.STARTED,
    "release": isolation.STOPPED,
    "block": (LISTED,),
    "unblock": (NOT_LISTED,),
}


async def perform(api: CiscoApi, action: Action, signature: str, reason: str, before: str, again: Again) -> Outcome:
    """Do it, unless it is so ``before`` (a `Stand.state`).

    ``signature`` and ``reason`` go to the cloud where it takes a comment; a file goes back with its description.
    Each further try is made ready ``again``, as others do not wait meanwhile.

    Raises:
        ActionInDoubt: it was sent, and nothing shows that it was done.
        PluginError: it was not done. IsolationForbidden, IsolationConflict, ComputerNotFound and FileListNotFound
            say why.
    """
    text = comment(action, signature, reason)
    try:
        return await _until_taken(api, action, text, before, again)
    except ActionInDoubt as error:
        doubt = error
    if (found := await _looked_up(api, action, signature, doubt)) is not None:
        return found
    if doubt.late:
        raise doubt
    try:
        outcome = await _unless_so(api, action, text, (await again()).state)
        if outcome.result == DONE:
            return outcome
    except ActionInDoubt as second:
        doubt = second
    except (PluginError, NotTaken):
        pass  # this one was not done, but the first one may be: the cloud was slow with it
    if (found := await _looked_up(api, action, signature, doubt)) is not None:
        return found
    raise doubt


async def _until_taken(api: CiscoApi, action: Action, comment: str, state: str, again: Again) -> Outcome:
    """Do it.  What the cloud did not take, as its rate limit was used up, is tried `TRIES` times in all."""
    tries = 1
    while True:
        try:
            return await _unless_so(api, action, comment, state)
        except NotTaken as not_taken:
            if tries == TRIES:
                raise not_taken.error from None
        tries += 1
        state = (await again()).state


async def _unless_so(api: CiscoApi, action: Action, comment: str, state: str) -> Outcome:
    return _outcome(action, ALREADY, state) if is_so(action, state) else await _once(api, action, comment)


async def _once(api: CiscoApi, action: Action, comment: str) -> Outcome:
    try:
        await _send(api, action, comment)
    except CloudRefused as error:
        if error.status in _ALREADY[action.kind]:
            state = (await look(api, action)).state  # 409 has other reasons, too, and a gateway says 404
            if is_so(action, state):
                return _outcome(action, ALREADY, state)
        raise _explained(action, error) from error
    return Outcome(DONE)


async def _looked_up(api: CiscoApi, action: Action, signature: str, doubt: ActionInDoubt) -> Outcome | None:
    """What the cloud shows after a lost answer; None: that nothing was done.

    `ALREADY` where somebody else was faster: what is `COMMENTED` has another comment than ours then.
    """
    try:
        now = await look(api, action)
    except PluginError:  # a refusal, too, is one of the look
        raise doubt from None
    if not is_so(action, now.state):
        return None
    if action.kind in COMMENTED and not is_ours(action, now.comment, signature):
        return _outcome(action, ALREADY, now.state)
    return replace(_outcome(action, DONE, now.state), looked_up=True)


def _outcome(action: Action, result: str, state: str) -> Outcome:
    return Outcome(result, state=state if action.is_of_isolation else "")


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
    if action.is_of_isolation and error.status == 409:
        return IsolationConflict(str(error))
    if error.status == 404 and 404 not in _ALREADY[action.kind]:  # a look would have said that it is not there
        return FileListNotFound(str(error)) if action.computer is None else ComputerNotFound(str(error))
    return error


_ON_THE_WAY = (CloudProxyRefused, CloudCertificateRefused)
"""Refusals that are not the cloud's: it never heard of the request."""


def outcome_of(error: PluginError) -> str:
    """What became of an action that ended with an error."""
    if isinstance(error, ActionInDoubt):
        return IN_DOUBT
    return REFUSED if isinstance(error, RefusedError) and not isinstance(error, _ON_THE_WAY) else NOT_DONE


def is_its_own(error: PluginError) -> bool:
    """The refusal is about this one; others may go well."""
    return outcome_of(error) == REFUSED and not isinstance(error, (CloudReadOnlyKey, CloudCredentialsRefused))
