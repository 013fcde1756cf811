"""pika over asyncio's transports: what arrives together is read together, and nothing of it is lost or read twice."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pika.adapters.utils.nbio_interface import AbstractStreamProtocol

from fluent_plugin_amp.errors import BrokerViolation
from fluent_plugin_amp.source.content import Delivered, Message, Reader
from fluent_plugin_amp.source.transport import READ_BYTES, UNSENT_BYTES, IoServices
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.hostile_broker import delivery_frames, heartbeat_frame, raw_frame
from fluent_plugin_amp.testing.waiting import DEADLINE_S


def frame(payload: bytes) -> bytes:
    """One that is pika's."""
    return raw_frame(1, 0, payload)


class Services(IoServices):
    """With a channel and its consumer, and all that is told of deliveries and violations."""

    def __init__(self) -> None:
        self.delivered: list[Delivered] = []
        self.violations: list[Exception] = []
        reader = Reader()
        reader.open(1)
        reader.consume(1, "tag")
        super().__init__(reader, self.delivered.append, self.violations.append)


class _Heard(AbstractStreamProtocol):  # type: ignore[misc]
    """In pika's place."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.transport: Any = None
        self.pieces: list[bytes] = []
        self.got_eof = False
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._fails_at = fails_at
        self._news = asyncio.Event()

    async def heard(self, pieces: int) -> None:
        """Until there are so many."""
        while len(self.pieces) < pieces:
            self._news.clear()
            await self._news.wait()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self._news.set()
        if len(self.pieces) == self._fails_at:
            raise ValueError("no frame")

    def eof_received(self) -> bool:
        self.got_eof = True
        return False

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.set_result(error)


class Peer:
    """The other end of a connection, on loopback."""

    def __init__(
        self, protocol: _Heard, tls: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self.protocol = protocol
        self._tls, self._trust = tls, trust
        self.services = Services()

    async def __aenter__(self) -> asyncio.StreamWriter:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
        self._server = await asyncio.start_server(
            lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0, ssl=self._tls
        )
        sock = socket.create_connection(self._server.sockets[0].getsockname())
        sock.setblocking(False)
        done: asyncio.Future[Any] = loop.create_future()
        self.services.create_streaming_connection(
            lambda: self.protocol, sock, done.set_result, self._trust, "localhost"
        )
        assert await asyncio.wait_for(done, DEADLINE_S) == (self.protocol.transport, self.protocol)
        self._writer = await accepted
        return self._writer

    async def __aexit__(self, *_: object) -> None:
        self.protocol.transport.abort()
        self._writer.close()
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture(params=["plain", "tls"])
def contexts(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[dict[str, ssl.SSLContext]]:
    """Of both ends; none without TLS."""
    if request.param == "plain":
        yield {}
    else:
        trust = ssl.create_default_context(cafile=str(certificates.ca_file))
        yield {"tls": server_context(certificates.server), "trust": trust}


async def test_all_that_was_written_arrives_in_order(contexts: dict[str, ssl.SSLContext]) -> None:
    """Frame by frame, however they were cut into writes."""
    heard = _Heard()
    frames = [frame(bytes([number % 251]) * size) for number, size in enumerate((1, 1600, 40_000, 0, 131_000, 4096))]
    data = b"".join(frames)
    async with Peer(heard, **contexts) as writer:
        for start, end in itertools.pairwise((0, 5, 1_000, 1_609, 90_000, len(data))):
            writer.write(data[start:end])
            await writer.drain()
        writer.close()
        await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert heard.pieces == frames
    assert heard.got_eof
    assert heard.lost.result() is None


async def test_many_connections_read_into_one_buffer(contexts: dict[str, ssl.SSLContext]) -> None:
    """With TLS, so that hundreds of streams take little memory; each hears its own, whatever others read between."""
    first, second = _Heard(), _Heard()
    of_first, of_second = ([frame(bytes([number]) * 5_000) for _ in range(40)] for number in (1, 2))
    async with Peer(first, **contexts) as to_first, Peer(second, **contexts) as to_second:
        for one, other in zip(of_first, of_second, strict=True):
            to_first.write(one)
            to_second.write(other)
            await asyncio.gather(to_first.drain(), to_second.drain())
        if contexts and sys.version_info >= (3, 11):
            transports = [each.transport._transport for each in (first, second)]
            assert transports[0]._ssl_protocol.get_buffer(-1) is transports[1]._ssl_protocol.get_buffer(-1)
            assert len(transports[0]._ssl_protocol.get_buffer(-1)) == READ_BYTES
        await asyncio.wait_for(asyncio.gather(first.heard(40), second.heard(40)), DEADLINE_S)
    assert (first.pieces, second.pieces) == (of_first, of_second)


async def test_what_has_arrived_takes_few_system_calls(
    contexts: dict[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred frames, of the size of an event each, with TLS a record each: not a call for each of them."""
    calls: dict[int, int] = {}
    for name in ("recv", "recv_into"):
        original = getattr(socket.socket, name)

        def counted(self: socket.socket, *arguments: Any, call: Any = original) -> Any:
            calls[self.fileno()] = calls.get(self.fileno(), 0) + 1
            return call(self, *arguments)

        monkeypatch.setattr(socket.socket, name, counted, raising=False)
    heard = _Heard()
    async with Peer(heard, **contexts) as writer:
        fileno = heard.transport._transport.get_extra_info("socket").fileno()
        calls.clear()
        for number in range(100):
            writer.write(frame(bytes([number]) * 1500))
        await asyncio.wait_for(heard.heard(100), DEADLINE_S)
    assert 1 <= calls[fileno] <= 10


