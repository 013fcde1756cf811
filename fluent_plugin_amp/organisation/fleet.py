"""What is known of an organisation's computers, and what has changed since.  Pure.

Of each computer a digest of every field is kept, some 100 bytes, its host name, and what `pipeline.names` needs.  So
it can be told which fields changed, but not from what.  `last_seen` changes with every report of a computer, and so
does, nearly as often, when its definitions were updated: that alone is no change.  Lists are compared whatever their
order.

What is known is kept in `BUCKETS` parts, so that a change has one part written again, not everything.  Those that
appear are kept before they are told (`newcomers`): after a crash they appear again, or are told as gone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from fluent_plugin_amp.pipeline.names import MAX_COMPUTERS, MAX_NAME, Computer, Names, computer_of

BUCKETS = 1024
"""Where 50,000 computers are known one has 50 of them: to write it takes a fraction of a millisecond."""
_NAMES = tuple(f"bucket {number:03x}" for number in range(BUCKETS))
FIELD_BYTES = 5
"""Of a field's digest: a byte for its name, and four for its value."""
MAX_FIELDS = 250
"""Names of fields that are told apart, of all computers together; Cisco's have some thirty."""
MAX_BUCKET_BYTES = 64 * 1024 * 1024
"""Unpacked: a bucket that was kept and is larger is none."""
MAX_PACKED_BYTES = 16 * 1024 * 1024
"""Of a bucket: one that is larger is not kept, only known; its computers appear again after a restart.  Where
50,000 computers are known it has 3 KB."""
NEWCOMERS = "newcomers "
"""How the names of rows begin that `newcomers` makes."""
LEVELS_IN_ORDER = 8
"""Deeper within a field lists are compared in the order in which they come; Cisco's fields have two levels."""
UNSTEADY = "last_seen"
_UPDATED_AT = ("av_update_definitions", "updated_at")
OTHER = "other"
"""Stands for fields beyond `MAX_FIELDS`, and for those whose names are not known any more."""

Json = dict[str, Any]

_NOBODY = Computer()
_encode = msgspec.json.Encoder(order="deterministic").encode
_pack = msgspec.msgpack.Encoder().encode
_unpack_bucket = msgspec.msgpack.Decoder(list[tuple[str, bytes, str, Computer]]).decode
_unpack_newcomers = msgspec.msgpack.Decoder(list[tuple[str, str]]).decode
_unpack_fields = msgspec.msgpack.Decoder(list[str]).decode


class _Known(msgspec.Struct, frozen=True, gc=False):
    """It holds no container, so it is in no cycle, and the garbage collector need not look at it."""

    digests: bytes
    """Empty: it may have been told as appeared, or not."""
    hostname: str


class Change(NamedTuple):
    """What is to be told of a computer."""

    change: Literal["appeared", "changed", "gone"]
    changed: list[str]
    """Names of the fields; empty but for ``changed``."""
    computer: Json
    """As the cloud told it; of one that has gone GUID and host name."""
    is_kept: bool = False
    """Of one that appeared: it is kept already, as one that may have been told."""


