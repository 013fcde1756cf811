"""Hostile bodies: each is what it says, by a judge that has nothing in common with the plugin's decoder."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from fluent_plugin_amp import errors
from fluent_plugin_amp.testing.hostile import LARGE_BYTES, HostileBody, hostile_bodies

DEEPEST = 60
MOST_VALUES = 250_000


def refuse(constant: str) -> None:
    """NaN and Infinity are no JSON, although the standard library reads them."""
    raise ValueError(constant)


def leaves(value: Any, depth: int = 0) -> list[tuple[Any, int]]:
    """Every scalar, key and empty container with the number of containers around it; without recursion."""
    found, waiting = [], [(value, depth)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, dict):
            waiting += [(inner, level + 1) for pair in item.items() for inner in pair]
        elif isinstance(item, list):
            waiting += [(inner, level + 1) for inner in item]
        found.append((item, level + isinstance(item, dict | list)))
    return found


def judge(body: bytes) -> str | None:
    """The id of the error that a body deserves."""
    try:
        event = json.loads(body.decode("utf-8"), parse_constant=refuse)
    except ValueError:
        return "event.not-json"
    except RecursionError:
        return "event.too-deep"
    if not isinstance(event, dict):
        return "event.not-object"
    values = leaves(event)
    if any(isinstance(value, float) and math.isinf(value) for value, _ in values):
        return "event.not-json"
    if any(isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value) for value, _ in values):
        return "event.not-json"
    if max(level for _, level in values) > DEEPEST:
        return "event.too-deep"
    if len(values) > MOST_VALUES:
        return "event.too-many-values"
    if any(isinstance(value, int) and not -(2**63) <= value < 2**64 for value, _ in values):
        return "event.integer-too-large"
    return None


@pytest.mark.parametrize("hostile", hostile_bodies(), ids=lambda hostile: hostile.name)
def test_it_is_what_it_says(hostile: HostileBody) -> None:
    """Valid, or invalid for the reason given."""
    assert judge(hostile.body) == hostile.error_id


def test_names_are_unique_and_errors_exist() -> None:
    """Names serve as test ids; error ids are those of the error reference."""
    bodies = hostile_bodies()
    assert len({hostile.name for hostile in bodies}) == len(bodies)
    assert len({hostile.body for hostile in bodies}) == len(bodies)
    known = {
        error.id
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.InvalidEvent)
    }
    not_of_a_body = {"event.invalid", "event.refused-by-server", "event.processing-failed"}
    assert {hostile.error_id for hostile in bodies} - {None} == known - not_of_a_body


def test_the_list_ends_with_the_large_one() -> None:
    """So that it can be left out by who has no time for it."""
    assert len(hostile_bodies()[-1].body) > LARGE_BYTES
    assert all(len(hostile.body) <= LARGE_BYTES for hostile in hostile_bodies()[:-1])
