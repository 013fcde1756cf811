"""How values go their ways: each is in an object, in what is left, or among the misfits."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape import rules
from fluent_plugin_amp.pipeline.shape.convert import id_text, long, text, user
from fluent_plugin_amp.pipeline.shape.convert_lists import texts
from fluent_plugin_amp.pipeline.shape.rules import ANOTHER_WAY, KEPT, MISFITS, OBJECT, UNKNOWN, Into, Objects, Rule

MADE, LIST = 3, 4
SCALAR = frozenset((str, int))


def objects() -> Objects:
    """The record, paths without a row, misfits, one object and one list."""
    return [{}, [], {}, {}, []]


def walk(rule: Rule | None, *values: Any) -> tuple[Any, Objects]:
    """What is left of the values, which have one rule, and the objects."""
    there = objects()
    record = {f"a{number}": value for number, value in enumerate(values)}
    return rules.walk(record, dict.fromkeys(record, rule), "p.", there), there


def test_the_first_field_gives_an_attribute() -> None:
    """Another one with the same value gives it, too; a different value is left, and one that does not convert."""
    left, there = walk((text, MADE, "name", None), "x", "x", "y", 7, "", None)
    assert left == {"a2": "y", "a3": 7}
    assert there[MADE] == {"name": "x"}


def test_a_value_that_is_kept_as_well() -> None:
    """If it has the type; a misfit is put aside, unless it was taken or says nothing."""
    left, there = walk((id_text, MADE, "id", frozenset((str,))), 7, "7", "8", 9, None)
    assert left == {"a1": "7", "a2": "8"}
    assert there[MADE] == {"id": "7"}
    assert there[MISFITS] == {"p": {"a3": 9}}


def test_known_and_unknown_fields() -> None:
    """Both are left; the paths of those without a row are told."""
    left, there = walk(None, "x", "", [], {})
    assert (left, there[UNKNOWN]) == ({"a0": "x"}, [])
    assert rules.walk({"b": 0, "c": None}, {}, "p.", there) == {"b": 0}
    assert there[UNKNOWN] == ["p.b", "p.c"]


def test_kept_values() -> None:
    """Of the types they are left; others are misfits."""
    left, there = walk((None, KEPT, "", SCALAR), "x", [1], [])
    assert (left, there[MISFITS]) == ({"a0": "x"}, {"p": {"a1": [1]}})


def test_objects() -> None:
    """Their fields have rules of their own; what should be an object and is none is left."""
    within: dict[str, Rule] = {"b": (text, MADE, "b", None)}
    left, there = walk((within, OBJECT, "p.a.", None), {"b": "x"}, {"b": 7}, "x")
    assert left == {"a1": {"b": 7}, "a2": "x"}
    assert there[MADE] == {"b": "x"}


def go(into: Into, *values: Any) -> tuple[list[Any], Objects]:
    """What is left of each value, and the objects."""
    there = objects()
    return [rules.walk({"a": value}, {"a": (into, ANOTHER_WAY, "", None)}, "", there) for value in values], there


def test_to_several() -> None:
    """Nothing is left if one of them takes it."""
    into = rules.into_several([rules.set_once(text, MADE, "a"), rules.set_once(id_text, MADE, "b")])
    left, there = go(into, "x", 7, None)
    assert left == [None, {"a": 7}, None]
    assert there[MADE] == {"a": "x", "b": "x"}


@pytest.mark.parametrize("merge", [rules.merge, rules.merge_once])
def test_several_attributes(merge: Any) -> None:
    """Where they are of several fields, what differs from the first is left."""
    left, there = go(merge(user, MADE), "ada@a", "ada@b", 7)
    is_once = merge is rules.merge_once
    assert left == [None, {"a": "ada@b"} if is_once else None, {"a": 7}]
    assert there[MADE] == {"name": "ada", "domain": "a" if is_once else "b"}


def test_items() -> None:
    """One, or several; those that are there already are not added again, unless the lists are very long."""
    assert go(rules.append(text, LIST), "x", 7)[1][LIST] == ["x"]
    left, there = go(rules.extend(texts, LIST), ["x", "y"], ["y", 7], ["z"])
    assert left == [None, {"a": ["y", 7]}, None]
    assert there[LIST] == ["x", "y", "z"]
    many = ["x"] * rules.MAX_COMPARED
    assert go(rules.extend(texts, LIST), many, ["x"], ["x", "x"])[1][LIST] == [*many, "x", "x"]


def test_the_original() -> None:
    """It is left where it was changed."""
    left, there = go(rules.keep_original(id_text, rules.set_once(id_text, MADE, "id")), "7", 7, [1])
    assert left == [None, {"a": 7}, {"a": [1]}]
    assert there[MADE] == {"id": "7"}


def test_a_value_that_fits() -> None:
    """It is left; a misfit is put aside if no one took it."""
    left, there = go(rules.keep(long, rules.set_once(id_text, MADE, "id"), "q.a"), 7, 2**63, "7", "")
    assert left == [{"a": 7}, None, None, None]
    assert there[MISFITS] == {"q": {"a": 2**63}}
    left, there = go(rules.keep(long, None, "q.a"), 7, "7")
    assert (left, there[MISFITS]) == ([{"a": 7}, None], {"q": {"a": "7"}})


def test_what_each_item_may_have() -> None:
    """Not a long text, and nothing where there is no item."""
    assert rules.may_repeat({"a": "x", "b": {}}, [1, 2])
    assert not rules.may_repeat({"a": "x"}, [])
    assert not rules.may_repeat({"a": "x" * rules.MAX_REPEATED_CHARACTERS}, [1, 2])


def test_what_is_in_the_way_stays() -> None:
    """A value cannot be put into a text."""
    record: dict[str, Any] = {"a": "x"}
    rules.put(record, "a.b", 1)
    rules.put(record, "c.d", 1)
    assert record == {"a": "x", "c": {"d": 1}}
