"""Snapshot and boards made by hand: what the pure tests look at."""

from __future__ import annotations

from typing import Any

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Counters, ServerSnapshot
from fluent_plugin_amp.observe.snapshot import Snapshot, SourceSnapshot, StreamSnapshot
from fluent_plugin_amp.observe.status import Status, judge
from fluent_plugin_amp.observe.troubles import Troubles
from fluent_plugin_amp.source.consumption import DURATION_BOUNDS_S
from fluent_plugin_amp.source.transitions import Reason, State

NOW = 1_700_000_000.0


class Clock:
    """The time, as told."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        """As told."""
        return self.now


class Scene:
    """Troubles with a clock of their own, and the figures of streams and servers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.troubles = Troubles(self.clock)
        self.streams: list[StreamSnapshot] = []
        self.servers: list[ServerSnapshot] = []
        self.sources: list[SourceSnapshot] = []

    def tell(self, *told: facts.Fact, after_s: float = 0.0) -> Scene:
        """It hears of these, some seconds later."""
        self.clock.now += after_s
        for fact in told:
            self.troubles(fact)
        return self

    def figures(self, *, is_available: bool = True, **figures: Any) -> Snapshot:
        """Of all streams and servers of the scene."""
        given = {
            "chunks_in_flight": 0,
            "held_bytes": 0,
            "memory_limit_bytes": 64 * 2**20,
            "resident_bytes": 50 * 2**20,
        }
        return Snapshot(
            at=self.clock.now,
            streams=tuple(self.streams),
            servers=tuple(self.servers),
            is_available=is_available,
            sources=tuple(self.sources),
            **{**given, **figures},
        )

    def status(self, *, is_available: bool = True, **figures: Any) -> Status:
        """What they mean."""
        return judge(self.figures(is_available=is_available, **figures), self.troubles)

    def add(self, name: str = "emea", **figures: Any) -> Scene:
        """A stream, consuming unless told otherwise."""
        self.streams.append(stream(name, **figures))
        return self

    def add_server(self, name: str = "a:24224", **figures: Any) -> Scene:
        """A server, up unless told otherwise."""
        self.servers.append(server(name, **figures))
        return self

    def add_source(self, name: str = "acme/audit_logs", **figures: Any) -> Scene:
        """A polled source that has done nothing yet, unless told otherwise."""
        given: dict[str, Any] = {
            "counters": Counters(),
            "polled_at": None,
            "waits_until": None,
            "requests_left": None,
            "odd": 0,
        }
        self.sources.append(SourceSnapshot(name=name, **{**given, **figures}))
        return self


def stream(name: str = "emea", **figures: Any) -> StreamSnapshot:
    """One stream's figures."""
    given: dict[str, Any] = {
        "is_exclusive": False,
        "is_connected": True,
        "state": State.FULL,
        "reason": Reason.SERVER_ACKED,
        "counters": Counters(),
        "durations": Histogram(DURATION_BOUNDS_S),
        "unacked": 0,
        "held_bytes": 0,
        "messages_ready": 0,
        "growth_per_s": None,
        "oldest_waiting_s": 0.0,
    }
    return StreamSnapshot(name=name, **{**given, **figures})


def server(name: str = "a:24224", **figures: Any) -> ServerSnapshot:
    """One server's figures."""
    given: dict[str, Any] = {
        "is_standby": False,
        "is_up": True,
        "is_doubtful": False,
        "in_flight": 0,
        "owes_ack_s": 0.0,
        "ack_latency_s": 0.004,
        "retries": 0,
    }
    return ServerSnapshot(server=name, **{**given, **figures})


def trouble(error: PluginError, name: str = "emea") -> facts.StreamTrouble:
    """A stream's trouble."""
    return facts.StreamTrouble(name, error, 1.0)


def server_trouble(error: PluginError, name: str = "a:24224") -> facts.ServerTrouble:
    """A server's trouble."""
    return facts.ServerTrouble(name, error, 0, 1.0)


def connected(name: str = "emea") -> facts.StreamConnected:
    """A stream is connected."""
    return facts.StreamConnected(name, "queue", 0, 0)
