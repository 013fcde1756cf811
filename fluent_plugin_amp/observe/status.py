"""Judges the figures of a moment: which streams and servers are in trouble, why, since when, and what to do.  Pure.

Page, probes and log agree, because all of them show what is found here.  Findings name causes before consequences:
while no server can be reached, three hundred streams that wait for one are a single finding.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fluent_plugin_amp.errors import InternalFault
from fluent_plugin_amp.model import ServerSnapshot
from fluent_plugin_amp.observe import conditions, units
from fluent_plugin_amp.observe.conditions import Condition, Level
from fluent_plugin_amp.observe.snapshot import Proof, Snapshot, SourceSnapshot, StreamSnapshot
from fluent_plugin_amp.observe.troubles import INTERNAL_SHOWN_S, Memory, Trouble, Troubles
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.text import how_many

_NO_SERVER = "waiting: no server takes events"
_NAMES_TOLD = 8
RELOAD = "reload"

Part = TypeVar("Part", StreamSnapshot, ServerSnapshot, SourceSnapshot)


class Readiness(enum.Enum):
    """Whether events flow."""

    READY = "ready"
    """Events flow from every stream that is to consume."""
    DEGRADED = "degraded"
    """Events flow from some streams, and not from others."""
    NOT_READY = "not ready"
    """Events flow from no stream."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an operator should know about a server, the streams that share it, or another part."""

    error_id: str
    what: str
    remedy: str
    since: float
    """Seconds since the epoch."""
    level: Level
    blocks: bool
    """The plugin is not ready while it lasts."""
    streams: tuple[str, ...] = ()
    server: str = ""
    state_file: str = ""
    part: str = ""
    """The part of the plugin itself, see `facts.InternalError.where`."""

    @property
    def who(self) -> str:
        """What the finding is about, for the beginning of a sentence."""
        if self.server:
            return f"Server {self.server}"
        if self.state_file:
            return f"State file {self.state_file}"
        if self.part == RELOAD:
            return "The last reload"
        if self.part.startswith("source "):
            return f"Source {self.part.removeprefix('source ')}"
        if self.part:
            return f"The plugin itself ({self.part})"
        names = ", ".join(self.streams[:_NAMES_TOLD])
        if len(self.streams) == 1:
            return f"Stream {names}"
        return f"Streams {names}" if len(self.streams) <= _NAMES_TOLD else f"{len(self.streams)} streams ({names} …)"


class _Judged:
    """What has findings."""

    __slots__ = ()
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The level of the worst finding."""
        return max((finding.level for finding in self.findings), default=Level.OK)


@dataclass(frozen=True, slots=True)
class PartStatus(_Judged, Generic[Part]):
    """One stream, server or source, judged."""

    snapshot: Part
    word: str
    """What it does, in a word or two."""
    findings: tuple[Finding, ...]
    last_trouble: Trouble | None
    """The last trouble, over or not."""


@dataclass(frozen=True, slots=True)
class Status(_Judged):
    """Everything, judged."""

    snapshot: Snapshot
    streams: tuple[PartStatus[StreamSnapshot], ...]
    servers: tuple[PartStatus[ServerSnapshot], ...]
    findings: tuple[Finding, ...]
    """One finding for all streams that share it; the worst first, servers before streams."""
    sources: tuple[PartStatus[SourceSnapshot], ...] = ()

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """Why the plugin is not ready; empty when it is."""
        return tuple(finding for finding in self.findings if finding.blocks)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What an operator should know although the plugin is ready."""
        return tuple(finding for finding in self.findings if not finding.blocks)

    @property
    def stuck(self) -> int:
        """How many streams should consume, and do not."""
        return sum(any(finding.blocks for finding in stream.findings) for stream in self.streams)

    @property
    def summary(self) -> str:
        """How many streams do what, in one line: ``298 of 299 streams consuming, 1 in trouble``."""
        connecting = self.connecting
        text = f"{len(self.streams) - self.stuck} of {how_many(len(self.streams), 'stream')} consuming"
        text += f", {self.stuck - connecting} in trouble" if self.stuck > connecting else ""
        return text + (f", {connecting} connecting" if connecting else "")

    @property
    def connecting(self) -> int:
        """How many streams are not connected yet, and have had no trouble."""
        return self._with(conditions.CONNECTING)

    @property
    def stopping(self) -> int:
        """How many streams are about to end, or have ended."""
        return self._with(conditions.STOPPING)

    def _with(self, condition: Condition) -> int:
        return sum(finding.error_id == condition.id for stream in self.streams for finding in stream.findings)

    @property
    def readiness(self) -> Readiness:
        """The readiness of all streams together."""
        if not self.reasons:
            return Readiness.READY
        flows = self.snapshot.is_available and self.stuck < len(self.streams)
        return Readiness.DEGRADED if flows else Readiness.NOT_READY


