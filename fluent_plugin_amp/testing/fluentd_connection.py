"""One connection of a `fluentd.FakeFluentd`: bytes in, messages to the server, its reactions out."""

from __future__ import annotations

import asyncio
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import msgpack

from fluent_plugin_amp.testing.forward import (
    Handshake,
    Message,
    ReceivedChunk,
    Violation,
    decode_message,
    make_unpacker,
    pack_ack,
)
from fluent_plugin_amp.testing.reactions import (
    Ack,
    AckThenClose,
    Answer,
    Close,
    CloseAfterBytes,
    CloseAtOnce,
    CloseMidChunk,
    CutShort,
    Drip,
    Flood,
    Greet,
    Hang,
    HoldAck,
    NoAck,
    Reaction,
    WrongAck,
    WrongPong,
)

if TYPE_CHECKING:
    from fluent_plugin_amp.testing.fluentd import FakeFluentd

_CLIENT_HELLO = b"\x16\x03"  # how TLS begins


class Connection(asyncio.Protocol):
    """The server's side of a connection."""

    def __init__(self, server: FakeFluentd) -> None:
        self._server = server
        self._unpacker = make_unpacker()
        self._handshake: Handshake | None = None
        self._bytes_read = 0
        self._bytes_used = 0
        """Bytes of whole messages."""
        self._talking: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Welcome the client as the script says."""
        assert isinstance(transport, asyncio.Transport)
        server = self._server
        self._transport = transport
        server.counts.connections += 1
        self._number = server.counts.connections
        self._welcome = server.scripted.next_welcome()
        server.open_connections.add(self)
        match self._welcome:
            case Hang():
                # In the loop's next turn: Python 3.10 begins to read after this call, whatever was said in it.
                asyncio.get_running_loop().call_soon(transport.pause_reading)
            case CloseAtOnce(reset):
                self.close(reset=reset)
            case Greet(data):
                transport.write(data)
            case Flood() | Drip() | CutShort() as talk:
                self._talk(talk)
            case _ if server.security is not None:
                self._handshake = Handshake(server.security)
                transport.write(self._handshake.helo())
        server.conditions.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop talking."""
        if self._talking is not None:
            self._talking.cancel()
        self._server.open_connections.discard(self)
        self._server.conditions.changed()

    def data_received(self, data: bytes) -> None:
        """Read what a client of ours sends."""
        self._server.counts.bytes += len(data)
        match self._welcome:
            case Greet() | Flood() | Drip() | CutShort():
                pass
            case CloseAfterBytes(count) if self._bytes_read + len(data) >= count:
                self._read(data[: count - self._bytes_read])
                self.close(reset=True)
            case _ if not self._bytes_read and data.startswith(_CLIENT_HELLO):  # only asks: no client of ours
                self._server.counts.connections -= 1
                self.close(reset=True)
            case _:
                self._read(data)
        self._server.conditions.changed()

    def close(self, *, reset: bool) -> None:
        """Close orderly, or with ``reset`` at once and with a RST."""
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        else:
            self._transport.close()

    def _read(self, data: bytes) -> None:
        self._unpacker.feed(data)
        self._bytes_read += len(data)
        try:
            while not self._transport.is_closing() and self._bytes_used < self._bytes_read:
                if self._handshake is None and self._server.scripted.closes_mid_chunk():
                    self.close(reset=True)
                    return
                self._handle(self._next_message())
        except msgpack.OutOfData:
            pass
        except Violation as exc:
            self._server.violations.append(f"connection {self._number}: {exc}")
            self.close(reset=False)

    def _next_message(self) -> Any:
        try:
            message = self._unpacker.unpack()
        except (ValueError, TypeError) as exc:
            raise Violation(f"no msgpack: {exc!r}") from exc
        self._bytes_used = self._unpacker.tell()
        return message

    def _handle(self, message: Any) -> None:
        server = self._server
        if self._handshake is not None:
            pong, refusal = self._handshake.answer(message, wrong_digest=isinstance(self._welcome, WrongPong))
            self._handshake = None
            self._transport.write(pong)
            if refusal:
                server.refusals.append(refusal)
                self.close(reset=False)
            return
        decoded = decode_message(message)
        chunk = server.take(decoded, self._number)
        reaction = server.scripted.next_reaction()
        if server.is_poisoned(chunk):
            reaction = Close()
        self._react(reaction, decoded, chunk)

    def _react(self, reaction: Reaction, message: Message, chunk: ReceivedChunk) -> None:
        acknowledge = partial(self._acknowledge, message, chunk)
        match reaction:
            case Ack(delay_s, times) if delay_s:
                asyncio.get_running_loop().call_later(delay_s, acknowledge, times)
            case Ack(_, times):
                acknowledge(times)
            case AckThenClose():
                acknowledge()
                self.close(reset=False)
            case HoldAck():
                self._server.held.append(acknowledge)
            case WrongAck(ack):
                self._transport.write(pack_ack(ack))
            case Answer(data):
                self._transport.write(data)
            case Flood() | Drip() | CutShort() as talk:
                self._talk(talk)
            case Close(reset):
                self.close(reset=reset)
            case NoAck() | CloseMidChunk():
                pass

    def _talk(self, talk: Flood | Drip | CutShort) -> None:
        if isinstance(talk, CutShort):
            self._transport.write(talk.data)
            self.close(reset=False)
        else:
            self._talking = asyncio.ensure_future(self._talk_on(talk))

    async def _talk_on(self, talk: Flood | Drip) -> None:
        """Until the client has had enough."""
        if isinstance(talk, Flood):
            self._transport.write(talk.first)
        place = 0
        while not self._transport.is_closing():
            if isinstance(talk, Drip):
                self._transport.write(talk.data[place : place + 1])
                place = (place + 1) % len(talk.data)
                await asyncio.sleep(talk.every_s)
            elif self._transport.get_write_buffer_size() < len(talk.again):
                self._transport.write(talk.again)
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(0.001)

    def _acknowledge(self, message: Message, chunk: ReceivedChunk, times: int = 1) -> None:
        """Answer, unless the connection is gone by now: then the client never learns that the chunk arrived."""
        if self._transport.is_closing():
            return
        self._server.accept(message, chunk)
        if message.chunk is not None:
            self._transport.write(pack_ack(message.chunk) * times)
        self._server.conditions.changed()
