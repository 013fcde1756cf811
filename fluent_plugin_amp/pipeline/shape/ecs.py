"""Events in ECS, as `ecs_table` says.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.shape import ecs_table as table
from fluent_plugin_amp.pipeline.shape import ocsf_table
from fluent_plugin_amp.pipeline.shape.convert import ecs_severity, hunt_severity, second
from fluent_plugin_amp.pipeline.shape.drift import Drift
from fluent_plugin_amp.pipeline.shape.engine import Default, Field, Plan, Rows
from fluent_plugin_amp.pipeline.shape.rules import MISFITS, UNKNOWN, Objects
from fluent_plugin_amp.pipeline.shape.tables import ids, rows

_VENDOR, _PRODUCT = table.OWN.split(".")
_ADDED = ("stream", "related", "unmapped")
"""Beside what is left of the event; a field of these names that it has itself stands apart."""
_EACH: Record = {
    "ecs": {"version": table.VERSION},
    "observer": {"vendor": "Cisco", "product": "Secure Endpoint"},
}
"""What each record begins with."""
_encode_json = msgspec.json.Encoder().encode


class EcsPlan:
    """The rows that hold for events with a command line, or without."""

    def __init__(self, *, has_command_line: bool) -> None:
        fields: list[Field] = []
        constants: dict[str, Any] = {}
        defaults = rows(table.DEFAULTS_OF_PROCESS if has_command_line else "")
        for source, target, how, kept in rows(table.FIELDS):
            if source.startswith("= "):
                constants[target] = source[2:]
                continue
            target = target.replace("{process}", "process.parent" if has_command_line else "process")
            fields.append(Field(source, target, how, kept))
        self.plan = Plan(Rows(fields, constants, [Default(target, [source]) for target, source in defaults], {}, ()))
        self._related = tuple(self._lists(table.RELATED))
        self._own_related = tuple(self._lists(table.OWN_RELATED))

    def _lists(self, text: str) -> Iterator[tuple[str, tuple[tuple[int, str], ...]]]:
        for target, sources in rows(text):
            yield target.partition(".")[2], tuple(self._places(sources))

    def _places(self, sources: str) -> Iterator[tuple[int, str]]:
        """Object and attribute; ``[+]`` for all items of it, ``*`` for all values."""
        for source in sources.split():
            parent, _, attribute = source.rpartition(".")
            path = source if source.endswith("[+]") else parent
            if self.plan.knows(path):
                yield self.plan.number(path), "[+]" if path == source else attribute

    def related(self, objects: Objects) -> tuple[Record, Record]:
        """`ecs_table.RELATED`, and `ecs_table.OWN_RELATED`."""
        return _collect(self._related, objects), _collect(self._own_related, objects)


def _collect(lists: tuple[tuple[str, tuple[tuple[int, str], ...]], ...], objects: Objects) -> Record:
    made: Record = {}
    for name, places in lists:
        values: list[Any] = []
        for number, attribute in places:
            if there := objects[number]:
                if attribute == "[+]":
                    values += there
                elif attribute == "*":
                    values += there.values()
                elif attribute in there:
                    values.append(there[attribute])
        if values:
            made[name] = values if len(values) == 1 else list(dict.fromkeys(values))
    return made


class Ecs:
    """All kinds, compiled."""

    def __init__(self) -> None:
        self.events: dict[str, Record] = {}
        """What ``event`` begins with, by kind."""
        for name, kind, category, type_, outcome in rows(table.KINDS):
            event: Record = {
                "kind": kind,
                "module": f"{_VENDOR}_{_PRODUCT}",
                "dataset": f"{_VENDOR}_{_PRODUCT}.event",
            }
            if category:
                event |= {"category": category.split(), "type": type_.split()}
            if outcome:
                event["outcome"] = outcome
            self.events[name] = event
        self.kinds = {each: columns[0] for columns in rows(ocsf_table.KINDS) for each in ids(columns[9])}
        self.plain = EcsPlan(has_command_line=False)
        self.of_process = EcsPlan(has_command_line=True)

    def kind_of(self, event: Record) -> tuple[str, bool]:
        """An event's kind, and whether its type is in the table."""
        type_id = event.get("event_type_id")
        kind = self.kinds.get(type_id) if type(type_id) is int else None
        if kind is not None:
            return kind, True
        if type_id is None and "event_ids" in event:
            status = "incident" if "incident_id" in event else event.get("status")
            if type(status) is str and status in self.events:
                return status, True
        return "unknown", False


compiled = cache(Ecs)
"""One, whatever many streams there are."""


class EcsShape:
    """Makes the records of one stream.

    Args:
        stream: its name.
        raw_data: the event goes along as JSON, in ``event.original``.
    """

    def __init__(self, stream: str, *, raw_data: bool = False) -> None:
        self.drift = Drift()
        self._stream = stream
        self._ecs = compiled()
        self._raw_data = raw_data

    def rows(self, record: Record) -> Sequence[Field]:
        """The rows that made a record."""
        is_of_process = "command_line" in record.get("process", {})
        return (self._ecs.of_process if is_of_process else self._ecs.plain).plan.rows.fields

    def left(self, record: Record) -> Record:
        """What of the event a record keeps under its own path."""
        own: Record = record[_VENDOR][_PRODUCT]
        return own

    def __call__(self, event: Record, received_at: float) -> Record:
        """The event, which is not changed, in ECS."""
        ecs = self._ecs
        kind, knows_type = ecs.kind_of(event)
        plan = ecs.of_process if "command_line" in event else ecs.plain
        record = _EACH.copy()
        objects, own, _ = plan.plan(event, record)
        self.drift.note(event, objects[UNKNOWN], knows_type=knows_type)
        seconds, nanoseconds = event_time(event, received_at)
        about = record["event"] = {**ecs.events[kind], **record.get("event", {})}
        if "threat_hunting" in event and "severity" not in about:
            hunts = ecs_severity(hunt_severity(event))
            if hunts is not None:
                about["severity"] = hunts
        last_seen = about.get("end") if "timestamp" not in event else None
        record["@timestamp"] = last_seen if last_seen is not None else f"{second(seconds)}.{nanoseconds:09}Z"
        host = record.get("host")
        if host is not None and "hostname" in host:
            host["name"] = host["hostname"].lower()
        if "network" in record and record["network"].get("direction") == "ingress":
            _turn(record)
        for name in _ADDED:
            if name in own and own[name] != self._stream:
                objects[MISFITS][name] = own.pop(name)
        related, own_related = plan.related(objects)
        if related:
            record["related"] = related
        if own_related:
            own["related"] = own_related
        own["stream"] = self._stream
        if objects[MISFITS]:
            own["unmapped"] = objects[MISFITS]
        record[_VENDOR] = {_PRODUCT: own}
        if self._raw_data:
            about["original"] = _encode_json(event).decode()
        return record


def _turn(record: Record) -> None:
    """Of an incoming connection, the other end is the source."""
    source, destination = record.pop("source", None), record.pop("destination", None)
    if destination is not None:
        record["source"] = destination
    if source is not None:
        record["destination"] = source
