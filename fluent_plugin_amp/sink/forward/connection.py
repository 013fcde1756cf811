"""One connection to one Forward server: a thin asyncio shell around `protocol.ClientProtocol`.

``open_connection`` connects and shakes hands, with deadlines, or raises a translated error.  From then on the
connection reports on the event loop: each ack, when it takes more bytes again, and, once, why it ended.  `dispatch`
decides what to write and what an ack means.

Invariants: nothing is reported after the end; no exception of asyncio, ssl or the socket leaves this module.  One
connection is a fault domain: whatever goes wrong while it is read or written ends this connection only.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
from typing import Protocol, cast

from fluent_plugin_amp.descriptors import is_exhausted
from fluent_plugin_amp.errors import (
    HandshakeRefused,
    HandshakeTimeout,
    PluginError,
    ServerCertificateRefused,
    ServerConnectionFailed,
    ServerConnectionLost,
    ServerIsPlain,
    ServerUnreachable,
    TooManyFiles,
)
from fluent_plugin_amp.hosts import is_address
from fluent_plugin_amp.sink.forward.protocol import ClientProtocol
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.tls import clock_remedy

# Keepalive notices a peer that vanished without a word after two minutes, when nothing in flight can time out.
_KEEPALIVE_IDLE_S = 60
_KEEPALIVE_INTERVAL_S = 15
_KEEPALIVE_PROBES = 4
_WANTS_TLS_SERVER = "Check that the server's port expects TLS (Fluentd: <transport tls>, Fluent Bit: tls on)."
_MAY_WANT_TLS = "its port expects TLS (`forward.tls: {}`)."
_NEXT_ADDRESS_AFTER_S = 0.25  # of several addresses of one name, when the first does not answer (RFC 8305)


class Listener(Protocol):
    """Hears what happens on a connection, on the event loop."""

    def acked(self, chunk_id: str) -> None:
        """The server acked this chunk.  May raise ``WrongAck``, which ends the connection."""

    def acks_read(self) -> None:
        """The last of the acks that arrived together was told."""

    def writable(self, writable: bool) -> None:
        """False: much is waiting to be sent; True: that is over."""

    def ended(self, error: PluginError) -> None:
        """The connection ended for this reason; called once, and last."""


class Connection(asyncio.Protocol):
    """A connection that `open_connection` made.  ``start`` it to hear what the server sends, and of its end."""

    def __init__(self, protocol: ClientProtocol) -> None:
        self.handshake_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol = protocol
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        self._ended: PluginError | None = None

    def start(self, listener: Listener) -> None:
        """Report to this listener from now on; if the connection ended already, report that at once."""
        self._listener = listener
        if self._ended is not None:
            listener.ended(self._ended)

    def write(self, data: bytes) -> None:
        """Send these bytes; keep what the socket does not take now, and send it later."""
        if self._transport is not None and self._ended is None:
            self._transport.write(data)

    def fail(self, exc: Exception) -> None:
        """Cut the connection off, for something that nobody foresaw."""
        self.end(unforeseen(exc))

    def end(self, error: PluginError) -> None:
        """Cut the connection off, for this reason."""
        if self._ended is not None:
            return
        self._ended = error
        if self._transport is not None:
            self._transport.abort()
        if not self.handshake_done.done():
            self.handshake_done.set_exception(error)
            self.handshake_done.exception()  # counts as seen, should nobody wait for it any more
        if self._listener is not None:
            self._listener.ended(error)

    def close(self) -> None:
        """Close the connection in order, and report nothing any more."""
        self._listener = None
        if self._transport is not None and self._ended is None:
            self._ended = ServerConnectionLost("closed by ourselves")
            self._transport.close()

    # --- what asyncio calls ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        if self._ended is not None:  # given up a moment before it was made
            self._transport.abort()
            return
        sock: socket.socket = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:  # asyncio itself sets TCP_NODELAY
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
        if self._protocol.ready:
            self.handshake_done.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        if self._ended is not None:
            return
        try:
            acks = self._protocol.receive(data)
            if to_send := self._protocol.data_to_send():
                self.write(to_send)
            if self._protocol.ready and not self.handshake_done.done():
                self.handshake_done.set_result(None)
            if acks and self._listener is not None:
                for chunk_id in acks:
                    self._listener.acked(chunk_id)
                self._listener.acks_read()
        except PluginError as error:
            self.end(error)
        except Exception as exc:  # the fault domain is this connection
            self.fail(exc)

    def pause_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self._tell_writable(False)

    def resume_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self._tell_writable(True)

    def _tell_writable(self, writable: bool) -> None:
        try:
            if self._listener is not None:
                self._listener.writable(writable)
        except Exception as exc:  # the fault domain is this connection
            self.fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol: the connection ended, by EOF when ``exc`` is None."""
        self.end(self._closed_by_peer(exc))

    def _closed_by_peer(self, exc: Exception | None) -> PluginError:
        how = "closed the connection" if exc is None else f"broke the connection off: {exc}"
        if isinstance(exc, ssl.SSLError):
            # With TLS 1.3 a server judges our certificate after the TLS handshake is over on our side.
            return _with_cause(_translate_tls(exc), exc)
        if self._protocol.expects == "PONG":
            return _with_cause(
                HandshakeRefused(f"the server {how} after our PING, as Fluent Bit does for a wrong shared key"),
                exc,
            )
        return _with_cause(ServerConnectionLost(f"the server {how}"), exc)


