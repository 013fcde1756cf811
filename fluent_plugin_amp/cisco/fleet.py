"""Many organisations brought to the streams that they are to have: compare, then change, each on its own.

::

    FLEET.yml ── read_fleet ──▶ Tenant ── compare ──▶ changes ── carry out ──▶ rows, credentials/, streams.d/

Per tenant: deletions first (they make room), then creations, then updates; a tenant's failure is its own.  What is
not in the file is deleted only with ``prune``.  A stream whose credentials file is missing is reported: its
password cannot be had again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluent_plugin_amp.cisco.answers import MAX_EVENT_STREAMS, EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.credentials import flow, read, reserve
from fluent_plugin_amp.cisco.names import fold
from fluent_plugin_amp.cisco.streams import create_saved, event_type_names, group_names, update
from fluent_plugin_amp.cisco.tenants import Tenant, WantedStream, label_of
from fluent_plugin_amp.errors import (
    CredentialsFileUnusable,
    EventStreamAmbiguous,
    EventStreamLimit,
    PluginError,
)


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be done, or was done, with one stream of one tenant."""

    tenant: str
    stream: str
    action: str
    """``create``, ``update``, ``delete``, ``keep``, ``leave`` (not in the file) or ``fail``."""
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
    """One thing to do to bring a tenant there."""

    action: str
    name: str
    detail: str = ""
    wanted: WantedStream | None = None
    filters: Filters | None = None
    there: EventStream | None = None


def compare(
    wanted: Sequence[tuple[WantedStream, Filters]], there: Sequence[EventStream], *, prune: bool
) -> list[Step]:
    """What has to be done, deletions first.

    Raises EventStreamAmbiguous when two streams there have a wanted name, EventStreamLimit when the wanted ones
    do not fit beside those that stay.
    """
    steps: list[Step] = []
    taken: set[int] = set()
    for stream, filters in wanted:
        found = [each for each in there if fold(each.name) == fold(stream.name)]
        taken.update(each.id for each in found)
        if len(found) > 1:
            ids = ", ".join(str(each.id) for each in found)
            raise EventStreamAmbiguous(
                f"{len(found)} event streams are called {stream.name!r} ({ids})",
                remedy="Delete the one that is not consumed, by its id.",
            )
        if not found:
            types, groups = _count(filters.event_types), _count(filters.group_guids)
            steps.append(Step("create", stream.name, f"event types: {types}, groups: {groups}", stream, filters))
        elif difference := filters.difference(found[0]):
            steps.append(Step("update", stream.name, difference, stream, filters, found[0]))
        else:
            steps.append(Step("keep", stream.name, "", stream, filters, found[0]))
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
    order = ("delete", "create", "update", "keep", "leave")
    return sorted(steps, key=lambda step: order.index(step.action))


