"""What combined records are made from: of each event that takes part in one, a `Member`.  Pure.

Keys are taken from the event as Cisco sent it, since two events belong together whether or not their fields are
hidden; where a field is obfuscated, its key is a keyed hash of the original (the event's own hash, for ``method:
hash``).  Everything else that is shown in a record is taken from a copy that was obfuscated.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.links import SOURCES, Links
from fluent_plugin_amp.pipeline.names import FIELD as NAMES_FIELD
from fluent_plugin_amp.pipeline.names import Naming, is_made
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, keyed_hash

THREAT_DETECTED = 1090519054
RETROSPECTIVE_DETECTION = 553648147
THREAT_QUARANTINED = 553648143
RETROSPECTIVE_QUARANTINE = 553648155
QUARANTINE_FAILURE = 2164260880
RETROSPECTIVE_QUARANTINE_FAILURE = 2164260893

DETECTION_TYPES = frozenset({THREAT_DETECTED, RETROSPECTIVE_DETECTION})
QUARANTINE_TYPES = frozenset({THREAT_QUARANTINED, RETROSPECTIVE_QUARANTINE})
FAILURE_TYPES = frozenset({QUARANTINE_FAILURE, RETROSPECTIVE_QUARANTINE_FAILURE})
COMBINED_TYPES = DETECTION_TYPES | QUARANTINE_TYPES | FAILURE_TYPES
"""Cisco's list of what is to be combined by ``detection_id``."""


_NAMED = ("id", "event_type", "detection", "severity")
_SHOWN = tuple(dict.fromkeys([*_NAMED, "computer", "file", *(source.split(".")[0] for source in SOURCES)]))
"""The fields of an event that a combined record may show, itself or in a link."""

MAX_SECONDS = 2**32 - 1
"""Of an event's time (`decode.event_time`)."""
MAX_SHOWN_BYTES = 32 * 1024 * 1024

MAX_NAMES = 10_000
"""Of events, detections, severities and computers that a `MemberMaker` knows again."""

MAX_TEXT = 1024
"""Characters of a key, an id or a name in combined records, of which very many wait: a longer one counts as missing,
and so does one of another type than Cisco documents."""
MAX_DETAILS_BYTES = 64 * 1024
"""Compressed, of one detection's ``computer``, ``file`` and links; larger ones are left out of its record."""


Order = tuple[int, int, str, bytes]
"""Seconds, nanoseconds, id, digest: no two events have the same."""


class Member(NamedTuple):
    """One event's part in combined records."""

    digest: bytes
    """Of the body: an event that comes twice is one member."""
    seconds: int
    nanoseconds: int
    event_id: Any
    """As shown; None when the event has none."""
    event_type: Any
    event_type_id: int | None
    detection: Any
    severity: Any
    detection_id: str | None
    """A key, like the next three."""
    sha256: str | None
    computer: str | None
    remote_ip: str | None
    details: bytes
    """What `shown` gives: JSON, compressed, since many wait; empty but for what `is_combined`."""
    names: dict[str, Any] | None = None
    """The names that the event has (`pipeline.names`)."""

    @property
    def shown(self) -> list[Any]:
        """``computer``, ``file`` and ``console_links`` as they are shown."""
        shown: list[Any] = msgspec.json.decode(zlib.decompress(self.details))
        return shown

    @property
    def is_whole(self) -> bool:
        """It is as a `MemberMaker` makes them: for one that was kept elsewhere."""
        try:
            parts = msgspec.json.decode(_decompressed(self.details), type=list[Any]) if self.details else [None] * 3
        except (zlib.error, msgspec.MsgspecError, ValueError):
            return False
        is_time = 0 <= self.seconds <= MAX_SECONDS and 0 <= self.nanoseconds < 1_000_000_000
        is_named = self.names is None or is_made(self.names)
        return is_time and is_named and len(parts) == 3 and (parts[2] is None or type(parts[2]) is dict)

    @property
    def is_combined(self) -> bool:
        """It belongs to a detection."""
        return self.detection_id is not None and self.event_type_id in COMBINED_TYPES

    @property
    def order(self) -> Order:
        """By time; where that is the same, by id, those without one first."""
        name = "" if self.event_id is None else str(self.event_id)
        return self.seconds, self.nanoseconds, name.rjust(20), self.digest


