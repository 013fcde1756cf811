"""The command `amp-respond undo`: the inverse of an entry, where it still takes back what the entry did.

All is asked twice: before it is shown, and right before the request, when nobody else writes the journal.  The policy
is asked once, as for an isolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond.actions import Stand, is_so, look
from fluent_plugin_amp.amp_respond.comments import COMMENTED, MAX_REASON, checked_reason, is_ours, signature
from fluent_plugin_amp.amp_respond.doing import Doing, client, do
from fluent_plugin_amp.amp_respond.entries import ALREADY, DONE, IN_DOUBT, UNKNOWN, Action, Entry
from fluent_plugin_amp.amp_respond.errors import EntryUnknown, GroupWouldBeEmpty, NothingToUndo
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.amp_respond.ready import Checks
from fluent_plugin_amp.amp_respond.refusals import refuse_another_group, refuse_another_list, refuse_to_empty
from fluent_plugin_amp.cisco import computers, isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.names import is_called


def undo(session: Session, doing: Doing, id_: str) -> int:
    """Do the inverse of an entry that changed something, or may have.

    Raises EntryUnknown, NothingToUndo.
    """
    entry = undoable(doing.journal, id_)
    _refuse_another_organisation(session, doing, entry)
    inverse = entry.action.inverse
    reason = doing.reason or checked_reason(f"undo of {id_}: {entry.asked.get('reason', '')}"[:MAX_REASON])

    async def check_lists(api: CiscoApi, action: Action, left: Sequence[Action]) -> None:
        await _refuse_groups(api, doing.journal, entry, action)

    async def check(api: CiscoApi, action: Action, now: Stand) -> None:
        undoable(doing.journal, id_)
        await refuse_another_list(api, action, now)
        await _refuse_what_changed(api, entry, action, now)

    checks = Checks(check, check_lists if inverse.kind == "move" else None)

    async def check_first(api: CiscoApi) -> None:
        await check(api, inverse, await look(api, inverse))
        if inverse.kind == "isolate" and inverse.computer is not None:  # asked last, a slow cloud makes the rest old
            await isolation.refuse_forbidden(api, await computers.by_guid(api, inverse.computer.guid))
        if checks.lists is not None:
            await checks.lists(api, inverse, [inverse])

    session.with_api(check_first)
    return do(session, replace(doing, reason=reason), [inverse], checks, undoes=id_)


def undoable(journal: Journal, id_: str) -> Entry:
    """The entry, which changed something, or may have, and no later one changed the same again."""
    written = journal.entries()[0]
    entry = next((one for one in written if one.id == id_), None)
    if entry is None:
        raise EntryUnknown(f"{journal.path} has no entry {id_!r}")
    if not _may_have_changed(entry):
        was_so = entry.outcome == ALREADY or is_so(entry.action, entry.before)
        why = "it was so already: by somebody else, or by an earlier entry" if was_so else f"it was {entry.outcome}"
        raise NothingToUndo(f"entry {id_} changed nothing: {why}")
    later = [one for one in written[written.index(entry) + 1 :] if _changed_again(one, entry)]
    if later:
        perhaps = "" if later[-1].outcome == DONE else ", perhaps,"
        raise NothingToUndo(
            f"what entry {id_} changed was changed again{perhaps} at {later[-1].at} by entry {later[-1].id}"
        )
    return entry


def _may_have_changed(entry: Entry) -> bool:
    return entry.outcome in (DONE, IN_DOUBT, UNKNOWN) and not is_so(entry.action, entry.before)


def _changed_again(later: Entry, entry: Entry) -> bool:
    """But an undo of the same entry, of which nobody knows whether it was done, can be repeated."""
    is_repeated = later.asked.get("undoes") == entry.id and later.outcome != DONE
    return later.target == entry.target and _may_have_changed(later) and not is_repeated


def _refuse_another_organisation(session: Session, doing: Doing, entry: Entry) -> None:
    """The same client id is of the same organisation, whether it was named as a tenant or not."""
    cloud, asked = session.access().cloud, entry.asked
    is_same_key, is_same_cloud = asked.get("client") == client(session), asked.get("cloud") == (cloud and cloud.name)
    if not is_same_cloud or not (is_same_key or asked.get("tenant") == doing.tenant):
        raise NothingToUndo(
            f"entry {entry.id} is of another organisation: cloud {asked.get('cloud')}, "
            f"tenant {asked.get('tenant') or '-'}"
        )
    if doing.tenant is None and not is_same_key:
        raise NothingToUndo(
            f"entry {entry.id} was made with another API key, which may be of another organisation",
            remedy="Take the key of that organisation; or give the command that is meant, as `amp-respond release`.",
        )


async def _refuse_what_changed(api: CiscoApi, entry: Entry, inverse: Action, now: Stand) -> None:
    """The computer is still there, has its name, and is where the entry put it; and nobody else did it anew since.

    The comment tells who did it: it starts with the entry's signature, or is the file's description of before.
    Others may name the entry in theirs.
    """
    ours = is_ours(entry.action, now.comment, signature(entry.asked))
    if entry.action.kind in COMMENTED and not is_so(inverse, now.state) and not ours:
        raise NothingToUndo(f"it is so by somebody else now, who said: {now.comment or '(nothing)'}")
    if inverse.computer is None:
        return
    computer = now.computer or await computers.by_guid(api, inverse.computer.guid)
    if not is_called(computer.hostname, inverse.computer.name):
        raise NothingToUndo(f"{inverse.computer.name} ({computer.guid}) is called {computer.hostname!r} now")
    if inverse.kind == "move":
        if inverse.from_group is None or inverse.to_group is None:
            raise NothingToUndo(f"entry {entry.id} does not say from where to where")
        if now.state != inverse.from_group.guid.lower():
            raise NothingToUndo(f"{computer.hostname} is not in {inverse.from_group.name} any more")


async def _refuse_groups(api: CiscoApi, journal: Journal, entry: Entry, inverse: Action) -> None:
    """The group of before is still there, by its name, and the other one is left empty only where it was."""
    await refuse_another_group(api, inverse)
    if entry.asked.get("group_was_empty") is True:
        return
    try:
        await refuse_to_empty(api, inverse, [inverse], journal)
    except GroupWouldBeEmpty as error:
        remedy = "If it is meant, give `amp-respond move` with --empty-group."
        raise GroupWouldBeEmpty(str(error), remedy=remedy) from error
