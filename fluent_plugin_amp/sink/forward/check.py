"""One visit to one server, for `fluent-plugin-amp check`: connect, shake hands, and have one chunk acked.

Unlike `client.py` it tries once and raises what went wrong.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fluent_plugin_amp.errors import AckTimeout, PluginError, WrongAck
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.connection import open_connection
from fluent_plugin_amp.sink.forward.protocol import encode_chunk
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress

_OBJECTION_S = 0.3  # a server that wants a handshake or another certificate says so right after the connection


@dataclass(frozen=True, slots=True)
class Checked:
    """How long it took, in seconds."""

    connected_s: float
    """To connect and shake hands."""
    acked_s: float | None
    """From writing the chunk to its ack; None when there was no chunk."""


async def check(address: ServerAddress, settings: ForwardSettings, chunk: Chunk | None = None) -> Checked:
    """Connect to a server, shake hands and, when a ``chunk`` is given, send it and wait for its ack.

    Raises the error that came in the way: ``ServerUnreachable``, ``ServerConnectionLost``,
    ``ServerCertificateRefused``, ``HandshakeRefused``, ``AckTimeout`` or ``WrongAck``.
    """
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    connection = await open_connection(address, settings)
    connected_at = loop.time()
    visit = _Visit(chunk.id if chunk else "", loop.create_future())
    try:
        connection.start(visit)
        if chunk is None:
            await asyncio.wait({visit.result}, timeout=_OBJECTION_S)
        else:
            connection.write(encode_chunk(chunk, settings.compress))
            await asyncio.wait({visit.result}, timeout=settings.ack_response_timeout_s)
            if not visit.result.done():
                raise AckTimeout(f"no ack within {settings.ack_response_timeout_s:g} s")
        if visit.result.done():
            visit.result.result()
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
