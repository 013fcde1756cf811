"""Events in OCSF, as `ocsf_table` says.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.shape import ocsf_table as table
from fluent_plugin_amp.pipeline.shape.convert import hunt_severity, severity
from fluent_plugin_amp.pipeline.shape.drift import Drift
from fluent_plugin_amp.pipeline.shape.engine import Default, Field, Plan, Rows
from fluent_plugin_amp.pipeline.shape.rules import UNKNOWN, Objects
from fluent_plugin_amp.pipeline.shape.tables import ids, is_in, numbered, rows

_OTHER = 99
_FINDING = 2004
_INBOUND = 1
_encode_json = msgspec.json.Encoder().encode


class OcsfClass:
    """One class in one version: its plan, and what all of its events have."""

    def __init__(self, number: int, version: str) -> None:
        self.number = number
        self.version = version
        (columns,) = (columns for columns in rows(table.CLASSES) if columns[0] == str(number))
        self.category_uid, self.category_name = numbered(columns[1])
        self.name = columns[2]
        self.profiles = [each.split("/")[0] for each in columns[3].split() if is_in(_after_slash(each), version)]
        required, _, other = columns[5].partition(" or ")
        self.required = required
        self.other = int(other or 0)
        self.plan = Plan(
            Rows(
                fields=tuple(self._fields()),
                constants=dict(self._constants()),
                defaults=tuple(self._defaults()),
                required={self._place(path): names.split() for path, names in rows(table.REQUIRED)},
                always=columns[4].split(),
            )
        )
        self.complete_record = self.plan.complete_record()
        self.observables = tuple(self._observables())

    def _place(self, path: str) -> str:
        """A path of the table with its {braces} filled; empty where the class has no such place."""
        for place, where in rows(table.PLACES):
            if path.startswith(place):
                given = dict(each.split() for each in where.split(","))
                inside = given.get(str(self.number))
                return path.replace(place, inside) if inside else ""
        return path

    def has(self, path: str) -> bool:
        """Whether the class has this attribute, in this version."""
        top = path.partition(".")[0].partition("[")[0]
        for attribute, classes in rows(table.ATTRIBUTES):
            if attribute == top:
                return any(
                    each.split("/")[0] == str(self.number) and is_in(_after_slash(each), self.version)
                    for each in classes.split()
                )
        return bool(path)

    def _targets(self) -> Iterator[tuple[str, str, str]]:
        """Field, attribute or nothing, converter."""
        for source, target, how, where in rows(table.FIELDS):
            target = self._place(target)
            yield source, target if self.has(target) and is_in(where, self.version) else "", how

    def _fields(self) -> Iterator[Field]:
        for source, target, how in self._targets():
            if not source.startswith("= "):
                yield Field(source, target, how)

    def _constants(self) -> Iterator[tuple[str, Any]]:
        for source, target, _ in self._targets():
            if source.startswith("= ") and target:
                value = source[2:]
                yield target, int(value) if value.isdigit() else value

    def _defaults(self) -> Iterator[Default]:
        for target, sources in rows(table.DEFAULTS):
            target = self._place(target)
            if self.has(target):
                yield Default(target, [self._place(source.strip()) for source in sources.split(",")])

    def _observables(self) -> Iterator[tuple[int, str, bool, dict[str, Any]]]:
        """Object, attribute, whether it is that of each item of a list, and what the observable says of it."""
        for target, type_, where in rows(table.OBSERVABLES):
            path = self._place(target)
            parent, _, attribute = path.rpartition(".")
            of_list = f"{parent.removesuffix('[]')}[+]"
            is_list = self.plan.knows(of_list)
            if self.has(path) and is_in(where, self.version) and self.plan.knows(of_list if is_list else parent):
                type_id, name = numbered(type_)
                number = self.plan.number(of_list if is_list else parent)
                yield number, attribute, is_list, {"name": path, "type_id": type_id, "type": name}

    def turn(self, evidence: Record, objects: Objects) -> None:
        """Of an incoming connection, the other end is the source."""
        if evidence.get("connection_info", {}).get("direction_id") != _INBOUND:
            return
        ends = self.plan.number("evidences[].src_endpoint"), self.plan.number("evidences[].dst_endpoint")
        objects[ends[0]], objects[ends[1]] = objects[ends[1]], objects[ends[0]]
        source, destination = evidence.pop("src_endpoint", None), evidence.pop("dst_endpoint", None)
        if destination is not None:
            evidence["src_endpoint"] = destination
        if source is not None:
            evidence["dst_endpoint"] = source


def _after_slash(text: str) -> str:
    return text.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one row of `ocsf_table.KINDS` says of the events of a kind, in one version."""

    name: str
    ocsf_class: OcsfClass
    record: Record
    """What each record of the kind begins with."""
    metadata: Record
    is_other: bool
    """Its activity has no name of its own: the event's type tells it."""


