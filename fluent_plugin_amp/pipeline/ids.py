"""Ids as texts, for receivers that round numbers.  Pure.

Cisco's event ids have 63 bits.  Whoever reads JSON numbers as doubles, as JavaScript, Lua and several SIEMs do, has
exact integers up to 2^53 only: after that, an id becomes that of another event.
"""

from __future__ import annotations

from typing import Any

from fluent_plugin_amp.model import Record

ID_FIELDS = frozenset({"id", "event_ids"})
"""On the first level of an event, and of a combined record: always texts, so that a field has one type."""

EXACT = 2**53 - 1
"""The last integer of which a double is sure, on either side of 0."""

MOST_BITS = 128
"""A longer integer is no id, and stays one: its event becomes a dead letter, as it does without these texts.  To
write thousands of digits takes Python a tenth of a millisecond, and an event may hold thousands of such numbers."""


def ids_as_texts(record: Record) -> Record:
    """Change a record in place: its own ids, and every other integer beyond `EXACT`, become decimal texts."""
    for name, value in record.items():
        if name in ID_FIELDS:
            record[name] = [_text(item) for item in value] if type(value) is list else _text(value)
        elif type(value) in (int, dict, list):
            record[name] = _exact(value)
    return record


def _text(value: Any) -> Any:
    return str(value) if type(value) is int and value.bit_length() <= MOST_BITS else _exact(value)


def _exact(value: Any) -> Any:
    """A copy, since what `add` brings belongs to the configuration.  Nests at most `decode.MAX_DEPTH`."""
    kind = type(value)
    if kind is int:
        return value if -EXACT <= value <= EXACT or value.bit_length() > MOST_BITS else str(value)
    if kind is dict:
        return {name: _exact(item) for name, item in value.items()}
    return [_exact(item) for item in value] if kind is list else value
