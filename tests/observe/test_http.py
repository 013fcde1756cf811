"""`observe.http` over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from fluent_plugin_amp import descriptors
from fluent_plugin_amp.observe import http
from fluent_plugin_amp.observe.http import (
    MAX_CONNECTIONS,
    MAX_REQUEST_BYTES,
    MOST_CONNECTIONS,
    SILENT_AFTER_S,
    Answer,
    Route,
    listening,
)
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S

HOST = "127.0.0.1"
LARGE = b"x" * 8_000_000


def answering(status: int, content_type: str, body: bytes) -> Route:
    """A route with this answer."""

    async def answer() -> Answer:
        return Answer(status, content_type, body)

    return answer


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where a server answers on / and /large."""
    number = free_port(HOST)
    routes = {
        "/": answering(200, "text/html; charset=utf-8", "grüße".encode()),
        "/large": answering(200, "text/plain", LARGE),
        "/not-ready": answering(503, "application/json", b"{}"),
    }
    async with listening(routes, HOST, number):
        yield number


async def talk(port: int, *pieces: bytes) -> bytes:
    """Send these one after the other; everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), DEADLINE_S)
    finally:
        writer.close()


async def get(port: int, path: str, method: str = "GET") -> httpx.Response:
    """One request by a client that others wrote."""
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as client:
        return await client.request(method, f"http://{HOST}:{port}{path}")


async def test_a_path_is_answered(port: int) -> None:
    """Body, type, length, and headers that let a browser load nothing from elsewhere and keep nothing."""
    answer = await get(port, "/?refresh=1")
    assert (answer.status_code, answer.text) == (200, "grüße")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-length"] == "7"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["connection"] == "close"


async def test_a_status_of_its_own(port: int) -> None:
    """A probe reads the status line only."""
    assert (await get(port, "/not-ready")).status_code == 503


async def test_large_answers_arrive_whole(port: int) -> None:
    """Larger than any buffer on the way."""
    assert (await get(port, "/large")).content == LARGE


async def test_head_has_the_head_only(port: int) -> None:
    """The length is that of the body which GET would bring."""
    head, _, body = (await talk(port, b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Content-Length: 7" in head
    assert body == b""


async def test_an_unknown_path(port: int) -> None:
    """404, with the paths that there are."""
    answer = await get(port, "/metric")
    assert answer.status_code == 404
    assert "/large" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods(port: int, method: str) -> None:
    """Nothing can be changed here."""
    answer = await get(port, "/", method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n", b"400"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * MAX_REQUEST_BYTES, b"431"),
        (b"GET /" + b"y" * 2 * MAX_REQUEST_BYTES, b"431"),
    ],
    ids=["TLS", "no Host", "two Hosts", "no HTTP", "a large head", "a long path"],
)
async def test_what_is_no_request(port: int, request_bytes: bytes, status: bytes) -> None:
    """Refused in HTTP, and the connection closed."""
    assert (await talk(port, request_bytes)).startswith(b"HTTP/1.1 " + status)


async def test_byte_by_byte(port: int) -> None:
    """A request may arrive in any pieces."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await talk(port, *(bytes([byte]) for byte in request))
    assert answer.startswith(b"HTTP/1.1 200")


