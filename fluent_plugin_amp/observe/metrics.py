"""The figures as Prometheus reads them, put together when they are asked for: the path of an event pays nothing.

Names and labels are part of the interface: dashboards and alerts of users depend on them (examples/).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fluent_plugin_amp import __version__
from fluent_plugin_amp.observe.board import Board
from fluent_plugin_amp.observe.figures import Figures, StreamFigures
from fluent_plugin_amp.source import flow
from fluent_plugin_amp.source.flow import State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "cisco_amp_"

_COUNTERS: dict[str, tuple[str, Callable[[StreamFigures], float]]] = {
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
}
_GAUGES: dict[str, tuple[str, Callable[[StreamFigures], float | None]]] = {
    "stream_up": (
        "1 while the stream is connected to its queue.",
        lambda stream: stream.is_connected,
    ),
    "stream_standing_by": (
        "1 while another process has the queue and this one would take over; only of exclusive streams.",
        lambda stream: _stands_by(stream) if stream.is_exclusive else None,
    ),
    "messages_unacked": (
        "Deliveries not acknowledged to the broker yet.",
        lambda stream: stream.unacked,
    ),
    "queue_messages_ready": (
        "Messages waiting in the queue, as the broker said a few seconds ago; missing while that is not known.",
        lambda stream: stream.messages_ready,
    ),
    "oldest_waiting_event_age_seconds": (
        "Estimated age of the oldest message in the queue, at most; 0 while none waits. Cisco deletes at 10 days.",
        lambda stream: stream.oldest_waiting_s,
    ),
    "last_event_timestamp_seconds": (
        "Latest event time received; missing before the first event.",
        lambda stream: stream.counters.newest_event_at or None,
    ),
}


def _stands_by(stream: StreamFigures) -> bool:
    return stream.is_connected and stream.state is State.HELD and stream.reason == flow.STANDING_BY


class Metrics(Collector):
    """A Prometheus collector over the figures of the moment and what the board counted."""

    def __init__(self, figures: Callable[[], Figures], board: Board) -> None:
        self._figures = figures
        self._board = board
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """``/metrics``, of `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """None beforehand: registering must not ask for figures."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Part of prometheus_client's interface."""
        figures = self._figures()
        for name, (text, value_of) in _COUNTERS.items():
            counter = CounterMetricFamily(PREFIX + name, text, labels=["stream"])
            for stream in figures.streams:
                counter.add_metric([stream.name], value_of(stream))
            yield counter
        for name, (text, gauge_of) in _GAUGES.items():
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=["stream"])
            for stream in figures.streams:
                value = gauge_of(stream)
                if value is not None:
                    gauge.add_metric([stream.name], value)
            yield gauge
        yield self._durations(figures)
        yield from self._counted_by_the_board(figures)
        yield from self._servers(figures)
        yield _plain(
            "chunks_in_flight",
            "Chunks sent, or waiting for a server, and not acknowledged yet.",
            figures.chunks_in_flight,
        )
        yield _plain(
            "memory_bytes", "What the events under way take, counted against memory_limit.", figures.held_bytes
        )
        yield _plain("memory_limit_bytes", "memory_limit.", figures.memory_limit_bytes)
        build = GaugeMetricFamily(PREFIX + "build_info", "1, with versions as labels.", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build

    def _durations(self, figures: Figures) -> Metric:
        text = "From the arrival of an event to its acknowledgement to the broker."
        family = HistogramMetricFamily(PREFIX + "delivery_duration_seconds", text, labels=["stream"])
        for stream in figures.streams:
            histogram = stream.durations
            bounds = [*map(repr, histogram.bounds_s), "+Inf"]
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            family.add_metric([stream.name], buckets, histogram.sum_s)
        return family

    def _counted_by_the_board(self, figures: Figures) -> Iterator[Metric]:
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
        for stream in figures.streams:
            memory = self._board.streams[stream.name]
            connects.add_metric([stream.name], memory.connects)
            for error_id, count in memory.errors.items():
                errors.add_metric([stream.name, error_id], count)
            for error_id, count in memory.dead_letters.items():
                letters.add_metric([stream.name, error_id], count)
        yield from (connects, errors, letters)

    def _servers(self, figures: Figures) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            PREFIX + "forward_up", "1 while the server is connected and not in doubt.", labels=["server"]
        )
        retries = CounterMetricFamily(
            PREFIX + "chunk_retries", "Chunks that the server did not acknowledge, sent again.", labels=["server"]
        )
        for server in figures.servers:
            up.add_metric([server.server], server.is_up and not server.is_doubtful)
            retries.add_metric([server.server], server.retries)
        yield from (up, retries)


def _plain(name: str, text: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(PREFIX + name, text)
    gauge.add_metric([], value)
    return gauge
