"""The audit log of an organisation, read in windows (`windows`), each entry a record.

The cursor is kept in the state file.  It moves when every entry of a window is with a server, and is remembered as
delivered.  So a crash has the window read again, and of its entries those are sent again that no server had
acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fluent_plugin_amp.cisco import pieces
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.organisation.checkpoint import Kept
from fluent_plugin_amp.organisation.entries import body_of, moment_of, second_of
from fluent_plugin_amp.organisation.windows import DELAY_S, MOST_ENTRIES, Tally, Window, next_window
from fluent_plugin_amp.turns import Turns

if TYPE_CHECKING:
    from fluent_plugin_amp.cisco.api import CiscoApi
    from fluent_plugin_amp.cisco.listing import Listing

CURSOR = "delivered_to"
ASKED = "GET /v1/audit_logs"
READS_OF_ONE = 10
"""So often a window is read anew because its list moved meanwhile, or ended before all of it came."""


class Sink(Protocol):
    """Takes records; `pipeline.feed.Feed`."""

    async def put(self, body: bytes, *, received_at: float | None = None, perhaps_again: bool = False) -> None:
        """Take one."""

    async def finish(self) -> None:
        """Return when all are safe."""


class AuditLogs:
    """One organisation's audit log.

    Args:
        name: under which the cursor is kept.
        api: of the organisation.
        feed: where the entries go.
        kept: keeps the cursor.
        clock: seconds since the epoch.
    """

    def __init__(
        self, name: str, api: CiscoApi, feed: Sink, kept: Kept, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.delivered_to: int | None = None
        """Everything before is delivered, in seconds since the epoch; None: not known yet."""
        self.odd = 0
        """Entries without a time that can be read, each time they were read."""
        self.listing: Listing | None = None
        """None: a window is short."""
        self._name = name
        self._api = api
        self._feed = feed
        self._kept = kept
        self._clock = clock

    async def poll(self) -> None:
        """Deliver what has been added since the last round.  At the very first one: what happens from now on.

        Raises:
            PluginError: what the API gives; the next round begins with the same window.
        """
        if self.delivered_to is None:
            self.delivered_to = await self._load()
        while (window := next_window(self.delivered_to, self._clock())) is not None:
            self.odd += await deliver(self._api, window, self._feed)
            await self._keep(window.until)

    async def _load(self) -> int:
        kept = cursor_of(await self._kept.load_of(self._name))
        if kept is not None:
            return kept
        begin_at = int(self._clock()) - DELAY_S - 1  # so the first window can be read at once
        await self._keep(begin_at)
        return begin_at

    async def _keep(self, second: int) -> None:
        await self._kept.save(self._name, {CURSOR: b"%d" % second})
        self.delivered_to = second


def cursor_of(kept: Mapping[str, bytes]) -> int | None:
    """What is kept of an audit log: everything before this second is delivered; None: nothing that can be read."""
    cursor = kept.get(CURSOR, b"")
    return int(cursor) if cursor.isdigit() and len(cursor) <= 10 else None


async def deliver(api: CiscoApi, window: Window, feed: Sink) -> int:
    """Hand the window's entries to ``feed``, and wait until they are safe.

    Returns how many of them had no time that can be read.

    Raises:
        PluginError: what the API gives; entries may have been delivered.
    """
    odd = 0
    async for page in read(api, window):
        for entry in page:
            odd += entry.is_odd
            await feed.put(entry.body, received_at=float(entry.at), perhaps_again=True)
    await feed.finish()
    return odd


class Entry(NamedTuple):
    """An entry of a window, as it is delivered."""

    body: bytes
    at: int
    """Its second; of one without a time the end of what was asked for."""
    is_odd: bool
    """It has no time that can be read."""


async def read(api: CiscoApi, window: Window) -> AsyncIterator[list[Entry]]:
    """The window's entries, page by page; in parts, where it has too many.  A page may come again.

    Raises:
        PluginError: what the API gives.
    """
    parts = [window]
    turns = Turns()
    reads = 0
    while parts:
        part = parts.pop()
        reads += 1
        if reads > READS_OF_ONE:
            raise CloudAnswerNotUnderstood(f"{ASKED}: the list changed, or ended too early, each time it was read")
        tally = Tally()
        first, last = part.asked
        async for page in api.audit_log_pages(moment_of(first), moment_of(last)):
            if tally.moved(page.total):
                parts.append(part)
                break
            if (page.total or 0) > MOST_ENTRIES and (halves := part.halves()):
                parts += reversed(halves)
                reads = 0
                break
            tally.read += len(page.items)
            inside: list[Entry] = []
            for raw in page.items:
                entry = pieces.one_object(raw, ASKED)
                if part.has(second := second_of(entry)):
                    body = tally.take(*body_of(entry))
                    inside.append(Entry(body, part.until if second is None else second, second is None))
                await turns.rest()  # an entry may have thousands of values
            yield inside
        else:
            if tally.is_short:
                parts.append(part)
            else:
                reads = 0
