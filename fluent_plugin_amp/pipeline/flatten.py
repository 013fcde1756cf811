"""Nested objects into one level of fields, as syslog receivers and Devo's own collectors want them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from fluent_plugin_amp.model import Record

ListMode = Literal["json", "index", "keep"]

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

    def __call__(self, record: Record) -> Record:
        """The flattened copy of ``record``."""
        flat: Record = {}
        self._flatten(record.items(), "", self._levels, flat)
        return flat

    def _flatten(self, fields: Iterable[tuple[str, Any]], prefix: str, levels: int, flat: Record) -> None:
        lists = self._lists
        for name, value in fields:
            key = prefix + name
            kind = type(value)
            if kind is dict:
                if value and levels:
                    self._flatten(value.items(), key + self._separator, levels - 1, flat)
                    continue
                if not value and lists == "json":
                    value = "{}"
            elif kind is list and lists != "keep":
                if lists == "json":
                    value = _encode_json(value).decode()
                elif value and levels:
                    self._flatten(_numbered(value), key + self._separator, levels - 1, flat)
                    continue
            if key in flat:
                key = free_name(flat, key)
            flat[key] = value


def _numbered(items: list[Any]) -> Iterator[tuple[str, Any]]:
    """The items of a list as fields ``0``, ``1``, …"""
    return ((str(number), item) for number, item in enumerate(items))


def free_name(record: Record, name: str) -> str:
    """``name``, or with the first numeric suffix (``name_2``, ``name_3``, …) that ``record`` has not."""
    if name not in record:
        return name
    suffix = 2
    while f"{name}_{suffix}" in record:
        suffix += 1
    return f"{name}_{suffix}"
