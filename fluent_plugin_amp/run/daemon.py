"""The root of `run`: reads streams of brokers into the pipeline (`run.pipeline`).

Builds the streams from the configuration, starts the sink and then the streams, and stops in the other order: streams
consume no more, what is held is delivered and acked within ``shutdown_timeout``, then connections close.  A part that
fails in a way that nobody foresaw costs its fault domain, never the process: see `containment`.

While it runs the configuration may change (`reload`): streams come and go, the sink is exchanged for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.containment import all_of, callback_handler, contained, keep_running
from fluent_plugin_amp.errors import EXIT_OK, PluginError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.observe import statistics
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.observe.service import Service
from fluent_plugin_amp.observe.snapshot import HuntsSnapshot, Proof, Snapshot, StreamSnapshot
from fluent_plugin_amp.observe.status import judge
from fluent_plugin_amp.observe.systemd import Notifier
from fluent_plugin_amp.observe.troubles import Troubles
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.run.background import in_background, keep_logging_unmatched, servers_text, warn_of_shortage
from fluent_plugin_amp.run.beginning import Parent
from fluent_plugin_amp.run.build import (
    SINK_CLOSE_TIMEOUT_S,
    ClosableSink,
    forward_settings,
    hunt_lines,
    hunted,
    make_names,
    make_sink,
    make_stream,
    make_transform,
    share_of,
)
from fluent_plugin_amp.run.pipeline import Pipeline
from fluent_plugin_amp.run.reload import Changes
from fluent_plugin_amp.run.reloader import Reloader
from fluent_plugin_amp.run.running import RunningStreams
from fluent_plugin_amp.run.signals import ask_on_hangup, stop_on_signals, stop_with_parent
from fluent_plugin_amp.source.stream import Stream
from fluent_plugin_amp.text import how_many

if TYPE_CHECKING:
    from fluent_plugin_amp.cisco.budget import Budget
    from fluent_plugin_amp.run.sources import Sources

STATE_CLOSE_TIMEOUT_S = 5.0


class Daemon:
    """All parts of one `run`, connected.

    Args:
        config: as loaded.
        sink: where chunks go.
        observer: hears what happens.
        once: stop when each stream has delivered what was in its queue at the start.
        with_state: use the state file, where one is configured: start ``state`` before `run`, and close it after.
    """

    def __init__(
        self,
        config: Config,
        sink: ClosableSink,
        observer: Observer,
        *,
        once: bool = False,
        with_state: bool = False,
    ) -> None:
        self.config = config
        self.sink = sink
        self.streams: dict[str, Stream] = {}
        pipeline = Pipeline(
            config, config.own_streams, sink, observer, with_state=with_state, on_available=self._wake_streams
        )
        self.state, self.conductor, self.combining = pipeline.state, pipeline.conductor, pipeline.combining
        self._names, self.hunts = pipeline.names, pipeline.hunts
        self._observer = observer
        self._fleet = RunningStreams(observer, once=once)
        for stream in config.own_streams:
            self.streams[stream.name] = make_stream(stream, config, self.conductor, observer, once=once)
        self.budgets: dict[tuple[str, str], Budget] = {}
        """What each API key may spend of its rate limit, by API and client id: all that use it share it."""
        self._polls = not once
        self.sources = self._make_sources(config)
        """What is polled; None: nothing so far.  `run --once` reads queues only."""
        self.proofs: Mapping[str, Proof] = {}
        """Of completeness records, by stream."""
        self._sink_run: asyncio.Task[None] | None = None
        self._gone: set[str] = set()
        self._stop_by: float | None = None

    async def run(self) -> None:
        """Until `stop`, or until all streams are done with ``once``.

        Raises:
            PluginError: the sink cannot go on (standard output closed), or with ``once`` a stream cannot.
        """
        asyncio.get_running_loop().set_exception_handler(callback_handler(self._observer))
        sink_task = asyncio.create_task(self._run_sinks(), name="sink")
        self._fleet.add(self.streams.values())
        if self.sources is not None:
            self.sources.start()
        try:
            await self._until_done({sink_task, *self._state_tasks()})
        finally:
            if self.sources is not None:
                with contained("source", self._observer):
                    await self.sources.close()
            await self._fleet.cancel()
            if self.combining is not None:
                with contained("combining", self._observer):
                    await self.combining.finish(self._sink_close_timeout_s())
            await self.sink.close(self._sink_close_timeout_s())
            sink_task.cancel()
            await asyncio.gather(sink_task, return_exceptions=True)

    def stop(self) -> None:
        """Stop in order; `run` returns when that is done."""
        self._stop_by = time.monotonic() + self.config.forward.shutdown_timeout
        if self.sources is not None:
            self.sources.stop()
        self._fleet.stop()

    async def apply(self, changes: Changes, sink: ClosableSink | None) -> None:
        """Go on as the changes say, with another ``sink`` if there is one; what can fail is made first.

        Should anything fail all the same, half of it is done, and no stream that is to run stays stopped: the same
        changes may be applied once more.

        Raises:
            ConfigError: a file that is named cannot be used; nothing was changed.
        """
        config = changes.config
        begun = {
            each.name: make_stream(each, config, self.conductor, self._observer)
            for each in (*changes.restarted, *changes.added)
        }
        make_names(config, self._names)
        hunts = hunted(config) if self.hunts is not None else {}
        if self.hunts is not None:
            self.hunts.follow(hunt_lines(hunts))
        transforms = {each.name: make_transform(each, self._names, hunts) for each in config.own_streams}
        for changed in changes.transformed:
            self.conductor.open(changed.name, transforms[changed.name])
        for name in transforms.keys() & self.conductor.lines.keys():
            if self.conductor.lines[name].transform.ask != transforms[name].ask:
                self.conductor.open(name, transforms[name])
        if sink is not None:
            await self._change_sink(sink)
        await self._fleet.drain({*changes.removed, *begun})  # one that was added runs if this is the second try
        try:
            self._exchange(changes, begun, transforms)
        finally:
            self._fleet.add(stream for name, stream in begun.items() if self.streams.get(name) is stream)
        self.config = config
        if self.sources is not None:
            await self.sources.follow(config)
        elif (sources := self._make_sources(config)) is not None:
            self.sources = sources
            sources.start()

    def _exchange(self, changes: Changes, begun: dict[str, Stream], transforms: dict[str, Transform]) -> None:
        """Put the streams that are ``begun`` in the place of those that were drained."""
        for name, stream in begun.items():
            if name in self.conductor.lines:  # it may run with the transforms that it had, should anything fail below
                self.streams[name] = stream
        self.conductor.forget_requeued()
        for name in changes.removed:
            self.streams.pop(name, None)
            self._gone.add(name)
        for name in [*self._gone]:
            if name in begun or name not in self.conductor.lines or self.conductor.close(name):
                self._gone.discard(name)
        for name, stream in begun.items():
            self.conductor.open(name, transforms[name])
            self.streams[name] = stream
        for each in changes.config.own_streams:
            share_bytes, prefetch_count = share_of(each, changes.config)
            self.streams[each.name].flow.share(share_bytes, prefetch_count)

    def stands(self, name: str) -> StreamSnapshot | None:
        """How one stream stands now; None: there is none of this name."""
        return self._stands(name, time.time()) if name in self.streams else None

    def _stands(self, name: str, now: float) -> StreamSnapshot:
        return StreamSnapshot.of(self.streams[name], self.conductor.lines[name], now, self.proofs.get(name))

    def figures(self) -> Snapshot:
        """How everything stands now."""
        now = time.time()
        return Snapshot(
            at=now,
            streams=tuple(self._stands(name, now) for name in self.streams),
            servers=self.sink.figures(),
            is_available=self.conductor.available,
            chunks_in_flight=self.conductor.sink_in_flight,
            held_bytes=self.conductor.total_held_bytes,
            memory_limit_bytes=self.config.memory_limit,
            resident_bytes=statistics.resident_bytes(),
            detections_open=self.combining.combiner.detections_open if self.combining is not None else None,
            incidents_open=self.combining.combiner.incidents_open if self.combining is not None else None,
            hunts=tuple(
                HuntsSnapshot(line, queue.waiting, queue.hunts, queue.left_out)
                for line, queue in (self.hunts.queues if self.hunts is not None else {}).items()
            ),
            sources=self.sources.figures() if self.sources is not None else (),
        )

    async def _run_sinks(self) -> None:
        """The sink, and those that take its place, one after the other."""
        while True:
            sink = self.sink
            self._sink_run = asyncio.create_task(
                keep_running("sink", sink.run, self._observer, ends_with=(PluginError,))
            )
            try:
                await asyncio.wait({self._sink_run})
            finally:
                self._sink_run.cancel()
                await asyncio.gather(self._sink_run, return_exceptions=True)
            if self.sink is sink:
                return self._sink_run.result()

    async def _change_sink(self, sink: ClosableSink) -> None:
        """Wait for what the old one sent; what it did not get rid of goes to the new one."""
        old, self.sink = self.sink, sink  # before the old one ends: `_run_sinks` goes on with this one
        held: list[Chunk] | None = None
        with contained("sink", self._observer):
            held = await old.close(self.config.forward.shutdown_timeout)
        if held is None:  # it could not be closed: it ends all the same
            held = old.held()
            if self._sink_run is not None:
                self._sink_run.cancel()
        self.conductor.use(sink)
        for chunk in held:
            sink.send(chunk)

    def consuming(self) -> list[str]:
        """The names of the streams that get what is in their queues."""
        return [name for name, stream in self.streams.items() if stream.gets_everything]

    def _make_sources(self, config: Config) -> Sources | None:
        if not self._polls or self.state is None or not config.own_organisations:
            return None
        from fluent_plugin_amp.run.sources import Sources  # few poll

        return Sources(config, self.conductor, self.state.kept, self._names, self._observer, self.hunts, self.budgets)

    def _sink_close_timeout_s(self) -> float:
        """What is left of ``shutdown_timeout``: the streams may have used all of it."""
        if self._stop_by is None:
            return SINK_CLOSE_TIMEOUT_S
        return min(SINK_CLOSE_TIMEOUT_S, max(0.0, self._stop_by - time.monotonic()))

    def _state_tasks(self) -> set[asyncio.Task[None]]:
        return {self.state.task} if self.state is not None and self.state.task is not None else set()

    async def _until_done(self, endless: set[asyncio.Future[None]]) -> None:
        """Wait for all streams; raise what any of them, or of the ``endless`` ones, ends with."""
        streams = asyncio.create_task(self._fleet.run(), name="streams")
        pending: set[asyncio.Future[None]] = {streams, *endless}
        try:
            while streams in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            streams.cancel()

    def _wake_streams(self) -> None:
        for stream in self.streams.values():
            stream.wake()
        if self.state is not None:
            self.state.dead_letters.wake()


async def run(
    config: Config,
    observer: Observer,
    *,
    once: bool = False,
    parent: Parent | None = None,
    was_hung_up: Callable[[], bool] = lambda: False,
    stdout: Literal["json", "msgpack"] | None = None,
    load: Callable[[Config], Config] | None = None,
) -> int:
    """`fluent-plugin-amp run`: until SIGTERM or SIGINT, or done.  Returns the exit code.

    On SIGHUP the configuration is read again by ``load`` (None, or with ``once``: it stays as it is); ``was_hung_up``
    says whether one came before.  When ``parent`` is gone, this stops too.
    """
    troubles = Troubles()
    observer = all_of(observer, troubles)
    daemon = Daemon(config, make_sink(config, observer, stdout), observer, once=once, with_state=True)
    notifier = Notifier.from_environment(os.environ, os.getpid())

    service = Service(
        config,
        lambda: list(daemon.streams.values()),
        daemon.figures,
        troubles,
        observer,
        forward_settings if stdout is None else None,
    )

    def stop() -> None:
        notifier.stopping()
        daemon.stop()

    def stop_for(number: signal.Signals) -> None:
        LOGGER.info("%s: stopping", number.name)
        stop()

    async def apply(changes: Changes) -> None:
        warn_of_shortage(changes.config)
        sink = make_sink(changes.config, observer, None) if changes.servers and stdout is None else None
        await daemon.apply(changes, sink)
        await service.follow(changes.config)

    async with service, contextlib.AsyncExitStack() as stack:
        stack.enter_context(stop_on_signals(stop_for))
        if (state := daemon.state) is not None:
            stack.push_async_callback(state.close, STATE_CLOSE_TIMEOUT_S)
            await state.start()

        async def begin(where: str, job: Callable[[], Awaitable[None]]) -> None:
            await stack.enter_async_context(in_background(keep_running(where, job, observer)))

        await begin("notifier", notifier.keep_alive)
        if load is not None and not once:
            reloader = Reloader(config, load, apply, observer)
            stack.enter_context(ask_on_hangup(reloader.ask, stop, was_hung_up))
            await begin("reload", reloader.run)
        await begin("unmatched fields", lambda: keep_logging_unmatched(daemon.conductor))
        if daemon.hunts is not None:
            await begin("hunts", daemon.hunts.run)
        if daemon.combining is not None:
            combining = daemon.combining
            await begin("combining", lambda: combining.run(daemon.consuming))
        completing = None
        if config.completeness is not None and daemon.state is not None and not once:
            from fluent_plugin_amp.run.completing import Completing  # it brings the HTTP client

            completing = Completing(
                config,
                daemon.conductor,
                daemon.state.kept,
                lambda: daemon.config.own_streams,
                daemon.figures,
                daemon.stands,
                observer,
                daemon.budgets,
            )
            daemon.proofs = completing.proofs
            await begin("completeness", completing.watch)
            await begin("completeness", completing.write)
        if config.heartbeat is not None and not once:
            from fluent_plugin_amp.run.heartbeat import Heartbeat

            heartbeat = Heartbeat(
                config,
                daemon.conductor,
                lambda: judge(daemon.figures(), troubles),
                lambda: completing.instance if completing is not None else None,
                started_at=troubles.started_at,
            )
            await begin("heartbeat", heartbeat.run)
        if parent is not None:
            starter = parent
            await begin("parent", lambda: stop_with_parent(starter, stop))
        warn_of_shortage(config)
        started = f"{how_many(len(daemon.streams), 'stream')}, servers {servers_text(config, stdout)}"
        LOGGER.info("started: %s", started)
        if once and (sources := sum(len(each.sources) for each in config.own_organisations)):
            LOGGER.info("--once reads queues only; not polled: %s of organisations", how_many(sources, "source"))
        notifier.ready(started)
        await daemon.run()
        with contained("statistics", observer):
            LOGGER.info(
                "stopped: %s", statistics.lines(None, daemon.figures(), started_at=troubles.started_at)[0].text
            )
    return EXIT_OK
