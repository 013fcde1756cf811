"""What each step takes of an event's time, measured by itself: the sum is less than the whole, which also waits.

Each figure is the best of `ROUNDS` passes over the same events, so that what else the machine does counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pika import spec

from fluent_plugin_amp.model import Chunk, Delivery
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory, digest_of
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.names import Computer, Names, Naming
from fluent_plugin_amp.pipeline.obfuscate import Method, Obfuscation, Rule
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import encode_chunk, entry
from fluent_plugin_amp.source.content import Reader
from fluent_plugin_amp.source.ledger import Ledger
from fluent_plugin_amp.testing.hostile_broker import delivery_frames

ROUNDS = 15
TOGETHER = 80
"""Events in a chunk, about as many as under load."""
CONSUMER_TAG = "fluent-plugin-amp-1"
KEY = "7d1c4d0e-9e0c-4b1b-8f0c-6a3c1e2f5b90.5d2f6c0e-2c77-4c1f-9b7a-0d8f7d6f9a11.553648147"
ENVELOPE = spec.BasicProperties(
    content_type="application/octet-stream",
    delivery_mode=2,
    headers={"CC": [f"{KEY}.b077d6bc-bbdf-42f7-8838-a06053fbd98a"]},
)
HIDDEN: dict[str, Method] = {
    "computer.hostname": "hash",
    "computer.user": "mask",
    "computer.network_addresses[].ip": "mask",
}
READ_BYTES = 64 * 1024


def microseconds(bodies: list[bytes]) -> Iterator[tuple[str, float]]:
    """Step by step, for each event."""
    records = [decode(body) for body in bodies]
    entries = [entry(1, 2, record) for record in records]
    wire = b"".join(
        delivery_frames(CONSUMER_TAG, tag, body, routing_key=KEY, properties=ENVELOPE)
        for tag, body in enumerate(bodies, 1)
    )
    transform = Transform("bench")
    named = Transform("bench", names=Naming(known(records)))
    ocsf, ecs = OcsfShape("bench"), EcsShape("bench")
    hidden = Obfuscation([Rule(path, method) for path, method in HIDDEN.items()])
    ledger = Ledger()
    deliveries = [Delivery("bench", ledger, number + 1, body) for number, body in enumerate(bodies)]
    for delivery in deliveries:
        delivery.digest = digest_of(delivery.body)
    starts = range(0, len(bodies), TOGETHER)
    chunks = [
        Chunk(new_chunk_id(), "t", entries[at : at + TOGETHER], deliveries[at : at + TOGETHER]) for at in starts
    ]

    def batch() -> None:
        batcher = Batcher(1024 * 1024, new_chunk_id)
        for packed, delivery in zip(entries, deliveries, strict=True):
            batcher.add("t", packed, delivery)

    def acknowledge() -> None:
        ledger = Ledger()
        for at in starts:
            for number in range(at, min(at + TOGETHER, len(bodies))):
                ledger.deliver(number + 1, 0.0)
            for number in range(at, min(at + TOGETHER, len(bodies))):
                ledger.resolve(number + 1)
            ledger.due(1.0)

    passes: dict[str, Callable[[], object]] = {
        "deliveries out of frames": lambda: read(wire),
        "hash of the body": lambda: each(digest_of, bodies),
        "decode": lambda: each(decode, bodies),
        "time of the event": lambda: each(lambda record: event_time(record, 0.0), records),
        "transform, nothing asked for": lambda: each(lambda record: transform(record, 0.0), records),
        "pack": lambda: each(lambda record: entry(1, 2, record), records),
        "batch": batch,
        "chunk to bytes": lambda: each(lambda chunk: encode_chunk(chunk, "none"), chunks),
        "remember as delivered": lambda: DeliveredMemory().record(deliveries),
        "acks to the broker": acknowledge,
        "names, where asked for": lambda: each(lambda record: named({**record}, 0.0), records),
        "flatten, where asked for": lambda: each(Flattener(), records),
        "shape: ocsf, where asked for": lambda: each(lambda record: ocsf(record, 0.0), records),
        "shape: ecs, where asked for": lambda: each(lambda record: ecs(record, 0.0), records),
        "links, where asked for": lambda: each(Links("console.eu.amp.cisco.com"), records),
        "obfuscate, where asked for": lambda: each(hidden, records),
    }
    for name, work in passes.items():
        yield name, min(seconds(work) for _ in range(ROUNDS)) / len(bodies) * 1e6


def known(records: list[dict[str, Any]]) -> Names:
    """An organisation of which everything is known, and as many computers as large ones have."""
    names = Names("bench")
    guids = {guid for record in records for guid in record.get("group_guids", ())}
    names.learn_groups((guid, f"Group {number}") for number, guid in enumerate(sorted(guids)))
    computers = [record["connector_guid"] for record in records if "connector_guid" in record]
    for guid in (*computers, *map(str, range(50_000))):
        names.learn_computer(guid, Computer((), "Protect", "Windows 10", "8.4.0.30201"))
    names.as_of = "2026-03-02T09:10:00Z"
    return names


def each(function: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Call it with all of them."""
    for item in items:
        function(item)


def seconds(work: Callable[[], object]) -> float:
    """What it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def read(wire: bytes) -> None:
    """Make messages of what came, as much at a time as TLS gives."""
    reader = Reader()
    reader.open(1)
    reader.consume(1, CONSUMER_TAG)
    for start in range(0, len(wire), READ_BYTES):
        reader.receive(wire[start : start + READ_BYTES])