async def test_http_1_0(port: int) -> None:
    """What simple probes speak."""
    assert (await talk(port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_second_request_on_a_connection_is_not_answered(port: int) -> None:
    """`Connection: close` is meant."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await talk(port, request + request)).count(b"HTTP/1.1") == 1


async def test_a_client_that_says_nothing_is_dropped(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline, without an answer."""
    monkeypatch.setattr(http, "DEADLINE_S", 0.05)
    assert await talk(port, b"GET / HT") == b""


async def test_a_client_that_does_not_read_is_dropped(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline, whatever is still to be sent."""
    monkeypatch.setattr(http, "DEADLINE_S", 0.2)
    reader, writer = await asyncio.open_connection(HOST, port, limit=1)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        for _ in range(200):
            if reader.at_eof():
                break
            await asyncio.sleep(0.02)
            writer.write(b"more")  # a peer that is gone answers with a reset
            await writer.drain()
        else:
            pytest.fail("it is still connected")
    writer.close()


async def test_clients_that_go_away_do_no_harm(port: int) -> None:
    """In mid-request, and instead of reading the answer."""
    for request in (b"", b"GET / HT", b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(request)
        await writer.drain()
        writer.transport.abort()
    assert (await get(port, "/")).status_code == 200


class Clock:
    """A clock that stands still until it is put forward."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
async def clocked() -> AsyncIterator[tuple[int, Clock]]:
    """Where a server with a clock of its own answers on / and /large."""
    number, clock = free_port(HOST), Clock()
    routes = {"/": answering(200, "text/plain", b"well"), "/large": answering(200, "text/plain", LARGE)}
    async with listening(routes, HOST, number, clock=clock):
        yield number, clock


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def idle(port: int, count: int) -> AsyncIterator[list[Client]]:
    """So many that begin a request and do not end it."""
    clients = [await asyncio.open_connection(HOST, port) for _ in range(count)]
    try:
        for _, writer in clients:
            with contextlib.suppress(ConnectionError):
                writer.write(b"GET")
        yield clients
    finally:
        for _, writer in clients:
            writer.transport.abort()


async def rest_of(client: Client) -> bytes:
    """What it is answered once its request is complete; nothing when it was dropped."""
    reader, writer = client
    with contextlib.suppress(ConnectionError):
        writer.write(b" / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return await asyncio.wait_for(reader.read(), DEADLINE_S)
    return b""


async def test_a_probe_that_just_connected_is_not_dropped_for_idle_ones(clocked: tuple[int, Clock]) -> None:
    """A hundred connect between its connection and its request, as rude clients did to one probe of 587."""
    port, _ = clocked
    async with idle(port, 1) as probe, idle(port, 100):
        assert (await get(port, "/")).status_code == 200, "the hundred have been accepted"
        assert (await rest_of(probe[0])).startswith(b"HTTP/1.1 200")


async def test_connections_that_stay_idle_make_room(clocked: tuple[int, Clock]) -> None:
    """After a second the oldest are closed, so that the number comes down to where nobody has to go."""
    port, clock = clocked
    async with idle(port, MOST_CONNECTIONS - 1) as silent:
        assert (await get(port, "/")).status_code == 200
        clock.now = SILENT_AFTER_S
        assert (await get(port, "/")).status_code == 200
        answers = [await rest_of(each) for each in silent]
        assert [answer.startswith(b"HTTP/1.1 200") for answer in answers] == [
            place >= MOST_CONNECTIONS - MAX_CONNECTIONS for place in range(MOST_CONNECTIONS - 1)
        ]


async def test_there_is_a_limit_to_those_that_just_connected(clocked: tuple[int, Clock]) -> None:
    """Beyond it a new one is refused, and descriptors are left for what else the reserve is kept for."""
    port, clock = clocked
    async with idle(port, MOST_CONNECTIONS) as silent:
        with pytest.raises(httpx.TransportError):
            await get(port, "/")
        clock.now = SILENT_AFTER_S
        assert (await get(port, "/")).status_code == 200
        assert (await rest_of(silent[-1])).startswith(b"HTTP/1.1 200")
    assert MAX_CONNECTIONS < MOST_CONNECTIONS < descriptors.RESERVE


async def test_who_waits_for_an_answer_is_not_dropped_for_who_asks_nothing(clocked: tuple[int, Clock]) -> None:
    """Only when all have asked, the one that has been reading for longest goes."""
    port, clock = clocked
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await reader.readexactly(8) == b"HTTP/1.1"
    async with idle(port, MAX_CONNECTIONS):
        assert (await get(port, "/")).status_code == 200
        clock.now = SILENT_AFTER_S
        assert (await get(port, "/")).status_code == 200
        rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
    assert rest.endswith(LARGE)
    writer.transport.abort()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:24280", 200),
        ("localhost.", 200),
        ("127.0.0.1:1", 200),
        ("127.8.9.10", 200),
        ("[::1]:24280", 200),
        ("evil.example", 421),
        ("evil.example:24280", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.0.2.7:24280", 421),
        ("[2001:db8::1]", 421),
        ("", 421),
    ],
)
async def test_on_loopback_only_its_names_are_answered(port: int, host: str, status: int) -> None:
    """A browser that was led here by somebody else's name gets nothing."""
    answer = await talk(port, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"gr" in answer.partition(b"\r\n\r\n")[2]) is (status == 200)


async def test_elsewhere_every_name_is_answered() -> None:
    """Probes of containers ask for addresses."""
    number = free_port(HOST)
    async with listening({"/": answering(200, "text/plain", b"well")}, "0.0.0.0", number):
        assert (await talk(number, b"GET / HTTP/1.1\r\nHost: pod.example\r\n\r\n")).endswith(b"well")


async def test_an_answer_that_fails_costs_its_connection() -> None:
    """500, told once, and the next one is answered."""
    told: list[Exception] = []

    async def failing() -> Answer:
        raise ZeroDivisionError

    number = free_port(HOST)
    routes = {"/": answering(200, "text/plain", b"well"), "/failing": failing}
    async with listening(routes, HOST, number, tell=told.append):
        assert (await get(number, "/failing")).status_code == 500
        assert (await get(number, "/")).status_code == 200
    assert [type(exc) for exc in told] == [ZeroDivisionError]


async def test_a_port_that_is_taken(port: int) -> None:
    """OSError, for the caller to make a warning of."""
    with pytest.raises(OSError, match="in use"):
        async with listening({}, HOST, port):
            pass


async def test_the_end_drops_clients_and_frees_the_port() -> None:
    """Who is connected does not hold it up."""
    number = free_port(HOST)
    async with listening({}, HOST, number):
        reader, writer = await asyncio.open_connection(HOST, number)
        writer.write(b"GET")
        await writer.drain()
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    writer.close()
    async with listening({}, HOST, number):
        assert (await get(number, "/")).status_code == 404
