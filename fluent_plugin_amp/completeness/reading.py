"""Finds a completeness record in a line that a Fluentd, a Fluent Bit or a SIEM wrote.  Pure.

The record may be the object itself, stand under some key, or be an item of ``[time, tag, record]``; each of these may
be written as JSON within a text.  It may be flattened: its names may begin alike, ``plugin`` and ``gaps`` may be
several fields or texts.  Figures may have become texts or floats, null a text, and times may be written in another
way.  All of this is undone here.  Whether it was undone rightly, the record's own hash tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fluent_plugin_amp.completeness.record import FIELDS, GAP_FIELDS, MAX_GAPS, PLUGIN_FIELDS, Kind, Record
from fluent_plugin_amp.numbers import float_of

MAX_LEVELS = 6
"""Of objects, lists and texts around a record."""

_NAMES = ("sequence", "hour", "stream")
"""By these, beside a hash, an object is known as a record."""
_PLUGIN_FIELD = re.compile(r"plugin[^a-z]{0,8}(version|instance)")
_GAP_FIELD = re.compile(r"gaps[^a-z0-9]{0,8}([0-9]{1,3})(?:[^a-z0-9]{0,8}(from|to|why))?")
_INTEGER = re.compile(r"(-?[0-9]{1,18})(?:\.0{1,9})?")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0{1,9})?(?:Z|\+00:?00| UTC)?")
_NULLS = ("", "null")
_NAMED_BY_PEOPLE = ("stream", "organisation")
"""Nothing in these is taken for anything else."""

_decode = msgspec.json.Decoder(float_hook=float_of).decode


def find_records(value: Any, levels: int = MAX_LEVELS) -> Iterator[Record]:
    """Every record in a decoded line, with all of its `FIELDS`."""
    if type(value) is dict:
        for name in value:
            if name.endswith("hash") and all(name[:-4] + other in value for other in _NAMES):
                yield _record(value, name[:-4])
                return
        value = list(value.values())
    if not levels:
        return
    if type(value) is list:
        for item in value:
            yield from find_records(item, levels - 1)
    elif type(value) is str and value.lstrip()[:1] in ("{", "["):
        yield from find_records(_decoded(value), levels - 1)


def _record(found: Mapping[str, Any], prefix: str) -> Record:
    """What is no value of its field's kind stays as it is: then the hash is wrong."""
    fields = {name[len(prefix) :]: value for name, value in found.items() if name.startswith(prefix)}
    readers = {Kind.INTEGER: _integer, Kind.PLUGIN: _plugin, Kind.GAPS: _gaps}
    return {
        name: _text(fields.get(name), name) if kind is Kind.TEXT else readers[kind](fields.get(name), fields)
        for name, kind in FIELDS.items()
    }


def _text(value: Any, name: str) -> Any:
    if value == "":
        return None
    if type(value) is not str or name in _NAMED_BY_PEOPLE:
        return value
    return None if value in _NULLS else _time(value)


def _time(value: Any) -> Any:
    """A time as the plugin writes it; anything else as it is."""
    found = _TIME.fullmatch(value) if type(value) is str else None
    return f"{found.group(1)}T{found.group(2)}Z" if found else value


def _integer(value: Any, _: Mapping[str, Any]) -> Any:
    if type(value) is str:
        found = _INTEGER.fullmatch(value)
        return int(found.group(1)) if found else None if value in _NULLS else value
    return int(value) if type(value) is float and value.is_integer() else value


def _plugin(value: Any, fields: Mapping[str, Any]) -> Any:
    if value is None:
        matches = {name: _PLUGIN_FIELD.fullmatch(name) for name in fields}
        return {match.group(1): fields[name] for name, match in matches.items() if match}
    value = _unpacked(value)
    return {name: value.get(name) for name in PLUGIN_FIELDS} if type(value) is dict else value


def _gaps(value: Any, fields: Mapping[str, Any]) -> Any:
    if value is None:
        numbered: dict[int, Any] = {}
        for name, each in fields.items():
            if match := _GAP_FIELD.fullmatch(name):
                number, part = int(match.group(1)), match.group(2)
                if part is None:
                    numbered[number] = each
                else:
                    numbered.setdefault(number, {})[part] = each
        value = [numbered[number] for number in sorted(numbered)]
    value = _unpacked(value)
    if type(value) is dict:  # a list of one
        value = [value]
    if type(value) is not list or len(value) > MAX_GAPS:
        return value
    gaps = [_unpacked(gap) for gap in value]
    return [{name: _time(gap.get(name)) for name in GAP_FIELDS} if type(gap) is dict else gap for gap in gaps]


def _unpacked(value: Any) -> Any:
    return _decoded(value) if type(value) is str else value


def _decoded(text: str) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return text
