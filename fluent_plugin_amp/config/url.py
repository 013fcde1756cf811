"""The broker's URL: ``amqps://[user[:password]@]host[:port][/vhost]``.  Pure.

User, password and virtual host are percent-decoded.  No message repeats any part of the URL: where it cannot be
read, what looks like a port may be a piece of the password.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"amqps": 443, "amqp": 5672}
"""443 because every broker of Cisco's listens there; other brokers mostly use 5671 for TLS."""

MAX_SHORT_BYTES = 255
"""Of AMQP's short strings: virtual hosts and queues."""

HOW_TO_ENCODE = "in user and password write : / ? # @ % as %3A %2F %3F %23 %40 %25"


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """A broker's address."""

    scheme: str
    """amqps or amqp."""
    host: str
    port: int
    vhost: str

    @classmethod
    def parse(cls, text: str) -> BrokerUrl:
        """Read a URL without user and password (see `take_credentials`); ValueError says what is wrong."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"has no valid host and port; {HOW_TO_ENCODE}") from None
        if parts.scheme not in DEFAULT_PORTS:
            raise ValueError("must begin with amqps:// (or amqp:// for a broker without TLS)")
        if not host:
            raise ValueError("names no host")
        if not is_name(host):
            raise ValueError("has no valid host: no part of a name is empty or longer than 63 bytes")
        if parts.username is not None:
            raise ValueError("contains a user: give `username` and `password` as keys of their own")
        if port == 0:
            raise ValueError("has port 0")
        if parts.query or parts.fragment:
            raise ValueError(f"takes no ?options and no #fragment; {HOW_TO_ENCODE}")
        vhost = parts.path[1:]
        if "/" in vhost:
            raise ValueError("has a virtual host with a / in it: write %2F")
        if len(unquote(vhost).encode()) > MAX_SHORT_BYTES:
            raise ValueError(f"has a virtual host of more than {MAX_SHORT_BYTES} bytes")
        return cls(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], unquote(vhost) or "/")


def is_name(host: str) -> bool:
    """Whether ``host`` can be looked up: for anything else Python raises something other than OSError."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return "\0" not in host and not host.startswith(".")


def take_credentials(text: str) -> tuple[str, str | None, str | None]:
    """Split a URL into the same URL without credentials, the user, the password; None for what it has not.

    Never fails: a text that is no URL comes back as it is, for `BrokerUrl.parse` to refuse.
    """
    scheme, slashes, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, address = authority.rpartition("@")
    if not at:
        return text, None, None
    user, _, password = credentials.partition(":")
    return f"{scheme}{slashes}{address}{slash}{path}", unquote(user) or None, unquote(password) or None