def _names(of: str, number: int) -> Mapping[int, str]:
    """The texts beside the numbers; those of the class before the general ones."""
    named = dict(rows(table.NAMES))
    texts = named.get(f"{of} {number}", named.get(of, ""))
    return dict(numbered(each.strip()) for each in texts.split(",") if each)


def _with_name(record: Record, attribute: str, number: int, names: Mapping[int, str], other: str = "") -> None:
    record[f"{attribute}_id"] = number
    record[attribute] = names.get(number, other or "Other")


def _kind(columns: Sequence[str], ocsf_class: OcsfClass) -> Kind:
    """Columns of `ocsf_table.KINDS`, from the name on."""
    name, _, activity, status, action, disposition, alert, severity, states = columns[:9]
    number, is_old = ocsf_class.number, ocsf_class.version.startswith("1.1.")
    activity_id = int(activity)
    activity_name = _names("activity", number).get(activity_id, "Other")
    record: Record = {
        "category_uid": ocsf_class.category_uid,
        "category_name": ocsf_class.category_name,
        "class_uid": number,
        "class_name": ocsf_class.name,
        "activity_id": activity_id,
        "activity_name": activity_name,
        "type_uid": number * 100 + activity_id,
        "type_name": f"{ocsf_class.name}: {activity_name}",
    }
    _with_name(record, "severity", int(severity), _names("severity", number))
    if status:
        status_id, other = numbered(status)
        _with_name(record, "status", status_id, _names("status", number), other)
    profiles = list(ocsf_class.profiles)
    if action and "security_control" in profiles:
        action_id = int(action)
        action_names = _names("action", number)
        if is_old and action_id > 2:  # they have a name only since
            record |= {"action_id": _OTHER, "action": action_names[action_id]}
        else:
            _with_name(record, "action", action_id, action_names)
        _with_name(record, "disposition", int(disposition), _names("disposition", number))
        if alert and not is_old:
            record["is_alert"] = alert == "yes"
    if states and number == 5019:
        state_id = int(states[1:])
        attribute = "security_states" if states[0] == "+" else "prev_security_states"
        record[attribute] = [{"state_id": state_id, "state": _names("state", number)[state_id]}]
    metadata: Record = {
        "version": ocsf_class.version,
        "product": {"name": "Secure Endpoint", "vendor_name": "Cisco"},
    }
    if profiles:
        metadata["profiles"] = profiles
    return Kind(name, ocsf_class, record, metadata, activity_id == _OTHER)


