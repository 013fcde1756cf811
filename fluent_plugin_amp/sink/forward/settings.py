"""The settings of the Forward client: plain frozen values.  Pure.

The composition root makes them from the configuration; nothing here knows about files or YAML.  No ``repr`` shows a
secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ssl

Compress = Literal["none", "gzip"]


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One Forward server: a TCP address, or a Unix socket when ``unix_path`` is given."""

    name: str
    """Label in logs, metrics and answers; unique among the servers of a client."""
    host: str = "127.0.0.1"
    port: int = 24224
    unix_path: str | None = None
    weight: int = 60
    """Share of the chunks, in proportion to the weights of the other servers that are up."""
    standby: bool = False
    """Used only while no server without ``standby`` is up."""


@dataclass(frozen=True, slots=True)
class Security:
    """The client's side of the Forward handshake."""

    self_hostname: str
    shared_key: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """Everything about the way to the servers."""

    servers: tuple[ServerAddress, ...]
    tls: ssl.SSLContext | None = None
    """TLS for the TCP servers; a Unix socket is always plain."""
    server_hostname: str | None = None
    """The name that the server's certificate must bear; None: its ``host``."""
    security: Security | None = None
    """None: the servers have no shared key and no users, and never say HELO."""
    compress: Compress = "none"
    connect_timeout_s: float = 10.0
    """For the TCP and TLS connection, and once more for the handshake."""
    ack_response_timeout_s: float = 60.0
    max_in_flight: int = 4
    """Chunks in flight on one connection."""
