"""The record of one hour of one stream, and the seal by which a change to it shows.  Pure.

The hash of a record is the SHA-256 of its canonical JSON: keys sorted, no white space, UTF-8, without ``hash`` and
``hmac``.  ``previous`` is the hash of the stream's record before; so no record can be changed or taken away without
every later one changing, too.  Whoever can write all of them anew can do that; ``hmac``, over the same bytes, needs a
key besides.

A record always has all of `FIELDS`.  A field that is missing in what a SIEM exports is null here, and whatever the
SIEM has added does not count.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec

FORMAT = 1
"""Of the fields and their canonical JSON.  A change of either has another number."""
HOUR_S = 3600
LAST_SECOND = 2**32 - 1
"""The latest time that a record can carry."""
MAX_GAPS = 100
"""In one record; of more, those that are closest together are told as one."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Kind(enum.Enum):
    """What a field holds, if not null."""

    TEXT = enum.auto()
    INTEGER = enum.auto()
    GAPS = enum.auto()
    PLUGIN = enum.auto()


FIELDS: Mapping[str, Kind] = {
    "format": Kind.INTEGER,
    "stream": Kind.TEXT,
    "organisation": Kind.TEXT,
    "hour": Kind.TEXT,
    "revision": Kind.INTEGER,
    "looked_at": Kind.TEXT,
    "delayed_by": Kind.INTEGER,
    "in_cloud": Kind.INTEGER,
    "delivered": Kind.INTEGER,
    "missing": Kind.INTEGER,
    "repaired": Kind.INTEGER,
    "not_known": Kind.INTEGER,
    "not_known_why": Kind.TEXT,
    "dropped": Kind.INTEGER,
    "dead_letters": Kind.INTEGER,
    "duplicates": Kind.INTEGER,
    "newest_event": Kind.TEXT,
    "queue_depth": Kind.INTEGER,
    "other_consumers": Kind.INTEGER,
    "gaps": Kind.GAPS,
    "plugin": Kind.PLUGIN,
    "sequence": Kind.INTEGER,
    "previous": Kind.TEXT,
    "hash": Kind.TEXT,
    "hmac": Kind.TEXT,
}
GAP_FIELDS = ("from", "to", "why")
PLUGIN_FIELDS = ("version", "instance")
_SEAL = ("hash", "hmac")

Record = dict[str, Any]


class Gap(NamedTuple):
    """A time in which the plugin could not receive, or not deliver; seconds since the epoch."""

    since: int
    until: int
    why: str

    def as_json(self) -> dict[str, str]:
        """As it stands in a record."""
        return dict(zip(GAP_FIELDS, (moment(self.since), moment(self.until), self.why), strict=True))


@dataclass(frozen=True, slots=True)
class Figures:
    """What a look at one hour of one stream found; None: nobody could tell."""

    in_cloud: int | None = None
    """Events that the cloud has of this hour, but for the dropped ones."""
    missing: int | None = None
    """Of these: neither delivered, as far as the state file knows, nor `not_known`."""
    repaired: int | None = None
    """Events delivered because of this look.  Of events that are alike, also some that were not missing."""
    not_known: int | None = None
    """Events of which the state file cannot tell."""
    not_known_why: str | None = None
    dropped: int | None = None
    """Events that ``drop_event_types`` names."""
    dead_letters: int | None = None
    """That the plugin sent during this hour, by its own clock; so for the next one."""
    duplicates: int | None = None
    newest_event: int | None = None
    """When the newest event happened that was received in this hour; seconds since the epoch."""
    queue_depth: int | None = None
    """Messages that wait in the queue now."""
    other_consumers: int | None = None
    """Other consumers of the queue now: each of them takes a part of the stream."""
    gaps: tuple[Gap, ...] = ()
    cloud_total: int | None = None
    """How many events the cloud says it has of this hour.  It is not in the record: while it stays the same, an hour
    that was clean is not looked at again."""

    @property
    def delivered(self) -> int | None:
        """The rest of those in the cloud."""
        if self.in_cloud is None or self.missing is None or self.not_known is None:
            return None
        return self.in_cloud - self.missing - self.not_known

    @property
    def is_clean(self) -> bool:
        """All that the cloud has was delivered."""
        return self.in_cloud is not None and self.delivered == self.in_cloud

    @property
    def what_counts(self) -> tuple[int | None, ...]:
        """What another look has to find different to be worth another record."""
        return self.in_cloud, self.missing, self.not_known, self.repaired or None