class FleetFiles:
    """Where the results go: ``credentials/LABEL.yml`` and ``streams.d/TENANT.yml`` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._credentials = folder / "credentials"
        self._streams = folder / "streams.d"

    def prepare(self) -> None:
        """Make the folders; the one with the secrets for its owner only.  Raises CredentialsFileUnusable."""
        try:
            self._streams.mkdir(parents=True, exist_ok=True)
            self._credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise CredentialsFileUnusable(f"{exc.filename} cannot be made: {exc.strerror}") from exc

    def credentials(self, label: str) -> Path:
        """The credentials file of a stream."""
        return self._credentials / f"{label}.yml"

    def belongs_to(self, label: str, stream: EventStream) -> bool:
        """Whether the credentials of exactly this stream are there."""
        try:
            return read(self.credentials(label)).id == stream.id
        except CredentialsFileUnusable:
            return False

    def set_aside(self, label: str) -> None:
        """Keep a file that is about to be replaced, as ``LABEL.yml.old``: nobody knows what it still opens."""
        path = self.credentials(label)
        try:
            os.replace(path, path.with_name(f"{path.name}.old"))
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise CredentialsFileUnusable(f"{path} cannot be set aside: {exc.strerror}") from exc

    def forget(self, label: str, stream: EventStream) -> None:
        """Remove the credentials of a stream that was deleted."""
        if self.belongs_to(label, stream):
            with contextlib.suppress(OSError):
                self.credentials(label).unlink()

    def write_streams(self, tenant: Tenant) -> None:
        """Write what ``include: streams.d/*.yml`` takes: the tenant's streams that have credentials.

        The file is replaced atomically, and only when it changes.  It holds no secret.
        """
        entries: list[str] = []
        for stream in tenant.streams:
            if self.credentials(stream.label).exists():
                ca_file = tenant.cloud.ca_file
                entry = {
                    "name": stream.label,
                    "credentials_file": f"../credentials/{stream.label}.yml",
                    **({"tls": {"ca_file": ca_file}} if ca_file else {}),
                    **stream.config,
                }
                entries.append("- " + flow(entry))
        path = self._streams / f"{tenant.label}.yml"
        text = "\n".join(["# Made by `amp-streams apply`; it will be overwritten.", *entries]) + "\n"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.read_text("utf-8") == text:
                return
        try:
            if not entries:
                path.unlink(missing_ok=True)
                return
            with reserve(path, replace=True) as file:
                file.commit(text)
        except OSError as exc:
            raise CredentialsFileUnusable(f"{path} cannot be written: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class Options:
    """How `apply` goes about it."""

    dry_run: bool = False
    prune: bool = False
    at_once: int = 8
    """How many tenants are worked on at a time."""


async def apply(
    tenants: Sequence[Tenant],
    open_api: Callable[[Tenant], CiscoApi],
    files: FleetFiles,
    options: Options,
    *,
    done: Callable[[Tenant, list[Row]], None],
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Bring every tenant to its streams; rows in the order of the file.

    Args:
        open_api: a client for a tenant.
        done: told the rows of each tenant as it is finished.
        check: called before anything is begun; what it raises is the failure of what is not begun yet.
    """
    if not options.dry_run:
        files.prepare()
    limit = asyncio.Semaphore(options.at_once)

    async def one(tenant: Tenant) -> list[Row]:
        async with limit:
            rows = await _Work(tenant, open_api(tenant), files, options, check).rows()
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


class _Work:
    """One tenant."""

    def __init__(
        self, tenant: Tenant, api: CiscoApi, files: FleetFiles, options: Options, check: Callable[[], None]
    ) -> None:
        self._tenant = tenant
        self._api = api
        self._files = files
        self._options = options
        self._check = check

    async def rows(self) -> list[Row]:
        """Everything that was done, or failed."""
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
            detail = step.detail
            if not self._options.dry_run:
                detail = await self._take(step) or detail
            self._refuse_lost_password(step)
        except PluginError as error:
            return Row(self._tenant.name, step.name, "fail", str(error), error)
        return Row(self._tenant.name, step.name, step.action, detail)

    def _refuse_lost_password(self, step: Step) -> None:
        if step.there is None or step.wanted is None or self._files.belongs_to(step.wanted.label, step.there):
            return
        path = self._files.credentials(step.wanted.label)
        raise CredentialsFileUnusable(
            f"{step.name!r} ({step.there.id}) exists, but its credentials are not in {path}",
            remedy=f"Put its credentials file there. If the password is lost, make a new one: "
            f"`amp-streams rotate {step.there.id} --save {path}`, or delete the stream and apply again.",
        )

    async def _take(self, step: Step) -> str:
        """Do what a step says; returns what to tell of it besides."""
        match step:
            case Step(action="delete", there=EventStream() as there):
                await self._api.delete_event_stream(there.id)
                self._files.forget(f"{self._tenant.label}-{label_of(there.name)}", there)
            case Step(action="create", wanted=WantedStream() as wanted, filters=Filters() as filters):
                path = self._files.credentials(wanted.label)
                with reserve(path, replace=True) as file:
                    self._files.set_aside(wanted.label)
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
