"""Events in OCSF, as `ocsf_table` says.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.shape import ocsf_organisation_table as organisation
from fluent_plugin_amp.pipeline.shape import ocsf_table as table
from fluent_plugin_amp.pipeline.shape.convert import hunt_severity, severity, text
from fluent_plugin_amp.pipeline.shape.drift import Drift
from fluent_plugin_amp.pipeline.shape.engine import Field, Plan
from fluent_plugin_amp.pipeline.shape.ocsf_class import FINDING, OTHER, Kind, OcsfClass, make_kind, names
from fluent_plugin_amp.pipeline.shape.records import EVENTS, Finder
from fluent_plugin_amp.pipeline.shape.rules import UNKNOWN, Objects
from fluent_plugin_amp.pipeline.shape.tables import ids, rows

_encode_json = msgspec.json.Encoder().encode


class _Kinds:
    """The classes of one version, compiled for records of one kind.

    Args:
        version: of OCSF.
        fields: the rows of their table.
        defaults: likewise.
    """

    def __init__(self, version: str, fields: str, defaults: str) -> None:
        self.version = version
        self._fields = fields
        self._defaults = defaults
        self.classes: dict[int, OcsfClass] = {}
        """Those of the kinds, and those that took their place."""
        self._in_class: dict[tuple[str, int], Kind] = {}
        self._columns: dict[str, list[str]] = {}

    def _class(self, number: int) -> OcsfClass:
        if number not in self.classes:
            self.classes[number] = OcsfClass(number, self.version, self._fields, self._defaults)
        return self.classes[number]

    def _make(self, columns: Sequence[str]) -> Kind:
        columns = [*columns]
        if self.version.startswith("1.1."):
            for new, old in rows(table.BEFORE_1_3):
                if columns[1:3] == new.split():
                    columns[3] = columns[3] if old.split()[0] in ("0", "5019", "6002") else ""
                    columns[1:3] = old.split()
                    break
        self._columns[columns[0]] = columns
        return make_kind(columns, self._class(int(columns[1])))

    def instead(self, kind: Kind, number: int) -> Kind:
        """The same kind in another class, where the event lacks what its own requires."""
        made = self._in_class.get((kind.name, number))
        if made is None:
            columns = [*self._columns[kind.name]]
            activity = int(columns[2])
            if names("activity", number).get(activity) != names("activity", int(columns[1])).get(activity):
                columns[2] = str(OTHER)
            columns[1] = str(number)
            made = self._in_class[kind.name, number] = make_kind(columns, self._class(number))
        return made


class Ocsf(_Kinds):
    """Events, detections and incidents."""

    names_activity = "event_type"
    """The field whose text names an activity that has no other name."""

    def __init__(self, version: str) -> None:
        super().__init__(version, table.FIELDS, table.DEFAULTS)
        self.kinds: dict[int, Kind] = {}
        """By event type."""
        for columns in rows(table.KINDS):
            kind = self._make(columns)
            self.kinds |= dict.fromkeys(ids(columns[9]), kind)
        self._combined = {columns[0]: self._make(columns) for columns in rows(table.COMBINED_KINDS)}
        self._revised = {
            columns[0]: self._make([f"{columns[0]} again", columns[1], "2", *columns[3:]])
            for columns in rows(table.COMBINED_KINDS)
        }
        self._unknown: list[tuple[list[str], Kind]] = []
        for number, (fields, *rest) in enumerate(rows(table.UNKNOWN_KINDS)):
            self._unknown.append((fields.split(), self._make([f"unknown {number}", *rest])))

    def kind_of(self, event: Record, drift: Drift) -> Kind:
        """An event's kind; notes a type that is not in the table."""
        type_id = event.get("event_type_id")
        kind = self.kinds.get(type_id) if type(type_id) is int else None
        if kind is not None:
            return kind
        if "event_ids" in event and type_id is None:
            kind = self._combined_kind(event)
            if kind is not None:
                return kind
        drift.note_type(event)
        return next(kind for fields, kind in self._unknown if fields == ["*"] or any(map(event.get, fields)))

    def _combined_kind(self, record: Record) -> Kind | None:
        """Of a combined record; None: it is none."""
        if "incident_id" in record:
            return self._combined["incident"]
        status = record.get("status")
        kinds = self._combined if record.get("revision") == 1 else self._revised
        return kinds.get(status) if type(status) is str else None

    def when(self, event: Record, record: Record, received_at: float) -> tuple[int, int]:
        """The time of an event, as `event_time`; a combined record has none of its own."""
        if "event_ids" in event and "timestamp" not in event and "finding_info" in record:
            seconds, rest = divmod(record["finding_info"].get("last_seen_time", 0), 1000)
            return seconds, rest * 1_000_000
        return event_time(event, received_at)


