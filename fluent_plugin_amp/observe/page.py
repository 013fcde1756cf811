"""The status page: one HTML document with everything in it, for a person who was woken up.  Pure.

No scripts, nothing loaded from elsewhere; it asks the browser to fetch it again every few seconds.  The answer to
"what is wrong" stands first, what is in trouble stands above what is well.

Invariant: whatever comes from outside, names and errors included, passes `_text`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import TypeVar

from fluent_plugin_amp import __version__
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.observe.conditions import Level
from fluent_plugin_amp.observe.rates import MINUTES, History
from fluent_plugin_amp.observe.status import Finding, Readiness, ServerStatus, Status, StreamStatus
from fluent_plugin_amp.observe.troubles import Trouble
from fluent_plugin_amp.text import one_line

REFRESH_S = 5
FINDINGS_SHOWN = 12
QUEUE_KEEPS_S = 10 * 86400.0
"""After that Cisco deletes an event."""

_Judged = TypeVar("_Judged", StreamStatus, ServerStatus)

_STYLE = resources.files(__package__).joinpath("page.css").read_text("utf-8")
_CLASSES = {Level.OK: "ok", Level.WARNING: "warning", Level.TROUBLE: "trouble"}
_SIGNS = {Level.OK: "●", Level.WARNING: "▲", Level.TROUBLE: "✖"}
_COLOURS = {Level.OK: "1a7f4b", Level.WARNING: "d98e04", Level.TROUBLE: "d32f2f"}
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'>"
    "<circle cx='4.5' cy='4.5' r='4' fill='%23{colour}'/></svg>"
)
_SPARK_HEIGHT = 20


def render(status: Status, histories: Mapping[str, History], started_at: float) -> str:
    """The whole page; ``histories`` of deliveries by stream."""
    headline, detail = verdict(status)
    # one stream of hundreds is no reason to show the colour that means: nothing flows
    level = Level.WARNING if status.readiness is Readiness.DEGRADED else status.level
    now = status.figures.at
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}">
<title>{_text(headline)} · fluent-plugin-amp</title>
<link rel="icon" href="data:image/svg+xml,{_ICON.format(colour=_COLOURS[level])}">
<style>{_STYLE}</style>
</head>
<body>
<main>
<section class="verdict {_CLASSES[level]}">
<h1>{_SIGNS[level]} {_text(headline)}</h1>
<p>{_text(detail)}</p>
</section>
{_findings(status)}
{_tiles(status, histories)}
{_servers(status)}
{_streams(status, histories)}
<footer>
fluent-plugin-amp {_text(__version__)}, running for {units.duration(max(0.0, now - started_at))} ·
seen at {units.moment(now)}, fetched again every {REFRESH_S} s ·
<a href="/metrics">metrics</a> · <a href="/readyz">readyz</a> · <a href="/healthz">healthz</a>
</footer>
</main>
</body>
</html>
"""


def verdict(status: Status) -> tuple[str, str]:
    """What is the matter, in a few words, and how many do what."""
    streams, servers = status.streams, status.servers
    doing: dict[str, int] = {}
    for stream in streams:
        doing[stream.word] = doing.get(stream.word, 0) + 1
    detail = ", ".join(f"{count} {word}" for word, count in doing.items()) or "no stream is configured here"
    detail = f"{_count(len(streams), 'stream')}: {detail}"
    if servers:
        acking = sum(server.figures.is_up and not server.figures.is_doubtful for server in servers)
        detail += f". {acking} of {_count(len(servers), 'server')} up."
    if not status.figures.is_available:
        return "No server takes events", detail
    if status.stuck:
        degraded = "Degraded: " if status.readiness is Readiness.DEGRADED else ""
        return f"{degraded}{status.stuck} of {_count(len(streams), 'stream')} not consuming", detail
    if status.reasons:
        return f"Degraded: {status.reasons[0].who}", detail
    if status.findings:
        return f"Working, with {_count(len(status.findings), 'warning')}", detail
    return "All is well", detail


