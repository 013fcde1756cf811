"""Flattening joins names and loses nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.flatten import Flattener, ListMode, free_name

EVENT = {
    "id": 6533241145273614340,
    "file": {"disposition": "Malicious", "identity": {"sha256": "ab"}},
    "group_guids": ["g1", "g2"],
    "network_addresses": [{"ip": "10.0.0.1", "mac": ""}],
    "nothing": {},
    "none": [],
}


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (
            "keep",
            {
                "group_guids": ["g1", "g2"],
                "network_addresses": [{"ip": "10.0.0.1", "mac": ""}],
                "nothing": {},
                "none": [],
            },
        ),
        (
            "json",
            {
                "group_guids": '["g1","g2"]',
                "network_addresses": '[{"ip":"10.0.0.1","mac":""}]',
                "nothing": "{}",
                "none": "[]",
            },
        ),
        (
            "index",
            {
                "group_guids_0": "g1",
                "group_guids_1": "g2",
                "network_addresses_0_ip": "10.0.0.1",
                "network_addresses_0_mac": "",
                "nothing": {},
                "none": [],
            },
        ),
    ],
)
def test_what_becomes_of_lists(lists: ListMode, expected: dict[str, Any]) -> None:
    """Lists stay, become text, or become a field for each item; empty containers are kept as values."""
    common = {"id": 6533241145273614340, "file_disposition": "Malicious", "file_identity_sha256": "ab"}
    assert Flattener(lists=lists)(EVENT) == {**common, **expected}


def test_depth_limits_the_joined_levels() -> None:
    """With a depth of 1 two names are joined, and what lies deeper stays nested."""
    event = {"a": {"b": {"c": 1}}, "d": 2}
    assert Flattener(depth=0)(event) == event
    assert Flattener(depth=1)(event) == {"a_b": {"c": 1}, "d": 2}
    assert Flattener(depth=2)(event) == {"a_b_c": 1, "d": 2}


def test_an_item_of_a_list_is_a_level_too() -> None:
    """Where items become fields, their number counts against the depth like a name."""
    event = {"a": [[1, 2]]}
    assert Flattener(lists="index", depth=1)(event) == {"a_0": [1, 2]}
    assert Flattener(lists="index", depth=2)(event) == {"a_0_0": 1, "a_0_1": 2}


def test_colliding_names_are_both_kept() -> None:
    """The later of two fields that come to one name gets the first free suffix."""
    event = {"a_b": 1, "a": {"b": 2}, "a_b_2": 3}
    assert Flattener()(event) == {"a_b": 1, "a_b_2": 2, "a_b_2_2": 3}


def test_the_event_itself_is_not_changed() -> None:
    """The flattened record is a copy."""
    before = json.dumps(EVENT)
    for lists in ("keep", "json", "index"):
        Flattener(lists=lists)(EVENT)
    assert json.dumps(EVENT) == before


def test_free_name_finds_the_first_gap() -> None:
    """name, then name_2, name_3, … whatever is free."""
    assert free_name({}, "a") == "a"
    assert free_name({"a": 1}, "a") == "a_2"
    assert free_name({"a": 1, "a_2": 1, "a_4": 1}, "a") == "a_3"


names = st.text("ab_0.2", max_size=3)
leaves = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text("xyz", max_size=2)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=15,
)
events = st.dictionaries(names, values, max_size=5)
separators = st.sampled_from(["_", ".", "", "__"])


def leaves_of(value: Any) -> list[str]:
    """All scalars and empty containers within ``value``, exact in type."""
    if isinstance(value, dict) and value:
        return [leaf for inner in value.values() for leaf in leaves_of(inner)]
    if isinstance(value, list) and value:
        return [leaf for inner in value for leaf in leaves_of(inner)]
    return [repr(value)]


@given(
    event=events,
    separator=separators,
    lists=st.sampled_from(["keep", "index"]),
    depth=st.none() | st.integers(0, 4),
)
def test_no_value_is_lost(event: dict[str, Any], separator: str, lists: ListMode, depth: int | None) -> None:
    """Every leaf of the event is in the flat record, as often as before, and names are strings."""
    flat = Flattener(separator, lists, depth)(event)
    assert sorted(leaves_of(flat)) == sorted(leaves_of(event))
    assert {type(name) for name in flat} <= {str}


@given(event=events, separator=separators)
def test_lists_as_json_are_whole(event: dict[str, Any], separator: str) -> None:
    """Each list's text decodes to the list, and nothing nested remains."""
    flat = Flattener(separator, "json")(event)
    assert not any(isinstance(value, dict | list) for value in flat.values())
    expected = [leaf for value in event.values() for leaf in text_leaves(value)]
    assert sorted(expected) == sorted(json.dumps(unpack(value)) for value in flat.values())


def unpack(value: Any) -> Any:
    """The container behind a text, or the value itself; the leaves have no brackets."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


def text_leaves(value: Any) -> list[str]:
    """What a flat record with lists as JSON holds."""
    if isinstance(value, dict) and value:
        return [leaf for inner in value.values() for leaf in text_leaves(inner)]
    return [json.dumps(value)]


@given(event=events, separator=separators)
def test_index_leaves_one_level(event: dict[str, Any], separator: str) -> None:
    """With `index` and no depth nothing but empty containers remains."""
    flat = Flattener(separator, "index")(event)
    assert not any(isinstance(value, dict | list) and value for value in flat.values())
