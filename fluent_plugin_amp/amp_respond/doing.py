"""One command that changes something: shown, agreed to, written down, done, and written down again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import secrets
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import click

from fluent_plugin_amp.admin.screen import Unprintable, error_json
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond.actions import Stand, is_its_own, is_so, outcome_of, perform
from fluent_plugin_amp.amp_respond.brakes import Brakes
from fluent_plugin_amp.amp_respond.entries import REFUSED, Action, Json
from fluent_plugin_amp.amp_respond.errors import JournalInUse, JournalUnusable, StateIsOld, TooMany
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.amp_respond.ready import LOOKS, Checks, Ready
from fluent_plugin_amp.cisco import isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.hunting import INCOMPLETE
from fluent_plugin_amp.commands.console import Unconfirmed, nobody_agreed, shared_code
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, Interrupted, PluginError, UsageError
from fluent_plugin_amp.text import one_line

MAX_REASON = 200
"""Characters: it is written down, and sent to the cloud behind a `signature`, which it leaves room for."""
FIRST_LOOK_S, LOOK_S = 2.0, 30.0
"""How long to wait before an isolation is looked at, at first and at most."""

SHOWN_OF_ID = 8
"""So many characters of a client id tell whose it is."""

JOURNAL_TAKEN = "another amp-respond has the journal"
FINISHING = "finishing the request that is under way, then stopping"


@dataclass(frozen=True, slots=True)
class Doing:
    """What the options of such a command say."""

    reason: str
    """Empty: that of the entry that is undone."""
    brakes: Brakes
    journal: Journal
    tenant: str | None
    as_json: bool
    wait_s: float = 0.0
    """How long to wait for an isolation."""


@dataclass(slots=True)
class Result:
    """What became of one action."""

    action: Action
    entry: str = ""
    outcome: str = ""
    state: str = ""
    error: PluginError | None = None

    @property
    def is_reached(self) -> bool:
        """An isolation is in the state that it was to come to."""
        return self.state == {"isolate": isolation.ISOLATED, "release": isolation.NOT_ISOLATED}.get(self.action.kind)

    def as_json(self) -> Json:
        """For ``--json``."""
        told = {"entry": self.entry or None, **self.action.as_json(), "outcome": self.outcome}
        return told | {"state": self.state or None, "error": error_json(self.error)}


def checked_reason(reason: str) -> str:
    """The reason, on one line.  Raises UsageError."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise UsageError(f"--reason: say why, in {MAX_REASON} characters at most")
    return reason


def agree(session: Session, doing: Doing, results: Sequence[Result], *, named: bool) -> bool:
    """Show what would be done, and what is refused beforehand; whether it is to be done.

    Raises:
        TooMany, Unconfirmed, UsageError
    """
    count, refused = len(results), sum(result.error is not None for result in results)
    way = doing.brakes.way(count, named=named)
    if refused == count and way != "show":  # there is nothing to ask about
        way = "do" if doing.brakes.yes else "show"
    note = session.screen.note
    note(one_line(f"in the organisation {_organisation(session, doing)}:"))  # others may have the same names
    for result in results:
        if result.error is None:
            note(one_line(f"{'would ' if way == 'show' else ''}{result.action}"))
        else:
            note(one_line(f"refused: {result.action}: {result.error}"))
    note(one_line(f"reason: {doing.reason}"))
    if way == "show":
        of_them = f", {refused} of them refused" if refused else ""
        number = f" --count {count}" if doing.brakes.needs_number(count) else ""
        hint = "" if doing.brakes.dry_run or refused == count else f"; --yes{number} does it"
        note(f"{count} in all{of_them}, nothing was done{hint}")
        return False
    if way == "ask":
        session.confirm("Do it?", yes=False)
    elif way == "type":
        nobody_typed = nobody_agreed("their number", f"Give --count {count}.")
        if sys.stdin is None:
            raise nobody_typed
        try:
            with session.screen.asking():
                typed = click.prompt(f"Type how many that are ({count} lines above)", err=True)
        except click.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise
            raise Unconfirmed if session.can_ask else nobody_typed from None
        if str(typed).strip() != str(count):
            raise TooMany(f"{count} are meant, {str(typed)[:20]!r} was typed")
    return True


