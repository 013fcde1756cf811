"""What the commands of `amp-respond` do, between `cli`, which parses, and `cisco`, which knows the cloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond.actions import is_so
from fluent_plugin_amp.amp_respond.doing import Doing, checked_reason, do
from fluent_plugin_amp.amp_respond.entries import ALREADY, DONE, IN_DOUBT, UNKNOWN, Action, Entry, Json, Ref
from fluent_plugin_amp.amp_respond.errors import EntryUnknown, GroupWouldBeEmpty, NothingToUndo
from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.amp_respond.select import find_computers, names
from fluent_plugin_amp.cisco import computers, file_lists, isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.errors import IsolationForbidden
from fluent_plugin_amp.cisco.file_lists import sha256_of
from fluent_plugin_amp.cisco.streams import group_names
from fluent_plugin_amp.errors import EXIT_OK
from fluent_plugin_amp.text import one_line

Rows = list[tuple[str, str]]


# --- isolate, release ----------------------------------------------------------------------------


def isolate(
    session: Session,
    doing: Doing,
    kind: str,
    named: Sequence[str],
    file: Path | None,
    sha256: str | None = None,
    *,
    without_event: bool = False,
) -> int:
    """``kind``: isolate or release."""
    given = names(named, file)

    async def look(api: CiscoApi) -> list[Action]:
        found = await find_computers(api, given, sha256, without_event=without_event)
        doing.brakes.way(len(found), named=False)  # before a request for each of them
        if kind == "isolate":
            for one in found:
                if not await isolation.may_start(api, one.guid):
                    raise IsolationForbidden(f"the policy {one.policy or '(unknown)'} of {one} forbids it")
        return [Action(kind, Ref(one.guid, one.hostname)) for one in found]

    actions = session.with_api(look)
    return do(session, doing, actions, named=file is None and sha256 is None)


# --- block, unblock ------------------------------------------------------------------------------


def block(session: Session, doing: Doing, kind: str, hashes: Sequence[str], file: Path | None, list_name: str) -> int:
    """``kind``: block or unblock.  The type of the list is looked at first."""
    sha256s = dict.fromkeys(map(sha256_of, names(hashes, file)))
    found = session.with_api(lambda api: file_lists.find(api, list_name))
    within = Ref(found.guid, found.name, found.type)
    return do(session, doing, [Action(kind, sha256=sha256, list=within) for sha256 in sha256s], named=file is None)


def show_lists(session: Session, *, with_files: bool, as_json: bool) -> int:
    """The lists for blocking, the policies that use them, and the files on them."""

    async def look(api: CiscoApi) -> list[tuple[file_lists.FileList, file_lists.Content]]:
        return [(one, await file_lists.content(api, one.guid)) for one in await file_lists.file_lists(api)]

    found = session.with_api(look)
    if as_json:
        told = []
        for one, content in found:
            files = [{"sha256": each.sha256, "description": each.description} for each in content.files]
            shown: Json = {"guid": one.guid, "name": one.name, "type": one.type, "policies": list(content.policies)}
            told.append(shown | {"count": len(files)} | ({"files": files} if with_files else {}))
        session.screen.json(told)
        return EXIT_OK
    rows = []
    for one, content in found:
        policies = ", ".join(content.policies) or "no policy: it has no effect"
        rows.append((one.name, one.type, str(len(content.files)), policies, one.guid))
        rows += [("", each.sha256, "", each.description, "") for each in content.files if with_files]
    session.screen.table(("LIST", "TYPE", "FILES", "POLICIES", "GUID"), rows)
    return EXIT_OK


# --- move ----------------------------------------------------------------------------------------


def move(
    session: Session, doing: Doing, named: Sequence[str], file: Path | None, group: str, *, empty_group: bool
) -> int:
    """Into a group that is named in full; no group is left without computers by accident."""
    given = names(named, file)

    async def look(api: CiscoApi) -> list[Action]:
        groups = await group_names(api)
        to = groups.find(group)
        found = await find_computers(api, given)
        moving = [one for one in found if one.group_guid != to.id.lower()]
        if not empty_group:
            await _refuse_to_empty(api, moving, groups.name_of)
        for one in found:
            if one not in moving:
                session.screen.note(one_line(f"{one.hostname} is in {to.name} already"))
        from_ = {one.guid: Ref(one.group_guid, groups.name_of(one.group_guid)) for one in moving}
        to_ = Ref(to.id, to.name)
        return [
            Action("move", Ref(one.guid, one.hostname), from_group=from_[one.guid], to_group=to_) for one in moving
        ]

    actions = session.with_api(look)
    if not actions and given:
        return EXIT_OK
    return do(session, doing, actions, named=file is None)


async def _refuse_to_empty(api: CiscoApi, moving: Sequence[Computer], name_of: object) -> None:
    for guid, leaving in Counter(one.group_guid for one in moving).items():
        there = await computers.count_in_group(api, guid) if guid else None
        name = name_of(guid) if callable(name_of) else guid
        if there is None:
            raise GroupWouldBeEmpty(f"how many computers the group {name!r} has, the cloud does not tell")
        if there <= leaving:
            raise GroupWouldBeEmpty(f"the group {name!r} has {there} computers, and {leaving} of them would leave it")


# --- looking -------------------------------------------------------------------------------------


def show_status(session: Session, name: str, *, as_json: bool) -> int:
    """Isolation, group, policy, last seen of one computer."""

    async def look(api: CiscoApi) -> tuple[Computer, isolation.Isolation, str]:
        found = await computers.find(api, name)
        group = (await group_names(api)).name_of(found.group_guid)
        return found, await isolation.status(api, found.guid), group

    found, state, group = session.with_api(look)
    told: Json = {
        "computer": found.hostname,
        "connector_guid": found.guid,
        "isolation": state.status,
        "isolation_available": state.available,
        "comment": state.comment,
        "isolated_by": state.isolated_by,
        "group": group,
        "policy": found.policy,
        "operating_system": found.operating_system,
        "last_seen": found.last_seen,
    }
    if as_json:
        session.screen.json(told)
    else:
        rows = {key.replace("_", " "): str(value) for key, value in told.items() if value not in ("", True)}
        session.screen.data("".join(f"{label:<21}{one_line(value)}\n" for label, value in rows.items()))
    return EXIT_OK


def show_journal(session: Session, journal: Journal, since_s: float | None, *, as_json: bool) -> int:
    """The entries, the oldest first; those without an answer are `unknown`."""
    found, broken = journal.entries()
    if since_s is not None:
        start = (datetime.now(timezone.utc) - timedelta(seconds=since_s)).isoformat()
        found = [entry for entry in found if entry.at >= start]
    if as_json:
        session.screen.json([entry.as_json() for entry in found])
    else:
        rows = [
            (
                *(entry.id, entry.at[:19], str(entry.asked.get("by", "")), str(entry.action)),
                *(entry.outcome, entry.state or "-", str(entry.asked.get("reason", ""))),
            )
            for entry in found
        ]
        session.screen.table(("ENTRY", "ASKED", "BY", "ACTION", "OUTCOME", "STATE", "REASON"), rows)
    if broken:
        session.screen.note(f"{broken} lines of {journal.path} cannot be read")
    if unknown := [entry.id for entry in found if entry.outcome == UNKNOWN]:
        session.screen.note(
            f"no answer is written for {', '.join(unknown)}: look with status or lists whether it was done"
        )
    return EXIT_OK


# --- undo ----------------------------------------------------------------------------------------


def undo(session: Session, doing: Doing, id_: str) -> int:
    """Do the inverse of an entry that changed something, or may have.

    Raises EntryUnknown, NothingToUndo.
    """
    written = doing.journal.entries()[0]
    entry = next((one for one in written if one.id == id_), None)
    if entry is None:
        raise EntryUnknown(f"{doing.journal.path} has no entry {id_!r}")
    if entry.outcome not in (DONE, IN_DOUBT, UNKNOWN) or is_so(entry.action, entry.before):
        was_so = entry.outcome == ALREADY or is_so(entry.action, entry.before)
        why = "it was so already, by somebody else" if was_so else f"it was {entry.outcome}"
        raise NothingToUndo(f"entry {id_} changed nothing: {why}")
    later = [one for one in written[written.index(entry) + 1 :] if one.outcome == DONE and one.target == entry.target]
    if later:
        raise NothingToUndo(f"what entry {id_} changed was changed again at {later[-1].at} by entry {later[-1].id}")
    inverse = entry.action.inverse
    reason = doing.reason or checked_reason(f"undo of {id_}: {entry.asked.get('reason', '')}"[:300])
    if (entry.asked.get("tenant"), entry.asked.get("cloud")) != (doing.tenant, _cloud_name(session)):
        raise NothingToUndo(
            f"entry {id_} is of another organisation: cloud {entry.asked.get('cloud')}, "
            f"tenant {entry.asked.get('tenant') or '-'}"
        )
    session.with_api(lambda api: _check(api, entry, inverse))
    return do(session, replace(doing, reason=reason), [inverse], undoes=id_)


def _cloud_name(session: Session) -> str | None:
    cloud = session.access().cloud
    return cloud.name if cloud else None


async def _check(api: CiscoApi, entry: Entry, inverse: Action) -> None:
    """The thing is still there, of the kind it was, and where the entry put it."""
    if inverse.list is not None:
        file_lists.pick(await file_lists.file_lists(api), inverse.list.guid)
    if inverse.computer is None:
        return
    now = await computers.by_guid(api, inverse.computer.guid)
    if inverse.kind == "isolate" and not await isolation.may_start(api, now.guid):
        raise IsolationForbidden(f"the policy {now.policy or '(unknown)'} of {now} forbids it")
    if inverse.kind == "move":
        if inverse.from_group is None or inverse.to_group is None:
            raise NothingToUndo(f"entry {entry.id} does not say from where to where")
        if now.group_guid != inverse.from_group.guid.lower():
            raise NothingToUndo(f"{now.hostname} is not in {inverse.from_group.name} any more")
        (await group_names(api)).find(inverse.to_group.guid)
