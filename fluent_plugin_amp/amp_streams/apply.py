"""Gives many organisations the streams of a fleet file: compares, then changes, each on its own.

::

    FLEET.yml ── read_fleet ──▶ Tenant ── compare ──▶ changes ── carry out ──▶ rows, credentials/, streams.d/

Per tenant: deletions first (they make room), then creations, then updates; a tenant's failure is its own.  What is
not in the file is deleted only with ``prune``, the twin of a wanted stream that is being rotated never.  A stream
whose credentials file is missing is reported: its password cannot be had again.

With ``rotate`` each stream of a tenant that was there before gets a twin (see `rotation`); with ``finish`` the twin
takes the stream's place, in the cloud and in the folder, once the old queue is empty.  The plugin goes on consuming
the old stream until then, under the same name, so that a state file knows what the twin has twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fluent_plugin_amp.admin.tenants import Tenant, WantedStream, label_of
from fluent_plugin_amp.amp_streams.plugin_files import PluginFiles
from fluent_plugin_amp.amp_streams.rotation import (
    Rotation,
    check_saved,
    count_waiting,
    create_twin,
    finish,
    refuse_unknown,
    twin_name,
)
from fluent_plugin_amp.cisco.answers import MAX_EVENT_STREAMS, EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.credentials import reserve
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable, EventStreamAmbiguous, EventStreamLimit
from fluent_plugin_amp.cisco.names import fold
from fluent_plugin_amp.cisco.streams import create_saved, event_type_names, group_names, update
from fluent_plugin_amp.errors import PluginError


@dataclass(frozen=True, slots=True)
class Row:
    """What happens, or happened, to one stream of one tenant."""

    tenant: str
    stream: str
    action: str
    """``create``, ``update``, ``delete``, ``keep``, ``leave`` (not in the file) or ``fail``; of a rotation:
    ``rotating`` (nothing done), ``twin`` (made), ``wait`` (for the old queue) or ``rotate`` (finished)."""
    detail: str = ""
    error: PluginError | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """The types and groups of a stream, as ids; None: all."""

    event_types: tuple[int, ...] | None
    group_guids: tuple[str, ...] | None

    def difference(self, stream: EventStream) -> str:
        """In words, what has to change; empty when nothing has to."""
        parts = []
        for kind, wanted, there in (
            ("event types", self.event_types, stream.event_types),
            ("groups", self.group_guids, stream.group_guids),
        ):
            if set(wanted or ()) != set(there or ()):
                parts.append(f"{kind}: {_count(there)} → {_count(wanted)}")
        return ", ".join(parts)


def _count(ids: Sequence[object] | None) -> str:
    return "all" if not ids else str(len(ids))


@dataclass(frozen=True, slots=True)
class Step:
    """One change to a tenant, or one stream to leave as it is."""

    action: str
    name: str
    detail: str = ""
    wanted: WantedStream | None = None
    filters: Filters | None = None
    there: EventStream | None = None
    rotation: Rotation | None = None
    """Of a wanted stream that is there, or its twin."""


def compare(
    wanted: Sequence[tuple[WantedStream, Filters]], there: Sequence[EventStream], *, prune: bool
) -> list[Step]:
    """The steps that are needed, deletions first.

    Raises EventStreamAmbiguous when two streams there have a wanted name, EventStreamLimit when the wanted ones
    do not fit beside those that stay.
    """
    steps: list[Step] = []
    taken: set[int] = set()
    names = {fold(stream.name) for stream, _ in wanted}
    for stream, filters in wanted:
        found = [each for each in there if fold(each.name) == fold(stream.name)]
        taken.update(each.id for each in found)
        twins = [each for each in there if fold(each.name) == fold(twin_name(stream.name))]
        twin = twins[0] if len(twins) == 1 and fold(twins[0].name) not in names else None
        if twin is not None:
            taken.add(twin.id)
        if len(found) > 1:
            ids = ", ".join(str(each.id) for each in found)
            raise EventStreamAmbiguous(
                f"{len(found)} event streams are called {stream.name!r} ({ids})",
                remedy="Delete the one that is not consumed, by its id.",
            )
        rotation = Rotation(found[0].name if found else stream.name, found[0] if found else None, twin)
        if twin is not None:
            steps.append(Step("rotating", twin.name, f"id {twin.id}", stream, filters, rotation=rotation))
        if not found and twin is not None:
            pass  # it only lacks the stream's name
        elif not found:
            types, groups = _count(filters.event_types), _count(filters.group_guids)
            steps.append(Step("create", stream.name, f"event types: {types}, groups: {groups}", stream, filters))
        elif difference := filters.difference(found[0]):
            steps.append(Step("update", stream.name, difference, stream, filters, found[0], rotation))
        else:
            steps.append(Step("keep", stream.name, "", stream, filters, found[0], rotation))
    for each in there:
        if each.id not in taken:
            detail = f"id {each.id}, not in the fleet file"
            steps.append(Step("delete" if prune else "leave", each.name, detail, there=each))
    after = sum(step.action != "delete" for step in steps)
    if after > MAX_EVENT_STREAMS and any(step.action == "create" for step in steps):
        left = ", ".join(repr(step.name) for step in steps if step.action == "leave")
        raise EventStreamLimit(
            f"{after} event streams would be needed, Cisco allows {MAX_EVENT_STREAMS}; not in the fleet file: {left}",
            remedy="Delete them, or let `amp-streams apply --prune` do it.",
        )
    order = ("delete", "create", "update", "keep", "rotating", "leave")
    return sorted(steps, key=lambda step: order.index(step.action))


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `apply`."""

    dry_run: bool = False
    prune: bool = False
    at_once: int = 8
    """How many tenants are worked on at a time."""
    rotate: bool = False
    """Make a twin, with a password of its own, of every stream that is there and has none."""
    finish: bool = False
    """Let every twin take its stream's place."""
    discard: bool = False
    """With ``finish``: though events wait in the old queue."""
    verify: bool = False
    """Try the saved credentials of every stream that is there."""