class Ocsf:
    """All kinds and classes of one version, compiled."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.classes = {int(columns[0]): OcsfClass(int(columns[0]), version) for columns in rows(table.CLASSES)}
        self.kinds: dict[int, Kind] = {}
        """By event type."""
        self._in_class: dict[tuple[str, int], Kind] = {}
        self._columns: dict[str, list[str]] = {}
        for columns in rows(table.KINDS):
            kind = self._make(columns)
            self.kinds |= dict.fromkeys(ids(columns[9]), kind)
        self._combined = {columns[0]: self._make(columns) for columns in rows(table.COMBINED_KINDS)}
        self._revised = {
            columns[0]: self._make([f"{columns[0]} again", columns[1], "2", *columns[3:]])
            for columns in rows(table.COMBINED_KINDS)
        }
        self._unknown: list[tuple[list[str], Kind]] = []
        for number, (fields, *columns) in enumerate(rows(table.UNKNOWN_KINDS)):
            self._unknown.append((fields.split(), self._make([f"unknown {number}", *columns])))

    def _make(self, columns: list[str]) -> Kind:
        columns = [*columns]
        if self.version.startswith("1.1."):
            for new, old in rows(table.BEFORE_1_3):
                if columns[1:3] == new.split():
                    columns[3] = columns[3] if old.split()[0] in ("0", "5019", "6002") else ""
                    columns[1:3] = old.split()
                    break
        self._columns[columns[0]] = columns
        return _kind(columns, self.classes[int(columns[1])])

    def kind_of(self, event: Record) -> tuple[Kind, bool]:
        """An event's kind, and whether its type is in the table."""
        type_id = event.get("event_type_id")
        kind = self.kinds.get(type_id) if type(type_id) is int else None
        if kind is not None:
            return kind, True
        if "event_ids" in event and type_id is None:
            kind = self._combined_kind(event)
            if kind is not None:
                return kind, True
        return next(kind for fields, kind in self._unknown if fields == ["*"] or any(map(event.get, fields))), False

    def _combined_kind(self, record: Record) -> Kind | None:
        """Of a combined record; None: it is none."""
        if "incident_id" in record:
            return self._combined["incident"]
        status = record.get("status")
        kinds = self._combined if record.get("revision") == 1 else self._revised
        return kinds.get(status) if type(status) is str else None

    def instead(self, kind: Kind, number: int) -> Kind:
        """The same kind in another class, where the event lacks what its own requires."""
        made = self._in_class.get((kind.name, number))
        if made is None:
            columns = [*self._columns[kind.name]]
            columns[1] = str(number)
            if number == 0:
                columns[2] = str(_OTHER)
            made = self._in_class[kind.name, number] = _kind(columns, self.classes[number])
        return made


compiled = cache(Ocsf)
"""One for each version, whatever many streams there are."""


class OcsfShape:
    """Makes the records of one stream.

    Args:
        stream: its name.
        version: of OCSF, one of `ocsf_table.VERSIONS`.
        raw_data: the event goes along, as JSON.
        observables: what analysts search for is listed once more.
    """

    def __init__(
        self,
        stream: str,
        version: str = "1.6.0",
        *,
        raw_data: bool = False,
        observables: bool = True,
    ) -> None:
        self.drift = Drift()
        self._stream = stream
        self._ocsf = compiled(version)
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
        kind, knows_type = self._ocsf.kind_of(event)
        while True:
            ocsf_class = kind.ocsf_class
            record = kind.record.copy()
            objects, left, dropped = ocsf_class.plan(event, record)
            if ocsf_class.required and ocsf_class.required not in record:
                kind = self._ocsf.instead(kind, ocsf_class.other)
                continue
            break
        self.drift.note(event, objects[UNKNOWN], knows_type=knows_type)
        second_file: Record | None = None
        if "threat_hunting" in event and severity(event.get("severity")) is None:
            record.update(severity(hunt_severity(event)) or {})
        if dropped:
            process = objects[ocsf_class.plan.number("actor.process")]
            ocsf_class.plan.forget(objects, dropped)
            if "actor.process" in dropped and ocsf_class.number == _FINDING and "file" in process:
                # without its number it is no process; its file is an evidence all the same
                second_file = process["file"]
                record.setdefault("evidences", []).append({"file": second_file})
                dropped.remove("actor.process")
            ocsf_class.plan.give_back(event, left, dropped)
        seconds, nanoseconds = event_time(event, received_at)
        if record.pop("time_nanoseconds", None) is not None and "time" not in record:
            left["timestamp_nanoseconds"] = event["timestamp_nanoseconds"]  # of no second
        # a combined record has no time of its own
        if "event_ids" in event and "timestamp" not in event and "finding_info" in record:
            seconds, rest = divmod(record["finding_info"].get("last_seen_time", 0), 1000)
            nanoseconds = rest * 1_000_000
        record["time"] = seconds * 1000 + nanoseconds // 1_000_000
        record["metadata"] = {**kind.metadata, **record.get("metadata", {}), "log_name": self._stream}
        ocsf_class.complete_record(record, objects)
        attacks = record.get("finding_info", {}).get("attacks")
        if attacks and ocsf_class.number == _FINDING:
            record["attacks"] = attacks
        if kind.is_other and "message" in record:
            record["activity_name"] = record["message"]
        if ocsf_class.number == _FINDING and "evidences" in record:
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
    for number, attribute, is_list, observable in ocsf_class.observables:
        there = objects[number]
        if is_list:
            for item in there:
                value = item.get(attribute)
                if value is not None:
                    made.append({**observable, "value": value})
        else:
            value = there.get(attribute)
            if value is not None:
                made.append({**observable, "value": value})
    return made
