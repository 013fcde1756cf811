"""A receiver that reads numbers as doubles has every id as Cisco wrote it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.ids import EXACT, MOST_BITS, ids_as_texts

JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_an_event() -> None:
    """Its id is a text whatever its size; other numbers stay numbers while they are exact."""
    event = {"id": 7, "timestamp": 1557506167, "event_ids": [1, None, 2**60], "scan": {"files": [EXACT, EXACT + 1]}}
    assert ids_as_texts(event) == {
        "id": "7",
        "timestamp": 1557506167,
        "event_ids": ["1", None, str(2**60)],
        "scan": {"files": [EXACT, str(EXACT + 1)]},
    }


def test_an_id_that_is_none() -> None:
    """Cisco leaves it out, or writes a text, in some kinds of events: both stay; so does a true."""
    assert ids_as_texts({"id": None, "event_ids": "x", "a": True}) == {"id": None, "event_ids": "x", "a": True}
    assert ids_as_texts({"id": True, "event_ids": [True]}) == {"id": True, "event_ids": [True]}


def test_a_number_that_is_no_id_stays_one() -> None:
    """Of 32 MB of numbers with 4,000 digits the texts took seconds."""
    longest = 2**MOST_BITS - 1
    event = {"id": longest + 1, "event_ids": [-longest, longest, 10**4000], "x": [longest, -longest - 1]}
    assert ids_as_texts(event) == {
        "id": longest + 1,
        "event_ids": [str(-longest), str(longest), 10**4000],
        "x": [str(longest), -longest - 1],
    }


def numbers(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Every integer, by its path."""
    if type(value) is dict:
        return {at: each for name, item in value.items() for at, each in numbers(item, (*path, name)).items()}
    if type(value) is list:
        return {at: each for place, item in enumerate(value) for at, each in numbers(item, (*path, place)).items()}
    return {path: value} if type(value) is int else {}


@given(st.dictionaries(st.text() | st.sampled_from(["id", "event_ids"]), JSON))
def test_nothing_is_rounded_and_nothing_else_changes(event: dict[str, Any]) -> None:
    """Read as doubles, the record has the same integers; written as JSON, only quotes came in."""
    before = json.loads(json.dumps(event))
    made = ids_as_texts(event)
    as_doubles = json.loads(json.dumps(made), parse_int=lambda text: int(float(text)))
    assert numbers(as_doubles) == {path: number for path, number in numbers(before).items() if path in numbers(made)}
    for path, number in numbers(before).items():
        found: Any = made
        for step in path:
            found = found[step]
        assert str(found) == str(number)
        assert type(found) is str or -EXACT <= number <= EXACT
    assert json.dumps(made).replace('"', "") == json.dumps(before).replace('"', "")
