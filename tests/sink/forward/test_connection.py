"""`sink.forward.connection`: one connection, against a server that does what it is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fluent_plugin_amp.errors import (
    HandshakeRefused,
    PluginError,
    ServerCertificateRefused,
    ServerConnectionLost,
    ServerIsPlain,
    ServerProtocolViolation,
    ServerUnreachable,
    WrongAck,
)
from fluent_plugin_amp.sink.forward.connection import Connection, open_connection
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, Security, ServerAddress
from fluent_plugin_amp.testing import forward, reactions
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port, silent_address
from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions

SECURITY = Security("amp.example", "secret key", "amp", "secret password")
SERVER_SECURITY = forward.Security("secret key", {"amp": "secret password"})
CHUNK = msgpack.packb(["t", bytes.fromhex("92d700000000010000000080"), {"size": 1, "chunk": "id"}])
HELO = msgpack.packb(["HELO", {"nonce": "n", "auth": ""}])


class Heard:
    """A `connection.Listener` that remembers."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.conditions = Conditions()

    def acked(self, chunk_id: str) -> None:
        """Part of Listener."""
        self._tell(chunk_id)

    def acks_read(self) -> None:
        """Part of Listener."""
        self._tell("that was all")

    def writable(self, writable: bool) -> None:
        """Part of Listener."""
        self._tell(writable)

    def ended(self, error: PluginError) -> None:
        """Part of Listener."""
        self._tell(error)

    async def until(self, count: int) -> list[Any]:
        """Wait until so much was told."""
        await self.conditions.wait_for(lambda: len(self.told) >= count, DEADLINE_S)
        return self.told

    def _tell(self, what: Any) -> None:
        self.told.append(what)
        self.conditions.changed()


def address(server: FakeFluentd, host: str = "127.0.0.1") -> ServerAddress:
    """Where the server listens."""
    return ServerAddress("a", host, server.port, str(server.unix_path) if server.unix_path else None)


async def connect(server: FakeFluentd | ServerAddress, host: str = "127.0.0.1", **settings: Any) -> Connection:
    """Open a connection to it."""
    to = address(server, host) if isinstance(server, FakeFluentd) else server
    return await open_connection(to, ForwardSettings((to,), **settings))


async def hear_one_ack(connection: Connection) -> None:
    """Send a chunk and hear its ack."""
    heard = Heard()
    connection.start(heard)
    connection.write(CHUNK)
    assert await heard.until(2) == ["id", "that was all"]
    connection.close()


# --- connections that work -----------------------------------------------------------------------


@pytest.mark.parametrize("security", [None, SECURITY], ids=["open", "secured"])
@pytest.mark.parametrize("way", ["tcp", "tls", "client certificate", "unix"])
async def test_a_chunk_is_acked_over_every_kind_of_connection(
    way: str, security: Security | None, certificates: Certificates, client_tls: Any, tmp_path: Path
) -> None:
    """TCP, TLS, TLS with a client certificate and Unix socket; with shared key, user and password or without."""
    server_tls: ssl.SSLContext | None = None
    tls = None
    if way == "tls":
        server_tls, tls = server_context(certificates.server), client_tls()
    elif way == "client certificate":
        server_tls = server_context(certificates.server, client_ca_file=certificates.ca_file)
        tls = client_tls(certificates.client)
    unix_path = tmp_path / "fluent.sock" if way == "unix" else None
    guarded = SERVER_SECURITY if security else None
    async with FakeFluentd(tls=server_tls, unix_path=unix_path, security=guarded) as server:
        await hear_one_ack(await connect(server, "localhost", tls=tls, security=security))
        assert server.violations == []


async def test_a_shared_key_without_users_suffices() -> None:
    """The server asks for no user, so none is sent."""
    async with FakeFluentd(security=forward.Security("secret key")) as server:
        await hear_one_ack(await connect(server, security=Security("amp.example", "secret key")))


async def test_the_certificate_may_bear_another_name(certificates: Certificates, client_tls: Any) -> None:
    """server_hostname is verified in place of the host, and sent as SNI."""
    context = server_context(certificates.other_host)
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with FakeFluentd(tls=context) as server:
        with pytest.raises(ServerCertificateRefused):
            await connect(server, "localhost", tls=client_tls())
        connection = await connect(server, "localhost", tls=client_tls(), server_hostname="elsewhere.example")
        await hear_one_ack(connection)
    assert asked == ["localhost", "elsewhere.example"]


