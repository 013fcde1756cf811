"""Holds records against the fields of ECS 8.11 that are used, and those of Elastic's package for Cisco.

The list is our own, made from the documentation of both: a type for each field, and the words that the categorization
fields take.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

Record = dict[str, Any]

KEYWORD, LONG, IP, DATE, BOOLEAN = "keyword", "long", "ip", "date", "boolean"
FLATTENED, FLOAT = "flattened", "float"

FIELDS = {
    "@timestamp": DATE,
    "ecs.version": KEYWORD,
    **dict.fromkeys((f"event.{name}" for name in ("id", "code", "action", "module", "dataset", "original")), KEYWORD),
    **dict.fromkeys((f"event.{name}" for name in ("kind", "category", "type", "outcome", "url")), KEYWORD),
    "event.severity": LONG,
    "event.start": DATE,
    "event.end": DATE,
    **dict.fromkeys(("observer.vendor", "observer.product", "group.id", "user.name", "user.domain"), KEYWORD),
    **dict.fromkeys(("host.id", "host.name", "host.hostname", "host.mac", "host.os.full", "host.os.type"), KEYWORD),
    "host.ip": IP,
    **dict.fromkeys(
        ("file.name", "file.path", "rule.name", "rule.description", "error.code", "error.message"), KEYWORD
    ),
    **{
        f"{of}.hash.{name}": KEYWORD
        for of in ("file", "process", "process.parent")
        for name in ("sha256", "sha1", "md5")
    },
    **dict.fromkeys(("process.name", "process.parent.name", "process.command_line", "url.original"), KEYWORD),
    **dict.fromkeys(("process.pid", "process.parent.pid", "source.port", "destination.port"), LONG),
    **dict.fromkeys(("source.ip", "destination.ip", "related.ip"), IP),
    **dict.fromkeys(("network.transport", "network.direction"), KEYWORD),
    "threat.framework": KEYWORD,
    **{
        f"threat.{of}.{name}": KEYWORD
        for of in ("tactic", "technique", "technique.subtechnique")
        for name in ("id", "name", "reference")
    },
    **dict.fromkeys(("vulnerability.id", "vulnerability.reference"), KEYWORD),
    **dict.fromkeys(("related.hash", "related.hosts", "related.user"), KEYWORD),
    **dict.fromkeys(("message", "user.email", "host.os.version"), KEYWORD),
    **dict.fromkeys(("organization.name", "package.name", "package.version"), KEYWORD),
    "vulnerability.enumeration": KEYWORD,
    "vulnerability.score.base": FLOAT,
}
OWN = {
    "timestamp_nanoseconds": DATE,
    "event_type_id": LONG,
    "computer.external_ip": IP,
    "computer.active": BOOLEAN,
    "computer.network_addresses": FLATTENED,
    "vulnerabilities": FLATTENED,
    "tactics": FLATTENED,
    "techniques": FLATTENED,
    "threat_hunting.tactics": FLATTENED,
    "threat_hunting.techniques": FLATTENED,
    "threat_hunting.incident_id": LONG,
    "threat_hunting.incident_start_time": DATE,
    "threat_hunting.incident_end_time": DATE,
    "bp_data": FLATTENED,
    "error.error_code": LONG,
    "scan.clean": BOOLEAN,
    **dict.fromkeys((f"scan.{name}" for name in ("scanned_files", "scanned_processes", "scanned_paths")), LONG),
    "scan.malicious_detections": LONG,
    **dict.fromkeys(("detection", "detection_id", "connector_guid", "group_guids", "scan.description"), KEYWORD),
    **dict.fromkeys(("computer.connector_guid", "file.disposition", "file.parent.disposition"), KEYWORD),
    **dict.fromkeys(("cloud_ioc.description", "cloud_ioc.short_description", "error.description"), KEYWORD),
    **dict.fromkeys(("command_line.arguments", "related.mac", "related.cve"), KEYWORD),
}
"""Of ``cisco.secure_endpoint``; others have no type there."""

OWN_OF_ORGANISATION = {
    **dict.fromkeys(("old_attributes", "new_attributes", "cves", "computers", "groups", "isolation"), FLATTENED),
    **dict.fromkeys(("audit_log_type", "audit_log_id", "item", "created_at", "policy.guid", "policy.name"), KEYWORD),
    **dict.fromkeys(("active", "is_compromised", "demo"), BOOLEAN),
    **dict.fromkeys(("computers_total_count", "computers_seen", "computers_silent", "event.id"), LONG),
    "is_complete": BOOLEAN,
    "limits": KEYWORD,
    "external_ip": IP,
}
"""Likewise, in audit logs, computers, vulnerabilities and hunts."""

WORDS = {
    "event.kind": {"alert", "event", "asset", "state"},
    "event.category": {
        *("malware", "file", "network", "intrusion_detection", "vulnerability", "host", "package"),
        *("configuration", "iam", "authentication"),
    },
    "event.outcome": {"success", "failure", "unknown"},
    "host.os.type": {"windows", "linux", "macos", "ios", "android"},
    "network.direction": {"ingress", "egress"},
}
TYPES = {
    "authentication": {"start", "end", "info"},
    "malware": {"info"},
    "file": {"access", "change", "creation", "deletion", "info"},
    "network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
    "intrusion_detection": {"allowed", "denied", "info"},
    "vulnerability": {"info"},
    "host": {"access", "change", "end", "info", "start"},
    "package": {"access", "change", "deletion", "info", "installation", "start"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
}
"""What ``event.type`` may be in a category."""


def faults(record: Record) -> list[str]:
    """What does not fit."""
    ecs = {name: value for name, value in record.items() if name != "cisco"}
    own = record["cisco"]["secure_endpoint"]
    found = [
        f"{path}: no field" if path not in FIELDS else f"{path}: {value!r} is no {FIELDS[path]}"
        for path, value in _leaves(ecs)
        if not _fits(FIELDS.get(path, ""), value)
    ]
    is_event = record["event"]["dataset"].endswith(".event")
    for path, type_ in (OWN if is_event else OWN_OF_ORGANISATION).items():
        value: Any = own
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not _fits_all(type_, value):
            found.append(f"cisco.secure_endpoint.{path}: {value!r} is no {type_}")
    for path, value in _leaves(ecs):
        if path in WORDS and value not in WORDS[path]:
            found.append(f"{path}: {value!r}")
    event = record["event"]
    allowed = set().union(*(TYPES[each] for each in event.get("category", ())))
    if set(event.get("type", ())) - allowed:
        found.append(f"event.type: {event['type']} in {event['category']}")
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value


def _fits_all(type_: str, value: Any) -> bool:
    if type_ == FLATTENED:
        return isinstance(value, dict) or all(isinstance(item, dict) for item in value)
    return all(_fits(type_, item) for item in (value if isinstance(value, list) else [value]))


def _fits(type_: str, value: Any) -> bool:
    match type_:
        case "keyword":
            return isinstance(value, str | int | float | bool)
        case "long":
            return type(value) is int and -(2**63) <= value < 2**63
        case "float":
            return isinstance(value, float)
        case "boolean":
            return isinstance(value, bool)
        case "ip":
            return _is_ip(value)
        case "date":
            return type(value) is int or _is_date(value)
    return False


def _is_ip(value: Any) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return isinstance(value, str)


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[\d-]+T[\d:]+(\.\d+)?Z", value):
        return False
    return datetime.fromisoformat(value[:19]).year > 1969