class MemberMaker:
    """Makes the members of one stream; None for an event that takes no part.

    Args:
        obfuscate: the stream's rules.
        links: makes ``console_links``.
        secret: keys the hashes of fields that are masked or dropped.
        names: makes ``names``.
    """

    def __init__(
        self, obfuscate: Obfuscation | None, links: Links | None, secret: bytes, names: Naming | None = None
    ) -> None:
        self._obfuscate = obfuscate
        self._links = links
        self._make_names = names
        self._detection_id_key = self._hasher("detection_id", secret)
        self._sha256_key = self._hasher("file.identity.sha256", secret)
        self._remote_ip_key = self._hasher("network_info.remote_ip", secret)
        self._names: dict[int | str, int | str] = {}
        self._names_made: dict[bytes, dict[str, Any]] = {}
        self._computer_key = self._hasher("computer.connector_guid", secret) or self._hasher("connector_guid", secret)

    def __call__(self, record: Record, seconds: int, nanoseconds: int, digest: bytes) -> Member | None:
        """``record`` as decoded; it is not changed."""
        detection_id = text_at(record, "detection_id")
        if detection_id is None and text_at(record, "detection") is None:
            return None
        type_id = record.get("event_type_id")
        type_id = type_id if type(type_id) is int else None
        computer = _key(
            text_at(record, "computer", "connector_guid") or text_at(record, "connector_guid"), self._computer_key
        )
        keys = (
            _key(detection_id, self._detection_id_key),
            _key(text_at(record, "file", "identity", "sha256"), self._sha256_key),
            self._shared(computer),
            _key(text_at(record, "network_info", "remote_ip"), self._remote_ip_key),
        )
        is_combined = keys[0] is not None and type_id in COMBINED_TYPES
        shown = record
        names = self._make_names.of(record) if self._make_names is not None else None
        if self._obfuscate is not None:
            wanted = _SHOWN if is_combined or names is not None else _NAMED
            shown = {name: _copied(record[name]) for name in wanted if name in record}
            if names is not None:
                shown[NAMES_FIELD] = names
            self._obfuscate.apply(shown)
            names = shown.get(NAMES_FIELD) if names is not None else None
        details = b""
        if is_combined:
            links = self._links(shown) if self._links is not None else {}
            details = _details(shown.get("computer"), shown.get("file"), links)
        return Member(
            digest,
            seconds,
            nanoseconds,
            _shown(shown.get("id")),
            self._shared(_shown(shown.get("event_type"))),
            self._shared(type_id),
            self._shared(_shown(shown.get("detection"))),
            self._shared(_shown(shown.get("severity"))),
            *keys,
            details,
            None if type(names) is not dict else self._shared_names(names),
        )

    def _shared(self, value: Any) -> Any:
        """The same object for the same name: many thousand members have some hundred of them between them."""
        if type(value) is not str and type(value) is not int:
            return value
        if len(self._names) >= MAX_NAMES:
            self._names.clear()
        return self._names.setdefault(value, value)

    def _shared_names(self, names: dict[str, Any]) -> dict[str, Any]:
        """The same object for the same names: a computer has many events."""
        if len(self._names_made) >= MAX_NAMES:
            self._names_made.clear()
        return self._names_made.setdefault(msgspec.json.encode(names), names)

    def _hasher(self, source: str, secret: bytes) -> Callable[[str], str] | None:
        rule = self._obfuscate.rule_for(source) if self._obfuscate is not None else None
        if rule is None:
            return None
        if rule.method == "hash" and rule.path == source:
            return rule.replacement  # what the event shows
        return lambda value: keyed_hash(secret, value.lower())


def text_at(record: Record, *path: str) -> str | None:
    """The text at a path; None where there is none, or an empty one."""
    value: Any = record
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value if type(value) is str and value else None


def _shown(value: Any) -> int | float | str | None:
    """``value`` where a record can show it: a text, or a number, as a text where it exceeds 64 bits."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_TEXT else None
    if kind is int:
        return value if -(2**63) <= value < 2**64 else _shown(str(value))
    return value if kind is float else None


def _details(computer: Any, file: Any, links: dict[str, str]) -> bytes:
    details = zlib.compress(msgspec.json.encode([computer, file, links]), 1)
    return details if len(details) <= MAX_DETAILS_BYTES else zlib.compress(b"[null,null,{}]")


def _decompressed(details: bytes) -> bytes:
    """A bounded part of it: what was kept may have been written by anybody."""
    return zlib.decompressobj().decompress(details, MAX_SHOWN_BYTES)


def _key(value: str | None, hasher: Callable[[str], str] | None) -> str | None:
    if value is None or len(value) > MAX_TEXT:
        return None
    return hasher(value) if hasher is not None else value.lower()  # Cisco writes a SHA-256 in either case


def _copied(value: Any) -> Any:
    """A copy of what a JSON decoder made; `copy.deepcopy` takes ten times as long."""
    if type(value) is dict:
        return {name: _copied(item) for name, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value


def moment(seconds: int, nanoseconds: int) -> str:
    """ISO 8601, UTC, with nanoseconds."""
    return f"{_to_the_second(seconds)}.{nanoseconds:09}Z"


@lru_cache(maxsize=1024)  # events of one time come together
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().removesuffix("+00:00")


class Emission(NamedTuple):
    """A combined record that is to be sent."""

    stream: str
    kind: str
    """``detection`` or ``incident``."""
    name: str
    """Unique within stream and kind."""
    seconds: int
    nanoseconds: int
    record: Record
