"""Servers that say what none should: each costs its own connection, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest

from fluent_plugin_amp import backoff
from fluent_plugin_amp.errors import PluginError, ServerConnectionFailed, ServerUnreachable
from fluent_plugin_amp.facts import InternalError, ServerTrouble
from fluent_plugin_amp.model import Outcome
from fluent_plugin_amp.sink.forward.connection import open_connection
from fluent_plugin_amp.sink.forward.protocol import MAX_MESSAGE_BYTES, ClientProtocol
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, Security, ServerAddress
from fluent_plugin_amp.testing import forward, reactions
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.hostile_forward import HostileWords, hostile_words
from fluent_plugin_amp.testing.waiting import DEADLINE_S

SECURITY = Security("amp.example", "secret key")
HOSTILE = [pytest.param(each, id=each.name) for each in hostile_words()]
ENDS = {"forward.protocol-violation", "forward.wrong-ack", "forward.handshake-refused"}
PASSING = {"forward.ack-timeout", "forward.connection-lost", "forward.unreachable", "forward.handshake-timeout"}
"""What a restart looks like, too: such a server is asked again soon."""


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of an incomplete message any connection held after each read."""
    held: list[int] = []
    receive = ClientProtocol.receive

    def spy(protocol: ClientProtocol, data: bytes) -> list[str]:
        acks = receive(protocol, data)
        held.append(protocol.incomplete_bytes)
        return acks

    monkeypatch.setattr(ClientProtocol, "receive", spy)
    return held


@pytest.mark.parametrize("words", HOSTILE)
async def test_instead_of_an_ack(running: Any, make_chunk: Any, held: list[int], words: HostileWords) -> None:
    """The connection is closed with an error id, little was held, and the other server takes the chunk."""
    async with (
        FakeFluentd() as hostile,
        FakeFluentd() as good,
        running(hostile, good, ack_response_timeout_s=2.0) as client,
    ):
        await client.until(lambda: client.client.room == 8)
        hostile.reaction = words.talk
        chunks = [make_chunk() for _ in range(4)]
        for chunk in chunks:
            client.client.send(chunk)
        answers = await client.answered(4)
        assert sorted(answers) == sorted((chunk.id, Outcome.ACKED, "b") for chunk in chunks)
        await client.until(lambda: client.troubles("a"))
        assert set(client.troubles("a")) & (ENDS | PASSING)
        assert client.troubles("b") == []
        assert max(held) <= MAX_MESSAGE_BYTES
        assert good.counts.connections == 1
        for fact in client.facts:
            if isinstance(fact, ServerTrouble) and fact.error.id in ENDS:
                assert fact.retry_in_s >= 10.0


@pytest.mark.parametrize("words", HOSTILE)
async def test_instead_of_a_helo(held: list[int], words: HostileWords) -> None:
    """The handshake ends with an error of our own, at its deadline at the latest."""
    async with FakeFluentd() as hostile:
        hostile.welcome = reactions.Greet(words.talk.data) if isinstance(words.talk, reactions.Answer) else words.talk
        address = ServerAddress("a", port=hostile.port)
        with pytest.raises(PluginError) as caught:
            await open_connection(address, ForwardSettings((address,), security=SECURITY, connect_timeout_s=0.5))
        assert caught.value.id in ENDS | PASSING
        assert max(held, default=0) <= MAX_MESSAGE_BYTES
        await hostile.wait_for(lambda: not hostile.connections)


async def test_a_handshake_may_be_cut_off_after_each_byte() -> None:
    """Of HELO and of PONG: always an error of our own, never a connection that waits."""
    script = forward.Handshake(forward.Security("secret key"))
    for words in (script.helo(), msgpack.packb(["PONG", False, "no", "", ""])):
        for length in range(len(words)):
            async with FakeFluentd() as server:
                server.welcome = reactions.CutShort(words[:length])
                address = ServerAddress("a", port=server.port)
                with pytest.raises(PluginError) as caught:
                    await open_connection(address, ForwardSettings((address,), security=SECURITY))
                assert caught.value.id in ENDS | PASSING


