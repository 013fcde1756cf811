"""What the parts report to the operator's side: frozen facts, no prose.  Pure.

A part is given one observer, a ``Callable[[Fact], None]``, and says what happened, each trouble each time.  Log,
metrics and page decide what to make of it.  Facts are for changes of state and for trouble, never one for each event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fluent_plugin_amp.errors import ConfigError, PluginError
from fluent_plugin_amp.model import Counters


@dataclass(frozen=True, slots=True)
class Fact:
    """Something happened."""


Observer = Callable[[Fact], None]


# --- streams -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamConnected(Fact):
    """The stream's connection is open and its queue is there."""

    stream: str
    queue: str
    messages: int
    """Messages that were ready in the queue at that moment."""
    consumers: int
    """Other consumers of the queue.  More than 0 means that they share the stream, unless it is exclusive."""
    is_poll: bool = False
    """The stream is polled: this is for one round only."""
    is_exclusive: bool = False
    """It stands by while others consume."""
    outage_s: float = 0.0
    """How long there was trouble before, in seconds; 0: there was none."""


@dataclass(frozen=True, slots=True)
class StreamConsuming(Fact):
    """The stream consumes, with at most ``prefetch_count`` deliveries unacked."""

    stream: str
    prefetch_count: int
    reason: str
    """Why now: "started", "a server acked", "memory is free again", …"""
    is_poll: bool = False
    """The stream is polled: this is for one round only."""


@dataclass(frozen=True, slots=True)
class StreamPolled(Fact):
    """A round of a polled stream is over, after ``took_s`` seconds; the stream is disconnected."""

    stream: str
    counted: Counters
    """What this round counted."""
    took_s: float
    next_in_s: float | None
    """Seconds until the next round begins; None: there is no next one."""
    requeued: int = 0
    """Deliveries that went back to the queue, unacked, in this round."""


@dataclass(frozen=True, slots=True)
class StreamHeld(Fact):
    """The stream is connected but does not consume, for ``reason``."""

    stream: str
    reason: str


@dataclass(frozen=True, slots=True)
class StreamTrouble(Fact):
    """The stream lost, or did not get, its connection; it tries again in ``retry_in_s`` seconds.  Told each time."""

    stream: str
    error: PluginError
    retry_in_s: float
    attempts: int = 1
    """Failures since the outage began."""


@dataclass(frozen=True, slots=True)
class StreamPaused(Fact):
    """The oldest delivery stayed unacked for ``age_s`` seconds; ``requeued`` deliveries went back to the queue."""

    stream: str
    age_s: float
    requeued: int


@dataclass(frozen=True, slots=True)
class DeliveryRequeuedOften(Fact):
    """A quorum queue says that a delivery was requeued ``count`` times; it deletes messages at its limit."""

    stream: str
    count: int


@dataclass(frozen=True, slots=True)
class EventsVanished(Fact):
    """``count`` events left the queue without an ack."""

    stream: str
    count: int


@dataclass(frozen=True, slots=True)
class MemoryBrake(Fact):
    """Large events filled the memory to ``held_bytes``: consumption stopped, and goes on with a lower prefetch."""

    stream: str
    held_bytes: int
    prefetch_count: int


@dataclass(frozen=True, slots=True)
class StreamBehind(Fact):
    """Events have waited in the queue for long, the oldest for about ``oldest_s`` seconds."""

    stream: str
    messages: int
    oldest_s: float
    growth_per_s: float | None
    """Messages a second by which the queue grows; less than 0: it shrinks; None: not known."""
    is_expiring: bool
    """Cisco will soon delete the oldest."""
    flows: bool = True
    """A server acknowledges."""


@dataclass(frozen=True, slots=True)
class StreamCaughtUp(Fact):
    """No event waits for long any more."""

    stream: str


@dataclass(frozen=True, slots=True)
class StreamSilent(Fact):
    """A stream that is read has brought no event for ``silent_s`` seconds, its ``silent_after``."""

    stream: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class StreamHeard(Fact):
    """A silent stream brings events again."""

    stream: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class StreamShared(Fact):
    """Other consumers have been taking their part of a stream's events for ``shared_s`` seconds."""

    stream: str
    others: int
    shared_s: float


@dataclass(frozen=True, slots=True)
class StreamUnshared(Fact):
    """The other consumers of a stream are gone."""

    stream: str


