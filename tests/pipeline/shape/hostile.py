"""Events with values that Cisco does not send, and the question whether a record lost any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import Any

Record = dict[str, Any]

VALUES: tuple[Any, ...] = (
    *(None, "", "***", [], {}, 0, -1, 2**31, 2**63, 1e300, True, "x", "\x00😀", "Not Available", "ä" * 300),
    *(
        [None],
        [{}],
        ["***"],
        [[]],
        {"a": "b1"},
        [{"ip": "***", "mac": 7}],
        "10.0.0.999",
        "T1.1",
        "a\\",
        "@b",
        "\\\\?\\",
    ),
    *(
        "\\\\?\\",
        [{"cve": "CVE-1"}],
        [{"score": "x"}],
        [{"name": "n1"}, {"name": "n2"}],
        "file:///%00",
        "/C:/",
        "C:\\a\\",
    ),
)

NAMES = ("new", "last_seen", "first_seen", "event_ids", "event_types", "incident_id", "stream", "related", "unmapped")
"""Fields that an event of Cisco's does not have; combined records have some of them."""


def hostile(value: Any, random: Random, rate: float = 0.08) -> Any:
    """A copy in which some values, at any depth, are others, or are missing."""
    if random.random() < rate:
        return random.choice(VALUES)
    if isinstance(value, dict):
        changed = {name: hostile(item, random, rate) for name, item in value.items() if random.random() > rate / 2}
        return changed | {random.choice(NAMES): random.choice(VALUES)} if random.random() < rate else changed
    if isinstance(value, list):
        return [hostile(item, random, rate) for item in value]
    return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that says something, and where it is."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[{number}]")
    elif value is not None and value != "":
        yield path, value


def words(value: Any) -> list[str]:
    """A value as words and numbers, however it is written."""
    return re.findall(r"\w+", str(value).lower())


def lost(event: Record, mapped: Record, unmapped: Record, milliseconds: int) -> list[str]:
    """The paths of an event's values that are neither in what is unmapped, in their place, nor in what is mapped."""
    kept = {(path, repr(value)) for path, value in leaves(unmapped)}
    whole = {repr(value) for _, value in leaves(mapped)}
    there = {word for _, value in leaves(mapped) for word in words(value)}
    missing = []
    for path, value in leaves(event):
        if (path, repr(value)) in kept or repr(value) in whole or (words(value) and set(words(value)) <= there):
            continue
        if path == ".timestamp" and milliseconds // 1000 == value:
            continue
        if path == ".timestamp_nanoseconds" and milliseconds % 1000 * 1_000_000 == value:
            continue
        if type(value) is int and str(value * 1000) in there:
            continue
        missing.append(f"{path}: {value!r}")
    return missing