async def test_deliveries_are_told_and_pika_hears_that_the_broker_lives(contexts: dict[str, ssl.SSLContext]) -> None:
    """One heartbeat for each read that brought nothing else for pika; with them nothing is added."""
    heard = _Heard()
    peer = Peer(heard, **contexts)
    async with peer as writer:
        writer.write(delivery_frames("tag", 1, b"one") + delivery_frames("tag", 2, b"two"))
        await writer.drain()
        await asyncio.wait_for(heard.heard(1), DEADLINE_S)
        writer.write(delivery_frames("tag", 3, b"three") + frame(b"x"))
        await writer.drain()
        await asyncio.wait_for(heard.heard(2), DEADLINE_S)
    assert heard.pieces[0] == heartbeat_frame()
    assert [piece for piece in heard.pieces if piece != heartbeat_frame()] == [frame(b"x")]
    arrived = [message for delivered in peer.services.delivered for message in delivered.messages]
    bodies = enumerate((b"one", b"two", b"three"), 1)
    assert arrived == [Message(tag, False, "key", 0, body) for tag, body in bodies]


async def test_what_pika_cannot_read_ends_the_connection(contexts: dict[str, ssl.SSLContext]) -> None:
    """As a violation, told before pika hears of the end; nothing that arrived with it is read any more."""
    heard = _Heard(fails_at=2)
    peer = Peer(heard, **contexts)
    async with peer as writer:
        writer.write(10 * frame(b"x"))
        reason = await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert isinstance(reason, BrokerViolation)
    assert str(reason) == "a frame that cannot be read: ValueError: no frame"
    assert peer.services.violations == [reason]
    assert len(heard.pieces) == 2


async def test_a_fault_of_our_own_below_pika_is_no_violation(contexts: dict[str, ssl.SSLContext]) -> None:
    """Where pika calls back, and what it calls trips: told as it was raised."""
    heard = _Heard()
    heard.data_received = lambda data: Reader().consume(7, "no such channel")  # type: ignore[method-assign]
    peer = Peer(heard, **contexts)
    async with peer as writer:
        writer.write(frame(b"x"))
        reason = await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert isinstance(reason, KeyError)
    assert peer.services.violations == [reason]


async def test_a_violation_ends_the_connection(contexts: dict[str, ssl.SSLContext]) -> None:
    """At once, and pika sees nothing of it."""
    heard = _Heard()
    peer = Peer(heard, **contexts)
    async with peer as writer:
        writer.write(raw_frame(1, 0, b"", size=120 * 2**20))
        reason = await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert isinstance(reason, BrokerViolation)
    assert peer.services.violations == [reason]
    assert heard.pieces == []


async def test_a_broker_that_reads_nothing(contexts: dict[str, ssl.SSLContext]) -> None:
    """What waits to be sent is bounded."""
    heard = _Heard()
    peer = Peer(heard, **contexts)
    async with peer:
        written = 0
        while not peer.services.violations:
            heard.transport.write(bytes(65_536))
            written += 65_536
        reason = await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert reason is peer.services.violations[0]
    assert written < 8 * UNSENT_BYTES


async def test_nothing_is_read_after_pika_aborts(contexts: dict[str, ssl.SSLContext]) -> None:
    """pika aborts within the callback that brought a close; what arrived behind it stays unread."""
    heard = _Heard()
    heard.data_received = lambda data: (heard.pieces.append(data), heard.transport.abort())  # type: ignore[method-assign,func-returns-value,assignment]
    async with Peer(heard, **contexts) as writer:
        writer.write(10 * frame(b"x"))
        assert await asyncio.wait_for(heard.lost, DEADLINE_S) is None
    assert len(heard.pieces) == 1


async def test_a_wrong_certificate_is_told(certificates: Certificates) -> None:
    """As the exception that it is, and pika's protocol never sees a transport."""
    heard = _Heard()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=server_context(certificates.server))
    sock = socket.create_connection(server.sockets[0].getsockname())
    sock.setblocking(False)
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    Services().create_streaming_connection(
        lambda: heard, sock, done.set_result, ssl.create_default_context(), "localhost"
    )
    assert isinstance(await asyncio.wait_for(done, DEADLINE_S), ssl.SSLCertVerificationError)
    assert heard.transport is None
    assert sock.fileno() == -1
    server.close()
    await server.wait_closed()


async def test_an_opening_that_is_given_up_closes_its_socket() -> None:
    """pika's own deadline cancels it, with a peer that never answers the handshake."""
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        closed.set_result(None)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    sock = socket.create_connection(server.sockets[0].getsockname())
    sock.setblocking(False)
    told: list[object] = []
    opening = Services().create_streaming_connection(
        _Heard, sock, told.append, ssl.create_default_context(), "localhost"
    )
    await asyncio.sleep(0)
    assert opening.cancel()
    await asyncio.wait_for(closed, DEADLINE_S)
    assert told == []
    server.close()
    await server.wait_closed()
