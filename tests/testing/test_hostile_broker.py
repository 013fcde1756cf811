"""The scriptable broker lets clients in as a real one does, and sends whatever it is told."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pika
import pytest
from pika import spec

from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.content import Message
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.hostile_broker import (
    Consumer,
    HostileBroker,
    body_frames,
    delivery_frames,
    header_frame,
    heartbeat_frame,
    method_frame,
    raw_frame,
    raw_header_frame,
)
from fluent_plugin_amp.testing.waiting import DEADLINE_S


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
async def test_a_client_consumes_and_acks(certificates: Certificates, with_tls: bool) -> None:
    """From the login to the ack, and to the end of the connection, with a script beside it."""
    acked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    arrived: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b"one"), heartbeat_frame())
        acked.set_result((await consumer.heard(spec.Basic.Ack)).delivery_tag)

    tls = server_context(certificates.server) if with_tls else None
    trust = ssl.create_default_context(cafile=str(certificates.ca_file)) if with_tls else None
    async with HostileBroker(script, tls=tls, messages=7) as broker:
        connection = await amqp.connect(
            amqp.BrokerAddress("127.0.0.1", broker.port, "user", "secret", tls=trust, server_name="localhost")
        )
        channel = await connection.open_channel()
        assert (await channel.declare_passive("queue")).messages == 7
        await channel.consume("queue", 1, arrived.set_result)
        assert [message.body for message in await asyncio.wait_for(arrived, DEADLINE_S)] == [b"one"]
        channel.ack(1, multiple=False)
        assert await asyncio.wait_for(acked, DEADLINE_S) == 1
        await channel.cancel()
        await channel.close(DEADLINE_S)
        await connection.close(DEADLINE_S)
    assert broker.connections == 1
    assert not broker.failures
    assert [type(method) for method in broker.methods[-2:]] == [spec.Channel.Close, spec.Connection.Close]


async def test_what_a_script_raises_is_kept() -> None:
    """And a client that leaves while it waits is no failure."""

    async def script(consumer: Consumer) -> None:
        if consumer.queue == "second":
            raise ValueError(consumer.tag)
        await consumer.heard(spec.Basic.Ack)

    async with HostileBroker(script) as broker:
        connection = await amqp.connect(amqp.BrokerAddress("127.0.0.1", broker.port, "user", "secret"))
        for queue in ("first", "second"):
            await (await connection.open_channel()).consume(queue, 1, lambda _: None)
        await connection.close(DEADLINE_S)
    assert [type(failure) for failure in broker.failures] == [ValueError]


def decoded(data: bytes) -> list[Any]:
    """All frames, as pika reads them."""
    frames = []
    while data:
        consumed, frame = pika.frame.decode_frame(data)
        assert frame is not None
        frames.append(frame)
        data = data[consumed:]
    return frames


def test_frames_as_pika_reads_them() -> None:
    """A delivery in several frames; a table of headers given by its bytes."""
    deliver, header, *bodies = decoded(delivery_frames("tag", 3, b"12345", channel=2, redelivered=True, frame_max=10))
    assert (deliver.method.consumer_tag, deliver.method.delivery_tag, deliver.method.redelivered) == ("tag", 3, True)
    assert header.body_size == 5
    assert [body.fragment for body in bodies] == [b"12", b"34", b"5"]
    assert {frame.channel_number for frame in (deliver, header, *bodies)} == {2}
    assert decoded(raw_header_frame(1, b"\1aI\0\0\0\7"))[0].properties.headers == {"a": 7}


def test_frames_that_no_broker_should_send() -> None:
    """Another size, another end."""
    assert raw_frame(3, 1, b"x") == body_frames(b"x")
    assert raw_frame(3, 1, b"x", size=1 << 31, end=0) == b"\3\0\1\x80\0\0\0x\0"
    assert raw_frame(2, 1, header_frame(9)[7:-1]) == header_frame(9)
    assert raw_frame(8, 0, b"") == heartbeat_frame()
    assert raw_frame(1, 1, b"\0\x3c\0\x0b") == method_frame(spec.Basic.QosOk())
