"""The Forward protocol from the server's side, without a socket: what `FakeFluentd` understands and demands.

Written from the specification (v1.5) and from what Fluentd and Fluent Bit were seen to do, not from our client,
so that the two can find each other's faults.  Where the two servers differ this peer takes the stricter side:
what one of them closes the connection for, loses silently or hangs on is a `Violation`.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

DEEPEST = 63
"""Levels of nesting that Fluent Bit still reads; Fluentd reads 127."""
_EVENT_TIME = 0
_MAX_MESSAGE_BYTES = 1 << 30


class Violation(Exception):
    """The peer sent what a server refuses, loses, or cannot answer."""


class EventTime(NamedTuple):
    """A point in time: ext type 0, seconds since the epoch and nanoseconds."""

    seconds: int
    nanoseconds: int


class Entry(NamedTuple):
    """One event: an EventTime (or whole seconds, as old clients send), and its record."""

    time: EventTime | int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message in Message, Forward or PackedForward mode, entries still as they came.

    ``entries`` is the packed string, decompressed where it was compressed, or the decoded list of the two
    other modes.
    """

    tag: str
    entries: bytes | list[Any]
    option: dict[str, Any]
    size: int | None
    """Number of entries, by the client's word."""
    chunk: str | None
    """The id to acknowledge; None when no ack is asked for."""


@dataclass(slots=True, eq=False)
class ReceivedChunk:
    """One message as it arrived; ``id`` is None when no ack was asked for."""

    connection: int
    """Number of its connection, from 1."""
    tag: str
    id: str | None
    option: dict[str, Any]
    entries: list[Entry]
    """Empty when the server does not decode."""
    accepted: bool = False
    """The server acknowledged it, or none was asked for."""


@dataclass(frozen=True, slots=True)
class Security:
    """What a server with a ``<security>`` section asks for; without ``users`` the shared key suffices."""

    shared_key: str
    users: Mapping[str, str] = field(default_factory=dict)
    self_hostname: str = "fluentd.example"


class Handshake:
    """One connection's HELO, PING and PONG."""

    def __init__(self, security: Security) -> None:
        self._security = security
        self._nonce = os.urandom(16)
        self._auth_salt = os.urandom(16) if security.users else b""

    def helo(self) -> bytes:
        """What the server says first; nonce and salt are random bytes in a msgpack str, as Fluentd sends them."""
        options = {"nonce": self._nonce, "auth": self._auth_salt, "keepalive": True}
        return _pack(["HELO", options])

    def answer(self, ping: Any, *, wrong_digest: bool = False) -> tuple[bytes, str]:
        """The PONG for a PING, and why it refuses ("" when it does not).

        Raises Violation for what is no PING.
        """
        if not (isinstance(ping, list) and len(ping) == 6 and ping[0] == "PING"):
            raise Violation(f"expected a PING, got {_short(ping)}")
        if not all(isinstance(part, str) for part in ping):
            raise Violation("a part of the PING is no msgpack str")
        _, client, salt, key_digest, user, password_digest = (_raw(part) for part in ping)
        security = self._security
        shared_key = security.shared_key.encode()
        reason = ""
        if _digest(salt, client, self._nonce, shared_key) != key_digest:
            reason = "shared_key mismatch"
        elif client == security.self_hostname.encode():
            reason = "same hostname between input and output: invalid configuration"
        elif security.users:
            password = security.users.get(user.decode(errors="replace"))
            if password is None or _digest(self._auth_salt, user, password.encode()) != password_digest:
                reason = "username/password mismatch"
        hostname = security.self_hostname.encode()
        digest = "" if reason else _digest(salt, hostname, self._nonce, shared_key).decode()
        if wrong_digest:
            digest = digest[::-1]
        return _pack(["PONG", not reason, reason, security.self_hostname, digest]), reason


def make_unpacker() -> msgpack.Unpacker:
    """A decoder for everything a client sends: integers exact, str and bin apart, EventTime known.

    Bytes in a str that are not UTF-8 become lone surrogates, from which `decode_message` gets them back.
    """
    return msgpack.Unpacker(
        ext_hook=_decode_ext,
        strict_map_key=False,
        unicode_errors="surrogateescape",
        max_buffer_size=_MAX_MESSAGE_BYTES,
    )


