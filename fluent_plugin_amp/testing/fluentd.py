"""A scriptable Forward server: Fluentd on its good and on its bad days.

::

    async with FakeFluentd() as server:
        server.script(NoAck(), Close())             # what becomes of the next two chunks; then Ack() again
        ...                                         # let the client send to 127.0.0.1:server.port
        await server.wait_for(lambda: len(server.records) == 10)
        assert server.violations == []

It acknowledges as Fluentd and Fluent Bit do, keeps every chunk it was sent, and is stricter than both: what one
of them refuses, loses or hangs on ends the connection here and is told in ``violations``.

Invariants: a chunk counts as accepted (``records``) from the moment its ack is written, and only then; after
``stop`` no connection is open.  Everything happens in the event loop's thread.

``python -m fluent_plugin_amp.testing.fluentd --help`` runs the same server as a process of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgpack

from fluent_plugin_amp.testing.forward import (
    Entry,
    Handshake,
    Message,
    ReceivedChunk,
    Security,
    Violation,
    decode_entries,
    decode_message,
    make_unpacker,
    pack_ack,
)
from fluent_plugin_amp.testing.ports import free_port
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
    Script,
    Welcome,
    WrongAck,
    WrongPong,
)
from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions

if TYPE_CHECKING:
    from typing_extensions import Self

_CLIENT_HELLO = b"\x16\x03"  # how TLS begins


@dataclass(slots=True)
class Counts:
    """Totals since the start; ``events`` by the client's word where it gives one."""

    connections: int = 0
    chunks: int = 0
    repeated_chunks: int = 0
    """Accepted chunks whose id had been accepted before."""
    events: int = 0
    """In accepted chunks."""
    bytes: int = 0
    """Read from all connections."""
    first_at: float | None = None
    last_at: float | None = None
    """When the first and the last chunk was accepted, seconds since the epoch."""
    violations: list[str] = field(default_factory=list)


