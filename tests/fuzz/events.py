"""Events and message properties that no cloud should send, drawn from a `random.Random`.  Pure.

An event here is a body, valid JSON or not; each must become one record or one dead letter.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.hostile import hostile_bodies
from tests.fuzz.mutate import mutate

LONG_TEXT = 100_000
DEEPEST = 400
MOST_COLLISIONS = 2_000
LARGEST_BODY = 300_000

FIELDS = (
    *("id", "timestamp", "timestamp_nanoseconds", "date", "event_type", "event_type_id", "severity"),
    *("detection", "detection_id", "connector_guid", "group_guids", "computer", "file", "cloud_ioc", "tactics"),
    *("computer.connector_guid", "computer.hostname", "computer.external_ip", "computer.user", "computer.links"),
    *("computer.network_addresses", "computer.links.computer", "file.identity", "file.identity.sha256"),
    *("file.parent.identity.sha256", "file.disposition", "network_info", "network_info.remote_ip", "techniques"),
    *("threat_hunting", "threat_hunting.incident_id", "scan", "error", "vulnerabilities", "bp_data"),
)
"""Every one is read by some step."""

CASE_TYPES = (1090519054, 553648143, 2164260880, 553648155)
"""A detection, and what may follow it."""


def odd_value(random: Random, depth: int = 0) -> Any:
    """Any value of JSON, the odd ones first."""
    match random.randrange(18):
        case 0:
            return None
        case 1:
            return random.choice(([], {}, "", 0, -1, True, False))
        case 2:
            return random.choice((2**63, 2**64 - 1, -(2**63), 2**64, -(2**63) - 1, 10**400))
        case 3:
            return random.choice((0.5, -0.0, 1e308, 5e-324, 1593079552.25))
        case 4:
            return "x" * random.choice((1, 255, 256, 65_536, LONG_TEXT))
        case 5:
            return random.choice(("\n", "\x1b[31m", "\0", "‮", " ", "{stream}", "${HOME}", "../../etc", "a.b", "%s"))
        case 6:
            return random.choice(("NaN", "null", "1e999", "0x10", "١٢٣", "½", "1_000", " 77 ", "-0", "9" * 5_000))
        case 7:
            return nested(random.choice((60, 63, 64, 65, 100, 127, 128, DEEPEST)), lists=random.random() < 0.5)
        case 8 if depth < 3:
            return [odd_value(random, depth + 1) for _ in range(random.randrange(5))]
        case 9 if depth < 3:
            return {_key(random): odd_value(random, depth + 1) for _ in range(random.randrange(5))}
        case 10:
            return [[[]]] * random.randrange(1, 50)
        case 11:
            return random.choice(
                ("2020-06-25T10:05:52+00:00", "9999-12-31T23:59:59Z", "0000-00-00", "2020", "T", "∞")
            )
        case 12:
            return random.choice((1593079552000000, 253402300800, -1, 2**32, 2**31, 1e18))
        case 13:
            return f"{random.getrandbits(256):064x}"
        case _:
            return random.randrange(1000)


def nested(levels: int, *, lists: bool = False) -> Any:
    """So many maps or lists, each in the one before."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


def collisions(random: Random) -> dict[str, Any]:
    """Names that flatten to the same one, many times."""
    count = random.randint(2, MOST_COLLISIONS)
    separators = ("_", ".", "__", " ")
    event: dict[str, Any] = {"a": {"b": {"c": 1}}, "a_b": {"c": 2}, "a_b_c": 3}
    for number in range(count):
        depth = random.randint(1, 5)
        event["a" + random.choice(separators) * number] = nested(depth)
    event["a_b_c_2"] = event["a_b_c_3"] = 0
    return event


