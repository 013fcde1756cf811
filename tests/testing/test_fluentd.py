"""The scriptable Forward server against raw sockets: each reaction and each welcome is what a client meets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fluent_plugin_amp.testing.certificates import make_certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import Entry, EventTime, Message, Security
from fluent_plugin_amp.testing.reactions import (
    Ack,
    AckThenClose,
    Answer,
    Close,
    CloseAfterBytes,
    CloseAtOnce,
    CloseMidChunk,
    Greet,
    Hang,
    HoldAck,
    NoAck,
    WrongAck,
    WrongPong,
)
from fluent_plugin_amp.testing.waiting import DEADLINE_S


class Client:
    """A raw connection; every wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unpacker = msgpack.Unpacker(unicode_errors="surrogateescape")

    async def send(self, *numbers: int, chunk: str | None = "aWQ=") -> None:
        """One chunk with a record for each number."""
        await self.send_bytes(chunk_bytes(*numbers, chunk=chunk))

    async def send_bytes(self, data: bytes) -> None:
        """Any bytes."""
        self._writer.write(data)
        await asyncio.wait_for(self._writer.drain(), DEADLINE_S)

    async def answer(self) -> Any:
        """The next thing the server says."""
        while True:
            with contextlib.suppress(msgpack.OutOfData):
                return self._unpacker.unpack()
            data = await asyncio.wait_for(self._reader.read(65536), DEADLINE_S)
            if not data:
                raise EOFError
            self._unpacker.feed(data)

    async def closed(self) -> bool:
        """True for a reset, False for an orderly end; fails when the server says anything before."""
        try:
            data = await asyncio.wait_for(self._reader.read(65536), DEADLINE_S)
        except ConnectionResetError:
            return True
        assert data == b""
        return False


def chunk_bytes(*numbers: int, chunk: str | None = "aWQ=") -> bytes:
    """A PackedForward message as bytes."""
    entries = b"".join(b"\x92\xd7\x00\0\0\0\x01\0\0\0\x02" + msgpack.packb({"n": number}) for number in numbers)
    option: dict[str, Any] = {"size": len(numbers)} | ({} if chunk is None else {"chunk": chunk})
    return bytes(msgpack.packb(["tag", entries, option]))


