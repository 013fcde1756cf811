"""A proxy on the way to a broker or to the Cisco cloud, and its answers in words.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import quote

from fluent_plugin_amp.text import host_and_port


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that opens a way to any host and port when asked for it."""

    scheme: Literal["http", "socks5"]
    """How it is asked: CONNECT of HTTP, or SOCKS 5.  Either is spoken in plain, before any TLS with the target."""
    host: str
    port: int
    username: str = ""
    """Empty: it wants none."""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)

    @property
    def url(self) -> str:
        """As a URL; it holds the password."""
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        return f"{self.scheme}://{user}{self}"


def status_line(status: int) -> str:
    """``407 Proxy Authentication Required``.

    A proxy's own phrase is never repeated: it may put anything there, the user and password that it was sent as well.
    """
    return f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
