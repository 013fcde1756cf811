"""Remembers the facts: troubles, and since when; counts of errors and connections.

`Troubles` is an observer (`facts.Observer`) beside the log.  From it and a snapshot `status.judge` makes the status
that page, probes and metrics show.  It makes no I/O, and takes the clock as an argument.

Invariant: a trouble that returns within `SAME_TROUBLE_WITHIN_S` of its end is the same trouble, with the same
beginning.  A consumer that is refused right after each connection has one trouble, not a thousand.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.observe.conditions import SLOW_ACK_FROM_S
from fluent_plugin_amp.observe.snapshot import Snapshot, StreamSnapshot
from fluent_plugin_amp.text import one_line

SAME_TROUBLE_WITHIN_S = 60.0
BEHIND_FROM_S = 60.0
"""A stream is behind when its oldest waiting event is older than that, and has caught up at half of it.  A stream
that is polled may be later by its interval."""
INTERNAL_SHOWN_S = 3600.0
"""How long a fault of our own is shown after it happened last."""
EXPIRING_FROM_S = 7 * 86400.0
"""Cisco deletes what has waited for ten days."""
MAX_SET_ASIDE = 8
SHARED_FROM_S = 180.0
"""Other consumers must have been there for so long.  At a heartbeat of a minute a broker needs three to forget one
whose host is gone, such as this stream's own before it connected again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last error of a stream or a server."""

    error_id: str
    what: str
    remedy: str
    since: float
    at: float
    """When it was told last."""


@dataclass(slots=True)
class Internal:
    """The faults of our own in one place, since the start."""

    count: int = 0
    since: float = 0.0
    at: float = 0.0
    """The last time."""
    error: str = ""
    """The type of the last one."""

    def note(self, error: Exception, now: float) -> None:
        """Count it once more."""
        if now - self.at >= INTERNAL_SHOWN_S:
            self.since = now
        self.count, self.at, self.error = self.count + 1, now, type(error).__name__


@dataclass(slots=True)
class Memory:
    """What is remembered of a stream, a server or the state file.  Times are seconds since the epoch, 0 for never."""

    trouble: Trouble | None = None
    is_well: bool = True
    """It has no trouble, or got over the last one."""
    well_at: float = 0.0
    held_at: float = 0.0
    braked_at: float = 0.0
    requeued_often_at: float = 0.0
    behind_at: float = 0.0
    """0 when it is not."""
    is_expiring: bool = False
    received: int = 0
    """Events so far, at the last sample."""
    heard_at: float = 0.0
    """When an event was seen to have come last, or when the stream was first read; 0 before that."""
    read_at: float = 0.0
    """When it was last seen to be read; 0 while it is not."""
    read_s: float = 0.0
    """How long it has been read since an event came."""
    silent_at: float = 0.0
    """0 while it is not."""
    shared_since: float = 0.0
    """When other consumers were seen first; 0 without any."""
    is_shared: bool = False
    """They were there for longer than it takes a broker to forget a consumer whose host is gone."""
    tags_used_up_at: float = 0.0
    """0 when they are not."""
    drift_at: float = 0.0
    """0 when there is none."""
    connects: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """By error id."""
    dead_letters: Counter[str] = field(default_factory=Counter)

    def note(self, error: PluginError, now: float) -> None:
        """Note this trouble."""
        before = self.trouble
        is_same = before is not None and before.error_id == error.id
        is_over = self.is_well and now - self.well_at >= SAME_TROUBLE_WITHIN_S
        since = before.since if before is not None and is_same and not is_over else now
        self.trouble = Trouble(error.id, one_line(str(error)), error.remedy, since, now)
        self.is_well = False
        self.errors[error.id] += 1

    def recover(self, now: float) -> None:
        """Note that its trouble is over."""
        if not self.is_well:
            self.is_well, self.well_at = True, now


