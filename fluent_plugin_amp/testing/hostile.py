"""Message bodies that no cloud should send: what a consumer must neither lose, nor corrupt, nor stop at.

For each it is known what should become of it: a record as it is, or a dead letter with an id of `errors`.
"""

from __future__ import annotations

import gzip
import json
from typing import Any, NamedTuple

NOT_JSON = "event.not-json"
NOT_OBJECT = "event.not-object"
TOO_DEEP = "event.too-deep"
TOO_MANY_VALUES = "event.too-many-values"
INTEGER_TOO_LARGE = "event.integer-too-large"

LARGE_BYTES = 6 << 20
"""More than Fluent Bit's buffer and Fluentd's default chunk take, together with the rest of a message."""

_EVENT = {"id": 6533241145273614340, "timestamp": 1593079552, "timestamp_nanoseconds": 619000000}
_DATE = "2020-06-25T10:05:52+00:00"


class HostileBody(NamedTuple):
    """One body, under a name for test ids and reports."""

    name: str
    body: bytes
    error_id: str | None
    """The id of the error that makes it a dead letter; None: it is a valid event, and goes out as a record."""


def hostile_bodies() -> list[HostileBody]:
    """All of them, the large one included (6 MiB, the last)."""
    return [
        *(HostileBody(name, body, error_id) for name, (body, error_id) in _BROKEN.items()),
        *(HostileBody(f"timestamp {name}", _event(times), None) for name, times in _TIMES.items()),
        *(HostileBody(name, body, None) for name, body in _ODD.items()),
        HostileBody("6 MiB", _event({"padding": "x" * LARGE_BYTES}), None),
    ]


def _event(changes: dict[str, Any]) -> bytes:
    return json.dumps(_EVENT | changes, ensure_ascii=False, separators=(",", ":")).encode()


def _nested(levels: int, *, lists: bool = False) -> bytes:
    """An event with so many levels, itself the first."""
    opening, closing = (b"[", b"]") if lists else (b'{"a":', b"}")
    inner = opening * (levels - 1) + (b"" if lists else b"1") + closing * (levels - 1)
    return b'{"id":1,"nested":' + inner + b"}"


_BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", NOT_JSON),
    "white space": (b" \r\n\t", NOT_JSON),
    "plain text": (b"event_stream_6", NOT_JSON),
    "truncated": (_event({})[:-10], NOT_JSON),
    "trailing garbage": (_event({}) + b"}", NOT_JSON),
    "two events": (_event({}) + b"\n" + _event({}), NOT_JSON),
    "trailing comma": (b'{"id":1,}', NOT_JSON),
    "single quotes": (b"{'id':1}", NOT_JSON),
    "leading zero": (b'{"id":01}', NOT_JSON),
    "control character in text": (b'{"id":1,"text":"a\nb"}', NOT_JSON),
    "more values than any event has": (b'{"id":1,"zeros":[' + b"0," * 250_000 + b"0]}", TOO_MANY_VALUES),
    "NUL bytes": (b"\0" * 100, NOT_JSON),
    "gzip": (gzip.compress(_event({}), mtime=0), NOT_JSON),
    "XML": (b'<?xml version="1.0"?><event id="1"/>', NOT_JSON),
    "not UTF-8": (b'{"id":1,"hostname":"B\xfcro"}', NOT_JSON),
    "overlong UTF-8": (b'{"id":1,"hostname":"\xc0\xaf"}', NOT_JSON),
    "surrogate in UTF-8": (b'{"id":1,"hostname":"\xed\xa0\x80"}', NOT_JSON),
    "UTF-16": (_event({}).decode().encode("utf-16"), NOT_JSON),
    "lone surrogate": (b'{"id":1,"hostname":"\\ud83d"}', NOT_JSON),
    "surrogates in the wrong order": (b'{"id":1,"hostname":"\\ude00\\ud83d"}', NOT_JSON),
    "NaN": (b'{"id":1,"score":NaN}', NOT_JSON),
    "Infinity": (b'{"id":1,"score":-Infinity}', NOT_JSON),
    "float beyond range": (b'{"id":1,"score":1e400}', NOT_JSON),
    "null": (b"null", NOT_OBJECT),
    "number": (b"6533241145273614340", NOT_OBJECT),
    "text": (b'"event"', NOT_OBJECT),
    "list of events": (b"[" + _event({}) + b"]", NOT_OBJECT),
    "integer of 64 bits and one": (b'{"id":18446744073709551616}', INTEGER_TOO_LARGE),
    "integer below 64 bits": (b'{"id":-9223372036854775809}', INTEGER_TOO_LARGE),
    "integer of a thousand digits": (b'{"id":1' + b"0" * 1000 + b"}", INTEGER_TOO_LARGE),
    "integer too large within": (b'{"id":1,"file":{"sizes":[1,99999999999999999999]}}', INTEGER_TOO_LARGE),
    "200 levels of maps": (_nested(200), TOO_DEEP),
    "200 levels of lists": (_nested(200, lists=True), TOO_DEEP),
    "100,000 levels": (_nested(100_000), TOO_DEEP),
}

