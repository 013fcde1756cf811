"""Whether a Forward server speaks TLS, asked on a connection of its own when the usual one fails without a reason.

A server and a client that disagree about TLS see nothing but a closed connection, or silence.  One hello shows which
of them is right.  The hello carries no event and verifies no certificate: only the kind of the port is asked.

Invariants: a server is asked once, until it acks or was away; asking takes ``PATIENCE_S`` at most; when it fails, the
error stays what it was.
"""

from __future__ import annotations

import asyncio
import ssl

from fluent_plugin_amp.errors import (
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
_BEGINNING = b"\x93\xb7fluent_plugin_amp.probe"  # an array of three, the first of them a text: never a whole message


class TlsDoubt:
    """Whether one server and our settings may disagree about TLS."""

    def __init__(self, address: ServerAddress, settings: ForwardSettings) -> None:
        self._address = address
        self._settings = settings
        self._is_settled = address.unix_path is not None  # a Unix socket is always plain
        self._found: PluginError | None = None

    def acked(self) -> None:
        """The server acked a chunk: it understands us."""
        self._is_settled, self._found = True, None

    async def explain(self, error: PluginError) -> PluginError:
        """Return what is mixed up, with ``error`` as its cause; or ``error`` itself."""
        if self._address.unix_path is not None:
            return error
        if not self._is_suspect(error):
            if isinstance(error, ServerUnreachable):  # it may come back as something else
                self._is_settled, self._found = False, None
            return error
        if not self._is_settled:
            self._is_settled = True
            self._found = await self._ask()
        if self._found is None:
            return error
        self._found.__cause__ = error
        return self._found

    def _is_suspect(self, error: PluginError) -> bool:
        if self._settings.tls is None:
            return isinstance(error, ServerConnectionLost | ServerTakesNothing | WrongAck | HandshakeTimeout)
        return isinstance(error, ServerUnreachable) and isinstance(error.__cause__, ConnectionResetError)

    async def _ask(self) -> PluginError | None:
        asking = _wants_tls(self._address, self._settings) if self._settings.tls is None else _is_plain(self._address)
        try:
            is_mixed_up = await asyncio.wait_for(asking, PATIENCE_S)
        except (OSError, ValueError, asyncio.TimeoutError):  # a probe that fails tells nothing
            return None
        if not is_mixed_up:
            return None
        if self._settings.tls is None:
            return ServerWantsTls("the server speaks TLS, and we do not")
        return ServerIsPlain("the server closes at our TLS, and takes a plain connection")


async def _wants_tls(address: ServerAddress, settings: ForwardSettings) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # whose port it is does not matter: nothing is sent, only its kind is asked
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(
            address.host, address.port, ssl=context, server_hostname=settings.server_hostname or address.host
        )
    except ssl.SSLError as exc:  # an alert is an answer in TLS too
        return "ALERT" in (exc.reason or "")
    writer.transport.abort()
    return True


async def _is_plain(address: ServerAddress) -> bool:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(_BEGINNING)
        said = await asyncio.wait_for(reader.read(16), _OBJECTION_S)
    except asyncio.TimeoutError:  # it waits for the rest
        return True
    finally:
        writer.transport.abort()
    return b"HELO" in said
