"""The reference of the schemas, ``docs/shapes.md``, made from their tables.  Pure.

``python -m fluent_plugin_amp.commands.shapes_reference`` prints the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.pipeline.shape import (
    ecs_organisation_table,
    ecs_table,
    ocsf_organisation_table,
    ocsf_table,
)
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.engine import CONVERTERS, LISTS
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape, compiled
from fluent_plugin_amp.pipeline.shape.tables import ids, rows

EVENT: dict[str, Any] = {
    "id": 6533241145273614339,
    "timestamp": 1593079552,
    "timestamp_nanoseconds": 619000000,
    "date": "2020-06-25T10:05:52+00:00",
    "event_type": "Threat Detected",
    "event_type_id": 1090519054,
    "detection": "W32.Overdrive.RET",
    "detection_id": "6533241145273614338",
    "severity": "Medium",
    "computer": {
        "connector_guid": "0b4883d4-8ecf-4404-9453-13cba0ee7662",
        "hostname": "kiosk-7",
        "external_ip": "203.0.113.7",
        "network_addresses": [{"ip": "192.0.2.7", "mac": "87-9c-f8-c6-c9-cf"}],
        "user": "CORP\\johndoe",
    },
    "file": {
        "disposition": "Malicious",
        "file_name": "a.exe",
        "file_path": "\\\\?\\C:\\a.exe",
        "identity": {"md5": "0FE5BE3811A98EE6A9C997D3812D911A"},
        "parent": {"process_id": 896, "file_name": "svchost.exe"},
    },
}
"""The example of the page."""

_INTRODUCTION = """\
# Shapes

With `transform: {shape: …}` events leave in a public schema, as a SIEM reads it, instead of as Cisco sends them. The
step comes after `obfuscate`, `links`, `add` and `pulling_id`, and before `ids`, `flatten` and `serialize`; the tag is
made from the event as Cisco sent it. Detections and incidents are shaped too, dead letters are not. For audit logs,
computers, vulnerabilities and hunts there are tables of their own.

**What you add stays at the top.** Fields of `add` and `@devo_pulling_id` are no part of the event: they stand beside
what the schema has, under their own names, or with a suffix where the schema has such a name (`time_2`). Neither
schema has them. Elasticsearch takes them as they are; where a receiver checks against OCSF, as Amazon Security Lake
does, do without them.

**No value is lost.** What the schema has no place for, or does not take (a masked address, a number where it wants a
text), stays under its own path, as Cisco named it. Only what says nothing is left out: null, `""`, an empty list or
object. `make shapes` looks for each value of 110,000 events in each version, and finds it. **A repeated event makes
the same record**: nothing in it tells when it was shaped, unless the event has no time of its own.

`fluent-plugin-amp shape events.ndjson` lists where each field of your own captured events goes, how often it stays
under its own path, and what the tables do not know: an event type, a field, or a word in a field of known words.
`explain` tells the same of one event. `[]` in a path is the first item of a list, `[+]` a list that grows, and `*`
the object itself.

This page is made from the tables that the plugin follows: `make docs`.
"""

_OCSF = """\
## OCSF

`shape: ocsf`, or with options `shape: {to: ocsf, version: 1.6.0, raw_data: false, observables: true}`. Versions:
VERSIONS. The tests hold every kind of event in every version against OCSF's own schema. What has no
place is in `unmapped`.

The default version, the classes and the ids of a kind change with major releases only.

Some choices, and why:

- Detections are findings of class 2004, not activities with a security control: their events share a `detection_id`,
  which is the finding's `uid`, and say what became of it. An incident (2005) would need an assignee.
- A quarantine is an update of its finding; a restore or a deletion, by somebody or by the cloud, is a remediation.
- A raised fault has no `status`: it is neither a success nor a failure of what was reported.
- `network_info.parent` is the process of the connection, so it is the evidence's, and `file.parent` is the actor's.
  A parent without a number is no process in OCSF: its file is a second evidence.
- A process with a command line and no number has the event's id for its `uid`, since it must have one.
- Cisco tells no confidence, no type of device, nor which of several addresses is meant: the first one is
  `device.ip`.
- A hunt's own severity is that of the event where Cisco sends no other; in `unmapped` it stays as it was.
- In version 1.1 a fetched file is a Base Event: as an update of a finding it would look like a threat.

