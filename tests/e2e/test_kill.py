"""The plugin is killed, or told to stop: every event arrives, and what is not delivered is in the queue."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.reactions import Ack, HoldAck, NoAck
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import StartPlugin

KILLS = 10
SEED = 20
BATCH = 50
EVENTS = 1000

Section = dict[str, Any]


@pytest.fixture
def stream(make_stream: MakeStream) -> StreamCredentials:
    """A queue of the test's own."""
    return make_stream()


@pytest.fixture
def section(stream: StreamCredentials, certificates: Certificates) -> Section:
    """Reads the queue, over TLS."""
    return stream_section(stream, certificates)


async def is_left(broker: PrivateRabbitMQ, stream: StreamCredentials, condition: Callable[[int, int], bool]) -> None:
    """Return when the messages ready and unacked in the queue are as asked for."""
    await asyncio.to_thread(broker.wait_for_depth, stream.queue, lambda depth: condition(depth.ready, depth.unacked))


async def test_killed_at_any_moment(
    broker: PrivateRabbitMQ, stream: StreamCredentials, section: Section, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """After ten kill -9 while events flow, every event has arrived at least once and the queue is empty."""
    published: list[bytes] = []
    flowing = True

    def publish() -> None:
        while flowing:
            more = bodies(BATCH, first=len(published))
            broker.publish(stream.queue, more)
            published.extend(more)
            time.sleep(0.05)

    fluentd.reaction = Ack(delay_s=0.02)
    publisher = asyncio.create_task(asyncio.to_thread(publish))
    try:
        moments = random.Random(SEED)
        for kill in range(KILLS):
            plugin = run(configuration(section, fluentd, chunk_limit_size="16KiB"))
            if kill % 2:
                await plugin.logged("consuming, prefetch")
                await asyncio.sleep(moments.uniform(0.0, 0.5))
            else:
                await plugin.logged("started: ")
                await asyncio.sleep(moments.uniform(0.0, 0.1))  # while it connects and begins
            plugin.kill()
    finally:
        flowing = False
        await publisher
    run(configuration(section, fluentd))
    await is_left(broker, stream, lambda ready, unacked: ready + unacked == 0)
    assert ids_of(fluentd.records).keys() == ids_of(published).keys()
    assert fluentd.violations == []


async def test_told_to_stop(
    broker: PrivateRabbitMQ, stream: StreamCredentials, section: Section, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """SIGTERM in the middle of a flow: exit 0, nothing unacked, each event either delivered or in the queue."""
    published = bodies(EVENTS)
    await asyncio.to_thread(broker.publish, stream.queue, published)
    fluentd.script(Ack(), HoldAck())
    plugin = run(configuration(section | {"prefetch_count": 100}, fluentd))
    await fluentd.wait_for(lambda: any(not chunk.accepted for chunk in fluentd.chunks))
    stopping = asyncio.create_task(plugin.stopped())
    await plugin.logged("SIGTERM: stopping")
    fluentd.release()
    assert await stopping == 0
    await is_left(broker, stream, lambda ready, unacked: unacked == 0)
    delivered = len(fluentd.records)
    assert 0 < delivered < EVENTS
    assert broker.queue_depth(stream.queue).ready == EVENTS - delivered
    assert await run(configuration(section, fluentd), "--once").ended() == 0
    assert ids_of(fluentd.records) == ids_of(published)
    assert f"{delivered} delivered" in plugin.log
    assert fluentd.violations == []


async def test_told_to_stop_while_the_server_hangs(
    broker: PrivateRabbitMQ, stream: StreamCredentials, section: Section, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """SIGTERM ends the process when shutdown_timeout is over; what was not acked is back in the queue."""
    await asyncio.to_thread(broker.publish, stream.queue, bodies(EVENTS))
    fluentd.script(Ack())
    fluentd.reaction = NoAck()
    plugin = run(configuration(section | {"prefetch_count": 100}, fluentd, shutdown_timeout="1s"))
    await is_left(broker, stream, lambda ready, unacked: (ready, unacked) == (EVENTS - 101, 100))
    plugin.signal(signal.SIGTERM)
    assert await plugin.ended() == 0
    await is_left(broker, stream, lambda ready, unacked: (ready, unacked) == (EVENTS - 1, 0))


async def test_told_twice_to_stop(
    broker: PrivateRabbitMQ, stream: StreamCredentials, section: Section, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """A second SIGTERM does not wait for a server that hangs; nothing is lost by that either."""
    await asyncio.to_thread(broker.publish, stream.queue, bodies(EVENTS))
    fluentd.reaction = NoAck()
    plugin = run(configuration(section, fluentd, shutdown_timeout="5m"))
    await is_left(broker, stream, lambda ready, unacked: (ready, unacked) == (EVENTS - 1, 1))
    plugin.signal(signal.SIGTERM)
    await plugin.logged("SIGTERM: stopping")
    plugin.signal(signal.SIGTERM)
    assert await plugin.ended() == 128 + signal.SIGTERM
    await is_left(broker, stream, lambda ready, unacked: (ready, unacked) == (EVENTS, 0))


async def test_answers_that_nobody_can_deal_with(
    broker: PrivateRabbitMQ, stream: StreamCredentials, section: Section, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """A fault of our own in a callback ends nothing and acks nothing: everything is still at the broker."""
    published = bodies(EVENTS)
    await asyncio.to_thread(broker.publish, stream.queue, published)
    plugin = run(
        configuration(section, fluentd, shutdown_timeout="1s"),
        prelude="from fluent_plugin_amp.pipeline.conductor import Conductor\nConductor.on_answer = None",
    )
    await plugin.logged("[internal.error] TypeError")
    assert await plugin.stopped() == 0
    await is_left(broker, stream, lambda ready, unacked: (ready, unacked) == (EVENTS, 0))
