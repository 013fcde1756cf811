"""What the configuration asks to do with an event, compiled once for each stream.  Pure.

The order is fixed: drop_event_types, obfuscate, links, add, pulling_id, tag, flatten, serialize.  The tag is taken
from the event as Cisco named its fields, before flattening.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.flatten import Flattener, free_name
from fluent_plugin_amp.pipeline.links import FIELD as LINKS_FIELD
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation
from fluent_plugin_amp.pipeline.tags import MAX_TAGS, Tags, compile_tag

PULLING_ID = "@devo_pulling_id"

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
    obfuscate: Obfuscation | None = None
    links: Links | None = None
    add: Mapping[str, Any] = field(default_factory=dict)
    pulling_id: bool = False
    flatten: Flattener | None = None
    serialize: str | None = None
    combine: MemberMaker | None = None
    """Makes an event's part in combined records, before anything else is done with it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tag", compile_tag(self.tag, self.stream, self.max_tags))

    _tag: str | Tags = field(init=False, repr=False, default="")

    @property
    def tags(self) -> Tags | None:
        """Where the tag depends on the event: those that were made."""
        return None if isinstance(self._tag, str) else self._tag

    def __call__(self, record: Record, received_at: float) -> tuple[str, Record] | None:
        """Tag and record to send; None drops the event."""
        if self.drop_event_types and self._drops(record):
            return None
        if self.obfuscate is not None:
            self.obfuscate(record)
        if self.links is not None:
            self._add_links(record, self.links)
        if self.add:
            self._add(record)
        if self.pulling_id:
            self._add_pulling_id(record, received_at)
        tag = self._tag if type(self._tag) is str else self._tag(record)  # type: ignore[operator]
        if self.flatten is not None:
            record = self.flatten(record)
        if self.serialize is not None:
            record = {self.serialize: _encode_json(record).decode()}
        return tag, record

    def shape(self, record: Record) -> Record:
        """A combined record in the form of the events: with the same static fields, flattened, serialized."""
        if self.add:
            self._add(record)
        if self.flatten is not None:
            record = self.flatten(record)
        return record if self.serialize is None else {self.serialize: _encode_json(record).decode()}

    def steps(self, record: Record, received_at: float) -> Iterator[Step]:
        """The same, one configured step at a time, each with a copy of what it made."""
        if self.drop_event_types:
            dropped = self._drops(record)
            yield Step("drop_event_types", None if dropped else copy.deepcopy(record))
            if dropped:
                return
        if self.obfuscate is not None:
            self.obfuscate(record)
            yield Step("obfuscate", copy.deepcopy(record))
        if self.links is not None:
            self._add_links(record, self.links)
            yield Step("links", dict(record))
        if self.add:
            self._add(record)
            yield Step("add", dict(record))
        if self.pulling_id:
            self._add_pulling_id(record, received_at)
            yield Step("pulling_id", dict(record))
        if self.flatten is not None:
            record = self.flatten(record)
            yield Step("flatten", record)
        if self.serialize is not None:
            yield Step("serialize", {self.serialize: _encode_json(record).decode()})

    def _drops(self, record: Record) -> bool:
        type_id = record.get("event_type_id")
        return type(type_id) is int and type_id in self.drop_event_types  # a list would not even be hashable

    @staticmethod
    def _add_links(record: Record, links: Links) -> None:
        if made := links(record):
            record[free_name(record, LINKS_FIELD)] = made

    def _add(self, record: Record) -> None:
        for name, value in self.add.items():
            record[free_name(record, name)] = value

    def _add_pulling_id(self, record: Record, received_at: float) -> None:
        record[free_name(record, PULLING_ID)] = f"{received_at:.6f}"
