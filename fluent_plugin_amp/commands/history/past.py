"""What `backfill` and `reconcile` read: the recorded events of a stream, or the audit log of an organisation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from fluent_plugin_amp.cisco.api import CiscoApi, Wait
from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.commands.history.around import MAX_WAIT_S, Around, open_api
from fluent_plugin_amp.commands.queue_depth import messages_ready
from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.config.organisations import OrganisationConfig
from fluent_plugin_amp.errors import PluginError, UsageError
from fluent_plugin_amp.history.batches import Batch, batches, find_stream
from fluent_plugin_amp.history.log_batches import log_batches
from fluent_plugin_amp.history.span import Bookmark
from fluent_plugin_amp.organisation.audit_logs import cursor_of
from fluent_plugin_amp.organisation.windows import DELAY_S, OVERLAP_S
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.run import lookup
from fluent_plugin_amp.run.build import make_locate
from fluent_plugin_amp.run.sources import make_source_transform
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.text import how_many

AUDIT_LOGS = "audit_logs"

Read = Callable[[Bookmark, "Store | None"], AsyncIterator[Batch]]
"""Given what is to be done, and the state file that tells what was delivered; None: nothing was."""

LIST_IS_CUT = "The cloud's list ends before all events that the cloud counts: the figures may be too low."
"""What the user hears of `Batch.is_cut`."""


class Past(Protocol):
    """What is read."""

    @property
    def kind(self) -> str:
        """``stream`` or ``source``."""

    @property
    def noun(self) -> str:
        """What one calls its records."""

    @property
    def name(self) -> str:
        """Under which the state file knows what was delivered."""

    @property
    def lock_words(self) -> tuple[str, ...]:
        """Tell it from others where there is no state file; none is a secret."""

    @property
    def transforms(self) -> StreamConfig | Transform:
        """What is done with its records, as `Delivering` takes it."""

    def open_api(self, around: Around) -> contextlib.AbstractAsyncContextManager[CiscoApi]:
        """The API of its organisation.  Raises UsageError, ConfigError."""

    async def reader(self, api: CiscoApi, wait: Wait) -> Read:
        """Reads it.  Raises PluginError: what the API gives."""

    async def count_waiting(self) -> int | None:
        """Records that `run` has yet to deliver; None: nobody can tell."""

    def note_on_missing(self, waiting: int | None) -> str:
        """What counts as missing and is not."""


@dataclass(frozen=True, slots=True)
class EventsPast:
    """The recorded events of a stream."""

    stream: StreamConfig
    kind: ClassVar[str] = "stream"
    noun: ClassVar[str] = "events"

    @property
    def name(self) -> str:
        """Part of `Past`."""
        return self.stream.name

    @property
    def lock_words(self) -> tuple[str, ...]:
        """Part of `Past`."""
        broker = self.stream.host if self.stream.url else ""  # the URL may hold a password
        return self.stream.name, broker, self.stream.queue or "", self.stream.event_stream_name or ""

    @property
    def transforms(self) -> StreamConfig:
        """Part of `Past`."""
        return self.stream

    def open_api(self, around: Around) -> contextlib.AbstractAsyncContextManager[CiscoApi]:
        """Part of `Past`."""
        return open_api(self.stream, around)

    async def reader(self, api: CiscoApi, wait: Wait) -> Read:
        """Part of `Past`.  Raises EventStreamNotFound: the cloud has no such stream."""
        event_stream = await find_stream(api, self.stream)
        return lambda leg, store: batches(api, event_stream, leg, self.stream, store, wait)

    async def count_waiting(self) -> int | None:
        """Part of `Past`: messages in the stream's queue; None where the cloud or the broker does not tell."""
        try:
            location = await make_locate(self.stream)()
        except PluginError:
            return None
        return await messages_ready(location.broker, location.queue)

    def note_on_missing(self, waiting: int | None) -> str:
        """Part of `Past`."""
        count = "" if waiting is None else f" ({how_many(waiting, 'message')} at the moment)"
        return (
            f"Events that still wait in the queue{count} count as missing until `run` has delivered them, and "
            "so do those delivered while the state file could not be written."
        )


@dataclass(frozen=True, slots=True)
class AuditLogPast:
    """The audit log of an organisation, as far as `run` does not read it anyway: see `end`."""

    config: Config
    organisation: OrganisationConfig
    kind: ClassVar[str] = "source"
    noun: ClassVar[str] = "entries"

    @property
    def name(self) -> str:
        """Part of `Past`."""
        return self.organisation.line(AUDIT_LOGS)

    @property
    def lock_words(self) -> tuple[str, ...]:
        """Part of `Past`."""
        return (self.name,)

    @property
    def transforms(self) -> Transform:
        """Part of `Past`."""
        tag = self.organisation.section(AUDIT_LOGS).tag
        return make_source_transform(AUDIT_LOGS, tag, self.organisation, self.config.transform)

    def end(self, now: float) -> int:
        """The second before which it is read: later entries may still appear, or `run` is going to read them.

        Raises:
            PluginError: the state file cannot be read.
        """
        end = int(now) - DELAY_S
        path = self.config.state.path
        if path is None or not path.exists():
            return end
        cursor = _cursor(path, self.name)
        return end if cursor is None else min(end, cursor - OVERLAP_S)

    def open_api(self, around: Around) -> contextlib.AbstractAsyncContextManager[CiscoApi]:
        """Part of `Past`."""
        organisation = self.organisation
        cloud = organisation.cloud.cloud
        assert cloud is not None
        options = {
            "wait": around.wait,
            "max_wait_s": MAX_WAIT_S,
            "budget": Budget(organisation.rate_limit_share),
        }
        return lookup.open_api(cloud, organisation.api.key, organisation.proxy, **options)

    async def reader(self, api: CiscoApi, wait: Wait) -> Read:
        """Part of `Past`."""
        return lambda leg, store: log_batches(api, self.name, leg, store)

    async def count_waiting(self) -> int | None:
        """Part of `Past`: what `run` is going to read is left out."""
        return None

    def note_on_missing(self, waiting: int | None) -> str:
        """Part of `Past`."""
        return "Entries that were delivered while the state file could not be written count as missing."


def _cursor(path: Path, line: str) -> int | None:
    store = Store.open(path)
    try:
        return cursor_of({name: data for (_, name), data in store.rows("kept", line).items()})
    finally:
        store.close()


def pick_audit_log(config: Config, name: str) -> AuditLogPast:
    """The audit log that ``name`` means: ``acme/audit_logs``, or ``audit_logs`` where there is one only.

    Raises:
        UsageError: there is none, or several.
    """
    logs = {each.line(AUDIT_LOGS): each for each in config.own_organisations if each.audit_logs is not None}
    there = f"there are: {', '.join(logs)}" if logs else "no organisation has `audit_logs`"
    if name == AUDIT_LOGS and len(logs) > 1:
        raise UsageError(f"whose audit log? {there[0].upper()}{there[1:]}", remedy="Name one with --source.")
    if name == AUDIT_LOGS and logs:
        (name,) = logs
    if name not in logs:
        raise UsageError(
            f"no audit log is named {name!r}; {there}",
            remedy="Of other sources the cloud tells how they are, not how they were.",
        )
    return AuditLogPast(config, logs[name])
