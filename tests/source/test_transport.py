"""pika over asyncio's transports: what arrives together is read together, and nothing of it is lost or read twice."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from pika.adapters.utils.nbio_interface import AbstractStreamProtocol

from fluent_plugin_amp.source.transport import PIECE_BYTES, IoServices
from fluent_plugin_amp.testing.certificates import Certificates, server_context

DEADLINE_S = 20.0


class _Heard(AbstractStreamProtocol):  # type: ignore[misc]
    """In pika's place."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.transport: Any = None
        self.pieces: list[bytes] = []
        self.got_eof = False
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._fails_at = fails_at

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
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

    async def __aenter__(self) -> asyncio.StreamWriter:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
        self._server = await asyncio.start_server(
            lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0, ssl=self._tls
        )
        sock = socket.create_connection(self._server.sockets[0].getsockname())
        sock.setblocking(False)
        done: asyncio.Future[Any] = loop.create_future()
        IoServices().create_streaming_connection(
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
    """In pieces of a bounded size, whatever the sizes of the writes."""
    heard = _Heard()
    writes = [bytes([number % 251]) * size for number, size in enumerate((1, 1600, 40_000, 7, 300_000, 4096, 4097))]
    async with Peer(heard, **contexts) as writer:
        for data in writes:
            writer.write(data)
        writer.close()
        await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert b"".join(heard.pieces) == b"".join(writes)
    assert max(map(len, heard.pieces)) <= PIECE_BYTES
    assert heard.got_eof
    assert heard.lost.result() is None


async def test_what_pika_cannot_read_ends_the_connection(contexts: dict[str, ssl.SSLContext]) -> None:
    """Its exception is the reason of the end; nothing that arrived with it is read any more."""
    heard = _Heard(fails_at=2)
    async with Peer(heard, **contexts) as writer:
        writer.write(b"x" * 10 * PIECE_BYTES)
        reason = await asyncio.wait_for(heard.lost, DEADLINE_S)
    assert isinstance(reason, ValueError)
    assert len(heard.pieces) == 2


async def test_nothing_is_read_after_pika_aborts(contexts: dict[str, ssl.SSLContext]) -> None:
    """pika aborts within the callback that brought a close; what arrived behind it stays unread."""
    heard = _Heard()
    heard.data_received = lambda data: (heard.pieces.append(data), heard.transport.abort())  # type: ignore[method-assign,func-returns-value,assignment]
    async with Peer(heard, **contexts) as writer:
        writer.write(b"x" * 10 * PIECE_BYTES)
        assert await asyncio.wait_for(heard.lost, DEADLINE_S) is None
    assert len(heard.pieces) == 1


async def test_a_wrong_certificate_is_told(certificates: Certificates) -> None:
    """As the exception that it is, and pika's protocol never sees a transport."""
    heard = _Heard()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=server_context(certificates.server))
    sock = socket.create_connection(server.sockets[0].getsockname())
    sock.setblocking(False)
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    IoServices().create_streaming_connection(
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
    opening = IoServices().create_streaming_connection(
        _Heard, sock, told.append, ssl.create_default_context(), "localhost"
    )
    await asyncio.sleep(0)
    assert opening.cancel()
    await asyncio.wait_for(closed, DEADLINE_S)
    assert told == []
    server.close()
    await server.wait_closed()