def do(
    session: Session,
    doing: Doing,
    actions: Sequence[Action],
    checks: Checks,
    *,
    named: bool = True,
    refused: Mapping[Action, PluginError] | None = None,
    undoes: str = "",
    is_complete: bool = True,
) -> int:
    """Show, ask, and do them one after the other; the exit code.

    A computer or list that refuses stops nobody else; a key that may not, or a cloud that is away, ends it.  What is
    ``refused`` already is shown with the others, and only written down.  Whoever looked for the actions and did not
    find all of them (``is_complete``) is told so at the end, too.

    Where the reader leaves before the first request, none is sent (Unprintable).  Later nothing is stopped by that.
    """
    results = [Result(action, error=(refused or {}).get(action)) for action in actions]
    for result in results:
        result.outcome = "dry run" if result.error is None else REFUSED
    if not agree(session, doing, results, named=named):
        if doing.as_json:
            _show_json(session, results, is_complete)
        code = _show_errors(session, results)
        if not is_complete:
            session.screen.note(INCOMPLETE)
        return code
    session.screen.refuse_unread()
    with session.interrupts.held_back(FINISHING):
        session.with_api(lambda api: _do_all(session, api, doing, results, checks, undoes))
        code = _show(session, doing, results, is_complete)
        session.interrupts.check()
    return code


def _show(session: Session, doing: Doing, results: Sequence[Result], is_complete: bool) -> int:
    """What became of each, and what is still to come; the exit code."""
    with contextlib.suppress(Unprintable):  # `Screen.refuse_unread` tells it
        if doing.as_json:
            _show_json(session, results, is_complete)
        else:
            rows = [(r.entry or "-", str(r.action), r.outcome, r.state or "-") for r in results]
            session.screen.table(("ENTRY", "ACTION", "OUTCOME", "STATE"), rows)
    code = _show_errors(session, results)
    others = [result for result in results if result.state and not result.is_reached] if doing.wait_s else []
    pending = [result for result in others if result.state.startswith("pending")]
    if pending:
        session.screen.note(
            f"{len(pending)} pending: a computer hears of it when it is online; see amp-respond status"
        )
    for result in others:
        if result not in pending and result.action.computer:
            session.screen.note(one_line(f"{result.action.computer.name}: {result.state}, which was not asked for"))
    if not is_complete:
        session.screen.note(INCOMPLETE)
    return code or (EXIT_NO if others else EXIT_OK)


def _show_errors(session: Session, results: Sequence[Result]) -> int:
    """One of each kind, with what to do; the exit code of them all."""
    for error in {result.error.id: result.error for result in results if result.error}.values():
        session.screen.error(error, debug=False)
    return shared_code(result.error.exit_code for result in results if result.error)


def _show_json(session: Session, results: Sequence[Result], is_complete: bool) -> None:
    session.screen.json([result.as_json() | {"complete": is_complete} for result in results])


async def _do_all(
    session: Session, api: CiscoApi, doing: Doing, results: Sequence[Result], checks: Checks, undoes: str
) -> None:
    left = [result for result in results if result.error is None]
    for result in left:
        result.outcome = "not tried"
    with doing.journal.writing():
        for result in results:
            if session.interrupts.noted is not None:  # what was done is told first
                return
            await _do_one(session, api, doing, result, [one.action for one in left], checks, undoes)
            if result.error is not None and not is_its_own(result.error):
                break
            left = [one for one in left if one is not result]
    waiting = [r for r in results if r.entry and r.error is None and r.action.kind in ("isolate", "release")]
    try:
        await _watch(session, api, doing, waiting)
    except Interrupted:
        return
    except PluginError as error:  # what was done is told all the same
        for result in waiting:
            if not result.is_reached:
                result.error = result.error or error


async def _do_one(
    session: Session,
    api: CiscoApi,
    doing: Doing,
    result: Result,
    left: Sequence[Action],
    checks: Checks,
    undoes: str,
) -> None:
    """Looked at, written down, done, written down.  What cannot be looked at or written down is not done.

    What is refused beforehand is written down as such.
    """
    id_ = secrets.token_hex(6)
    asked: Json = {"entry": id_, "phase": "asked", "at": now(), "by": who(os.environ)}
    asked |= {"cloud": api.cloud.name, "client": client(session), "tenant": doing.tenant}
    asked |= result.action.as_json() | {"reason": doing.reason}
    asked |= {"undoes": undoes} if undoes else {}
    answered: Json = {"entry": id_, "phase": "answered"}
    action = result.action
    ready = Ready(api, action, checks, left)

    async def again() -> Stand:
        """What differs by now is written down; but what is so by now is left to the answer: we may have done it."""
        for _ in range(LOOKS):
            stand = await ready()
            if is_so(action, stand.state) or asked | ready.told == asked:
                return stand
            asked.update(ready.told)
            doing.journal.append({"entry": id_, "phase": "looked", "at": now(), **ready.told})
            if not ready.is_old:  # the disk was slow
                return stand
        raise StateIsOld(f"{action}: the disk is too slow")

    try:
        if result.error is not None:
            raise result.error
        stand = await ready()
        asked |= ready.told
        doing.journal.append(asked)
    except PluginError as error:
        asked |= ready.told
        result.error, result.outcome = error, outcome_of(error)
        if is_its_own(error):
            answered |= {"error": _brief(error), "at": now(), "outcome": result.outcome}
            try:
                doing.journal.append(asked, answered)
                result.entry = id_
            except JournalUnusable as unusable:
                result.error = unusable
        return
    result.entry = id_
    try:
        if ready.is_old:  # the disk was slow
            stand = await again()
        outcome = await perform(api, action, signature(asked), doing.reason, stand.state, again)
        result.outcome, result.state = outcome.result, outcome.state
        answered |= {"looked_up": True} if outcome.looked_up else {}
    except PluginError as error:
        result.error = error
        result.outcome = outcome_of(error)
        answered["error"] = _brief(error)
    answered |= {"at": now(), "outcome": result.outcome} | ({"state": result.state} if result.state else {})
    try:
        doing.journal.append(answered)
    except JournalUnusable as error:  # the entry has no answer, which is true
        if result.error is None or is_its_own(result.error):  # nothing else is done then
            result.error = error


