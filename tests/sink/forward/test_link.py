"""`sink.forward.link`: one server over its outages, and what is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.facts import ServerConnected, ServerTrouble
from fluent_plugin_amp.sink.forward.settings import Security
from fluent_plugin_amp.testing import forward, reactions
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd

SILENCE_S = 2.0
"""A server that says nothing for so long is silent; one that the machine holds up is not."""


def kinds(client: Any) -> list[str]:
    """What was told, in short."""
    return [type(fact).__name__ for fact in client.facts]


async def test_a_restart_while_idle_is_told_and_over(running: Any, make_chunk: Any) -> None:
    """Each try is told, then that it is connected, and how long it was not; nothing was in doubt."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        client.client.send(make_chunk())
        await client.answered(1)
        await server.stop()
        await client.until(lambda: not client.client.available)
        await client.until(lambda: "forward.unreachable" in client.troubles())
        assert client.client.room == 0
        await server.start()
        await client.connected()
        first, *troubles, last = client.facts
        assert (first, type(last)) == (ServerConnected("a"), ServerConnected)
        assert client.troubles() == ["forward.connection-lost", *["forward.unreachable"] * (len(troubles) - 1)]
        assert [fact.attempts for fact in troubles] == list(range(1, len(troubles) + 1))
        assert {fact.in_doubt for fact in troubles} == {0}
        assert last.outage_s > 0.0


async def test_a_server_that_accepts_and_closes_is_not_well(running: Any) -> None:
    """Each trouble is told, one outage long; that it is connected only once, until it settles."""
    async with FakeFluentd() as server:
        server.welcome = reactions.CloseAtOnce()
        async with running(server) as client:
            await client.until(lambda: len(client.facts) == 4)
            connected, *troubles = client.facts
            assert connected == ServerConnected("a")
            assert [(type(fact), fact.attempts) for fact in troubles] == [
                (ServerTrouble, 1),
                (ServerTrouble, 2),
                (ServerTrouble, 3),
            ]


async def test_chunks_in_doubt_are_counted(running: Any, make_chunk: Any) -> None:
    """Those of each connection that was lost; a connection in doubt is told when it acks, not when it connects."""
    async with FakeFluentd() as server, running(server, ack_response_timeout_s=SILENCE_S) as client:
        await client.connected()
        server.script(reactions.Close(), reactions.Close(), reactions.Close(), reactions.NoAck())
        for _ in range(2):
            client.client.send(make_chunk())
        await client.answered(2)
        connected, *troubles, again = client.facts
        assert connected == ServerConnected("a")
        assert [(fact.error.id, fact.in_doubt, fact.attempts) for fact in troubles] == [
            ("forward.connection-lost", 2, 1),
            ("forward.connection-lost", 1, 2),
            ("forward.connection-lost", 1, 3),
            ("forward.ack-timeout", 1, 4),
        ]
        assert isinstance(again, ServerConnected)


async def test_a_refusal_is_not_hurried(running: Any, certificates: Certificates, client_tls: Any) -> None:
    """Wrong key or wrong certificate: told once, tried again after ten seconds at the earliest."""
    async with (
        FakeFluentd(security=forward.Security("secret key")) as guarded,
        FakeFluentd(tls=server_context(certificates.untrusted_server)) as impostor,
        running(guarded, security=Security("amp.example", "wrong key")) as refused,
        running(impostor, tls=client_tls(), host="localhost") as distrusting,
    ):
        await refused.until(refused.troubles)
        await distrusting.until(distrusting.troubles)
        assert refused.troubles() == ["forward.handshake-refused"]
        assert distrusting.troubles() == ["forward.certificate-refused"]
        for client in (refused, distrusting):
            assert client.facts[0].retry_in_s >= 10.0


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_the_oldest_chunk_sets_the_deadline(running: Any, make_chunk: Any, in_flight: int) -> None:
    """Acks of others do not put it off: all in flight are in doubt then, and arrive on a new connection."""
    async with FakeFluentd() as server, running(server, ack_response_timeout_s=SILENCE_S) as client:
        await client.connected()
        server.script(reactions.NoAck())
        for _ in range(in_flight):
            client.client.send(make_chunk())
        await client.answered(in_flight)
        assert client.troubles() == ["forward.ack-timeout"]
        assert server.counts.connections == 2
        assert server.counts.repeated_chunks == 0


async def test_acks_in_time_leave_the_connection_alone(running: Any, make_chunk: Any) -> None:
    """The timer of an acked chunk does no harm to the next one."""
    async with FakeFluentd() as server, running(server, ack_response_timeout_s=SILENCE_S) as client:
        await client.connected()
        server.reaction = reactions.Ack(delay_s=SILENCE_S / 4)
        for number in range(1, 7):
            client.client.send(make_chunk())
            await client.answered(number)
        assert client.troubles() == []
        assert server.counts.connections == 1


async def test_a_connection_that_stands_is_settled(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an ack, if nothing is in doubt: then it is told, and the next trouble begins another outage."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.link.STEADY_AFTER_S", 0.05)
    async with FakeFluentd() as server:
        server.script_connections(*[reactions.CloseAtOnce()] * 3)
        async with running(server) as client:
            await client.until(lambda: len(client.facts) == 4)
            assert kinds(client) == ["ServerConnected", "ServerTrouble", "ServerTrouble", "ServerConnected"]
            assert server.counts.connections == 4, "one of them asked whether the server wants TLS"
            server.drop_connections()
            await client.until(lambda: len(client.facts) == 6)
            assert kinds(client)[4:] == ["ServerTrouble", "ServerConnected"]
            assert client.facts[4].attempts == 1


async def test_a_connection_in_doubt_is_not_settled_by_standing(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs stands well: it has to ack."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.link.STEADY_AFTER_S", 0.02)
    async with FakeFluentd() as server, running(server, ack_response_timeout_s=0.2) as client:
        await client.connected()
        server.reaction = reactions.NoAck()
        client.client.send(make_chunk())
        await server.wait_for(lambda: len(server.chunks) == 3)
        assert kinds(client) == ["ServerConnected", "ServerTrouble", "ServerTrouble"]