class GarbageEvents:
    """Bodies, one after the other."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._generator = EventGenerator(random.getrandbits(32))
        self._fixed = [each.body for each in hostile_bodies() if len(each.body) <= LARGEST_BODY]
        self._makers: tuple[Callable[[], bytes], ...] = (
            *(self._odd_fields, self._odd_fields, self._odd_fields),
            *(self._mutated, self._collisions, self._case, self._noise, self._known),
        )

    def body(self) -> bytes:
        """The next."""
        return self._random.choice(self._makers)()[:LARGEST_BODY]

    def _odd_fields(self) -> bytes:
        """A real event in which some fields have odd values, or are gone."""
        event = self._generator.event()
        for _ in range(self._random.randint(1, 4)):
            *path, last = self._random.choice(FIELDS).split(".")
            place = event
            for name in path:
                if not isinstance(place.get(name), dict):
                    place[name] = {}
                place = place[name] = dict(place[name])
            if self._random.random() < 0.1:
                place.pop(last, None)
            else:
                place[last] = odd_value(self._random)
        return _encode(event)

    def _case(self) -> bytes:
        """Something that combines with others: few ids, few hashes, any type."""
        random = self._random
        event = self._generator.event(random.choice(CASE_TYPES))
        event["detection_id"] = random.choice(("77", 77, "78", None, [], "٧٧"))
        event["id"] = random.choice((77, "77", [], {}, None, True, 2**64 - 1, "x" * 1000, -1, 0.5))
        if random.random() < 0.5:
            event["timestamp"] = random.choice((0, -1, None, "x", 2**40, [], 1593079552, 1e300))
        if random.random() < 0.3:
            event["file"] = random.choice((None, [], "f", {"identity": []}, {"identity": {"sha256": ["a"]}}))
        if random.random() < 0.3:
            event["computer"] = random.choice((None, [], 7, {"connector_guid": {}}, {"network_addresses": [7, None]}))
        return _encode(event)

    def _collisions(self) -> bytes:
        return _encode(self._generator.event() | collisions(self._random))

    def _mutated(self) -> bytes:
        return mutate(self._random, self._generator.body())

    def _noise(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 1, 16, 4096)))

    def _known(self) -> bytes:
        return self._random.choice(self._fixed)


def _key(random: Random) -> str:
    return random.choice(("", "a", "a_b", "a.b", "id", "time", "tag", "\n", "\0", "k" * 1000, "@timestamp", "ключ"))


def _encode(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# --- AMQP properties -----------------------------------------------------------------------------

HEADER_NAMES = (
    *("x-delivery-count", "x-delivery-count", "x-death", "x-first-death-queue", "a", "", "x" * 128, "x-opt-app"),
    "x-delivery-count\xff",
)


def header_table(random: Random, *, broken: bool = False) -> bytes:
    """The items of an AMQP table, of every type of field there is, without the length before them.

    A real broker takes all of them but ``broken`` ones.
    """
    table = b"".join(_item(random, 0, broken=broken) for _ in range(random.randrange(6)))
    return mutate(random, table) if broken and random.random() < 0.5 else table


def _item(random: Random, depth: int, *, broken: bool) -> bytes:
    name = random.choice(HEADER_NAMES).encode("latin-1")
    return bytes([len(name)]) + name + _field(random, depth, broken=broken)


def _field(random: Random, depth: int, *, broken: bool) -> bytes:
    """One value with the letter of its type."""
    kinds = "tbBsuIilfdDSATFVx" + ("ULqz\0\xff" if broken else "")
    kind = random.choice(kinds)
    letter = kind.encode("latin-1")
    if kind in "AF":
        count = random.randrange(4) if depth < 8 else 0
        if kind == "A":
            inner = b"".join(_field(random, depth + 1, broken=broken) for _ in range(count))
        else:
            inner = b"".join(_item(random, depth + 1, broken=broken) for _ in range(count))
        return letter + struct.pack(">I", len(inner)) + inner
    if kind in "Sx":
        text = random.choice((b"", b"7", b"text", b"\xff\xfe", b"\x00", b"x" * 3000))
        return letter + struct.pack(">I", len(text)) + text
    if kind == "T":
        return letter + struct.pack(">Q", random.choice((0, 1593079552, 1593079552000000, 2**63 - 1, 2**64 - 1)))
    if kind == "D":
        return letter + struct.pack(">BI", random.choice((0, 2, 255)), random.getrandbits(32))
    sizes = {"t": 1, "b": 1, "B": 1, "s": 2, "u": 2, "U": 2, "I": 4, "i": 4, "l": 8, "L": 8, "f": 4, "d": 8}
    size = sizes.get(kind, 0)
    return letter + random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))


# the flags of basic's properties, by their place in the header
_FLAGS = {
    **{"content_type": 1 << 15, "content_encoding": 1 << 14, "headers": 1 << 13, "delivery_mode": 1 << 12},
    **{"priority": 1 << 11, "correlation_id": 1 << 10, "reply_to": 1 << 9, "message_id": 1 << 7},
    **{"timestamp": 1 << 6, "type": 1 << 5, "app_id": 1 << 3, "cluster_id": 1 << 2},
}


def properties(random: Random, *, broken: bool = False) -> bytes:
    """Flags and values of a content header's properties."""
    chosen = [name for name in _FLAGS if random.random() < (0.7 if name == "headers" else 0.2)]
    flags, values = 0, b""
    for name in chosen:
        flags |= _FLAGS[name]
        if name == "headers":
            table = header_table(random, broken=broken)
            size = len(table) if not broken or random.random() < 0.8 else random.getrandbits(32)
            values += struct.pack(">I", size) + table
        elif name in ("delivery_mode", "priority"):
            values += bytes([random.randrange(256) if broken else random.randrange(1, 3)])
        elif name == "timestamp":
            values += struct.pack(">Q", random.choice((0, 1593079552, 1593079552000000, 2**64 - 1)))
        else:
            text = random.choice((b"", b"a", b"\xff\xfe", b"\n", b"x" * 255))
            values += bytes([len(text)]) + text
    if broken and random.random() < 0.2:
        flags |= random.choice((1, 2, 4))
    return struct.pack(">H", flags) + values