def _brief(error: PluginError) -> Json:
    return {"id": error.id, "message": str(error)}


async def _watch(session: Session, api: CiscoApi, doing: Doing, results: Sequence[Result]) -> None:
    """Look at the states until all are as they were wanted, or the time is over; write down what was seen.

    Where another process has the journal, it is written at the next look; the state is told all the same.
    """
    deadline, pause_s = time.monotonic() + doing.wait_s, FIRST_LOOK_S
    unwritten: dict[str, Json] = {}
    while True:
        try:
            await _look_again(api, results, unwritten)
        finally:
            _write_down(doing.journal, results, unwritten)
        left_s = deadline - time.monotonic()
        pending = [result for result in results if not result.is_reached and result.error is None]
        if left_s <= 0 or not (pending or unwritten):
            break
        await session.screen.wait(min(pause_s, left_s), f"{len(pending)} pending" if pending else JOURNAL_TAKEN)
        pause_s = min(LOOK_S, pause_s * 2)
    if unwritten:
        session.screen.note(f"{JOURNAL_TAKEN}: the states are not in it")


async def _look_again(api: CiscoApi, results: Sequence[Result], unwritten: dict[str, Json]) -> None:
    """Ask for the state of each isolation that is not reached yet.

    The journal's line of each that changed goes into ``unwritten``, by entry.
    """
    for result in results:
        computer = result.action.computer
        if computer is None or result.is_reached or result.error is not None:
            continue
        try:
            state = (await isolation.status(api, computer.guid)).status
        except PluginError as error:
            if not is_its_own(error):
                raise
            result.error = error  # removed since; the others are still looked at
            continue
        if state != result.state:
            result.state = state
            unwritten[result.entry] = {"entry": result.entry, "phase": "seen", "at": now(), "state": state}


def _write_down(journal: Journal, results: Sequence[Result], unwritten: dict[str, Json]) -> None:
    """Write what was seen, and empty ``unwritten``, unless another process has the journal."""
    if not unwritten:
        return
    try:
        with journal.writing():
            journal.append(*unwritten.values())
    except JournalInUse:
        return
    except PluginError as error:
        for result in results:
            if result.entry in unwritten:
                result.error = result.error or error
    unwritten.clear()


def signature(asked: Mapping[str, Any]) -> str:
    """The start of the comment of an action, by its line `asked`: a comment that starts otherwise is somebody else's.

    It stands first, as a cloud may cut the end.
    """
    return f"[{asked.get('by')}, {asked.get('entry')}]"


def _organisation(session: Session, doing: Doing) -> str:
    """As far as anybody knows: nothing in the API's answers has its name."""
    access = session.access()
    of_key = f"client id {access.key.client_id[:SHOWN_OF_ID]}…, cloud {access.cloud.name if access.cloud else '-'}"
    return f"{doing.tenant} ({of_key})" if doing.tenant else f"of the {of_key}"


def client(session: Session) -> str:
    """A digest of the API client id: whose organisation it is, as nothing in the API's answers tells that."""
    return hashlib.sha256(session.access().key.client_id.encode()).hexdigest()[:16]


def now() -> str:
    """The time: ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def who(environ: Mapping[str, str]) -> str:
    """The user and the machine; with sudo, who asked for it, too."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    sudo = environ.get("SUDO_USER", "")
    asked_by = f"{sudo} as " if sudo and sudo != user and sudo.isprintable() else ""
    return f"{asked_by}{user}@{socket.gethostname()}"
