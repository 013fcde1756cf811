"""The statistics lines: what each stream did since the lines before.  Pure, but reads the memory in use."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.observe.snapshot import Snapshot, SourceSnapshot, StreamSnapshot
from fluent_plugin_amp.observe.troubles import EXPIRING_FROM_S
from fluent_plugin_amp.text import how_many

COUNTED = ("received", "delivered", "duplicates", "dropped", "dead_letters")


@dataclass(frozen=True, slots=True)
class Line:
    """A line for people, with its figures for machines."""

    level: int
    """Of `logging`: a warning when events are about to be deleted."""
    text: str
    fields: dict[str, Any]


def lines(before: Snapshot | None, after: Snapshot, *, started_at: float = 0.0) -> list[Line]:
    """One line in total, one for each stream that was not idle, and one for each polled source.

    They count since ``before``.  Without it they are the last lines, and count since the process was started.
    """
    earlier = {stream.name: stream for stream in before.streams} if before is not None else {}
    seconds = after.at - (before.at if before is not None else started_at)
    grown = {stream.name: _grown(earlier.get(stream.name), stream) for stream in after.streams}
    total = {name: sum(counts[name] for counts in grown.values()) for name in (*COUNTED, "requeued")}
    figures = {
        **_figures(total, seconds, after.streams),
        "held_bytes": after.held_bytes,
        "resident_bytes": after.resident_bytes,
    }
    memory = f"{units.size(after.held_bytes)} held of {units.size(after.memory_limit_bytes)}"
    process = f"{units.size(after.resident_bytes)} resident"
    counts = _text(figures, is_last=before is None)
    text = f"total of {how_many(len(after.streams), 'stream')}: {counts}, {memory}, {process}"
    made = [Line(_level(figures), text, {"event": "Statistics", **figures})]
    for stream in after.streams:
        figures = _figures(grown[stream.name], seconds, [stream])
        if any(grown[stream.name].values()) or figures["unacked"] or figures["waiting"]:
            fields = {"event": "StreamStatistics", "stream": stream.name, **figures}
            made.append(Line(_level(figures), f"stream {stream.name}: {_text(figures)}", fields))
    polled = {source.name: source for source in before.sources} if before is not None else {}
    made += [_of_source(source, polled.get(source.name), after.at) for source in after.sources]
    return made


def _of_source(source: SourceSnapshot, before: SourceSnapshot | None, now: float) -> Line:
    """The line of a polled source; that nothing happened is news: it was asked."""
    counted = source.counters.since(before.counters if before is not None else Counters())
    ago_s = None if source.polled_at is None else max(0.0, now - source.polled_at)
    figures: dict[str, Any] = {
        "delivered": counted.delivered,
        "duplicates": counted.duplicates,
        "dead_letters": counted.dead_letters,
        "polled_ago_s": None if ago_s is None else round(ago_s),
        "requests_left": source.requests_left,
        "odd_entries": source.odd,
        "unknown_names": source.unknown_names,
    }
    text = f"{how_many(counted.delivered, 'record')} delivered, {counted.duplicates} known before"
    text += f", {how_many(counted.dead_letters, 'dead letter')}"
    text += ", not polled yet" if ago_s is None else f", polled {units.duration(ago_s)} ago"
    if source.read is not None:
        text += f", has read {source.read} of {'?' if source.total is None else source.total}"
    if source.requests_left is not None:
        text += f", {how_many(source.requests_left, 'request')} left"
    fields = {"event": "SourceStatistics", "source": source.name, **figures}
    return Line(logging.INFO, f"source {source.name}: {text}", fields)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * 4096


def _grown(before: StreamSnapshot | None, after: StreamSnapshot) -> dict[str, int]:
    counted = after.counters.since(before.counters if before is not None else Counters())
    requeued = after.requeued - (before.requeued if before is not None else 0)
    return {**{name: getattr(counted, name) for name in COUNTED}, "requeued": requeued}


def _figures(grown: dict[str, int], seconds: float, streams: Iterable[StreamSnapshot]) -> dict[str, Any]:
    known = [stream for stream in streams if stream.messages_ready is not None]
    return {
        **grown,
        "per_second": round(grown["delivered"] / seconds, 1) if seconds > 0 else 0.0,
        "unacked": sum(stream.unacked for stream in streams),
        "waiting": sum(stream.messages_ready or 0 for stream in known) if known else None,
        "oldest_waiting_s": round(max((stream.oldest_waiting_s or 0.0 for stream in known), default=0.0)),
    }


def _text(figures: dict[str, Any], *, is_last: bool = False) -> str:
    """The figures as text; ``is_last``: nothing is connected any more, so nobody expects to read how much waits."""
    waiting = figures["waiting"]
    text = (
        f"{figures['received']} received, {figures['delivered']} delivered ({figures['per_second']:.1f}/s), "
        f"{how_many(figures['duplicates'], 'duplicate')}, {figures['dropped']} dropped, "
        f"{how_many(figures['dead_letters'], 'dead letter')}, "
    )
    if figures["requeued"]:  # they were received, and will be again
        text += f"{figures['requeued']} requeued, "
    text += f"{figures['unacked']} unacked"
    if waiting is not None or not is_last:
        text += f", {'unknown' if waiting is None else waiting} waiting"
    if waiting:
        text += f", the oldest for about {units.duration(figures['oldest_waiting_s'])}"
    if figures["oldest_waiting_s"] >= EXPIRING_FROM_S:
        text += " (Cisco deletes events after 10 days)"
    return text


def _level(figures: dict[str, Any]) -> int:
    return logging.WARNING if figures["oldest_waiting_s"] >= EXPIRING_FROM_S else logging.INFO
