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
from typing import Any, NamedTuple

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.shape.convert import CONVERTERS, LISTS

Objects = list[Any]
"""Those under construction; a `Plan` numbers them.  0 is the record; 1 lists the paths of fields without a row."""

Into = Callable[[Any, Objects], Any]
"""(value, objects) → what is left of the value; None: nothing."""

Rule = tuple[Callable[[Any], Any] | Into, int, str | None]
"""(converter, object, attribute), or (an `Into`, -1, None)."""

RECORD, UNKNOWN = 0, 1
_NO_ROW: Any = (None, -2, None)


@dataclass(frozen=True, slots=True)
class Field:
    """One row: a field of an event, and where it goes."""

    source: str
    target: str = ""
    """Empty: the field is known, and is left."""
    how: str = ""
    """The converter's name, perhaps with ``+ original``."""


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


class Attach(NamedTuple):
    """How one object gets its place."""

    object: int
    parent: int
    attribute: str
    least: int
    """It has constants only, if it has no more attributes than this."""
    is_item: bool
    """It is the one item of a list."""
    complete: Callable[[Any, Objects], bool] | None
    """Sets defaults; False: it lacks what is required."""


class Plan:
    """See the module."""

    def __init__(self, rows: Rows) -> None:
        self._numbers: dict[str, int] = {"": RECORD, "?": UNKNOWN}
        self._templates: list[Any] = [{}, []]
        self._rows = rows
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
            *way, last = source.split(".")
            level = tree
            for name in way:
                level = level.setdefault(name, {})
            level[last] = self._rule([field for field in fields if field.target])
        for target, value in rows.constants.items():
            self._templates[self.number(_parent(target))][_attribute(target)] = value
        for path in (*rows.always, *(_parent(default.target) for default in rows.defaults)):
            self.number(path)
        self._rules = self._level(tree, "")
        self._attach = tuple(self._attachments())
        self._paths = {number: path for path, number in self._numbers.items()}

    def number(self, path: str) -> int:
        """Of the object at this path of the schema; made with those around it if it is new."""
        if path not in self._numbers:
            self.number(_parent(path))
            self._numbers[path] = len(self._templates)
            self._templates.append([] if path.endswith("[+]") else {})
        return self._numbers[path]

    def knows(self, path: str) -> bool:
        """Whether any row leads to this object."""
        return path in self._numbers

    def __call__(self, event: Record, record: Record) -> tuple[Objects, Record, list[str]]:
        """Fill ``record`` from ``event``, which is not changed.

        Returns the objects, what is left of the event, and the paths of the objects that were dropped.
        """
        objects: Objects = [template.copy() for template in self._templates]
        objects[RECORD] = record
        left = _walk(event, self._rules, "", objects) or {}
        dropped = []
        for number, parent, attribute, least, is_item, complete in self._attach:
            made = objects[number]
            if len(made) > least:
                if complete is None or complete(made, objects):
                    objects[parent][attribute] = [made] if is_item else made
                else:
                    dropped.append(self._paths[number])
        return objects, left, dropped

    def forget(self, objects: Objects, dropped: Sequence[str]) -> None:
        """Empty the dropped objects, and what is in them."""
        for path, number in self._numbers.items():
            if any(path == each or path.startswith(f"{each}.") for each in dropped):
                objects[number] = [] if path.endswith("[+]") else {}

    def give_back(self, event: Record, left: Record, dropped: Sequence[str]) -> None:
        """Put into ``left`` what the dropped objects were made from."""
        for field in self._rows.fields:
            if any(field.target == path or field.target.startswith(f"{path}.") for path in dropped):
                value: Any = event
                for name in field.source.split("."):
                    value = value.get(name) if type(value) is dict else None
                if not _says_nothing(value):
                    put(left, field.source, value)

    # --- rules -----------------------------------------------------------------------------------

    def _level(self, tree: Mapping[str, Any], path: str) -> dict[str, Rule | None]:
        return {
            name: (_into_object(self._level(rule, f"{path}{name}."), f"{path}{name}."), -1, None)
            if type(rule) is dict
            else rule
            for name, rule in tree.items()
        }

    def _rule(self, fields: Sequence[Field]) -> Rule | None:
        """For a field with these rows; None: it is known, and left."""
        if not fields:
            return None
        if len(fields) == 1:
            (field,) = fields
            parent, attribute = _parent(field.target), _attribute(field.target)
            is_plain = field.how in CONVERTERS and attribute != "*" and not attribute.endswith("[+]")
            if is_plain and field.target not in self._shared:
                return CONVERTERS[field.how], self.number(parent), attribute
            return self._into(field), -1, None
        return _into_several([self._into(field) for field in fields]), -1, None

    def _into(self, field: Field) -> Into:
        how, _, also = field.how.partition(" + ")
        attribute = _attribute(field.target)
        if how in LISTS:
            return _extend(LISTS[how], self.number(field.target))
        convert = CONVERTERS[how]
        if attribute.endswith("[+]"):
            return _append(convert, self.number(field.target))
        if attribute == "*":
            into = _merge(convert, self.number(_parent(field.target)))
        else:
            into = _set_once(convert, self.number(_parent(field.target)), attribute)
        return _keep_original(convert, into) if also else into

    # --- objects ---------------------------------------------------------------------------------

    def _attachments(self) -> list[Attach]:
        paths = [path for path in self._numbers if path not in ("", "?")]
        paths.sort(key=lambda path: -path.count("."))
        return [
            Attach(
                self._numbers[path],
                self._numbers[_parent(path)],
                _attribute(path).removesuffix("[+]").removesuffix("[]"),
                -1 if path in self._rows.always else len(self._templates[self._numbers[path]]),
                path.endswith("[]"),
                self._complete(path),
            )
            for path in paths
        ]

    def _complete(self, path: str) -> Callable[[Any, Objects], bool] | None:
        defaults = [
            (_attribute(default.target), tuple(self._getter(source) for source in default.sources))
            for default in self._rows.defaults
            if _parent(default.target) == path
        ]
        required = tuple(self._rows.required.get(path, ()))
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
            return not required or any(name in made for name in required)

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


