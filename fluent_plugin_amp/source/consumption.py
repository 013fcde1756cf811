"""The consumption of one stream over a connection: channel after channel, as its flow says.

A new channel begins when everything was requeued, and when somebody else was quicker to take the queue.  What becomes
of the deliveries of a channel is seen to by `consumer.Consumer`.  The task wakes when something changes, and after a
tick for what nobody tells: that a delivery has grown old, or that another consumer has left.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fluent_plugin_amp import facts
from fluent_plugin_amp.backoff import Outage
from fluent_plugin_amp.errors import NoProgress, PluginError, QueueInUse
from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.alarm import Alarm
from fluent_plugin_amp.source.consumer import Consumer
from fluent_plugin_amp.source.flow import Flow
from fluent_plugin_amp.source.ledger import Ledger
from fluent_plugin_amp.source.looks import Looks
from fluent_plugin_amp.source.round import Round
from fluent_plugin_amp.source.settings import Intake, StreamSettings
from fluent_plugin_amp.source.transitions import Action, Reason, State
from fluent_plugin_amp.text import how_many

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


class Consumption:
    """What one stream consumes, over one connection after the other.

    Args:
        alarm: of the stream's task.
        outage: of the broker; it is over when anything is acked.
        stop: called when all is done that is to be done once.
        jitter: a random number in 0 … 1.
    """

    def __init__(
        self,
        settings: StreamSettings,
        flow: Flow,
        intake: Intake,
        observer: facts.Observer,
        alarm: Alarm,
        outage: Outage,
        *,
        stop: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float],
    ) -> None:
        self.looks = Looks()
        self.requeued = 0
        """Deliveries that went back to the queue, unacked, since the start."""
        self.durations = Histogram(DURATION_BOUNDS_S)
        """From the arrival of a delivery to its ack to the broker."""
        self.progress_at = clock()
        """When anything was acked last, or the start."""
        self.found_empty = False
        """The stream is polled, and its last round, which went well, brought nothing."""
        self._settings = settings
        self._flow = flow
        self._intake = intake
        self._observer = observer
        self._alarm = alarm
        self._outage = outage
        self._stop = stop
        self._clock = clock
        self._wall_clock = wall_clock
        self._jitter = jitter
        self._consumer: Consumer | None = None
        self._others_consume = False
        self.round = Round(clock(), wall_clock(), Counters())

    def begin_round(self) -> None:
        """From now on it is another round, which is about what its first look finds."""
        counters = self._intake.counters(self._settings.name)
        self.round = Round.begin(self._clock(), self._wall_clock(), counters, requeued_before=self.requeued)

    # --- how it stands ---------------------------------------------------------------------------

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
        if self._consumer is None or self.found_empty:
            return self.found_empty
        waits_for_first = self._flow.state is State.TRIAL and self.looks.saw_empty and not self.unacked
        return self._flow.state is State.FULL or waits_for_first

    async def look(self) -> None:
        """Ask the broker how much waits in the queue, for the operator; without effect while not connected."""
        consumer = self._consumer
        if consumer is None:
            return
        try:
            queue = await self._look(consumer.channel)
        except PluginError as error:  # `serve` deals with it; it would not hear of an answer that never came
            consumer.channel.fail(error)
            return
        unacked, progress_at = consumer.ledger.unacked, self.progress_at
        if self.looks.is_forgotten(*queue, unacked=unacked, consumes=self._consumes, progress_at=progress_at):
            consumer.channel.consumer_forgotten()

    # --- one connection --------------------------------------------------------------------------

    async def serve(self, connection: amqp.Connection) -> None:
        """Consume over one connection, until stopped or the round is over: a new channel after each pause."""
        settings, reported = self._settings, False
        while True:
            channel = await connection.open_channel()
            channel.closed.add_done_callback(lambda _: self._alarm.ring())
            queue = await self._look(channel)
            self._others_consume = settings.exclusive and queue.consumers > 0
            self.round.looked(queue.messages)
            if not reported:
                self._observer(
                    facts.StreamConnected(
                        settings.name,
                        self.looks.queue,
                        *queue,
                        is_poll=settings.is_polled,
                        is_exclusive=settings.exclusive,
                        outage_s=self._outage.lasted_s,
                    )
                )
                reported = True
            missing = self.looks.opened(*queue)
            if missing and not settings.exclusive:  # somebody else may have had its turn
                self._observer(facts.EventsVanished(settings.name, missing))
            consumer = self._consumer = self._consumer_on(channel)
            self._flow.channel_opened()
            try:
                ended = await self._follow_flow(consumer)
            except QueueInUse:
                if not settings.exclusive:
                    raise
                await self._step_back()  # somebody else was quicker
                continue
            finally:
                requeued = consumer.close()
                self.requeued += requeued
                self.looks.left(requeued, consumed=self._flow.state.consumes)
                self._consumer = None
            if ended:
                return
            self._observer(facts.StreamPaused(settings.name, settings.pause_after_s, requeued))
            self._intake.forget_requeued()

    def _consumer_on(self, channel: amqp.Channel) -> Consumer:
        return Consumer(
            channel,
            self._settings,
            self._flow,
            self._intake,
            self._observer,
            wake=self._alarm.ring,
            on_acked=self._acked,
            durations=self.durations,
            pulled_at=self.round.pulled_at if self._settings.is_polled else 0.0,
            clock=self._clock,
            wall_clock=self._wall_clock,
        )

    async def _follow_flow(self, consumer: Consumer) -> bool:
        """Do what the flow says.  True: it has ended.  False: everything was requeued."""
        channel, flow, settings = consumer.channel, self._flow, self._settings
        told: Reason | None = None  # why it is held
        while True:
            view = consumer.view(
                others_consume=self._others_consume,
                stop_asked=self._alarm.stop_at is not None,
                round_over=self.round.is_over,
            )
            match flow.next(view):
                case Action.CONSUME:
                    await consumer.consume(self.looks.queue)
                    told = None
                    if settings.exclusive and not await self._is_alone(channel):
                        continue
                    if flow.state is State.FULL:
                        self.looks.backlog.turned()
                        count, reason = flow.prefetch_count, flow.reason.value
                        self._observer(facts.StreamConsuming(settings.name, count, reason, settings.is_polled))
                case Action.CANCEL:
                    await channel.cancel()
                    consumer.send_acks()
                    if flow.state is State.BRAKED:
                        held = self._intake.held_bytes(settings.name)
                        self._observer(facts.MemoryBrake(settings.name, held, flow.full_prefetch_count))
                case Action.REQUEUE:
                    consumer.send_acks(hole_patience_s=0.0)
                    await channel.close(CLOSE_TIMEOUT_S)
                    if settings.once:
                        raise self._no_progress(consumer.ledger)
                    self.found_empty = False
                    return self._alarm.stop_at is not None
                case Action.WAIT:
                    if flow.state.ends and (not consumer.ledger.unresolved or self._alarm.is_stop_overdue):
                        await consumer.finish(CLOSE_TIMEOUT_S)
                        return True
                    if flow.state.is_held and flow.reason is not told:
                        told = flow.reason
                        self._observer(facts.StreamHeld(settings.name, told.value))
                    await self._alarm.sleep(self._tick_s())
                    if channel.closed.done():
                        raise channel.closed.result()
                    if settings.exclusive and flow.state.is_held:
                        self._others_consume = (await self._look(channel)).consumers > 0
                    consumer.send_acks()
                    if settings.once or settings.is_polled:
                        await self._end_when_done(consumer)

    def _tick_s(self) -> float:
        """When to look again, though nothing rings."""
        if self._settings.once or self._settings.is_polled:
            return ROUND_TICK_S
        if self._others_consume:
            return STANDBY_TICK_S
        if self.unacked:
            return BUSY_TICK_S
        return min(QUIET_TICK_S, self._settings.pause_after_s) if self._consumes else IDLE_TICK_S

    @property
    def _consumes(self) -> bool:
        return self._consumer is not None and self._flow.state.consumes

    async def _look(self, channel: amqp.Channel) -> amqp.Queue:
        queue = await channel.declare_passive(self.looks.queue)
        received = self._intake.counters(self._settings.name).received
        self.looks.looked(*queue, self._wall_clock(), received=received, consumes=self._consumes)
        return queue

    def _acked(self, deliveries: int) -> None:
        """So many were acked to the broker."""
        self.round.acked += deliveries
        self.looks.acked(deliveries)
        self.progress_at = self._clock()
        self._outage.over()
        if self._flow.state is State.BRAKED or self._flow.state.ends:
            self._alarm.ring()

    # --- standing by -----------------------------------------------------------------------------

    async def _is_alone(self, channel: amqp.Channel) -> bool:
        """Whether exclusive access was granted to us only; if not, the consumer is cancelled and stands by."""
        queue = await self._look(channel)
        if queue.consumers <= 1:
            return True
        await channel.cancel()
        self._flow.not_alone()
        self._others_consume = True
        await self._step_back()
        return False

    async def _step_back(self) -> None:
        await self._alarm.sleep_on(self._jitter() * STEP_BACK_S)

    # --- the end of a round ----------------------------------------------------------------------

    async def _end_when_done(self, consumer: Consumer) -> None:
        """End the round when as many as were there at its start are acked, or the queue is empty."""
        ledger, settings = consumer.ledger, self._settings
        is_done = self.round.has_all(ledger.unacked)
        now = self._clock()
        if not is_done and not ledger.unacked and not self._flow.state.is_held:
            queue = await self._look(consumer.channel)
            is_done = self.round.is_empty(queue.messages, ledger.unacked)
        if is_done and settings.once:
            self._stop()
        elif is_done:
            self.round.is_over = True
        if settings.once and now - self.progress_at >= settings.pause_after_s:
            raise self._no_progress(ledger)

    def _no_progress(self, ledger: Ledger) -> NoProgress:
        """What is not done, and waits for what."""
        settings, waiting = self._settings, how_many(ledger.unresolved, "event")
        if ledger.unresolved and self._intake.held_bytes(settings.name):
            what = f"no server has acknowledged all of {waiting}"
        elif ledger.unresolved:  # what a server has takes no bytes any more
            what = f"a server has {waiting}; the state file is to note them before they are acked"
        elif self._flow.state.is_held:
            what = self._flow.reason.value
        else:
            what = "the broker sends none"
        return NoProgress(f"no event was acked to the broker for {settings.pause_after_s:g} s: {what}")