def judge(snapshot: Snapshot, troubles: Troubles) -> Status:
    """Judge the figures, together with what is remembered."""
    streams = tuple(
        _judge_stream(stream, troubles.streams[stream.name], snapshot, troubles) for stream in snapshot.streams
    )
    servers = tuple(
        _judge_server(server, troubles.servers[server.server], snapshot, troubles) for server in snapshot.servers
    )
    sources = tuple(_judge_source(source, snapshot.at, troubles) for source in snapshot.sources)
    found = [
        *(finding for server in servers for finding in server.findings),
        *(finding for stream in streams for finding in stream.findings),
        *_judge_state(snapshot, troubles),
        *(finding for name in troubles.sources for finding in _of_source(name, troubles)),
        *_judge_reload(troubles),
        *_judge_internal(troubles, snapshot.at),
    ]
    return Status(snapshot, streams, servers, tuple(_joined(found)), sources)


# --- one stream ------------------------------------------------------------------------------------


def _judge_stream(
    stream: StreamSnapshot, memory: Memory, snapshot: Snapshot, troubles: Troubles
) -> PartStatus[StreamSnapshot]:
    word, finding = _what_it_does(stream, memory, snapshot, troubles)
    findings = [] if finding is None else [finding]
    if memory.requeued_often_at:
        what = "an event was requeued again and again, and comes near to the queue's delivery limit"
        findings.append(_of(conditions.REQUEUED_OFTEN, what, memory.requeued_often_at))
    if memory.behind_at and stream.oldest_waiting_s is not None:
        flows = finding is None and troubles.are_acknowledged(snapshot)
        condition = conditions.behind(stream.growth_per_s, is_expiring=memory.is_expiring, flows=flows)
        what = units.backlog(stream.messages_ready or 0, stream.oldest_waiting_s, stream.growth_per_s)
        findings.append(_of(condition, what, memory.behind_at))
        if finding is None:
            word = "falling behind" if (stream.growth_per_s or 0.0) >= 0 else "catching up"
    if memory.silent_at:
        what = f"no event for {units.duration(snapshot.at - memory.heard_at)}"
        findings.append(_of(conditions.SILENT, what, memory.heard_at))
    if memory.is_shared:
        what = f"a part of its events goes to {how_many(stream.others, 'other consumer')}"
        findings.append(_of(conditions.SHARED, what, memory.shared_since))
    if memory.tags_used_up_at:
        what = "its events have more tags than max_tags: new ones become `other`"
        findings.append(_of(conditions.TAGS_USED_UP, what, memory.tags_used_up_at))
    if memory.drift_at and stream.drift_sample is not None:
        what = "its events hold what the table of `shape` does not know: {} {}".format(*stream.drift_sample)
        findings.append(_of(conditions.SCHEMA_DRIFT, what, memory.drift_at))
    findings += _judge_proof(stream.proof, snapshot.at)
    return PartStatus(stream, word, tuple(replace(each, streams=(stream.name,)) for each in findings), memory.trouble)


