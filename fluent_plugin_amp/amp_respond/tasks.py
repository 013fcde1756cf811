"""What the commands of `amp-respond` do, between `cli`, which parses, and `cisco`, which knows the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond.actions import Stand, is_its_own
from fluent_plugin_amp.amp_respond.doing import Doing, do
from fluent_plugin_amp.amp_respond.entries import UNKNOWN, Action, Json, Ref
from fluent_plugin_amp.amp_respond.errors import ChangedMeanwhile, GroupWouldBeEmpty
from fluent_plugin_amp.amp_respond.journal import Journal, before_now
from fluent_plugin_amp.amp_respond.ready import Checks
from fluent_plugin_amp.amp_respond.refusals import (
    refuse_another_group,
    refuse_another_list,
    refuse_renamed,
    refuse_to_empty,
)
from fluent_plugin_amp.amp_respond.select import find_computers, names, who_saw
from fluent_plugin_amp.cisco import computers, file_lists, isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.file_lists import checked_sha256
from fluent_plugin_amp.cisco.hunting import INCOMPLETE
from fluent_plugin_amp.cisco.streams import group_names
from fluent_plugin_amp.errors import EXIT_OK, PluginError
from fluent_plugin_amp.text import how_many, one_line

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
    """``kind``: isolate or release.  A computer that cannot be isolated is told as refused, and stops no other."""
    given = names(named, file)
    doing.brakes.refuse_more(len(given))  # before requests for each of them
    refused: dict[Action, PluginError] = {}
    is_complete = True

    async def choose(api: CiscoApi) -> list[Action]:
        nonlocal is_complete
        found, others, actions = await find_computers(api, given), list[Computer](), list[Action]()
        if sha256 is not None:
            seen = await who_saw(api, sha256, without_event=without_event)
            there = {one.guid for one in found}
            others = [one for one in seen.computers if one.guid not in there]
            is_complete = seen.is_complete
            if not is_complete:
                session.screen.note(INCOMPLETE)
        doing.brakes.way(len(found) + len(others), named=False)  # before a request for each of them
        asks_each = len(found) + len(others) <= doing.brakes.max  # more are only shown
        for one in (*found, *others):
            error: PluginError | None = None
            try:
                if asks_each and one in others:  # its own name is shown
                    one = await computers.by_guid(api, one.guid)
                if asks_each and kind == "isolate":
                    await isolation.refuse_forbidden(api, one)
            except PluginError as exc:
                if not is_its_own(exc):
                    raise
                error = exc
            actions.append(Action(kind, Ref(one.guid, one.hostname)))
            if error is not None:
                refused[actions[-1]] = error
        return actions

    actions = session.with_api(choose)
    return do(
        session,
        doing,
        actions,
        Checks(refuse_renamed),
        named=file is None and sha256 is None,
        refused=refused,
        is_complete=is_complete,
    )


# --- block, unblock ------------------------------------------------------------------------------


def block(session: Session, doing: Doing, kind: str, hashes: Sequence[str], file: Path | None, list_name: str) -> int:
    """``kind``: block or unblock.  The type of the list is looked at first, and again before each request."""
    sha256s = dict.fromkeys(map(checked_sha256, names(hashes, file)))
    found = session.with_api(lambda api: file_lists.find(api, list_name))
    within = Ref(found.guid, found.name, found.type)
    actions = [Action(kind, sha256=sha256, list=within) for sha256 in sha256s]
    return do(session, doing, actions, Checks(refuse_another_list), named=file is None)


def show_lists(session: Session, *, with_files: bool, as_json: bool) -> int:
    """The lists for blocking, the policies that use them, and the files on them."""

    async def look_at(api: CiscoApi) -> list[tuple[file_lists.FileList, file_lists.Content]]:
        return [(one, await file_lists.content(api, one.guid)) for one in await file_lists.file_lists(api)]

    found = session.with_api(look_at)
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
    """Into a group that is named in full; no group is left without computers by accident.

    A group that would be keeps its computers, which are told as refused; those of other groups are moved.
    """
    given = names(named, file)
    doing.brakes.refuse_more(len(given))  # before requests for each of them
    refused: dict[Action, PluginError] = {}

    async def check_lists(api: CiscoApi, action: Action, left: Sequence[Action]) -> None:
        await refuse_another_group(api, action)
        if not empty_group:
            await refuse_to_empty(api, action, left, doing.journal)

    async def check(api: CiscoApi, action: Action, now: Stand) -> None:
        if action.from_group is not None and now.state != action.from_group.guid:
            raise ChangedMeanwhile(f"{action}: the computer is not in {action.from_group.name} any more")
        await refuse_renamed(api, action, now)

    async def choose(api: CiscoApi) -> list[Action]:
        groups = await computers.groups(api)
        to = groups.find_exactly(group)
        moving = []
        for one in await find_computers(api, given):
            if one.group_guid == to.id.lower():
                session.screen.note(one_line(f"{one.hostname} is in {to.name} already"))
                continue
            from_ = Ref(one.group_guid, groups.name_of(one.group_guid))
            moving.append(Action("move", Ref(one.guid, one.hostname), from_group=from_, to_group=Ref(to.id, to.name)))
        for left in {} if empty_group else dict.fromkeys(one.from_group for one in moving):
            leaving = [one for one in moving if one.from_group == left]
            try:
                await refuse_to_empty(api, leaving[0], leaving, doing.journal)
            except GroupWouldBeEmpty as error:
                refused.update(dict.fromkeys(leaving, error))
        return moving

    moving = session.with_api(choose)
    if not moving and given:
        if doing.as_json:
            session.screen.json([])
        return EXIT_OK
    return do(session, doing, moving, Checks(check, check_lists), named=file is None, refused=refused)


# --- looking -------------------------------------------------------------------------------------


def show_status(session: Session, name: str, *, as_json: bool) -> int:
    """Isolation, group, policy, last seen of one computer."""

    async def look_at(api: CiscoApi) -> tuple[Computer, isolation.Isolation, str]:
        found = await computers.find(api, name)
        group = (await group_names(api)).name_of(found.group_guid)
        return found, await isolation.status(api, found.guid), group

    found, state, group = session.with_api(look_at)
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
        start = before_now(timedelta(seconds=since_s))
        found = [entry for entry in found if entry.at >= start]
    if as_json:
        session.screen.json([entry.as_json() for entry in found])
    else:
        rows = [
            (
                *(entry.id, f"{entry.at[:19]}Z", str(entry.asked.get("by", "")), str(entry.action)),
                *(entry.outcome, entry.state or "-", str(entry.asked.get("reason", ""))),
            )
            for entry in found
        ]
        session.screen.table(("ENTRY", "ASKED", "BY", "ACTION", "OUTCOME", "STATE", "REASON"), rows)
    if broken:
        session.screen.note(f"cannot be read: {how_many(broken, 'line')} of {journal.path}")
    if unknown := [entry.id for entry in found if entry.outcome == UNKNOWN]:
        session.screen.note(
            f"no answer is written for {', '.join(unknown)}: look with status or lists whether it was done"
        )
    return EXIT_OK
