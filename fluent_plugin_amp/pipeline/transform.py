"""What the configuration asks to do with an event, compiled once for each stream.  Pure.

The order is fixed: drop_event_types, names, obfuscate, links, add, pulling_id, tag, shape, ids, flatten, serialize.
The tag is taken from the event as Cisco named its fields, before it is shaped and flattened.  What names, add and
pulling_id gave is set aside while the event is shaped, and is at the top of the record again: it is no part of what
Cisco sent.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.asking import Asker
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.flatten import Flattener, free_name
from fluent_plugin_amp.pipeline.ids import ids_as_texts
from fluent_plugin_amp.pipeline.links import FIELD as LINKS_FIELD
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.names import FIELD as NAMES_FIELD
from fluent_plugin_amp.pipeline.names import Naming
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation
from fluent_plugin_amp.pipeline.shape.drift import Drift
from fluent_plugin_amp.pipeline.tags import MAX_TAGS, Tags, compile_tag

PULLING_ID = "@devo_pulling_id"

AFTER_TAG = frozenset({"shape", "ids", "flatten", "serialize"})
"""The steps that come after the tag, which is made of fields as Cisco wrote them."""

SHAPING = AFTER_TAG | {"add"}
"""The steps that a combined record takes, too: it gets the form of its stream's events."""

Change = Callable[[Record, float], Record]
"""(record, when it arrived or was polled) → the record that goes on: the same one, changed in place, or another."""


class Schema(Protocol):
    """Makes records of a public schema, as ``shape`` asks."""

    drift: Drift

    def __call__(self, record: Record, received_at: float, /) -> Record:
        """A `Change`."""


_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Step:
    """What one step made of an event: for `explain`."""

    name: str
    record: Record | None
    """None: the step dropped the event."""


