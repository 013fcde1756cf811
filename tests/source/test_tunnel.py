"""A broker behind a proxy: the way through it, and each way in which a proxy can fail, told by class and words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fluent_plugin_amp.errors import (
    BrokerCertificateRefused,
    BrokerCredentialsRefused,
    BrokerProxyFailed,
    BrokerProxyRefused,
    PluginError,
)
from fluent_plugin_amp.proxy import Proxy
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.source.tunnel import MAX_ANSWER_BYTES
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.company_proxy import CompanyProxy
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.conftest import MakeStream

DEADLINE_S = 20.0
USER, PASSWORD = "company", "p@ss:word"
NAME = "localhost"
SCHEMES = ("http", "socks5")
ONLY_THERE = "broker.intern.example"


@contextlib.asynccontextmanager
async def proxied(scheme: str, broker: amqp.BrokerAddress, **options: Any) -> AsyncIterator[Any]:
    """The broker's address through a proxy, and the proxy."""
    async with CompanyProxy(**options) as proxy:
        yield replace(broker, proxy=Proxy(scheme, proxy.host, proxy.port)), proxy  # type: ignore[arg-type]


def somebody(**options: Any) -> amqp.BrokerAddress:
    """A broker that nobody connects to."""
    options = {"connect_timeout_s": DEADLINE_S, **options}
    return amqp.BrokerAddress("broker.example", 443, "user", "secret", **options)


@pytest.fixture
def address(broker: PrivateRabbitMQ, make_stream: MakeStream, certificates: Certificates) -> amqp.BrokerAddress:
    """A real broker over TLS."""
    stream = make_stream()
    tls = ssl.create_default_context(cafile=str(certificates.ca_file))
    return amqp.BrokerAddress(
        NAME, broker.tls_port, stream.username, stream.password, tls=tls, connect_timeout_s=DEADLINE_S
    )


async def connect_error(broker: amqp.BrokerAddress) -> PluginError:
    """Why no connection comes about; without a word that only the configuration knows."""
    with pytest.raises(PluginError) as caught:
        await asyncio.wait_for(amqp.connect(broker), 2 * DEADLINE_S)
    assert PASSWORD not in str(caught.value)
    assert caught.value.remedy
    return caught.value


async def opens_a_channel(broker: amqp.BrokerAddress) -> None:
    """Log in, open a channel and close."""
    connection = await asyncio.wait_for(amqp.connect(broker), DEADLINE_S)
    await connection.open_channel()
    await connection.close(2.0)


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize("user", ["", USER])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_through_a_proxy(address: amqp.BrokerAddress, scheme: str, user: str, piecewise: bool) -> None:
    """TLS reaches the broker itself, with its certificate, however the proxy's answer is cut into pieces."""
    options = {"username": user, "password": PASSWORD if user else "", "piecewise": piecewise}
    async with proxied(scheme, address, **options) as (broker, proxy):
        await opens_a_channel(replace(broker, proxy=replace(broker.proxy, username=user, password=PASSWORD)))
        assert proxy.asked == [f"{NAME}:{address.port}"]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_proxy_resolves_the_brokers_name(address: amqp.BrokerAddress, scheme: str) -> None:
    """A name that this machine cannot resolve leads to the broker; so does an address of IPv6."""
    address = replace(address, server_name=NAME)
    names = {ONLY_THERE: "127.0.0.1", "2001:db8::1": "127.0.0.1"}
    async with proxied(scheme, address, names=names) as (broker, proxy):
        await opens_a_channel(replace(broker, host=ONLY_THERE))
        await opens_a_channel(replace(broker, host="2001:db8::1"))
        assert [asked.replace("[", "").replace("]", "") for asked in proxy.asked] == [
            f"{ONLY_THERE}:{address.port}",
            f"2001:db8::1:{address.port}",
        ]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_broker_behind_a_proxy_refuses_as_ever(address: amqp.BrokerAddress, scheme: str) -> None:
    """A wrong password of the stream, and a certificate of nobody's, are the broker's; the way is named."""
    async with proxied(scheme, address) as (broker, proxy):
        error = await connect_error(replace(broker, password="wrong"))
        assert isinstance(error, BrokerCredentialsRefused)
        assert str(error).startswith(f"{NAME}:{address.port} through proxy 127.0.0.1:{proxy.port} refused")
        error = await connect_error(replace(broker, tls=ssl.create_default_context()))
        assert isinstance(error, BrokerCertificateRefused)


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("http", "answered 407 Proxy Authentication Required"),
        ("socks5", "answered: Username and password authentication failure"),
    ],
)
async def test_a_proxy_that_refuses_the_password(scheme: str, words: str) -> None:
    """It is the proxy's answer, by number; not in its own words, which may repeat what it was sent."""
    async with proxied(scheme, somebody(), username=USER, password="another") as (broker, proxy):
        wrong = replace(broker.proxy, username=USER, password=PASSWORD)
        error = await connect_error(replace(broker, proxy=wrong))
    assert isinstance(error, BrokerProxyRefused)
    assert str(error) == f"the proxy 127.0.0.1:{proxy.port} {words}"


