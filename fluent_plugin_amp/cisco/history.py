"""The recorded events of an organisation, as one sequence: `walk` joined with the API, within the rate limit.

An organisation's tools share one rate limit, so the last of it is left to others: before it is used up, the reader
waits until the count starts anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypedDict

import msgspec

from fluent_plugin_amp.cisco.answers import EventStream, RateLimit
from fluent_plugin_amp.cisco.api import CiscoApi, Query, Wait
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.mended import decode_mended
from fluent_plugin_amp.cisco.pieces import NOT_AS_DOCUMENTED
from fluent_plugin_amp.cisco.walk import Entry, PagesDoNotGoOn, Walk
from fluent_plugin_amp.numbers import float_of

RESERVE = 20
"""One request in so many is left to others."""
USUAL_WINDOW_S = 3600.0
"""In which Cisco counts requests; the answers tell only what is left of it.  No wait between requests is longer."""
MAX_REQUESTS = 100_000
"""A walk of more pages than that, some fifty million events, is refused."""
NO_TIME = -1
"""In place of the second of an event that does not say when it happened."""
TRIES = 3
"""To find the same total before and after another one."""

Json = dict[str, Any]


class _Computer(TypedDict, total=False):
    connector_guid: Any


class _Said(TypedDict, total=False):
    """What is decoded of an event: by this it is known, and its time.  All else is left as it came."""

    id: Any
    timestamp: Any
    timestamp_nanoseconds: Any
    date: Any
    event_type_id: Any
    connector_guid: Any
    detection_id: Any
    computer: _Computer | list[msgspec.Raw] | str | float | bool | None


_decode = msgspec.json.Decoder(_Said, float_hook=float_of).decode


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as the API gave it."""

    body: bytes
    """JSON: equal in content to the message of the event stream, not in its bytes."""
    event: Json
    """The fields of it by which it is known, and its time; no others."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one request brought."""

    entries: list[Entry[Recorded]]
    """New ones, later ones first."""
    is_sorted: bool
    """The cloud kept its order so far."""
    offset: int
    """Where the reader stands."""
    left: int | None
    """Events that are still to be read, about; None: the cloud does not tell."""
    left_s: float | None
    """How long that will take, about, waits for the rate limit included."""
    is_cut: bool = False
    """The list has ended before as many events as the cloud says it has."""


def filters_of(stream: EventStream, since: int) -> list[tuple[str, str]]:
    """What makes ``GET /v1/events`` give what the stream carries, from ``since`` (seconds since the epoch) on.

    A second early, since nothing says whether ``start_date`` is within what it asks for.
    """
    start = datetime.fromtimestamp(since - 1, timezone.utc)
    return [
        ("start_date", start.isoformat()),
        *(("event_type[]", str(type_id)) for type_id in stream.event_types or ()),
        *(("group_guid[]", guid) for guid in stream.group_guids or ()),
    ]


async def total_between(api: CiscoApi, stream: EventStream, since: int, until: int) -> int | None:
    """How many events the cloud says it has from one second on and before another, by its totals alone.

    It tells those from a time on only, so this is a difference, and nothing may happen meanwhile.  Where the window
    begins and ends is not known to the second: so `filters_of` is.

    Returns:
        None: the cloud does not tell, or events happen too fast.
    """

    async def total(second: int) -> int | None:
        return (await api.event_page(filters_of(stream, second), offset=0, limit=1)).total

    later = await total(until)
    for _ in range(TRIES):
        all_of_it, before, later = await total(since), later, await total(until)
        if all_of_it is None or later is None:
            return None
        if later == before:
            return all_of_it - later
    return None


def pause_s(limit: RateLimit | None) -> float:
    """How long to wait before the next request, so that a `RESERVE`-th of the rate limit is left to others."""
    if limit is None or limit.remaining is None or limit.reset_s is None:
        return 0.0
    return min(limit.reset_s, USUAL_WINDOW_S) if limit.remaining <= (limit.limit or 0) // RESERVE else 0.0


def time_left_s(requests: int, each_s: float, limit: RateLimit | None) -> float:
    """How long so many requests take at the speed seen, with the waits for the rate limit that will be needed."""
    working_s = requests * each_s
    if limit is None or limit.remaining is None or limit.reset_s is None or not limit.limit:
        return working_s
    reserve = limit.limit // RESERVE
    beyond = requests - max(0, limit.remaining - reserve)
    if beyond <= 0:
        return working_s
    windows, rest = divmod(beyond - 1, limit.limit - reserve)
    return max(working_s, limit.reset_s + windows * USUAL_WINDOW_S + (rest + 1) * each_s)


async def read(
    api: CiscoApi, filters: Query, walk: Walk[Recorded], second_of: Callable[[Json, int], int], wait: Wait
) -> AsyncIterator[Stretch]:
    """Every event that the walk finds, stretch by stretch; empty ones too, since time passes.

    Args:
        api: of the organisation.
        filters: of ``GET /v1/events``.
        walk: where it begins.
        second_of: when an event happened, or the second given beside it, if it does not say.  Then it stands with the
            event before it, at the top of a page with the one behind it.
        wait: shows why it waits.

    Raises:
        CloudAnswerNotUnderstood: the pages repeat themselves, or have no end; and what `CiscoApi` raises.
    """
    began = time.monotonic()
    requests = 0
    while (ask := walk.ask) is not None:
        if seconds := pause_s(api.rate_limit):
            paused_at = time.monotonic()
            await wait(seconds, "the rate limit is nearly used up")
            began += time.monotonic() - paused_at
        page = await api.event_page(filters, offset=ask.offset, limit=ask.limit)
        requests += 1
        if requests > MAX_REQUESTS:
            raise CloudAnswerNotUnderstood(f"GET /v1/events: no end after {MAX_REQUESTS} pages")
        entries = list(_entries(page.events, walk.ceiling, second_of))
        try:
            new = walk.take(entries, is_last=page.is_last)
        except PagesDoNotGoOn as exc:
            raise CloudAnswerNotUnderstood(f"GET /v1/events: {exc}") from exc
        each_s = (time.monotonic() - began) / requests
        left = None if page.total is None else max(0, page.total - ask.offset - len(page.events))
        is_cut = walk.ask is None and bool(left)
        left = left if walk.ask is not None else 0
        left_s = None if left is None else time_left_s(-(-left // walk.step), each_s, api.rate_limit)
        yield Stretch(new, walk.is_sorted, walk.offset, left, left_s, is_cut)


def _entries(
    events: list[msgspec.Raw], second: int, second_of: Callable[[Json, int], int]
) -> Iterator[Entry[Recorded]]:
    """Of a page; ``second`` is that of events without a time where no event of the page has one."""
    try:
        said: list[Any] = [decode_mended(_decode, bytes(raw)) for raw in events]
    except NOT_AS_DOCUMENTED:
        raise CloudAnswerNotUnderstood("GET /v1/events: data is not a list of objects") from None
    seconds = [second_of(event, NO_TIME) for event in said]
    second = next((each for each in seconds if each != NO_TIME), second)
    for raw, event, its_second in zip(events, said, seconds, strict=True):
        second = second if its_second == NO_TIME else its_second
        body = bytes(raw)
        yield Entry(second, hashlib.blake2b(body, digest_size=16).digest(), Recorded(body, event))