class Broker(Protocol):
    """What `apply` asks of the brokers; both raise PluginError.  ``proxy``: what the stream's entry says of it."""

    async def verify(self, path: Path, *, ca_file: str | None, proxy: object) -> None:
        """Make sure that the credentials in a file are good, and taken together."""

    async def count_waiting(self, queue: str, path: Path, *, ca_file: str | None, proxy: object) -> int:
        """How many events wait in a queue, asked for with the credentials in a file."""


async def apply(
    tenants: Sequence[Tenant],
    open_api: Callable[[Tenant], CiscoApi],
    files: PluginFiles,
    options: Options,
    broker: Broker,
    *,
    done: Callable[[Tenant, list[Row]], None],
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Give every tenant its streams; returns rows in the order of the file.

    Args:
        open_api: a client for a tenant.
        broker: asked with `Options.verify` and `Options.finish` only.
        done: told the rows of each tenant as it is finished.
        check: called before each step; what it raises is the failure of the steps that have not begun.
    """
    if not options.dry_run:
        files.prepare()
    limit = asyncio.Semaphore(options.at_once)

    async def one(tenant: Tenant) -> list[Row]:
        async with limit:
            rows = await _Work(tenant, open_api(tenant), files, options, broker, check).rows()
            done(tenant, rows)
            return rows

    # All are finished before a bug in one of them is raised: a cancelled creation would lose its password.
    results = await asyncio.gather(*map(one, tenants), return_exceptions=True)
    rows: list[Row] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        rows += result
    return rows


_HOW_TO_ROTATE = "amp-streams apply … --rotate {!r}"


class _Work:
    """One tenant."""

    def __init__(
        self,
        tenant: Tenant,
        api: CiscoApi,
        files: PluginFiles,
        options: Options,
        broker: Broker,
        check: Callable[[], None],
    ) -> None:
        self._tenant = tenant
        self._api = api
        self._files = files
        self._options = options
        self._broker = broker
        self._check = check

    async def rows(self) -> list[Row]:
        """Do everything; returns what was done, or failed."""
        try:
            self._check()
            steps = compare(await self._wanted(), await self._api.event_streams(), prune=self._options.prune)
        except PluginError as error:
            return [Row(self._tenant.name, "", "fail", str(error), error)]
        rows = [await self._row(step) for step in steps]
        if not self._options.dry_run:
            try:
                self._files.write_streams(self._tenant)
            except CredentialsFileUnusable as error:
                rows.append(Row(self._tenant.name, "", "fail", str(error), error))
        return rows

    async def _wanted(self) -> list[tuple[WantedStream, Filters]]:
        """The wanted streams with the ids that their names mean; asks for names only where there are any."""
        streams = self._tenant.streams
        types = await event_type_names(self._api) if any(stream.event_types for stream in streams) else None
        groups = await group_names(self._api) if any(stream.groups for stream in streams) else None
        return [
            (
                stream,
                Filters(
                    types.find_all(stream.event_types) if types is not None and stream.event_types else None,
                    groups.find_all(stream.groups) if groups is not None and stream.groups else None,
                ),
            )
            for stream in streams
        ]

    async def _row(self, step: Step) -> Row:
        try:
            self._check()
            action, detail = await self._do(step)
        except PluginError as error:
            return Row(self._tenant.name, step.name, "fail", str(error), error)
        return Row(self._tenant.name, step.name, action, detail)

    async def _do(self, step: Step) -> tuple[str, str]:
        """Do one step, and what the options ask for besides; returns what was done, and details."""
        wanted, there, rotation, detail = step.wanted, step.there, step.rotation, step.detail
        if not self._options.dry_run:
            detail = await self._take(step) or detail
        if step.action == "rotating":
            if self._options.finish and wanted is not None and rotation is not None and rotation.twin is not None:
                return await self._finish_rotation(wanted, rotation, rotation.twin)
            return step.action, f"{detail}: finish with `{_HOW_TO_ROTATE.format(self._tenant.name)} --finish`"
        if wanted is None or there is None or rotation is None:
            return step.action, detail
        found = self._find_credentials(wanted, there)
        if self._options.rotate and not found and rotation.twin is None:
            return await self._begin_rotation(wanted, rotation)
        if found is None and rotation.twin is None:
            raise self._lost(wanted, there)
        if self._options.verify and found is not None and not (found and self._options.dry_run):
            await self._broker.verify(self._files.credentials(wanted.label), **self._way(wanted))
        return step.action, ", ".join(filter(None, (detail, found)))

    def _find_credentials(self, wanted: WantedStream, there: EventStream) -> str | None:
        """Empty where a stream's credentials are where they belong, what was found instead, or None: nothing was."""
        if self._files.belongs_to(wanted.label, there):
            return ""
        dry_run = self._options.dry_run
        found = self._files.find(there) if dry_run else self._files.adopt(wanted.label, there)
        if found is None:
            return None
        return f"{found.name} {'would be' if dry_run else 'is now'} {self._files.credentials(wanted.label)}"

    def _lost(self, wanted: WantedStream, there: EventStream) -> CredentialsFileUnusable:
        path = self._files.credentials(wanted.label)
        return CredentialsFileUnusable(
            f"{wanted.name!r} ({there.id}) exists, but its credentials are not in {path}",
            remedy=f"Put its credentials file into {path.parent}, under any name. If the password is lost, make "
            f"a new one: `{_HOW_TO_ROTATE.format(self._tenant.name)}`, then the same with --finish --discard.",
        )

    async def _begin_rotation(self, wanted: WantedStream, rotation: Rotation) -> tuple[str, str]:
        path = self._files.rotating(wanted.label)
        if self._options.dry_run:
            return "twin", f"would be made, {path}"
        with reserve(path, replace=True) as file:
            self._files.set_aside(path)
            twin = await create_twin(self._api, rotation, file, "yaml", wanted.label)
        return "twin", f"id {twin.id}, {path}; when the old queue is empty, the same with --finish"

    async def _finish_rotation(self, wanted: WantedStream, rotation: Rotation, twin: EventStream) -> tuple[str, str]:
        """Let the twin take the stream's place, in cloud and folder, unless events wait in the old queue."""
        old, dry_run, path = rotation.old, self._options.dry_run, self._files.rotating(wanted.label)
        if dry_run:
            path = self._files.find(twin) or path
        else:
            self._files.adopt(wanted.label, twin, rotating=True)
        check_saved(rotation, path)
        if old is not None and not self._options.discard:
            way = self._way(wanted)
            waiting = await count_waiting(old, lambda queue: self._broker.count_waiting(queue, path, **way))
            if refuse_unknown(waiting) > 0:
                return "wait", f"events in the queue of id {old.id}: {waiting}; deliver them first, or give --discard"
        of = f"id {old.id}" if old is not None else "the one before"
        if dry_run:
            return "rotate", f"id {twin.id} would take the place of {of}"
        await finish(self._api, rotation)
        self._files.take_place(wanted.label)
        return "rotate", f"id {twin.id} has taken the place of {of}; reload the plugin"

    def _way(self, wanted: WantedStream) -> dict[str, Any]:
        """How the plugin will reach the stream's broker, as `Broker` takes it."""
        return {"ca_file": self._files.ca_file(self._tenant, wanted), "proxy": wanted.config.get("proxy")}

    async def _take(self, step: Step) -> str:
        """Do what a step says; returns details for the user."""
        match step:
            case Step(action="delete", there=EventStream() as there):
                await self._api.delete_event_stream(there.id)
                self._files.forget(f"{self._tenant.label}-{label_of(there.name)}", there)
            case Step(action="create", wanted=WantedStream() as wanted, filters=Filters() as filters):
                path = self._files.credentials(wanted.label)
                with reserve(path, replace=True) as file:
                    self._files.set_aside(path)
                    stream = await create_saved(
                        self._api,
                        step.name,
                        file,
                        label=wanted.label,
                        event_types=filters.event_types,
                        group_guids=filters.group_guids,
                    )
                return f"id {stream.id}, {path}"
            case Step(action="update", there=EventStream() as there, filters=Filters() as filters):
                types, guids = filters.event_types or (), filters.group_guids or ()
                await update(self._api, there, event_types=types, group_guids=guids)
        return ""
