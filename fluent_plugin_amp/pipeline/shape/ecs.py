"""Events in ECS, as `ecs_table` says.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.shape import ecs_organisation_table as organisation
from fluent_plugin_amp.pipeline.shape import ecs_table as table
from fluent_plugin_amp.pipeline.shape import ocsf_table
from fluent_plugin_amp.pipeline.shape.convert import ecs_severity, hunt_severity, second
from fluent_plugin_amp.pipeline.shape.drift import Drift
from fluent_plugin_amp.pipeline.shape.engine import Default, Field, Plan, Rows
from fluent_plugin_amp.pipeline.shape.records import EVENTS, Finder
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
    """The rows that hold for records of a kind: events with a command line, or without."""

    def __init__(self, table_of_fields: str = table.FIELDS, *, has_command_line: bool = False) -> None:
        fields: list[Field] = []
        constants: dict[str, Any] = {}
        defaults = rows(table.DEFAULTS_OF_PROCESS if has_command_line else "")
        for source, target, how, kept in rows(table_of_fields):
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
            is_each_once = len(values) == 1 or len(set(values)) == len(values)
            made[name] = values if is_each_once else list(dict.fromkeys(values))
    return made


def _begin(dataset: str, kind: str, category: str, type_: str, outcome: str) -> Record:
    """What ``event`` begins with."""
    event: Record = {
        "kind": kind,
        "module": f"{_VENDOR}_{_PRODUCT}",
        "dataset": f"{_VENDOR}_{_PRODUCT}.{dataset}",
    }
    if category:
        event |= {"category": category.split(), "type": type_.split()}
    if outcome:
        event["outcome"] = outcome
    return event


class Ecs:
    """Events, detections and incidents, compiled."""

    def __init__(self) -> None:
        self._begins = {name: _begin("event", *columns) for name, *columns in rows(table.KINDS)}
        self._kinds = {
            each: self._begins[columns[0]] for columns in rows(ocsf_table.KINDS) for each in ids(columns[9])
        }
        self._plain = EcsPlan()
        self._of_process = EcsPlan(has_command_line=True)

    def plan_of(self, event: Record) -> EcsPlan:
        """Where its fields go."""
        return self._of_process if "command_line" in event else self._plain

    def rows_of(self, record: Record) -> Sequence[Field]:
        """The rows that made a record."""
        return self.plan_of(record.get("process", {})).plan.rows.fields

    def begin_of(self, event: Record, drift: Drift) -> Record:
        """What ``event`` begins with; notes a type that is not in the table."""
        type_id = event.get("event_type_id")
        begin = self._kinds.get(type_id) if type(type_id) is int else None
        if begin is not None:
            return begin
        if type_id is None and "event_ids" in event:
            status = "incident" if "incident_id" in event else event.get("status")
            if type(status) is str and status in self._begins:
                return self._begins[status]
        drift.note_type(event)
        return self._begins["unknown"]

    def when(self, event: Record, received_at: float) -> tuple[int, int]:
        """The time of an event."""
        return event_time(event, received_at)


class EcsOfOrganisation:
    """Records of one of the kinds of `ocsf_organisation_table.RECORDS`, compiled."""

    def __init__(self, records: str) -> None:
        dataset = organisation.DATASETS[records]
        self._find = Finder(
            records,
            [
                (type_, words, _begin(dataset, *columns))
                for name, type_, words, *columns in rows(organisation.KINDS)
                if name == records
            ],
        )
        self._plan = EcsPlan(organisation.FIELDS[records])
        self.when = self._find.when

    def plan_of(self, event: Record) -> EcsPlan:
        """Where its fields go."""
        return self._plan

    def rows_of(self, record: Record) -> Sequence[Field]:
        """The rows that made a record."""
        return self._plan.plan.rows.fields

    def begin_of(self, event: Record, drift: Drift) -> Record:
        """What ``event`` begins with; notes a word that is not in the table."""
        begin, knows = self._find(event)
        if not knows:
            drift.note_word(self._find.done)
        return begin


@cache
def compiled(records: str) -> Ecs | EcsOfOrganisation:
    """One for each kind of records, whatever many streams there are."""
    return Ecs() if records == EVENTS else EcsOfOrganisation(records)


class EcsShape:
    """Makes the records of one stream.

    Args:
        stream: its name.
        raw_data: the event goes along as JSON, in ``event.original``.
        records: what they are made of, one of `records.KINDS`; detections and incidents come with events.
    """

    def __init__(self, stream: str, *, raw_data: bool = False, records: str = EVENTS) -> None:
        self.drift = Drift()
        self._stream = stream
        self._ecs = compiled(records)
        self._raw_data = raw_data

    def rows(self, record: Record) -> Sequence[Field]:
        """The rows that made a record."""
        return self._ecs.rows_of(record)

    def left(self, record: Record) -> Record:
        """What of the event a record keeps under its own path."""
        own: Record = record[_VENDOR][_PRODUCT]
        return own

    def __call__(self, event: Record, received_at: float) -> Record:
        """The event, which is not changed, in ECS."""
        ecs = self._ecs
        begin = ecs.begin_of(event, self.drift)
        plan = ecs.plan_of(event)
        record = _EACH.copy()
        objects, own, _ = plan.plan(event, record)
        self.drift.note(event, objects[UNKNOWN])
        seconds, nanoseconds = ecs.when(event, received_at)
        about = record["event"] = {**begin, **record.get("event", {})}
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
