"""`sink.forward.check`: one visit to one server."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from fluent_plugin_amp.errors import (
    AckTimeout,
    HandshakeRefused,
    PluginError,
    ServerConnectionLost,
    ServerUnreachable,
    WrongAck,
)
from fluent_plugin_amp.sink.forward.check import check
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.testing import forward, reactions
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


async def test_without_a_chunk_nothing_is_sent() -> None:
    """Connecting is all."""
    async with FakeFluentd() as server:
        checked = await check(address(server), ForwardSettings(()))
        assert checked.acked_s is None
        assert server.counts.bytes == 0


@pytest.mark.parametrize("with_chunk", [True, False])
async def test_a_server_that_wants_a_handshake_is_noticed(make_chunk: Any, with_chunk: bool) -> None:
    """Although the connection came about."""
    async with FakeFluentd(security=forward.Security("secret key")) as server:
        with pytest.raises((HandshakeRefused, ServerConnectionLost)):
            await check(address(server), ForwardSettings(()), make_chunk() if with_chunk else None)


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
