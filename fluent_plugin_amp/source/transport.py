"""asyncio's own transports under pika: its I/O services, with another way to carry bytes.

pika reads from its socket by itself, and through TLS one record at a time, which is one event: each takes several
system calls, and the loop's turn.  asyncio's transports read what has arrived in one go, and write at once.  pika's
interfaces are made for them: ``AbstractStreamTransport`` and ``AbstractStreamProtocol`` are subsets of asyncio's.

What arrives goes through a `content.Reader` first, which takes the deliveries out; pika is given the other frames,
one by one.  What breaks the protocol ends the connection, here and nowhere else.  So does a fault of our own while a
delivery is read or taken, which is no fault of the broker's.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pika.frame
from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter
from pika.adapters.utils.nbio_interface import AbstractIOReference, AbstractStreamProtocol, AbstractStreamTransport

from fluent_plugin_amp import descriptors
from fluent_plugin_amp.errors import BrokerViolation
from fluent_plugin_amp.source.content import Delivered, Reader
from fluent_plugin_amp.source.tunnel import Tunnel
from fluent_plugin_amp.text import modules_of

UNSENT_BYTES = 4 * 1024 * 1024
"""What a broker may leave unread of what it is sent: acks of 65,535 deliveries, the most that can be prefetched, take
a third of it."""

_HEARTBEAT = bytes(pika.frame.Heartbeat().marshal())

# asyncio makes a buffer of this size for each TLS connection, and a process may have hundreds of them.
asyncio.sslproto.SSLProtocol.max_size = 16 * 1024  # type: ignore[attr-defined]
READ_BYTES = 64 * 1024
"""At most so much is read from a broker at a time."""
_read_buffer = memoryview(bytearray(READ_BYTES))
"""Of all TLS connections: what is read into it is taken out before anything else happens."""


class IoServices(_AsyncioIOServicesAdapter):  # type: ignore[misc]
    """pika's own for asyncio, except for the streams; and no descriptor is taken that is kept for others.

    Args:
        reader: takes deliveries out of what arrives.
        on_delivered: told of them, before pika is given what arrived with them.
        on_violation: told why a connection is closed at once, before pika is; it would make a text of it.
        tunnel: the way to the broker, where a proxy stands on it; pika then knows the proxy's address only.
    """

    def __init__(
        self,
        reader: Reader,
        on_delivered: Callable[[Delivered], None],
        on_violation: Callable[[Exception], None],
        tunnel: Tunnel | None = None,
    ) -> None:
        super().__init__()
        self.on_violation = on_violation
        self._reader = reader
        self._on_delivered = on_delivered
        self._tunnel = tunnel

    def connect_socket(
        self, sock: socket.socket, resolved_addr: tuple[str, int], on_done: Callable[[BaseException | None], None]
    ) -> AbstractIOReference:
        """See ``AbstractIOServices``: ``on_done`` hears of an exception, or None."""
        try:
            descriptors.claim(sock)
        except OSError as exc:
            error = exc
            return self.call_later(0, lambda: on_done(error))
        if self._tunnel is None:
            return super().connect_socket(sock, resolved_addr, on_done)
        return _Opening(asyncio.ensure_future(self._dig(self._tunnel, sock, resolved_addr, on_done)))

    async def _dig(
        self,
        tunnel: Tunnel,
        sock: socket.socket,
        resolved_addr: tuple[str, int],
        on_done: Callable[[BaseException | None], None],
    ) -> None:
        error = None
        try:
            await tunnel.open(sock, resolved_addr)
        except Exception as exc:
            error = exc
        on_done(error)

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], AbstractStreamProtocol],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        """See ``AbstractIOServices``: ``on_done`` hears of an exception, or of a transport and its protocol."""
        return _Opening(
            asyncio.ensure_future(self._open(protocol_factory, sock, on_done, ssl_context, server_hostname))
        )

    async def _open(
        self,
        protocol_factory: Callable[[], AbstractStreamProtocol],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        ssl_context: ssl.SSLContext | None,
        server_hostname: str | None,
    ) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Stream(protocol_factory(), on_done, self),
                sock=sock,
                ssl=ssl_context,
                server_hostname=server_hostname if ssl_context else None,
            )
        except Exception as exc:
            on_done(exc)

    def receive(self, data: bytes) -> list[bytes]:
        """What arrived; what of it is pika's, frame by frame.

        Raises:
            BrokerViolation, EventTooLarge
        """
        read = self._reader.receive(data)
        for delivered in read.delivered:
            self._on_delivered(delivered)
        if read.taken and not read.frames:
            return [_HEARTBEAT]  # pika, which saw nothing of it, would take the broker for dead
        return read.frames


class _Opening(AbstractIOReference):  # type: ignore[misc]
    """pika's reference to a connection, or a stream on it, that is about to open."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> bool:
        """Give it up, and close the socket."""
        return self._task.cancel()


class _Stream(asyncio.Protocol, AbstractStreamTransport):  # type: ignore[misc]
    """Protocol to asyncio's transport, and transport to pika's protocol."""

    def __init__(
        self, protocol: AbstractStreamProtocol, on_done: Callable[[Any], None], services: IoServices
    ) -> None:
        self._protocol = protocol
        self._on_done = on_done
        self._services = services
        self._transport: asyncio.Transport
        self._is_aborted = False
        self._error: Exception | None = None

    # --- what asyncio calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if (tls := getattr(transport, "_ssl_protocol", None)) is not None:
            tls.max_size, tls._ssl_buffer, tls._ssl_buffer_view = READ_BYTES, _read_buffer.obj, _read_buffer
        self._protocol.connection_made(self)
        self._on_done((self, self._protocol))

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            frames = self._services.receive(data)
        except Exception as exc:  # a violation; or what nobody foresaw, which the stream tells
            self._fail(exc)
            return
        try:
            for frame in frames:
                self._protocol.data_received(frame)
                if self._transport.is_closing():
                    return
        except Exception as exc:  # what pika cannot read ends its connection, and not the event loop's patience
            is_ours = any(module.startswith("fluent_plugin_amp.") for module in modules_of(exc)[1:])
            cannot_read = BrokerViolation(f"a frame that cannot be read: {type(exc).__name__}: {exc}")
            self._fail(exc if is_ours else cannot_read)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()  # type: ignore[no-any-return]

    def connection_lost(self, exc: Exception | None) -> None:
        error = exc or self._error
        if error is None and not self._is_aborted:
            self._protocol.eof_received()  # Python 3.10 tells no end of TLS, and pika wants a reason
        self._protocol.connection_lost(error)

    # --- what pika calls -------------------------------------------------------------------------

    def abort(self) -> None:
        self._is_aborted = True
        self._transport.abort()

    def get_protocol(self) -> AbstractStreamProtocol:
        return self._protocol

    def write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > UNSENT_BYTES:
            self._fail(BrokerViolation(f"{UNSENT_BYTES:,} bytes that it was sent are not read"))

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._services.on_violation(error)
            self._transport.abort()
