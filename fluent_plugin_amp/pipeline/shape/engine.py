"""Follows a table from an event's fields to the attributes of a schema.  Pure.

A `Plan` is made once from the rows that hold for one class of events.  It walks over the fields of an event: what has
a row goes through the row's converter into the object that the row names; everything else is what is left, under its
own path.  So nothing is lost, whatever the event holds: a value is in the record or in what is left.  Values that say
nothing (null, ``""``, an empty list or object) are in neither.

Objects are assembled from the innermost out.  One that lacks what the schema requires of it is dropped, and what it
was made from is left, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.shape import rules
from fluent_plugin_amp.pipeline.shape.convert import CONVERTERS as VALUES
from fluent_plugin_amp.pipeline.shape.convert_lists import LISTS as LISTS_OF_EVENTS
from fluent_plugin_amp.pipeline.shape.convert_lists import OBJECTS
from fluent_plugin_amp.pipeline.shape.convert_records import LISTS as LISTS_OF_RECORDS
from fluent_plugin_amp.pipeline.shape.convert_records import VALUES as VALUES_OF_RECORDS
from fluent_plugin_amp.pipeline.shape.rules import (
    ANOTHER_WAY,
    KEPT,
    MISFITS,
    OBJECT,
    RECORD,
    UNKNOWN,
    Into,
    Objects,
    Rule,
)

CONVERTERS = {**VALUES, **OBJECTS, **VALUES_OF_RECORDS}
LISTS = {**LISTS_OF_EVENTS, **LISTS_OF_RECORDS}
TYPES: dict[str, frozenset[type]] = {
    "scalar": frozenset((str, int, float, bool)),
    "boolean": frozenset((bool,)),
}
"""Types in which a value may be kept, where the type alone decides."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row: a field of an event, and where it goes."""

    source: str
    target: str = ""
    """Empty: the field is known, and is left."""
    how: str = ""
    """The converter's name, perhaps with ``+ original``."""
    kept: str = ""
    """The converter that tells whether the value is left as well, and otherwise is a misfit."""


class Default(NamedTuple):
    """What an attribute gets where no field gave it: the first of ``sources`` that there is."""

    target: str
    sources: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that hold for one class of events; paths are those of the schema."""

    fields: Sequence[Field]
    constants: Mapping[str, Any]
    """Set in an object that has anything else."""
    defaults: Sequence[Default]
    required: Mapping[str, Sequence[str]]
    """Of an object: one of these attributes."""
    always: Sequence[str]
    """Objects that are made for every event."""


Attach = tuple[int, int, str, Record, bool, bool, Callable[[Any, Objects], bool] | None]
"""How one object gets its place: (object, parent, attribute, constants, is_always, is_item, complete).

