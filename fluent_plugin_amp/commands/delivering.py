"""Delivers events from elsewhere than a broker, as `run` does: for `replay`, `backfill` and `reconcile`.

Each event takes the transforms of its stream and goes to the configured servers.  After a server's ack the state file
records it, where the command has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.run.build import SINK_CLOSE_TIMEOUT_S, ClosableSink, make_sink
from fluent_plugin_amp.run.pipeline import Pipeline
from fluent_plugin_amp.state.tool import DeliveredByTool

if TYPE_CHECKING:
    from typing_extensions import Self


class Delivering:
    """Delivers what is put into ``feed``, within ``async with``.  `supervise` the work that puts it there.

    Args:
        config: as loaded.
        stream: whose transforms the events get; or those of the records of a polled source.
        observer: hears what happens.
        state_file: records what was delivered, and must exist; None: nothing is recorded.
        sink: where events go; None: to the configured servers.
        with_combined: make combined records, too.  Beside a `run` leave it out: `run` makes them of the same events.
    """

    def __init__(
        self,
        config: Config,
        stream: StreamConfig | Transform,
        observer: Observer,
        state_file: Path | None,
        *,
        sink: ClosableSink | None = None,
        with_combined: bool = False,
    ) -> None:
        self._sink = make_sink(config, observer, None) if sink is None else sink
        self._delivered = DeliveredByTool(state_file) if state_file is not None else None
        self._shutdown_timeout_s = config.forward.shutdown_timeout
        streams = [] if isinstance(stream, Transform) else [stream]
        pipeline = Pipeline(
            config, streams, self._sink, observer, delivered=self._delivered, with_combined=with_combined
        )
        conductor, self._combining = pipeline.conductor, pipeline.combining
        if isinstance(stream, Transform):
            name = stream.stream
            conductor.open(name, stream)
        else:
            name = stream.name
        self._line = conductor.lines[name]
        self.feed = Feed(conductor, name, max_held_bytes=config.memory_limit, patience_s=config.forward.pause_after)
        """Where events are put."""

    @property
    def counters(self) -> Counters:
        """What became of them."""
        return self._line.counters

    @property
    def ends(self) -> set[asyncio.Future[None]]:
        """Futures that end only when the sink or the state file cannot go on, with the reason."""
        return {self._sink_task} if self._delivered is None else {self._sink_task, self._delivered.failed}

    async def finish_combining(self) -> None:
        """Write the combined records, once no more events come."""
        if self._combining is not None:
            await self._combining.finish(self._shutdown_timeout_s)

    async def __aenter__(self) -> Self:
        self._sink_task = asyncio.create_task(self._sink.run(), name="sink")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sink.close(SINK_CLOSE_TIMEOUT_S)
        self._sink_task.cancel()
        await asyncio.gather(self._sink_task, return_exceptions=True)
        if self._delivered is not None:
            await self._delivered.close()


async def supervise(work: Coroutine[Any, Any, None], stop: asyncio.Event, ends: set[asyncio.Future[None]]) -> bool:
    """Do ``work`` until it is done or ``stop`` is set; return whether it is done.

    Raises what ``work``, or one of ``ends``, ends with.
    """
    task = asyncio.create_task(work, name="work")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    pending: set[asyncio.Future[Any]] = {task, stopped, *ends}
    try:
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for end in (*ends, task):
            if end.done():
                end.result()
        return task.done()
    finally:
        for each in (task, stopped):
            each.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)
