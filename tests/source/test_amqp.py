"""Each way in which a broker can fail is told from the others, by error class and id."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pika
import pytest
from pika.heartbeat import HeartbeatChecker

from fluent_plugin_amp.config import TlsConfig
from fluent_plugin_amp.errors import (
    BrokerAccessRefused,
    BrokerCertificateRefused,
    BrokerChannelClosed,
    BrokerConnectionLost,
    BrokerCredentialsRefused,
    BrokerNotTls,
    BrokerUnreachable,
    BrokerViolation,
    ConsumerCancelled,
    EventTooLarge,
    PluginError,
    QueueInUse,
    QueueNotFound,
)
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.content import MAX_EVENT_BYTES, Message
from fluent_plugin_amp.testing.certificates import OTHER_HOST, Certificates, KeyPair, server_context
from fluent_plugin_amp.testing.hostile_broker import (
    Consumer,
    HostileBroker,
    Script,
    body_frames,
    delivery_frames,
    method_frame,
    raw_frame,
    raw_header_frame,
)
from fluent_plugin_amp.testing.ports import silent_address
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from fluent_plugin_amp.tls import client_context

if TYPE_CHECKING:
    from tests.conftest import MakeStream


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with a connection."""


def plain(broker: PrivateRabbitMQ, stream: StreamCredentials) -> amqp.BrokerAddress:
    """The broker without TLS, as the stream's user."""
    return amqp.BrokerAddress(
        "127.0.0.1", broker.port, stream.username, stream.password, connect_timeout_s=DEADLINE_S
    )


def nobody_at(port: int, **options: object) -> amqp.BrokerAddress:
    """Some server on loopback."""
    return replace(amqp.BrokerAddress("127.0.0.1", port, "user", "secret"), **options)  # type: ignore[arg-type]


def trusting(ca_file: object) -> ssl.SSLContext:
    """A client's context."""
    return ssl.create_default_context(cafile=str(ca_file))


async def within_deadline(awaitable: Awaitable[object]) -> object:
    """Nothing here may hang."""
    return await asyncio.wait_for(awaitable, DEADLINE_S)


@contextlib.asynccontextmanager
async def connected(broker: amqp.BrokerAddress) -> AsyncIterator[tuple[amqp.Connection, amqp.Channel]]:
    """A connection with a channel."""
    connection = await amqp.connect(broker)
    try:
        yield connection, await connection.open_channel()
    finally:
        await connection.close(2.0)


