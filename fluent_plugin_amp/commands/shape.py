"""`fluent-plugin-amp shape`: where the fields of captured events go in a public schema, and which have no place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fluent_plugin_amp.commands.console import new_table
from fluent_plugin_amp.errors import InvalidEvent, UsageError
from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.decode import decode
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.shape.ocsf_table import VERSIONS
from fluent_plugin_amp.pipeline.shape.records import EVENTS
from fluent_plugin_amp.pipeline.shape.rules import says_nothing
from fluent_plugin_amp.text import how_many, one_line

if TYPE_CHECKING:
    from rich.table import Table

STREAM = "captured"
"""The stream's name in the records."""

MAX_PATHS = 1000
"""Fields in the list.  Without a limit, events with random names would fill the memory."""

MAX_PATH = 1000
"""Characters of a field's path.  Without a limit, a long name above many fields would be held many times."""

Shape = OcsfShape | EcsShape


def schema_of(schema: Literal["ocsf", "ecs"], version: str | None, kind: str = EVENTS) -> Shape:
    """What makes the records.

    Args:
        schema: the public one.
        version: of OCSF.
        kind: of records, one of `pipeline.shape.records.KINDS`.

    Raises:
        UsageError: there is no such version.
    """
    if schema == "ecs":
        if version is not None:
            raise UsageError("--version is for OCSF only: leave it out")
        return EcsShape(STREAM, records=kind)
    if version is not None and version not in VERSIONS:
        raise UsageError(f"--version must be one of {', '.join(VERSIONS)}")
    return OcsfShape(STREAM, version or "1.6.0", records=kind)


def records(shape: Shape, bodies: Iterable[bytes]) -> Iterator[str]:
    """Each event as JSON.  What is no event is left out."""
    for _, record in _shaped(shape, bodies):
        yield msgspec.json.encode(record).decode()


@dataclass(slots=True)
class Review:
    """What became of the fields of many events."""

    shape: Shape
    events: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    """In how many events a field says something, by its path."""
    left: Counter[str] = field(default_factory=Counter)
    """In how many of them it is kept under its own path."""
    targets: dict[str, dict[str, None]] = field(default_factory=dict)
    """Where its rows lead."""

    @property
    def summary(self) -> str:
        """One line: how much there was, and what the table does not know."""
        drift = self.shape.drift
        counts = ", ".join(f"{count} {what}" for what, count in drift.counts.items() if count)
        seen = f"{how_many(self.events, 'event')}, {how_many(len(self.found), 'field')}"
        text = f"{seen}; not in the table: {counts or 'nothing'}"
        samples = "".join(f"\n  {what} {one_line(path)}" for what, path in drift.samples)
        return text + samples


def review(shape: Shape, bodies: Iterable[bytes]) -> Review:
    """Look at all events."""
    made = Review(shape)
    for event, record in _shaped(shape, bodies):
        made.events += 1
        made.kinds[_kind(record)] += 1
        targets: dict[str, dict[str, None]] = {}
        for row in shape.rows(record):
            if row.target:
                targets.setdefault(row.source, {})[row.target] = None
        left = dict(_fields(shape.left(record)))
        for path, value in _fields(event):
            if path not in made.found and len(made.found) >= MAX_PATHS:
                continue
            made.found[path] += 1
            made.left[path] += left.get(path) == value
            made.targets.setdefault(path, {}).update(targets.get(path, {}))
    return made


def tables(made: Review) -> Iterator[Table]:
    """The kinds of events, and the fields."""
    kinds = new_table("kind", "events")
    for kind, count in made.kinds.most_common():
        kinds.add_row(kind, str(count))
    yield kinds
    fields = new_table("field", "events", "goes to", "kept as it is")
    for path in sorted(made.found):
        fields.add_row(one_line(path), str(made.found[path]), ", ".join(made.targets[path]), str(made.left[path]))
    yield fields


def _shaped(shape: Shape, bodies: Iterable[bytes]) -> Iterator[tuple[Record, Record]]:
    for body in bodies:
        try:
            event = decode(body)
        except InvalidEvent:  # a dead letter, which is not shaped
            continue
        yield event, shape(event, time.time())


def _kind(record: Record) -> str:
    if "class_uid" in record:
        return f"{record['class_uid']} {record['type_name']}"
    event = record["event"]
    return " ".join([event["kind"], *event.get("category", ()), *event.get("type", ()), event.get("outcome", "")])


def _fields(value: Record, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that says something and is no object, with its path; a list is one."""
    for name, item in value.items():
        if type(item) is dict and item:
            yield from _fields(item, f"{path}{name}."[:MAX_PATH])
        elif not says_nothing(item):
            yield f"{path}{name}"[:MAX_PATH], item
