"""Nothing that an event holds can stop it: each field that the plugin reads, with each odd value, under every option.

The fields are found in the code, so that one which is read from tomorrow on is swept too.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from fluent_plugin_amp import pipeline
from fluent_plugin_amp.config import load
from fluent_plugin_amp.facts import Fact, StateTrouble
from fluent_plugin_amp.model import Answer, Chunk, Delivery, Outcome
from fluent_plugin_amp.pipeline.combine.member import THREAT_DETECTED, THREAT_QUARANTINED
from fluent_plugin_amp.pipeline.links import SOURCES
from fluent_plugin_amp.pipeline.presets import PRESETS
from fluent_plugin_amp.pipeline.tags import EVENT_FIELDS
from fluent_plugin_amp.run.pipeline import Pipeline
from tests.ledgers import FakeLedger

READERS = ("decode", "delivered", "links", "combine/member", "obfuscate", "tags", "transform")
"""The modules that read events."""

HOLE = "the odd value goes here"

VALUES = {
    "null": "null",
    "an empty list": "[]",
    "an empty object": "{}",
    "an empty text": '""',
    "zero": "0",
    "minus one": "-1",
    "true": "true",
    "false": "false",
    "a float": "1.5",
    "a huge float": "1.7e308",
    "a list": '["x", 1, null]',
    "nested lists": "[[[[]], [{}], [[1]]]]",
    "lists as deep as may be": "[" * 50 + "]" * 50,
    "lists deeper than that": "[" * 70 + "]" * 70,
    "objects": '{"x": {"y": [{"z": null}]}, "": 0, "ip": [], "connector_guid": 5}',
    "a list of objects": '[{"ip": "192.0.2.1", "mac": ["x"]}, {"ip": null}, 3]',
    "100,000 characters": json.dumps("x \N{SNOWMAN}" * 33_334),
    "100,000 hexadecimal digits": json.dumps("aB" * 50_000),
    "a null character": '"\\u0000"',
    "digits": '"77"',
    "a surrogate pair": '"\\ud83d\\ude00"',
    "half a surrogate pair": '"\\ud800"',
    "more than 64 bits": str(2**64),
    "less than 64 bits": str(-(2**63) - 1),
    "4,300 digits": "9" * 4300,
    "5,000 digits": "9" * 5000,
    "beyond any float": "1e400",
    "nothing": "",
}
"""As JSON; nothing: the field is left out."""

LETTERS = {
    "lists deeper than that": {"event.too-deep"},
    "half a surrogate pair": {"event.not-json"},
    "5,000 digits": {"event.not-json"},
    "beyond any float": {"event.not-json"},
    "more than 64 bits": {"event.integer-too-large"},
    "less than 64 bits": {"event.integer-too-large"},
    "4,300 digits": {"event.integer-too-large"},
}
"""What docs/errors.md says of them; all others are delivered."""


def fields_read() -> Iterator[str]:
    """The paths of all fields of an event that the plugin reads."""
    yield from SOURCES
    yield from EVENT_FIELDS
    yield from chain(*PRESETS.values())
    for name in READERS:
        for node in ast.walk(ast.parse((Path(pipeline.__file__).parent / f"{name}.py").read_text())):
            match node:
                case ast.Call(ast.Attribute(_, "get"), [ast.Constant(str(field)), *_]):
                    yield field
                case ast.Call(ast.Attribute(_, "_hasher"), [ast.Constant(str(path)), *_]):
                    yield path
                case ast.Call(ast.Name("text_at"), [_, *steps]):
                    yield ".".join(step.value for step in steps if isinstance(step, ast.Constant))  # type: ignore[misc]


LEAVES = sorted(set(fields_read()) - {""})
PATHS = sorted({path.rsplit(".", up)[0] for path in LEAVES for up in range(path.count(".") + 1)} | {"unknown"})


def event(number: int, **fields: Any) -> dict[str, Any]:
    """An event of a detection that has everything; all have one file and one computer."""
    return {
        "id": 6533241145273614339 + number,
        "timestamp": 1_600_000_000,
        "timestamp_nanoseconds": 619_000_000,
        "date": "2020-09-13T12:26:40+00:00",
        "event_type": "Threat Detected",
        "event_type_id": THREAT_DETECTED,
        "detection": "W32.Overdrive.RET",
        "detection_id": f"{number}",
        "severity": "Medium",
        "connector_guid": "0b4883d4-8ecf-4404-9453-13cba0ee7662",
        "group_guids": ["b077d6bc"],
        "computer": {
            "connector_guid": "0b4883d4-8ecf-4404-9453-13cba0ee7662",
            "hostname": "Demo_AMP",
            "user": "johndoe",
            "network_addresses": [{"ip": "10.0.0.1", "mac": "00:01"}],
        },
        "computers": [{"hostname": "Demo_AMP"}],
        "file": {"identity": {"sha256": "a78c29d1" * 8}, "file_path": "C:\\Users\\johndoe\\x"},
        "network_info": {"remote_ip": "192.0.2.7"},
        **fields,
    }


def odd(path: str, value: str, number: int) -> bytes:
    """An event with a value at a path."""
    record = event(number, event_type_id=THREAT_QUARANTINED, unknown=0)
    *outer, last = path.split(".")
    inside: Any = record
    for step in outer:
        inside = inside[step[:-2]][0] if step.endswith("[]") else inside.setdefault(step, {})
    last = last.removesuffix("[]")
    if value:
        inside[last] = HOLE
    else:
        inside.pop(last, None)
    return json.dumps(record).replace(json.dumps(HOLE), value).encode()


class Sink:
    """A server that takes everything."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self.room = 1
        self.available = True
        self.in_flight = 0

    def send(self, chunk: Chunk) -> None:
        """Take it."""
        for entry in chunk.entries:
            _, record = msgpack.unpackb(entry, timestamp=0, max_ext_len=8)
            self.entries.append((chunk.tag, record))
        asyncio.get_running_loop().call_soon(self.on_answer, Answer(chunk, Outcome.ACKED, "server"))

    def held(self) -> list[Chunk]:
        """None waits."""
        return []

    def shed(self) -> None:
        """Nothing to forget."""

    async def run(self) -> None:
        """Not needed."""

    def figures(self) -> tuple[()]:
        """No server."""
        return ()

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Nothing is left."""
        return []


async def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    give_up_at = asyncio.get_running_loop().time() + 120
    while not holds():
        assert asyncio.get_running_loop().time() < give_up_at
        await asyncio.sleep(0.005)


def options(method: str | None, lists: str | None, serialize: str | None) -> dict[str, Any]:
    """All options, but for those that exclude each other."""
    if method is None and lists is None:
        return {}
    how = {"method": method, **({"key": "k"} if method == "hash" else {})}
    # Where only presets hide, the texts of an event are there to be searched.
    rules = [{"field": path, **how} for path in LEAVES if lists] + [{"preset": name, **how} for name in PRESETS]
    return {
        "drop_event_types": [5],
        "obfuscate": rules if method else [],
        "links": True,
        "add": {"tenant": "acme", "id": "mine"},
        "pulling_id": True,
        "ids": "text" if serialize else "number",
        "flatten": {"lists": lists} if lists else None,
        "serialize": serialize,
    }


def test_the_fields_are_found() -> None:
    """At least those that everybody knows of."""
    assert {"id", "timestamp", "date", "event_type", "detection_id", "severity", "group_guids"} <= set(PATHS)
    assert {"computer", "computer.connector_guid", "file.identity", "network_info.remote_ip"} <= set(PATHS)


@pytest.mark.parametrize(
    ("method", "lists", "serialize"),
    [
        (None, None, None),
        (None, "index", "message"),
        ("mask", "keep", None),
        ("hash", "json", "message"),
        ("hash", None, None),
        ("drop", "index", None),
    ],
)
async def test_every_event_arrives(
    method: str | None, lists: str | None, serialize: str | None, tmp_path: Path
) -> None:
    """As a record, or as the dead letter that docs/errors.md tells of; combined records are made all the same."""
    given = {
        "streams": [
            {
                "name": "s",
                "url": "amqps://export-streaming.amp.cisco.com",
                "username": "u",
                "password": "p",
                "queue": "q",
                "tag": "edr.{event_type}.{event_type_id}.{severity}" if method or lists else "edr",
                "max_tags": 20,
            }
        ],
        "transform": options(method, lists, serialize),
        "detections": {},
        "incidents": {},
        "state": {"path": str(tmp_path / "state.db")},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(given))
    config = load(file, {})
    facts: list[Fact] = []
    sink, ledger, numbers = Sink(), FakeLedger(), count(1)
    assembled = Pipeline(config, config.streams, sink, facts.append, with_state=True)
    conductor, combining, state = assembled.conductor, assembled.combining, assembled.state
    assert state is not None
    assert combining is not None
    await state.start()
    combining.combiner.restore(await state.combined.load())

    bodies: dict[int, tuple[str, bytes]] = {}
    for pair, (path, name) in enumerate((path, name) for path in PATHS for name in VALUES):
        for body in (json.dumps(event(pair)).encode(), odd(path, VALUES[name], pair)):
            number = next(numbers)
            bodies[number] = (name, body)
            conductor.receive(Delivery("s", ledger, number, body, received_at=1_700_000_000.0))
        if pair % 50 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(ledger.resolved) == len(bodies))
    combining.combiner.clock = lambda: 4e9
    for monotonic_s in (0.0, 1e6):
        combining.combiner.tick(["s"], ["s"], monotonic_s)
    await state.combined.load()  # what was put before is committed, and sent
    await until(lambda: conductor.idle and not combining.combiner._unsent)
    left = await state.combined.load()
    await state.close(60)

    assert sorted(ledger.resolved) == sorted(bodies)
    assert {name.split()[0] for _, name in left} <= {"clock"}
    assert not [fact for fact in facts if isinstance(fact, StateTrouble)]
    letters = [record for tag, record in sink.entries if tag.endswith("dead_letters")]
    allowed = set().union(*LETTERS.values())
    assert {letter["error_id"] for letter in letters} <= allowed
    if method is None:
        _check_letters(letters, bodies)
    if method is None and lists is None:
        records = [record for tag, record in sink.entries if tag == "edr"]
        expected = [msgspec.json.decode(body) for name, body in bodies.values() if name not in LETTERS]
        assert len(records) >= len(expected)
        for record in expected:
            assert record in records[: len(bodies)]
    detections = [record for tag, record in sink.entries if tag.endswith("detections")]
    incidents = [record for tag, record in sink.entries if tag.endswith("incidents")]
    assert len(detections) > len(PATHS) * len(VALUES) * 0.9
    assert incidents


def _check_letters(letters: list[dict[str, Any]], bodies: dict[int, tuple[str, bytes]]) -> None:
    """What becomes a letter is an event with a value of `LETTERS`, or a record combined from one."""
    names = {body: name for name, body in bodies.values()}
    for letter in letters:
        name = names.get(letter["body"].encode())
        assert name is None or letter["error_id"] in LETTERS[name]