@pytest.mark.parametrize(
    ("scheme", "words"), [("http", "answered 407 "), ("socks5", "answered: No acceptable authentication")]
)
async def test_a_proxy_that_wants_a_user(scheme: str, words: str) -> None:
    """And was given none."""
    async with proxied(scheme, somebody(), username=USER, password=PASSWORD) as (broker, _):
        error = await connect_error(broker)
    assert isinstance(error, BrokerProxyRefused)
    assert words in str(error)


@pytest.mark.parametrize(
    ("scheme", "words"), [("http", "answered 403 Forbidden"), ("socks5", "answered: Connection not allowed")]
)
async def test_a_proxy_that_forbids_the_broker(scheme: str, words: str) -> None:
    """Its rules do not let anybody there."""
    async with proxied(scheme, somebody(), forbidden=["broker.example"]) as (broker, _):
        error = await connect_error(broker)
    assert isinstance(error, BrokerProxyRefused)
    assert words in str(error)


@pytest.mark.parametrize(
    ("scheme", "words"), [("http", "answered 502 Bad Gateway"), ("socks5", "answered: Connection refused")]
)
async def test_a_proxy_without_a_way_to_the_broker(scheme: str, words: str, free_port: int) -> None:
    """The broker is away: that may pass, and is tried again as quickly as without a proxy."""
    async with proxied(scheme, somebody(), names={"broker.example": "127.0.0.1"}) as (broker, _):
        error = await connect_error(replace(broker, port=free_port))
    assert isinstance(error, BrokerProxyFailed)
    assert words in str(error)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_proxy_that_is_away(scheme: str, free_port: int) -> None:
    """Connection refused, by the proxy: not by the broker."""
    error = await connect_error(somebody(proxy=Proxy(scheme, "127.0.0.1", free_port)))  # type: ignore[arg-type]
    assert isinstance(error, BrokerProxyFailed)
    assert str(error) == (f"no way to broker.example:443 through the proxy 127.0.0.1:{free_port}: Connection refused")


async def test_a_proxy_whose_name_is_unknown() -> None:
    """The name is the proxy's, not the broker's."""
    error = await connect_error(somebody(proxy=Proxy("http", "proxy.invalid", 3128)))
    assert isinstance(error, BrokerProxyFailed)
    assert "through the proxy proxy.invalid:3128: " in str(error)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_proxy_that_keeps_silent(scheme: str) -> None:
    """It takes the connection and never answers: its part of the time is over, and the proxy is named."""
    async with proxied(scheme, somebody(connect_timeout_s=1.0), answer=b"") as (broker, proxy):
        error = await connect_error(broker)
    assert isinstance(error, BrokerProxyFailed)
    assert f"through the proxy 127.0.0.1:{proxy.port}: no answer within 0.5 s" in str(error)


