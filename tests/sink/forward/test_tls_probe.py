"""`sink.forward.tls_probe`: what is mixed up is named, and nothing else changes."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from fluent_plugin_amp import descriptors
from fluent_plugin_amp.errors import (
    HandshakeRefused,
    PluginError,
    ServerConnectionLost,
    ServerIsPlain,
    ServerUnreachable,
    ServerWantsTls,
)
from fluent_plugin_amp.sink.forward.check import check
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, Security, ServerAddress
from fluent_plugin_amp.sink.forward.tls_probe import TlsDoubt
from fluent_plugin_amp.testing import forward, reactions
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port

LOST = ServerConnectionLost("closed")
SILENT = ServerUnreachable("no connection within 10 s")


def address(server: FakeFluentd) -> ServerAddress:
    """Where it listens."""
    return ServerAddress("a", port=server.port)


def reset() -> PluginError:
    """What comes of a ClientHello that the server answers with a reset."""
    error = ServerUnreachable("no TLS connection")
    error.__cause__ = ConnectionResetError()
    return error


@pytest.mark.parametrize("with_client_certificate", [False, True])
async def test_a_tls_server_is_found_once(certificates: Certificates, with_client_certificate: bool) -> None:
    """One connection shows it, whatever certificates it has and wants; later losses bear the same name."""
    ca_file = certificates.ca_file if with_client_certificate else None
    async with FakeFluentd(tls=server_context(certificates.expired, client_ca_file=ca_file)) as server:
        doubt = TlsDoubt(address(server), ForwardSettings(()))
        for _ in range(3):
            found = await doubt.explain(LOST)
            assert isinstance(found, ServerWantsTls)
            assert found.__cause__ is LOST
        await server.wait_for(lambda: server.connections == 0)
        assert server.counts.connections <= 1
        assert server.counts.bytes == 0


@pytest.mark.parametrize(
    "welcome",
    [
        reactions.CloseAtOnce(),
        reactions.CloseAtOnce(reset=True),
        reactions.Greet(b"SSH-2.0\r\n"),
        reactions.Greet(b""),
    ],
    ids=str,
)
async def test_what_is_no_tls_leaves_the_error(welcome: reactions.Welcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, reset, foreign bytes, or silence until patience is over."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.tls_probe.PATIENCE_S", 0.3)
    async with FakeFluentd() as server:
        server.welcome = welcome
        assert await TlsDoubt(address(server), ForwardSettings(())).explain(LOST) is LOST


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops the plugin would wait for ever for a link that goes on."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def asks(*_: object) -> None:
        await answer

    monkeypatch.setattr(TlsDoubt, "_found_by_asking", asks)
    explaining = asyncio.create_task(TlsDoubt(ServerAddress("a"), ForwardSettings(())).explain(LOST))
    for _ in range(3):
        await asyncio.sleep(0)
    answer.set_exception(ConnectionRefusedError())
    await asyncio.sleep(0)
    explaining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await explaining


async def test_a_server_that_acked_is_not_asked() -> None:
    """It understands us."""
    async with FakeFluentd() as server:
        doubt = TlsDoubt(address(server), ForwardSettings(()))
        doubt.acked()
        assert await doubt.explain(LOST) is LOST
        assert server.counts.connections == 0


async def test_a_server_that_was_away_is_asked_anew(certificates: Certificates) -> None:
    """It may come back with TLS; and while it is away it is called unreachable."""
    async with FakeFluentd(tls=server_context(certificates.server)) as server:
        doubt = TlsDoubt(address(server), ForwardSettings(()))
        doubt.acked()
        away = ServerUnreachable("away")
        assert await doubt.explain(away) is away
        assert isinstance(await doubt.explain(LOST), ServerWantsTls)
        assert await doubt.explain(away) is away


async def test_a_plain_server_is_found_without_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the rest of a message that never becomes whole, or says HELO."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.tls_probe._OBJECTION_S", 0.2)
    settings = ForwardSettings((), tls=ssl.create_default_context())
    for security in (None, forward.Security("secret key")):
        async with FakeFluentd(security=security) as server:
            assert isinstance(await TlsDoubt(address(server), settings).explain(reset()), ServerIsPlain)
            assert server.chunks == []


async def test_a_server_that_resets_everything_is_not_called_plain() -> None:
    """It resets plain connections too; and where nobody listens the error stays as well."""
    settings = ForwardSettings((), tls=ssl.create_default_context())
    async with FakeFluentd() as server:
        server.welcome = reactions.CloseAtOnce(reset=True)
        for to in (address(server), ServerAddress("a", port=free_port())):
            error = reset()
            assert await TlsDoubt(to, settings).explain(error) is error


@pytest.mark.parametrize("error", [LOST, reset(), SILENT], ids=["lost", "reset", "silent"])
async def test_a_probe_takes_nothing_of_the_reserve(
    error: PluginError, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free descriptor the error stays what it was, and the server sees no connection."""
    monkeypatch.setattr(descriptors, "room_for_streams", lambda: 3)
    settings = ForwardSettings((), tls=None if error is LOST else ssl.create_default_context())
    async with FakeFluentd(tls=server_context(certificates.server) if error is LOST else None) as server:
        doubt = TlsDoubt(address(server), settings, doubts_silence=True)
        assert await doubt.explain(error) is error
        assert server.counts.connections == 0


async def test_a_server_that_says_nothing_is_doubted_by_a_single_visit_only() -> None:
    """It may hang: who tries it again waits for it, who visits it once is told of both."""
    settings = ForwardSettings((), tls=ssl.create_default_context())
    async with FakeFluentd() as server:
        assert await TlsDoubt(address(server), settings).explain(SILENT) is SILENT
        found = await TlsDoubt(address(server), settings, doubts_silence=True).explain(SILENT)
        assert isinstance(found, HandshakeRefused)
        assert "remove forward.tls" in found.remedy


@pytest.mark.parametrize("security", [None, Security("amp.example", "secret key")], ids=["open", "secured"])
async def test_check_names_a_server_that_wants_tls(certificates: Certificates, security: Security | None) -> None:
    """With forward.security too, where both sides wait for the other."""
    async with FakeFluentd(tls=server_context(certificates.server)) as server:
        with pytest.raises(ServerWantsTls):
            await check(address(server), ForwardSettings((), security=security, connect_timeout_s=0.3))


async def test_run_names_a_server_that_wants_tls(running: Any, make_chunk: Any, certificates: Certificates) -> None:
    """At the first connection that it closes; refused, so it is not hurried."""
    async with FakeFluentd(tls=server_context(certificates.server)) as server, running(server) as client:
        await client.connected()
        client.client.send(make_chunk())
        await client.until(client.troubles)
        assert client.troubles() == ["forward.server-wants-tls"]
        assert client.facts[-1].retry_in_s >= 10.0
        assert client.facts[-1].in_doubt == 1


async def test_run_names_a_server_that_is_plain(running: Any, client_tls: Any) -> None:
    """It resets at the ClientHello and takes plain bytes."""
    async with FakeFluentd() as server:
        server.script_connections(reactions.CloseAfterBytes(1))
        async with running(server, tls=client_tls(), host="localhost") as client:
            await client.until(client.troubles)
            assert client.troubles() == ["forward.server-is-plain"]
            assert server.chunks == []