async def test_a_silent_address_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name has several addresses; one that swallows everything does not use up the time."""
    async with FakeFluentd() as server:
        with silent_address() as silent:
            addresses = [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
                for address in (silent, ("127.0.0.1", server.port))
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
            await hear_one_ack(await connect(server, "servers.example"))


async def test_a_server_on_ipv6(certificates: Certificates, client_tls: Any) -> None:
    """Over TLS, with the address in the certificate."""
    async with FakeFluentd(host="::1", tls=server_context(certificates.server)) as server:
        await hear_one_ack(await connect(server, "::1", tls=client_tls()))


async def test_the_socket_is_kept_alive_and_does_not_delay() -> None:
    """A peer that vanishes is noticed, and small chunks leave at once."""
    async with FakeFluentd() as server:
        connection = await connect(server)
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


async def test_much_to_write_is_told_and_when_it_is_over() -> None:
    """The listener hears when the peer does not read, and when it does again."""
    async with FakeFluentd() as server:
        heard = Heard()
        connection = await connect(server)
        connection.start(heard)
        connection.write(msgpack.packb(["t", bytes(64 * 2**20), {}])[:-1])
        assert heard.told == [False]
        assert await heard.until(2) == [False, True]
        connection.close()


# --- connections that do not come about ----------------------------------------------------------


@pytest.mark.parametrize(
    "to",
    [
        lambda: ServerAddress("a", port=free_port()),
        lambda: ServerAddress("a", "no-such-host.invalid"),
        lambda: ServerAddress("a", unix_path="/nonexistent/fluent.sock"),
    ],
    ids=["port", "host", "path"],
)
async def test_where_nobody_listens_is_unreachable(to: Callable[[], ServerAddress]) -> None:
    """No port, no such host, no such socket."""
    with pytest.raises(ServerUnreachable):
        await connect(to())


@pytest.mark.parametrize("fault", ["untrusted_server", "other_host", "expired"])
async def test_a_certificate_that_cannot_be_trusted_is_refused(
    fault: str, certificates: Certificates, client_tls: Any
) -> None:
    """An unknown authority, another name, an end in the past."""
    async with FakeFluentd(tls=server_context(getattr(certificates, fault))) as server:
        with pytest.raises(ServerCertificateRefused):
            await connect(server, "localhost", tls=client_tls())


@pytest.mark.parametrize(("fault", "words"), [("expired", "(valid until 2"), ("not_yet_valid", "(valid from 2")])
async def test_a_certificate_and_a_clock_that_do_not_fit(
    fault: str, words: str, certificates: Certificates, client_tls: Any
) -> None:
    """Both times are said, and that the clock may be the one that is wrong."""
    async with FakeFluentd(tls=server_context(getattr(certificates, fault))) as server:
        with pytest.raises(ServerCertificateRefused) as caught:
            await connect(server, "localhost", tls=client_tls())
    assert words in str(caught.value)
    assert "Z): this machine's clock says 2" in str(caught.value)
    assert "Check this machine's clock" in caught.value.remedy


async def test_tls_with_a_server_that_speaks_none_is_explained(client_tls: Any) -> None:
    """Neither a hang nor a foreign exception."""
    async with FakeFluentd() as server:
        server.welcome = reactions.Greet(b"SSH-2.0-OpenSSH_9.2\r\n")
        with pytest.raises(ServerIsPlain):
            await connect(server, "localhost", tls=client_tls())


async def test_a_server_that_takes_tls_for_data_and_resets_is_explained(client_tls: Any) -> None:
    """As Fluentd's plain port does: the remedy is TLS, not whether somebody listens."""
    async with FakeFluentd() as server:
        server.welcome = reactions.CloseAfterBytes(1)
        with pytest.raises(ServerUnreachable) as caught:
            await connect(server, "localhost", tls=client_tls())
        assert "TLS" in caught.value.remedy


async def test_where_no_helo_comes_the_port_may_expect_tls() -> None:
    """A server that expects TLS and one without a shared key are equally silent."""
    async with FakeFluentd(security=SERVER_SECURITY) as server:
        server.welcome = reactions.Greet(b"")
        with pytest.raises(ServerUnreachable) as caught:
            await connect(server, security=SECURITY, connect_timeout_s=0.3)
        assert "forward.tls" in caught.value.remedy


@pytest.mark.parametrize("which", [None, "untrusted_client"])
async def test_a_missing_client_certificate_is_explained(
    which: str | None, certificates: Certificates, client_tls: Any
) -> None:
    """Refused during the TLS handshake or, with TLS 1.3, right after it."""
    context = server_context(certificates.server, client_ca_file=certificates.ca_file)
    async with FakeFluentd(tls=context) as server:
        heard = Heard()
        tls = client_tls(getattr(certificates, which) if which else None)
        connection = await connect(server, "localhost", tls=tls)
        connection.start(heard)
        (error,) = await heard.until(1)
        assert isinstance(error, HandshakeRefused | ServerConnectionLost)


@pytest.mark.parametrize(
    ("security", "match"),
    [
        (Security("amp.example", "wrong", "amp", "secret password"), "shared_key mismatch"),
        (Security("amp.example", "secret key", "amp", "wrong"), "password mismatch"),
        (Security("amp.example", "secret key", "nobody", "secret password"), "password mismatch"),
        (Security("fluentd.example", "secret key", "amp", "secret password"), "same hostname"),
        (Security("amp.example", "secret key"), "password mismatch"),
    ],
)
async def test_credentials_that_are_refused(security: Security, match: str) -> None:
    """The server's reason is told."""
    async with FakeFluentd(security=SERVER_SECURITY) as server:
        with pytest.raises(HandshakeRefused, match=match):
            await connect(server, security=security)


