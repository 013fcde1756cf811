"""Combined records in a `run`: the combiner, made from the configuration, and its clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.facts import InternalError, Observer
from fluent_plugin_amp.model import Delivered
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.pipeline.conductor import Conductor

if TYPE_CHECKING:
    from fluent_plugin_amp.pipeline.combine.combiner import Combiner, Keeper, Post

TICK_S = 1.0
POLL_S = 0.02


def make_combiner(
    config: Config, delivered: Delivered, keeper: Keeper | None, *, post: Post, tell: Observer
) -> Combiner | None:
    """As configured, around the memory of what was delivered; None when there are to be no combined records."""
    detections, incidents = config.detections, config.incidents
    if detections is None and incidents is None:
        return None
    from fluent_plugin_amp.pipeline.combine.combiner import Combiner
    from fluent_plugin_amp.pipeline.combine.detections import Detections
    from fluent_plugin_amp.pipeline.combine.incidents import Incidents

    tags = {}
    if detections is not None:
        tags["detection"] = detections.tag
    if incidents is not None:
        tags["incident"] = incidents.tag
    return Combiner(
        None if detections is None else Detections(detections.window, detections.max_open),
        None
        if incidents is None
        else Incidents(incidents.window, incidents.lateness, incidents.by, incidents.max_open),
        tags,
        delivered,
        keeper,
        post=post,
        tell=tell,
    )


class Combining:
    """Tells the combiner what time it is.  At the end it waits for what was sent through the conductor."""

    def __init__(self, combiner: Combiner, conductor: Conductor, keeper: Keeper | None, tell: Observer) -> None:
        self.combiner = combiner
        self._conductor = conductor
        self._keeper = keeper
        self._tell = tell
        self._received: dict[str, int] = {}
        self._closed_early = 0

    async def run(self, consuming: Callable[[], Iterable[str]]) -> None:
        """Do what is due, until cancelled.  ``consuming`` names the streams that get what is in their queues."""
        if self._keeper is not None and not self.combiner.is_ready:
            rows = await self._keeper.load()
            try:
                self.combiner.restore(rows)
            except Exception as exc:  # what is kept stays where it is, and events wait for nothing
                self._tell(InternalError("combining", exc))
                self.combiner.restore({})
        while True:
            await asyncio.sleep(TICK_S)
            self.tick(consuming(), time.monotonic())

    def tick(self, consuming: Iterable[str], monotonic_s: float) -> None:
        """Do what is due now."""
        received = {name: self._conductor.lines[name].counters.received for name in consuming}
        idle = [name for name, count in received.items() if self._received.get(name) == count]
        self._received = received
        self.combiner.tick(received, idle, monotonic_s)
        if self.combiner.closed_early > self._closed_early:
            more, self._closed_early = self.combiner.closed_early - self._closed_early, self.combiner.closed_early
            LOGGER.warning("more detections or incidents were open than max_open: %d closed early", more)

    async def finish(self, timeout_s: float) -> None:
        """No more events come: write what there is, and wait a while for the acks."""
        self.combiner.finish()
        give_up_at = time.monotonic() + timeout_s
        while not self._conductor.idle and time.monotonic() < give_up_at:  # noqa: ASYNC110, once, at the end
            await asyncio.sleep(POLL_S)