@contextlib.asynccontextmanager
async def connected(server: FakeFluentd, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A client of the server, closed afterwards."""
    if server.unix_path is not None:
        reader, writer = await asyncio.open_unix_connection(server.unix_path)
    else:
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=tls, server_hostname=name)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
async def server() -> AsyncIterator[FakeFluentd]:
    """A plain server."""
    async with FakeFluentd() as running:
        yield running


async def test_a_chunk_is_kept_and_acknowledged(server: FakeFluentd) -> None:
    """With tag, option, connection, and entries to the nanosecond."""
    async with connected(server) as client:
        await client.send(1, 2)
        assert await client.answer() == {"ack": "aWQ="}
    [chunk] = server.chunks
    assert (chunk.tag, chunk.id, chunk.connection, chunk.accepted) == ("tag", "aWQ=", 1, True)
    assert chunk.option == {"size": 2, "chunk": "aWQ="}
    assert server.entries == [Entry(EventTime(1, 2), {"n": 1}), Entry(EventTime(1, 2), {"n": 2})]
    assert server.records == [{"n": 1}, {"n": 2}]
    assert server.acks == ["aWQ="]
    assert (server.counts.chunks, server.counts.events, server.violations) == (1, 2, [])


async def test_messages_may_arrive_in_any_pieces(server: FakeFluentd) -> None:
    """Byte by byte, or several in one read."""
    async with connected(server) as client:
        for byte in chunk_bytes(1, chunk="1"):
            await client.send_bytes(bytes([byte]))
            await asyncio.sleep(0)
        await client.send_bytes(chunk_bytes(2, chunk="2") + chunk_bytes(3, chunk="3"))
        assert [await client.answer() for _ in range(3)] == [{"ack": "1"}, {"ack": "2"}, {"ack": "3"}]


async def test_a_chunk_without_an_id_is_taken_without_an_ack(server: FakeFluentd) -> None:
    """Acks are only sent to who asks for them."""
    async with connected(server) as client:
        await client.send(1, chunk=None)
        await client.send(2, chunk="2")
        assert await client.answer() == {"ack": "2"}
    assert server.records == [{"n": 1}, {"n": 2}]


async def test_a_violation_closes_the_connection_and_is_told(server: FakeFluentd) -> None:
    """For garbage, for a bad message and for a bad entry; nothing of the chunk counts."""
    for bad in (b"\xc1", b"\x81\x90\x01", b"\x01", chunk_bytes(1)[:-1] + b"\xff", chunk_bytes()):
        async with connected(server) as client:
            await client.send_bytes(bad)
            assert not await client.closed()
    assert len(server.violations) == 5
    assert server.violations[2].startswith("connection 3: a message is an array")
    assert server.records == []


async def test_the_script_is_followed_and_then_the_default(server: FakeFluentd) -> None:
    """One reaction for each chunk; what was not acknowledged is not accepted."""
    server.script(NoAck(), WrongAck("other"), Answer(b"\x2a"), Ack(times=2), WrongAck())
    server.reaction = WrongAck(None)
    async with connected(server) as client:
        for number in range(6):
            await client.send(number, chunk=str(number))
        answers = [await client.answer() for _ in range(6)]
    assert answers == [
        {"ack": "other"},
        42,
        {"ack": "3"},
        {"ack": "3"},
        {"ack": "bm90LXdoYXQteW91LXNlbnQ="},
        {"ack": None},
    ]
    assert [chunk.entries[0].record["n"] for chunk in server.chunks] == [0, 1, 2, 3, 4, 5]
    assert server.records == [{"n": 3}]


async def test_acks_can_be_late(server: FakeFluentd) -> None:
    """After a delay, while the next chunk is answered at once."""
    server.script(Ack(delay_s=0.05))
    async with connected(server) as client:
        await client.send(1, chunk="late")
        await client.send(2, chunk="at once")
        assert await client.answer() == {"ack": "at once"}
        assert server.records == [{"n": 2}]
        assert await client.answer() == {"ack": "late"}


async def test_acks_can_be_held_until_released(server: FakeFluentd) -> None:
    """In their order; a connection that is gone by then gets none, and its chunk does not count."""
    server.reaction = HoldAck()
    async with connected(server) as client:
        async with connected(server) as gone:
            await gone.send(0)
            await server.wait_for(lambda: server.chunks)
        await client.send(1, chunk="1")
        await client.send(2, chunk="2")
        await server.wait_for(lambda: len(server.chunks) == 3 and server.connections == 1)
        assert server.acks == []
        assert server.release() == 3
        assert [await client.answer(), await client.answer()] == [{"ack": "1"}, {"ack": "2"}]
    assert server.records == [{"n": 1}, {"n": 2}]
    assert server.release() == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_a_chunk_can_close_the_connection(server: FakeFluentd, reset: bool) -> None:
    """Read whole, kept, not acknowledged; orderly or by a reset."""
    server.script(Close(reset=reset))
    async with connected(server) as client:
        await client.send(1)
        assert await client.closed() is reset
    assert [chunk.accepted for chunk in server.chunks] == [False]


async def test_a_full_server_closes_on_every_chunk(server: FakeFluentd) -> None:
    """Again and again, until it is emptied."""
    server.reaction = Close()
    for _ in range(3):
        async with connected(server) as client:
            await client.send(1)
            await client.closed()
    server.reaction = Ack()
    async with connected(server) as client:
        await client.send(1)
        assert await client.answer() == {"ack": "aWQ="}
    assert len(server.chunks) == 4


async def test_a_connection_can_end_in_the_middle_of_a_chunk(server: FakeFluentd) -> None:
    """The chunk before is acknowledged, of this one nothing is kept, also when it arrived whole at once."""
    for rest in (1, len(chunk_bytes(1))):
        server.script(Ack(), CloseMidChunk())
        async with connected(server) as client:
            await client.send(1)
            assert await client.answer() == {"ack": "aWQ="}
            await client.send_bytes(chunk_bytes(1)[:rest])
            assert await client.closed()
    assert len(server.chunks) == 2


async def test_an_ack_can_be_the_last_word(server: FakeFluentd) -> None:
    """The ack arrives, then the connection ends; later chunks are not read."""
    server.script(AckThenClose())
    async with connected(server) as client:
        await client.send_bytes(chunk_bytes(1) + chunk_bytes(2, chunk="2"))
        assert await client.answer() == {"ack": "aWQ="}
        with contextlib.suppress(ConnectionResetError):
            assert not await client.closed()
    assert server.records == [{"n": 1}]


async def test_poison_closes_the_connection_always(server: FakeFluentd) -> None:
    """Whatever is scripted; chunks without it pass."""
    server.poison = lambda entry: entry.record["n"] == 13
    for chunk, healthy in (((12, 13), False), ((12,), True), ((13,), False)):
        async with connected(server) as client:
            await client.send(*chunk)
            if healthy:
                assert await client.answer() == {"ack": "aWQ="}
            else:
                assert not await client.closed()
    assert server.records == [{"n": 12}]


async def test_connections_can_be_closed_at_once_or_never_answered(server: FakeFluentd) -> None:
    """Orderly, by a reset, or a hang that takes the bytes and says nothing."""
    server.script_connections(CloseAtOnce(), CloseAtOnce(reset=True), Hang())
    async with connected(server) as client:
        assert not await client.closed()
    async with connected(server) as client:
        assert await client.closed()
    async with connected(server) as hanging, connected(server) as served:
        await hanging.send(1)
        await served.send(2)
        await served.answer()
        assert server.records == [{"n": 2}]
        server.drop_connections()
        assert await hanging.closed()


async def test_a_connection_can_end_after_so_many_bytes(server: FakeFluentd) -> None:
    """What is whole by then is taken, however the bytes were sent."""
    size = len(chunk_bytes(1))
    server.welcome = CloseAfterBytes(size + 3)
    async with connected(server) as client:
        await client.send_bytes(chunk_bytes(1) * 2)
        await server.wait_for(lambda: server.counts.connections and not server.connections)
    assert server.records == [{"n": 1}]
    async with connected(server) as client:
        await client.send(2)
        assert await client.answer() == {"ack": "aWQ="}
        await client.send(3)
        assert await client.closed()
    assert server.records == [{"n": 1}, {"n": 2}]


async def test_the_greeting_can_be_garbage(server: FakeFluentd) -> None:
    """Any bytes instead of HELO."""
    server.welcome = Greet(b"\x92HTTP/1.1")
    async with connected(server) as client:
        assert await client.answer() == [72, 84]
        await client.send(1)
    assert server.chunks == []


def ping_bytes(helo: Any, key: bytes) -> bytes:
    """The answer of a client that knows this key."""
    nonce = helo[1]["nonce"].encode(errors="surrogateescape")
    digest = hashlib.sha512(b"salt" + b"client" + nonce + key).hexdigest()
    return bytes(msgpack.packb(["PING", "client", "salt", digest, "", ""]))


async def test_a_shared_key_is_demanded() -> None:
    """With it chunks are served; without, the PING is refused or the chunk a violation, and the connection ends."""
    async with FakeFluentd(security=Security("key")) as server:
        async with connected(server) as client:
            await client.send_bytes(ping_bytes(await client.answer(), b"key") + chunk_bytes(1))
            assert (await client.answer())[:3] == ["PONG", True, ""]
            assert await client.answer() == {"ack": "aWQ="}
        async with connected(server) as client:
            await client.send_bytes(ping_bytes(await client.answer(), b"other"))
            assert (await client.answer())[:3] == ["PONG", False, "shared_key mismatch"]
            assert not await client.closed()
        async with connected(server) as client:
            await client.answer()
            await client.send(2)
            assert not await client.closed()
    assert server.refusals == ["shared_key mismatch"]
    assert len(server.violations) == 1
    assert server.records == [{"n": 1}]


async def test_a_pong_can_prove_nothing() -> None:
    """It says yes, to a client that must not believe it."""
    async with FakeFluentd(security=Security("key", self_hostname="server")) as server:
        server.welcome = WrongPong()
        async with connected(server) as client:
            helo = await client.answer()
            nonce = helo[1]["nonce"].encode(errors="surrogateescape")
            await client.send_bytes(ping_bytes(helo, b"key"))
            _, accepted, _, hostname, digest = await client.answer()
    assert (accepted, hostname) == (True, "server")
    assert digest != hashlib.sha512(b"salt" + b"server" + nonce + b"key").hexdigest()


async def test_a_server_can_refuse_and_come_back(server: FakeFluentd) -> None:
    """Not listening: refused, open connections live on; then on the same port again."""
    async with connected(server) as client:
        await client.send(1)
        await client.answer()
        server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(server.host, server.port)
        await client.send(2)
        await client.answer()
        await server.stop()
        assert await client.closed()
    await server.start()
    async with connected(server) as client:
        await client.send(3)
        await client.answer()
    assert server.records == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """A client without one does not get through; one with it does."""
    certificates = make_certificates(tmp_path)
    demanding = server_context(certificates.server, client_ca_file=certificates.ca_file)
    async with FakeFluentd(tls=demanding) as server:
        context = ssl.create_default_context(cafile=certificates.ca_file)
        async with connected(server, context) as client:
            await client.send(1)
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                await client.answer()
        context.load_cert_chain(certificates.client.cert_file, certificates.client.key_file)
        server.script(Ack(), Close(reset=True))
        async with connected(server, context) as client:
            await client.send(2)
            assert await client.answer() == {"ack": "aWQ="}
            await client.send(3)
            with contextlib.suppress(ssl.SSLError):
                await client.closed()
    assert server.records == [{"n": 2}]


async def test_a_unix_socket_serves_too(tmp_path: Path) -> None:
    """As Fluent Bit's unix_path; and again after a stop."""
    server = FakeFluentd(unix_path=tmp_path / "fluent.sock")
    for _ in range(2):
        async with server, connected(server) as client:
            await client.send(1)
            assert await client.answer() == {"ack": "aWQ="}
    assert len(server.records) == 2


async def test_repeated_chunks_are_counted(server: FakeFluentd) -> None:
    """A chunk that is sent again after its ack is a duplicate; one sent again for want of an ack is none."""
    server.script(NoAck(), Ack(), Ack())
    async with connected(server) as client:
        for _ in range(3):
            await client.send(1)
        await client.answer()
        await client.answer()
    assert (server.counts.chunks, server.counts.repeated_chunks) == (2, 1)


async def test_a_server_that_does_not_keep_still_counts() -> None:
    """By the size the client gives, or by counting; a hook sees each message before its ack."""
    seen: list[Message] = []
    async with FakeFluentd(keep=False, on_message=seen.append) as server, connected(server) as client:
        await client.send(1, 2, 3)
        await client.answer()
        await client.send_bytes(bytes(msgpack.packb(["tag", [[1, {}], [2, {}]], {"chunk": "2"}])))
        await client.answer()
    assert (server.chunks, server.acks, server.counts.events) == ([], [], 5)
    assert [message.chunk for message in seen] == ["aWQ=", "2"]


async def test_waiting_ends_with_what_happened_instead(server: FakeFluentd) -> None:
    """After its deadline, or with the condition's own error."""
    with pytest.raises(TimeoutError, match="0 connections"):
        await server.wait_for(lambda: server.records, timeout_s=0.01)
    waiting = asyncio.ensure_future(server.wait_for(lambda: server.counts.chunks and server.records[1]))
    async with connected(server) as client:
        await client.send(1)
        with pytest.raises(IndexError):
            await waiting
        assert await client.answer() == {"ack": "aWQ="}
