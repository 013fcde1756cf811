"""The plugin's log: facts become lines, for people (text) or machines (JSON), on standard error.

One line for a change of state.  The parts tell every trouble each time; `news` decides which are worth a line, the
others are for DEBUG.  An error's line ends with what to do about it.  With many streams, their usual comings and
goings are for DEBUG too: one line says how many do what (`watch`).  Standard output is never written: it belongs to
``--stdout``.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import IncludeBroken, InternalFault, PluginError
from fluent_plugin_amp.observe import conditions, units
from fluent_plugin_amp.observe.conditions import SHARED, SILENT
from fluent_plugin_amp.observe.news import REPEAT_AFTER_S, News
from fluent_plugin_amp.text import how_many, lines, one_line, place_of, values

LOGGER = logging.getLogger("fluent_plugin_amp")
SERVER_QUIET_S = 60.0
"""How often a server that is lost for a moment only, again and again, has lines."""
LETTERS_TOLD = 20
"""How many dead letters of one stream and error have a line within `REPEAT_AFTER_S`: a flood must fill no disk."""
NEAR_EVENTS = frozenset(
    {"event", "combining", "stream", "callback", "chunk", "answer", "dead letter", "memory", "sink"}
)
"""Places where the words of an exception may hold values of an event, even obfuscated ones."""
MANY_STREAMS = 10
"""With more streams than this, none has its own lines for being connected, consuming and waiting."""

Said = tuple[int, str, dict[str, Any]]
"""A line: level, text, and the fields that a machine reads."""


WAITS_TOLD_FROM_S = 10.0
"""A source that waits for less before it asks again is a detail."""


def set_up(level: str, format: Literal["text", "json"]) -> None:
    """Send the plugin's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False


_USUAL = (facts.StreamConnected, facts.StreamConsuming, facts.StreamHeld)


