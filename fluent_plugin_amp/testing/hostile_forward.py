"""What no Forward server should say: what a client must neither trip over, nor collect, nor wait for without end.

Each costs a client the connection that it arrives on, and nothing else.  A `fluentd.FakeFluentd` says them as its
``reaction`` (instead of an ack) or as its ``welcome`` (instead of HELO; there an `Answer` is a `Greet`)::

    for each in hostile_words():
        server.reaction = each.talk
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgpack

from fluent_plugin_amp.testing.reactions import Answer, CutShort, Drip, Flood

_PIECE_BYTES = 64 * 1024
_UNKNOWN_ACK = {"ack": "bm90LXdoYXQteW91LXNlbnQ="}


class HostileWords(NamedTuple):
    """One thing to say, under a name for test ids and reports."""

    name: str
    talk: Answer | Flood | Drip | CutShort
    """``Answer``: once, and then nothing more."""


def hostile_words() -> list[HostileWords]:
    """All of them; the silent kinds are over only when the client's deadline is."""
    return [
        *(HostileWords(name, Flood(first, again)) for name, (first, again) in _ENDLESS.items()),
        *(HostileWords(name, Answer(data)) for name, data in _MALFORMED.items()),
        HostileWords("an ack a byte at a time, for ever", Drip(_pack(_UNKNOWN_ACK))),
        HostileWords("half an ack", CutShort(_pack(_UNKNOWN_ACK)[:9])),
        HostileWords("nothing but EOF", CutShort(b"")),
    ]


def _pack(message: Any) -> bytes:
    return bytes(msgpack.packb(message, use_bin_type=False))


def _again(data: bytes) -> bytes:
    return data * (_PIECE_BYTES // len(data))


_ENDLESS = {
    "an array of 4 billion nils": (b"\xdd\xff\xff\xff\xff", _again(b"\xc0")),
    "a map of 4 billion pairs": (b"\xdf\xff\xff\xff\xff", _again(b"\xa1k\xa1v")),
    "a text of 4 GiB": (b"\xdb\xff\xff\xff\xff", _again(b"x")),
    "binary data of 4 GiB": (b"\xc6\xff\xff\xff\xff", _again(b"x")),
    "an ext of 4 GiB": (b"\xc9\xff\xff\xff\xff\x05", _again(b"x")),
    "arrays within arrays": (b"", _again(b"\x91")),
    "small arrays without end": (b"", _again(b"\x9f" + b"\xc0" * 14)),
    "acks of chunks never sent": (b"", _again(_pack(_UNKNOWN_ACK))),
    "nils": (b"", _again(b"\xc0")),
    "text lines": (b"220 ESMTP ready\r\n", _again(b"500 unknown command\r\n")),
}

_MALFORMED = {
    "no msgpack": b"\xc1",
    "a TLS alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "10,000 nested arrays": b"\x91" * 10_000 + b"\xc0",
    "10,000 nested maps": b"\x81\xa1k" * 10_000 + b"\xc0",
    "a HELO": _pack(["HELO", {"nonce": "n" * 16, "auth": ""}]),
    "a HELO of a number": _pack(["HELO", 7]),
    "a HELO with a nonce of 3,000 bytes": _pack(["HELO", {"nonce": "n" * 3000, "auth": [1, {}]}]),
    "a PONG": _pack(["PONG", True, "", "fluentd.example", "0" * 128]),
    "a PONG of other types": _pack(["PONG", "yes", None, 7, []]),
    "an ack of a chunk never sent": _pack(_UNKNOWN_ACK),
    "an ack that is a number": _pack({"ack": 7}),
    "an ack that is nil": _pack({"ack": None}),
    "an ack that is a list": _pack({"ack": ["bm90"]}),
    "an ack in a list": _pack([_UNKNOWN_ACK]),
    "keys that are numbers": _pack({1: 2, 3: 4}),
    "a key that is a map": b"\x81\x80\xc0",
    "ext types": b"".join(struct.pack("bbb", -44, code, 0) for code in (1, 5, 127)),
    "timestamps that are none": b"\xd7\xff" + b"\xff" * 8 + b"\xc7\x0c\xff" + b"\xff" * 12 + b"\xd4\xff\x00",
    "NaN": b"\xcb\x7f\xf8" + bytes(6),
    "an integer of 64 bits": b"\xcf" + b"\xff" * 8,
}