def decode_message(message: Any) -> Message:
    """Check what `make_unpacker` decoded, down to the option; the entries are left to `decode_entries`."""
    if not isinstance(message, list) or not 2 <= len(message) <= 4:
        raise Violation(f"a message is an array of 2 to 4 parts, not {_short(message)}")
    tag, second = message[:2]
    if not isinstance(tag, str) or not tag or not _is_utf8(tag):
        raise Violation(f"a tag is a str in UTF-8, not {tag!r}")
    is_single = isinstance(second, int | EventTime) and not isinstance(second, bool)
    if is_single and len(message) < 3:
        raise Violation("Message mode without a record")
    rest = message[3:] if is_single else message[2:]
    if len(rest) > 1:
        raise Violation("more after the option")
    option = _check_option(rest[0]) if rest else {}
    entries: bytes | list[Any]
    if is_single:
        entries = [[second, message[2]]]
    elif isinstance(second, list):
        entries = second
    elif isinstance(second, str | bytes):
        packed = _raw(second) if isinstance(second, str) else second
        entries = gunzip(packed) if option.get("compressed") == "gzip" else packed
    else:
        raise Violation(f"entries are an array, str or bin, not {_short(second)}")
    if not entries:
        raise Violation("a message without entries")
    return Message(tag, entries, option, option.get("size"), option.get("chunk"))


def decode_entries(message: Message) -> list[Entry]:
    """Decode and check every entry: no tail cut off, times and records of the right kind, ``size`` as said."""
    raw = _unpack_all(message.entries) if isinstance(message.entries, bytes) else message.entries
    entries = [_check_entry(entry) for entry in raw]
    if message.size is not None and message.size != len(entries):
        raise Violation(f"size says {message.size}, but there are {len(entries)} entries")
    return entries


def gunzip(data: bytes) -> bytes:
    """Decompress gzip of one member or several, one after the other."""
    parts = []
    while data:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            parts.append(member.decompress(data))
        except zlib.error as exc:
            raise Violation(f"corrupt gzip: {exc}") from exc
        if not member.eof:
            raise Violation("gzip that ends too early")
        data = member.unused_data
    return b"".join(parts)


def pack_ack(chunk: object) -> bytes:
    """The answer that acknowledges a chunk id."""
    return _pack({"ack": chunk})


def _check_option(option: Any) -> dict[str, Any]:
    if not isinstance(option, dict):
        raise Violation(f"the option is a map, not {_short(option)}")
    chunk = option.get("chunk", "")
    if not isinstance(chunk, str) or not _is_utf8(chunk):
        raise Violation(f"a chunk id is a str, not {chunk!r}")
    if "size" in option and (not isinstance(option["size"], int) or isinstance(option["size"], bool)):
        raise Violation(f"size is an integer, not {option['size']!r}")
    if option.get("compressed", "text") not in ("text", "gzip"):
        raise Violation(f"unknown compression {option['compressed']!r}")
    return option


def _unpack_all(packed: bytes) -> Iterator[Any]:
    unpacker = make_unpacker()
    unpacker.feed(packed)
    end = 0
    try:
        for entry in unpacker:
            end = unpacker.tell()
            yield entry
    except (ValueError, TypeError) as exc:
        raise Violation(f"entries that are no msgpack: {exc!r}") from exc
    if end != len(packed):
        raise Violation(f"a tail of {len(packed) - end} bytes is no whole entry")


def _check_entry(entry: Any) -> Entry:
    if not isinstance(entry, list) or len(entry) != 2:
        raise Violation(f"an entry is [time, record], not {_short(entry)}")
    time, record = entry
    if isinstance(time, bool) or not isinstance(time, int | EventTime) or (isinstance(time, int) and time < 0):
        raise Violation(f"a time is an EventTime or whole seconds, not {time!r}")
    if isinstance(time, EventTime) and time.nanoseconds >= 1_000_000_000:
        raise Violation(f"{time.nanoseconds} nanoseconds")
    if not isinstance(record, dict):
        raise Violation(f"a record is a map, not {_short(record)}")
    _check_value(record, 1)
    return Entry(time, record)


def _check_value(value: Any, depth: int) -> None:
    """What a server's outputs cannot keep: it would close the connection on it, or change it."""
    if isinstance(value, str):
        if not _is_utf8(value):
            raise Violation(f"text that is not UTF-8: {_short(value)}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Violation(f"{value} in a record")
    elif isinstance(value, msgpack.ExtType | msgpack.Timestamp):
        raise Violation(f"unknown ext type in a record: {value!r}")
    elif isinstance(value, dict | list):
        if depth > DEEPEST:
            raise Violation(f"nested deeper than {DEEPEST} levels")
        if isinstance(value, dict):
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise Violation(f"a key that is no str: {key!r}")
                _check_value(key, depth)
                _check_value(inner, depth + 1)
        else:
            for inner in value:
                _check_value(inner, depth + 1)


def _decode_ext(code: int, data: bytes) -> Any:
    if code == _EVENT_TIME and len(data) == 8:
        return EventTime(int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big"))
    return msgpack.ExtType(code, data)


def _pack(message: Any) -> bytes:
    # use_bin_type=False: str and bytes both become msgpack str, the only kind the handshake knows.
    return bytes(msgpack.packb(message, use_bin_type=False, unicode_errors="surrogateescape"))


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).hexdigest().encode()


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
