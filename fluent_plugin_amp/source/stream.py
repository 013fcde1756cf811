"""The life of one event stream: connect, consume as its flow says, ack as its ledger says, reconnect for ever.

With ``poll_interval_s`` it lives in rounds: connect, deliver what is in the queue, disconnect, rest.

A thin shell: what to do is decided by `flow.Flow`, when to try again by `backoff.Outage`, what becomes of deliveries
is seen to by `consumer.Consumer`, and how AMQP is spoken by `amqp`.  The task of the stream wakes only when something
changes.
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
    QueueInUse,
    QueueNotFound,
    RefusedError,
)
from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.alarm import Alarm
from fluent_plugin_amp.source.backlog import Backlog
from fluent_plugin_amp.source.consumer import Consumer
from fluent_plugin_amp.source.flow import Flow
from fluent_plugin_amp.source.retry import COMES_AGAIN, pace_of
from fluent_plugin_amp.source.round import Round
from fluent_plugin_amp.source.settings import Intake, Location, StreamSettings
from fluent_plugin_amp.source.starvation import Starvation
from fluent_plugin_amp.source.transitions import Action, Reason, State
from fluent_plugin_amp.source.vanished import Vanished

BUSY_TICK_S = 1.0
"""How often a stream with unacked deliveries looks at their age, and at holes."""
IDLE_TICK_S = 5.0
"""How often a stream that holds nothing, and does not consume, looks whether it may."""
QUIET_TICK_S = 30.0
"""How often one that consumes looks whether it holds anything by now, and how old that is: hundreds may be quiet."""
ROUND_TICK_S = 0.2
"""How often a stream looks whether its round is over."""
STANDBY_TICK_S = 1.0
"""How often a standby looks whether the queue is free."""
STEP_BACK_S = 3.0
"""At most, for one of two who took the queue at the same moment."""
CLOSE_TIMEOUT_S = 2.0
DURATION_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)

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
        self.found_empty = False
        """It is polled, and the last round, which went well, brought nothing."""
        self.backlog = Backlog()
        self.others = 0
        """Consumers of the queue besides this one, at the last look; 0 while not connected."""
        self.requeued = 0
        """Deliveries that went back to the queue, unacked, since the start."""
        self.durations = Histogram(DURATION_BOUNDS_S)
        """From the arrival of a delivery to its ack to the broker."""
        self._intake = intake
        self._observer = observer
        self._clock = clock
        self._wall_clock = wall_clock
        self._jitter = jitter
        self._alarm = Alarm()
        self._task: asyncio.Task[object] | None = None
        self._stop_at: float | None = None
        self._stop_timer: asyncio.TimerHandle | None = None
        self._location: Location | None = None  # until it is known, and when it may be another by now
        self._queue = ""
        self._consumer: Consumer | None = None
        self._starvation = Starvation()
        self._vanished = Vanished()
        self._round = Round(clock(), wall_clock(), Counters())
        self._requeued_before = 0  # this round
        self._progress_at = clock()
        self._outage = Outage(clock, jitter)
        self._others_consume = False
        self._saw_empty = False
        """At the last look nothing was in the queue, nor with a consumer that the broker takes for alive."""

    @property
    def unacked(self) -> int:
        """Deliveries not acked to the broker."""
        return 0 if self._consumer is None else self._consumer.ledger.unacked

    @property
    def oldest_unacked_s(self) -> float:
        """Age of the oldest delivery not acked to the broker, since it arrived; 0 without one."""
        oldest_at = None if self._consumer is None else self._consumer.ledger.oldest_at()
        return 0.0 if oldest_at is None else self._clock() - oldest_at

    @property
    def gets_everything(self) -> bool:
        """What is in its queue arrives; or there was nothing, and what comes arrives at once."""
        if self._consumer is None:
            return self.found_empty
        waits_for_first = self.flow.state is State.TRIAL and self._saw_empty and not self.unacked
        return self.found_empty or self.flow.state is State.FULL or waits_for_first

    async def look(self) -> None:
        """Ask the broker how much waits in the queue, for the operator; without effect while not connected."""
        consumer = self._consumer
        if consumer is None:
            return
        try:
            queue = await self._look(consumer.channel)
        except PluginError as error:  # `run` deals with it; of an answer that never came it would not hear otherwise
            consumer.channel.fail(error)
            return
        unacked = consumer.ledger.unacked
        self._vanished.looked(messages=queue.messages, unacked=unacked, others=self._others(queue))
        idle = self.flow.state.consumes and not unacked
        if self._starvation.looked(
            messages=queue.messages, consumers=queue.consumers, idle=idle, progress_at=self._progress_at
        ):
            consumer.channel.consumer_forgotten()

    def wake(self) -> None:
        """Something outside changed: look again."""
        self._alarm.ring()

    def stop(self) -> None:
        """Consume no more; end when what is held is delivered, at the latest after ``shutdown_timeout_s``."""
        if self._stop_at is not None:
            return
        self._stop_at = self._clock() + self.settings.shutdown_timeout_s
        self._alarm.ring()
        if self._task is not None:
            # Without a connection nothing is held; with one, a broker that does not answer must not hold up the end.
            patience_s = self.settings.shutdown_timeout_s + CLOSE_TIMEOUT_S if self.connected else 0.0
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
            if self._stop_at is None:
                raise
        finally:
            self._task = None
            if self._stop_timer is not None:
                self._stop_timer.cancel()

    async def _live(self) -> None:
        """One connection after the other."""
        self._progress_at = self._clock()
        self._begin_round()
        while self._stop_at is None:
            connected_at: float | None = None
            try:
                location = self._location = self._location or await self.settings.locate()
                if location.queue != self._queue:
                    self._queue, self._vanished = location.queue, Vanished()
                connection = await amqp.connect(location.broker, self.settings.max_event_bytes)
                connected_at = self._clock()
                try:
                    self.connected = True
                    await self._serve(connection)
                finally:
                    self.connected = False
                    self.backlog.lost()
                    self.others = 0
                    await connection.close(CLOSE_TIMEOUT_S)
            except Exception as exc:  # trouble; or what nobody foresaw, whose domain is this stream
                error = self._as_trouble(exc)
                now = self._clock()
                self._check_once(error, now)
                self.found_empty = False
                if isinstance(error, MAY_BE_ELSEWHERE):
                    self._location = None
                if connected_at is not None and now - connected_at > STEADY_AFTER_S:
                    self._outage.over()
                delay_s = max(self._outage.failed(pace_of(error)), self.flow.least_retry_s)
                self._observer(facts.StreamTrouble(self.settings.name, error, delay_s, self._outage.attempts))
                await self._back_off(delay_s)
            else:
                if self.settings.poll_interval_s is not None:
                    self._outage.over()
                    await self._rest(self.settings.poll_interval_s)

    # --- rounds ----------------------------------------------------------------------------------

    def _begin_round(self) -> None:
        self._requeued_before = self.requeued
        self._round = Round.begin(self._clock(), self._wall_clock(), self._intake.counters(self.settings.name))

    async def _rest(self, interval_s: float) -> None:
        """Say what the round brought, and wait for the next one to begin."""
        now, name = self._clock(), self.settings.name
        counted = self._intake.counters(name).since(self._round.before)
        next_in_s = self._round.next_in_s(now, interval_s) if self._stop_at is None else None
        self.found_empty = not counted.received
        requeued = self.requeued - self._requeued_before
        self._observer(facts.StreamPolled(name, counted, now - self._round.began_at, next_in_s, requeued))
        if next_in_s is not None:
            self.resting = True
            await self._back_off(next_in_s)
            self.resting = False
            self._begin_round()

    # --- one connection --------------------------------------------------------------------------

    async def _serve(self, connection: amqp.Connection) -> None:
        """Consume over one connection, over as many channels as pauses ask for; return when stopped."""
        reported = False
        while True:
            channel = await connection.open_channel()
            channel.closed.add_done_callback(lambda _: self._alarm.ring())
            queue = await self._look(channel)
            self._others_consume = self.settings.exclusive and queue.consumers > 0
            self._round.looked(queue.messages)
            if not reported:
                self._observer(
                    facts.StreamConnected(
                        self.settings.name,
                        self._queue,
                        *queue,
                        is_poll=self._is_polled,
                        is_exclusive=self.settings.exclusive,
                        outage_s=self._outage.lasted_s,
                    )
                )
                reported = True
            missing = self._vanished.opened(messages=queue.messages, consumers=queue.consumers)
            if missing and not self.settings.exclusive:  # somebody else may have had its turn
                self._observer(facts.EventsVanished(self.settings.name, missing))
            consumer = self._consumer = self._consumer_on(channel)
            self._starvation = Starvation()
            self.flow.channel_opened()
            try:
                ended = await self._follow_flow(consumer)
            except QueueInUse:
                if not self.settings.exclusive:
                    raise
                await self._back_off(self._jitter() * STEP_BACK_S)  # somebody else was quicker
                continue
            finally:
                requeued = consumer.close()
                self.requeued += requeued
                self._vanished.left(requeued, consumed=self.flow.state.consumes)
                self._consumer = None
            if ended:
                return
            self._observer(facts.StreamPaused(self.settings.name, self.settings.pause_after_s, requeued))
            self._intake.forget_requeued()

    def _consumer_on(self, channel: amqp.Channel) -> Consumer:
        return Consumer(
            channel,
            self.settings,
            self.flow,
            self._intake,
            self._observer,
            wake=self._alarm.ring,
            on_acked=self._acked,
            durations=self.durations,
            pulled_at=self._round.pulled_at if self._is_polled else 0.0,
            clock=self._clock,
            wall_clock=self._wall_clock,
        )

    async def _follow_flow(self, consumer: Consumer) -> bool:
        """Do what the flow says.  True: stopped and done.  False: everything was requeued."""
        channel = consumer.channel
        told: Reason | None = None  # why it is held
        while True:
            view = consumer.view(
                others_consume=self._others_consume,
                stop_asked=self._stop_at is not None,
                round_over=self._round.is_over,
            )
            match self.flow.next(view):
                case Action.CONSUME:
                    await consumer.consume(self._queue)
                    told = None
                    if self.settings.exclusive and not await self._is_alone(channel):
                        continue
                    if self.flow.state is State.FULL:
                        self.backlog.turned()
                        count = self.flow.prefetch_count
                        reason = self.flow.reason.value
                        self._observer(facts.StreamConsuming(self.settings.name, count, reason, self._is_polled))
                case Action.CANCEL:
                    await channel.cancel()
                    consumer.send_acks()
                    if self.flow.state is State.BRAKED:
                        held = self._intake.held_bytes(self.settings.name)
                        self._observer(facts.MemoryBrake(self.settings.name, held, self.flow.full_prefetch_count))
                case Action.REQUEUE:
                    consumer.send_acks(hole_patience_s=0.0)
                    await channel.close(CLOSE_TIMEOUT_S)
                    self._check_once(NoProgress(f"nothing was acked for {self.settings.pause_after_s:g} s"))
                    self.found_empty = False
                    return self._stop_at is not None
                case Action.WAIT:
                    if self._is_stopped(consumer):
                        await consumer.finish(CLOSE_TIMEOUT_S)
                        return True
                    if self.flow.state.is_held and self.flow.reason is not told:
                        told = self.flow.reason
                        self._observer(facts.StreamHeld(self.settings.name, told.value))
                    await self._next_wake(consumer)
                    if channel.closed.done():
                        raise channel.closed.result()
                    if self.settings.exclusive and self.flow.state.is_held:
                        queue = await self._look(channel)
                        self._others_consume = queue.consumers > 0
                    consumer.send_acks()
                    if self.settings.once or self._is_polled:
                        await self._end_when_done(consumer)

    async def _look(self, channel: amqp.Channel) -> amqp.Queue:
        queue = await channel.declare_passive(self._queue)
        received = self._intake.counters(self.settings.name).received
        self.backlog.looked(queue.messages, self._wall_clock(), received=received)
        self.others = self._others(queue)
        self._saw_empty = queue.messages == 0 and not self.others
        return queue

    def _others(self, queue: amqp.Queue) -> int:
        """How many consumers of the queue are not this stream's."""
        ours = 1 if self._consumer is not None and self.flow.state.consumes else 0
        return max(0, queue.consumers - ours)

    async def _is_alone(self, channel: amqp.Channel) -> bool:
        """Whether exclusive access was granted to us only; if not, the consumer is cancelled and stands by."""
        queue = await self._look(channel)
        if queue.consumers <= 1:
            return True
        await channel.cancel()
        self.flow.not_alone()
        self._others_consume = True
        await self._back_off(self._jitter() * STEP_BACK_S)
        return False

    def _acked(self, deliveries: int) -> None:
        """So many were acked to the broker."""
        self._round.acked += deliveries
        self._vanished.acked(deliveries)
        self._progress_at = self._clock()
        self._outage.over()
        self._saw_empty = False
        if self.flow.state is State.BRAKED or self.flow.state.ends:
            self._alarm.ring()

    # --- the end ---------------------------------------------------------------------------------

    def _is_stopped(self, consumer: Consumer) -> bool:
        if not self.flow.state.ends:
            return False
        return consumer.ledger.unresolved == 0 or (self._stop_at is not None and self._clock() >= self._stop_at)

    async def _end_when_done(self, consumer: Consumer) -> None:
        """End the round when as many as were there at its start are acked, or the queue is empty."""
        ledger = consumer.ledger
        is_done = self._round.has_all(ledger.unacked)
        now = self._clock()
        if not is_done and not ledger.unacked and not self.flow.state.is_held:
            queue = await self._look(consumer.channel)
            is_done = self._round.is_empty(queue.messages, ledger.unacked)
        if is_done and self.settings.once:
            self.stop()
        elif is_done:
            self._round.is_over = True
        if self.settings.once and now - self._progress_at >= self.settings.pause_after_s:
            raise NoProgress(f"nothing was acked for {self.settings.pause_after_s:g} s ({self.flow.reason.value})")

    def _as_trouble(self, exc: Exception) -> PluginError:
        if isinstance(exc, PluginError):
            return exc
        self._observer(facts.InternalError("stream", exc))
        return InternalFault(f"{type(exc).__name__}, which nobody foresaw")

    def _check_once(self, error: PluginError, now: float | None = None) -> None:
        """With ``once`` what time does not mend, or too long a standstill, is raised and not retried."""
        if not self.settings.once:
            return
        stood_still_s = (self._clock() if now is None else now) - self._progress_at
        if isinstance(error, NOT_WITH_ONCE) or stood_still_s >= self.settings.pause_after_s:
            raise error

    @property
    def _is_polled(self) -> bool:
        return self.settings.poll_interval_s is not None

    # --- time ------------------------------------------------------------------------------------

    async def _next_wake(self, consumer: Consumer) -> None:
        if consumer.ledger.unacked:
            tick_s = BUSY_TICK_S
        elif self.flow.state.consumes:
            tick_s = min(QUIET_TICK_S, self.settings.pause_after_s)
        else:
            tick_s = IDLE_TICK_S
        if self._others_consume:
            tick_s = STANDBY_TICK_S
        if self.settings.once or self._is_polled:
            tick_s = ROUND_TICK_S
        if self._stop_at is not None:
            tick_s = max(0.0, min(tick_s, self._stop_at - self._clock()))
        await self._alarm.sleep(tick_s)

    async def _back_off(self, delay_s: float) -> None:
        """All of ``delay_s``, whatever happens meanwhile, unless stopped."""
        until = self._clock() + delay_s
        while self._stop_at is None and (left_s := until - self._clock()) > 0:
            await self._alarm.sleep(left_s)