# --- parts of the page -----------------------------------------------------------------------------


def _tiles(status: Status, histories: Mapping[str, History]) -> str:
    figures = status.figures
    rate = sum(history.rate for history in histories.values())
    known = [stream.waiting for stream in figures.streams if stream.waiting is not None]
    oldest_s = max((stream.oldest_s or 0.0 for stream in figures.streams), default=0.0)
    delivered = sum(stream.counters.delivered for stream in figures.streams)
    letters = sum(stream.counters.dead_letters for stream in figures.streams)
    tiles = [
        (units.per_second(rate), "events a second delivered"),
        (units.number(delivered), "delivered since the start"),
        (units.number(sum(known)) if known else "unknown", "waiting, in the queues or here"),
        (units.duration(oldest_s) if oldest_s else "–", "oldest waiting, of 10 days"),
        (units.number(figures.chunks_in_flight), "chunks in flight"),
        (units.number(letters), "dead letters"),
        (units.size(figures.held_bytes), f"held, of {units.size(figures.memory_limit_bytes)} at most"),
        (units.size(figures.resident_bytes), "memory of the process"),
        *_open("detections open", figures.detections_open),
        *_open("incidents open", figures.incidents_open),
    ]
    items = "\n".join(f'<li><b>{value}</b><span class="soft">{label}</span></li>' for value, label in tiles)
    return f'<ul class="tiles">\n{items}\n</ul>'


def _open(label: str, count: int | None) -> list[tuple[str, str]]:
    return [] if count is None else [(units.number(count), label)]


def _findings(status: Status) -> str:
    if not status.findings:
        return ""
    shown = [_finding(finding, status.figures.at) for finding in status.findings[:FINDINGS_SHOWN]]
    more = len(status.findings) - len(shown)
    rest = f'<p class="soft">… and {more} more: see the streams below.</p>' if more else ""
    return "\n".join(["<h2>What to look at</h2>", *shown, rest])


def _finding(finding: Finding, now: float) -> str:
    lasts = units.duration(max(0.0, now - finding.since))
    return f"""<div class="finding {_CLASSES[finding.level]}">
<p><b>{_text(finding.who)}:</b> {_text(finding.what)}</p>
<p>→ {_with_code(finding.remedy)}</p>
<p class="soft"><code>{_text(finding.error_id)}</code>, for {lasts} (since {units.moment(finding.since)})</p>
</div>"""


def _servers(status: Status) -> str:
    if not status.servers:
        return ""
    heads = ["State", "Server", "Chunks in flight", "Last ack after", "Sent again", "Last error"]
    rows = "\n".join(_server(server, status.figures.at) for server in _worst_first(status.servers))
    return f"<h2>Servers</h2>\n{_table(heads, [False, False, True, True, True, False], rows)}"


def _server(server: ServerStatus, now: float) -> str:
    figures = server.figures
    latency = "–" if figures.ack_latency_s is None else units.milliseconds(figures.ack_latency_s)
    return f"""<tbody><tr>
<td class="{_CLASSES[server.level]}">{_SIGNS[server.level]} {_text(server.word)}</td>
<td class="name" title="{_text(figures.server)}">{_text(figures.server)}</td>
<td class="figure">{units.number(figures.in_flight)}</td>
<td class="figure">{latency}</td>
<td class="figure">{units.number(figures.retries)}</td>
<td class="soft">{_last(server.last_trouble, now, is_current=bool(server.findings))}</td>
</tr>{_why(server.findings, 6)}</tbody>"""


def _streams(status: Status, histories: Mapping[str, History]) -> str:
    heads = [
        "State",
        "Stream",
        "Events/s",
        "Last hour",
        "Waiting",
        "Oldest waiting",
        "Unacked",
        "Delivered",
        "Last error",
    ]
    rows = "\n".join(
        _stream(stream, histories.get(stream.figures.name), status.figures.at)
        for stream in _worst_first(status.streams)
    )
    table = _table(heads, [False, False, True, False, True, True, True, True, False], rows, wide={6, 7, 8})
    return f"<h2>Streams <small>({len(status.streams)})</small></h2>\n{table}"


