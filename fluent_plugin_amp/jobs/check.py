"""`fluent-plugin-amp check`: try each peer that the configuration names, one row each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import Any

from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, PluginError
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.parts import forward_settings, make_locate
from fluent_plugin_amp.sink.forward.check import check as check_server
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.source import amqp

CHECK_TAG = "fluent_plugin_amp.check"
CLOSE_TIMEOUT_S = 2.0
MAX_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Row:
    """What was tried and what came of it."""

    kind: str
    """``stream`` or ``server``."""
    name: str
    peer: str
    ok: bool
    result: str
    error_id: str = ""
    remedy: str = ""
    exit_code: int = EXIT_OK
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


async def check(config: Config, *, end_to_end: bool = False) -> list[Row]:
    """Try all streams and servers, several at once; rows in the order of the configuration.

    ``end_to_end`` also sends one record tagged `CHECK_TAG` to each server and waits for the ack.
    """
    settings = forward_settings(config)
    limit = asyncio.Semaphore(MAX_AT_ONCE)

    async def limited(kind: str, name: str, peer: str, attempt: Awaitable[str]) -> Row:
        async with limit:
            return await _row(kind, name, peer, attempt)

    return await asyncio.gather(
        *(limited("stream", stream.name, _peer(stream), _try_stream(stream)) for stream in config.streams),
        *(
            limited("server", server.name, server.name, _try_server(server, settings, end_to_end))
            for server in settings.servers
        ),
    )


def exit_code(rows: list[Row]) -> int:
    """0 when all is well; the code that all failures share; 1 when they differ."""
    codes = {row.exit_code for row in rows if not row.ok}
    return EXIT_OK if not codes else codes.pop() if len(codes) == 1 else EXIT_NO


async def _row(kind: str, name: str, peer: str, attempt: Awaitable[str]) -> Row:
    began = time.monotonic()
    try:
        result = await attempt
    except PluginError as error:
        return Row(
            kind,
            name,
            peer,
            False,
            str(error),
            error.id,
            error.remedy,
            error.exit_code,
            time.monotonic() - began,
        )
    return Row(kind, name, peer, True, result, seconds=time.monotonic() - began)


def _peer(stream: StreamConfig) -> str:
    """Who is asked first."""
    if stream.event_stream_name is None:
        return f"{stream.host}:{stream.port}"
    return stream.cloud.api or "" if stream.cloud is not None else ""


async def _try_stream(stream: StreamConfig) -> str:
    """Log in and look at the queue.  Whether the user may read it only consuming tells, which would take events."""
    location = await make_locate(stream)()
    broker = location.broker
    looked_up = "" if stream.event_stream_name is None else f"looked up: {broker.host}:{broker.port}, "
    connection = await amqp.connect(broker)
    try:
        channel = await connection.open_channel()
        queue = await channel.declare_passive(location.queue)
        text = f"{looked_up}{location.queue}: {queue.messages} messages waiting"
        if queue.consumers:
            return f"{text}, {queue.consumers} consumer(s) attached (they split the stream)"
        return f"{text}, no consumer attached"
    finally:
        await connection.close(CLOSE_TIMEOUT_S)


async def _try_server(server: ServerAddress, settings: ForwardSettings, end_to_end: bool) -> str:
    chunk = None
    if end_to_end:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        record = {"message": "fluent-plugin-amp check", "server": server.name}
        chunk = Chunk(new_chunk_id(), CHECK_TAG, [entry(seconds, nanoseconds, record)], [])
    checked = await check_server(server, settings, chunk)
    if checked.acked_s is None:
        return f"connected in {checked.connected_s * 1000:.0f} ms"
    return f"connected, one record acknowledged in {checked.acked_s * 1000:.0f} ms"