@dataclass(frozen=True, slots=True)
class TagsUsedUp(Fact):
    """The events of a stream have ``tags`` different tags, which is the most: events with a new one get ``other``."""

    stream: str
    tags: int


@dataclass(frozen=True, slots=True)
class SchemaDrift(Fact):
    """Cisco sends what the table of ``transform.shape`` does not know: told of the first."""

    stream: str
    what: str
    """``event_type``, ``field`` or ``value``."""
    path: str
    """Where in the event; of an event type, its number."""


@dataclass(frozen=True, slots=True)
class DeadLettered(Fact):
    """An event became a dead letter of ``size`` bytes in ``parts`` records."""

    stream: str
    error: PluginError
    size: int
    parts: int


# --- polled sources ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourcePolled(Fact):
    """A round of a polled source is over: everything that it found is with a server."""

    source: str
    took_s: float
    next_in_s: float
    """Seconds until the next round begins."""
    outage_s: float = 0.0
    """How long there was trouble before, in seconds; 0: there was none."""


@dataclass(frozen=True, slots=True)
class SourceTrouble(Fact):
    """A round of a polled source could not be done; it is begun again in ``retry_in_s`` seconds.  Told each time."""

    source: str
    error: PluginError
    retry_in_s: float
    attempts: int = 1
    """Failures since the outage began."""


@dataclass(frozen=True, slots=True)
class SourceEnded(Fact):
    """A polled source is configured no more, or begins anew with another configuration."""

    source: str


@dataclass(frozen=True, slots=True)
class SourceWaits(Fact):
    """A polled source waits ``wait_s`` seconds before its next request, for ``why``."""

    source: str
    wait_s: float
    why: str


# --- the configuration ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reloaded(Fact):
    """The configuration was read again, and is in force."""

    changes: str


@dataclass(frozen=True, slots=True)
class ReloadTrouble(Fact):
    """The configuration that was read again has mistakes: it, or a part of it, is not in force."""

    error: ConfigError


# --- faults of our own ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InternalError(Fact):
    """An exception that nobody foresaw.  It was contained where it happened."""

    where: str
    """What it hit: "event", "combining", "stream", the name of a background task, …: few, since a metric has them."""
    error: Exception


# --- the state file ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateOpened(Fact):
    """The state file is open; ``letters`` dead letters are kept in it."""

    path: str
    letters: int
    was_open_to_others: bool = False
    """Others than its owner could read or write the file; now they cannot."""


@dataclass(frozen=True, slots=True)
class StateTrouble(Fact):
    """The state file cannot be used.  Until it can, what is delivered is remembered in memory only."""

    path: str
    error: PluginError
    retry_in_s: float | None
    """None: a call hangs, and is waited for."""


@dataclass(frozen=True, slots=True)
class StateSetAside(Fact):
    """Garbled rows of the state file, or all of it, were set aside.  Delivery goes on with the rest."""

    path: str
    error: PluginError
    """Says what was found, and where it is kept."""


@dataclass(frozen=True, slots=True)
class StateRecovered(Fact):
    """The state file is in use again."""

    path: str


@dataclass(frozen=True, slots=True)
class LetterKept(Fact):
    """No server takes a dead letter of ``size`` bytes.  The state file keeps it, and ``letters`` in all."""

    stream: str
    error: PluginError
    size: int
    letters: int


@dataclass(frozen=True, slots=True)
class KeptLettersSent(Fact):
    """Servers took ``sent`` of the dead letters that were kept; ``left`` are still there."""

    sent: int
    left: int


# --- servers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerConnected(Fact):
    """A Forward server is connected, handshake done.

    Told once for each connection: at once, or, after a doubt, when the server has acked or its connection stood for a
    while.  Chunks without an ack are a doubt, and so is a connection before that ended too soon.
    """

    server: str
    outage_s: float = 0.0
    """How long there was trouble before, in seconds; 0: there was none."""


@dataclass(frozen=True, slots=True)
class ServerTrouble(Fact):
    """A Forward server could not be reached, or was lost with ``in_doubt`` chunks not acked.  Told each time."""

    server: str
    error: PluginError
    in_doubt: int
    retry_in_s: float
    attempts: int = 1
    """Failures since the outage began."""


@dataclass(frozen=True, slots=True)
class ChunkSplit(Fact):
    """A chunk that the servers keep refusing was split to find the event that they refuse."""

    chunk_id: str
    events: int
    error: PluginError
