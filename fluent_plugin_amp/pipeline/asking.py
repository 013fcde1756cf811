"""Which events ask for a hunt, and what is noted of them.  Pure.

An event asks when its file is malicious, or when it is of one of the configured types.  It is looked at as Cisco sent
it, before anything is obfuscated: the hunt needs the hash.  An event that does not ask costs a look or two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from fluent_plugin_amp.model import Record

MAX_TEXT = 256
"""Characters of a noted text."""

_is_sha256 = re.compile(r"[0-9a-fA-F]{64}").fullmatch


class Ask(NamedTuple):
    """A hunt that an event asks for."""

    line: str
    """Of the hunts of its organisation."""
    sha256: str
    """Lower case."""
    event: dict[str, Any]
    """What is told of the event: its fields, by their names in the record of a hunt."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Looks at the events of one stream.

    Args:
        line: of the hunts of the stream's organisation.
        stream: its name.
        event_types: the types that ask; None: whatever type, if the file is malicious.
    """

    line: str
    stream: str
    event_types: frozenset[int] | None = None

    def __call__(self, record: Record) -> Ask | None:
        """What this event asks for; None: nothing."""
        file = record.get("file")
        if type(file) is not dict:
            return None
        disposition = file.get("disposition")
        if self.event_types is None:
            if disposition != "Malicious":
                return None
        else:
            type_id = record.get("event_type_id")
            if type(type_id) is not int or type_id not in self.event_types or disposition == "Clean":
                return None
        identity = file.get("identity")
        sha256 = identity.get("sha256") if type(identity) is dict else None
        if type(sha256) is not str or _is_sha256(sha256) is None:
            return None
        return Ask(self.line, sha256.lower(), self._told(record, file))

    def _told(self, record: Record, file: Record) -> dict[str, Any]:
        computer = record.get("computer")
        if type(computer) is not dict:
            computer = {}
        guid = computer.get("connector_guid") or record.get("connector_guid")
        return {
            "event": _plain(
                {"stream": self.stream}
                | {name: record.get(name) for name in ("id", "event_type", "event_type_id", "detection", "date")}
            ),
            "file": _plain({name: file.get(name) for name in ("file_name", "disposition")}),
            "computer": _plain({"connector_guid": guid, "hostname": computer.get("hostname")}),
        }


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Numbers, and texts that are not too long; nothing else."""
    cut = {name: value[:MAX_TEXT] if type(value) is str else value for name, value in fields.items()}
    return {name: value for name, value in cut.items() if type(value) is int or (type(value) is str and value)}
