"""The composition root of `run`: the one place that knows every part.

Builds the parts from the configuration, starts the sink and then the streams, and stops in the other order: streams
consume no more, what is held is delivered and acked within ``shutdown_timeout``, then connections close.  A part that
fails with anything but a `PluginError`, in a task or in a callback, ends the process: that is our bug, and the broker
keeps the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import EXIT_OK, PluginError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.observe import statistics
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.observe.notify import Notifier
from fluent_plugin_amp.parts import (
    ClosableSink,
    make_broker,
    make_sink,
    make_transform,
)
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.source.flow import Flow, auto_prefetch_count
from fluent_plugin_amp.source.stream import Stream, StreamSettings

START_SPREAD_S = 3.0
"""Many streams start spread over this time."""
START_STEP_S = 0.02
UNMATCHED_EVERY_S = 3600.0
PARENT_POLL_S = 0.5
SINK_CLOSE_TIMEOUT_S = 2.0


class Daemon:
    """All parts of one `run`, connected.

    Args:
        config: as loaded.
        sink: where chunks go.
        observer: hears what happens.
        once: stop when each stream has delivered what was in its queue at the start.
    """

    def __init__(self, config: Config, sink: ClosableSink, observer: Observer, *, once: bool = False) -> None:
        self.config = config
        self.sink = sink
        forward = config.forward
        self.conductor = Conductor(
            {stream.name: make_transform(stream) for stream in config.own_streams},
            sink,
            entry,
            Batcher(forward.chunk_limit_size, new_chunk_id),
            observer,
            dead_letter_tag=config.dead_letters.tag,
            raw_dead_letters=config.dead_letters.raw,
            dead_letter_part_bytes=forward.chunk_limit_size // 2,
        )
        share_bytes = config.memory_limit // max(1, len(config.own_streams))
        self.streams = [
            Stream(
                StreamSettings(
                    name=stream.name,
                    broker=make_broker(stream),
                    queue=stream.queue,
                    memory_limit_bytes=config.memory_limit,
                    shutdown_timeout_s=forward.shutdown_timeout,
                    pause_after_s=forward.pause_after,
                    exclusive=stream.exclusive,
                    once=once,
                ),
                Flow(
                    prefetch_count=(
                        auto_prefetch_count(share_bytes) if stream.prefetch_count == "auto" else stream.prefetch_count
                    ),
                    pause_after_s=forward.pause_after,
                    share_bytes=share_bytes,
                    memory_limit_bytes=config.memory_limit,
                ),
                self.conductor,
                observer,
            )
            for stream in config.own_streams
        ]
        self.conductor.on_available = self._wake_streams
        self._stopped = asyncio.Event()
        self._stop_by: float | None = None

    async def run(self) -> None:
        """Until `stop`, or until all streams are done with ``once``.

        Raises:
            PluginError: the sink cannot go on (standard output closed), or with ``once`` a stream cannot.
        """
        bug = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(partial(_on_exception, bug))
        sink_task = asyncio.create_task(self.sink.run(), name="sink")
        stream_tasks = [
            asyncio.create_task(self._start_late(stream, number), name=f"stream {stream.settings.name}")
            for number, stream in enumerate(self.streams)
        ]
        try:
            await self._until_done(stream_tasks, {sink_task, bug})
        finally:
            bug.cancel()
            for task in stream_tasks:
                task.cancel()
            await asyncio.gather(*stream_tasks, return_exceptions=True)
            await self.sink.close(self._sink_close_timeout_s())
            sink_task.cancel()
            await asyncio.gather(sink_task, return_exceptions=True)

    def stop(self) -> None:
        """Stop in order; `run` returns when that is done."""
        self._stopped.set()
        self._stop_by = time.monotonic() + self.config.forward.shutdown_timeout
        for stream in self.streams:
            stream.stop()

    def samples(self) -> list[statistics.Sample]:
        """The figures of each stream as they are now."""
        return [
            statistics.Sample.take(
                stream.settings.name, self.conductor.lines[stream.settings.name].counters, stream.unacked
            )
            for stream in self.streams
        ]

    def _sink_close_timeout_s(self) -> float:
        """What is left of ``shutdown_timeout``: the streams may have used all of it."""
        if self._stop_by is None:
            return SINK_CLOSE_TIMEOUT_S
        return min(SINK_CLOSE_TIMEOUT_S, max(0.0, self._stop_by - time.monotonic()))

    async def _until_done(self, stream_tasks: list[asyncio.Task[None]], endless: set[asyncio.Future[None]]) -> None:
        """Wait for all streams; raise what any of them, or of the ``endless`` ones, ends with."""
        pending: set[asyncio.Future[Any]] = {*endless, *stream_tasks}
        if not stream_tasks:  # a shard may have none
            pending.add(asyncio.create_task(self._stopped.wait()))
        while pending - endless:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _start_late(self, stream: Stream, number: int) -> None:
        step_s = min(START_STEP_S, START_SPREAD_S / len(self.streams))
        await asyncio.sleep(number * step_s)
        await stream.run()

    def _wake_streams(self) -> None:
        for stream in self.streams:
            stream.wake()


async def run(
    config: Config,
    observer: Observer,
    *,
    once: bool = False,
    supervised: bool = False,
    stdout: Literal["json", "msgpack"] | None = None,
) -> int:
    """`fluent-plugin-amp run`: until SIGTERM or SIGINT, or done.  Returns the exit code."""
    parent = os.getppid()
    daemon = Daemon(config, make_sink(config, observer, stdout), observer, once=once)
    notifier = Notifier.from_environment(os.environ, os.getpid())

    def stop() -> None:
        notifier.stopping()
        daemon.stop()

    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_stop_on_signals(stop))
        await stack.enter_async_context(_in_background(notifier.keep_alive()))
        await stack.enter_async_context(_in_background(_log_statistics(daemon)))
        await stack.enter_async_context(_in_background(_log_unmatched(daemon)))
        if supervised:
            await stack.enter_async_context(_in_background(_stop_with_parent(parent, stop)))
        started = f"{len(daemon.streams)} stream(s), servers {_servers_text(config, stdout)}"
        LOGGER.info("started: %s", started)
        notifier.ready(started)
        await daemon.run()
    LOGGER.info("stopped: %s", _total(daemon))
    return EXIT_OK


# --- beside the streams --------------------------------------------------------------------------


def _on_exception(bug: asyncio.Future[None], loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception in a callback: our own is a bug and ends `run`; asyncio would log it, and events would hang."""
    exc = context.get("exception")
    if isinstance(exc, Exception) and _is_ours(exc):
        if not bug.done():
            bug.set_exception(exc)
    else:
        loop.default_exception_handler(context)