@contextlib.asynccontextmanager
async def listening(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that is no broker; its port."""
    writers = []

    async def handle_and_keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handle(reader, writer)

    server = await asyncio.start_server(handle_and_keep, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A peer that takes everything and never answers."""
    while await reader.read(4096):
        pass


@contextlib.asynccontextmanager
async def hostile(
    script: Script, *, max_event_bytes: int = MAX_EVENT_BYTES, cancel_ok: bool = True, **options: Any
) -> AsyncIterator[tuple[amqp.Connection, amqp.Channel, Inbox]]:
    """A connection to a `HostileBroker`, with a consumer."""
    if not cancel_ok:
        options["answers"] = {pika.spec.Basic.Cancel: lambda method, channel: b""}
    inbox = Inbox()
    async with HostileBroker(script, **options) as broker:
        connection = await amqp.connect(nobody_at(broker.port), max_event_bytes)
        channel = await connection.open_channel()
        with contextlib.suppress(PluginError):  # it may break the protocol together with its reply
            await channel.consume("first", 1, inbox.put)
        yield connection, channel, inbox
        await connection.close(0.5)
    assert broker.failures == []


async def connect_error(broker: amqp.BrokerAddress) -> PluginError:
    """Why no connection comes about."""
    with pytest.raises(PluginError) as caught:
        await asyncio.wait_for(amqp.connect(broker), DEADLINE_S)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.fixture(autouse=True)
async def nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """No failure leaves a traceback in the log: neither pika's nor the event loop's."""
    yield
    for _ in range(5):
        await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


# --- no connection comes about -------------------------------------------------------------------


async def test_connection_refused(free_port: int) -> None:
    """Nobody listens."""
    error = await connect_error(nobody_at(free_port))
    assert isinstance(error, BrokerUnreachable)
    assert str(error) == f"127.0.0.1:{free_port}: connection refused"


async def test_unknown_host() -> None:
    """The name does not resolve; `.invalid` never does."""
    error = await connect_error(replace(nobody_at(5671), host="broker.invalid"))
    assert isinstance(error, BrokerUnreachable)
    assert str(error).startswith("broker.invalid:5671: ")


async def test_a_slow_name_resolution_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """pika has no deadline over name resolution; ours covers it."""
    answered = threading.Event()

    def resolve(*arguments: object, **options: object) -> list[object]:
        answered.wait(DEADLINE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        error = await connect_error(nobody_at(5671, host="broker.invalid", connect_timeout_s=0.2))
    finally:
        answered.set()
    assert isinstance(error, BrokerUnreachable)
    assert str(error) == "broker.invalid:5671: no connection within 0.2 s"


async def test_untrusted_certificate(broker: PrivateRabbitMQ, certificates: Certificates) -> None:
    """The broker's authority is not the one trusted."""
    tls = trusting(certificates.untrusted_ca_file)
    error = await connect_error(nobody_at(broker.tls_port, host="localhost", tls=tls))
    assert isinstance(error, BrokerCertificateRefused)


async def test_certificate_for_another_name(broker: PrivateRabbitMQ, certificates: Certificates) -> None:
    """The certificate is for localhost, and another name was asked for."""
    tls = trusting(certificates.ca_file)
    error = await connect_error(nobody_at(broker.tls_port, tls=tls, server_name=OTHER_HOST))
    assert isinstance(error, BrokerCertificateRefused)
    assert OTHER_HOST in str(error)


async def test_expired_certificate(certificates: Certificates) -> None:
    """The certificate ended yesterday."""
    async with listening(say_nothing, tls=server_context(certificates.expired)) as port:
        error = await connect_error(nobody_at(port, host="localhost", tls=trusting(certificates.ca_file)))
    assert isinstance(error, BrokerCertificateRefused)
    assert "expired" in str(error)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("expired", "has expired (valid until 2"), ("not_yet_valid", "is not yet valid (valid from 2")],
)
async def test_a_certificate_and_a_clock_that_do_not_fit(certificates: Certificates, fault: str, words: str) -> None:
    """Both times are said, and that the clock may be the one that is wrong."""
    tls = client_context(TlsConfig(ca_file=certificates.ca_file))
    async with listening(say_nothing, tls=server_context(getattr(certificates, fault))) as port:
        error = await connect_error(nobody_at(port, host="localhost", tls=tls))
    assert isinstance(error, BrokerCertificateRefused)
    assert words in str(error)
    assert re.search(r"Z\): this machine's clock says \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", str(error))
    assert "Check this machine's clock" in error.remedy


async def test_tls_to_a_plain_port(broker: PrivateRabbitMQ, certificates: Certificates) -> None:
    """amqps:// where amqp:// is spoken."""
    error = await connect_error(nobody_at(broker.port, host="localhost", tls=trusting(certificates.ca_file)))
    assert isinstance(error, BrokerNotTls)
    assert str(error) == f"localhost:{broker.port} did not answer in TLS"


async def test_plain_to_a_tls_port(broker: PrivateRabbitMQ) -> None:
    """amqp:// where amqps:// is spoken."""
    error = await connect_error(nobody_at(broker.tls_port))
    assert isinstance(error, BrokerNotTls)
    assert str(error) == f"127.0.0.1:{broker.tls_port} did not answer in AMQP"


async def test_mute_in_the_tls_handshake(certificates: Certificates) -> None:
    """A peer that accepts and never answers the ClientHello."""
    async with listening(say_nothing) as port:
        error = await connect_error(nobody_at(port, tls=trusting(certificates.ca_file), connect_timeout_s=0.3))
    assert isinstance(error, BrokerUnreachable)
    assert "no connection within 0.3 s" in str(error)


async def test_mute_in_the_amqp_handshake() -> None:
    """A peer that accepts and never sends connection.start."""
    async with listening(say_nothing) as port:
        error = await connect_error(nobody_at(port, connect_timeout_s=0.3))
    assert isinstance(error, BrokerUnreachable)
    assert "no connection within 0.3 s" in str(error)