@pytest.mark.parametrize(
    ("welcome", "error"),
    [
        (reactions.WrongPong(), HandshakeRefused),
        (reactions.Greet(b"\x92\x01\x02"), HandshakeRefused),
        (reactions.Greet(msgpack.packb({"ack": "id"})), HandshakeRefused),
        (reactions.CloseAfterBytes(1), HandshakeRefused),
        (reactions.CloseAtOnce(), ServerConnectionLost),
        (reactions.CloseAtOnce(reset=True), (ServerConnectionLost, ServerUnreachable)),
        (reactions.Hang(), ServerUnreachable),
        (reactions.Greet(b""), ServerUnreachable),
    ],
    ids=str,
)
async def test_a_handshake_that_goes_wrong(welcome: reactions.Welcome, error: type[PluginError]) -> None:
    """Each end of it has its error; silence ends with the connect timeout."""
    async with FakeFluentd(security=SERVER_SECURITY) as server:
        server.welcome = welcome
        with pytest.raises(error):
            await connect(server, security=SECURITY, connect_timeout_s=0.3)
        await server.wait_for(lambda: server.connections == 0 or isinstance(welcome, reactions.Hang))


async def test_a_connection_that_nobody_answers_is_given_up(client_tls: Any) -> None:
    """A TLS handshake without an end is cut by the connect timeout."""
    async with FakeFluentd() as server:
        server.welcome = reactions.Greet(b"")
        with pytest.raises(ServerUnreachable, match="within"):
            await connect(server, "localhost", tls=client_tls(), connect_timeout_s=0.2)


async def test_a_connection_given_up_by_the_caller_is_closed() -> None:
    """Cancelled during the handshake, it leaves no socket behind."""
    async with FakeFluentd(security=SERVER_SECURITY) as server:
        server.welcome = reactions.Greet(HELO)
        opening = asyncio.ensure_future(connect(server, security=SECURITY))
        await server.wait_for(lambda: server.counts.bytes)  # the PING
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await server.wait_for(lambda: server.connections == 0)


# --- connections that end ------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
async def test_an_end_while_idle_is_noticed(reset: bool) -> None:
    """EOF and reset alike, with nothing in flight."""
    async with FakeFluentd() as server:
        heard = Heard()
        connection = await connect(server)
        connection.start(heard)
        await server.wait_for(lambda: server.connections == 1)
        server.drop_connections(reset=reset)
        (error,) = await heard.until(1)
        assert isinstance(error, ServerConnectionLost)


async def test_an_end_before_the_start_is_told_at_the_start() -> None:
    """What happens between the connection and its listener is not lost."""
    async with FakeFluentd() as server:
        connection = await connect(server)
        lost = ServerConnectionLost("gone already")
        connection.end(lost)
        connection.end(ServerConnectionLost("a second time"))
        heard = Heard()
        connection.start(heard)
        assert heard.told == [lost]
        connection.write(CHUNK)
        connection.close()
        assert heard.told == [lost]


async def test_acks_that_came_before_the_end_count() -> None:
    """They are told first."""
    async with FakeFluentd() as server:
        server.script(reactions.AckThenClose())
        heard = Heard()
        connection = await connect(server)
        connection.start(heard)
        connection.write(CHUNK)
        assert (await heard.until(3))[:2] == ["id", "that was all"]
        assert isinstance(heard.told[2], ServerConnectionLost)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (msgpack.packb("ack"), WrongAck),
        (b"\xc1", ServerProtocolViolation),
        (HELO, HandshakeRefused),
    ],
)
async def test_what_is_no_ack_ends_the_connection(answer: bytes, error: type[PluginError]) -> None:
    """It is cut off, and nothing is told afterwards."""
    async with FakeFluentd() as server:
        server.script(reactions.Answer(answer + msgpack.packb({"ack": "id"})))
        heard = Heard()
        connection = await connect(server)
        connection.start(heard)
        connection.write(CHUNK)
        (told,) = await heard.until(1)
        assert isinstance(told, error)
        await server.wait_for(lambda: server.connections == 0)
        assert heard.told == [told]


async def test_a_listener_that_does_not_know_the_chunk_ends_the_connection() -> None:
    """WrongAck raised by the listener cuts the connection off for that reason."""

    class Strict(Heard):
        def acked(self, chunk_id: str) -> None:
            raise WrongAck("not in flight")

    async with FakeFluentd() as server:
        heard = Strict()
        connection = await connect(server)
        connection.start(heard)
        connection.write(CHUNK)
        (error,) = await heard.until(1)
        assert isinstance(error, WrongAck)
        await server.wait_for(lambda: server.connections == 0)


async def test_a_closed_connection_tells_nothing() -> None:
    """Closing is our own doing."""
    async with FakeFluentd() as server:
        heard = Heard()
        connection = await connect(server)
        connection.start(heard)
        connection.close()
        await server.wait_for(lambda: server.counts.connections == 1 and server.connections == 0)
        assert heard.told == []