**Amazon Security Lake** takes version 1.1.0, one class a source, as Parquet: the next hop splits by `class_uid` and
writes that.

### Example

An event as Cisco sends it:

```json
EVENT
```

The same with `shape: {to: ocsf, observables: false}`:

```json
RECORD
```
"""


_ECS = """\
## ECS

`shape: ecs`, or `shape: {to: ecs, raw_data: false}`: the Elastic Common Schema, version VERSION. Everything else is
in `cisco.secure_endpoint`, under the names of Elastic's own package for Cisco Secure Endpoint, whose dashboards so
find it. That package gives types to its fields. What does not fit them is in `cisco.secure_endpoint.unmapped`: one
masked address in a field of addresses, and Elasticsearch would refuse the document.

Where it differs from what the package makes: `event.kind` is `alert` for findings only; category, type and outcome
are those of the kind; `event.severity` is 21, 47, 73 or 99, as Elastic Security counts; times keep their
nanoseconds; a user's domain is taken off; paths and hashes are written in one way; tactics and techniques are there
in whichever form Cisco sends them; a command line belongs to the event's file, whose parent is `process.parent`.
A hunt's own severity is that of the event where Cisco sends no other.

### Example

The event above with `shape: ecs`:

```json
RECORD
```
"""


_ORGANISATION = """\
## Audit logs, computers, vulnerabilities, hunts

The records of [organisations](organisation.md) are shaped as events are. Their time is `created_at`,
`latest_timestamp` or `hunted_at`, and for a computer the time at which it was read.

- **Audit logs** are the management of an entity (3004), with what was there before and after as its data; logons are
  3002, an account that is made or deleted is 3001, which has no update. They have no address of the caller, so they
  are no API activity.
- **Computers** are inventory (5001): appeared and changed ones are collected, and a gone one is activity *gone*.
- **Vulnerabilities** are findings (2002) of one file with all its CVEs; the severity is that of the highest score, in
  the bands of CVSS 3. One that appeared is created, one that changed is updated. Computers are its resources, but not
  in version 1.1. The fields of `groups` stay as they are.
- **[Hunts](hunts.md)** are findings (2004) about one file. The priority is the severity. The device is the computer
  whose event asked, which is a related event. The computers that were silent are resources, but not in version 1.1,
  and related hosts in ECS, where a hunt of high priority is an alert.

In ECS, give each `event.dataset` an index of its own: `computers` is a list of objects in a vulnerability and in
a hunt, and of GUIDs in an incident. `old_attributes` and `new_attributes` have any names and types: map them as
`flattened`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_ocsf(), *_ecs(), *_organisation()])


def _organisation() -> Iterator[str]:
    yield _ORGANISATION
    yield "### In OCSF\n"
    yield _table(
        ["Record", "Type", "Done", "Class", "Activity"],
        (row[:5] for row in rows(ocsf_organisation_table.KINDS)),
    )
    for name, table in ocsf_organisation_table.FIELDS.items():
        yield f"`{name}`:\n"
        yield _table(["AMP", "OCSF", "How", "Versions"], _fields(table))
    yield "What no field of the record gave:\n"
    yield _defaults(ocsf_organisation_table.DEFAULTS)
    yield "### In ECS\n"
    yield _table(
        ["Record", "Type", "Done", "`event.kind`", "`event.category`", "`event.type`", "`event.outcome`"],
        rows(ecs_organisation_table.KINDS),
    )
    for name, table in ecs_organisation_table.FIELDS.items():
        yield f"`{name}`:\n"
        yield _table(["AMP", "ECS", "How", "Kept"], _kept_fields(table))