def saying(*answers: bytes) -> Handle:
    """A peer that gives one answer to each thing it hears, and hangs up after the last one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for data in answers or (b"",):
            await reader.read(4096)
            writer.write(data)
            await writer.drain()
        writer.close()

    return answer


START = method_frame(pika.spec.Connection.Start(server_properties={}, mechanisms="PLAIN"), channel=0)
TUNE = method_frame(pika.spec.Connection.Tune(0, 131_072, 60), channel=0)
FORCED = method_frame(
    pika.spec.Connection.Close(320, "CONNECTION_FORCED - broker forced connection closure", 0, 0), channel=0
)


@pytest.mark.parametrize("answers", [(), (b"HTTP/1.1 400 Bad Request\r\n\r\n",), (b"AMQP\x00\x01\x00\x00",)])
async def test_a_peer_that_does_not_speak_amqp(answers: tuple[bytes, ...]) -> None:
    """The wrong port of the right machine: it hangs up, answers in HTTP, or in AMQP 1.0."""
    async with listening(saying(*answers)) as port:
        error = await connect_error(nobody_at(port))
    assert isinstance(error, BrokerNotTls)


@pytest.mark.parametrize("tls", [None, ssl.create_default_context()], ids=["plain", "tls"])
async def test_a_peer_that_resets_what_it_accepts(tls: ssl.SSLContext | None) -> None:
    """A load balancer with nothing behind it: the reset may come before, while or after we look at the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]

        async def reset_all() -> None:
            while True:
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()

        resetting = asyncio.create_task(reset_all())
        for _ in range(20):
            error = await connect_error(nobody_at(port, tls=tls, connect_timeout_s=10 * DEADLINE_S))
            assert isinstance(error, BrokerUnreachable | BrokerNotTls)
        resetting.cancel()


@pytest.mark.parametrize("answers", [(START,), (START, TUNE), (START, FORCED), (START, TUNE, FORCED)])
async def test_a_broker_that_goes_away_during_the_login_refuses_nothing(answers: tuple[bytes, ...]) -> None:
    """pika takes any end at that moment for a refusal; a restart of the broker is none, and is over soon."""
    async with listening(saying(*answers)) as port:
        error = await connect_error(nobody_at(port))
    assert isinstance(error, BrokerUnreachable)
    assert str(error) == f"127.0.0.1:{port} closed the connection during the login"


async def test_a_cancelled_connect_leaves_no_connection() -> None:
    """Whoever gives up waiting does not leave a half-open connection behind for long."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await say_nothing(reader, writer)
        gone.set()

    async with listening(watch) as port:
        connecting = asyncio.create_task(amqp.connect(nobody_at(port, connect_timeout_s=0.2)))
        await within_deadline(arrived.wait())
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await within_deadline(gone.wait())


async def test_a_connection_that_comes_too_late_is_closed(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolved after the deadline: nobody has this connection, and the broker would keep it."""
    stream, resolve = make_stream(), threading.Event()
    addresses = socket.getaddrinfo("127.0.0.1", broker.port, type=socket.SOCK_STREAM)

    def resolve_late(*arguments: object, **options: object) -> object:
        resolve.wait(DEADLINE_S)
        return addresses

    closed = asyncio.Event()

    def see_it_closed(reason: BaseException) -> BrokerConnectionLost:
        closed.set()
        return BrokerConnectionLost(str(reason))

    monkeypatch.setattr(socket, "getaddrinfo", resolve_late)
    monkeypatch.setattr(amqp, "closed_because", see_it_closed)
    await connect_error(replace(plain(broker, stream), connect_timeout_s=0.1))
    resolve.set()
    await within_deadline(closed.wait())


async def test_a_silent_address_leaves_time_for_the_next_one(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name has several addresses; one that swallows everything must not use up all of the time."""
    stream = make_stream()
    with silent_address() as silent:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for address in (silent, ("127.0.0.1", broker.port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
        async with connected(replace(plain(broker, stream), connect_timeout_s=3.0)) as (_, channel):
            assert await channel.declare_passive(stream.queue) == amqp.Queue(messages=0, consumers=0)


async def test_a_refusal_says_more_than_a_silent_address(
    broker: PrivateRabbitMQ, make_stream: MakeStream, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one address of the name is down and another refuses the password, the password is the trouble."""
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))
        for port in (free_port, broker.port)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
    error = await connect_error(replace(plain(broker, make_stream()), password="wrong secret"))
    assert isinstance(error, BrokerCredentialsRefused)


