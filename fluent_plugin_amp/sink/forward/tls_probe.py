"""Asks whether a Forward server speaks TLS, on a connection of its own, when the usual one fails without a reason.

A server and a client that disagree about TLS see nothing but a closed connection, or silence.  One hello shows which
of them is right.  The hello carries no event and verifies no certificate: it asks for the kind of the port only.

Invariants: a server is asked once, until it acks or was away; asking takes ``PATIENCE_S`` at most, and no descriptor
of the reserve; when it fails, the error stays what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from fluent_plugin_amp import descriptors
from fluent_plugin_amp.errors import (
    HandshakeRefused,
    HandshakeTimeout,
    PluginError,
    ServerConnectionLost,
    ServerIsPlain,
    ServerTakesNothing,
    ServerUnreachable,
    ServerWantsTls,
    WrongAck,
)
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress

PATIENCE_S = 3.0
"""For the whole hello, the connection included."""
_OBJECTION_S = 1.0  # a TLS port that gets plain bytes closes at once; Fluent Bit takes 0.5 s to say HELO
BEGINNING = b"\x93\xb7fluent_plugin_amp.probe"
"""Of a message that never becomes whole: an array of three, the first of them a text."""
_WANTS_NO_TLS = (
    "Check that its port expects TLS (Fluentd: <transport tls>, Fluent Bit: tls on), or remove forward.tls."
)


class TlsDoubt:
    """Whether one server and our settings may disagree about TLS.

    With ``doubts_silence`` it doubts every server that could not be reached in TLS.  One that only hangs looks the
    same, so this is for a single visit, and not for a server that is tried again.
    """

    def __init__(self, address: ServerAddress, settings: ForwardSettings, *, doubts_silence: bool = False) -> None:
        self._address = address
        self._settings = settings
        self._doubts_silence = doubts_silence
        self._is_settled = address.unix_path is not None  # a Unix socket is always plain
        self._found: PluginError | None = None

    def acked(self) -> None:
        """The server acked a chunk, so both sides agree about TLS."""
        self._is_settled, self._found = True, None

    async def explain(self, error: PluginError) -> PluginError:
        """Return the error that names the mix-up, with ``error`` as its cause; or ``error`` itself."""
        if self._address.unix_path is not None:
            return error
        if not self._is_suspect(error):
            if isinstance(error, ServerUnreachable):  # it may come back as something else
                self._is_settled, self._found = False, None
            return error
        if not self._is_settled:
            self._is_settled = True
            self._found = await self._ask(error)
        if self._found is None:
            return error
        self._found.__cause__ = error
        return self._found

    def _is_suspect(self, error: PluginError) -> bool:
        if self._settings.tls is None:
            return isinstance(error, ServerConnectionLost | ServerTakesNothing | WrongAck | HandshakeTimeout)
        return isinstance(error, ServerUnreachable) and (_is_reset(error) or self._doubts_silence)

    async def _ask(self, error: PluginError) -> PluginError | None:
        # Not `wait_for`: before Python 3.12 it swallows a cancellation that comes with the answer.
        asking = asyncio.ensure_future(self._found_by_asking(error))
        try:
            done, _ = await asyncio.wait({asking}, timeout=PATIENCE_S)
            return asking.result() if done else None
        except (OSError, ValueError):  # a probe that fails tells nothing
            return None
        finally:
            asking.cancel()

    async def _found_by_asking(self, error: PluginError) -> PluginError | None:
        if self._settings.tls is None:
            if await _wants_tls(self._address, self._settings):
                return ServerWantsTls("the server speaks TLS, and we do not")
        elif _is_reset(error):
            if await _is_plain(self._address):
                return ServerIsPlain("the server closes at our TLS, and takes a plain connection")
        else:
            (await _connect(self._address)).close()
            return HandshakeRefused(f"connected, but not in TLS: {error}", remedy=_WANTS_NO_TLS)
        return None


def _is_reset(error: PluginError) -> bool:
    return isinstance(error.__cause__, ConnectionResetError)


async def _wants_tls(address: ServerAddress, settings: ForwardSettings) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # whose port it is does not matter: no event is sent
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(
            sock=await _connect(address), ssl=context, server_hostname=settings.server_hostname or address.host
        )
    except ssl.SSLError as exc:  # an alert is an answer in TLS too
        return "ALERT" in (exc.reason or "")
    writer.transport.abort()
    return True


async def _is_plain(address: ServerAddress) -> bool:
    reader, writer = await asyncio.open_connection(sock=await _connect(address))
    try:
        writer.write(BEGINNING)
        said = await asyncio.wait_for(reader.read(16), _OBJECTION_S)
    except asyncio.TimeoutError:  # it waits for the rest
        return True
    finally:
        writer.transport.abort()
    return b"HELO" in said


async def _connect(address: ServerAddress) -> socket.socket:
    """A socket that is connected to the first address that answers; none of those kept for what must go on.

    Raises:
        OSError: none answers, or no descriptor is free.
    """
    loop = asyncio.get_running_loop()
    error = OSError("no address")
    for family, kind, protocol, _, to in await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        with contextlib.ExitStack() as unless_connected:
            unless_connected.callback(sock.close)
            try:
                sock.setblocking(False)
                descriptors.claim(sock)
                await loop.sock_connect(sock, to)
            except OSError as exc:
                error = exc
            else:
                unless_connected.pop_all()
                return sock
    raise error
