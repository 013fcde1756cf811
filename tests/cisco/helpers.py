"""What the tests of the Cisco cloud share: waits that do not wait, and a proxy."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import FrameType

import pytest
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.numbers import float_of
from fluent_plugin_amp.tls import http_context

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
VARIABLES = (
    *_PROXIES,
    *(name.upper() for name in _PROXIES),
    *("AMP_CLIENT_ID", "AMP_API_KEY", "AMP_API_KEY_FILE", "AMP_REGION", "AMP_API_HOST", "SSL_CERT_FILE"),
)
"""Environment variables of the machine that no test may depend on."""

_SYSTEM_CAS = http_context(None)
"""As long as it is held, all clients share it: it takes long to make."""


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's keys and proxies.

    httpcore looks for sniffio several times a request; where it is not installed, that search takes longer than
    the local cloud's answer, the more so under pytest.
    """
    if importlib.util.find_spec("sniffio") is None:
        monkeypatch.setitem(sys.modules, "sniffio", None)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


Connect = Callable[..., AbstractAsyncContextManager[CiscoApi]]


class Waits:
    """Remembers how long it was asked to wait, and why; returns at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.reasons: list[str] = []

    async def __call__(self, seconds: float, why: str) -> None:
        """Do not wait."""
        self.seconds.append(seconds)
        self.reasons.append(why)


class Proxy:
    """An HTTP proxy that tunnels (CONNECT), wants user:secret, and may refuse or be broken."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = b""
        """Answered instead of tunnelling."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        line, *headers = head.decode().split("\r\n")
        self.asked.append(line)
        good = "basic " + base64.b64encode(b"user:secret").decode()
        if not any(header.lower() == f"proxy-authorization: {good}".lower() for header in headers):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        elif self.answer:
            client.sendall(self.answer)
        else:
            host, port = line.split()[1].split(":")
            server = socket.create_connection((host, int(port)))
            self._open.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=self._copy, args=(server, client), daemon=True).start()
            self._copy(client, server)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End it, and every tunnel."""
        for open_ in (self._server, *self._open):
            with contextlib.suppress(OSError):
                open_.shutdown(socket.SHUT_RDWR)
            open_.close()


# --- answers that may be anything ----------------------------------------------------------------

_keys = st.sampled_from(
    [
        *("data", "metadata", "links", "next", "results", "total", "errors"),
        *("id", "guid", "name", "description", "event_types", "group_guids"),
        *("amqp_credentials", "user_name", "queue_name", "host", "port", "proto", "password"),
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | _keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=6),
    max_leaves=20,
)
_streams = st.fixed_dictionaries(
    {"id": st.integers() | _json, "name": _json, "amqp_credentials": st.dictionaries(_keys, _json)}
)
any_json = _json | st.fixed_dictionaries({"data": st.lists(_streams) | _streams | _json, "metadata": _json})
"""What an answer may hold, now and then nearly right."""


@contextlib.contextmanager
def floats_read() -> Iterator[list[str]]:
    """The numbers that Python reads within the block, since msgspec takes 30 times as long for some."""
    read: list[str] = []

    def called(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is float_of.__code__:
            read.append(frame.f_locals["text"])

    profile = sys.getprofile()
    sys.setprofile(called)
    try:
        yield read
    finally:
        sys.setprofile(profile)
