"""Everything that an operator sees of a running plugin; it follows the configuration as that changes.

Statistics lines, the watch over the streams, the endpoints, and the log on its way to the servers: each is a task
beside the streams.  This module starts and exchanges them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.containment import keep_running
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.observe import logs, statistics
from fluent_plugin_amp.observe.snapshot import Snapshot
from fluent_plugin_amp.observe.troubles import Troubles
from fluent_plugin_amp.observe.watch import LOOK_EVERY_S, Looker, Watcher
from fluent_plugin_amp.sink.forward.settings import ForwardSettings

if TYPE_CHECKING:
    from typing_extensions import Self

    from fluent_plugin_amp.observe.forward_log import ForwardLog

SHIP_TIMEOUT_S = 2.0


class Service:
    """An asynchronous context manager: it works until the end of the block.

    Args:
        config: the configuration in force at the beginning.
        streams: returns the streams that run now.
        snapshot: returns a snapshot of the moment.
        troubles: what is remembered of the facts.
        tell: an observer of what is found out here; ``troubles`` hears it too.
        make_settings: makes the way to the servers from a configuration; None: there is no server to send the log to.
    """

    def __init__(
        self,
        config: Config,
        streams: Callable[[], Sequence[Looker]],
        snapshot: Callable[[], Snapshot],
        troubles: Troubles,
        tell: Observer,
        make_settings: Callable[[Config], ForwardSettings] | None,
    ) -> None:
        self._config = config
        self._snapshot = snapshot
        self._tell = tell
        self._watcher = Watcher(streams, snapshot, troubles, tell, ready=lambda: self._config.observe.ready)
        self._make_settings = make_settings
        self._watch: asyncio.Task[None] | None = None
        self._statistics: asyncio.Task[None] | None = None
        self._counted: Snapshot | None = None
        """The snapshot of the last statistics lines."""
        self._endpoints: asyncio.Task[None] | None = None
        self._shipper: ForwardLog | None = None
        self._shipping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ship()
        self._serve()
        self._watch = self._begin("watch", lambda: self._watcher.watch(self._look_every_s))
        self._counted = self._snapshot()
        self._statistics = self._begin("statistics", self._log_statistics)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for task in (self._watch, self._statistics, self._endpoints):
                await _end(task)
        finally:
            await self._stop_shipping()

    async def follow(self, config: Config) -> None:
        """Follow this configuration from now on."""
        before, self._config = self._config, config
        try:
            await self._change(before, config)
        except BaseException:
            self._config = before  # so the next call finds what is still to be changed
            raise

    async def _change(self, before: Config, config: Config) -> None:
        if before.observe.address != config.observe.address:
            await _end(self._endpoints)
            self._serve()
        if before.observe.statistics_every != config.observe.statistics_every:
            await _end(self._statistics)
            self._statistics = self._begin("statistics", self._log_statistics)
        if before.logging != config.logging or before.forward != config.forward:
            await self._stop_shipping()
            logs.set_up(config.logging.level, config.logging.format)
            self._ship()

    # --- the parts -------------------------------------------------------------------------------

    def _serve(self) -> None:
        address = self._config.observe.address
        if address is None:
            self._endpoints = None
        else:
            self._endpoints = self._begin("endpoints", lambda: self._watcher.serve(*address))

    def _ship(self) -> None:
        tag = self._config.logging.forward_tag
        if tag is None:
            return
        if self._make_settings is None:
            logs.LOGGER.warning("logging.forward_tag has no effect here: there are no servers")
            return
        from fluent_plugin_amp.observe.forward_log import ForwardLog

        self._shipper = ForwardLog(tag, self._make_settings(self._config))
        self._shipping = self._begin("log shipping", self._shipper.run)
        logs.LOGGER.addHandler(self._shipper)

    async def _stop_shipping(self) -> None:
        if self._shipper is not None:
            logs.LOGGER.removeHandler(self._shipper)
            await self._shipper.finish(SHIP_TIMEOUT_S)
            self._shipper = None
            await _end(self._shipping)

    def _begin(self, where: str, job: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(keep_running(where, job, self._tell))

    def _look_every_s(self) -> float:
        return LOOK_EVERY_S if self._endpoints is not None else self._config.observe.statistics_every

    async def _log_statistics(self) -> None:
        while True:
            await asyncio.sleep(self._config.observe.statistics_every)
            before, self._counted = self._counted, self._snapshot()
            for line in statistics.lines(before, self._counted):
                logs.LOGGER.log(line.level, "%s", line.text, extra={"fields": line.fields})


async def _end(task: asyncio.Task[None] | None) -> None:
    """Cancel the task, and wait for its end."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
