"""The classes of OCSF with their plans, and the kinds of events in them, as the tables say.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.shape import ocsf_table as table
from fluent_plugin_amp.pipeline.shape.engine import Default, Field, Plan, Rows
from fluent_plugin_amp.pipeline.shape.rules import Objects
from fluent_plugin_amp.pipeline.shape.tables import is_in, numbered, rows

_field = cache(Field)
"""The classes share their rows."""

OTHER = 99
FINDING = 2004
_INBOUND = 1


Observable = tuple[int, str, bool, str, dict[str, Any]]
"""Where one is found: (object or list, attribute, whether it is a list, within, about).

Of an item of a list, ``within`` is the object that has the attribute; empty: the item itself.
"""


class OcsfClass:
    """One class in one version: its plan, and what all of its events have."""

    def __init__(self, number: int, version: str, fields: str, defaults: str) -> None:
        self.number = number
        self.version = version
        self._table = fields
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
                defaults=tuple(self._defaults(defaults)),
                required={self._place(path): each.split() for path, each in rows(table.REQUIRED)},
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
        for source, target, how, where in rows(self._table):
            target = self._place(target)
            yield source, target if self.has(target) and is_in(where, self.version) else "", how

    def _fields(self) -> Iterator[Field]:
        for source, target, how in self._targets():
            if not source.startswith("= "):
                yield _field(source, target, how)

    def _constants(self) -> Iterator[tuple[str, Any]]:
        for source, target, _ in self._targets():
            if source.startswith("= ") and target:
                value = source[2:]
                yield target, int(value) if value.isdigit() else value

    def _defaults(self, defaults: str) -> Iterator[Default]:
        for target, sources in rows(defaults):
            target = self._place(target)
            if self.has(target):
                yield Default(target, [self._place(source.strip()) for source in sources.split(",")])

    def _observables(self) -> Iterator[Observable]:
        for target, type_, where in rows(table.OBSERVABLES):
            path = self._place(target)
            if not self.has(path) or not is_in(where, self.version):
                continue
            type_id, name = numbered(type_)
            about = {"name": path, "type_id": type_id, "type": name}
            list_, of_item, inside = path.rpartition("[].")
            parent, _, attribute = path.rpartition(".")
            if of_item and self.plan.knows(f"{list_}[+]"):
                within, _, attribute = inside.rpartition(".")
                yield self.plan.number(f"{list_}[+]"), attribute, True, within, about
            elif self.plan.knows(parent):
                yield self.plan.number(parent), attribute, False, "", about

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


@cache
def names(of: str, number: int) -> Mapping[int, str]:
    """The texts beside the numbers; those of the class before the general ones."""
    named = {columns[0]: columns[1] for columns in rows(table.NAMES)}
    texts = named.get(f"{of} {number}", named.get(of, ""))
    return dict(numbered(each.strip()) for each in texts.split(",") if each)


def _with_name(record: Record, attribute: str, number: int, names: Mapping[int, str], other: str = "") -> None:
    record[f"{attribute}_id"] = number
    record[attribute] = names.get(number, other or "Other")


def make_kind(columns: Sequence[str], ocsf_class: OcsfClass) -> Kind:
    """Columns of `ocsf_table.KINDS`, from the name on."""
    name, _, activity, status, action, disposition, alert, severity, states = columns[:9]
    number, is_old = ocsf_class.number, ocsf_class.version.startswith("1.1.")
    activity_id = int(activity)
    activity_name = names("activity", number).get(activity_id, "Other")
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
    _with_name(record, "severity", int(severity), names("severity", number))
    if status:
        status_id, other = numbered(status)
        _with_name(record, "status", status_id, names("status", number), other)
    profiles = list(ocsf_class.profiles)
    if action and "security_control" in profiles:
        action_id = int(action)
        action_names = names("action", number)
        if is_old and action_id > 2:  # they have a name only since
            record |= {"action_id": OTHER, "action": action_names[action_id]}
        else:
            _with_name(record, "action", action_id, action_names)
        _with_name(record, "disposition", int(disposition), names("disposition", number))
        if alert and not is_old:
            record["is_alert"] = alert == "yes"
    if states and number == 5019:
        state_id = int(states[1:])
        attribute = "security_states" if states[0] == "+" else "prev_security_states"
        record[attribute] = [{"state_id": state_id, "state": names("state", number)[state_id]}]
    metadata: Record = {
        "version": ocsf_class.version,
        "product": {"name": "Secure Endpoint", "vendor_name": "Cisco"},
    }
    if profiles:
        metadata["profiles"] = profiles
    return Kind(name, ocsf_class, record, metadata, activity_id == OTHER)