It has the constants as soon as it has anything else, and is made even without if ``is_always``.  An item is the only
one of a list.  ``complete`` sets defaults, and is False if the object lacks what is required.  No NamedTuple: Python
takes that apart by an iterator, in four times the time.
"""


class Plan:
    """Where each field of an event goes, for one class of events."""

    def __init__(self, rows: Rows) -> None:
        self._numbers: dict[str, int] = {"": RECORD, "?": UNKNOWN, "!": MISFITS}
        self._is_list = [False, True, False]
        self.rows = rows
        self._insides: dict[str, tuple[list[tuple[str, int]], list[tuple[str, list[str]]]]] = {}
        sources: dict[str, list[Field]] = {}
        for field in rows.fields:
            sources.setdefault(field.source, []).append(field)
        targets: dict[str, set[str]] = {}
        for field in rows.fields:
            targets.setdefault(field.target, set()).add(field.source)
        self._shared = {target for target, given in targets.items() if len(given) > 1}
        for target in rows.constants:
            self.number(_parent(target))
        tree: dict[str, Any] = {}
        for source, fields in sources.items():
            *way, last = _names(source)
            level = tree
            for name in way:
                level = level.setdefault(name, {})
            level[last] = self._rule(fields)
        for path in (*rows.always, *(_parent(default.target) for default in rows.defaults)):
            self.number(path)
        self._rules = self._level(tree, "")
        attach = [*self._attachments()]
        self._attach = tuple(each for each in attach if not self._is_list[each[1]])
        self._attach_to_items = tuple(each for each in attach if self._is_list[each[1]])
        self._paths = {number: path for path, number in self._numbers.items()}

    def number(self, path: str) -> int:
        """Of the object at this path of the schema; made with those around it if it is new."""
        if path not in self._numbers:
            self.number(_parent(path))
            self._numbers[path] = len(self._is_list)
            self._is_list.append(path.endswith("[+]"))
        return self._numbers[path]

    def knows(self, path: str) -> bool:
        """Whether any row leads to this object."""
        return path in self._numbers

    def __call__(self, event: Record, record: Record) -> tuple[Objects, Record, list[str]]:
        """Fill ``record`` from ``event``, which is not changed.

        Returns the objects, what is left of the event, and the paths of the objects that were dropped.
        """
        objects: Objects = [[] if is_list else {} for is_list in self._is_list]
        objects[RECORD] = record
        left = rules.walk(event, self._rules, "", objects) or {}
        dropped = []
        if self._attach_to_items:  # an empty loop costs more than this
            for number, parent, attribute, constants, is_always, is_item, complete in self._attach_to_items:
                made, items = objects[number], objects[parent]
                if made or is_always:
                    if constants:
                        made = objects[number] = {**constants, **made}
                    if (complete is None or complete(made, objects)) and rules.may_repeat(made, items):
                        for item in items:
                            item[attribute] = [made] if is_item else made
                    else:
                        dropped.append(self._paths[number])
        for number, parent, attribute, constants, is_always, is_item, complete in self._attach:
            made = objects[number]
            if made or is_always:
                if constants:
                    made = objects[number] = {**constants, **made}
                if complete is None or complete(made, objects):
                    objects[parent][attribute] = [made] if is_item else made
                else:
                    dropped.append(self._paths[number])
        return objects, left, dropped

    def forget(self, objects: Objects, dropped: Sequence[str]) -> None:
        """Empty the dropped objects, and what is in them."""
        for each in dropped:
            for path, number in self._inside(each)[0]:
                objects[number] = [] if path.endswith("[+]") else {}

    def give_back(self, event: Record, left: Record, dropped: Sequence[str]) -> None:
        """Put into ``left`` what the dropped objects were made from."""
        for each in dropped:
            for source, way in self._inside(each)[1]:
                value: Any = event
                for name in way:
                    value = value.get(name) if type(value) is dict else None
                if not rules.says_nothing(value):
                    rules.put(left, source, value)

    def _inside(self, path: str) -> tuple[list[tuple[str, int]], list[tuple[str, list[str]]]]:
        """The objects in an object, itself included, and the fields that they are made from."""
        if path not in self._insides:
            objects = [(each, number) for each, number in self._numbers.items() if f"{each}.".startswith(f"{path}.")]
            sources = [field.source for field in self.rows.fields if field.target.startswith(f"{path}.")]
            self._insides[path] = objects, [(source, source.split(".")) for source in sources]
        return self._insides[path]

    # --- rules -----------------------------------------------------------------------------------

    def _level(self, tree: Mapping[str, Any], path: str) -> dict[str, Rule | None]:
        return {
            name: (self._level(rule, f"{path}{name}."), OBJECT, f"{path}{name}.", None)
            if type(rule) is dict
            else rule
            for name, rule in tree.items()
        }

    def _rule(self, fields: Sequence[Field]) -> Rule | None:
        """For a field with these rows; None: it is known, and left."""
        kept = next((field.kept for field in fields if field.kept), "")
        source = fields[0].source
        fields = [field for field in fields if field.target]
        if not fields and not kept:
            return None
        types = TYPES.get(kept)
        if not fields and types:
            return None, KEPT, "", types
        if len(fields) == 1 and (types or not kept):
            (field,) = fields
            attribute = _attribute(field.target)
            if field.how in CONVERTERS and attribute != "*" and not attribute.endswith("[+]"):
                return CONVERTERS[field.how], self.number(_parent(field.target)), attribute, types
        into = [self._into(field) for field in fields]
        way = rules.into_several(into) if len(into) > 1 else into[0] if into else None
        if kept:
            way = rules.keep(CONVERTERS[kept], way, source)
        return way, ANOTHER_WAY, "", None

    def _into(self, field: Field) -> Into:
        how, _, also = field.how.partition(" + ")
        parent, attribute = _parent(field.target), _attribute(field.target)
        if how in LISTS:
            return rules.extend(LISTS[how], self.number(field.target))
        convert = CONVERTERS[how]
        if attribute.endswith("[+]"):
            return rules.append(convert, self.number(field.target))
        if attribute == "*":
            merge = rules.merge_once if field.target in self._shared else rules.merge
            into = merge(convert, self.number(parent))
        else:
            into = rules.set_once(convert, self.number(parent), attribute)
        return rules.keep_original(convert, into) if also else into

    # --- objects ---------------------------------------------------------------------------------

    def _attachments(self) -> list[Attach]:
        paths = [path for path in self._numbers if path not in ("", "?", "!")]
        paths.sort(key=lambda path: -path.count("."))
        return [
            (
                self._numbers[path],
                self._numbers[_parent(path)],
                _attribute(path).removesuffix("[+]").removesuffix("[]"),
                {
                    _attribute(target): value
                    for target, value in self.rows.constants.items()
                    if _parent(target) == path
                },
                path in self.rows.always,
                path.endswith("[]"),
                self._complete(path),
            )
            for path in paths
        ]

    def _complete(self, path: str) -> Callable[[Any, Objects], bool] | None:
        defaults = [
            (_attribute(default.target), tuple(self._getter(source) for source in default.sources))
            for default in self.rows.defaults
            if _parent(default.target) == path
        ]
        required = frozenset(self.rows.required.get(path, ()))
        if not defaults and not required:
            return None

        def complete(made: Any, objects: Objects) -> bool:
            for attribute, getters in defaults:
                if attribute not in made:
                    for get in getters:
                        value = get(objects)
                        if value is not None:
                            made[attribute] = value
                            break
            return not required or not required.isdisjoint(made)

        return complete

    def complete_record(self) -> Callable[[Any, Objects], bool]:
        """Sets the defaults of the record itself."""
        return self._complete("") or (lambda made, objects: True)

    def _getter(self, source: str) -> Callable[[Objects], Any]:
        if source.startswith("= "):
            constant = source[2:]
            return lambda objects: constant
        target, _, by = source.partition(" by ")
        convert = CONVERTERS.get(by)
        parent, attribute = _parent(target), _attribute(target)
        of_list = f"{parent.removesuffix('[]')}[+]"
        is_list = of_list in self._numbers
        number = self._numbers.get(of_list if is_list else parent, UNKNOWN)

        def get(objects: Objects) -> Any:
            there = objects[number]
            if is_list or number == UNKNOWN:
                for item in there if is_list else ():
                    if attribute in item:
                        return item[attribute]
                return None
            value = there.get(attribute)
            return convert(value) if convert is not None and value is not None else value

        return get


@cache
def _names(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))  # the classes share them


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _attribute(path: str) -> str:
    return path.rpartition(".")[2]
