"""Which events ask for a hunt, and what is noted of them.  Pure.

An event asks when its file is malicious, or when it is of one of the configured types.  It is looked at as Cisco sent
it, before anything is obfuscated: the hunt needs the hash.  An event that does not ask costs a look or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from fluent_plugin_amp.hashes import is_sha256
from fluent_plugin_amp.model import Record

MAX_TEXT = 256
"""Characters of a noted text."""

_FIELDS = (
    ("event", "id"),
    ("event", "event_type"),
    ("event", "event_type_id"),
    ("event", "detection"),
    ("event", "date"),
    ("file", "file_name"),
    ("file", "disposition"),
    ("computer", "connector_guid"),
    ("computer", "hostname"),
)
"""What is told: numbers, and texts that are not too long."""


class Ask(NamedTuple):
    """A hunt that an event asks for."""

    line: str
    """Of the hunts of its organisation."""
    sha256: str
    """Lower case."""
    stream: str
    values: tuple[Any, ...] = ()
    """Of `_FIELDS`, as they came."""

    @property
    def event(self) -> dict[str, Any]:
        """What is told of the event, by the names in the record of a hunt; made only where there is to be one."""
        told: dict[str, dict[str, Any]] = {"event": {"stream": self.stream}, "file": {}, "computer": {}}
        for (part, name), value in zip(_FIELDS, self.values, strict=False):
            if type(value) is int:
                told[part][name] = value
            elif type(value) is str and value:
                told[part][name] = value[:MAX_TEXT]
        return told


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
        if type(sha256) is not str or not is_sha256(sha256):
            return None
        computer = record.get("computer")
        guid, hostname = record.get("connector_guid"), None
        if type(computer) is dict:
            guid, hostname = computer.get("connector_guid") or guid, computer.get("hostname")
        get = record.get
        values = (
            *(get("id"), get("event_type"), get("event_type_id"), get("detection"), get("date")),
            *(file.get("file_name"), disposition, guid, hostname),
        )
        return Ask(self.line, sha256.lower(), self.stream, values)