def _judge_proof(proof: Proof | None, now: float) -> list[Finding]:
    """The findings of completeness records."""
    findings = []
    if proof is not None and proof.missing:
        what = f"neither delivered nor repaired: {how_many(proof.missing, 'event')} that the cloud has"
        findings.append(_of(conditions.NOT_DELIVERED, what, proof.missing_since))
    if proof is not None and now - proof.due_at >= conditions.LATE_FROM_S:
        what = f"its completeness records are late: there are none from {units.moment(proof.until)} on"
        findings.append(_of(conditions.RECORD_LATE, what, proof.due_at))
    return findings


def _what_it_does(
    stream: StreamSnapshot, memory: Memory, snapshot: Snapshot, troubles: Troubles
) -> tuple[str, Finding | None]:
    if stream.is_resting:
        return "resting", None
    is_polled = stream.poll_interval_s is not None
    if stream.state is State.STOPPING and (stream.is_connected or memory.is_well):
        return "stopping", _of(conditions.STOPPING, "delivers what it holds, and ends", snapshot.at)
    if not stream.is_connected:
        if memory.trouble is not None and not memory.is_well:
            return "not connected", _of_trouble(memory.trouble, Level.TROUBLE, blocks=True)
        if is_polled and memory.connects:
            return "connecting", None
        since = memory.well_at or troubles.started_at
        return "connecting", _of(conditions.CONNECTING, "not connected to its queue yet", since)
    held_at = memory.held_at or snapshot.at
    match stream.reason if stream.state.is_held else stream.state:
        case Reason.STANDING_BY:
            return "standing by", None
        case Reason.NO_SERVER:
            return "waiting", _of(conditions.NO_SERVER, _NO_SERVER, held_at)
        case Reason.PAUSED:
            what = "paused: no server acknowledged for pause_after; what was held is back in the queue"
            return "paused", _of(conditions.PAUSED, what, held_at)
        case Reason.MEMORY_LIMIT:
            return "waiting", _of(
                conditions.WAITS_FOR_MEMORY, "waiting until other streams need less memory", held_at
            )
        case State.BRAKED:
            return "slowed", _of(
                conditions.SLOWED, "large events: takes no more until it has delivered", memory.braked_at
            )
        case State.ROUND_OVER:
            return "consuming", None
    if not snapshot.is_available:  # it holds what it may, and takes no more
        return "waiting", _of(conditions.NO_SERVER, _NO_SERVER, _outage_began_at(snapshot, troubles))
    return "consuming", None


def _outage_began_at(snapshot: Snapshot, troubles: Troubles) -> float:
    """When the last server that still worked got into trouble."""
    of_servers = [troubles.servers[server.server].trouble for server in snapshot.servers]
    return max((trouble.since for trouble in of_servers if trouble is not None), default=snapshot.at)


# --- one server ------------------------------------------------------------------------------------


def _judge_server(
    server: ServerSnapshot, memory: Memory, snapshot: Snapshot, troubles: Troubles
) -> PartStatus[ServerSnapshot]:
    word, findings = "connected" if server.ack_latency_s is None else "acknowledging", []
    is_last = not snapshot.is_available  # nobody else takes events: that is why nothing flows
    level = Level.TROUBLE if is_last else Level.WARNING
    if not server.is_up or server.is_doubtful:
        word = "in doubt" if server.is_up else "down"
        if memory.trouble is not None:
            findings.append(_of_trouble(memory.trouble, level, blocks=is_last))
        else:
            word = "connecting"
            found = _of(conditions.SERVER_CONNECTING, "not connected yet", troubles.started_at)
            findings.append(replace(found, blocks=is_last))
    elif server.is_standby and not server.in_flight:
        word = "standing by"
    if server.owes_ack_s >= conditions.SLOW_ACK_FROM_S:
        word = "slow" if server.is_up else word
        what = f"has not acknowledged a chunk for {units.duration(server.owes_ack_s)}"
        findings.append(_of(conditions.SLOW_ACK, what, snapshot.at - server.owes_ack_s))
    return PartStatus(server, word, tuple(replace(each, server=server.server) for each in findings), memory.trouble)


