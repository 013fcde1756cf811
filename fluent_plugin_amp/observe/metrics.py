"""The figures as Prometheus reads them.  They are put together on request, so the path of an event pays nothing.

Names and labels are part of the interface: dashboards and alerts of users depend on them (examples/).

Hundreds of streams have ten thousand samples.  They are written a few streams at a time, and between these the event
loop goes on: a scrape holds up no event.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fluent_plugin_amp import __version__
from fluent_plugin_amp.observe.health import is_ready
from fluent_plugin_amp.observe.snapshot import Snapshot, SourceSnapshot, StreamSnapshot
from fluent_plugin_amp.observe.status import Finding, Status, judge
from fluent_plugin_amp.observe.troubles import Memory, Troubles
from fluent_plugin_amp.source.transitions import Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "cisco_amp_"
STREAMS_AT_ONCE = 8
"""So many streams take two or three milliseconds."""

_COUNTERS: dict[str, tuple[str, Callable[[StreamSnapshot], float]]] = {
    "events_received": (
        "Events taken from the queue, redelivered ones included.",
        lambda stream: stream.counters.received,
    ),
    "events_delivered": (
        "Events that a server acknowledged, dead letters included.",
        lambda stream: stream.counters.delivered,
    ),
    "events_duplicate": (
        "Redelivered events that were not sent again.",
        lambda stream: stream.counters.duplicates,
    ),
    "events_dropped": (
        "Events of a type that drop_event_types names.",
        lambda stream: stream.counters.dropped,
    ),
    "events_requeued": (
        "Events that went back to the queue unacknowledged: they come again.",
        lambda stream: stream.requeued,
    ),
}
_GAUGES: dict[str, tuple[str, Callable[[StreamSnapshot], float | None]]] = {
    "stream_up": (
        "1 while the stream is connected to its queue, or rests between two polls.",
        lambda stream: stream.is_connected or stream.is_resting,
    ),
    "stream_standing_by": (
        "1 while another process has the queue and this one would take over; only of exclusive streams.",
        lambda stream: _is_held(stream, Reason.STANDING_BY) if stream.is_exclusive else None,
    ),
    "stream_paused": (
        "1 while the stream is paused: no server acknowledged for pause_after, what was held is back in the queue.",
        lambda stream: _is_held(stream, Reason.PAUSED),
    ),
    "messages_unacked": (
        "Deliveries not acknowledged to the broker yet.",
        lambda stream: stream.unacked,
    ),
    "queue_messages_ready": (
        "Messages waiting in the queue: what the broker said last, less what came since; missing while not known.",
        lambda stream: stream.messages_ready,
    ),
    "oldest_waiting_event_age_seconds": (
        "Estimated age of the oldest message in the queue, at most; 0 while none waits. Cisco deletes at 10 days.",
        lambda stream: stream.oldest_waiting_s,
    ),
    "tags": (
        "Different tags of the stream's events; only where `tag` depends on them.",
        lambda stream: stream.tags,
    ),
    "last_event_timestamp_seconds": (
        "Latest event time received; missing before the first event.",
        lambda stream: stream.counters.newest_event_at or None,
    ),
}
_OF_SOURCES: dict[
    str, tuple[str, type[CounterMetricFamily | GaugeMetricFamily], Callable[[SourceSnapshot], float | None]]
] = {
    "source_records": (
        "Records of a polled source that a server acknowledged, dead letters included.",
        CounterMetricFamily,
        lambda source: source.counters.delivered,
    ),
    "source_last_success_timestamp_seconds": (
        "When the source was polled to the end last; missing before the first time.",
        GaugeMetricFamily,
        lambda source: source.polled_at,
    ),
    "source_requests_left": (
        "Requests that the cloud still grants the source's key in this hour; missing while it has not told.",
        GaugeMetricFamily,
        lambda source: source.requests_left,
    ),
    "source_odd_entries": (
        "Entries of a polled source that are not what they should be, as often as they were read.",
        CounterMetricFamily,
        lambda source: source.odd,
    ),
    "source_unknown_names": (
        "Names that events lacked because they are not known; only where `names` is on.",
        CounterMetricFamily,
        lambda source: source.unknown_names,
    ),
}


def _is_held(stream: StreamSnapshot, reason: Reason) -> bool:
    return stream.is_connected and stream.state.is_held and stream.reason is reason


class Metrics:
    """The figures of the moment, and what `Troubles` counted, in Prometheus' text format."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        troubles: Troubles,
        ready: Callable[[], Literal["all", "any"]] = lambda: "all",
    ) -> None:
        self._snapshot = snapshot
        self._troubles = troubles
        self._ready = ready
        self._process = ProcessCollector(registry=CollectorRegistry())

    async def exposition(self) -> bytes:
        """``/metrics``, of `CONTENT_TYPE`."""
        snapshot = self._snapshot()
        status = judge(snapshot, self._troubles)
        families: dict[bytes, list[bytes]] = {}  # head → lines: a family may have only one head, and stands together
        for first in range(0, len(snapshot.streams), STREAMS_AT_ONCE):
            _add(families, self._of_streams(snapshot.streams[first : first + STREAMS_AT_ONCE], snapshot.at))
            await asyncio.sleep(0)
        _add(families, _of_sources(snapshot.sources))
        _add(families, self._of_the_plugin(snapshot))
        _add(families, self._judged(status))
        _add(families, self._process.collect())
        return b"".join(part for head, lines in families.items() for part in (head, *lines))

    def _of_streams(self, streams: Sequence[StreamSnapshot], at: float) -> Iterator[Metric]:
        for name, (text, value_of) in _COUNTERS.items():
            counter = CounterMetricFamily(PREFIX + name, text, labels=["stream"])
            for stream in streams:
                counter.add_metric([stream.name], value_of(stream))
            yield counter
        for name, (text, gauge_of) in _GAUGES.items():
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=["stream"])
            for stream in streams:
                value = gauge_of(stream)
                if value is not None:
                    gauge.add_metric([stream.name], value)
            yield gauge
        yield _durations(streams)
        yield from self._counted_of_streams(streams, at)

    def _counted_of_streams(self, streams: Sequence[StreamSnapshot], at: float) -> Iterator[Metric]:
        connects = CounterMetricFamily(
            PREFIX + "stream_connects", "Connections made to the broker.", labels=["stream"]
        )
        errors = CounterMetricFamily(
            PREFIX + "stream_errors",
            "Connections lost or not made, by error id (docs/errors.md).",
            labels=["stream", "error_id"],
        )
        letters = CounterMetricFamily(
            PREFIX + "dead_letters", "Events that became dead letters, by error id.", labels=["stream", "error_id"]
        )
        drift = CounterMetricFamily(
            PREFIX + "schema_drift",
            "Event types, fields and words that the table of `transform.shape` does not know; missing without it.",
            labels=["stream", "what"],
        )
        missing = GaugeMetricFamily(
            PREFIX + "completeness_missing",
            "Events of the last ten days that the cloud has, and that were neither delivered nor repaired.",
            labels=["stream"],
        )
        age = GaugeMetricFamily(
            PREFIX + "completeness_age_seconds",
            "Time since the end of the last hour up to which all have completeness records: two to three hours.",
            labels=["stream"],
        )
        requests = CounterMetricFamily(
            PREFIX + "completeness_requests",
            "Requests to the API for completeness records and their repairs.",
            labels=["stream"],
        )
        for stream in streams:
            if stream.proof is not None:
                requests.add_metric([stream.name], stream.proof.requests)
                missing.add_metric([stream.name], stream.proof.missing)
                age.add_metric([stream.name], max(0.0, at - stream.proof.until))
            for what, count in (stream.drift or {}).items():
                drift.add_metric([stream.name, what], count)
            memory = self._troubles.streams.get(stream.name) or Memory()  # it may have gone a moment ago
            connects.add_metric([stream.name], memory.connects)
            for error_id, count in memory.errors.items():
                errors.add_metric([stream.name, error_id], count)
            for error_id, count in memory.dead_letters.items():
                letters.add_metric([stream.name, error_id], count)
        yield from (connects, errors, letters, drift, missing, age, requests)

    def _of_the_plugin(self, snapshot: Snapshot) -> Iterator[Metric]:
        yield from self._servers(snapshot)
        if self._troubles.state_path:
            yield from self._state()
        yield _plain(
            "chunks_in_flight",
            "Chunks sent, or waiting for a server, and not acknowledged yet.",
            snapshot.chunks_in_flight,
        )
        yield _plain(
            "memory_bytes", "What the events under way take, counted against memory_limit.", snapshot.held_bytes
        )
        yield _plain("memory_limit_bytes", "memory_limit.", snapshot.memory_limit_bytes)
        yield from _hunts(snapshot)
        internal = CounterMetricFamily(
            PREFIX + "internal_errors", "Faults of the plugin's own that were contained, by place.", labels=["where"]
        )
        for where, fault in self._troubles.internal.items():
            internal.add_metric([where], fault.count)
        yield internal
        build = GaugeMetricFamily(PREFIX + "build_info", "1, with versions as labels.", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build

    def _judged(self, status: Status) -> Iterator[Metric]:
        yield _plain("ready", "1 while /readyz answers 200.", is_ready(status, self._ready()))
        family = GaugeMetricFamily(
            PREFIX + "finding",
            "1 for each finding of the status page: its id, and what it is about; missing once it is over.",
            labels=["id", "subject"],
        )
        for error_id, subject in sorted(
            {(each.error_id, name) for each in status.findings for name in _subjects(each)}
        ):
            family.add_metric([error_id, subject], 1)
        yield family

    def _state(self) -> Iterator[Metric]:
        yield _plain(
            "state_up",
            "1 while the state file is in use, 0 while it is in trouble; missing where there is none.",
            self._troubles.state.is_well,
        )
        errors = CounterMetricFamily(
            PREFIX + "state_errors", "Troubles of the state file, by error id (docs/errors.md).", labels=["error_id"]
        )
        for error_id, count in self._troubles.state.errors.items():
            errors.add_metric([error_id], count)
        yield errors

    def _servers(self, snapshot: Snapshot) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            PREFIX + "forward_up", "1 while the server is connected and not in doubt.", labels=["server"]
        )
        errors = CounterMetricFamily(
            PREFIX + "forward_errors",
            "Connections lost or not made, by error id (docs/errors.md).",
            labels=["server", "error_id"],
        )
        retries = CounterMetricFamily(
            PREFIX + "chunk_retries", "Chunks that the server did not acknowledge, sent again.", labels=["server"]
        )
        for server in snapshot.servers:
            up.add_metric([server.server], server.is_up and not server.is_doubtful)
            memory = self._troubles.servers.get(server.server) or Memory()
            for error_id, count in memory.errors.items():
                errors.add_metric([server.server, error_id], count)
            retries.add_metric([server.server], server.retries)
        yield from (up, errors, retries)


