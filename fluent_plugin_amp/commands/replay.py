"""`fluent-plugin-amp replay`: sends captured events through the pipeline of `run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fluent_plugin_amp.commands.delivering import Delivering, supervise
from fluent_plugin_amp.commands.errors import CapturedFileUnusable
from fluent_plugin_amp.model import Counters


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the events."""

    events: int
    counters: Counters


async def replay(
    delivering: Delivering, bodies: Iterable[bytes], on_progress: Callable[[int], None] = lambda resolved: None
) -> Replayed:
    """Send ``bodies`` as events; return when the last one is acknowledged.

    A body that is no event becomes a dead letter, as it would from a broker.

    Raises:
        CapturedFileUnusable: from ``bodies``; what came before it is delivered.
        NoProgress: nothing was acknowledged for ``forward.pause_after``.
        OutputClosed: standard output was closed.
    """
    feed = delivering.feed

    async def send() -> None:
        try:
            for body in bodies:
                await feed.put(body)
                on_progress(feed.resolved)
        except CapturedFileUnusable:
            await feed.finish()
            raise
        await feed.finish()
        on_progress(feed.resolved)
        await delivering.finish_combining()

    async with delivering:
        await supervise(send(), asyncio.Event(), delivering.ends)
    return Replayed(feed.fed, delivering.counters)
