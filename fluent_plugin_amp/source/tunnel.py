"""A way to the broker through a proxy: CONNECT of HTTP, or SOCKS 5, over a socket that pika then uses as its own.

The broker's name is the proxy's to resolve.  What the proxy answers is bounded, in bytes and in time, and nothing of
it but its number is repeated.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass

import h11

from fluent_plugin_amp.errors import BrokerProxyFailed, BrokerProxyRefused
from fluent_plugin_amp.proxy import Proxy, status_line
from fluent_plugin_amp.text import host_and_port

MAX_ANSWER_BYTES = 16 * 1024
"""Of an answer to CONNECT, which is a few lines.  One of SOCKS is at most 262 bytes."""

_NOT_ALLOWED = 2
"""SOCKS 5: forbidden by the proxy's rules (RFC 1928, section 6)."""

_NOT_LET_IN = ("No acceptable authentication", "Username and password authentication failure")
"""How the SOCKS client says that the proxy wants a user and password, or others than these."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A way that leads through ``proxy`` to ``host`` and ``port``.  Times in seconds."""

    proxy: Proxy
    host: str
    port: int
    connect_timeout_s: float
    """For each address of the proxy."""
    answer_timeout_s: float
    """For the proxy's answer, which comes after it connected to the broker."""

    async def open(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Connect ``sock`` to the proxy's ``address``, and have it lead to the broker.

        Raises:
            BrokerProxyFailed, BrokerProxyRefused
        """
        ask = self._ask_http if self.proxy.scheme == "http" else self._ask_socks
        try:
            connecting = asyncio.get_running_loop().sock_connect(sock, address)
            await self._within(self.connect_timeout_s, connecting, "no connection")
            await self._within(self.answer_timeout_s, ask(sock), "no answer")
        except OSError as exc:
            raise self.failed(os.strerror(exc.errno) if exc.errno else str(exc)) from exc

    def failed(self, why: str) -> BrokerProxyFailed:
        """The error for a way that did not come about."""
        return BrokerProxyFailed(
            f"no way to {host_and_port(self.host, self.port)} through the proxy {self.proxy}: {why}"
        )

    async def _within(self, seconds: float, step: Coroutine[object, object, None], otherwise: str) -> None:
        # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes together with the answer.
        task = asyncio.ensure_future(step)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if not done:
                raise self.failed(f"{otherwise} within {seconds:.3g} s")
            task.result()
        finally:
            task.cancel()

    async def _ask_http(self, sock: socket.socket) -> None:
        """CONNECT, see RFC 9110, section 9.3.6."""
        loop = asyncio.get_running_loop()
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER_BYTES)
        await loop.sock_sendall(sock, self._request(http))
        left = MAX_ANSWER_BYTES  # over all answers: an endless row of `100 Continue` would never let the loop go
        try:
            while not isinstance(event := http.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    data = await loop.sock_recv(sock, left)
                    left -= len(data)
                    if not left:
                        raise self.failed(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
                    if not data:
                        raise self.failed("it closed the connection without an answer")
                    http.receive_data(data)
        except h11.RemoteProtocolError:
            raise self.failed("it does not answer in HTTP") from None  # its cause quotes what was answered
        status = event.status_code
        if not 200 <= status < 300:
            said = f"the proxy {self.proxy} answered {status_line(status)}"
            raise BrokerProxyRefused(said) if 400 <= status < 500 else BrokerProxyFailed(said)
        if http.trailing_data[0]:  # the broker cannot have spoken yet: it waits for us
            raise self.failed("it sent more than its answer")

    def _request(self, http: h11.Connection) -> bytes:
        target = host_and_port(self.host.encode("idna").decode("ascii"), self.port)
        headers = [("Host", target)]
        if self.proxy.username:
            user = base64.b64encode(f"{self.proxy.username}:{self.proxy.password}".encode()).decode("ascii")
            headers.append(("Proxy-Authorization", f"Basic {user}"))
        request = h11.Request(method="CONNECT", target=target, headers=headers)
        return (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")

    async def _ask_socks(self, sock: socket.socket) -> None:
        """See RFC 1928, and RFC 1929 for user and password."""
        # few need it, and it takes its time
        from python_socks import ProxyError, ProxyType
        from python_socks.async_.asyncio import Proxy as Socks

        socks = Socks(
            ProxyType.SOCKS5,
            self.proxy.host,
            self.proxy.port,
            self.proxy.username or None,
            self.proxy.password or None,
            rdns=True,
            forward=_Connected(sock),  # type: ignore[arg-type]  # of a proxy before this one it only asks a socket
        )
        try:
            await socks.connect(self.host, self.port, self.answer_timeout_s + 1.0)  # ours is over before
        except ProxyError as exc:
            said = f"the proxy {self.proxy} answered: {exc}"
            if exc.error_code == _NOT_ALLOWED or str(exc).startswith(_NOT_LET_IN):
                raise BrokerProxyRefused(said) from exc
            raise BrokerProxyFailed(said) from exc
        except ValueError as exc:
            raise self.failed("it does not answer in SOCKS 5") from exc


@dataclass(frozen=True, slots=True)
class _Connected:
    """What gives the SOCKS client a socket that is connected already."""

    sock: socket.socket

    async def connect(self, **_: object) -> socket.socket:
        return self.sock
