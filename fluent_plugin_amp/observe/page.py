"""The status page: one HTML document with everything in it, for a person who was woken up.  Pure.

It has no scripts and loads nothing from elsewhere.  The browser fetches it again every few seconds.  The answer to
"what is wrong" comes first, and whatever is in trouble stands above what is well.

The markup is in page.html.jinja.

Invariant: every value in the template is kept to one line and escaped (`templates`); only page.css is inserted as it
is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from fluent_plugin_amp import __version__
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.observe.conditions import Level
from fluent_plugin_amp.observe.rates import MINUTES, History
from fluent_plugin_amp.observe.snapshot import Proof, Snapshot
from fluent_plugin_amp.observe.status import Part, PartStatus, Readiness, Status
from fluent_plugin_amp.observe.templates import template, text_of
from fluent_plugin_amp.text import how_many, one_line

if TYPE_CHECKING:
    from jinja2 import Template

REFRESH_S = 5
FINDINGS_SHOWN = 12
QUEUE_KEEPS_S = 10 * 86400.0
"""After that Cisco deletes an event."""

_CLASSES = {Level.OK: "ok", Level.WARNING: "warning", Level.TROUBLE: "trouble"}
_SIGNS = {Level.OK: "●", Level.WARNING: "▲", Level.TROUBLE: "✖"}
_COLOURS = {Level.OK: "1a7f4b", Level.WARNING: "d98e04", Level.TROUBLE: "d32f2f"}
_SPARK_HEIGHT = 20
_STRIP_HOURS = 48
_HOUR_S = 3600
_HOURS = {
    "clean": "ok",
    "repaired": "warning",
    "not known": "warning",
    "missing": "trouble",
    "no answer": "trouble",
    "no record yet": "idle",
}
"""What hours are like, see `Proof.hours`, and their colours."""


def render(status: Status, histories: Mapping[str, History], started_at: float) -> str:
    """The whole page; ``histories`` of deliveries by stream."""
    headline, detail = verdict(status)
    now = status.snapshot.at
    return _template().render(
        headline=headline,
        detail=detail,
        # one stream of hundreds is no reason to show the colour that means: nothing flows
        level=Level.WARNING if status.readiness is Readiness.DEGRADED else status.level,
        findings=status.findings,
        tiles=_tiles(status.snapshot, histories),
        servers=_worst_first(status.servers),
        streams=_worst_first(status.streams),
        sources=_worst_first(status.sources),
        histories=histories,
        lasts=lambda since: units.duration(max(0.0, now - since)),
        strip=lambda proof: _strip(proof, now),
        started_at=started_at,
        now=now,
    )


@cache
def _template() -> Template:
    return template(
        __package__,
        "page.html.jinja",
        style=text_of(__package__, "page.css"),
        version=__version__,
        units=units,
        classes=_CLASSES,
        signs=_SIGNS,
        colours=_COLOURS,
        refresh_s=REFRESH_S,
        findings_shown=FINDINGS_SHOWN,
        minutes=MINUTES,
        spark_height=_SPARK_HEIGHT,
        bars=_bars,
        strip_hours=_STRIP_HOURS,
        percent_of_ten_days=_percent_of_ten_days,
        by_backticks=_by_backticks,
    )


def verdict(status: Status) -> tuple[str, str]:
    """A headline in a few words, and how many streams and servers do what."""
    streams, servers = status.streams, status.servers
    doing: dict[str, int] = {}
    for stream in streams:
        doing[stream.word] = doing.get(stream.word, 0) + 1
    detail = ", ".join(f"{count} {word}" for word, count in doing.items()) or "no stream is configured here"
    detail = f"{how_many(len(streams), 'stream')}: {detail}"
    if servers:
        acking = sum(server.snapshot.is_up and not server.snapshot.is_doubtful for server in servers)
        detail += f". {acking} of {how_many(len(servers), 'server')} up."
    if not status.snapshot.is_available:
        return "No server takes events", detail
    if status.stuck:
        degraded = "Degraded: " if status.readiness is Readiness.DEGRADED else ""
        return f"{degraded}{status.stuck} of {how_many(len(streams), 'stream')} not consuming", detail
    if status.reasons:
        return f"Degraded: {status.reasons[0].who}", detail
    if status.findings:
        return f"Working, with {how_many(len(status.findings), 'warning')}", detail
    return "All is well", detail


# --- what the template needs -------------------------------------------------------------------------


def _tiles(snapshot: Snapshot, histories: Mapping[str, History]) -> list[tuple[str, str]]:
    rate = sum(history.rate for history in histories.values())
    known = [stream.waiting for stream in snapshot.streams if stream.waiting is not None]
    oldest_s = max((stream.oldest_s or 0.0 for stream in snapshot.streams), default=0.0)
    delivered = sum(stream.counters.delivered for stream in snapshot.streams)
    letters = sum(stream.counters.dead_letters for stream in snapshot.streams)
    return [
        (units.per_second(rate), "events a second delivered"),
        (units.number(delivered), "delivered since the start"),
        (units.number(sum(known)) if known else "unknown", "waiting, in the queues or here"),
        (units.duration(oldest_s) if oldest_s else "–", "oldest waiting, of 10 days"),
        (units.number(snapshot.chunks_in_flight), "chunks in flight"),
        (units.number(letters), "dead letters"),
        (units.size(snapshot.held_bytes), f"held, of {units.size(snapshot.memory_limit_bytes)} at most"),
        (units.size(snapshot.resident_bytes), "memory of the process"),
        *_open("detections open", snapshot.detections_open),
        *_open("incidents open", snapshot.incidents_open),
        *_open("files wait for a hunt", sum(each.waiting for each in snapshot.hunts) if snapshot.hunts else None),
    ]


def _open(label: str, count: int | None) -> list[tuple[str, str]]:
    return [] if count is None else [(units.number(count), label)]


def _percent_of_ten_days(age_s: float) -> str:
    """The length of the bar for the oldest event, long enough to be seen."""
    return f"{min(100.0, max(2.0, 100.0 * age_s / QUEUE_KEEPS_S)):.0f}"


def _bars(history: History) -> str:
    """The path of a picture that shows events a minute over the last hour; a minute without events has no bar."""
    minutes = list(history.minutes)
    first, most = MINUTES - len(minutes), max(minutes)
    return "".join(
        f"M{first + place} {_SPARK_HEIGHT}v-{max(1, round(_SPARK_HEIGHT * count / most))}"
        for place, count in enumerate(minutes)
        if count
    )


def _strip(proof: Proof, now: float) -> tuple[str, list[tuple[str, str]]]:
    """How many of the last hours are like what, in words; and colour and path of each kind, for a picture."""
    first = int(now) // _HOUR_S - _STRIP_HOURS
    places: dict[str, list[int]] = {}
    for place in range(_STRIP_HOURS):
        places.setdefault(proof.hours.get((first + place) * _HOUR_S, "no record yet"), []).append(place)
    words = ", ".join(f"{len(places[word])} {word}" for word in _HOURS if word in places)
    paths = [
        (_HOURS[word], "".join(f"M{place} .5h.8" for place in places[word])) for word in _HOURS if word in places
    ]
    return f"The last {_STRIP_HOURS} hours: {words}", paths


def _by_backticks(text: str) -> list[str]:
    """Cut a text into words and `code`, in turn; the words come first."""
    return re.split(r"`([^`]+)`", one_line(text))


def _worst_first(those: Iterable[PartStatus[Part]]) -> list[PartStatus[Part]]:
    return sorted(those, key=lambda each: -each.level)