def _stream(stream: StreamStatus, history: History | None, now: float) -> str:
    figures = stream.figures
    name = _text(figures.name)
    rate = units.per_second(history.rate) if history else "–"
    waiting = "unknown" if figures.waiting is None else units.number(figures.waiting)
    css_class = "idle" if stream.word == "standing by" else _CLASSES[stream.level]
    return f"""<tbody><tr>
<td class="{css_class}">{_SIGNS[stream.level]} {_text(stream.word)}</td>
<td class="name" title="{name}">{name}</td>
<td class="figure">{rate}</td>
<td>{_spark(history)}</td>
<td class="figure">{waiting}</td>
<td class="figure">{_oldest(figures.oldest_s)}</td>
<td class="figure wide">{units.number(figures.unacked)}</td>
<td class="figure wide">{units.number(figures.counters.delivered)}</td>
<td class="soft wide">{_last(stream.last_trouble, now, is_current=bool(stream.findings))}</td>
</tr>{_why(stream.findings, 9)}</tbody>"""


def _table(heads: list[str], figures: list[bool], rows: str, wide: Iterable[int] = ()) -> str:
    cells = []
    for place, (head, is_figure) in enumerate(zip(heads, figures, strict=True)):
        classes = " ".join([*(["figure"] if is_figure else []), *(["wide"] if place in wide else [])])
        cells.append(f'<th class="{classes}">{head}</th>' if classes else f"<th>{head}</th>")
    return f'<div class="scroll"><table>\n<thead><tr>{"".join(cells)}</tr></thead>\n{rows}\n</table></div>'


def _why(findings: tuple[Finding, ...], columns: int) -> str:
    """What the state of a row is owed to; the remedy stands with the findings, and is a hint here."""
    if not findings:
        return ""
    texts = [
        f'<span title="{_text(each.remedy)}">{_text(each.what)} <code>{_text(each.error_id)}</code></span>'
        for each in findings
    ]
    return f'\n<tr><td class="why" colspan="{columns}">{"<br>".join(texts)}</td></tr>'


def _last(trouble: Trouble | None, now: float, *, is_current: bool) -> str:
    """The last error, its words as a hint; when it is not over, the row below says what it is."""
    if trouble is None:
        return "none"
    ago = f"{units.duration(max(0.0, now - trouble.at))} ago"
    if is_current:
        return ago
    hint = _text(f"{trouble.what}. {trouble.remedy}")
    return f'<span title="{hint}"><code>{_text(trouble.error_id)}</code> {ago}, over</span>'


def _oldest(age_s: float | None) -> str:
    if age_s is None:
        return "unknown"
    if age_s == 0:
        return "–"
    percent = min(100.0, max(2.0, 100.0 * age_s / QUEUE_KEEPS_S))
    return f'{units.duration(age_s)}<span class="bar" title="of 10 days"><i style="width:{percent:.0f}%"></i></span>'


def _spark(history: History | None) -> str:
    """Events a minute over the last hour, as bars; nothing while there were none."""
    minutes = [] if history is None else list(history.minutes)
    most = max(minutes, default=0)
    if not most:
        return ""
    first = MINUTES - len(minutes)
    bars = "".join(
        f"M{first + place} {_SPARK_HEIGHT}v-{max(1, round(_SPARK_HEIGHT * count / most))}"
        for place, count in enumerate(minutes)
        if count
    )
    title = f"Events a minute over the last hour; at most {units.number(most)}"
    return (
        f'<svg class="spark" viewBox="-.5 0 {MINUTES} {_SPARK_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{title}"><title>{title}</title><path d="{bars}"/></svg>'
    )


# --- words -----------------------------------------------------------------------------------------


def _worst_first(those: Iterable[_Judged]) -> list[_Judged]:
    return sorted(those, key=lambda each: -each.level)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _with_code(text: str) -> str:
    """`…` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(text: str) -> str:
    return html.escape(one_line(text))
