"""One visit to one server, for `fluent-plugin-amp check`: connect, shake hands, and have one chunk acked.

Unlike `client.py` it tries once, and raises what went wrong.

A server that expects TLS says nothing to a plain client until it has seen some bytes.  Without a chunk it is sent the
beginning of one: a Forward server waits for the rest and forgets it, any other objects.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fluent_plugin_amp.errors import (
    AckTimeout,
    PluginError,
    ServerConnectionLost,
    WrongAck,
)
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.connection import open_connection
from fluent_plugin_amp.sink.forward.protocol import encode_chunk
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.sink.forward.tls_probe import BEGINNING, TlsDoubt

_OBJECTION_S = 0.3  # a server that wants another certificate says so right after the connection
_HELO_S = 1.0  # Fluent Bit says HELO half a second after TLS

_WANTS_TLS = "Check whether its port expects TLS (`forward.tls: {}`); its log says why it closes."


@dataclass(frozen=True, slots=True)
class Checked:
    """How long the visit took, in seconds."""

    connected_s: float
    """To connect and shake hands."""
    acked_s: float | None
    """From writing the chunk to its ack; None when there was no chunk."""


async def check(address: ServerAddress, settings: ForwardSettings, chunk: Chunk | None = None) -> Checked:
    """Connect to a server, shake hands and, when a ``chunk`` is given, send it and wait for its ack.

    Raises the error that ended the visit: one of `open_connection`, ``AckTimeout``, ``WrongAck`` or, when that
    is why, ``ServerWantsTls``, ``ServerIsPlain`` or ``HandshakeRefused``.
    """
    try:
        return await _visit(address, settings, chunk)
    except PluginError as error:
        explained = await TlsDoubt(address, settings, doubts_silence=True).explain(error)
        if explained is error:
            raise
        raise explained from error


async def _visit(address: ServerAddress, settings: ForwardSettings, chunk: Chunk | None) -> Checked:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    connection = await open_connection(address, settings)
    connected_at = loop.time()
    visit = _Visit(chunk.id if chunk else "", loop.create_future())
    is_plain = settings.tls is None or address.unix_path is not None
    try:
        connection.start(visit)
        if chunk is not None:
            connection.write(encode_chunk(chunk, settings.compress))
            await asyncio.wait({visit.result}, timeout=settings.ack_response_timeout_s)
            if not visit.result.done():
                raise AckTimeout(f"no ack within {settings.ack_response_timeout_s:g} s")
        else:
            patience_s = max(_OBJECTION_S, 2 * (connected_at - began_at))
            await asyncio.wait({visit.result}, timeout=patience_s if settings.security else max(patience_s, _HELO_S))
            if is_plain and settings.security is None:
                connection.write(BEGINNING)
                await asyncio.wait({visit.result}, timeout=patience_s)
        if visit.result.done():
            visit.result.result()
    except (ServerConnectionLost, WrongAck) as error:
        if is_plain and settings.security is None:
            error.remedy = _WANTS_TLS
        raise
    finally:
        connection.close()
    acked_s = None if chunk is None else loop.time() - connected_at
    return Checked(connected_at - began_at, acked_s)


@dataclass(slots=True)
class _Visit:
    """A `connection.Listener` that waits for one ack."""

    chunk_id: str
    result: asyncio.Future[None]

    def acked(self, chunk_id: str) -> None:
        if chunk_id != self.chunk_id:
            raise WrongAck(f"the server acked {chunk_id[:40]!r}, which was not sent")
        if not self.result.done():
            self.result.set_result(None)

    def acks_read(self) -> None:
        pass

    def writable(self, writable: bool) -> None:
        pass

    def ended(self, error: PluginError) -> None:
        if not self.result.done():
            self.result.set_exception(error)