async def test_wrong_password(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """The broker refuses the credentials."""
    error = await connect_error(replace(plain(broker, make_stream()), password="wrong secret"))
    assert isinstance(error, BrokerCredentialsRefused)
    assert error.id == "amqp.credentials-refused"


async def test_wrong_vhost(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """The virtual host does not exist, or is not the user's."""
    error = await connect_error(replace(plain(broker, make_stream()), vhost="elsewhere"))
    assert isinstance(error, BrokerAccessRefused)
    assert "'elsewhere'" in str(error)


async def test_tls_connects(broker: PrivateRabbitMQ, certificates: Certificates, make_stream: MakeStream) -> None:
    """With the right authority and name, TLS is no obstacle."""
    stream = make_stream()
    tls = trusting(certificates.ca_file)
    to = replace(plain(broker, stream), host="localhost", port=broker.tls_port, tls=tls)
    async with connected(to) as (_, channel):
        assert await channel.declare_passive(stream.queue) == amqp.Queue(messages=0, consumers=0)


@pytest.mark.parametrize("pair", ["client", None])
async def test_a_client_certificate(certificates: Certificates, pair: str | None) -> None:
    """Where one is demanded it is shown; without one the remedy names what may be missing."""
    tls = trusting(certificates.ca_file)
    if pair:
        chosen: KeyPair = getattr(certificates, pair)
        tls.load_cert_chain(chosen.cert_file, chosen.key_file)
    demanding = server_context(certificates.server, client_ca_file=certificates.ca_file)
    async with listening(saying(START, TUNE), tls=demanding) as port:
        error = await connect_error(nobody_at(port, host="localhost", tls=tls))
    assert isinstance(error, BrokerUnreachable)
    if pair:
        assert str(error).endswith("closed the connection during the login")
    else:
        assert str(error).endswith("closed the connection before AMQP began")
        assert "tls.cert_file" in error.remedy


# --- once connected ------------------------------------------------------------------------------


async def consume_error(channel: amqp.Channel, queue: str, **options: bool) -> BaseException:
    """Why a consume fails."""
    with pytest.raises(PluginError) as caught:
        await within_deadline(channel.consume(queue, 1, lambda messages: None, **options))
    assert channel.closed.done()
    return caught.value


async def test_queue_missing(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """A passive declare of a queue that is not there ends the channel only."""
    async with connected(plain(broker, make_stream())) as (connection, channel):
        with pytest.raises(QueueNotFound, match="nowhere"):
            await within_deadline(channel.declare_passive("nowhere"))
        assert not connection.closed.done()
        await (await connection.open_channel()).close(2.0)


async def test_no_permission_to_read(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Only the consume shows that the queue is another stream's."""
    mine, other = make_stream(), make_stream()
    async with connected(plain(broker, mine)) as (_, channel):
        await channel.declare_passive(other.queue)
        assert isinstance(await consume_error(channel, other.queue), BrokerAccessRefused)


async def test_no_permission_to_read_a_queue_named_exclusive(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """A queue's name does not turn a lack of permission into a queue in use."""
    other = await asyncio.to_thread(broker.create_stream, "exclusive_events")
    async with connected(plain(broker, make_stream())) as (_, channel):
        assert isinstance(await consume_error(channel, other.queue), BrokerAccessRefused)


@pytest.mark.parametrize("exclusive", [True, False])
async def test_queue_in_exclusive_use(broker: PrivateRabbitMQ, make_stream: MakeStream, exclusive: bool) -> None:
    """The same 403 as for a lack of permission, told apart by its words."""
    stream = make_stream()
    async with connected(plain(broker, stream)) as (_, first), connected(plain(broker, stream)) as (_, second):
        await first.consume(stream.queue, 1, lambda messages: None, exclusive=True)
        assert isinstance(await consume_error(second, stream.queue, exclusive=exclusive), QueueInUse)


async def test_unknown_delivery_tag(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """406 ends the channel; the barrier behind the ack tells so too."""
    async with connected(plain(broker, make_stream())) as (connection, channel):
        channel.ack(7, multiple=False)
        with pytest.raises(BrokerChannelClosed, match="406 PRECONDITION_FAILED"):
            await within_deadline(channel.barrier())
        channel.ack(8, multiple=False)
        assert isinstance(channel.closed.result(), BrokerChannelClosed)
        assert not connection.closed.done()


async def test_queue_deleted_while_consuming(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Connection and channel stay open, so only the cancel tells that nothing will ever come."""
    stream = make_stream()
    async with connected(plain(broker, stream)) as (connection, channel):
        await channel.consume(stream.queue, 1, lambda messages: None)
        await asyncio.to_thread(broker.delete_queue, stream.queue)
        reason = await within_deadline(asyncio.shield(channel.closed))
        assert isinstance(reason, ConsumerCancelled)
        assert not connection.closed.done()


async def test_forced_close(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """An operator closes the connection, or the broker stops in order: channel and connection end."""
    stream = make_stream()
    async with connected(plain(broker, stream)) as (connection, channel):
        await asyncio.to_thread(broker.close_all_connections, stream.username)
        for closed in (channel.closed, connection.closed):
            reason = await within_deadline(asyncio.shield(closed))
            assert isinstance(reason, BrokerConnectionLost)
            assert "320 CONNECTION_FORCED" in str(reason)


async def test_every_call_after_the_end_tells_why(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """pika raises errors of its own for calls on what is closed; here they all give the reason of the end."""
    stream = make_stream()
    async with connected(plain(broker, stream)) as (connection, channel):
        await channel.consume(stream.queue, 1, lambda messages: None)
        await asyncio.to_thread(broker.close_all_connections, stream.username)
        await within_deadline(asyncio.shield(connection.closed))
        calls: list[Callable[[], Awaitable[object]]] = [
            connection.open_channel,
            channel.barrier,
            channel.cancel,
            lambda: channel.declare_passive(stream.queue),
            lambda: channel.consume(stream.queue, 1, lambda messages: None),
        ]
        for call in calls:
            with pytest.raises(BrokerConnectionLost, match="320"):
                await within_deadline(call())
        channel.ack(1, multiple=True)
        await within_deadline(channel.close(2.0))
        await within_deadline(connection.close(2.0))


async def test_broker_killed(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """SIGKILL: connection and channel end at once, and a call whose reply never comes does not hang."""
    stream = make_stream()
    async with connected(plain(broker, stream)) as (connection, channel):
        broker.freeze()
        declaring = asyncio.create_task(channel.declare_passive(stream.queue))
        await asyncio.sleep(0)
        await asyncio.to_thread(broker.kill)
        with pytest.raises(BrokerConnectionLost):
            await within_deadline(declaring)
        for closed in (channel.closed, connection.closed):
            assert isinstance(await within_deadline(asyncio.shield(closed)), BrokerConnectionLost)


async def test_broker_frozen(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the heartbeat notices a peer that keeps the connection and says nothing."""

    class Impatient(HeartbeatChecker):  # type: ignore[misc]
        """Looks every second; pika takes five seconds more than the heartbeat each time."""

        _check_interval = property(lambda self: 1.0, lambda self, value: None)

    monkeypatch.setattr("pika.heartbeat.HeartbeatChecker", Impatient)
    to = replace(plain(broker, make_stream()), heartbeat_s=1.0)
    async with connected(to) as (connection, channel):
        broker.freeze()
        reason = await asyncio.wait_for(asyncio.shield(connection.closed), DEADLINE_S)
        assert isinstance(reason, BrokerConnectionLost)
        assert str(reason) == "no heartbeat from the broker"
        assert isinstance(channel.closed.result(), BrokerConnectionLost)


async def test_a_frozen_broker_does_not_hold_up_the_close(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """The close has a deadline of its own, and after it the connection is gone."""
    connection = await amqp.connect(plain(broker, make_stream()))
    channel = await connection.open_channel()
    broker.freeze()
    await asyncio.wait_for(connection.close(0.2), DEADLINE_S)
    assert connection.closed.done()
    assert channel.closed.done()


# --- messages ------------------------------------------------------------------------------------


class Inbox:
    """Collects messages, and tells when there are enough."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._arrived = asyncio.Event()

    def put(self, messages: list[Message]) -> None:
        """Messages that arrived together."""
        self.messages += messages
        self._arrived.set()

    async def wait_for(self, count: int) -> list[Message]:
        """When that many came."""

        async def wait() -> None:
            while len(self.messages) < count:
                self._arrived.clear()
                await self._arrived.wait()

        await within_deadline(wait())
        return self.messages


async def test_a_message_as_it_arrives(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Tag, body and routing key; not redelivered, never requeued."""
    stream, inbox = make_stream(), Inbox()
    await asyncio.to_thread(broker.publish, stream.queue, [b"one", b""])
    async with connected(plain(broker, stream)) as (_, channel):
        await channel.consume(stream.queue, 10, inbox.put)
        assert await inbox.wait_for(2) == [
            Message(1, False, stream.queue, 0, b"one"),
            Message(2, False, stream.queue, 0, b""),
        ]


@pytest.mark.parametrize(("kind", "returns"), [("classic", 0), ("quorum", 1)])
async def test_closing_the_channel_returns_what_is_unacked(
    broker: PrivateRabbitMQ, make_stream: MakeStream, kind: str, returns: int
) -> None:
    """It comes again, redelivered; a quorum queue tells how often it did."""
    stream, inbox = make_stream(kind=kind), Inbox()  # type: ignore[arg-type]
    await asyncio.to_thread(broker.publish, stream.queue, [b"one", b"two"])
    async with connected(plain(broker, stream)) as (connection, channel):
        await channel.consume(stream.queue, 10, inbox.put)
        await inbox.wait_for(2)
        channel.ack(1, multiple=False)
        await channel.close(2.0)
        again = await connection.open_channel()
        await again.consume(stream.queue, 10, inbox.put)
        assert (await inbox.wait_for(3))[2] == Message(1, True, stream.queue, returns, b"two")


async def test_cancel_keeps_what_came_and_acks_still_count(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """After a cancel nothing new comes, what came can be acked, and the barrier sees to it that it is."""
    stream, inbox = make_stream(), Inbox()
    await asyncio.to_thread(broker.publish, stream.queue, [b"one", b"two", b"three"])
    async with connected(plain(broker, stream)) as (_, channel):
        await channel.consume(stream.queue, 2, inbox.put)
        await inbox.wait_for(2)
        await channel.cancel()
        await channel.cancel()
        channel.ack(2, multiple=True)
        await channel.barrier()
        assert len(inbox.messages) == 2
        depth = await asyncio.to_thread(broker.queue_depth, stream.queue)
        assert (depth.ready, depth.unacked, depth.consumers) == (1, 0, 0)


async def test_acks_before_a_close_are_sent(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Closing the connection in order loses no ack."""
    stream, inbox = make_stream(), Inbox()
    await asyncio.to_thread(broker.publish, stream.queue, [b"%d" % number for number in range(500)])
    async with connected(plain(broker, stream)) as (_, channel):
        await channel.consume(stream.queue, 500, inbox.put)
        for message in await inbox.wait_for(500):
            channel.ack(message.delivery_tag, multiple=False)
    depth = await asyncio.to_thread(broker.queue_depth, stream.queue)
    assert (depth.ready, depth.unacked) == (0, 0)


async def test_a_bug_in_the_message_callback_is_told_as_such(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """pika would end the connection and call it a network fault."""
    stream = make_stream()
    await asyncio.to_thread(broker.publish, stream.queue, [b"one", b"two"])

    def bug(messages: list[Message]) -> None:
        raise ZeroDivisionError(messages[0].body.decode())

    async with connected(plain(broker, stream)) as (connection, channel):
        await channel.consume(stream.queue, 2, bug)
        reason = await within_deadline(asyncio.shield(channel.closed))
        assert isinstance(reason, ZeroDivisionError)
        assert str(reason) == "one"
        assert not connection.closed.done()


async def test_what_arrives_together_is_handed_on_together() -> None:
    """And before whoever waits for the end of the channel, which arrived with it, is told."""
    handed_on: list[list[Message]] = []

    def on_consume(method: Any, channel: int) -> bytes:
        deliveries = [
            delivery_frames(method.consumer_tag, tag, body) for tag, body in enumerate((b"one", b"two", b"three"), 1)
        ]
        closed = method_frame(pika.spec.Channel.Close(404, "gone", 0, 0))
        return b"".join([method_frame(pika.spec.Basic.ConsumeOk(method.consumer_tag)), *deliveries, closed])

    async with HostileBroker(answers={pika.spec.Basic.Consume: on_consume}) as broker:
        connection = await amqp.connect(nobody_at(broker.port))
        channel = await connection.open_channel()
        with contextlib.suppress(QueueNotFound):  # the reply and the end arrive together
            await channel.consume("queue", 3, handed_on.append)
        assert isinstance(await within_deadline(asyncio.shield(channel.closed)), QueueNotFound)
        assert handed_on == [
            [Message(tag, False, "key", 0, body) for tag, body in enumerate((b"one", b"two", b"three"), 1)]
        ]
        await connection.close(0.0)


# --- a broker that breaks the protocol -----------------------------------------------------------

TIMESTAMP = b"T" + (1593079552000000).to_bytes(8, "big")
COUNT = b"\x10x-delivery-count"
ODD_HEADERS = {
    "a time beyond all times": b"\1a" + TIMESTAMP,
    "a delivery count as text": COUNT + b"S\0\0\0\x0551593",
    "a delivery count of null": COUNT + b"V",
    "a delivery count that is true": COUNT + b"t\1",
    "a type that nobody knows": b"\1a?" + b"1",
}


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_odd_headers_cost_no_event(broker: PrivateRabbitMQ, make_stream: MakeStream, kind: str) -> None:
    """Real queues hand them on as they came, and each of their messages arrives, once."""
    stream, inbox = make_stream(kind=kind, delivery_limit=20 if kind == "quorum" else None), Inbox()  # type: ignore[arg-type]
    odd = [table for name, table in ODD_HEADERS.items() if name != "a type that nobody knows"]  # not even a broker
    for table in odd:
        await asyncio.to_thread(broker.publish_with_headers, stream.queue, table, table)
    async with connected(plain(broker, stream)) as (connection, channel):
        await channel.consume(stream.queue, 10, inbox.put)
        messages = await inbox.wait_for(len(odd))
        assert messages == [Message(tag, False, stream.queue, 0, table) for tag, table in enumerate(odd, 1)]
        channel.ack(len(odd), multiple=True)
        await channel.barrier()
        assert not connection.closed.done()
    depth = await asyncio.to_thread(broker.queue_depth, stream.queue)
    assert (depth.ready, depth.unacked) == (0, 0)


@pytest.mark.parametrize("table", ODD_HEADERS.values(), ids=list(ODD_HEADERS))
async def test_odd_headers_of_late_deliveries_cost_no_connection(table: bytes) -> None:
    """What comes after a cancel goes back to the queue, whatever its headers."""
    rejected: asyncio.Future[tuple[int, bool]] = asyncio.get_running_loop().create_future()

    async def script(consumer: Consumer) -> None:
        await consumer.heard(pika.spec.Basic.Cancel)
        deliver = method_frame(pika.spec.Basic.Deliver(consumer.tag, 7, False, "", "key"))
        await consumer.send(deliver, raw_header_frame(4, table), body_frames(b"late"))
        reject = await consumer.heard(pika.spec.Basic.Reject)
        rejected.set_result((reject.delivery_tag, reject.requeue))

    async with hostile(script, cancel_ok=False) as (connection, channel, inbox):
        cancelling = asyncio.ensure_future(channel.cancel())
        assert await within_deadline(rejected) == (7, True)
        assert not connection.closed.done()
        assert inbox.messages == []
        cancelling.cancel()


async def test_a_delivery_that_a_cancel_meets_half_way_goes_back() -> None:
    """It is neither taken nor lost, and the next consumer begins with its own."""
    rejected: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(consumer: Consumer) -> None:
        if consumer.queue == "second":
            await consumer.send(consumer.delivery(3, b"three"))
            return
        two = consumer.delivery(2, b"two")
        await consumer.send(consumer.delivery(1, b"one"), two[:-2])
        await consumer.heard(pika.spec.Basic.Cancel)
        await consumer.send(two[-2:], method_frame(pika.spec.Basic.CancelOk(consumer.tag)))
        rejected.set_result((await consumer.heard(pika.spec.Basic.Reject)).delivery_tag)

    async with hostile(script, cancel_ok=False) as (_, channel, inbox):
        await inbox.wait_for(1)
        await within_deadline(channel.cancel())
        assert await within_deadline(rejected) == 2
        await channel.consume("second", 1, inbox.put)
        assert [message.delivery_tag for message in await inbox.wait_for(2)] == [1, 3]


@pytest.mark.parametrize(
    ("method", "call"),
    [
        (pika.spec.Channel.Open, lambda channel: channel),
        (pika.spec.Queue.Declare, lambda channel: channel.declare_passive("queue")),
        (pika.spec.Basic.Qos, lambda channel: channel.consume("queue", 1, lambda _: None)),
        (pika.spec.Basic.Consume, lambda channel: channel.consume("queue", 1, lambda _: None)),
    ],
    ids=lambda each: getattr(each, "NAME", ""),
)
async def test_a_broker_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, method: Any, call: Callable[[amqp.Channel], Awaitable[object]]
) -> None:
    """It may beat its heart all the while."""
    monkeypatch.setattr(amqp, "REPLY_TIMEOUT_S", 0.1)
    async with HostileBroker(answers={method: lambda method, channel: b""}) as broker:
        connection = await amqp.connect(nobody_at(broker.port))
        with pytest.raises(BrokerConnectionLost, match="no answer within"):
            await within_deadline(call(await connection.open_channel()))
        await connection.close(0.0)


async def test_each_consumer_has_a_tag_of_its_own() -> None:
    """Over all channels of a connection."""
    async with HostileBroker() as broker:
        connection = await amqp.connect(nobody_at(broker.port))
        for _ in range(2):
            channel = await connection.open_channel()
            for _ in range(2):
                await channel.consume("queue", 1, lambda _: None)
                await channel.cancel()
            await channel.close(DEADLINE_S)
        await connection.close(DEADLINE_S)
        tags = [method.consumer_tag for method in broker.methods if isinstance(method, pika.spec.Basic.Consume)]
    assert len(set(tags)) == 4


TEBIBYTE = 1 << 40
BROKEN = {
    "a tebibyte": (lambda consumer: consumer.delivery(1, b"x", body_size=TEBIBYTE), EventTooLarge),
    "a frame of 120 MiB": (lambda _: raw_frame(3, 1, b"x", size=120 * 2**20), BrokerViolation),
    "a tag twice": (lambda consumer: consumer.delivery(1, b"{}") + consumer.delivery(1, b"{}"), BrokerViolation),
    "no header": (lambda _: body_frames(b"x"), BrokerViolation),
    "a method that nobody knows": (lambda _: raw_frame(1, 1, b"\xff" * 8), BrokerViolation),
    "a method that ends too early": (lambda _: raw_frame(1, 0, b"\0\x0a\0\x32"), BrokerViolation),
    "no frame": (lambda _: b"\0" * 100, BrokerViolation),
}


@pytest.mark.parametrize(("make", "kind"), BROKEN.values(), ids=list(BROKEN))
async def test_what_breaks_the_protocol_ends_its_connection_only(
    make: Callable[[Consumer], bytes], kind: type[PluginError]
) -> None:
    """Channel and connection tell why; one beside it goes on."""
    go_on = asyncio.Event()

    async def script(consumer: Consumer) -> None:
        await consumer.send(make(consumer))

    async def well_behaved(consumer: Consumer) -> None:
        await go_on.wait()
        await consumer.send(consumer.delivery(1, b"beside"))

    async with (
        hostile(well_behaved) as (beside, _, inbox),
        hostile(script) as (connection, channel, _),
    ):
        reason = await within_deadline(asyncio.shield(connection.closed))
        assert type(reason) is kind
        assert channel.closed.result() is reason
        with pytest.raises(kind):
            await connection.open_channel()
        go_on.set()
        assert [message.body for message in await inbox.wait_for(1)] == [b"beside"]
        assert not beside.closed.done()


async def test_only_the_event_that_is_too_large_is_refused() -> None:
    """By the size that is given for the connection."""

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b"x" * 1000))
        await consumer.heard(pika.spec.Basic.Ack)
        await consumer.send(consumer.delivery(2, b"x" * 1001))

    async with hostile(script, max_event_bytes=1000) as (connection, channel, inbox):
        await inbox.wait_for(1)
        channel.ack(1, multiple=False)
        reason = await within_deadline(asyncio.shield(connection.closed))
        assert str(reason) == "an event of 1,001 bytes, where 1,000 are taken"
        assert [message.delivery_tag for message in inbox.messages] == [1]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((raw_frame(1, 0, b"", size=120 * 2**20),), BrokerNotTls),
        ((START, raw_frame(1, 0, b"", size=120 * 2**20)), BrokerViolation),
        ((START, TUNE, raw_frame(1, 0, b"", size=120 * 2**20)), BrokerViolation),
        ((START, TUNE, body_frames(b"x")), BrokerViolation),
        ((START, raw_frame(1, 0, b"\xff" * 8)), BrokerViolation),
    ],
)
async def test_what_breaks_the_protocol_during_the_login(answers: tuple[bytes, ...], kind: type[PluginError]) -> None:
    """Before AMQP has begun, it is another protocol; later it is told as what it is."""
    async with listening(saying(*answers)) as port:
        assert type(await connect_error(nobody_at(port))) is kind


async def test_pika_sees_that_the_broker_lives_by_deliveries_alone() -> None:
    """Its own check counts the bytes that it was given."""

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b"one"))
        await consumer.heard(pika.spec.Basic.Ack)
        await consumer.send(consumer.delivery(2, b"two"))

    async with hostile(script) as (connection, channel, inbox):
        await inbox.wait_for(1)
        await asyncio.sleep(0)  # pika is given its part of what was read with it
        received = connection._connection.bytes_received
        channel.ack(1, multiple=False)
        await inbox.wait_for(2)
        assert connection._connection.bytes_received > received


async def test_a_broker_that_offers_small_frames() -> None:
    """Larger ones than were agreed on are refused."""

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b"x" * 5000))
        await consumer.send(consumer.delivery(2, b"x" * 5000, frame_max=8192))

    async with hostile(script, frame_max=4096) as (connection, _, inbox):
        reason = await within_deadline(asyncio.shield(connection.closed))
        assert str(reason) == "a frame of 5,000 bytes, where 4,096 are agreed on"
        assert [message.delivery_tag for message in inbox.messages] in ([], [1])


def test_a_broker_does_not_show_its_password() -> None:
    """Neither as text nor as a representation."""
    broker = nobody_at(443)
    assert "secret" not in f"{broker} {broker!r}"
