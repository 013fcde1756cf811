"""How everything stands at one moment: what metrics, page, probes and statistics are made of.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Counters, ServerFigures
from fluent_plugin_amp.source.flow import State

if TYPE_CHECKING:
    from fluent_plugin_amp.pipeline.conductor import Line
    from fluent_plugin_amp.source.stream import Stream


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """One stream."""

    name: str
    is_exclusive: bool
    is_connected: bool
    """The connection to the broker is open."""
    state: State
    reason: str
    """Of the state: `flow.Flow.reason`."""
    counters: Counters
    """Totals since the start of the process."""
    durations: Histogram
    """From arrival to ack."""
    unacked: int
    held_bytes: int
    messages_ready: int | None
    """Waiting in the queue; None: not known now."""
    growth_per_s: float | None
    """Messages a second by which the queue grows, less than 0 when it shrinks; None: not known."""
    oldest_waiting_s: float | None
    """Age of the oldest message in the queue, as `backlog` estimates it; 0 when none waits; None: not known."""

    is_resting: bool = False
    """It was polled, and waits for the next time."""
    poll_interval_s: float | None = None
    """How often it is polled; None: it stays connected."""

    @classmethod
    def of(cls, stream: Stream, line: Line, now: float) -> StreamFigures:
        """The figures of a stream and of its line in the conductor, ``now`` in seconds since the epoch."""
        return cls(
            name=stream.settings.name,
            is_exclusive=stream.settings.exclusive,
            is_connected=stream.connected,
            state=stream.flow.state,
            reason=stream.flow.reason,
            counters=replace(line.counters),
            durations=stream.durations,
            unacked=stream.unacked,
            held_bytes=line.held_bytes,
            messages_ready=stream.backlog.messages,
            growth_per_s=stream.backlog.growth_per_s,
            is_resting=stream.resting,
            poll_interval_s=stream.settings.poll_interval_s,
            oldest_waiting_s=stream.backlog.oldest_age_s(line.counters.newest_event_at, now),
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """All of them."""

    at: float
    """Seconds since the epoch."""
    streams: tuple[StreamFigures, ...]
    servers: tuple[ServerFigures, ...]
    is_available: bool
    """The sink takes chunks: a server is connected, and nothing makes it doubtful that it acks."""
    chunks_in_flight: int
    """Given to the sink and not answered yet."""
    held_bytes: int
    """Of all streams, against ``memory_limit_bytes``."""
    memory_limit_bytes: int
    resident_bytes: int
    """Of the process; 0 where the system does not tell."""
    detections_open: int | None = None
    """Not written for the first time yet; None: there are to be none."""
    incidents_open: int | None = None
