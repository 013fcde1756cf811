"""What the parts report to the operator's side: frozen facts, no prose.  Pure.

A part is given one observer, a ``Callable[[Fact], None]``, and says what happened, each trouble each time.  Log,
metrics and page decide what to make of it.  Facts are for changes of state and for trouble, never one for each event.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fluent_plugin_amp.errors import ConfigError, PluginError
from fluent_plugin_amp.model import Counters


class Fact(msgspec.Struct, frozen=True):
    """Something happened."""


Observer = Callable[[Fact], None]


# --- streams -------------------------------------------------------------------------------------


class StreamConnected(Fact, frozen=True):
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


class StreamConsuming(Fact, frozen=True):
    """The stream consumes, with at most ``prefetch_count`` deliveries unacked."""

    stream: str
    prefetch_count: int
    reason: str
    """Why now: "started", "a server acked", "memory is free again", …"""
    is_poll: bool = False
    """The stream is polled: this is for one round only."""


class StreamPolled(Fact, frozen=True):
    """A round of a polled stream is over, after ``took_s`` seconds; the stream is disconnected."""

    stream: str
    counted: Counters
    """What this round counted."""
    took_s: float
    next_in_s: float | None
    """Seconds until the next round begins; None: there is no next one."""
    requeued: int = 0
    """Deliveries that went back to the queue, unacked, in this round."""


class StreamHeld(Fact, frozen=True):
    """The stream is connected but does not consume, for ``reason``."""

    stream: str
    reason: str


class StreamTrouble(Fact, frozen=True):
    """The stream lost, or did not get, its connection; it tries again in ``retry_in_s`` seconds.  Told each time."""

    stream: str
    error: PluginError
    retry_in_s: float
    attempts: int = 1
    """Failures since the outage began."""


class StreamPaused(Fact, frozen=True):
    """The oldest delivery stayed unacked for ``age_s`` seconds; ``requeued`` deliveries went back to the queue."""

    stream: str
    age_s: float
    requeued: int


class DeliveryRequeuedOften(Fact, frozen=True):
    """A quorum queue says that a delivery was requeued ``count`` times; it deletes messages at its limit."""

    stream: str
    count: int


class EventsVanished(Fact, frozen=True):
    """``count`` events left the queue without an ack."""

    stream: str
    count: int


class MemoryBrake(Fact, frozen=True):
    """Large events filled the memory to ``held_bytes``: consumption stopped, and goes on with a lower prefetch."""

    stream: str
    held_bytes: int
    prefetch_count: int


class StreamBehind(Fact, frozen=True):
    """Events have waited in the queue for long, the oldest for about ``oldest_s`` seconds."""

    stream: str
    messages: int
    oldest_s: float
    growth_per_s: float | None
    """Messages a second by which the queue grows; less than 0: it shrinks; None: not known."""
    is_expiring: bool
    """Cisco will soon delete the oldest."""
    flows: bool = True
    """A server acknowledges, and no event waits for the state file."""


class StreamCaughtUp(Fact, frozen=True):
    """No event waits for long any more."""

    stream: str


class StreamSilent(Fact, frozen=True):
    """A stream that is read has brought no event for ``silent_s`` seconds, its ``silent_after``."""

    stream: str
    silent_s: float


class StreamHeard(Fact, frozen=True):
    """A silent stream brings events again."""

    stream: str
    silent_s: float


class StreamShared(Fact, frozen=True):
    """Other consumers have been taking their part of a stream's events for ``shared_s`` seconds."""

    stream: str
    others: int
    shared_s: float


class StreamUnshared(Fact, frozen=True):
    """The other consumers of a stream are gone."""

    stream: str


class TagsUsedUp(Fact, frozen=True):
    """The events of a stream have ``tags`` different tags, which is the most: events with a new one get ``other``."""

    stream: str
    tags: int


class SchemaDrift(Fact, frozen=True):
    """Cisco sends what the table of ``transform.shape`` does not know: told of the first."""

    stream: str
    what: str
    """``event_type``, ``field`` or ``value``."""
    path: str
    """Where in the event; of an event type, its number."""


