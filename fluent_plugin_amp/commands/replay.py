"""`fluent-plugin-amp replay`: captured events through the same pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fluent_plugin_amp.commands.feed import Feed
from fluent_plugin_amp.errors import CapturedFileUnusable
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.run.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the events."""

    events: int
    counters: Counters


async def replay(
    daemon: Daemon, stream: str, bodies: Iterable[bytes], on_progress: Callable[[int], None] = lambda resolved: None
) -> Replayed:
    """Send ``bodies`` as events of ``stream``; return when the last one is acknowledged.

    A body that is no event becomes a dead letter, as it would from a broker.

    Raises:
        CapturedFileUnusable: from ``bodies``; what came before it is delivered.
        NoProgress: nothing was acknowledged for ``forward.pause_after``.
        OutputClosed: standard output was closed.
    """
    config = daemon.config
    feed = Feed(
        daemon.conductor,
        stream,
        max_held_bytes=config.memory_limit,
        patience_s=config.forward.pause_after,
    )

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

    sink_task = asyncio.create_task(daemon.sink.run())
    send_task = asyncio.create_task(send())
    try:
        done, _ = await asyncio.wait({sink_task, send_task}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if daemon.combining is not None:
            await daemon.combining.finish(config.forward.shutdown_timeout)
    finally:
        for task in (send_task, sink_task):
            task.cancel()
        await asyncio.gather(send_task, sink_task, return_exceptions=True)
        await daemon.sink.close(2.0)
    return Replayed(feed.fed, daemon.conductor.lines[stream].counters)