# --- walking over an event -------------------------------------------------------------------------


def _walk(source: Record, rules: Mapping[str, Rule | None], path: str, objects: Objects) -> Record | None:
    """What is left of ``source`` when everything that has a rule went its way; None: nothing."""
    left: Record | None = None
    for name, value in source.items():
        rule = rules.get(name, _NO_ROW)
        if rule is not None:
            convert, number, attribute = rule
            if number >= 0:
                made = convert(value)
                if made is not None:
                    objects[number][attribute] = made
                    continue
            elif number == -1:
                value = convert(value, objects)
                if value is None:
                    continue
            else:
                objects[UNKNOWN].append(path + name)
        if value or not _says_nothing(value):
            if left is None:
                left = {}
            left[name] = value
    return left


def _says_nothing(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def _into_object(rules: Mapping[str, Rule | None], path: str) -> Into:
    def into(value: Any, objects: Objects) -> Any:
        return _walk(value, rules, path, objects) if type(value) is dict else value

    return into


def _into_several(all_of: Sequence[Into]) -> Into:
    def into(value: Any, objects: Objects) -> Any:
        left = [each(value, objects) for each in all_of]
        return None if None in left else value

    return into


def _set_once(convert: Callable[[Any], Any], number: int, attribute: str) -> Into:
    """For an attribute of several fields: what differs from the first is left."""

    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None or objects[number].setdefault(attribute, made) != made:
            return value
        return None

    return into


def _merge(convert: Callable[[Any], Any], number: int) -> Into:
    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None:
            return value
        objects[number].update(made)
        return None

    return into


def _append(convert: Callable[[Any], Any], number: int) -> Into:
    def into(value: Any, objects: Objects) -> Any:
        made = convert(value)
        if made is None:
            return value
        objects[number].append(made)
        return None

    return into


def _extend(convert: Callable[[Any], tuple[list[Any], bool]], number: int) -> Into:
    """Items that are there already are not added again."""

    def into(value: Any, objects: Objects) -> Any:
        made, is_all = convert(value)
        there = objects[number]
        if there:
            made = [item for item in made if item not in there]
        there.extend(made)
        return None if is_all else value

    return into


def _keep_original(convert: Callable[[Any], Any], into: Into) -> Into:
    def and_keep(value: Any, objects: Objects) -> Any:
        left = into(value, objects)
        return value if left is not None or convert(value) != value else None

    return and_keep


# --- paths -----------------------------------------------------------------------------------------


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _attribute(path: str) -> str:
    return path.rpartition(".")[2]


def put(record: Record, path: str, value: Any) -> None:
    """Set the value at a path; what is in the way is kept."""
    *way, last = path.split(".")
    for name in way:
        inside = record.setdefault(name, {})
        if type(inside) is not dict:
            return
        record = inside
    record[last] = value
