"""The way out of this network: ``http://[user:password@]host[:port]``, ``socks5://…``, or where to find it.  Pure.

No message repeats any part of a proxy's URL: it may hold a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import PlainValidator, WithJsonSchema

from fluent_plugin_amp.config.url import HOW_TO_ENCODE, is_name, take_credentials
from fluent_plugin_amp.config.variables import is_unicode
from fluent_plugin_amp.proxy import Proxy
from fluent_plugin_amp.text import host_and_port

DEFAULT_PORTS = {"http": 80, "socks5": 1080}
MAX_SOCKS_CHARS = 255
"""Of user and of password: SOCKS 5 counts them in one byte (RFC 1929)."""

_WORDS = ("environment", "direct")


def parse_proxy(text: str) -> Proxy:
    """Read a proxy's URL; ValueError says what is wrong."""
    if not is_unicode(text):  # the environment holds bytes
        raise ValueError("is not UTF-8")
    address, username, password = take_credentials(text)
    address = address.replace("socks5h://", "socks5://", 1)  # as curl calls one that resolves names
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"has no valid host and port; {HOW_TO_ENCODE}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("must be http://host:port or socks5://host:port")
    if not host or not is_name(host) or port == 0:
        raise ValueError("names no valid host and port")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"has something behind host and port; {HOW_TO_ENCODE}")
    scheme = cast(Literal["http", "socks5"], parts.scheme)
    username, password = username or "", password or ""
    if password and not username:
        raise ValueError("has a password and no user")
    if scheme == "http" and ":" in username:
        raise ValueError("has a user with a colon, which HTTP cannot send")
    if scheme == "socks5" and username:
        for part in (username, password):
            if not part.isascii() or not 0 < len(part) <= MAX_SOCKS_CHARS:
                raise ValueError(f"must have user and password of 1 to {MAX_SOCKS_CHARS} ASCII characters for SOCKS")
    return Proxy(scheme, host, port or DEFAULT_PORTS[scheme], username, password)


def proxy_to(host: str, port: int, way: ProxyWay, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to a broker; None: it is reached directly.  ValueError: the environment's is none."""
    if not isinstance(way, str):
        return way
    return environment_proxy(host, port, environ) if way == "environment" else None


def environment_proxy(host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that HTTPS_PROXY, else ALL_PROXY, names for a host; None: none, or NO_PROXY exempts it.

    Written in small letters each goes before the other, as everywhere.  ValueError names the variable.
    """
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        if url := environ.get(name):
            break
    else:
        return None
    if _is_exempt(host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    try:
        return parse_proxy(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host: itself, a domain that it is in, with or without the port, or ``*``."""
    names = (host.lower(), host_and_port(host.lower(), port))
    for entry in no_proxy.lower().split(","):
        exempt = entry.strip().lstrip(".")
        if exempt == "*" or (exempt and any(name == exempt or name.endswith(f".{exempt}") for name in names)):
            return True
    return False


def read_way(value: object) -> Proxy | Literal["environment", "direct"] | None:
    """What ``proxy`` says; ValueError says what is wrong."""
    if value is None or value in _WORDS:
        return cast(Literal["environment", "direct"] | None, value)
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if "://" not in value:
        raise ValueError("must be http://host:port, socks5://host:port, `environment` or `direct`")
    return parse_proxy(value)


ProxyWay = Annotated[
    Proxy | Literal["environment", "direct"] | None,
    PlainValidator(read_way),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}),
]
"""What ``proxy`` may be; None: nothing is said."""