def _of_sources(sources: Sequence[SourceSnapshot]) -> Iterator[Metric]:
    for name, (text, family, value_of) in _OF_SOURCES.items():
        made = family(PREFIX + name, text, labels=["source"])
        for source in sources:
            value = value_of(source)
            if value is not None:
                made.add_metric([source.name], value)
        if sources:
            yield made


def _subjects(finding: Finding) -> tuple[str, ...]:
    return finding.streams or (finding.server or finding.state_file or finding.part,)


def _durations(streams: Sequence[StreamSnapshot]) -> Metric:
    text = "From the arrival of an event to its acknowledgement to the broker."
    family = HistogramMetricFamily(PREFIX + "delivery_duration_seconds", text, labels=["stream"])
    for stream in streams:
        histogram = stream.durations
        bounds = [*map(repr, histogram.bounds_s), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric([stream.name], buckets, histogram.sum_s)
    return family


def _plain(name: str, text: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(PREFIX + name, text)
    gauge.add_metric([], value)
    return gauge


# --- text ------------------------------------------------------------------------------------------


class _One(Collector):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def _add(families: dict[bytes, list[bytes]], more: Iterable[Metric]) -> None:
    """Write ``more`` below the heads that they belong to."""
    for family in more:
        helps, types, lines = generate_latest(_One(family)).split(b"\n", 2)
        families.setdefault(b"%b\n%b\n" % (helps, types), []).append(lines)


def _hunts(snapshot: Snapshot) -> Iterator[Metric]:
    """Nothing without hunts."""
    if not snapshot.hunts:
        return
    waiting = GaugeMetricFamily(PREFIX + "hunts_waiting", "Files that wait for their hunt.", labels=["source"])
    done = CounterMetricFamily(PREFIX + "hunts", "Hunts whose record a server has.", labels=["source"])
    left_out = CounterMetricFamily(
        PREFIX + "hunts_left_out",
        "Events whose file was not noted for a hunt, because too many wait.",
        labels=["source"],
    )
    for each in snapshot.hunts:
        waiting.add_metric([each.source], each.waiting)
        done.add_metric([each.source], each.done)
        left_out.add_metric([each.source], each.left_out)
    yield from (waiting, done, left_out)