@dataclass(frozen=True)
class Transform:
    """One stream's steps.

    Call it with a decoded event and when it arrived or was polled (seconds since the epoch): ``(tag, record)``, or
    None when the event is dropped.  The event given may be changed in place.
    """

    stream: str
    tag: str = "edr.cisco.amp.events"
    max_tags: int = MAX_TAGS
    drop_event_types: frozenset[int] = frozenset()
    names: Naming | None = None
    obfuscate: Obfuscation | None = None
    links: Links | None = None
    add: Mapping[str, Any] = field(default_factory=dict)
    pulling_id: bool = False
    schema: Schema | None = None
    ids_as_texts: bool = False
    flatten: Flattener | None = None
    serialize: str | None = None
    combine: MemberMaker | None = None
    """Makes an event's part in combined records, before anything else is done with it."""
    ask: Asker | None = None
    """Tells whether an event asks for a hunt, likewise."""

    _tag: str | Tags = field(init=False, repr=False, compare=False)
    _steps: tuple[tuple[str, Change], ...] = field(init=False, repr=False, compare=False)
    """Those that change an event, as configured."""
    _before_tag: tuple[Change, ...] = field(init=False, repr=False, compare=False)
    _after_tag: tuple[Change, ...] = field(init=False, repr=False, compare=False)
    _of_combined: tuple[Change, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        added = [*self.add]
        of_combined = tuple(change for name, change in self._configured(added) if name in SHAPING)
        steps = tuple(self._configured([*added, PULLING_ID] if self.pulling_id else added))
        compiled = {
            "_tag": compile_tag(self.tag, self.stream, self.max_tags),
            "_steps": steps,
            "_before_tag": tuple(change for name, change in steps if name not in AFTER_TAG),
            "_after_tag": tuple(change for name, change in steps if name in AFTER_TAG),
            "_of_combined": of_combined,
        }
        for name, value in compiled.items():
            object.__setattr__(self, name, value)

    def _configured(self, added: Sequence[str]) -> Iterator[tuple[str, Change]]:
        """In the order in which they are done; each is listed here, and nowhere else.

        ``added``: names of the fields that a record was given last when it is shaped.
        """
        if self.names is not None:
            yield "names", _add_names(self.names)
        if self.obfuscate is not None:
            yield "obfuscate", _obfuscate(self.obfuscate)
        if self.links is not None:
            yield "links", _add_links(self.links)
        if self.add:
            yield "add", _add(self.add)
        if self.pulling_id:
            yield "pulling_id", _add_pulling_id
        if self.schema is not None:
            has_more = added or self.names is not None
            yield "shape", _shape(self.schema, added, self.names is not None) if has_more else self.schema
        if self.ids_as_texts:
            yield "ids", lambda record, received_at: ids_as_texts(record)
        if self.flatten is not None:
            yield "flatten", _flatten(self.flatten)
        if self.serialize is not None:
            yield "serialize", _serialize(self.serialize)

    @property
    def tags(self) -> Tags | None:
        """Where the tag depends on the event: those that were made."""
        return None if isinstance(self._tag, str) else self._tag

    def __call__(self, record: Record, received_at: float) -> tuple[str, Record] | None:
        """Tag and record to send; None drops the event."""
        if self.drop_event_types and self._drops(record):
            return None
        if self._before_tag:  # an empty loop costs more than this
            for change in self._before_tag:
                record = change(record, received_at)
        tag = self._tag if type(self._tag) is str else self._tag(record)  # type: ignore[operator]
        if self._after_tag:
            for change in self._after_tag:
                record = change(record, received_at)
        return tag, record

    def shape(self, record: Record) -> Record:
        """A combined record in the form of the events: it goes through the steps of `SHAPING`."""
        for change in self._of_combined:
            record = change(record, 0.0)
        return record

    def steps(self, record: Record, received_at: float) -> Iterator[Step]:
        """The same as the call, one configured step at a time, each with a copy of what it made."""
        if self.drop_event_types:
            dropped = self._drops(record)
            yield Step("drop_event_types", None if dropped else copy.deepcopy(record))
            if dropped:
                return
        for name, change in self._steps:
            record = change(record, received_at)
            yield Step(name, copy.deepcopy(record))

    def _drops(self, record: Record) -> bool:
        type_id = record.get("event_type_id")
        return type(type_id) is int and type_id in self.drop_event_types  # a list would not even be hashable


def _add_names(names: Naming) -> Change:
    def change(record: Record, received_at: float) -> Record:
        record[free_name(record, NAMES_FIELD)] = names(record)
        return record

    return change


def _obfuscate(obfuscate: Obfuscation) -> Change:
    def change(record: Record, received_at: float) -> Record:
        obfuscate(record)
        return record

    return change


def _add_links(links: Links) -> Change:
    def change(record: Record, received_at: float) -> Record:
        if made := links(record):
            record[free_name(record, LINKS_FIELD)] = made
        return record

    return change


def _add(fields: Mapping[str, Any]) -> Change:
    items = tuple(fields.items())

    def change(record: Record, received_at: float) -> Record:
        for name, value in items:
            record[free_name(record, name)] = value
        return record

    return change


def _add_pulling_id(record: Record, received_at: float) -> Record:
    record[free_name(record, PULLING_ID)] = f"{received_at:.6f}"
    return record


def _shape(schema: Schema, added: Sequence[str], has_names: bool) -> Change:
    def change(record: Record, received_at: float) -> Record:
        values = [record.popitem()[1] for _ in added]
        names = record.pop(NAMES_FIELD, None) if has_names else None
        shaped = schema(record, received_at)
        if names is not None:
            shaped[free_name(shaped, NAMES_FIELD)] = names
        for name in added:
            shaped[free_name(shaped, name)] = values.pop()
        return shaped

    return change


def _flatten(flatten: Flattener) -> Change:
    return lambda record, received_at: flatten(record)


def _serialize(name: str) -> Change:
    return lambda record, received_at: {name: _encode_json(record).decode()}
