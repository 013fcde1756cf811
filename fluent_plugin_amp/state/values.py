"""What the state file holds, as values.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class KeptLetter:
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
    event_id: int | str | None
    """A text when it exceeds 64 bits."""
    seconds: int
    nanoseconds: int
    event_type_id: int | None
    connector_guid: str | None


class StreamSummary(NamedTuple):
    """What is remembered of a stream.  Times are those of delivery, in seconds since the epoch."""

    stream: str
    events: int
    oldest_at: int | None
    newest_at: int | None
    last_hour: int
    last_day: int
    letters: int
