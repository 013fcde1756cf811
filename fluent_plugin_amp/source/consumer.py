"""What is done for the deliveries of one channel: to the intake as they arrive, acked as their ledger says.

The path of an event takes no task switch here: messages go to the intake in the callback that brings them, and acks
are written in the loop's next turn.  `flow.Flow` decides when to consume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import BrokerViolation, PluginError
from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.content import Message
from fluent_plugin_amp.source.flow import MANY_REQUEUES, Flow, Situation
from fluent_plugin_amp.source.ledger import HOLE_PATIENCE_S, Ledger
from fluent_plugin_amp.source.settings import Intake, StreamSettings
from fluent_plugin_amp.source.transitions import State


class Consumer:
    """One channel, until it is closed.

    Args:
        wake: called when the stream should look at its flow again.
        on_acked: told how many deliveries were acked to the broker, each time that some were.
        durations: from the arrival of a delivery to its ack.
        pulled_at: beginning of the round, seconds since the epoch; 0: the stream is not polled.
    """

    def __init__(
        self,
        channel: amqp.Channel,
        settings: StreamSettings,
        flow: Flow,
        intake: Intake,
        observer: facts.Observer,
        *,
        wake: Callable[[], None],
        on_acked: Callable[[int], None],
        durations: Histogram,
        pulled_at: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.channel = channel
        self.ledger = Ledger(self._schedule_acks, durations.observe)
        self._settings = settings
        self._flow = flow
        self._intake = intake
        self._observer = observer
        self._wake = wake
        self._on_acked = on_acked
        self._pulled_at = pulled_at
        self._clock = clock
        self._wall_clock = wall_clock
        self._most_unacked = 0

    async def consume(self, queue: str) -> None:
        """Consume as much as the flow says."""
        self._most_unacked = self.ledger.unacked + self._flow.prefetch_count
        await self.channel.consume(
            queue, self._flow.prefetch_count, self._on_messages, exclusive=self._settings.exclusive
        )

    def view(self, *, others_consume: bool = False, stop_asked: bool = False, round_over: bool = False) -> Situation:
        """What the flow decides on."""
        intake, ledger = self._intake, self.ledger
        oldest_at = ledger.oldest_at()
        return Situation(
            available=intake.available,
            sink_in_flight=intake.sink_in_flight,
            acked=intake.acked_chunks,
            unacked=ledger.unacked,
            unresolved=ledger.unresolved,
            oldest_age_s=0.0 if oldest_at is None else self._clock() - oldest_at,
            held_bytes=intake.held_bytes(self._settings.name),
            total_held_bytes=intake.total_held_bytes,
            others_consume=others_consume,
            stop_asked=stop_asked,
            round_over=round_over,
        )

    def send_acks(self, hole_patience_s: float = HOLE_PATIENCE_S) -> None:
        """Ack what may be acked by now; the acks of a trial that is decided wait for the cancel."""
        ledger = self.ledger
        if not ledger.unacked:
            return
        if self._flow.state is State.TRIAL and self._flow.holds_acks(self.view()):
            if not ledger.unresolved:
                self._wake()
            return
        before = ledger.unacked
        for ack in ledger.due(self._clock(), hole_patience_s):
            self.channel.ack(ack.delivery_tag, multiple=ack.multiple)
        if ledger.unacked < before:
            self._on_acked(before - ledger.unacked)

    async def finish(self, timeout_s: float) -> None:
        """Send the last acks and see that the broker has them."""
        self.send_acks(hole_patience_s=0.0)
        try:
            await asyncio.wait_for(self.channel.barrier(), timeout_s)
        except (asyncio.TimeoutError, PluginError):
            return  # the broker is gone: it will deliver again, and nothing is lost by leaving

    def close(self) -> int:
        """The channel is gone; how many deliveries went back unacked."""
        return self.ledger.close()

    def _schedule_acks(self) -> None:
        asyncio.get_running_loop().call_soon(self._send_acks_now)

    def _send_acks_now(self) -> None:
        try:
            self.send_acks()
        except Exception as exc:  # the domain of this stream, whose task waits for it
            self.channel.fail(exc)

    def _on_messages(self, messages: list[Message]) -> None:
        """What arrived together; nothing of it is taken when the broker has it back already."""
        name, ledger, intake, flow = self._settings.name, self.ledger, self._intake, self._flow
        if ledger.closed:
            return
        if ledger.unacked + len(messages) > self._most_unacked:
            self.close()
            self.channel.fail(BrokerViolation(f"more deliveries than the {self._most_unacked} that were asked for"))
            return
        now, received_at = self._clock(), self._wall_clock()
        for tag, redelivered, routing_key, requeues, body in messages:
            ledger.deliver(tag, now)
            delivery = Delivery(name, ledger, tag, body, redelivered, routing_key, received_at, self._pulled_at)
            intake.receive(delivery)
            flow.delivered(delivery.held_bytes, requeues)
            if requeues >= MANY_REQUEUES:
                self._observer(facts.DeliveryRequeuedOften(name, requeues))
        if intake.total_held_bytes > self._settings.memory_limit_bytes:
            self._wake()