def _judge_state(snapshot: Snapshot, troubles: Troubles) -> list[Finding]:
    """The findings of the state file.

    Without it, events are still delivered, except those that are combined or ask for hunts.
    """
    found = [_of_trouble(each, Level.WARNING, blocks=False) for each in troubles.set_aside.values()]
    trouble = troubles.state.trouble
    if trouble is not None and not troubles.state.is_well:
        combines = snapshot.combines
        if combines:
            what = f"{trouble.what}; events that take part in detections or incidents wait for it, unacknowledged"
            trouble = replace(trouble, what=what)
        elif snapshot.hunts:
            trouble = replace(trouble, what=f"{trouble.what}; events that ask for a hunt wait for it, unacknowledged")
        found.insert(0, _of_trouble(trouble, Level.TROUBLE if combines else Level.WARNING, blocks=combines))
    return [replace(each, state_file=troubles.state_path) for each in found]


def _of_source(name: str, troubles: Troubles) -> tuple[Finding, ...]:
    """The finding that a polled source is in trouble: it holds up no stream."""
    memory = troubles.sources.get(name) or Memory()
    if memory.trouble is None or memory.is_well:
        return ()
    return (replace(_of_trouble(memory.trouble, Level.WARNING, blocks=False), part=f"source {name}"),)


def _judge_source(source: SourceSnapshot, now: float, troubles: Troubles) -> PartStatus[SourceSnapshot]:
    findings = _of_source(source.name, troubles)
    word = "starting" if source.polled_at is None else "polled"
    if findings:
        word = "in trouble"
    elif source.waits_until is not None and source.waits_until > now:
        word = "waiting"
    elif source.read is not None:
        word = "reading"
    return PartStatus(source, word, findings, (troubles.sources.get(source.name) or Memory()).trouble)


def _judge_reload(troubles: Troubles) -> list[Finding]:
    """The finding that the configuration is not, or not all, in force."""
    trouble = troubles.reload.trouble
    if trouble is None or troubles.reload.is_well:
        return []
    return [replace(_of_trouble(trouble, Level.WARNING, blocks=False), part=RELOAD)]


def _judge_internal(troubles: Troubles, now: float) -> list[Finding]:
    """The findings for faults of our own that happened a short while ago."""
    found = []
    for where, internal in troubles.internal.items():
        if now - internal.at < INTERNAL_SHOWN_S:
            what = f"{internal.error}, contained; {internal.count} in all"
            remedy = InternalFault.default_remedy
            found.append(
                Finding(InternalFault.id, what, remedy, internal.since, Level.WARNING, blocks=False, part=where)
            )
    return found


# --- findings --------------------------------------------------------------------------------------


def _of(condition: Condition, what: str, since: float) -> Finding:
    return Finding(condition.id, what, condition.remedy, since, condition.level, condition.blocks)


def _of_trouble(trouble: Trouble, level: Level, *, blocks: bool) -> Finding:
    return Finding(trouble.error_id, trouble.what, trouble.remedy, trouble.since, level, blocks)


def _joined(found: Iterable[Finding]) -> list[Finding]:
    """Join the findings that several streams share, in the order in which an operator should read them."""
    joined: dict[tuple[str, ...], Finding] = {}
    for finding in found:
        key = (finding.error_id, finding.what, finding.server, finding.part)
        other = joined.get(key)
        joined[key] = (
            finding
            if other is None
            else replace(other, streams=other.streams + finding.streams, since=min(other.since, finding.since))
        )
    return sorted(joined.values(), key=lambda finding: (not finding.blocks, -finding.level, not finding.server))
