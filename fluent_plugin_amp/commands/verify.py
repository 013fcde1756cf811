"""`fluent-plugin-amp verify`: completeness records as a SIEM exported them, checked and drawn as a calendar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from fluent_plugin_amp.commands.console import new_table
from fluent_plugin_amp.commands.errors import CompletenessFileUnusable
from fluent_plugin_amp.completeness.reading import find_records
from fluent_plugin_amp.completeness.record import HOUR_S, Record, moment
from fluent_plugin_amp.completeness.verify import Hour, Mark, Report, Stream
from fluent_plugin_amp.numbers import float_of
from fluent_plugin_amp.observe.templates import template
from fluent_plugin_amp.text import how_many, one_line

if TYPE_CHECKING:
    from rich.table import Table

MAX_LINE_BYTES = 64 * 1024 * 1024
"""An export may be one array on one line."""
MAX_VALUES = 5_000_000
"""Of one line: so many commas and brackets.  64 MiB of records have 3 million; of empty lists, they would take a
gigabyte of memory."""
MAX_RECORDS = 500_000
"""In all files: fifty years of one stream, a year of fifty."""
DAY_S = 24 * HOUR_S

SIGNS = {
    Mark.CLEAN: ("·", "all delivered"),
    Mark.REPAIRED: ("r", "delivered later, or by a repair"),
    Mark.NOT_KNOWN: ("?", "not known of some events"),
    Mark.NO_ANSWER: ("n", "the cloud could not be asked in time"),
    Mark.MISSING: ("M", "events missing"),
    Mark.NO_RECORD: ("-", "no record"),
    Mark.ALTERED: ("X", "altered"),
}
"""How an hour is drawn, and in which words."""

_CLASSES = {
    Mark.CLEAN: "clean",
    Mark.REPAIRED: "repaired",
    Mark.NOT_KNOWN: "unknown",
    Mark.NO_ANSWER: "fault",
    Mark.MISSING: "fault",
    Mark.NO_RECORD: "fault",
    Mark.ALTERED: "fault",
}

_decode = msgspec.json.Decoder(float_hook=float_of).decode


# --- what is read ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """Counts what the files held, while they are read."""

    records: int = 0
    others: int = 0
    """Lines without a record."""

    def read(self, files: Iterable[BinaryIO]) -> Iterator[tuple[str, Record]]:
        """Each record with its place.

        Raises:
            CompletenessFileUnusable: a line is no JSON, or there is no record at all, or too many.
        """
        for file in files:
            for number, line in _lines(file):
                place = f"{_name(file)}, line {number}"
                before = self.records
                for record in find_records(_value(line, place)):
                    self.records += 1
                    if self.records > MAX_RECORDS:
                        raise CompletenessFileUnusable(f"{place}: more than {MAX_RECORDS:,} records")
                    yield place, record
                self.others += self.records == before
        if not self.records:
            raise CompletenessFileUnusable(
                f"{how_many(self.others, 'line')}, and no completeness record in them that could be checked"
            )


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Those that are not blank, from 1."""
    number = 0
    try:
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise CompletenessFileUnusable(
                    f"{_name(file)}, line {number}: longer than {MAX_LINE_BYTES >> 20} MiB"
                )
            if line := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield number, line
    except OSError as error:
        raise CompletenessFileUnusable(f"{_name(file)}: {error.strerror}") from error


def _name(file: BinaryIO) -> str:
    """Of the file; standard input may have none."""
    name = getattr(file, "name", "<stdin>")
    return name.encode("utf-8", "backslashreplace").decode() if isinstance(name, str) else "<stdin>"


