"""How the values of an event go their ways: what a `Plan` is compiled to.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fluent_plugin_amp.model import Record

Objects = list[Any]
"""Those under construction; a plan numbers them.  The first three have a meaning of their own."""

MAX_REPEATED_CHARACTERS = 256 * 1024
"""Of what stands in each item of a list: a long text in many items multiplies, once it is packed."""

MAX_COMPARED = 10_000
"""Pairs of items; of longer lists, which only a hostile event has, what comes twice is there twice."""

RECORD, UNKNOWN, MISFITS = 0, 1, 2
"""The record; the paths of fields without a row; values that do not fit the type under which they would be kept."""

CHARACTERS = 100
"""Of a value that is no text, such as a hash."""

Convert = Callable[[Any], Any]
"""None: it does not take this value."""

Into = Callable[[Any, Objects], Any]
"""(value, objects) → what is left of the value; None: nothing."""

Rule = tuple[Any, int, Any, frozenset[type] | None]
"""(`Convert`, object, attribute, types): the first field gives an attribute; a value of these types is left as well;
(`Into`, `ANOTHER_WAY`, "", None); (None, `KEPT`, "", types): left if it is of these;
(the rules within, `OBJECT`, their path, None)."""

ANOTHER_WAY = -1
OBJECT = -2
KEPT = -3
_NO_ROW: Rule = (None, -4, "", None)


def walk(source: Record, rules: Mapping[str, Rule | None], path: str, objects: Objects) -> Record | None:
    """What is left of ``source`` when everything that has a rule went its way; None: nothing.

    A field whose rule is None is known, and left.
    """
    left: Record = {}
    for name, value in source.items():
        rule = rules.get(name, _NO_ROW)
        if rule is not None:
            convert, number, attribute, types = rule
            if number >= 0:
                made = convert(value)
                is_taken = made is not None and objects[number].setdefault(attribute, made) == made
                if types is None:
                    if is_taken:
                        continue
                elif type(value) not in types:
                    if not is_taken:
                        put_aside(value, path + name, objects)
                    continue
            elif number == ANOTHER_WAY:
                value = convert(value, objects)
                if value is None:
                    continue
            elif number == OBJECT:
                if type(value) is dict:
                    value = walk(value, convert, attribute, objects)
                    if value is None:
                        continue
            elif number == KEPT:
                if type(value) not in types:  # type: ignore[operator]
                    put_aside(value, path + name, objects)
                    continue
            else:
                objects[UNKNOWN].append(path + name)
        if value or not says_nothing(value):
            left[name] = value
    return left or None


def put_aside(value: Any, path: str, objects: Objects) -> None:
    """A misfit."""
    if not says_nothing(value):
        put(objects[MISFITS], path, value)


def says_nothing(value: Any) -> bool:
    """It is null, an empty text, list or object."""
    return value is None or value == "" or value == [] or value == {}


def may_repeat(made: Record, items: Sequence[Any]) -> bool:
    """Whether each of the items can have this; not if there are none."""
    characters = sum(len(value) if type(value) is str else CHARACTERS for value in made.values())
    return bool(items) and characters * len(items) <= MAX_REPEATED_CHARACTERS


def into_several(all_of: Sequence[Into]) -> Into:
    """To all of these; nothing is left if one of them takes it."""

    def into(value: Any, objects: Objects) -> Any:
        left = value
        for each in all_of:
            if each(value, objects) is None:
                left = None
        return left

    return into


def set_once(convert: Convert, number: int, attribute: str) -> Into:
    """For an attribute of several fields: what differs from the first is left."""

    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None or objects[number].setdefault(attribute, made) != made:
            return value
        return None

    return into


def merge(convert: Convert, number: int) -> Into:
    """What is made is several attributes."""

    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None:
            return value
        objects[number].update(made)
        return None

    return into


def append(convert: Convert, number: int) -> Into:
    """What is made is one item of a list."""

    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None:
            return value
        objects[number].append(made)
        return None

    return into


def extend(convert: Callable[[Any], tuple[list[Any], bool]], number: int) -> Into:
    """What is made is items of a list; those that are there already are not added again."""

    def into(value: Any, objects: Objects) -> Any:
        made, is_all = convert(value)
        there = objects[number]
        if there and len(there) * len(made) <= MAX_COMPARED:
            made = [item for item in made if item not in there]
        there.extend(made)
        return None if is_all else value

    return into


def keep_original(convert: Convert, into: Into) -> Into:
    """A value that was changed is left as well."""

    def and_keep(value: Any, objects: Objects) -> Any:
        left = into(value, objects)
        return value if left is not None or convert(value) != value else None

    return and_keep


def merge_once(convert: Convert, number: int) -> Into:
    """For attributes of several fields: a value that differs from the first is left."""

    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None:
            return value
        there = objects[number]
        left = None
        for name, each in made.items():
            if there.setdefault(name, each) != each:
                left = value
        return left

    return into


def keep(fits: Convert, into: Into | None, path: str) -> Into:
    """The value is left if it fits the type of the field that keeps it; a misfit that nobody takes is put aside."""

    def and_keep(value: Any, objects: Objects) -> Any:
        is_taken = into is not None and into(value, objects) is None
        if fits(value) is not None:
            return value
        if not is_taken:
            put_aside(value, path, objects)
        return None

    return and_keep


def put(record: Record, path: str, value: Any) -> None:
    """Set the value at a path; what is in the way stays."""
    *way, last = path.split(".")
    for name in way:
        inside = record.setdefault(name, {})
        if type(inside) is not dict:
            return
        record = inside
    record[last] = value