class DeadLettered(Fact, frozen=True):
    """An event became a dead letter of ``size`` bytes in ``parts`` records."""

    stream: str
    error: PluginError
    size: int
    parts: int


# --- polled sources ------------------------------------------------------------------------------


class SourcePolled(Fact, frozen=True):
    """A round of a polled source is over: everything that it found is with a server."""

    source: str
    took_s: float
    next_in_s: float
    """Seconds until the next round begins."""
    outage_s: float = 0.0
    """How long there was trouble before, in seconds; 0: there was none."""


class SourceTrouble(Fact, frozen=True):
    """A round of a polled source could not be done; it is begun again in ``retry_in_s`` seconds.  Told each time."""

    source: str
    error: PluginError
    retry_in_s: float
    attempts: int = 1
    """Failures since the outage began."""


class SourceEnded(Fact, frozen=True):
    """A polled source is configured no more, or begins anew with another configuration."""

    source: str


class SourceWaits(Fact, frozen=True):
    """A polled source waits ``wait_s`` seconds before its next request, for ``why``."""

    source: str
    wait_s: float
    why: str


# --- the configuration ---------------------------------------------------------------------------


class Reloaded(Fact, frozen=True):
    """The configuration was read again, and is in force."""

    changes: str


class ReloadTrouble(Fact, frozen=True):
    """The configuration that was read again has mistakes: it, or a part of it, is not in force."""

    error: ConfigError


# --- faults of our own ---------------------------------------------------------------------------


class InternalError(Fact, frozen=True):
    """An exception that nobody foresaw.  It was contained where it happened."""

    where: str
    """What it hit: "event", "combining", "stream", the name of a background task, …: few, since a metric has them."""
    error: Exception


# --- the state file ------------------------------------------------------------------------------


class StateOpened(Fact, frozen=True):
    """The state file is open; ``letters`` dead letters are kept in it."""

    path: str
    letters: int
    was_open_to_others: bool = False
    """Others than its owner could read or write the file; now they cannot."""


class StateTrouble(Fact, frozen=True):
    """The state file cannot be used.  Until it can, what is delivered is remembered in memory only."""

    path: str
    error: PluginError
    retry_in_s: float | None
    """None: a call hangs, and is waited for."""


class StateSetAside(Fact, frozen=True):
    """Garbled rows of the state file, or all of it, were set aside.  Delivery goes on with the rest."""

    path: str
    error: PluginError
    """Says what was found, and where it is kept."""


class StateRecovered(Fact, frozen=True):
    """The state file is in use again."""

    path: str


class LetterKept(Fact, frozen=True):
    """No server takes a dead letter of ``size`` bytes.  The state file keeps it, and ``letters`` in all."""

    stream: str
    error: PluginError
    size: int
    letters: int


class KeptLettersSent(Fact, frozen=True):
    """Servers took ``sent`` of the dead letters that were kept; ``left`` are still there."""

    sent: int
    left: int


# --- servers -------------------------------------------------------------------------------------


class ServerConnected(Fact, frozen=True):
    """A Forward server is connected, handshake done.

    Told once for each connection: at once, or, after a doubt, when the server has acked or its connection stood for a
    while.  Chunks without an ack are a doubt, and so is a connection before that ended too soon.
    """

    server: str
    outage_s: float = 0.0
    """How long there was trouble before, in seconds; 0: there was none."""


class ServerTrouble(Fact, frozen=True):
    """A Forward server could not be reached, or was lost with ``in_doubt`` chunks not acked.  Told each time."""

    server: str
    error: PluginError
    in_doubt: int
    retry_in_s: float
    attempts: int = 1
    """Failures since the outage began."""


class ChunkSplit(Fact, frozen=True):
    """A chunk that the servers keep refusing was split to find the event that they refuse."""

    chunk_id: str
    events: int
    error: PluginError
