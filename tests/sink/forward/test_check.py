"""`sink.forward.check`: one visit to one server."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import msgpack
import pytest

from fluent_plugin_amp.errors import (
    AckTimeout,
    HandshakeRefused,
    PluginError,
    ServerConnectionLost,
    ServerUnreachable,
    ServerWantsTls,
    WrongAck,
)
from fluent_plugin_amp.sink.forward.check import check
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.testing import forward, reactions
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port


def address(server: FakeFluentd) -> ServerAddress:
    """Where it listens."""
    return ServerAddress("a", port=server.port)


async def test_a_server_that_acks_passes(make_chunk: Any) -> None:
    """Both times are told, and the connection is closed."""
    async with FakeFluentd() as server:
        checked = await check(address(server), ForwardSettings(()), make_chunk())
        assert checked.connected_s > 0
        assert checked.acked_s is not None
        assert checked.acked_s > 0
        assert len(server.acks) == 1
        await server.wait_for(lambda: server.connections == 0)


async def test_without_a_chunk_no_event_is_sent() -> None:
    """The server gets a message that never becomes whole, and minds nothing."""
    async with FakeFluentd() as server:
        checked = await check(address(server), ForwardSettings(()))
        assert checked.acked_s is None
        await server.wait_for(lambda: server.connections == 0)
        assert server.chunks == []
        assert server.violations == []


@pytest.mark.parametrize("with_chunk", [True, False])
async def test_plain_to_a_port_that_expects_tls(
    make_chunk: Any, certificates: Certificates, with_chunk: bool
) -> None:
    """The server keeps silent until it has seen that this is no TLS; TLS is named."""
    async with FakeFluentd(tls=server_context(certificates.server)) as server:
        with pytest.raises(ServerWantsTls):
            await check(address(server), ForwardSettings(()), make_chunk() if with_chunk else None)


async def test_tls_to_a_plain_port() -> None:
    """A server that takes connections and never answers to TLS is not called unreachable."""
    async with FakeFluentd() as server:
        server.welcome = reactions.Hang()
        settings = ForwardSettings((), tls=ssl.create_default_context(), connect_timeout_s=0.5)
        with pytest.raises(HandshakeRefused) as raised:
            await check(address(server), settings)
        assert "remove forward.tls" in raised.value.remedy


async def test_tls_to_nobody() -> None:
    """That is no matter of TLS."""
    with pytest.raises(ServerUnreachable):
        await check(ServerAddress("a", port=free_port()), ForwardSettings((), tls=ssl.create_default_context()))


@pytest.mark.parametrize("with_chunk", [True, False])
async def test_a_server_that_wants_a_handshake_is_noticed(make_chunk: Any, with_chunk: bool) -> None:
    """Although the connection came about."""
    async with FakeFluentd(security=forward.Security("secret key")) as server:
        with pytest.raises((HandshakeRefused, ServerConnectionLost)):
            await check(address(server), ForwardSettings(()), make_chunk() if with_chunk else None)


async def test_a_helo_that_comes_late_is_heard(certificates: Certificates, client_tls: Any) -> None:
    """Fluent Bit says it half a second after TLS."""
    helo = msgpack.packb(["HELO", {"nonce": "n", "auth": ""}])

    def greet() -> None:
        for connection in server.open_connections:
            connection._transport.write(helo)

    async with FakeFluentd(tls=server_context(certificates.server)) as server:
        asyncio.get_running_loop().call_later(0.6, greet)
        with pytest.raises(HandshakeRefused, match="HELO"):
            await check(ServerAddress("a", "localhost", server.port), ForwardSettings((), tls=client_tls()))


@pytest.mark.parametrize(
    ("reaction", "error"),
    [
        (reactions.NoAck(), AckTimeout),
        (reactions.WrongAck(), WrongAck),
        (reactions.Answer(msgpack.packb("no")), WrongAck),
        (reactions.Close(), ServerConnectionLost),
    ],
    ids=str,
)
async def test_a_chunk_that_is_not_acked_fails(
    make_chunk: Any, reaction: reactions.Reaction, error: type[PluginError]
) -> None:
    """With the error that says why."""
    async with FakeFluentd() as server:
        server.reaction = reaction
        with pytest.raises(error):
            await check(address(server), ForwardSettings((), ack_response_timeout_s=0.1), make_chunk())
        await server.wait_for(lambda: server.connections == 0)


async def test_nobody_there_fails() -> None:
    """At once."""
    with pytest.raises(ServerUnreachable):
        await check(ServerAddress("a", port=free_port()), ForwardSettings(()))
