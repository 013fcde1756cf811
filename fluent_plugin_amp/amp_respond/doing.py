"""One command that changes something: its actions are shown and agreed to, done one by one, and told at the end."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond.actions import is_its_own
from fluent_plugin_amp.amp_respond.attempt import Attempt
from fluent_plugin_amp.amp_respond.brakes import Brakes
from fluent_plugin_amp.amp_respond.entries import REFUSED, Action, Json
from fluent_plugin_amp.amp_respond.errors import TooMany
from fluent_plugin_amp.amp_respond.journal import Journal, line
from fluent_plugin_amp.amp_respond.ready import Checks, Ready
from fluent_plugin_amp.amp_respond.results import Result, show, show_errors, show_json
from fluent_plugin_amp.amp_respond.waiting import wait_for_states
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.hunting import INCOMPLETE
from fluent_plugin_amp.commands.console import nobody_agreed
from fluent_plugin_amp.errors import Interrupted, PluginError
from fluent_plugin_amp.text import one_line

FINISHING = "stopping; a request that is under way is finished before"


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
    note(one_line(f"in the organisation {session.organisation(doing.tenant)}:"))  # others may have the same names
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
        nobody = nobody_agreed("their number", f"Give --count {count}.")
        typed = session.prompt(f"Type how many that are ({count} lines above)", nobody)
        if typed.strip() != str(count):
            raise TooMany(f"{count} are meant, {typed[:20]!r} was typed")
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
            show_json(session.screen, results, is_complete)
        code = show_errors(session.screen, results)
        if not is_complete:
            session.screen.note(INCOMPLETE)
        return code
    session.screen.refuse_unread()
    try:
        with session.interrupts.held_back(FINISHING):
            session.with_api(lambda api: _do_all(session, api, doing, results, checks, undoes))
            code = show(
                session.screen,
                results,
                as_json=doing.as_json,
                is_complete=is_complete,
                is_waited=doing.wait_s > 0,
            )
            session.interrupts.check()
    except KeyboardInterrupt:  # the second Ctrl-C
        raise Interrupted("interrupted", remedy="See `amp-respond journal` for what was done.") from None
    return code


async def _do_all(
    session: Session, api: CiscoApi, doing: Doing, results: Sequence[Result], checks: Checks, undoes: str
) -> None:
    api.before_act = session.interrupts.check
    left = [result for result in results if result.error is None]
    for result in left:
        result.outcome = "not tried"
    with doing.journal.writing():
        for result in results:
            if session.interrupts.noted is not None:  # what was done is told first
                return
            ready = Ready(api, result.action, checks, [one.action for one in left], session.interrupts.check)
            asked = _asked(session, api, doing, result.action, undoes)
            await Attempt(api, doing.journal, result, ready, asked).make()
            if result.error is not None and not is_its_own(result.error):
                break
            left = [one for one in left if one is not result]
    isolations = [one for one in results if one.entry and one.error is None and one.action.is_of_isolation]
    try:
        await wait_for_states(session.screen, api, doing.journal, isolations, doing.wait_s)
    except Interrupted:
        return
    except PluginError as error:  # what was done is told all the same
        for result in isolations:
            if not result.is_reached:
                result.error = result.error or error


def _asked(session: Session, api: CiscoApi, doing: Doing, action: Action, undoes: str) -> Json:
    """The line `asked` of a new entry: who asks for what, where, and why."""
    where = {"cloud": api.cloud.name, "client": client(session), "tenant": doing.tenant}
    asked = line(secrets.token_hex(6), "asked", by=who(os.environ), **where, **action.as_json(), reason=doing.reason)
    return asked | ({"undoes": undoes} if undoes else {})


def client(session: Session) -> str:
    """A digest of the API client id: whose organisation it is, as nothing in the API's answers tells that."""
    return hashlib.sha256(session.access().key.client_id.encode()).hexdigest()[:16]


def who(environ: Mapping[str, str]) -> str:
    """The user and the machine; with sudo, who asked for it, too."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    sudo = environ.get("SUDO_USER", "")
    asked_by = f"{sudo} as " if sudo and sudo != user and sudo.isprintable() else ""
    return f"{asked_by}{user}@{socket.gethostname()}"
