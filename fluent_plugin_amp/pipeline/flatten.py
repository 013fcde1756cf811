"""Nested objects into one level of fields, as syslog receivers and Devo's own collectors want them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from fluent_plugin_amp.model import Record

ListMode = Literal["json", "index", "keep"]

MAX_ADDED_CHARACTERS = 8 * 1024 * 1024
"""By which the names of one event may grow: a long name that stands before each of many fields multiplies.  Where
that is not enough, what lies deeper stays nested.  An ordinary event's names grow by some thousand."""

_encode_json = msgspec.json.Encoder().encode


class Flattener:
    """``{"a": {"b": 1}}`` → ``{"a_b": 1}``.

    Args:
        separator: what joins the names.
        lists: ``keep`` leaves a list as it is, ``json`` writes it as one JSON string, ``index`` makes a field
            of each item (``a_0``, ``a_1``).  An empty object or list stays as it is (``json``: as text).
        depth: how many levels are joined at most; what lies deeper stays nested.  None: all.

    Two source fields that come to one name are both kept: the later one gets the first free suffix from ``_2``.
    """

    def __init__(self, separator: str = "_", lists: ListMode = "keep", depth: int | None = None) -> None:
        self._separator = separator
        self._lists = lists
        self._levels = depth if depth is not None else -1
        self._left = 0  # of MAX_ADDED_CHARACTERS
        self._suffixes: dict[str, int] = {}  # the last one given to a name; those before it are taken

    def __call__(self, record: Record) -> Record:
        """The flattened copy of ``record``."""
        flat: Record = {}
        self._left = MAX_ADDED_CHARACTERS
        self._suffixes = {}
        self._flatten(record.items(), "", self._levels, flat)
        return flat

    def _flatten(self, fields: Iterable[tuple[str, Any]], prefix: str, levels: int, flat: Record) -> None:
        lists = self._lists
        for name, value in fields:
            key = prefix + name
            kind = type(value)
            if kind is dict:
                if value and levels and (added := len(key) * len(value)) <= self._left:
                    self._left -= added
                    self._flatten(value.items(), key + self._separator, levels - 1, flat)
                    continue
                if not value and lists == "json":
                    value = "{}"
            elif kind is list and lists != "keep":
                if lists == "json":
                    value = _encode_json(value).decode()
                elif value and levels and (added := len(key) * len(value)) <= self._left:
                    self._left -= added
                    self._flatten(_numbered(value), key + self._separator, levels - 1, flat)
                    continue
            if key in flat:
                suffix = self._suffixes[key] = free_suffix(flat, key, self._suffixes.get(key, 1) + 1)
                key = f"{key}_{suffix}"
            flat[key] = value


def _numbered(items: list[Any]) -> Iterator[tuple[str, Any]]:
    """The items of a list as fields ``0``, ``1``, …"""
    return ((str(number), item) for number, item in enumerate(items))


def free_name(record: Record, name: str) -> str:
    """``name``, or with the first numeric suffix (``name_2``, ``name_3``, …) that ``record`` has not."""
    return f"{name}_{free_suffix(record, name)}" if name in record else name


def free_suffix(record: Record, name: str, first: int = 2) -> int:
    """The first suffix from ``first`` on that makes ``name`` a name that ``record`` has not."""
    suffix = first
    while f"{name}_{suffix}" in record:
        suffix += 1
    return suffix
