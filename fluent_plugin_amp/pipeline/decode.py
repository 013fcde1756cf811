"""From the body of a message to a record and its time.  Pure.

What passes here can be kept by every Forward server: an object of JSON values, at most `MAX_DEPTH` deep, with
exact integers.  What cannot is an `InvalidEvent`, and becomes a dead letter.  Integers that msgpack cannot
carry pass (the decoder keeps them exact) and are found when the record is packed.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import msgspec

from fluent_plugin_amp.errors import EventNotJson, EventNotObject, EventTooDeep, EventTooManyValues
from fluent_plugin_amp.model import Record
from fluent_plugin_amp.numbers import float_of

MAX_DEPTH = 60
"""Levels of maps and lists, the record itself the first.  Fluent Bit acks a record of 64 and then loses it, with
every event behind it in its own chunk; Fluentd closes the connection at 128."""

COUNTED_BYTES = 8192
"""Up to this length, counting brackets costs less than a walk, and clears every ordinary event of it."""

MAX_VALUES = 250_000
"""Of one event.  A list of empty lists takes 30 times the memory of its text, and a second of the loop for 2 MB;
Cisco's events have some hundred."""

MAX_DIGITS_IN_ALL = 20 * MAX_VALUES
"""Of all numbers of one event.  An integer is read in a time that grows with the square of its digits: 32 MB of the
longest take most of a second."""

BOM = b"\xef\xbb\xbf"
"""Some writers put it before JSON; a reader may take it as nothing (RFC 8259, 8.1)."""


_decode_json = msgspec.json.Decoder().decode
_decode_large = msgspec.json.Decoder(float_hook=float_of).decode
"""For more than `COUNTED_BYTES`, in which many numbers may stand."""

_MAX_SECONDS = 2**32 - 1


def decode(body: bytes) -> Record:
    """Decode one event.

    Raises:
        EventNotJson, EventNotObject, EventTooDeep, EventTooManyValues: it cannot be a record; the text says why.
    """
    if len(body) > MAX_VALUES and _has_too_many_values(body):
        raise EventTooManyValues(f"more than {MAX_VALUES:,} values")
    if len(body) > MAX_DIGITS_IN_ALL and _has_too_many_digits(body):
        raise EventTooManyValues(f"numbers of more than {MAX_DIGITS_IN_ALL:,} digits together")
    try:
        value = _decode_json(body) if len(body) <= COUNTED_BYTES else _decode_large(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        if body.startswith(BOM) and not body.startswith(BOM, len(BOM)):
            return decode(body[len(BOM) :])
        raise EventNotJson(str(exc) if body else "the body is empty") from exc
    except RecursionError as exc:
        raise EventTooDeep("nested too deep to decode") from exc
    if type(value) is not dict:
        raise EventNotObject(f"the body is {_kind(value)}, not an object")
    if (len(body) > COUNTED_BYTES or _brackets(body) > MAX_DEPTH) and _deeper_than(value, MAX_DEPTH):
        raise EventTooDeep(f"nested deeper than {MAX_DEPTH} levels")
    return value


def event_time(record: Record, received_at: float) -> tuple[int, int]:
    """When the event happened, as (seconds since the epoch, nanoseconds) fit for an EventTime.

    ``timestamp`` with ``timestamp_nanoseconds``, else ``date`` (ISO 8601), else the arrival ``received_at``.
    Values of another type, or outside the 32 bits of an EventTime, count as missing.
    """
    seconds = record.get("timestamp")
    if type(seconds) is int and 0 <= seconds <= _MAX_SECONDS:
        nanoseconds = record.get("timestamp_nanoseconds")
        if type(nanoseconds) is int and 0 <= nanoseconds < 1_000_000_000:
            return seconds, nanoseconds
        return seconds, 0
    date = record.get("date")
    if type(date) is str:
        try:
            moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
        except ValueError:
            moment = None
        if moment is not None:
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            seconds = math.floor(moment.timestamp())
            if 0 <= seconds <= _MAX_SECONDS:
                return seconds, moment.microsecond * 1000
    return int(received_at), int(received_at % 1 * 1_000_000_000)


def _has_too_many_values(body: bytes) -> bool:
    """Counts what begins or parts values; within texts too at first, and where that is too much, outside of them."""
    if _separators(body) <= MAX_VALUES:
        return False
    outside = _outside_texts(body)
    return outside is None or sum(map(_separators, outside)) > MAX_VALUES


def _has_too_many_digits(body: bytes) -> bool:
    """Counts within texts too at first, and where that is too much, outside of them."""
    if _digits(body) <= MAX_DIGITS_IN_ALL:
        return False
    outside = _outside_texts(body)
    return outside is None or _digits(b"".join(outside)) > MAX_DIGITS_IN_ALL


def _outside_texts(body: bytes) -> list[bytes] | None:
    """What stands before, between and behind the texts; None: there are more texts than values are allowed."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # each quote that is left begins or ends a text
    if unescaped.count(b'"') > 4 * MAX_VALUES:  # a name and a text for each value
        return None
    return unescaped.split(b'"')[::2]


def _digits(text: bytes) -> int:
    return len(text) - len(text.translate(None, b"0123456789"))


def _separators(text: bytes) -> int:
    return text.count(b",") + _brackets(text)


def _brackets(body: bytes) -> int:
    """How many maps and lists there are at most; so deep they nest at most."""
    return body.count(b"{") + body.count(b"[")


def _deeper_than(value: Any, levels: int) -> bool:
    """Whether maps and lists nest deeper than ``levels``; walks level by level, so it cannot recurse too far."""
    level = [value]
    for _ in range(levels):
        below = []
        for container in level:
            items = container.values() if type(container) is dict else container
            below += [item for item in items if type(item) in (dict, list)]
        if not below:
            return False
        level = below
    return True


def _kind(value: Any) -> str:
    """The name JSON gives to a decoded value that is no object."""
    if value is None:
        return "null"
    kinds = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds[type(value)]