async def open_connection(address: ServerAddress, settings: ForwardSettings) -> Connection:
    """Connect to a server and shake hands.

    Raises ``ServerUnreachable``, ``ServerConnectionLost``, ``ServerCertificateRefused``, ``HandshakeRefused``,
    ``HandshakeTimeout``, ``ServerIsPlain`` or ``TooManyFiles``.
    """
    connection = Connection(ClientProtocol(settings.security, salt=secrets.token_hex(16)))
    try:
        await _connect(address, settings, connection)
        await _shake_hands(settings, connection)
    except BaseException:  # cancellation too must leave no socket behind
        connection.end(ServerConnectionLost("given up while connecting"))
        raise
    return connection


async def _connect(address: ServerAddress, settings: ForwardSettings, connection: Connection) -> None:
    # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes as the connection is made.
    connecting = asyncio.ensure_future(_create_connection(address, settings, connection))
    try:
        done, _ = await asyncio.wait({connecting}, timeout=settings.connect_timeout_s)
        if not done:
            raise ServerUnreachable(f"no connection within {settings.connect_timeout_s:g} s")
        connecting.result()
    except ssl.SSLError as exc:
        raise _translate_tls(exc) from exc
    except OSError as exc:
        # asyncio's own words for an error of the system repeat the address in brackets
        errno = exc.errno or 0
        if is_exhausted(exc):
            raise TooManyFiles(f"no connection: {os.strerror(errno)}") from exc
        why = os.strerror(errno) if errno > 0 else exc.strerror or str(exc) or type(exc).__name__
        if settings.tls is not None and isinstance(
            exc, ConnectionResetError
        ):  # by a server that took our TLS for data
            raise ServerUnreachable(f"no TLS connection: {why}", remedy=_WANTS_TLS_SERVER) from exc
        raise ServerUnreachable(f"no connection: {why}") from exc
    except ValueError as exc:  # a host name that cannot be one: a label of more than 63 characters, a NUL
        raise ServerUnreachable(f"no connection: {exc}") from exc
    finally:
        connecting.cancel()


async def _create_connection(address: ServerAddress, settings: ForwardSettings, connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    if address.unix_path is not None:
        await loop.create_unix_connection(lambda: connection, address.unix_path)
        return
    await loop.create_connection(
        lambda: connection,
        address.host,
        address.port,
        ssl=settings.tls,
        server_hostname=(settings.server_hostname or address.host) if settings.tls else None,
        # Not for a single address: there it brings nothing, and cancelled at the wrong moment it forgets a socket.
        happy_eyeballs_delay=None if is_address(address.host) else _NEXT_ADDRESS_AFTER_S,
    )


async def _shake_hands(settings: ForwardSettings, connection: Connection) -> None:
    error = HandshakeTimeout(
        f"connected, but the handshake was not done within {settings.connect_timeout_s:g} s",
        remedy="Check that the server works and has a <security> section (Fluent Bit: shared_key), "
        + ("or remove forward.security." if settings.tls else "or remove forward.security; or " + _MAY_WANT_TLS),
    )
    deadline = asyncio.get_running_loop().call_later(settings.connect_timeout_s, connection.end, error)
    try:
        await connection.handshake_done
    finally:
        deadline.cancel()


def _translate_tls(exc: ssl.SSLError) -> PluginError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        what = f"the server's certificate is refused: {exc.verify_message}"
        return ServerCertificateRefused(what, remedy=clock_remedy(exc))
    reason = (exc.reason or str(exc)).replace("_", " ").lower()
    if "alert" in reason:
        return HandshakeRefused(
            f"the server broke TLS off: {reason}",
            remedy="Check the client certificate (forward.tls.cert_file, key_file) and the server's log.",
        )
    if "wrong version number" in reason or "http request" in reason:  # OpenSSL's words for bytes that are no TLS
        return ServerIsPlain(f"the server answered our TLS with something else: {reason}")
    return HandshakeRefused(
        f"TLS does not work with this server: {reason}",
        remedy=_WANTS_TLS_SERVER,
    )


def unforeseen(exc: Exception) -> ServerConnectionFailed:
    """The error for a connection that ended by an unforeseen exception, which is its cause."""
    error = ServerConnectionFailed(f"{type(exc).__name__} while reading or writing")
    error.__cause__ = exc
    return error


def _with_cause(error: PluginError, cause: Exception | None) -> PluginError:
    error.__cause__ = cause
    return error
