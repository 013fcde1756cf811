"""What is known of an organisation's vulnerable programs, and which are new or have changed.  Pure.

A program is known by the SHA-256 of its file, its version and its name.  It has changed when its list of CVEs has, or
the computers that have it.  What is no longer vulnerable just stops to appear: the cloud does not tell when.

The cloud lists 1000 computers of a program at most.  Of one that has more, the computers have changed when their
number has.  A program with many computers is told in parts of `COMPUTERS_EACH`, so that no record grows beyond what a
server takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

COMPUTERS_EACH = 1000
"""In one record: some 200 kB."""
MAX_PROGRAMS = 200_000
"""That are remembered; of more, those that were seen first are forgotten, and are new again."""
BUCKETS = 64
KEY_BYTES, HALF = 16, 8
ROW_BYTES = KEY_BYTES + 2 * HALF

OURS = frozenset({"organisation", "change", "changed", "part", "parts"})
"""Fields of a record that are never taken from a program."""

Json = dict[str, Any]

_encode = msgspec.json.Encoder(order="deterministic").encode


class Change(NamedTuple):
    """What is to be told of a program."""

    change: Literal["appeared", "changed"]
    changed: list[str]
    """``cves``, ``computers`` or both; empty for one that appeared."""


class Programs:
    """All vulnerable programs of one organisation, as far as they are known."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}
        self._dirty: set[int] = set()
        self._taken: tuple[bytes, bytes] | None = None

    def __len__(self) -> int:
        return len(self._known)

    def take(self, program: Json) -> Change | None:
        """An entry of ``GET /v1/vulnerabilities`` came; None: it is as it was.

        A change is known when `told` is called: until then it is found, and told, again.
        """
        key = hashlib.blake2b(key_of(program).encode(), digest_size=KEY_BYTES).digest()
        cves = program.get("cves")
        of_cves = _digest(sorted(_ids(cves if type(cves) is list else [], "id")))
        listed = program.get("computers")
        computers = listed if type(listed) is list else []
        is_whole = is_complete(program)
        of_computers = _digest(
            sorted(_ids(computers, "connector_guid")) if is_whole else program["computers_total_count"]
        )
        known = self._known.get(key)
        if known == of_cves + of_computers:
            self._known[key] = self._known.pop(key)  # the last one to be forgotten
            return None
        self._taken = key, of_cves + of_computers
        if known is None:
            return Change("appeared", [])
        halves = (("cves", known[:HALF], of_cves), ("computers", known[HALF:], of_computers))
        return Change("changed", [name for name, before, after in halves if before != after])

    def told(self) -> None:
        """All of the change that `take` returned last was handed in."""
        assert self._taken is not None
        key, value = self._taken
        self._known.pop(key, None)
        self._known[key] = value
        self._dirty.add(key[0] % BUCKETS)
        while len(self._known) > MAX_PROGRAMS:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._dirty.add(oldest[0] % BUCKETS)

    def rows(self) -> dict[str, bytes | None]:
        """By name, what has changed since this was asked last, to be kept; None: nothing of it is left."""
        buckets: dict[int, list[bytes]] = {number: [] for number in self._dirty}
        for key, value in self._known.items():
            if (bucket := buckets.get(key[0] % BUCKETS)) is not None:
                bucket.append(key + value)
        self._dirty = set()
        return {f"bucket {number:02x}": b"".join(rows) or None for number, rows in buckets.items()}

    def restore(self, rows: Mapping[str, bytes]) -> list[str]:
        """Take up what was kept; returns the names of rows of which nothing can be made."""
        odd = []
        for name, data in rows.items():
            if name.startswith("bucket "):
                if len(data) % ROW_BYTES:
                    odd.append(name)
                    continue
                for at in range(0, len(data), ROW_BYTES):
                    self._known[data[at : at + KEY_BYTES]] = data[at + KEY_BYTES : at + ROW_BYTES]
        return odd


def key_of(program: Json) -> str:
    """By what it is known: the SHA-256 of its file, its version and its name.  Some have no file."""
    return _encode([sha256_of(program), program.get("version"), program.get("application")]).decode()


def sha256_of(program: Json) -> str:
    """In lower case, as Cisco writes either; empty where there is none."""
    file = program.get("file")
    identity = file.get("identity") if type(file) is dict else None
    sha256 = identity.get("sha256") if type(identity) is dict else None
    return sha256.lower() if isinstance(sha256, str) else ""


def is_complete(program: Json) -> bool:
    """It lists all of its computers."""
    count, listed = program.get("computers_total_count"), program.get("computers")
    return type(count) is not int or count <= (len(listed) if type(listed) is list else 0)


def parts_of(program: Json) -> int:
    """In how many records a program is told, as far as the number of its computers is known."""
    count = program.get("computers_total_count")
    return max(1, -(-count // COMPUTERS_EACH)) if type(count) is int else 1


def record_of(
    organisation: str, program: Json, change: Change, computers: Sequence[Json], *, part: int, parts: int
) -> Json:
    """What is told of a program, with all of its computers or a part of them."""
    record: Json = {"organisation": organisation, "change": change.change}
    if change.changed:
        record["changed"] = change.changed
    if parts > 1:
        record |= {"part": part, "parts": parts}
    told = {name: value for name, value in program.items() if name not in OURS}
    return record | told | {"computers": [_without_links(computer) for computer in computers]}


def _without_links(computer: Json) -> Json:
    """They lead to the REST API, and are made of the GUID."""
    return {name: value for name, value in computer.items() if name != "links"}


def _ids(items: Sequence[Any], name: str) -> Iterator[str]:
    return (str(item.get(name)).lower() for item in items if type(item) is dict)


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(_encode(value), digest_size=HALF).digest()