class OcsfOfOrganisation(_Kinds):
    """Records of one of the kinds of `ocsf_organisation_table.RECORDS`."""

    def __init__(self, version: str, records: str) -> None:
        super().__init__(version, organisation.FIELDS[records], organisation.DEFAULTS)
        self._find = Finder(
            records,
            [
                (type_, words, self._make([f"{type_} {words}", *columns[:3], "0", "0", "", columns[3], ""]))
                for name, type_, words, *columns in rows(organisation.KINDS)
                if name == records
            ],
        )
        self.names_activity = self._find.done

    def kind_of(self, event: Record, drift: Drift) -> Kind:
        """A record's kind; notes a word that is not in the table."""
        kind, knows = self._find(event)
        if not knows:
            drift.note_word(self._find.done)
        return kind

    def when(self, event: Record, record: Record, received_at: float) -> tuple[int, int]:
        """The time of a record, as `event_time`."""
        return self._find.when(event, received_at)


@cache
def compiled(version: str) -> Ocsf:
    """One for each version, whatever many streams there are."""
    return Ocsf(version)


@cache
def compiled_of_organisation(version: str, records: str) -> OcsfOfOrganisation:
    """Likewise."""
    return OcsfOfOrganisation(version, records)


class OcsfShape:
    """Makes the records of one stream.

    Args:
        stream: its name.
        version: of OCSF, one of `ocsf_table.VERSIONS`.
        raw_data: the event goes along, as JSON.
        observables: what analysts search for is listed once more.
        records: what they are made of, one of `records.KINDS`; detections and incidents come with events.
    """

    def __init__(
        self,
        stream: str,
        version: str = "1.6.0",
        *,
        raw_data: bool = False,
        observables: bool = True,
        records: str = EVENTS,
    ) -> None:
        self.drift = Drift()
        self._stream = stream
        self._ocsf: Ocsf | OcsfOfOrganisation = (
            compiled(version) if records == EVENTS else compiled_of_organisation(version, records)
        )
        self._raw_data = raw_data
        self._observables = observables

    def rows(self, record: Record) -> Sequence[Field]:
        """The rows that made a record."""
        return self._ocsf.classes[record["class_uid"]].plan.rows.fields

    def left(self, record: Record) -> Record:
        """What of the event a record keeps under its own path."""
        left: Record = record.get("unmapped", {})
        return left

    def __call__(self, event: Record, received_at: float) -> Record:
        """The event, which is not changed, in OCSF."""
        kind = self._ocsf.kind_of(event, self.drift)
        while True:
            ocsf_class = kind.ocsf_class
            record = kind.record.copy()
            objects, left, dropped = ocsf_class.plan(event, record)
            if ocsf_class.required and ocsf_class.required not in record:
                kind = self._ocsf.instead(kind, ocsf_class.other)
                continue
            break
        self.drift.note(event, objects[UNKNOWN])
        second_file: Record | None = None
        if "threat_hunting" in event and severity(event.get("severity")) is None:
            record.update(severity(hunt_severity(event)) or {})
        if dropped:
            process: Record = {}
            if "actor.process" in dropped and ocsf_class.number == FINDING:
                process = objects[ocsf_class.plan.number("actor.process")]
            ocsf_class.plan.forget(objects, dropped)
            if "file" in process:
                # without its number it is no process; its file is an evidence all the same
                second_file = process["file"]
                record.setdefault("evidences", []).append({"file": second_file})
                dropped.remove("actor.process")
            ocsf_class.plan.give_back(event, left, dropped)
        seconds, nanoseconds = self._ocsf.when(event, record, received_at)
        if record.pop("time_nanoseconds", None) is not None and "time" not in record:
            left["timestamp_nanoseconds"] = event["timestamp_nanoseconds"]  # of no second
        record["time"] = seconds * 1000 + nanoseconds // 1_000_000
        record["metadata"] = {**kind.metadata, **record.get("metadata", {}), "log_name": self._stream}
        ocsf_class.complete_record(record, objects)
        attacks = record.get("finding_info", {}).get("attacks")
        if attacks and ocsf_class.number == FINDING:
            record["attacks"] = attacks
        if kind.is_other and (name := text(event.get(self._ocsf.names_activity))) is not None:
            record["activity_name"] = name
        if ocsf_class.number == FINDING and "evidences" in record:
            ocsf_class.turn(record["evidences"][0], objects)
        if self._observables:
            observables = _observe(ocsf_class, objects)
            if second_file is not None:
                observables += _observe(ocsf_class, _only_file(ocsf_class.plan, objects, second_file))
            if observables:
                record["observables"] = observables
        if left.get("stream") == self._stream:
            del left["stream"]  # of a combined record
        if left:
            record["unmapped"] = left
        if self._raw_data:
            record["raw_data"] = _encode_json(event).decode()
        return record


def _only_file(plan: Plan, objects: Objects, file: Record) -> Objects:
    """Objects of a finding of which nothing is there but an evidence's file."""
    only: Objects = [type(each)() for each in objects]
    only[plan.number("evidences[].file")] = file
    only[plan.number("evidences[].file.hashes[+]")] = file.get("hashes", [])
    return only


def _observe(ocsf_class: OcsfClass, objects: Objects) -> list[Record]:
    made = []
    for number, attribute, is_list, within, about in ocsf_class.observables:
        there = objects[number]
        if is_list:
            for item in there:
                value = (item[within] if within else item).get(attribute)
                if value is not None:
                    made.append({**about, "value": value})
        else:
            value = there.get(attribute)
            if value is not None:
                made.append({**about, "value": value})
    return made
