"""asyncio's own transports under pika: its I/O services, with another way to carry bytes.

pika reads from its socket by itself, and through TLS one record at a time, which is one event: each takes several
system calls, and the loop's turn.  asyncio's transports read what has arrived in one go, and write at once.  pika's
interfaces are made for them: ``AbstractStreamTransport`` and ``AbstractStreamProtocol`` are subsets of asyncio's.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import socket
import ssl
from collections.abc import Callable
from typing import Any

from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter
from pika.adapters.utils.nbio_interface import AbstractIOReference, AbstractStreamProtocol, AbstractStreamTransport

PIECE_BYTES = 8192
"""What pika is given at once: it copies what is left of it for each frame that it takes out, and what it has of a
frame for each piece that follows."""

# asyncio keeps a buffer of this size for each TLS connection, and a process may have hundreds of them.
asyncio.sslproto.SSLProtocol.max_size = 64 * 1024  # type: ignore[attr-defined]


class IoServices(_AsyncioIOServicesAdapter):  # type: ignore[misc]
    """pika's own for asyncio, except for the streams."""

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], AbstractStreamProtocol],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        """See ``AbstractIOServices``: ``on_done`` hears of an exception, or of a transport and its protocol."""
        return _Opening(asyncio.ensure_future(_open(protocol_factory, sock, on_done, ssl_context, server_hostname)))


class _Opening(AbstractIOReference):  # type: ignore[misc]
    """pika's reference to a stream that is about to open."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> bool:
        """Give it up, and close the socket."""
        return self._task.cancel()


async def _open(
    protocol_factory: Callable[[], AbstractStreamProtocol],
    sock: socket.socket,
    on_done: Callable[[Any], None],
    ssl_context: ssl.SSLContext | None,
    server_hostname: str | None,
) -> None:
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: _Stream(protocol_factory(), on_done),
            sock=sock,
            ssl=ssl_context,
            server_hostname=server_hostname if ssl_context else None,
        )
    except Exception as exc:
        on_done(exc)


class _Stream(asyncio.Protocol, AbstractStreamTransport):  # type: ignore[misc]
    """Protocol to asyncio's transport, and transport to pika's protocol."""

    def __init__(self, protocol: AbstractStreamProtocol, on_done: Callable[[Any], None]) -> None:
        self._protocol = protocol
        self._on_done = on_done
        self._transport: asyncio.Transport
        self._is_aborted = False
        self._error: Exception | None = None

    # --- what asyncio calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._protocol.connection_made(self)
        self._on_done((self, self._protocol))

    def data_received(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), PIECE_BYTES):
                if self._transport.is_closing():
                    return
                self._protocol.data_received(data[start : start + PIECE_BYTES])
        except Exception as exc:  # what pika cannot read ends its connection, and not the event loop's patience
            self._error = exc
            self._transport.abort()

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

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()