async def test_an_ack_may_be_cut_off_after_each_byte(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is sent again, and acked once."""
    monkeypatch.setattr(backoff, "backoff_s", lambda *_, **__: 0.0)
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        ack = forward.pack_ack("x" * 24)
        for length in range(len(ack)):
            server.script(reactions.CutShort(ack[:length]))
            client.client.send(make_chunk())
            await client.answered(length + 1)
        assert {outcome for _, outcome, _ in await client.answered(len(ack))} == {Outcome.ACKED}


async def test_bytes_after_the_handshake_count_as_acks(running: Any) -> None:
    """Of a PONG and what follows it in one piece the rest is no part of the handshake."""
    async with FakeFluentd(security=forward.Security("secret key")) as server:
        server.welcome = reactions.Serve()
        async with running(server, security=SECURITY) as client:
            await client.connected()
            for connection in list(server.open_connections):
                connection._transport.write(forward.pack_ack("never sent"))
            await client.until(client.troubles)
            assert client.troubles() == ["forward.wrong-ack"]


async def test_a_repeated_ack_is_borne_for_a_while(running: Any, make_chunk: Any) -> None:
    """Acked twice is acked; acked without end ends the connection."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        server.script(reactions.Ack(times=3), reactions.Ack(times=1000))
        for count in (1, 2):
            client.client.send(make_chunk())
            await client.answered(count)
        await client.until(client.troubles)
        assert client.troubles() == ["forward.wrong-ack"]


# --- what nobody foresaw -------------------------------------------------------------------------


class Unheard(Exception):
    """Nobody catches this by name."""


def failing(*_: object) -> Any:
    """Fail as nobody foresaw."""
    raise Unheard("of")


async def test_an_exception_while_reading_ends_that_connection(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported as a fault of our own, the server is tried later, and the other server takes the chunk."""
    async with FakeFluentd() as a, FakeFluentd() as b, running(a, b) as client:
        await client.until(lambda: client.client.room == 8)
        monkeypatch.setattr(client.client._links["a"]._connection._protocol, "receive", failing)
        for _ in range(2):
            client.client.send(make_chunk())
        assert {server for _, _, server in await client.answered(2)} == {"b"}
        (fault,) = (fact for fact in client.facts if isinstance(fact, InternalError))
        assert (fault.where, type(fault.error)) == ("forward connection", Unheard)
        assert client.troubles() == ["forward.connection-failed"]
        assert not client.task.done()


async def test_an_exception_while_writing_ends_that_connection(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk was registered before: it is in doubt, and goes to the other server."""
    async with FakeFluentd() as a, FakeFluentd() as b, running(a, b) as client:
        await client.until(lambda: client.client.room == 8)
        monkeypatch.setattr(client.client._links["a"]._connection, "write", failing)
        for _ in range(2):
            client.client.send(make_chunk())
        assert {server for _, _, server in await client.answered(2)} == {"b"}
        assert client.troubles() == ["forward.connection-failed"]


async def test_an_exception_while_connecting_is_trouble(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client goes on, and tries again later."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.link.open_connection", failing)
    async with FakeFluentd() as server, running(server) as client:
        await client.until(client.troubles)
        assert client.troubles() == ["forward.connection-failed"]
        assert client.facts[-1].retry_in_s >= 10.0
        assert not client.task.done()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "a\0b"])
async def test_a_host_name_that_cannot_be_one_is_unreachable(host: str) -> None:
    """Python raises ValueErrors for it."""
    address = ServerAddress("a", host)
    with pytest.raises(ServerUnreachable):
        await open_connection(address, ForwardSettings((address,)))


async def test_a_failed_connection_is_no_exception_of_its_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the handshake gets an error of our own."""
    monkeypatch.setattr(ClientProtocol, "receive", failing)
    async with FakeFluentd(security=forward.Security("secret key")) as server:
        address = ServerAddress("a", port=server.port)
        with pytest.raises(ServerConnectionFailed):
            await asyncio.wait_for(
                open_connection(address, ForwardSettings((address,), security=SECURITY)), DEADLINE_S
            )