class Fleet:
    """All computers of one organisation.

    Args:
        names: learns what events need of each computer.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.left_out = 0
        """Computers that were neither told nor known, as often as they were taken: there were `MAX_COMPUTERS`."""
        self._count = 0
        self._buckets: list[dict[str, _Known]] = [{} for _ in range(BUCKETS)]
        self._fields: list[str] = []
        self._numbers: dict[str, int] = {}
        self._dirty: set[int] = set()
        self._fields_kept = 0
        self._former: list[str] = []  # rows of another division into buckets

    def __len__(self) -> int:
        return self._count

    def guids(self) -> Iterator[str]:
        """Of all computers, in lower case."""
        for bucket in self._buckets:
            yield from list(bucket)

    def take(self, computer: Json) -> Change | None:
        """An entry of ``GET /v1/computers`` came, with its GUID; None: it is as it was, or left out."""
        guid = str(computer["connector_guid"]).lower()
        digests = self._digests(computer)
        known = self._buckets[_bucket_of(guid)].get(guid)
        if known is not None and known.digests == digests:
            return None
        if known is None and self._count >= MAX_COMPUTERS:
            self.left_out += 1
            return None
        self._put(guid, _Known(digests, _hostname_of(computer)), computer_of(computer))
        if known is None or not known.digests:
            return Change("appeared", [], computer, is_kept=known is not None)
        return Change("changed", self._changed(known.digests, digests), computer)

    def lose(self, guid: str) -> Change | None:
        """The computer is not in the list any more; None: it is not known either."""
        known = self._buckets[_bucket_of(guid.lower())].pop(guid.lower(), None)
        if known is None:
            return None
        self._count -= 1
        self._dirty.add(_bucket_of(guid.lower()))
        self.names.forget_computer(guid)
        return Change("gone", [], {"connector_guid": guid.lower(), "hostname": known.hostname})

    # --- what is kept ----------------------------------------------------------------------------

    def rows(self) -> Iterator[tuple[str, bytes | None]]:
        """Name and data of what has changed since this was asked last, to be kept; None: nothing of it is left.

        Each is made when its turn comes: of 50,000 computers all together take half a second.
        """
        if len(self._fields) > self._fields_kept:
            self._fields_kept = len(self._fields)
            yield "fields", _pack(self._fields)
        while self._former:
            yield self._former.pop(), None
        dirty, self._dirty = self._dirty, set()
        for number in dirty:
            computers = [
                (guid, known.digests, known.hostname, self.names.computers.get(guid, _NOBODY))
                for guid, known in self._buckets[number].items()
            ]
            data = zlib.compress(_pack(computers), 1) if computers else b""
            yield _NAMES[number], data if 0 < len(data) <= MAX_PACKED_BYTES else None

    def restore(self, rows: Mapping[str, bytes]) -> Iterator[str | None]:
        """Take up what was kept, row by row; gives the name of a row of which nothing can be made, else None.

        The computers of such a row appear again.
        """
        if "fields" in rows:
            try:
                for name in _unpack_fields(rows["fields"])[:MAX_FIELDS]:
                    self._number(name)
            except msgspec.MsgspecError:
                yield "fields"
        self._fields_kept = len(self._fields)
        for name, data in rows.items():
            if name.startswith("bucket "):
                yield None if self._restore_bucket(data) else name
        self._former = [name for name in rows.keys() - set(_NAMES) if name.startswith("bucket ")]
        self._dirty = {number for number, bucket in enumerate(self._buckets) if bucket and self._former}
        for name, data in rows.items():
            if name.startswith(NEWCOMERS):
                yield None if self._restore_newcomers(data) else name

    def _restore_newcomers(self, data: bytes) -> bool:
        """Whether anything can be made of it."""
        try:
            computers = _unpack_newcomers(unpacked(data))
        except (msgspec.MsgspecError, zlib.error, ValueError):
            return False
        for guid, hostname in computers:
            if guid not in self._buckets[_bucket_of(guid)]:
                self._put(guid, _Known(b"", hostname), None)
        return True

    def _restore_bucket(self, data: bytes) -> bool:
        """Whether anything can be made of it."""
        try:
            computers = _unpack_bucket(unpacked(data))
        except (msgspec.MsgspecError, zlib.error, ValueError):
            return False
        for guid, digests, hostname, named in computers:
            self._put(guid, _Known(digests, hostname), named if digests else None)
        return True

    def _put(self, guid: str, known: _Known, named: Computer | None) -> None:
        number = _bucket_of(guid)
        self._count += guid not in self._buckets[number]
        self._buckets[number][guid] = known
        self._dirty.add(number)
        if named is not None:
            self.names.learn_computer(guid, named)

    # --- what changed ----------------------------------------------------------------------------

    def _digests(self, computer: Json) -> bytes:
        """Of each field, in the order of their numbers; those beyond `MAX_FIELDS` have one together."""
        found: dict[int, int] = {}
        for name, value in computer.items():
            if name == UNSTEADY or value is None:
                continue
            if name == _UPDATED_AT[0] and type(value) is dict:
                value = {key: each for key, each in value.items() if key != _UPDATED_AT[1]}
            written = _encode([name, _in_order(value)])
            number = self._number(name)
            found[number] = (found.get(number, 0) + zlib.crc32(written)) % 2**32
        return b"".join(bytes([number]) + found[number].to_bytes(FIELD_BYTES - 1, "big") for number in sorted(found))

    def _number(self, name: str) -> int:
        """Of a field's name; one more for all that are beyond `MAX_FIELDS`."""
        number = self._numbers.get(name)
        if number is None:
            if len(self._fields) >= MAX_FIELDS:
                return MAX_FIELDS
            number = self._numbers[name] = len(self._fields)
            self._fields.append(name[:MAX_NAME])
        return number

    def _changed(self, before: bytes, after: bytes) -> list[str]:
        differing = set(_parts(before)) ^ set(_parts(after))
        numbers = sorted({part[0] for part in differing})
        return [self._fields[number] if number < len(self._fields) else OTHER for number in numbers]


def newcomers(changes: Iterable[Change]) -> bytes | None:
    """Those of them that appear and are not kept, as `Fleet.restore` takes them; None: there are none."""
    found = [
        (str(each.computer["connector_guid"]).lower(), _hostname_of(each.computer))
        for each in changes
        if each.change == "appeared" and not each.is_kept
    ]
    return zlib.compress(_pack(found), 1) if found else None


def record_of(organisation: str, change: Change) -> Json:
    """What is told of a computer."""
    record: Json = {"organisation": organisation, "change": change.change}
    if change.changed:
        record["changed"] = change.changed
    return record | {"computer": change.computer}


def _hostname_of(computer: Json) -> str:
    return str(computer.get("hostname") or "")[:MAX_NAME]


def _parts(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + FIELD_BYTES] for at in range(0, len(digests), FIELD_BYTES))


def _bucket_of(guid: str) -> int:
    return zlib.crc32(guid.encode("utf-8", "surrogatepass")) % BUCKETS


def _in_order(value: Any, levels: int = LEVELS_IN_ORDER) -> Any:
    """``value`` with its lists sorted: the cloud gives addresses and groups in any order."""
    if levels and type(value) is dict:
        return {key: _in_order(each, levels - 1) for key, each in value.items()}
    if levels and type(value) is list:
        items = [_in_order(each, levels - 1) for each in value]
        return sorted(items, key=_encode) if len(items) > 1 else items
    return value


def unpacked(data: bytes) -> bytes:
    """A row that was compressed, up to `MAX_BUCKET_BYTES` of it.

    Raises:
        ValueError: it is larger, or cut off.
        zlib.error: it is no such row.
    """
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(data, MAX_BUCKET_BYTES)
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError("too large, or cut off")
    return unpacked
