"""What real servers do with single messages, good and bad: the rows of the Forward protocol's trouble.

Messages are made by hand, so that rows are possible which the plugin never sends.
"""

from __future__ import annotations

import gzip
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from fluent_plugin_amp.testing.receivers import Receiver

TAG = "edr.cisco.amp.events"
ANSWER_S = 3.0
"""How long an answer may take; after that it is a hang."""
ARRIVE_S = 10.0
TIME = msgpack.ExtType(0, struct.pack(">II", 1_700_000_000, 5))

INPUT = {"fluentd": "chunk_size_limit 4m", "fluent-bit": "buffer_max_size: 4M"}
"""Smaller limits than the default, so that going beyond them is quick."""
BUFFER = "chunk_limit_size 1m"
"""Fluentd's buffer: no record of more than this."""


@dataclass(frozen=True)
class Probe:
    """One row: its name, the message for a row's number, and how many events it carries."""

    name: str
    message: Callable[[int], bytes]
    events: int = 2


@dataclass(frozen=True)
class Seen:
    """What one server did."""

    answer: str
    """ack, close or hang."""
    arrived: int
    sent: int
    goes_on: bool
    """A good message right after it arrived too."""

    def __str__(self) -> str:
        text = f"{self.answer}, {self.arrived} of {self.sent} arrive"
        return text if self.goes_on else text + "; **the next good message is lost too**"


def record(row: int, **fields: Any) -> dict[str, Any]:
    """A record that tells its row."""
    return {"row": row, **fields}


def pack(value: Any) -> bytes:
    """As msgpack."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def packed(entries: bytes, tag: Any = TAG, chunk: Any = "probe", **option: Any) -> bytes:
    """A PackedForward message."""
    return pack([tag, entries, {"chunk": chunk, **option}])


def entries(*records: Any, time: Any = TIME) -> bytes:
    """Good entries."""
    return b"".join(pack([time, item]) for item in records)


def message_mode(time: Any, value: Any) -> bytes:
    """A message in Message mode: one event."""
    return pack([TAG, time, value, {"chunk": "probe"}])


def nested(row: int, levels: int) -> bytes:
    """One good event, and one with so many maps in each other."""
    deep = b"\xc0"
    for _ in range(levels - 1):
        deep = b"\x81\xa1d" + deep
    head = pack(record(row))
    # a map of two: the row, and the deep value
    deep_record = b"\x82" + head[1:] + b"\xa1v" + deep
    return packed(entries(record(row)) + b"\x92" + pack(TIME) + deep_record)


def both(row: int, **fields: Any) -> bytes:
    """One good event and one with these fields."""
    return packed(entries(record(row), record(row, **fields)))


PROBES = [
    Probe("good", lambda row: packed(entries(record(row), record(row)), size=2)),
    Probe("good, gzip", lambda row: packed(gzip.compress(entries(record(row), record(row))), compressed="gzip")),
    Probe("Message mode, float time", lambda row: message_mode(1.7e9, record(row)), 1),
    Probe("Message mode, negative time", lambda row: message_mode(-1, record(row)), 1),
    Probe("Message mode, nil time", lambda row: message_mode(None, record(row)), 1),
    Probe("`[time, metadata]` in place of time", lambda row: packed(entries(record(row), time=[TIME, {}])), 1),
    Probe("Message mode, nil record", lambda row: message_mode(TIME, None), 0),
    Probe("chunk id an integer", lambda row: packed(entries(record(row)), chunk=7), 1),
    Probe("chunk id bin", lambda row: packed(entries(record(row)), chunk=b"probe"), 1),
    Probe("tag bin", lambda row: packed(entries(record(row)), tag=TAG.encode()), 1),
    Probe("tag nil", lambda row: packed(entries(record(row)), tag=None), 1),
    Probe("tag not UTF-8", lambda row: pack([1, 1, {}])[:1] + b"\xa5edr.\xff" + packed(entries(record(row)))[22:], 1),
    Probe("packed garbage", lambda row: packed(b"\xc1\xc1\xc1"), 0),
    Probe("corrupt gzip", lambda row: packed(b"\x1f\x8b" + bytes(50), compressed="gzip"), 1),
    Probe("packed, tail cut off", lambda row: packed(entries(record(row)) + entries(record(row))[:-3])),
    Probe("packed, one entry bad", lambda row: packed(entries(record(row)) + pack(5) + entries(record(row)))),
    Probe("packed, empty", lambda row: packed(b"", size=0), 0),
    Probe("unknown ext type in a record", lambda row: both(row, ext=msgpack.ExtType(42, b"abc"))),
    Probe("msgpack Timestamp in a record", lambda row: both(row, time=msgpack.Timestamp(1, 5))),
    Probe("NaN, with a JSON output", lambda row: both(row, nan=float("nan"))),
    Probe("60 nested maps", lambda row: nested(row, 60)),
    Probe("64 nested maps", lambda row: nested(row, 64)),
    Probe("127 nested maps", lambda row: nested(row, 127)),
    Probe("128 nested maps", lambda row: nested(row, 128)),
    Probe("largest uint64", lambda row: both(row, number=2**64 - 1)),
    Probe(
        "str not UTF-8",
        lambda row: packed(
            entries(record(row)) + b"\x92" + pack(TIME) + b"\x82\xa3row" + pack(row) + b"\xa1s\xa2\xff\xfe"
        ),
    ),
    Probe("bin value", lambda row: both(row, value=b"abc")),
    Probe("record over the buffer's chunk limit", lambda row: both(row, big="x" * 2_000_000)),
    Probe(
        "chunk over the input's limit",
        lambda row: packed(b"".join(entries(record(row, big="x" * 500_000)) for _ in range(10))),
        10,
    ),
    Probe("tag that nothing matches", lambda row: packed(entries(record(row)), tag="other.tag"), 1),
]


def run(server: Receiver) -> dict[str, Seen]:
    """Send each probe on a connection of its own, a good message after it, and see what of both arrives."""
    ask(server.port, packed(entries({"after": -1})))
    _wait(server, -1)
    seen = {}
    for row, probe in enumerate(PROBES):
        answer = ask(server.port, probe.message(row))
        ask(server.port, packed(entries({"after": row})))
        goes_on = _wait(server, row)
        seen[probe.name] = Seen(answer, rows(server, "row").count(row), probe.events, goes_on)
    return seen


def _wait(server: Receiver, row: int) -> bool:
    deadline = time.monotonic() + ARRIVE_S
    while row not in (after := rows(server, "after")) and time.monotonic() < deadline:
        time.sleep(0.1)
    return row in after


def ask(port: int, message: bytes) -> str:
    """Send a message: "ack", "close", or "hang" when nothing happens."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_S) as link:
        try:
            link.sendall(message)
            answer = link.recv(4096)
        except TimeoutError:
            return "hang"
        except OSError:
            return "close"
    return "ack" if answer else "close"


def rows(server: Receiver, key: str) -> list[int]:
    """The rows in what was written; as text, because some of it is no JSON."""
    paths = [path for path in server.folder.glob("events*") if path.is_file()] + [*server.folder.glob("events/*")]
    written = b"".join(path.read_bytes() for path in paths)
    return [int(row) for row in re.findall(rb'"%s": ?(-?\d+)' % key.encode(), written)]
