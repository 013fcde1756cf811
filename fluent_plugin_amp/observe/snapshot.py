"""The figures of one moment.  Metrics, page, probes and statistics are made of them.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Counters, ServerSnapshot
from fluent_plugin_amp.source.transitions import Reason, State

if TYPE_CHECKING:
    from fluent_plugin_amp.cisco.budget import Budget
    from fluent_plugin_amp.organisation.source import PolledSource
    from fluent_plugin_amp.pipeline.lines import Line
    from fluent_plugin_amp.pipeline.names import Names
    from fluent_plugin_amp.source.stream import Stream

HELD_FROM_S = 1.0
"""An event that is held for less time is on its way, and does not count as waiting."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the completeness records of a stream say together.  Times are seconds since the epoch."""

    until: int
    """Every hour before this has its record."""
    due_at: int
    """When the next one was, or will be, due."""
    missing: int
    """Events of the last ten days that the cloud has, and that were neither delivered nor repaired."""
    missing_since: int
    """The hour of the first of them; 0: nothing is missing."""
    hours: Mapping[int, str]
    """By its first second: ``clean``, ``repaired``, ``not known``, ``no answer`` or ``missing``."""
    requests: int = 0
    """To the API, since the start of the process."""


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One stream."""

    name: str
    is_exclusive: bool
    is_connected: bool
    """The connection to the broker is open."""
    state: State
    reason: Reason
    """Why it is in this state."""
    counters: Counters
    """Totals since the start of the process."""
    durations: Histogram
    """How long events take from arrival to ack."""
    unacked: int
    held_bytes: int
    messages_ready: int | None
    """Messages that wait in the queue; None: not known now."""
    growth_per_s: float | None
    """Messages a second by which the queue grows; less than 0: it shrinks; None: not known."""
    oldest_waiting_s: float | None
    """Age of the oldest message in the queue, as `backlog` estimates it; 0 when none waits; None: not known."""

    is_resting: bool = False
    """It was polled, and waits for the next poll."""
    poll_interval_s: float | None = None
    """How often it is polled; None: it stays connected."""
    silent_after_s: float | None = None
    """After so many seconds without an event, the stream counts as silent; None: it never does."""
    others: int = 0
    """Other consumers of the queue, at the last look."""
    oldest_unacked_s: float = 0.0
    """Age of the oldest delivery that is held here, since it arrived; 0 without one."""
    requeued: int = 0
    """Deliveries that went back to the queue, unacked, since the start of the process."""
    tags: int | None = None
    """How many different tags its events have; None: they all have one."""
    tags_used_up: bool = False
    """There were more tags than max_tags: new ones become ``other``."""
    drift: Mapping[str, int] | None = None
    """What the table of ``transform.shape`` does not know: how often; None: no schema is asked for."""
    drift_sample: tuple[str, str] | None = None
    """What of these came first, and its path."""
    proof: Proof | None = None
    """None: there are no completeness records."""

    @property
    def waiting(self) -> int | None:
        """Events that no server has acknowledged, in the queue or held here; None: not known."""
        if self.messages_ready is None:
            return self.unacked or None
        return self.messages_ready + self.unacked

    @property
    def oldest_s(self) -> float | None:
        """Age of the oldest of them; 0 when none waits for more than a moment; None: not known."""
        held_s = self.oldest_unacked_s if self.oldest_unacked_s >= HELD_FROM_S else 0.0
        return held_s or None if self.oldest_waiting_s is None else max(self.oldest_waiting_s, held_s)

    @classmethod
    def of(cls, stream: Stream, line: Line, now: float, proof: Proof | None = None) -> StreamSnapshot:
        """The figures of a stream and of its line in the conductor, ``now`` in seconds since the epoch."""
        received = line.counters.received
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
            messages_ready=stream.backlog.messages(received=received),
            growth_per_s=stream.backlog.growth_per_s,
            is_resting=stream.resting,
            poll_interval_s=stream.settings.poll_interval_s,
            silent_after_s=stream.settings.silent_after_s,
            others=stream.others,
            oldest_waiting_s=stream.backlog.oldest_age_s(line.counters.newest_event_at, now, received=received),
            oldest_unacked_s=stream.oldest_unacked_s,
            requeued=stream.requeued,
            tags=len(tags) if (tags := line.transform.tags) is not None else None,
            tags_used_up=tags is not None and tags.are_used_up,
            drift=dict(schema.drift.counts) if (schema := line.transform.schema) is not None else None,
            drift_sample=next(iter(schema.drift.samples), None) if schema is not None else None,
            proof=proof,
        )


class HuntsSnapshot(NamedTuple):
    """The hunts of one organisation; counted since the start of the process."""

    source: str
    """Their line: ``organisation/hunts``."""
    waiting: int
    """Files that wait for their hunt."""
    done: int
    left_out: int
    """Events whose file was not noted, for lack of room."""


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """One polled source of an organisation."""

    name: str
    """``organisation/source``."""
    counters: Counters
    """Totals of its records since the start of the process."""
    polled_at: float | None
    """End of the last round that was done, in seconds since the epoch; None: none was."""
    waits_until: float | None
    """It waits for the rate limit until then, in seconds since the epoch."""
    requests_left: int | None
    """What the cloud grants its key in this hour, as it told last; None: it has not told."""
    odd: int
    """Entries that are not what they should be, as often as they were read."""
    read: int | None = None
    """How many items of a long list were read by now; None: none is being read."""
    total: int | None = None
    """How many the list has; None: not known."""
    unknown_names: int | None = None
    """Names that events lacked because they are not known; None: this source learns none."""

    @classmethod
    def of(cls, source: PolledSource, line: Line, budget: Budget, names: Names | None) -> SourceSnapshot:
        """The figures of a source, of its line in the conductor, and of its key."""
        rounds = source.rounds
        listing = rounds.listing if rounds is not None else None
        learns = names is not None and source.name.endswith(("/computers", "/names"))
        return cls(
            name=source.name,
            counters=replace(line.counters),
            polled_at=source.polled_at,
            waits_until=source.waits_until,
            requests_left=budget.left,
            odd=rounds.odd if rounds is not None else 0,
            read=listing.read if listing is not None else None,
            total=listing.total if listing is not None else None,
            unknown_names=names.unknown.groups + names.unknown.computers if names is not None and learns else None,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment."""

    at: float
    """Seconds since the epoch."""
    streams: tuple[StreamSnapshot, ...]
    servers: tuple[ServerSnapshot, ...]
    is_available: bool
    """The sink takes chunks: a server is connected, and there is no doubt that it acks."""
    chunks_in_flight: int
    """Chunks that were given to the sink and are not answered yet."""
    held_bytes: int
    """What all streams hold, counted against ``memory_limit_bytes``."""
    memory_limit_bytes: int
    resident_bytes: int
    """Memory of the process; 0 where the system does not tell."""
    detections_open: int | None = None
    """Detections that were not written yet; None: none are made."""
    incidents_open: int | None = None
    hunts: tuple[HuntsSnapshot, ...] = ()
    sources: tuple[SourceSnapshot, ...] = ()
    """Polled sources of organisations."""

    @property
    def combines(self) -> bool:
        """Events may have a part in detections or incidents."""
        return self.detections_open is not None or self.incidents_open is not None
