"""What each step takes of an event's time, measured by itself: the sum is less than the whole, which also waits.

Each figure is the best of `ROUNDS` passes over the same events, so that what else the machine does counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pika
from pika import frame, spec
from pika.connection import Connection

from fluent_plugin_amp.model import Chunk, Delivery
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory, digest_of
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import encode_chunk, entry
from fluent_plugin_amp.source.ledger import Ledger

ROUNDS = 15
TOGETHER = 80
"""Events in a chunk, about as many as under load."""
CONSUMER_TAG = "ctag1.0123456789abcdef"


def microseconds(bodies: list[bytes]) -> Iterator[tuple[str, float]]:
    """Step by step, for each event."""
    records = [decode(body) for body in bodies]
    entries = [entry(1, 2, record) for record in records]
    wire = [frames(number + 1, body) for number, body in enumerate(bodies)]
    transform = Transform("bench")
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
        "AMQP frames (pika)": lambda: feed(wire),
        "hash of the body": lambda: each(digest_of, bodies),
        "decode": lambda: each(decode, bodies),
        "time of the event": lambda: each(lambda record: event_time(record, 0.0), records),
        "transform, nothing asked for": lambda: each(lambda record: transform(record, 0.0), records),
        "pack": lambda: each(lambda record: entry(1, 2, record), records),
        "batch": batch,
        "chunk to bytes": lambda: each(lambda chunk: encode_chunk(chunk, "none"), chunks),
        "remember as delivered": lambda: DeliveredMemory().record(deliveries, lambda done: None),
        "acks to the broker": acknowledge,
        "flatten, where asked for": lambda: each(Flattener(), records),
        "links, where asked for": lambda: each(Links("console.eu.amp.cisco.com"), records),
    }
    for name, work in passes.items():
        yield name, min(seconds(work) for _ in range(ROUNDS)) / len(bodies) * 1e6


def each(function: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Call it with all of them."""
    for item in items:
        function(item)


def seconds(work: Callable[[], object]) -> float:
    """What it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def frames(delivery_tag: int, body: bytes) -> bytes:
    """A ``basic.deliver`` as the broker sends it."""
    method = spec.Basic.Deliver(CONSUMER_TAG, delivery_tag, False, "events_api_stream", "1.2.3")
    properties = spec.BasicProperties(content_type="application/json", delivery_mode=2)
    parts = (frame.Method(1, method), frame.Header(1, len(body), properties), frame.Body(1, body))
    return b"".join(part.marshal() for part in parts)


def feed(wire: list[bytes]) -> None:
    """Have pika make messages of what came."""
    connection = Unconnected(pika.ConnectionParameters(), internal_connection_workflow=False)
    connection._set_connection_state(connection.CONNECTION_OPEN)
    connection._opened = True
    channel = connection.channel(channel_number=1)
    channel._set_state(channel.OPEN)
    received = []
    channel._consumers[CONSUMER_TAG] = lambda _channel, _method, _properties, body: received.append(body)
    for data in wire:
        connection._on_data_available(data)
    assert len(received) == len(wire)


class Unconnected(Connection):  # type: ignore[misc]
    """pika's connection without a socket."""

    def _adapter_connect_stream(self) -> None:
        pass

    def _adapter_disconnect_stream(self) -> None:
        pass

    def _adapter_call_later(self, delay: float, callback: object) -> object:
        return object()

    def _adapter_remove_timeout(self, timeout_id: object) -> None:
        pass

    def _adapter_add_callback_threadsafe(self, callback: object) -> None:
        pass

    def _adapter_emit_data(self, data: bytes) -> None:
        pass