class LogObserver:
    """An observer (`facts.Observer`) that logs facts; ``streams`` is how many streams there are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, streams: int = 1) -> None:
        self._clock = clock
        self._usual_level = logging.DEBUG if streams > MANY_STREAMS else logging.INFO
        self._streams = defaultdict[str, News](News)
        self._servers = defaultdict[str, News](lambda: News(SERVER_QUIET_S))
        self._sources = defaultdict[str, News](News)
        self._state = News()
        self._shared = defaultdict[str, News](News)  # streams whose queue others read too
        self._internal = defaultdict[tuple[str, str], News](News)  # by what it met, and where it was raised
        self._in_doubt = Counter[str]()  # server → chunks in doubt that no line counted
        self._letters: dict[tuple[str, str], tuple[int, float]] = {}  # stream, error id → (how many, since when)

    def __call__(self, fact: facts.Fact) -> None:
        """Log one fact."""
        cause: Exception | None = None
        is_news = True
        match fact:
            case facts.InternalError(where=where, error=error):
                # The same fault is said once, whatever its words.
                is_news = self._internal[where, place_of(error)].trouble(type(error).__name__, self._clock())
                cause = _without_values(fact) if is_news else None
            case facts.StreamTrouble(stream=name, error=error, attempts=attempts):
                is_news = self._streams[name].trouble(error.id, self._clock(), attempts)
            case facts.StreamConnected(stream=name):
                is_news = self._streams[name].connected()
                if fact.consumers and fact.is_poll:
                    is_news = self._shared[name].trouble("shared", self._clock())
                elif fact.consumers and not fact.is_exclusive:
                    is_news = True
            case facts.StreamConsuming(stream=name) | facts.StreamPolled(stream=name):
                self._streams[name].over()
            case facts.ServerTrouble(server=name, error=error, attempts=attempts):
                self._in_doubt[name] += fact.in_doubt
                fact = replace(fact, in_doubt=self._in_doubt[name])
                is_news = self._servers[name].trouble(error.id, self._clock(), attempts)
                if is_news:
                    del self._in_doubt[name]
            case facts.ServerConnected(server=name):
                is_news = self._servers[name].connected()
                self._servers[name].over()
            case facts.SourceTrouble(source=name, error=error, attempts=attempts):
                is_news = self._sources[name].trouble(error.id, self._clock(), attempts)
            case facts.SourcePolled(source=name):
                self._sources[name].over()
            case facts.StateTrouble(error=error):
                is_news = self._state.trouble(error.id, self._clock())
            case facts.StateRecovered():
                self._state.over()
        level, text, fields = describe(fact)
        if isinstance(fact, facts.DeadLettered):
            count = self._count_letter(fact.stream, fact.error.id)
            is_news = count <= LETTERS_TOLD
            if count == LETTERS_TOLD:
                text += f" Further ones of this kind are counted, and not logged for {REPEAT_AFTER_S:.0f} s."
        if not is_news:
            level = logging.DEBUG
        elif level == logging.INFO and isinstance(fact, _USUAL):
            level = self._usual_level
        LOGGER.log(level, text, extra={"fields": {"event": type(fact).__name__, **fields}}, exc_info=cause)

    def _count_letter(self, stream: str, error_id: str) -> int:
        now = self._clock()
        count, since = self._letters.get((stream, error_id), (0, now))
        if now - since >= REPEAT_AFTER_S:
            count, since = 0, now
        self._letters[stream, error_id] = count + 1, since
        return count + 1


def describe(fact: facts.Fact) -> Said:
    """The line for one fact."""
    match fact:
        case facts.StreamConnected():
            after, fields = _after(fact.outage_s)
            waiting = f"{how_many(fact.messages, 'message')} waiting{after}"
            text = f"stream {fact.stream}: connected to queue {fact.queue}, {waiting}"
            fields = {"stream": fact.stream, "queue": fact.queue, "messages": fact.messages, **fields}
            level = logging.DEBUG if fact.is_poll else logging.INFO
            if fact.consumers:
                fields["consumers"] = fact.consumers
            if fact.consumers and fact.is_exclusive:
                text += "; another consumer has it"
            elif fact.consumers:
                text += f"; {how_many(fact.consumers, 'other consumer')} attached: each has a part of the stream"
                level = logging.WARNING
            return level, text, fields
        case facts.StreamConsuming():
            text = f"stream {fact.stream}: consuming, prefetch {fact.prefetch_count} ({fact.reason})"
            level = logging.DEBUG if fact.is_poll else logging.INFO
            return level, text, {"stream": fact.stream, "prefetch_count": fact.prefetch_count}
        case facts.StreamPolled():
            return _polled(fact)
        case facts.StreamHeld():
            return logging.INFO, f"stream {fact.stream}: waiting: {fact.reason}", {"stream": fact.stream}
        case facts.StreamTrouble():
            text = f"stream {fact.stream}: {_error_text(fact.error)} Next try in {fact.retry_in_s:.1f} s."
            return (
                logging.WARNING,
                text,
                {
                    "stream": fact.stream,
                    "attempts": fact.attempts,
                    **_error_fields(fact.error),
                },
            )
        case facts.StreamPaused():
            text = (
                f"stream {fact.stream}: paused: the oldest event stayed unacknowledged for {fact.age_s:.0f} s; "
                f"{fact.requeued} requeued until a server acknowledges again"
            )
            return logging.WARNING, text, {"stream": fact.stream, "requeued": fact.requeued}
        case facts.DeliveryRequeuedOften():
            text = (
                f"stream {fact.stream}: an event was requeued {how_many(fact.count, 'time')}; at the queue's "
                "delivery limit (20 by default) the broker deletes it. Going on with one event at a time; mend what "
                "keeps servers from acknowledging"
            )
            return logging.ERROR, text, {"stream": fact.stream, "requeues": fact.count}
        case facts.EventsVanished():
            text = (
                f"stream {fact.stream}: {how_many(fact.count, 'event')} left the queue without an acknowledgement: "
                "deleted at its delivery limit, expired, or taken by somebody else. `fluent-plugin-amp reconcile` "
                "tells which, and fetches them"
            )
            return logging.ERROR, text, {"stream": fact.stream, "events": fact.count}
        case facts.MemoryBrake():
            text = (
                f"stream {fact.stream}: large events: {fact.held_bytes} bytes held, memory_limit reached; "
                f"prefetch lowered to {fact.prefetch_count}"
            )
            return logging.WARNING, text, {"stream": fact.stream, "held_bytes": fact.held_bytes}
        case facts.StreamBehind():
            condition = conditions.behind(fact.growth_per_s, is_expiring=fact.is_expiring, flows=fact.flows)
            backlog = units.backlog(fact.messages, fact.oldest_s, fact.growth_per_s)
            text = f"stream {fact.stream}: [{condition.id}] {backlog}. {condition.remedy}"
            fields = {"stream": fact.stream, "error_id": condition.id, "messages": fact.messages}
            fields["oldest_s"] = round(fact.oldest_s)
            return logging.ERROR if fact.is_expiring else logging.WARNING, text, fields
        case facts.StreamCaughtUp():
            return logging.INFO, f"stream {fact.stream}: has caught up", {"stream": fact.stream}
        case facts.StreamSilent():
            silence = units.duration(fact.silent_s)
            text = f"stream {fact.stream}: [{SILENT.id}] no event for {silence}. {SILENT.remedy}"
            fields = {"stream": fact.stream, "error_id": SILENT.id, "silent_s": round(fact.silent_s)}
            return logging.WARNING, text, fields
        case facts.StreamHeard():
            text = f"stream {fact.stream}: events again, after {units.duration(fact.silent_s)} without"
            return logging.INFO, text, {"stream": fact.stream, "silent_s": round(fact.silent_s)}
        case facts.StreamShared():
            text = (
                f"stream {fact.stream}: [{SHARED.id}] a part of its events has gone to "
                f"{how_many(fact.others, 'other consumer')} for {units.duration(fact.shared_s)}. {SHARED.remedy}"
            )
            return logging.WARNING, text, {"stream": fact.stream, "error_id": SHARED.id, "consumers": fact.others}
        case facts.StreamUnshared():
            return logging.INFO, f"stream {fact.stream}: has its queue to itself again", {"stream": fact.stream}
        case facts.TagsUsedUp():
            condition = conditions.TAGS_USED_UP
            text = (
                f"stream {fact.stream}: [{condition.id}] {fact.tags} different tags, and more come: new ones become "
                f"`other`. {condition.remedy}"
            )
            fields = {"stream": fact.stream, "error_id": condition.id, "tags": fact.tags}
            return logging.WARNING, text, fields
        case facts.SchemaDrift():
            condition = conditions.SCHEMA_DRIFT
            text = (
                f"stream {fact.stream}: [{condition.id}] {fact.what} {fact.path} is not in the table of `shape`. "
                f"{condition.remedy}"
            )
            fields = {"stream": fact.stream, "error_id": condition.id, "what": fact.what, "path": fact.path}
            return logging.WARNING, text, fields
        case facts.DeadLettered():
            sizes = f"{fact.size} bytes in {how_many(fact.parts, 'record')}"
            text = f"stream {fact.stream}: dead letter, {sizes}: {_error_text(fact.error)}"
            return logging.WARNING, text, {"stream": fact.stream, "size": fact.size, **_error_fields(fact.error)}
        case facts.InternalError():
            text = (
                f"{fact.where}: [{InternalFault.id}] {type(fact.error).__name__}, contained. "
                f"{InternalFault.default_remedy}"
            )
            fields = {"where": fact.where, "error_id": InternalFault.id, "error": type(fact.error).__name__}
            return logging.ERROR, text, fields
        case facts.SourcePolled():
            after, fields = _after(fact.outage_s)
            text = f"source {fact.source}: polled in {fact.took_s:.2f} s{after}; next in {fact.next_in_s:.1f} s"
            level = logging.INFO if fact.outage_s else logging.DEBUG
            return level, text, {"source": fact.source, "took_s": round(fact.took_s, 3), **fields}
        case facts.SourceTrouble():
            text = f"source {fact.source}: {_error_text(fact.error)} Next try in {fact.retry_in_s:.1f} s."
            fields = {"source": fact.source, "attempts": fact.attempts, **_error_fields(fact.error)}
            return logging.WARNING, text, fields
        case facts.SourceEnded():
            return logging.INFO, f"source {fact.source}: ended", {"source": fact.source}
        case facts.SourceWaits():
            text = f"source {fact.source}: waits {units.duration(fact.wait_s)}: {fact.why}"
            level = logging.INFO if fact.wait_s >= WAITS_TOLD_FROM_S else logging.DEBUG
            return level, text, {"source": fact.source, "wait_s": round(fact.wait_s, 1)}
        case facts.Reloaded():
            return logging.INFO, f"reloaded: {fact.changes}", {"changes": fact.changes}
        case facts.ReloadTrouble():
            is_part = isinstance(fact.error, IncludeBroken)
            what = "reloaded only in part" if is_part else "not reloaded, everything stays as it is"
            return logging.ERROR, f"{what}: {_error_text(fact.error)}", _error_fields(fact.error)
        case facts.StateOpened():
            kept = f"; {how_many(fact.letters, 'dead letter')} kept" if fact.letters else ""
            closed = "; others could read or write it, and no longer can" if fact.was_open_to_others else ""
            fields = {"path": fact.path, "letters": fact.letters}
            return logging.INFO, f"state file {fact.path}: in use{kept}{closed}", fields
        case facts.StateTrouble():
            retry = "" if fact.retry_in_s is None else f" Next try in {fact.retry_in_s:.1f} s."
            text = (
                f"state file: {_error_text(fact.error)} Events are delivered without it: those that the broker "
                f"delivers again after a restart may arrive twice.{retry}"
            )
            return logging.ERROR, text, {"path": fact.path, **_error_fields(fact.error)}
        case facts.StateSetAside():
            text = f"state file: {_error_text(fact.error)}"
            return logging.ERROR, text, {"path": fact.path, **_error_fields(fact.error)}
        case facts.StateRecovered():
            return logging.INFO, f"state file {fact.path}: in use again", {"path": fact.path}
        case facts.LetterKept():
            text = (
                f"stream {fact.stream}: no server takes a dead letter of {fact.size} bytes, [{fact.error.id}] "
                f"{fact.error}: the state file keeps it ({fact.letters} in all) and it is sent later"
            )
            fields = {"stream": fact.stream, "size": fact.size, "letters": fact.letters}
            return logging.ERROR, text, {**fields, **_error_fields(fact.error)}
        case facts.KeptLettersSent():
            text = f"{how_many(fact.sent, 'dead letter')} from the state file taken by servers, {fact.left} left"
            return logging.INFO, text, {"sent": fact.sent, "left": fact.left}
        case facts.ServerConnected():
            after, fields = _after(fact.outage_s)
            return logging.INFO, f"server {fact.server}: connected{after}", {"server": fact.server, **fields}
        case facts.ServerTrouble():
            doubt = f" {how_many(fact.in_doubt, 'chunk')} in doubt will be sent again." if fact.in_doubt else ""
            text = f"server {fact.server}: {_error_text(fact.error)}{doubt} Next try in {fact.retry_in_s:.1f} s."
            return (
                logging.WARNING,
                text,
                {
                    "server": fact.server,
                    "attempts": fact.attempts,
                    **_error_fields(fact.error),
                },
            )
        case facts.ChunkSplit():
            text = f"chunk of {fact.events} events split to find the one that servers refuse: {fact.error}"
            return logging.WARNING, text, {"chunk": fact.chunk_id, **_error_fields(fact.error)}
    raise AssertionError(f"no line for {fact!r}")


def _after(outage_s: float) -> tuple[str, dict[str, Any]]:
    """How a connection that ends an outage says how long that was."""
    if not outage_s:
        return "", {}
    return f", after {units.duration(outage_s)} of trouble", {"outage_s": round(outage_s, 3)}


def _polled(fact: facts.StreamPolled) -> Said:
    """The line of one round, with the figures that other collectors give for their rounds."""
    counted = fact.counted
    per_second = counted.delivered / fact.took_s if fact.took_s > 0 else 0.0
    text = (
        f"stream {fact.stream}: polled in {fact.took_s:.2f} s: {counted.received} received, {counted.delivered} "
        f"delivered ({per_second:.1f}/s), {how_many(counted.duplicates, 'duplicate')}, {counted.dropped} dropped, "
        f"{how_many(counted.dead_letters, 'dead letter')}"
    )
    if fact.requeued:
        text += f", {fact.requeued} requeued"
    fields: dict[str, Any] = {
        "stream": fact.stream,
        "received": counted.received,
        "delivered": counted.delivered,
        "duplicates": counted.duplicates,
        "dropped": counted.dropped,
        "dead_letters": counted.dead_letters,
        "per_second": round(per_second, 1),
        "requeued": fact.requeued,
        "took_s": round(fact.took_s, 3),
    }
    if fact.next_in_s is not None:
        text += f"; next run in {fact.next_in_s:.1f} s"
        fields["next_in_s"] = round(fact.next_in_s, 3)
    return logging.INFO, text, fields


def _without_values(fact: facts.InternalError) -> Exception:
    """The exception, for its traceback; if its words may hold values of an event, another one without words."""
    if fact.where not in NEAR_EVENTS:
        return fact.error
    silent = InternalFault(f"{type(fact.error).__name__}; its words are left out, they may hold values of an event")
    return silent.with_traceback(fact.error.__traceback__)


def _error_text(error: PluginError) -> str:
    said = str(error)
    return f"[{error.id}] {said}{'' if said.endswith(('.', '?', '!')) else '.'} {error.remedy}".rstrip()


def _error_fields(error: PluginError) -> dict[str, Any]:
    return {"error_id": error.id, "error": str(error), "remedy": error.remedy}


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record)} {record.levelname.lower():7} {one_line(record.getMessage())}"
        # Indented, so that no line of it can be taken for one of the log.
        return f"{line}\n{lines(self.formatException(record.exc_info), '    ')}" if record.exc_info else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "message": one_line(record.getMessage()),
            **values(getattr(record, "fields", {})),
        }
        if record.exc_info:
            line["traceback"] = lines(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
