"""Watches the streams, and shows what it sees: the queues' depths, rates, which streams fall behind, the endpoints.

It runs beside the streams and never in their way.  It asks a broker in a task of its own, and puts together what it
shows when somebody looks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from fluent_plugin_amp.containment import contained
from fluent_plugin_amp.facts import InternalError, Observer
from fluent_plugin_amp.observe.health import Heart, healthz, readyz
from fluent_plugin_amp.observe.logs import LOGGER, MANY_STREAMS
from fluent_plugin_amp.observe.rates import History
from fluent_plugin_amp.observe.snapshot import Snapshot
from fluent_plugin_amp.observe.status import Status, judge
from fluent_plugin_amp.observe.troubles import Troubles
from fluent_plugin_amp.text import host_and_port

LOOK_EVERY_S = 2.0
"""How often it asks for each queue's depth while somebody may be looking."""
LOOK_STEP_S = 0.15
"""The least pause between two looks: with hundreds of idle streams the looks cost more than the streams."""
SAMPLE_EVERY_S = 2.0
SAMPLE_STEP_S = 0.04
"""What each stream adds to the interval, up to `SAMPLE_AT_LEAST_EVERY_S`: many streams are sampled less often."""
SAMPLE_AT_LEAST_EVERY_S = 10.0
PORT_RETRY_S = 15.0


class Looker(Protocol):
    """A stream, as far as this module needs it."""

    async def look(self) -> None:
        """Ask the broker how much waits."""


class Watcher:
    """Looks at the queues from time to time, reports which streams fall behind, and answers at the endpoints.

    Args:
        streams: returns the streams that run now.
        snapshot: returns a snapshot of the moment.
        troubles: what is remembered of the facts.
        tell: an observer, told which streams fall behind and catch up; ``troubles`` hears it too.
        ready: returns the value of `observe.ready` now.
    """

    def __init__(
        self,
        streams: Callable[[], Sequence[Looker]],
        snapshot: Callable[[], Snapshot],
        troubles: Troubles,
        tell: Observer,
        *,
        ready: Callable[[], Literal["all", "any"]] = lambda: "all",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._streams = streams
        self._snapshot = snapshot
        self._troubles = troubles
        self._tell = tell
        self._ready = ready
        self._clock = clock
        self._heart = Heart()
        self._histories: dict[str, History] = {}
        self._said = self._seen = ""
        """The last line about many streams, and the last summary that was seen."""
        self._looks: dict[Looker, asyncio.Task[None]] = {}

    def status(self) -> Status:
        """How everything stands now."""
        return judge(self._snapshot(), self._troubles)

    # --- looking ---------------------------------------------------------------------------------

    async def watch(self, look_every_s: Callable[[], float]) -> None:
        """Look, sample and show signs of life, until cancelled."""
        tasks = [
            asyncio.create_task(self._look_around(look_every_s)),
            asyncio.create_task(self._sample_on()),
            asyncio.create_task(self._heart.beat()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # they end by a bug only
        finally:
            for task in (*tasks, *self._looks.values()):
                task.cancel()
            await asyncio.gather(*tasks, *self._looks.values(), return_exceptions=True)

    async def _look_around(self, look_every_s: Callable[[], float]) -> None:
        """Look at each queue in turn, spread over the interval: many looks at once would hold up the events."""
        while True:
            streams = self._streams()
            for stream in streams:
                if stream not in self._looks:  # a broker that does not answer is not asked again
                    self._looks[stream] = asyncio.create_task(self._look(stream))
                await asyncio.sleep(max(LOOK_STEP_S, look_every_s() / len(streams)))
            if not streams:
                await asyncio.sleep(look_every_s())

    async def _look(self, stream: Looker) -> None:
        try:
            with contained("look", self._tell):
                await stream.look()
        finally:
            del self._looks[stream]

    async def _sample_on(self) -> None:
        while True:
            self.sample()
            every_s = max(SAMPLE_EVERY_S, SAMPLE_STEP_S * len(self._histories))
            await asyncio.sleep(min(every_s, SAMPLE_AT_LEAST_EVERY_S))

    def sample(self) -> None:
        """Count for the rates, and report what changed: who fell behind, is silent, shares its queue …"""
        snapshot, now = self._snapshot(), self._clock()
        names = {stream.name for stream in snapshot.streams}
        for name in self._histories.keys() - names:
            del self._histories[name]
            self._troubles.forget(name)
        for stream in snapshot.streams:
            delivered = stream.counters.delivered
            if stream.name not in self._histories:
                self._histories[stream.name] = History(delivered, now)
            self._histories[stream.name].sample(delivered, now)
        for fact in self._troubles.news(snapshot):
            self._tell(fact)
        if len(snapshot.streams) > MANY_STREAMS:
            self._say_how_many(judge(snapshot, self._troubles))

    def _say_how_many(self, status: Status) -> None:
        """Log how many streams do what, when that changed; while streams start, wait until it stands still."""
        summary = status.summary
        if status.stopping:
            return
        if summary != self._said and (summary == self._seen or not status.connecting):
            self._said = summary
            LOGGER.log(logging.WARNING if status.stuck else logging.INFO, "%s", summary)
        self._seen = summary

    # --- showing ---------------------------------------------------------------------------------

    async def serve(self, host: str, port: int) -> None:
        """Answer on the endpoints until cancelled; a port that is taken is tried again."""
        # Imported here: without endpoints neither HTTP nor Prometheus is needed.
        from fluent_plugin_amp.observe.http import Answer, listening
        from fluent_plugin_amp.observe.metrics import CONTENT_TYPE, Metrics
        from fluent_plugin_amp.observe.page import render

        metrics = Metrics(self._snapshot, self._troubles, self._ready)

        async def page() -> Answer:
            text = render(self.status(), self._histories, self._troubles.started_at)
            return Answer(200, "text/html; charset=utf-8", text.encode())

        async def numbers() -> Answer:
            return Answer(200, CONTENT_TYPE, await metrics.exposition())

        async def probe(is_well: bool, body: dict[str, Any]) -> Answer:
            text = msgspec.json.format(msgspec.json.encode(body), indent=2)
            return Answer(200 if is_well else 503, "application/json", text + b"\n")

        routes = {
            "/": page,
            "/metrics": numbers,
            "/healthz": lambda: probe(*healthz(self._heart)),
            "/readyz": lambda: probe(*readyz(self.status(), self._ready())),
        }
        where = host_and_port(host, port)
        warned = False
        while True:
            try:
                async with listening(routes, host, port, tell=lambda exc: self._tell(InternalError("page", exc))):
                    LOGGER.info("status page and metrics: http://%s/", where)
                    await asyncio.get_running_loop().create_future()
            except OSError as exc:
                if not warned:
                    why = exc.strerror or exc
                    LOGGER.warning(
                        "observe.listen: no status page and no metrics on %s, trying again: %s", where, why
                    )
                warned = True
            await asyncio.sleep(PORT_RETRY_S)
