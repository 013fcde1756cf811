"""The life of one event stream: find it, connect, consume, and reconnect for ever.

With ``poll_interval_s`` it lives in rounds: connect, deliver what is in the queue, disconnect, rest.

What is done over one connection is `consumption.Consumption`'s; when to try again is decided by `backoff.Outage`; how
AMQP is spoken is known to `amqp`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from fluent_plugin_amp import facts
from fluent_plugin_amp.backoff import STEADY_AFTER_S, Outage
from fluent_plugin_amp.errors import (
    BrokerAccessRefused,
    BrokerCredentialsRefused,
    InternalFault,
    NoProgress,
    PluginError,
    QueueNotFound,
    RefusedError,
)
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.alarm import Alarm
from fluent_plugin_amp.source.consumption import CLOSE_TIMEOUT_S, Consumption
from fluent_plugin_amp.source.flow import Flow
from fluent_plugin_amp.source.retry import COMES_AGAIN, pace_of
from fluent_plugin_amp.source.settings import Intake, Location, StreamSettings

NOT_WITH_ONCE = (RefusedError, NoProgress, InternalFault, *COMES_AGAIN)
"""What ends a stream that is to be done once; otherwise everything is tried again."""
MAY_BE_ELSEWHERE = (BrokerAccessRefused, BrokerCredentialsRefused, QueueNotFound)
"""After one of these a stream is located anew: it may have been made again, with another user and queue."""


class Stream:
    """One event stream.  `run` returns after `stop`, or when it is done with ``once``."""

    def __init__(
        self,
        settings: StreamSettings,
        flow: Flow,
        intake: Intake,
        observer: facts.Observer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.flow = flow
        self.connected = False
        self.resting = False
        """It was polled, and is not connected until the next time."""
        self._observer = observer
        self._intake = intake
        self._clock = clock
        self._alarm = Alarm(clock)
        self._outage = Outage(clock, jitter)
        self._consumption = Consumption(
            settings,
            flow,
            intake,
            observer,
            self._alarm,
            self._outage,
            stop=self.stop,
            clock=clock,
            wall_clock=wall_clock,
            jitter=jitter,
        )
        self.backlog = self._consumption.looks.backlog
        self.durations = self._consumption.durations
        """From the arrival of a delivery to its ack to the broker."""
        self._task: asyncio.Task[object] | None = None
        self._stop_timer: asyncio.TimerHandle | None = None
        self._location: Location | None = None  # until it is known, and when it may be another by now

    @property
    def requeued(self) -> int:
        """Deliveries that went back to the queue, unacked, since the start."""
        return self._consumption.requeued

    @property
    def others(self) -> int:
        """Consumers of the queue besides this one, at the last look; 0 while not connected."""
        return self._consumption.looks.others

    @property
    def unacked(self) -> int:
        """Deliveries not acked to the broker."""
        return self._consumption.unacked

    @property
    def oldest_unacked_s(self) -> float:
        """Age of the oldest delivery not acked to the broker, since it arrived; 0 without one."""
        return self._consumption.oldest_unacked_s

    @property
    def gets_everything(self) -> bool:
        """What is in its queue arrives; or there was nothing, and what comes arrives at once."""
        return self._consumption.gets_everything

    async def look(self) -> None:
        """Ask the broker how much waits in the queue, for the operator; without effect while not connected."""
        await self._consumption.look()

    def wake(self) -> None:
        """Something outside changed: look again."""
        self._alarm.ring()

    def stop(self) -> None:
        """Consume no more; end when what is held is delivered, at the latest after ``shutdown_timeout_s``."""
        if self._alarm.stop_at is not None:
            return
        timeout_s = self.settings.shutdown_timeout_s
        self._alarm.stop(timeout_s)
        if self._task is not None:
            # Without a connection nothing is held; with one, a broker that does not answer must not hold up the end.
            patience_s = timeout_s + CLOSE_TIMEOUT_S if self.connected else 0.0
            self._stop_timer = self._task.get_loop().call_later(patience_s, self._task.cancel)

    async def run(self) -> None:
        """Live until `stop`.

        Raises:
            PluginError: only with ``once``.
        """
        self._task = asyncio.current_task()
        try:
            await self._live()
        except asyncio.CancelledError:
            if self._alarm.stop_at is None:
                raise
        finally:
            self._task = None
            if self._stop_timer is not None:
                self._stop_timer.cancel()

    async def _live(self) -> None:
        """One connection after the other."""
        consumption = self._consumption
        consumption.progress_at = self._clock()
        consumption.begin_round()
        while self._alarm.stop_at is None:
            connected_at: float | None = None
            try:
                location = self._location = self._location or await self.settings.locate()
                consumption.looks.use(location.queue)
                connection = await amqp.connect(location.broker, self.settings.max_event_bytes)
                connected_at = self._clock()
                try:
                    self.connected = True
                    await consumption.serve(connection)
                finally:
                    self.connected = False
                    consumption.looks.lost()
                    await connection.close(CLOSE_TIMEOUT_S)
            except Exception as exc:  # trouble; or what nobody foresaw, whose domain is this stream
                error = self._as_trouble(exc)
                now = self._clock()
                self._check_once(error, now)
                consumption.found_empty = False
                if isinstance(error, MAY_BE_ELSEWHERE):
                    self._location = None
                if connected_at is not None and now - connected_at > STEADY_AFTER_S:
                    self._outage.over()
                delay_s = max(self._outage.failed(pace_of(error)), self.flow.least_retry_s)
                self._observer(facts.StreamTrouble(self.settings.name, error, delay_s, self._outage.attempts))
                await self._alarm.sleep_on(delay_s)
            else:
                if self.settings.poll_interval_s is not None:
                    self._outage.over()
                    await self._rest(self.settings.poll_interval_s)

    async def _rest(self, interval_s: float) -> None:
        """Say what the round brought, and wait for the next one to begin."""
        now, name, round_ = self._clock(), self.settings.name, self._consumption.round
        counted = self._intake.counters(name).since(round_.before)
        next_in_s = round_.next_in_s(now, interval_s) if self._alarm.stop_at is None else None
        self._consumption.found_empty = not counted.received
        requeued = self.requeued - round_.requeued_before
        self._observer(facts.StreamPolled(name, counted, now - round_.began_at, next_in_s, requeued))
        if next_in_s is not None:
            self.resting = True
            await self._alarm.sleep_on(next_in_s)
            self.resting = False
            self._consumption.begin_round()

    def _as_trouble(self, exc: Exception) -> PluginError:
        if isinstance(exc, PluginError):
            return exc
        self._observer(facts.InternalError("stream", exc))
        return InternalFault(f"{type(exc).__name__}, which nobody foresaw")

    def _check_once(self, error: PluginError, now: float) -> None:
        """With ``once`` what time does not mend, or too long a standstill, is raised and not retried."""
        if not self.settings.once:
            return
        stood_still_s = now - self._consumption.progress_at
        if isinstance(error, NOT_WITH_ONCE) or stood_still_s >= self.settings.pause_after_s:
            raise error
