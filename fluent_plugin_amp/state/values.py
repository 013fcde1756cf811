"""What the state file holds, as values.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from fluent_plugin_amp.model import Delivery, EventIdentity

BLOCK_EVENTS = 256

_encode = msgspec.msgpack.encode
decode_facts = msgspec.msgpack.Decoder(list[EventIdentity]).decode
"""What `encode_facts` made, as values again."""


class Block(NamedTuple):
    """Up to `BLOCK_EVENTS` events of one stream that were recorded together; digests and facts in the same order."""

    stream: str
    delivered_at: int
    """Seconds since the epoch."""
    digests: list[bytes]
    facts: list[EventIdentity]


def split(stream: str, delivered_at: int, digests: list[bytes], facts: list[EventIdentity]) -> list[Block]:
    """Cut the events of one stream into blocks."""
    places = [slice(start, start + BLOCK_EVENTS) for start in range(0, len(digests), BLOCK_EVENTS)]
    return [Block(stream, delivered_at, digests[place], facts[place]) for place in places]


def blocks_of(deliveries: Iterable[Delivery], delivered_at: int) -> list[Block]:
    """Sort deliveries by stream, and cut each stream's into blocks."""
    by_stream: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        by_stream.setdefault(delivery.stream, []).append(delivery)
    blocks: list[Block] = []
    for stream, events in by_stream.items():
        digests = [event.digest for event in events]
        facts = [event.facts or EventIdentity(None, int(event.received_at), 0, None, None) for event in events]
        blocks += split(stream, delivered_at, digests, facts)
    return blocks


@dataclass(frozen=True, slots=True)
class KeptDeadLetter:
    """A dead letter in the file."""

    stream: str
    error_id: str
    reason: str
    routing_key: str
    redelivered: bool
    received_at: float
    """Seconds since the epoch."""
    body: bytes
    number: int = 0
    """In the file; given when it is added."""


class DeliveredEvent(NamedTuple):
    """An event that was delivered."""

    digest: bytes
    facts: EventIdentity
    """Numbers beyond 64 bits as texts."""


class StreamSummary(NamedTuple):
    """What is remembered of a stream.  Times are those of delivery, in seconds since the epoch."""

    stream: str
    events: int
    oldest_at: int | None
    newest_at: int | None
    last_hour: int
    last_day: int
    letters: int


class KeptSummary(NamedTuple):
    """What a part of the daemon keeps."""

    source: str
    values: int
    size_bytes: int


def encode_facts(facts: Sequence[EventIdentity]) -> bytes:
    """As msgpack, for ``delivered.facts``."""
    try:
        return _encode(facts)
    except OverflowError:  # JSON knows integers beyond 64 bits, msgpack does not
        return _encode(
            [
                each._replace(
                    event_id=_as_text(each.event_id),
                    event_type_id=each.event_type_id if type(_as_text(each.event_type_id)) is int else None,
                    detection_id=_as_text(each.detection_id),
                )
                for each in facts
            ]
        )


def _as_text(value: int | str | None) -> int | str | None:
    """Unless msgpack can carry it."""
    return str(value) if type(value) is int and not -(2**63) <= value < 2**64 else value
