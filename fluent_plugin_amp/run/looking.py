"""A look at one hour of a stream: what the cloud has of it, compared with the state file; what is missing, delivered.

The streams of one API key take turns, and `AT_ONCE` keys are asked at a time.  All looks together keep to one pace
(`completeness.pace`), so that events are delivered as fast as without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi, Wait
from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.cisco.history import total_between
from fluent_plugin_amp.cisco.walk import PAGE
from fluent_plugin_amp.completeness.journal import Journal
from fluent_plugin_amp.completeness.pace import SharedPace
from fluent_plugin_amp.completeness.presence import Presence
from fluent_plugin_amp.completeness.record import HOUR_S, Figures, moment
from fluent_plugin_amp.completeness.schedule import AGAIN_CLEAN_S, Due
from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.config.organisations import OrganisationConfig
from fluent_plugin_amp.history.batches import batches, cloud_of, find_stream
from fluent_plugin_amp.history.hours import Hours, known_since
from fluent_plugin_amp.history.span import Span, legs
from fluent_plugin_amp.observe.snapshot import StreamSnapshot
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.run.lookup import open_api
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.tls import http_context

SHARE: float = OrganisationConfig.model_fields["rate_limit_share"].default
"""Of the rate limit of a key that no organisation has.  One that another process polls counts: each has its share."""
AT_ONCE = 32
"""Looks.  Each has a connection and the state file open, three descriptors, and there may be hundreds of keys."""
MAX_WAIT_S = 2 * 3600.0
"""For the rate limit, at one request: longer than its window."""
Stands = Callable[[], StreamSnapshot | None]
"""How a stream stands at the moment; None: nobody knows."""
WORTH_A_TOTAL = PAGE
"""Events of an hour.  With fewer, another look takes no more requests than the totals do."""


class ListCut(Exception):
    """The cloud's list of an hour ended before all events that the cloud counts; it may be whole another time."""


async def wait_for_the_limit(seconds: float, why: str) -> None:
    """A `Wait` that tells nobody."""
    await asyncio.sleep(seconds)