class Troubles:
    """An observer that remembers: what is wrong with each stream, server and the state file, and since when."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.started_at = clock()
        self.streams: defaultdict[str, Memory] = defaultdict(Memory)
        self.servers: defaultdict[str, Memory] = defaultdict(Memory)
        self.sources: defaultdict[str, Memory] = defaultdict(Memory)
        """Polled sources, by name."""
        self.reload = Memory()
        self.state = Memory()
        self.state_path = ""
        """Empty until anything was told of a state file."""
        self.set_aside: dict[str, Trouble] = {}
        """What was garbled in the state file, by the words of its error; the first `MAX_SET_ASIDE`."""
        self.internal: dict[str, Internal] = {}
        """By `facts.InternalError.where`."""
        self._clock = clock

    def __call__(self, fact: facts.Fact) -> None:
        """Remember one fact."""
        now = self._clock()
        match fact:
            case facts.StreamTrouble(stream=name, error=error):
                self.streams[name].note(error, now)
            case facts.StreamConnected(stream=name):
                self.streams[name].connects += 1
                self.streams[name].recover(now)
            case facts.StreamHeld(stream=name):
                self.streams[name].held_at = now
            case facts.StreamConsuming(stream=name):
                self.streams[name].requeued_often_at = 0.0
            case facts.DeliveryRequeuedOften(stream=name):
                memory = self.streams[name]
                memory.requeued_often_at = memory.requeued_often_at or now
            case facts.MemoryBrake(stream=name):
                self.streams[name].braked_at = now
            case facts.StreamBehind(stream=name, is_expiring=is_expiring):
                memory = self.streams[name]
                memory.behind_at, memory.is_expiring = memory.behind_at or now, is_expiring
            case facts.StreamCaughtUp(stream=name):
                self.streams[name].behind_at, self.streams[name].is_expiring = 0.0, False
            case facts.StreamSilent(stream=name):
                self.streams[name].silent_at = now
            case facts.StreamHeard(stream=name):
                self.streams[name].silent_at = 0.0
            case facts.StreamShared(stream=name):
                self.streams[name].is_shared = True
            case facts.StreamUnshared(stream=name):
                self.streams[name].is_shared = False
            case facts.TagsUsedUp(stream=name):
                self.streams[name].tags_used_up_at = now
            case facts.SchemaDrift(stream=name):
                self.streams[name].drift_at = now
            case facts.DeadLettered(stream=name, error=error):
                self.streams[name].dead_letters[error.id] += 1
            case facts.InternalError(where=where, error=error):
                self.internal.setdefault(where, Internal()).note(error, now)
            case facts.SourceTrouble(source=name, error=error):
                self.sources[name].note(error, now)
            case facts.SourcePolled(source=name):
                self.sources[name].recover(now)
            case facts.SourceEnded(source=name):
                self.sources.pop(name, None)
            case facts.ReloadTrouble(error=error):
                self.reload.note(error, now)
            case facts.Reloaded():
                self.reload.recover(now)
            case facts.StateTrouble(path=path, error=error):
                self.state_path = path
                self.state.note(error, now)
            case facts.StateOpened(path=path) | facts.StateRecovered(path=path):
                self.state_path = path
                self.state.recover(now)
            case facts.StateSetAside(path=path, error=error):
                self.state_path = path
                self.state.errors[error.id] += 1
                if len(self.set_aside) < MAX_SET_ASIDE:
                    self.set_aside.setdefault(str(error), Trouble(error.id, str(error), error.remedy, now, now))
            case facts.ServerTrouble(server=name, error=error):
                self.servers[name].note(error, now)
            case facts.ServerConnected(server=name):
                self.servers[name].recover(now)

    def forget(self, stream: str) -> None:
        """Forget a stream that is no longer configured."""
        self.streams.pop(stream, None)

    def news(self, snapshot: Snapshot) -> list[facts.Fact]:
        """What the figures say that was not so at the last call: facts for all observers."""
        kinds = (self.behind, self.silent, self.shared, self.used_up, self.drifted)
        return [fact for news in kinds for fact in news(snapshot)]

    def used_up(self, snapshot: Snapshot) -> list[facts.Fact]:
        """Facts for all observers: which streams used up their tags since the last call."""
        news: list[facts.Fact] = []
        for stream in snapshot.streams:
            memory = self.streams[stream.name]
            if not stream.tags_used_up:
                memory.tags_used_up_at = 0.0
            elif not memory.tags_used_up_at:
                news.append(facts.TagsUsedUp(stream.name, stream.tags or 0))
        return news

    def silent(self, snapshot: Snapshot) -> list[facts.Fact]:
        """Which streams have brought nothing for too long since the last call, or bring something again.

        Only the time counts while a stream is read: what keeps it from that is told by itself.
        """
        news: list[facts.Fact] = []
        for stream in snapshot.streams:
            memory = self.streams[stream.name]
            received, memory.received = memory.received, stream.counters.received
            read_at, memory.read_at = memory.read_at, snapshot.at if _is_read(stream, memory) else 0.0
            if read_at and memory.read_at:
                memory.read_s += max(0.0, snapshot.at - read_at)
            if memory.received != received:
                if memory.silent_at:
                    news.append(facts.StreamHeard(stream.name, snapshot.at - memory.heard_at))
                memory.heard_at, memory.read_s = snapshot.at, 0.0
            elif stream.silent_after_s is None:
                memory.silent_at = 0.0
            elif memory.read_s >= stream.silent_after_s and not memory.silent_at:
                news.append(facts.StreamSilent(stream.name, snapshot.at - memory.heard_at))
            memory.heard_at = memory.heard_at or memory.read_at
        return news

    def shared(self, snapshot: Snapshot) -> list[facts.Fact]:
        """Which streams turned out to be shared since the last call, or to be shared no longer."""
        news: list[facts.Fact] = []
        for stream in snapshot.streams:
            memory = self.streams[stream.name]
            if not stream.others or stream.is_exclusive or not stream.is_connected:
                if memory.is_shared and stream.is_connected:
                    news.append(facts.StreamUnshared(stream.name))
                memory.shared_since, memory.is_shared = 0.0, False
                continue
            memory.shared_since = memory.shared_since or snapshot.at
            shared_s = snapshot.at - memory.shared_since
            if shared_s >= SHARED_FROM_S and not memory.is_shared:
                news.append(facts.StreamShared(stream.name, stream.others, shared_s))
        return news

    def drifted(self, snapshot: Snapshot) -> list[facts.Fact]:
        """In which streams there is drift since the last call: facts for all observers."""
        news: list[facts.Fact] = []
        for stream in snapshot.streams:
            memory = self.streams[stream.name]
            if stream.drift_sample is None:
                memory.drift_at = 0.0
            elif not memory.drift_at:
                news.append(facts.SchemaDrift(stream.name, *stream.drift_sample))
        return news

    def are_acknowledged(self, snapshot: Snapshot) -> bool:
        """A server, or standard output, takes what it is sent; and no event waits for the state file."""
        if not self.state.is_well and (snapshot.combines or snapshot.hunts):
            return False
        return snapshot.is_available and (
            not snapshot.servers
            or any(
                self.servers[server.server].is_well and server.owes_ack_s < SLOW_ACK_FROM_S
                for server in snapshot.servers
            )
        )

    def behind(self, snapshot: Snapshot) -> list[facts.Fact]:
        """Facts for all observers: which streams fell behind, or caught up, since the last call."""
        news: list[facts.Fact] = []
        flows = self.are_acknowledged(snapshot)
        for stream in snapshot.streams:
            age_s, memory = stream.oldest_waiting_s, self.streams[stream.name]
            if stream.is_resting:  # what was there is delivered
                age_s = 0.0
            if age_s is None:
                continue
            behind_from_s = BEHIND_FROM_S + (stream.poll_interval_s or 0.0)
            is_behind = age_s >= (behind_from_s / 2 if memory.behind_at else behind_from_s)
            is_expiring = age_s >= EXPIRING_FROM_S
            if is_behind and (not memory.behind_at or is_expiring != memory.is_expiring):
                ready = stream.messages_ready or 0
                news.append(facts.StreamBehind(stream.name, ready, age_s, stream.growth_per_s, is_expiring, flows))
            elif memory.behind_at and not is_behind:
                news.append(facts.StreamCaughtUp(stream.name))
        return news


def _is_read(stream: StreamSnapshot, memory: Memory) -> bool:
    """What is in its queue arrives, at once or with the next poll."""
    if stream.poll_interval_s is not None:
        return memory.is_well
    return stream.is_connected and stream.state.consumes
