"""A stream against a real RabbitMQ, that can be told how its events fare; what the tests of `source` share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Fact, StreamPolled, StreamTrouble
from fluent_plugin_amp.model import Counters, Delivery
from fluent_plugin_amp.source import amqp, consumption
from fluent_plugin_amp.source.flow import Flow
from fluent_plugin_amp.source.settings import Location, StreamSettings
from fluent_plugin_amp.source.stream import Stream
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, QueueDepth, StreamCredentials

DEADLINE_S = 60.0
LIMIT_BYTES = 1_000_000
Kind = TypeVar("Kind", bound=Fact)


def tick_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream looks at its deliveries more often than it needs to."""
    for name in ("BUSY_TICK_S", "IDLE_TICK_S", "QUIET_TICK_S", "STANDBY_TICK_S", "ROUND_TICK_S"):
        monkeypatch.setattr(consumption, name, 0.05)
    monkeypatch.setattr(consumption, "STEP_BACK_S", 0.1)


class ScriptedIntake:
    """Takes deliveries and acks them when told to: at once, or when ``ack`` is called."""

    def __init__(self, *, acks_at_once: bool = False) -> None:
        self.acks_at_once = acks_at_once
        self.available = True
        self.acked_chunks = 0
        self.received: list[Delivery] = []
        self.waiting: list[Delivery] = []
        self.probes = 0
        self.counted = Counters()
        self.peak_held_bytes = 0
        self.changed = asyncio.Event()

    def receive(self, delivery: Delivery) -> None:
        """One delivery; a server's ack takes a turn of the loop at least."""
        delivery.held_bytes = len(delivery.body)
        self.received.append(delivery)
        self.counted.received += 1
        self.waiting.append(delivery)
        self.peak_held_bytes = max(self.peak_held_bytes, self.total_held_bytes)
        self.changed.set()
        if self.acks_at_once:
            asyncio.get_running_loop().call_soon(self.ack, delivery)

    def ack(self, *deliveries: Delivery) -> None:
        """A server acks a chunk with these, or with all that wait."""
        chosen = [one for one in deliveries or list(self.waiting) if one in self.waiting]
        if chosen:
            self.acked_chunks += 1
        for delivery in chosen:
            self.waiting.remove(delivery)
            self.counted.delivered += 1
            delivery.ledger.resolve(delivery.delivery_tag)
        self.changed.set()

    def ack_the_probe(self) -> None:
        """A server acks the one chunk that was kept."""
        self.probes = 0
        self.acked_chunks += 1
        self.changed.set()

    def forget_requeued(self) -> None:
        """Keeps one of them as a probe, like the sink does."""
        self.probes += any(delivery.ledger.closed for delivery in self.waiting)
        self.waiting = [delivery for delivery in self.waiting if not delivery.ledger.closed]
        self.changed.set()

    def counters(self, stream: str) -> Counters:
        """There is one stream only."""
        return self.counted

    def held_bytes(self, stream: str) -> int:
        """There is one stream only."""
        return self.total_held_bytes

    @property
    def total_held_bytes(self) -> int:
        """Bodies that wait."""
        return sum(delivery.held_bytes for delivery in self.waiting)

    @property
    def sink_in_flight(self) -> int:
        """Everything that waits, and the probe."""
        return len(self.waiting) + self.probes


class Whereabouts:
    """Tells where a stream is: what ``answers`` hold, one after the other, the last one for ever."""

    def __init__(self, *answers: Location | PluginError) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self) -> Location:
        """The next answer."""
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, PluginError):
            raise answer
        return answer


def location_of(broker: PrivateRabbitMQ, credentials: StreamCredentials) -> Location:
    """Where this queue is."""
    return Location(
        amqp.BrokerAddress("127.0.0.1", broker.port, credentials.username, credentials.password), credentials.queue
    )


class Rig:
    """A stream with a scripted intake, and what it reported."""

    def __init__(
        self,
        broker: PrivateRabbitMQ,
        credentials: StreamCredentials,
        *,
        acks_at_once: bool = False,
        prefetch_count: int = 100,
        jitter: Callable[[], float] = lambda: 1.0,
        **options: Any,
    ) -> None:
        self.broker = broker
        self.queue = credentials.queue
        self.username = credentials.username
        self.intake = ScriptedIntake(acks_at_once=acks_at_once)
        self.facts: list[Fact] = []
        settings = StreamSettings(
            name="emea",
            locate=Whereabouts(location_of(broker, credentials)),
            memory_limit_bytes=LIMIT_BYTES,
            max_event_bytes=LIMIT_BYTES,
            shutdown_timeout_s=DEADLINE_S,
            pause_after_s=600.0,
        )
        settings = replace(settings, **options)
        flow = Flow(
            prefetch_count=prefetch_count,
            pause_after_s=settings.pause_after_s,
            share_bytes=LIMIT_BYTES,
            memory_limit_bytes=LIMIT_BYTES,
        )
        self.stream = Stream(settings, flow, self.intake, self.observe, jitter=jitter)

    def observe(self, fact: Fact) -> None:
        """The stream reports something."""
        self.facts.append(fact)
        self.intake.changed.set()

    def told(self, kind: type[Kind]) -> list[Kind]:
        """All facts of this kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def publish(self, count: int, size_bytes: int = 0) -> list[bytes]:
        """Put that many different messages into the queue."""
        bodies = [b"%d" % number + b" " * size_bytes for number in range(count)]
        await asyncio.to_thread(self.broker.publish, self.queue, bodies)
        return bodies

    async def depth(self, condition: Callable[[QueueDepth], bool]) -> QueueDepth:
        """Wait until the queue looks like this."""
        return await asyncio.to_thread(self.broker.wait_for_depth, self.queue, condition, DEADLINE_S)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that was received or told makes this true."""

        async def wait() -> None:
            while not condition():
                self.intake.changed.clear()
                await self.intake.changed.wait()

        await asyncio.wait_for(wait(), DEADLINE_S)

    async def close_connection(self) -> None:
        """The broker closes the stream's connection; returns when the stream has noticed."""
        lost = len(self.told(StreamTrouble))
        await asyncio.to_thread(self.broker.close_all_connections, self.username)
        await self.until(lambda: len(self.told(StreamTrouble)) > lost)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """The stream runs; at the end it is stopped, with whatever waits acked."""
        task = asyncio.create_task(self.stream.run())
        try:
            yield task
        finally:
            if not task.done():
                self.intake.acks_at_once = True
                self.intake.ack()
                self.stream.stop()
            await asyncio.wait_for(task, DEADLINE_S)


async def polled(rig: Rig, times: int) -> list[StreamPolled]:
    """The rounds so far, once there are so many."""
    await rig.until(lambda: len(rig.told(StreamPolled)) >= times)
    return rig.told(StreamPolled)