class Looks:
    """Looks at hours.

    Args:
        config: with ``completeness`` and ``state.path``.
        conductor: delivers what is missing.
        budgets: what each key may spend of its rate limit, by API and client id; shared with all that use the keys.
        clock: seconds since the epoch.
        wait: for the rate limit.
        rest: between answers, in seconds.
    """

    def __init__(
        self,
        config: Config,
        conductor: Conductor,
        budgets: dict[tuple[str, str], Budget],
        clock: Callable[[], float],
        *,
        wait: Wait = wait_for_the_limit,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        assert config.completeness is not None
        assert config.state.path is not None
        self.requests: Counter[str] = Counter()
        """By stream."""
        self._repairs = config.completeness.repair
        self._path: Path = config.state.path
        self._config = config
        self._conductor = conductor
        self._budgets = budgets
        self._shares = {
            (each.cloud.cloud.api_url, each.api.client_id): each.rate_limit_share
            for each in config.organisations
            if each.cloud.cloud is not None
        }
        self._clock = clock
        self._wait = wait
        self._rest = rest
        self._pace = SharedPace()
        self._turns: dict[str, asyncio.Lock] = {}
        """By client id."""
        self._places = asyncio.Semaphore(AT_ONCE)
        self._trusted: ssl.SSLContext | None = None
        """Held from one look to the next, which shares it: to read the system's CAs takes 24 ms."""

    async def look(
        self, stream: StreamConfig, at: Due, journal: Journal, stands: Stands, seen: Presence
    ) -> Figures | None:
        """Ask the cloud about one hour, compare, and deliver what is missing where that is asked for.

        Args:
            stream: with ``api``, and a cloud that is known.
            at: the hour.
            journal: what is known of the stream's hours.
            stands: returns how the stream stands.
            seen: what was counted in each hour, and when the stream could not work.

        Returns:
            None: the hour was clean, and the cloud has as many events as then.

        Raises:
            ListCut: it may lack events of the hour.
            PluginError: what the API, the state file or the servers give.
        """
        cloud = cloud_of(stream)
        assert cloud is not None
        assert stream.api is not None
        async with self._turns.setdefault(stream.api.client_id, asyncio.Lock()), self._place() as wait:
            key = cloud.api_url, stream.api.client_id
            budget = self._budgets.setdefault(key, Budget(self._shares.get(key, SHARE)))
            options = {"wait": wait, "max_wait_s": MAX_WAIT_S, "budget": budget}
            with contextlib.suppress(OSError):  # `open_api` says what is wrong
                self._trusted = http_context(cloud.ca_file)
            async with open_api(cloud, stream.api.key, stream.proxy, **options) as api:
                try:
                    event_stream = await find_stream(api, stream)
                    await self._keep_pace(0, api.requests)
                    total = journal.total_when_clean(at)
                    if total is not None and total == await self._total(api, event_stream, at):
                        return None
                    return await self._compare(api, event_stream, stream, at, journal, stands, seen, wait)
                finally:
                    self.requests[stream.name] += api.requests

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[Wait]:
        """Have one of the places for looks; gives the `Wait` of the look, which leaves the place to others meanwhile.

        A rate limit lasts for an hour, and holds up the streams of its key only.
        """
        await self._places.acquire()
        has_place = True

        async def wait(seconds: float, why: str) -> None:
            nonlocal has_place
            self._places.release()
            has_place = False
            await self._wait(seconds, why)
            await self._places.acquire()
            has_place = True

        try:
            yield wait
        finally:
            if has_place:
                self._places.release()

    async def _compare(
        self,
        api: CiscoApi,
        event_stream: EventStream,
        stream: StreamConfig,
        at: Due,
        journal: Journal,
        stands: Stands,
        seen: Presence,
        wait: Wait,
    ) -> Figures:
        name, now = stream.name, self._clock()
        depth = others = None
        feed = Feed(
            self._conductor,
            name,
            max_held_bytes=self._config.memory_limit,
            patience_s=self._config.forward.pause_after,
        )
        store = Store.open(self._path)
        try:
            found = Hours(journal.since)
            if at.hour < journal.since:  # else the state file was there, and need not be asked since when
                begins = known_since(store, name, now, self._config.state.remember)
                found.known_since = journal.since if begins is None else min(begins, journal.since)
            (leg,) = legs(Span(at.hour, at.hour + HOUR_S), None)
            read = 0
            async for batch in batches(api, event_stream, leg, stream, store, wait):
                to_send = found.count(batch)
                if (figures := stands()) is not None:
                    depth, others = figures.messages_ready, figures.others
                to_repair = self._repairs and depth == 0  # what waits in the queue will be delivered from there
                await batch.put_into(feed, to_send if to_repair else ())
                await self._keep_pace(batch.progress.read - read)
                read = batch.progress.read
            await feed.finish()
        finally:
            store.close()
        hour = found.total
        counted = seen.hours.get(at.hour)
        assert found.known_since is not None
        comparison = Figures(
            in_cloud=hour.in_cloud,
            missing=hour.missing,
            repaired=feed.resolved,
            not_known=hour.not_known,
            not_known_why=f"older than the state file, which goes back to {moment(found.known_since)}"
            if hour.not_known
            else None,
            dropped=found.dropped,
            dead_letters=counted.dead_letters if counted is not None else None,
            duplicates=counted.duplicates if counted is not None else None,
            newest_event=counted.newest_event if counted is not None else None,
            queue_depth=depth,
            other_consumers=others,
            gaps=seen.gaps_of(at.hour),
        )
        is_looked_at_again = now - (at.hour + HOUR_S) < AGAIN_CLEAN_S[-1]
        is_large = hour.in_cloud + found.dropped > WORTH_A_TOTAL
        is_worth_a_total = comparison.is_clean and is_looked_at_again and is_large
        total = await self._total(api, event_stream, at) if found.is_cut or is_worth_a_total else None
        fits = total is not None and found.fits(total)
        if found.is_cut and not fits:
            raise ListCut
        return replace(comparison, cloud_total=total) if is_worth_a_total and fits else comparison

    async def _total(self, api: CiscoApi, event_stream: EventStream, at: Due) -> int | None:
        """How many events the cloud says it has of an hour; None: nobody can tell."""
        before = api.requests
        total = await total_between(api, event_stream, at.hour, at.hour + HOUR_S)
        await self._keep_pace(0, api.requests - before)
        return total

    async def _keep_pace(self, events: int, requests: int = 1) -> None:
        """Rest after an answer with so many events, or after several together."""
        await self._rest(self._pace.pause_s(events, time.monotonic(), requests))