@dataclass(frozen=True, slots=True)
class Link:
    """The end of a stream's chain: the next record is joined to it."""

    sequence: int = 0
    """Of the last record; the first one has 1."""
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes a record."""

    stream: str
    organisation: str | None
    version: str
    instance: str
    """A name that the plugin draws for each new state file: one chain has one."""


def compose(
    origin: Origin,
    hour: int,
    revision: int,
    figures: Figures,
    *,
    looked_at: float,
    delayed_by: int | None,
    after: Link,
    key: bytes | None,
) -> Record:
    """The sealed record of an hour, that follows ``after``.

    Args:
        origin: who makes it.
        hour: its first second, since the epoch.
        revision: 1 for the first record of the hour.
        figures: what was found.
        looked_at: when; seconds since the epoch.
        delayed_by: seconds after the time at which it was due, where that is worth a word.
        after: the end of the chain.
        key: for the HMAC; None: there is none.
    """
    record: Record = {
        "format": FORMAT,
        "stream": origin.stream,
        "organisation": origin.organisation,
        "hour": moment(hour),
        "revision": revision,
        "looked_at": moment(looked_at),
        "delayed_by": delayed_by,
        "in_cloud": figures.in_cloud,
        "delivered": figures.delivered,
        "missing": figures.missing,
        "repaired": figures.repaired,
        "not_known": figures.not_known,
        "not_known_why": figures.not_known_why,
        "dropped": figures.dropped,
        "dead_letters": figures.dead_letters,
        "duplicates": figures.duplicates,
        "newest_event": None if figures.newest_event is None else moment(figures.newest_event),
        "queue_depth": figures.queue_depth,
        "other_consumers": figures.other_consumers,
        "gaps": [gap.as_json() for gap in fewer(figures.gaps)],
        "plugin": {"version": origin.version, "instance": origin.instance},
        "sequence": after.sequence + 1,
        "previous": after.hash,
    }
    return seal(record, key)


def seal(record: Mapping[str, Any], key: bytes | None) -> Record:
    """The same with its ``hash`` and ``hmac``."""
    sealed = {name: record.get(name) for name in FIELDS}
    said = canonical(sealed)
    sealed["hash"] = hashlib.sha256(said).hexdigest()
    sealed["hmac"] = None if key is None else hmac.new(key, said, hashlib.sha256).hexdigest()
    return sealed


def canonical(record: Mapping[str, Any]) -> bytes:
    """What is hashed: its `FIELDS` without the seal."""
    return _encode({name: record.get(name) for name in FIELDS if name not in _SEAL})


def is_hash_right(record: Mapping[str, Any]) -> bool:
    """Whether nothing in it was changed, unless its hash was changed as well."""
    return bool(record.get("hash") == hashlib.sha256(canonical(record)).hexdigest())


def is_hmac_right(record: Mapping[str, Any], key: bytes) -> bool:
    """Whether somebody sealed it who has the key."""
    given = record.get("hmac")
    if type(given) is not str:
        return False
    return hmac.compare_digest(given.encode(), hmac.new(key, canonical(record), hashlib.sha256).hexdigest().encode())


def body_of(record: Record) -> bytes:
    """The record as it is kept and sent: the same bytes for the same record."""
    return _encode(record)


def fewer(gaps: Sequence[Gap], most: int = MAX_GAPS) -> list[Gap]:
    """At most so many, in order: neighbours become one, those first that have the least time between them."""
    joined = sorted(gaps)
    while len(joined) > most:
        place = min(range(len(joined) - 1), key=lambda each: joined[each + 1].since - joined[each].until)
        one, other = joined[place : place + 2]
        why = one.why if one.why == other.why else "several, in short order"
        joined[place : place + 2] = [Gap(one.since, max(one.until, other.until), why)]
    return joined


def moment(at: float) -> str:
    """``2026-11-28T09:00:00Z``."""
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def second_of(text: object) -> int | None:
    """The other way round; None: it is no such text."""
    if type(text) is not str or len(text) != len("2026-11-28T09:00:00Z"):
        return None
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return int(at.timestamp())