def _value(line: bytes, place: str) -> Any:
    """The JSON of a line; with what Fluentd's and Fluent Bit's file outputs put before it, and behind."""
    if len(line) > MAX_VALUES and sum(map(line.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise CompletenessFileUnusable(f"{place}: more than {MAX_VALUES:,} values")
    begins, ends = line.find(b"{"), line.rfind(b"}") + 1
    for text in (line, line[begins:ends] if begins >= 0 else b""):
        try:
            return _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    raise CompletenessFileUnusable(f"{place}: no JSON, or cut off")


# --- what is shown ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """One row of the calendar."""

    stream: str
    start: int
    hours: tuple[tuple[int, Hour | None], ...]
    """All 24 with their first second; None: before the first record, or after the last."""

    @property
    def name(self) -> str:
        """``2026-11-28``."""
        return moment(self.start)[:10]

    def total(self, figure: str) -> int:
        """The sum of a figure over its hours."""
        return sum(getattr(hour, figure) for _, hour in self.hours if hour is not None)


FIGURES = ("in_cloud", "delivered", "missing", "repaired", "not_known")


def days(stream: Stream) -> Iterator[Day]:
    """The days of a stream, in order."""
    if not stream.hours:
        return
    first, last = min(stream.hours), max(stream.hours)
    for start in range(first // DAY_S * DAY_S, last + 1, DAY_S):
        hours = tuple((hour, stream.hours.get(hour)) for hour in range(start, start + DAY_S, HOUR_S))
        yield Day(stream.name, start, hours)


def table(report: Report) -> Table:
    """A row for each stream and day."""
    from rich.table import Column
    from rich.text import Text

    figures = (Column(figure.replace("_", " "), justify="right") for figure in FIGURES)
    made = new_table("stream", "day (UTC)", "hours 0 to 23", *figures)
    for stream in report.streams:
        for day in days(stream):
            signs = "".join(" " if hour is None else SIGNS[hour.mark][0] for _, hour in day.hours)
            is_bad = any(hour is not None and _CLASSES[hour.mark] == "fault" for _, hour in day.hours)
            totals = (str(day.total(figure)) for figure in FIGURES)
            made.add_row(Text(one_line(day.stream)), day.name, signs, *totals, style="red" if is_bad else None)
    return made


def legend(report: Report) -> str:
    """The signs that the table has, in words."""
    used = sorted({hour.mark for stream in report.streams for hour in stream.hours.values()})
    return ", ".join(f"{SIGNS[mark][0]} {SIGNS[mark][1]}" for mark in used)


def verdict(report: Report) -> str:
    """One sentence."""
    count = len(report.problems) + report.more_problems
    seal = "chain and HMAC are" if report.is_signed else "the chain is"
    if report.is_good:
        unknown = sum(hour.not_known for stream in report.streams for hour in stream.hours.values())
        but = f", but of {how_many(unknown, 'event')} it is not known whether they were delivered" if unknown else ""
        return f"{seal} whole, every hour has its record, and nothing is missing{but}"
    return f"{how_many(count, 'problem')}: something is missing, or was altered"


def as_json(report: Report) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "is_good": report.is_good,
        "hmac_checked": report.is_signed,
        "streams": [
            {
                "stream": stream.name,
                "records": stream.records,
                "repeated": stream.repeated,
                "hours": [
                    {
                        "hour": moment(start),
                        "mark": hour.mark.name.lower(),
                        **{figure: getattr(hour, figure) for figure in FIGURES},
                        "revision": hour.revision,
                    }
                    for start, hour in sorted(stream.hours.items())
                ],
            }
            for stream in report.streams
        ],
        "problems": [
            {"stream": problem.stream, "where": problem.where, "what": problem.what} for problem in report.problems
        ],
        "more_problems": report.more_problems,
        "notes": report.notes,
    }


def document(report: Report, now: float) -> str:
    """The calendar as HTML: one square an hour."""
    return template("fluent_plugin_amp.commands", "verify.html.jinja").render(
        report=report,
        verdict=verdict(report),
        calendars=[(stream, list(days(stream))) for stream in report.streams],
        figures=FIGURES,
        signs=SIGNS,
        classes=_CLASSES,
        moment=moment,
        drawn_at=now,
    )