def _is_ours(exc: Exception) -> bool:
    """Raised on the way through this package, but by no network and not by pika, which trips over its own ends."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(exc.__traceback__)]
    return (
        not isinstance(exc, PluginError | OSError)
        and any(name.startswith("fluent_plugin_amp.") for name in modules)
        and not modules[-1].startswith("pika.")
    )


@contextlib.contextmanager
def _stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT stop in order; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def handle(signal_number: int) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + signal_number)
        asked = True
        LOGGER.info("%s: stopping", signal.Signals(signal_number).name)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _in_background(job: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(job)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _stop_with_parent(parent: int, stop: Callable[[], None]) -> None:
    """Stop when the process that started us is gone: an orphan would eat half of the stream."""
    while os.getppid() == parent:  # noqa: ASYNC110, nothing tells a process that its parent ended
        await asyncio.sleep(PARENT_POLL_S)
    LOGGER.info("the parent process is gone: stopping")
    stop()


async def _log_statistics(daemon: Daemon) -> None:
    interval_s = daemon.config.observe.statistics_every
    before, since = daemon.samples(), time.monotonic()
    while True:
        await asyncio.sleep(interval_s)
        after, now = daemon.samples(), time.monotonic()
        for line in statistics.statistics(before, after, now - since, statistics.resident_bytes()):
            LOGGER.info("%s", line)
        before, since = after, now


async def _log_unmatched(daemon: Daemon) -> None:
    while True:
        await asyncio.sleep(UNMATCHED_EVERY_S)
        log_unmatched(line.transform for line in daemon.conductor.lines.values())


def log_unmatched(transforms: Iterable[Transform]) -> None:
    """Say which obfuscated fields no event had: perhaps the path has a typo, and something goes out in the clear."""
    for transform in transforms:
        for path in transform.obfuscate.unmatched() if transform.obfuscate is not None else ():
            LOGGER.warning("stream %s: no event had the field %s of transform.obfuscate", transform.stream, path)


def _total(daemon: Daemon) -> str:
    return statistics.statistics([], daemon.samples(), 0.0, statistics.resident_bytes())[0]


def _servers_text(config: Config, stdout: str | None) -> str:
    return "standard output" if stdout else ", ".join(server.label for server in config.forward.servers)
