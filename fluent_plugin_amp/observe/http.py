"""A small HTTP/1.1 server on the plugin's own event loop: GET and HEAD of a few paths, one request a connection.

It is a thin shell around h11, which knows the protocol.  Everything that a client can do is bounded: the size of its
request, the time that it takes, and how many clients there are at once.  When there are too many, those that have
been silent for longest are dropped, so that a probe gets its answer.  Nobody is dropped within the first second: a
probe that has just connected looks like a client that never asks.  A client that breaks off is dropped without a log
line. An answer that fails by a fault of our own becomes a 500.  Neither disturbs the streams.

There is no password: the pages show neither secrets nor what is in events, and the server listens on loopback by
default.  On loopback it answers only requests for names of loopback.  So a foreign page gets nothing, even if its
name was made to lead here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import h11

from fluent_plugin_amp.hosts import is_loopback

MAX_REQUEST_BYTES = 16 * 1024
MAX_CONNECTIONS = 64
"""Beyond this, silent clients are dropped."""
SILENT_AFTER_S = 1.0
MOST_CONNECTIONS = 104
"""Beyond this, new clients are refused.  The loop accepts 100 at once, and `descriptors.RESERVE` has room for all."""
DEADLINE_S = 10.0
"""A request must arrive, and the client must take the answer, within this time."""
CLOSE_TIMEOUT_S = 1.0

_NO_FRAMES = "frame-ancestors 'none'"
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; {_NO_FRAMES}"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Connection", "close"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[], Awaitable[Answer]]


@contextlib.asynccontextmanager
async def listening(
    routes: Mapping[str, Route],
    host: str,
    port: int,
    *,
    tell: Callable[[Exception], None] = lambda exc: None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[None]:
    """Answer on ``host`` and ``port`` until the end of the block; ``tell`` hears of faults of our own.

    Raises:
        OSError: this address cannot be listened on.
    """
    endpoint = _Endpoint(routes, tell, clock, loopback_only=is_loopback(host))
    server = await asyncio.start_server(endpoint.serve, host, port, limit=MAX_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        await endpoint.close()


@dataclass(slots=True)
class _Client:
    connected_at: float
    has_asked: bool = False
    """Its request is complete."""


class _Endpoint:
    def __init__(
        self,
        routes: Mapping[str, Route],
        tell: Callable[[Exception], None],
        clock: Callable[[], float],
        *,
        loopback_only: bool,
    ) -> None:
        self._routes = routes
        self._tell = tell
        self._clock = clock
        self._loopback_only = loopback_only
        self._tasks: set[asyncio.Task[object]] = set()
        self._clients: dict[asyncio.StreamWriter, _Client] = {}
        """The clients that are connected, the oldest first."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            now = self._clock()
            self._make_room(now)
            if len(self._clients) >= MOST_CONNECTIONS:
                return
            self._clients[writer] = _Client(now)
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._converse(reader, writer), DEADLINE_S)
        except Exception as exc:  # the fault domain is one connection
            self._tell(exc)
        finally:
            self._tasks.discard(task)
            self._clients.pop(writer, None)
            writer.transport.abort()  # without effect after an orderly end

    def _make_room(self, now: float) -> None:
        """Drop clients that ask nothing, the oldest first; then those that read slowly."""
        settled = [each for each, client in self._clients.items() if now - client.connected_at >= SILENT_AFTER_S]
        settled.sort(key=lambda each: self._clients[each].has_asked)
        for each in settled[: max(0, len(self._clients) + 1 - MAX_CONNECTIONS)]:
            del self._clients[each]
            each.transport.abort()

    async def close(self) -> None:
        """Drop all clients."""
        for writer in self._clients:
            writer.transport.abort()
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        method = b""
        try:
            request = await _next_request(connection, reader)
            if request is None:
                return
            if writer in self._clients:
                self._clients[writer].has_asked = True
            method = request.method
            answer = await self._answer(request)
        except h11.RemoteProtocolError as exc:
            answer = _text(exc.error_status_hint, str(exc))
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            writer.write(_encode(connection, answer, with_body=method != b"HEAD"))
        writer.close()
        await writer.wait_closed()

    async def _answer(self, request: h11.Request) -> Answer:
        if self._loopback_only and not all(
            _names_loopback(value) for name, value in request.headers if name == b"host"
        ):
            return _text(421, "this listens on loopback: ask for localhost, 127.0.0.1 or [::1]")
        route = self._routes.get(request.target.partition(b"?")[0].decode("ascii"))
        if route is None:
            return _text(404, "not found; there are: " + " ".join(self._routes))
        if request.method not in (b"GET", b"HEAD"):
            return _text(405, "GET or HEAD")
        try:
            return await route()
        except Exception as exc:  # the fault domain is one request
            self._tell(exc)
            return _text(500, "an error that nobody foresaw: see the log")


async def _next_request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The head of the request; None when the client leaves before it is complete."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(MAX_REQUEST_BYTES))
    return event if isinstance(event, h11.Request) else None


def _names_loopback(value: bytes) -> bool:
    """Whether a Host header, with a port or without, names loopback."""
    host = value.decode("latin-1").strip().lower()
    bracketed, bracket, _ = host.partition("]")
    return is_loopback(bracketed.removeprefix("[") if bracket else host.partition(":")[0].removesuffix("."))


def _encode(connection: h11.Connection, answer: Answer, *, with_body: bool) -> bytes:
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        *([("Allow", "GET, HEAD")] if answer.status == 405 else []),
        *_HEADERS,
    ]
    head = connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    body = connection.send(h11.Data(data=answer.body)) or b"" if with_body else b""
    return head + body


def _text(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())