def _ecs() -> Iterator[str]:
    record = json.dumps(EcsShape("emea")(EVENT, 0.0), indent=2)
    yield _ECS.replace("VERSION", ecs_table.VERSION).replace("RECORD", record)
    yield "### Kinds of events\n"
    yield "Names of kinds as above, by the same event types; of detections their status.\n"
    yield _table(
        ["Kind", "`event.kind`", "`event.category`", "`event.type`", "`event.outcome`"], rows(ecs_table.KINDS)
    )
    yield "### Fields\n"
    yield (
        "`[+]` is a list that grows, `*` the object itself; `{process}` is `process.parent` where there is a command "
        "line, else `process`. *Kept* fields are under their own name in `cisco.secure_endpoint` as well.\n"
    )
    yield _table(["AMP", "ECS", "How", "Kept"], _kept_fields(ecs_table.FIELDS))
    for heading, table in (("With a command line:", ecs_table.DEFAULTS_OF_PROCESS), ("Lists:", ecs_table.RELATED)):
        yield f"{heading}\n"
        yield _table(["ECS", "From"], ([f"`{target}`", _code(*given.split())] for target, given in rows(table)))


def _ocsf() -> Iterator[str]:
    record = OcsfShape("emea", observables=False)(EVENT, 0.0)
    yield (
        _OCSF.replace("VERSIONS", ", ".join(ocsf_table.VERSIONS))
        .replace("EVENT", json.dumps(EVENT, indent=2))
        .replace("RECORD", json.dumps(record, indent=2))
    )
    yield "### Kinds of events\n"
    yield _table(["Event type", "Class", "Activity", "Status", "Action, disposition", "Alert"], _kinds())
    yield "An event type that is not listed: by the first of these fields that the event has.\n"
    yield _table(
        ["Field", "Class"], ([_code(fields), number] for fields, number, *_ in rows(ocsf_table.UNKNOWN_KINDS))
    )
    yield "A class that requires what an event lacks gives way to another.\n"
    yield _table(["Class", "Requires, or else"], _requirements())
    yield "Version 1.1 has no remediation and no update of an application:\n"
    yield _table(["Class, activity", "in 1.1"], rows(ocsf_table.BEFORE_1_3))
    yield "### Fields\n"
    yield (
        "`[]` is the first item of a list, `[+]` a list that grows, `*` the object itself; `{file}` is "
        "`evidences[].file` in class 2004, and `file` in 7002; `{who}` is `user` in 3002, else `actor.user`; "
        "`{what}` is `entity` in 3004, else `user`. In a class that lacks the attribute, the field stays "
        "in `unmapped`; so it does without an attribute here.\n"
    )
    yield _table(["AMP", "OCSF", "How", "Versions"], _fields(ocsf_table.FIELDS))
    yield "What no field of the event gave:\n"
    yield _defaults(ocsf_table.DEFAULTS)
    yield "### Observables\n"
    yield _table(["OCSF", "Type", "Versions"], ([f"`{path}`", *rest] for path, *rest in rows(ocsf_table.OBSERVABLES)))


def _kinds() -> Iterator[list[str]]:
    names = {entry.id: entry.name for entry in catalogue()}
    ocsf = compiled("1.6.0")
    for columns in rows(ocsf_table.KINDS):
        for each in ids(columns[9]):
            record = ocsf.kinds[each].record
            what = f"{record['action']}, {record['disposition']}" if "action" in record else ""
            alert = {True: "yes", False: "no"}.get(record.get("is_alert", ""), "")
            status, activity = record.get("status", ""), record["activity_name"]
            yield [
                f"{names[each]} `{each}`",
                f"{record['class_uid']} {record['class_name']}",
                activity,
                status,
                what,
                alert,
            ]


def _requirements() -> Iterator[list[str]]:
    for columns in rows(ocsf_table.CLASSES):
        if columns[5]:
            yield [f"{columns[0]} {columns[2]}", columns[5]]


def _fields(table: str) -> Iterator[list[str]]:
    for source, target, how, *where in rows(table):
        converter, _, also = how.partition(" + ")
        does = {**CONVERTERS, **LISTS}.get(converter)
        text = (does.__doc__ or "").split("\n")[0].rstrip(".") if does else ""
        also = "; the original is kept where that changed it" if also else ""
        yield [_code(source), _code(target) if target else "–", text + also, *where]


def _kept_fields(table: str) -> Iterator[list[str]]:
    return ([*row[:-1], "yes" if row[-1] else ""] for row in _fields(table))


def _defaults(table: str) -> str:
    return _table(["OCSF", "From"], ([f"`{target}`", _code(*given.split(", "))] for target, given in rows(table)))


def _code(*texts: str) -> str:
    return ", ".join(f"`{text.strip()}`" for text in texts)


def _table(head: list[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
