"""Events reach Fluentd, Fluent Bit and the built-in receiver: each of them, once, unchanged."""

from __future__ import annotations

import asyncio
import json
import time

import pika
import pytest

from fluent_plugin_amp.errors import EXIT_OK
from fluent_plugin_amp.testing.certificates import server_context
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import Security
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.receivers import KINDS, Kind
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.configs import bodies, configuration, ids_of
from tests.e2e.conftest import Rig
from tests.e2e.receiving import is_empty, receiving, texts

EVENTS = 1000
STREAMS = 8
POLL_S = 0.2
TAG = "edr.cisco.amp.events"


@pytest.mark.parametrize("kind", KINDS)
def test_each_event_once(rig: Rig, kind: Kind) -> None:
    """A thousand events of all kinds arrive once each over TLS, every field and integer as it was, time in order."""
    stream = rig.make_stream()
    published = list(EventGenerator(seed=1).bodies(EVENTS))
    rig.broker.publish(stream.queue, published)
    with receiving(kind, rig.folder / kind) as receiver:
        plugin = rig.run(configuration(rig.section(stream), receiver))
        rig.broker.wait_for_depth(stream.queue, is_empty)
        assert plugin.stop() == 0
        receiver.stop()
        received = list(receiver.received())
    assert {event.tag for event in received} == {TAG}
    assert texts(event.record for event in received) == texts(map(json.loads, published))


@pytest.mark.parametrize("kind", KINDS)
def test_receiver_killed(rig: Rig, kind: Kind) -> None:
    """A receiver that is killed -9 while events flow, and started again, has every event in the end."""
    stream = rig.make_stream()
    published = bodies(2 * EVENTS)
    rig.broker.publish(stream.queue, published[:EVENTS])
    with receiving(kind, rig.folder / kind) as receiver:
        plugin = rig.run(configuration(rig.section(stream), receiver))
        plugin.wait_for_log("consuming, prefetch")
        receiver.kill()
        rig.broker.publish(stream.queue, published[EVENTS:])
        plugin.wait_for_log("[forward.connection-lost]")
        receiver.start()
        rig.broker.wait_for_depth(stream.queue, is_empty)
        deadline = time.monotonic() + DEADLINE_S
        while missing := ids_of(published).keys() - ids_of(event.record for event in receiver.received()).keys():
            assert time.monotonic() < deadline, f"{len(missing)} events are missing"
            time.sleep(POLL_S)  # what it had acked before is still in its buffer on disk


async def test_every_protection_at_once(rig: Rig) -> None:
    """TLS with client certificates, shared key, user and password, and gzip: a thousand events, each once."""
    stream = rig.make_stream()
    published = list(EventGenerator(seed=2).bodies(EVENTS))
    await rig.publish(stream, published)
    server = FakeFluentd(
        tls=server_context(rig.certificates.server, client_ca_file=rig.certificates.ca_file),
        security=Security("key of both", {"amp": "and its password"}),
    )
    async with server:
        rig.run(
            configuration(
                rig.section(stream),
                {"host": "localhost", "port": server.port},
                tls={
                    "ca_file": str(rig.certificates.ca_file),
                    "cert_file": str(rig.certificates.client.cert_file),
                    "key_file": str(rig.certificates.client.key_file),
                },
                security={"shared_key": "key of both", "username": "amp", "password": "and its password"},
                compress="gzip",
            )
        )
        await rig.is_empty(stream)
        assert texts(server.records) == texts(map(json.loads, published))
        assert {chunk.option["compressed"] for chunk in server.chunks} == {"gzip"}
        assert server.violations == []


async def test_unix_socket(rig: Rig) -> None:
    """A server on a Unix socket gets each event once."""
    stream = rig.make_stream()
    published = bodies(EVENTS)
    await rig.publish(stream, published)
    async with FakeFluentd(unix_path=rig.folder / "fluent.sock") as server:
        section = rig.section(stream)
        rig.run(configuration(section, {"unix_path": str(rig.folder / "fluent.sock")}))
        await rig.is_empty(stream)
        assert ids_of(server.records) == ids_of(published)
        assert server.violations == []


async def test_several_streams(rig: Rig, fluentd: FakeFluentd) -> None:
    """Each stream's events arrive under its tag; the one whose queue is missing is told, and holds up none."""
    streams = [rig.make_stream() for _ in range(STREAMS)]
    published: dict[str, list[bytes]] = {}
    for number, stream in enumerate(streams):
        published[f"amp.{stream.queue}"] = bodies(EVENTS // STREAMS, first=number * EVENTS)
        await rig.publish(stream, published[f"amp.{stream.queue}"])
    sections = [rig.section(stream, tag="amp.{stream}") for stream in streams]
    broken = rig.section(rig.make_stream(), queue="event_stream_missing", name="broken")
    plugin = rig.run(configuration([broken, *sections], fluentd))
    for stream in streams:
        await rig.is_empty(stream)
    await plugin.logged("stream broken: [amqp.queue-not-found]")
    for tag, events in published.items():
        records = [entry.record for chunk in fluentd.chunks if chunk.tag == tag for entry in chunk.entries]
        assert ids_of(records) == ids_of(events)
    assert fluentd.violations == []


async def test_delivered_before(rig: Rig, fluentd: FakeFluentd) -> None:
    """What an earlier process delivered is not sent again when the broker delivers it again, given a state file."""
    stream = rig.make_stream()
    published = bodies(EVENTS // STREAMS)
    config = configuration(rig.section(stream), fluentd)
    state = {"state": {"path": str(rig.folder / "state.db")}}
    for keys, times in ((state, 1), (state, 1), ({}, 2)):
        await rig.publish(stream, published)
        await asyncio.to_thread(give_back, rig.broker, stream)
        assert await rig.run(config | keys, "--once").ended() == EXIT_OK
        assert is_empty(rig.broker.queue_depth(stream.queue))
        assert set(ids_of(fluentd.records).values()) == {times}


def give_back(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """Take everything from a queue without acks, so that it is delivered as redelivered."""
    credentials = pika.PlainCredentials(stream.username, stream.password)
    with pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", broker.port, credentials=credentials)
    ) as connection:
        channel = connection.channel()
        while channel.basic_get(stream.queue)[0] is not None:
            pass