class FakeFluentd:
    """A Forward server on ``host`` and ``port`` (0: a free one), or on a Unix socket.

    ``tls`` is a server context (`certificates.server_context`, which may demand client certificates).
    ``security`` asks clients for a shared key and users.  ``keep=False`` neither decodes nor keeps entries, to
    be fast; ``on_message`` sees each message before it is acknowledged.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix_path: Path | None = None,
        tls: ssl.SSLContext | None = None,
        security: Security | None = None,
        keep: bool = True,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.unix_path = unix_path
        self.security = security
        self.keep = keep
        self.poison: Callable[[Entry], bool] | None = None
        """A chunk with an entry for which this is true closes the connection, always."""
        self.chunks: list[ReceivedChunk] = []
        """Every chunk that arrived whole, in order, repeated ones and those not accepted included."""
        self.acks: list[str] = []
        """Ids acknowledged, in order."""
        self.refusals: list[str] = []
        """Why PINGs were refused."""
        self.counts = Counts()
        self._tls = tls
        self._on_message = on_message
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._script = Script()
        self._held: list[Callable[[], None]] = []
        self._accepted_ids: set[str] = set()
        self._conditions = Conditions()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- listening -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; after ``stop`` or ``stop_listening`` again, on the same port."""
        loop = asyncio.get_running_loop()
        if self.unix_path is not None:
            self._server = await loop.create_unix_server(partial(_Connection, self), self.unix_path, ssl=self._tls)
        else:
            self._server = await loop.create_server(partial(_Connection, self), self.host, self.port, ssl=self._tls)

    def stop_listening(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Refuse new connections and cut (RST) the open ones, as a server that is killed."""
        self.stop_listening()
        self.drop_connections()
        await self.wait_for(lambda: not self._connections)

    def drop_connections(self, *, reset: bool = True) -> None:
        """Close the open connections; with ``reset=False`` orderly, after what is still to be written."""
        for connection in list(self._connections):
            connection.close(reset=reset)

    # --- the script ------------------------------------------------------------------------------

    @property
    def reaction(self) -> Reaction:
        """What becomes of a chunk for which nothing is scripted; may be set."""
        return self._script.reaction

    @reaction.setter
    def reaction(self, reaction: Reaction) -> None:
        self._script.reaction = reaction

    @property
    def welcome(self) -> Welcome:
        """What becomes of a connection for which nothing is scripted; may be set."""
        return self._script.welcome

    @welcome.setter
    def welcome(self, welcome: Welcome) -> None:
        self._script.welcome = welcome

    def script(self, *reactions: Reaction) -> None:
        """What becomes of the next chunks, one after the other, on whichever connection they arrive."""
        self._script.reactions.extend(reactions)

    def script_connections(self, *welcomes: Welcome) -> None:
        """What becomes of the next connections."""
        self._script.welcomes.extend(welcomes)

    def release(self) -> int:
        """Send the acks held back by `HoldAck`, oldest first; returns how many there were."""
        held, self._held = self._held, []
        for send in held:
            send()
        return len(held)

    # --- what it saw -----------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    @property
    def violations(self) -> list[str]:
        """What clients did wrong, in words."""
        return self.counts.violations

    @property
    def entries(self) -> list[Entry]:
        """Entries of the accepted chunks, in order, with what was sent twice twice."""
        return [entry for chunk in self.chunks if chunk.accepted for entry in chunk.entries]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Records of the accepted chunks, in order, with what was sent twice twice."""
        return [entry.record for entry in self.entries]

    async def wait_for(self, condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
        """Wait until ``condition`` holds; it is asked anew after everything that happens here.

        Raises TimeoutError, with what had happened instead.
        """
        try:
            await self._conditions.wait_for(condition, timeout_s)
        except (TimeoutError, asyncio.TimeoutError) as exc:
            raise TimeoutError(
                f"not within {timeout_s:g} s: {self.connections} connections, {self.counts}, "
                f"{len(self.acks)} acks, {len(self._held)} held"
            ) from exc

    # --- for the connections ---------------------------------------------------------------------

    def _take(self, message: Message, connection: int) -> ReceivedChunk:
        """What happens to every chunk that arrives whole; raises Violation for what cannot be taken."""
        entries = decode_entries(message) if self.keep else []
        chunk = ReceivedChunk(connection, message.tag, message.chunk, message.option, entries)
        if self.keep:
            self.chunks.append(chunk)
        if self._on_message is not None:
            self._on_message(message)
        return chunk

    def _is_poisoned(self, chunk: ReceivedChunk) -> bool:
        return self.poison is not None and any(map(self.poison, chunk.entries))

    def _accept(self, message: Message, chunk: ReceivedChunk) -> None:
        counts = self.counts
        counts.last_at = time.time()
        counts.first_at = counts.first_at or counts.last_at
        counts.chunks += 1
        size = len(chunk.entries) if self.keep else message.size
        counts.events += len(decode_entries(message)) if size is None else size
        if message.chunk is not None:
            counts.repeated_chunks += message.chunk in self._accepted_ids
            self._accepted_ids.add(message.chunk)
        if message.chunk is not None and self.keep:
            self.acks.append(message.chunk)
        chunk.accepted = True


class _Connection(asyncio.Protocol):
    """One connection: bytes in, messages to the server, its reactions out."""

    def __init__(self, server: FakeFluentd) -> None:
        self._server = server
        self._unpacker = make_unpacker()
        self._handshake: Handshake | None = None
        self._bytes_read = 0
        self._bytes_used = 0
        """Bytes of whole messages."""
        self._talking: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        server = self._server
        self._transport = transport
        server.counts.connections += 1
        self._number = server.counts.connections
        self._welcome = server._script.next_welcome()
        server._connections.add(self)
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
        server._conditions.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._talking is not None:
            self._talking.cancel()
        self._server._connections.discard(self)
        self._server._conditions.changed()

    def data_received(self, data: bytes) -> None:
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
        self._server._conditions.changed()

    def close(self, *, reset: bool) -> None:
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
                if self._handshake is None and self._server._script.closes_mid_chunk():
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
        chunk = server._take(decoded, self._number)
        reaction = server._script.next_reaction()
        if server._is_poisoned(chunk):
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
                self._server._held.append(acknowledge)
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
        self._server._accept(message, chunk)
        if message.chunk is not None:
            self._transport.write(pack_ack(message.chunk) * times)
        self._server._conditions.changed()


if __name__ == "__main__":
    from fluent_plugin_amp.testing.fluentd_process import main

    main()