async def test_a_proxy_with_a_silent_address(
    address: amqp.BrokerAddress, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """A proxy's name has two addresses, and nobody listens on the first: the next one is tried."""
    async with proxied("http", address) as (broker, proxy):
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))
            for port in (free_port, proxy.port)
        ]
        broker = replace(broker, proxy=replace(broker.proxy, host="proxy.example"))
        with monkeypatch.context() as patch:
            resolve = socket.getaddrinfo
            patch.setattr(
                socket, "getaddrinfo", lambda host, *a, **k: addresses if "proxy" in host else resolve(host, *a, **k)
            )
            await opens_a_channel(broker)


HTTP_GARBAGE = {
    "no HTTP": b"220 smtp.example ready\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28" * 3 + b"\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MAX_ANSWER_BYTES + 1),
    "a header without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * MAX_ANSWER_BYTES,
    "a status that is none": b"HTTP/1.1 999999 OK\r\n\r\n",
    "more than its answer": b"HTTP/1.1 200 OK\r\n\r\nAMQP\x00\x00\x09\x01",
}
SOCKS_GARBAGE = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "version 4": b"\x04\x00",
    "a method nobody offered": b"\x05\x02",
    "a code that is none": b"\x05\x00\x05\x77\x00\x01\x7f\x00\x00\x01\x00\x00",
    "a kind of address that is none": b"\x05\x00\x05\x00\x00\x09\x7f\x00\x00\x01\x00\x00",
    "a name that is none": b"\x05\x00\x05\x00\x00\x03\x02\xff\xfe\x00\x00",
}


@pytest.mark.parametrize(
    ("scheme", "answer"),
    [
        *(pytest.param("http", answer, id=f"http-{name}") for name, answer in HTTP_GARBAGE.items()),
        *(pytest.param("socks5", answer, id=f"socks5-{name}") for name, answer in SOCKS_GARBAGE.items()),
    ],
)
async def test_a_proxy_that_answers_garbage(scheme: str, answer: bytes) -> None:
    """Whatever it says is bounded, and costs this one try; what lacks an end costs the time for a connection."""
    options = {"connect_timeout_s": 1.0} if answer == HTTP_GARBAGE["no HTTP"] else {}
    async with proxied(scheme, somebody(**options), answer=answer) as (broker, proxy):
        error = await connect_error(broker)
    assert isinstance(error, BrokerProxyFailed)
    assert f"the proxy 127.0.0.1:{proxy.port}" in str(error)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_proxy_that_hangs_up(scheme: str) -> None:
    """Before it answers."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await connect_error(somebody(proxy=Proxy(scheme, "127.0.0.1", port)))  # type: ignore[arg-type]
    assert isinstance(error, BrokerProxyFailed)


async def test_an_endless_row_of_answers_is_cut_off() -> None:
    """100 Continue, for ever: neither the bytes nor the event loop are the proxy's to take."""

    async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
                await writer.drain()

    server = await asyncio.start_server(go_on, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await connect_error(somebody(proxy=Proxy("http", "127.0.0.1", port), connect_timeout_s=1.0))
    assert isinstance(error, BrokerProxyFailed)
    assert f"longer than {MAX_ANSWER_BYTES} bytes" in str(error)


async def test_a_cancelled_connect_leaves_no_connection(address: amqp.BrokerAddress) -> None:
    """A stream that is stopped while the proxy keeps silent: the socket is closed, within pika's own time."""
    async with proxied("http", replace(address, connect_timeout_s=0.5), answer=b"") as (broker, proxy):
        connecting = asyncio.ensure_future(amqp.connect(broker))
        await asyncio.wait_for(proxy.has(1), DEADLINE_S)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(proxy.has(0), DEADLINE_S)


def test_a_proxy_does_not_show_its_password() -> None:
    """Neither as text, nor in the broker's repr."""
    broker = somebody(proxy=Proxy("http", "proxy.example", 3128, USER, PASSWORD))
    assert PASSWORD not in f"{broker!r} {broker} {broker.proxy!r} {broker.proxy}"
    assert str(broker) == "broker.example:443 through proxy proxy.example:3128"