_TIMES: dict[str, dict[str, Any]] = {
    "negative": {"timestamp": -1},
    "huge": {"timestamp": 2**63},
    "beyond 32 bits": {"timestamp": 2**32},
    "as text": {"timestamp": "1593079552", "date": _DATE},
    "as float": {"timestamp": 1593079552.619, "date": _DATE},
    "null": {"timestamp": None, "date": _DATE},
    "true": {"timestamp": True},
    "as list": {"timestamp": [1593079552]},
    "zero": {"timestamp": 0, "timestamp_nanoseconds": 0},
    "with too many nanoseconds": {"timestamp_nanoseconds": 10**9},
    "with negative nanoseconds": {"timestamp_nanoseconds": -1},
    "with nanoseconds as text": {"timestamp_nanoseconds": "619000000"},
    "unusable, date too": {"timestamp": None, "date": "yesterday"},
    "unusable, date long ago": {"timestamp": None, "date": "0001-01-01T00:00:00+23:59"},
    "unusable, date a number": {"timestamp": None, "date": 1593079552},
}

_ODD: dict[str, bytes] = {
    "no time at all": b'{"id":6533241145273614340}',
    "empty object": b"{}",
    "white space around": b" \n" + _event({}) + b"\r\n",
    "duplicate keys": b'{"id":1,"id":2,"file":{"name":"a","name":"b"}}',
    "integers at both ends of 64 bits": b'{"id":18446744073709551615,"low":-9223372036854775808}',
    "nearly too deep": _nested(60),
    "surrogate pair": b'{"id":1,"hostname":"\\ud83d\\ude00"}',
    "escaped NUL and controls": b'{"id":1,"hostname":"a\\u0000b\\u001b[31m\\u2028\\u007f"}',
    "keys that flatten alike": b'{"id":1,"a_b":1,"a":{"b":2},"a.b":3,"A_B":4}',
    "odd keys": b'{"":1," ":2,"a\\nb":3,"@timestamp":4,"\\u0000":5,"%s{{}}$":6}',
    "id as text": _event({"id": "6533241145273614340"}),
    "wrong types everywhere": b'{"id":{},"event_type":7,"event_type_id":"x","computer":[],"file":"f"}',
    "empty values everywhere": b'{"id":null,"event_type":"","computer":{},"file":{"identity":{}},"group_guids":[]}',
    "markup": b'{"id":1,"hostname":"<script>alert(1)</script>","user":"\\"; rm -rf / #${HOME}%n"}',
    "10000 keys": json.dumps({f"key{number}": number for number in range(10_000)}).encode(),
    "long key": json.dumps({"k" * 100_000: 1}).encode(),
}
