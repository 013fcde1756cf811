"""What the broker does to the plugin: nothing is lost, and the way back needs nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from fluent_plugin_amp.source.flow import MANY_REQUEUES
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.reactions import Ack, HoldAck, NoAck
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import StartPlugin
from tests.e2e.plugin import eventually

EVENTS = 100
RECONNECTS = 100
DELIVERY_LIMIT = 20
IMPATIENT = """\
from fluent_plugin_amp import backoff
backoff.OUTAGE_LEAST_CAP_S = backoff.OUTAGE_MOST_CAP_S = 0.02
"""
"""Lets the plugin reconnect a hundred times within a test."""


@dataclass
class Source:
    """A queue and all that was ever published into it."""

    broker: PrivateRabbitMQ
    stream: StreamCredentials
    section: dict[str, Any]
    published: list[bytes]

    async def publish(self, count: int = EVENTS) -> None:
        """Put events into the queue."""
        more = bodies(count, first=len(self.published))
        self.published += more
        await asyncio.to_thread(self.broker.publish, self.stream.queue, more)

    async def has(self, ready: int, unacked: int = 0) -> None:
        """Return when the queue holds so many messages."""
        await asyncio.to_thread(
            self.broker.wait_for_depth, self.stream.queue, lambda depth: depth[:2] == (ready, unacked)
        )


@pytest.fixture
def make_source(
    broker: PrivateRabbitMQ, make_stream: MakeStream, certificates: Certificates
) -> Callable[..., Source]:
    """Makes a queue, given what `make_stream` takes."""

    def make(**options: Any) -> Source:
        stream = make_stream(**options)
        return Source(broker, stream, stream_section(stream, certificates), [])

    return make


@pytest.fixture
def source(make_source: Callable[..., Source]) -> Source:
    """One queue."""
    return make_source()


async def put_in_flight(source: Source, fluentd: FakeFluentd) -> None:
    """Publish events, and return when all are unacked and a server has a chunk of them that it did not ack."""
    await source.publish(1)  # consumption begins with a single event
    await source.has(0)
    fluentd.reaction = HoldAck()
    await source.publish()
    await source.has(0, unacked=EVENTS)
    await fluentd.wait_for(lambda: not all(chunk.accepted for chunk in fluentd.chunks))


async def end_well(source: Source, fluentd: FakeFluentd) -> None:
    """From now on the server acks: everything arrives, each event once, and the queue is empty."""
    fluentd.reaction = Ack()
    fluentd.release()
    await source.has(0)
    assert ids_of(fluentd.records) == ids_of(source.published)
    assert fluentd.violations == []


# --- the broker goes away -------------------------------------------------------------------------------


async def test_killed_with_chunks_in_flight_and_down_at_start(
    make_source: Callable[..., Source], run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """After a crash of RabbitMQ the plugin that had chunks in flight goes on, and so does one started meanwhile."""
    source, other = make_source(), make_source()
    await other.publish()
    brisk = "from fluent_plugin_amp import backoff; backoff.OUTAGE_MOST_CAP_S = 1.0"
    before = run(configuration(source.section, fluentd), prelude=brisk)  # however long the broker takes to start
    await put_in_flight(source, fluentd)
    await asyncio.to_thread(source.broker.kill)
    await before.logged("[amqp.connection-lost]")
    async with FakeFluentd() as second:
        meanwhile = run(configuration(other.section, second), prelude=brisk)
        await meanwhile.logged("[amqp.unreachable]")
        await asyncio.to_thread(source.broker.start)
        await end_well(other, second)
    await end_well(source, fluentd)


async def test_restarted_with_chunks_in_flight(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """Chunks acked after RabbitMQ restarted count: their events, delivered again, are not sent again."""
    plugin = run(configuration(source.section, fluentd))
    await put_in_flight(source, fluentd)
    await asyncio.to_thread(source.broker.restart)
    await plugin.logged("[amqp.connection-lost]")
    await end_well(source, fluentd)


async def test_connection_closed_by_the_broker(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """An administrator who closes the connection with chunks in flight causes no loss and no duplicate."""
    plugin = run(configuration(source.section, fluentd))
    await put_in_flight(source, fluentd)
    assert await asyncio.to_thread(source.broker.close_all_connections, source.stream.username) == 1
    await plugin.logged("[amqp.connection-lost] 320 CONNECTION_FORCED")
    await plugin.logged("connected to queue", times=2)
    await end_well(source, fluentd)


async def test_consumer_timeout(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """When RabbitMQ closes the channel because acks stayed out too long, nothing is lost and nothing sent twice."""
    source.broker.set_consumer_timeout(1.0)
    try:
        plugin = run(configuration(source.section, fluentd))
        await put_in_flight(source, fluentd)
        await plugin.logged("[amqp.channel-closed] 406 PRECONDITION_FAILED")
        await end_well(source, fluentd)
    finally:
        source.broker.set_consumer_timeout(1800.0)


async def test_queue_deleted_and_created_again(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """A queue that is deleted under the consumer, and then missing, is noticed; the stream goes on with a new one."""
    plugin = run(configuration(source.section, fluentd))
    await source.publish()
    await source.has(0)
    source.broker.delete_queue(source.stream.queue)
    await plugin.logged("[amqp.consumer-cancelled]")
    await plugin.logged("[amqp.queue-not-found]")
    await plugin.logged("Check the queue name, and that the event stream still exists")
    source.broker.create_stream(source.stream.queue, f"second-{source.stream.username}")
    await source.publish()
    await end_well(source, fluentd)


# --- the broker refuses ---------------------------------------------------------------------------------


async def test_wrong_password(make_source: Callable[..., Source], run: StartPlugin, fluentd: FakeFluentd) -> None:
    """It is said with id and remedy, tried again slowly and without end; the other stream does not notice."""
    wrong, right = make_source(), make_source()
    await wrong.publish()
    await right.publish()
    wrong.section["password"] = "another s3cret"
    async with FakeFluentd() as other:
        plugin = run(configuration([wrong.section, right.section], fluentd, other))
        await plugin.logged(f"stream {wrong.stream.queue}: [amqp.credentials-refused]")
        await plugin.logged("Check username and password of the stream")
        await right.has(0)
        assert ids_of([*fluentd.records, *other.records]) == ids_of(right.published)
        await asyncio.to_thread(wrong.broker.change_password, wrong.stream.username, "another s3cret")
        await wrong.has(0)
        assert ids_of([*fluentd.records, *other.records]) == ids_of([*right.published, *wrong.published])
        assert ids_of(right.published) == ids_of(wrong.published)
    assert "s3cret" not in plugin.log


@pytest.mark.parametrize("fault", ["not trusted", "for another host", "expired"])
async def test_certificate_refused(
    source: Source, certificates: Certificates, run: StartPlugin, fluentd: FakeFluentd, fault: str
) -> None:
    """A broker whose certificate does not prove who it is gets neither user name nor password."""
    right_ca = "Give the right CA as tls.ca_file"
    reasons = {
        "not trusted": (certificates.untrusted_server, "unable to get local issuer certificate", right_ca),
        "for another host": (certificates.other_host, "Hostname mismatch", right_ca),
        "expired": (certificates.expired, "certificate has expired", "Check this machine's clock"),
    }
    pair, reason, remedy = reasons[fault]
    said = asyncio.Queue[bytes]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.put_nowait(await reader.read())
        writer.close()

    impostor = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=server_context(pair))
    async with impostor:
        port = impostor.sockets[0].getsockname()[1]
        plugin = run(configuration(source.section | {"url": f"amqps://localhost:{port}"}, fluentd))
        await plugin.logged(f"[amqp.certificate-refused] localhost:{port}: ")
        assert reason in plugin.log
        await plugin.logged(remedy)
    assert said.empty()


# --- giving back ----------------------------------------------------------------------------------------


async def test_delivery_limit(make_source: Callable[..., Source], run: StartPlugin, fluentd: FakeFluentd) -> None:
    """A hundred lost connections while the receiver is away cost no event of a queue that deletes at five returns."""
    source = make_source(kind="quorum", delivery_limit=MANY_REQUEUES)
    plugin = run({**configuration(source.section, fluentd), "logging": {"level": "debug"}}, prelude=IMPATIENT)
    await put_in_flight(source, fluentd)
    await fluentd.stop()
    for number in range(1, RECONNECTS + 1):
        await plugin.logged("connected to queue", times=number)
        await asyncio.to_thread(source.broker.close_all_connections, source.stream.username)
    await plugin.logged("connected to queue", times=RECONNECTS + 1)
    await source.has(ready=EVENTS)
    await fluentd.start()
    await end_well(source, fluentd)


async def test_requeued_often(make_source: Callable[..., Source], run: StartPlugin, fluentd: FakeFluentd) -> None:
    """With a server that hangs a lost connection returns one event only; the fifth time is loud and slows down."""
    source = make_source(kind="quorum", delivery_limit=DELIVERY_LIMIT)
    fluentd.reaction = NoAck()
    await source.publish()
    plugin = run({**configuration(source.section, fluentd), "logging": {"level": "debug"}}, prelude=IMPATIENT)
    connected, slow = 0, "Next try in 60.0 s."

    def has_more_than(connections: int) -> bool:
        return plugin.log.count("connected to queue") > connections or slow in plugin.log

    while slow not in plugin.log:
        connected += 1
        await source.has(EVENTS - 1, unacked=1)
        await asyncio.to_thread(source.broker.close_all_connections, source.stream.username)
        await eventually(partial(has_more_than, connected))
    assert "an event was requeued " in plugin.log
    assert MANY_REQUEUES < connected <= DELIVERY_LIMIT
    await source.has(EVENTS)


async def test_pause(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """With a server that hangs, everything goes back to the queue after pause_after, and on when it acks again."""
    plugin = run(configuration(source.section, fluentd, pause_after="5s", ack_response_timeout="2s"))
    await source.publish(1)
    await source.has(0)
    fluentd.reaction = NoAck()
    await source.publish()
    await source.has(EVENTS)
    await plugin.logged(f"{EVENTS} requeued until a server acknowledges again")
    await end_well(source, fluentd)
    assert plugin.log.count("started: ") == 1
