"""Whether completeness records are whole: what `fluent-plugin-amp verify` finds.  Pure.

Of each stream:

* each record's hash fits it, and its HMAC where the key is given: nothing in it was changed;
* each record names the hash of the one before, and the sequence has no hole: none was changed with its hash, taken
  away, put in, or moved;
* each hour from the first to the last has a record, and its revisions are counted;
* the figures of a record agree with each other;
* nothing is missing that was not repaired.

The last record of an hour counts; but one that does not know of some events does not refute one that did.

A record that comes twice to the byte is one: it was sent again after a crash.  Another instance is another chain: the
state file was new.  That is told, and is no fault by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from fluent_plugin_amp.completeness.record import (
    FORMAT,
    HOUR_S,
    Record,
    is_hash_right,
    is_hmac_right,
    moment,
    second_of,
)
from fluent_plugin_amp.text import how_many

MAX_PROBLEMS = 1000
"""That are told one by one; the rest is counted."""
MAX_TEXT = 100
"""Characters of what a record says that are kept: no time, hash or instance is longer, and no reason of ours."""
MAX_NAME = 300
"""The same of a stream's name."""
MAX_COUNT = 2**53
"""Of events, and of records: what claims more is no record of ours."""
MAX_HOURS = 24 * 366 * 20
"""Of one stream: more than twenty years are no records of ours."""
MAX_ALL_HOURS = 600_000
"""Of all streams together: more than the records that `verify` reads."""


class Mark(enum.IntEnum):
    """An hour in the calendar, the worst last."""

    CLEAN = enum.auto()
    """All that the cloud has was delivered."""
    REPAIRED = enum.auto()
    """All of it was delivered, some by a repair, or later than the first look."""
    NOT_KNOWN = enum.auto()
    """Of some events the plugin could not tell."""
    NO_ANSWER = enum.auto()
    """The cloud could not be asked in time."""
    MISSING = enum.auto()
    """Something was not delivered."""
    NO_RECORD = enum.auto()
    """Its record is not there."""
    ALTERED = enum.auto()
    """Its record was changed, or does not fit the others."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where."""

    stream: str
    where: str
    """File and line, or an hour."""
    what: str


class Entry(NamedTuple):
    """What is kept of one record: there may be many."""

    where: str
    hour: int
    sequence: int
    instance: str
    """Which chain it is from."""
    hash: str
    previous: str | None
    revision: int
    looked_at: str
    in_cloud: int | None
    delivered: int | None
    missing: int | None
    not_known: int | None
    repaired: int | None
    why: str
    """Something is not known."""

    @property
    def adds_up(self) -> bool:
        """The figures agree, or nobody could tell."""
        parts = (self.delivered, self.missing, self.not_known)
        if self.in_cloud is None:
            return parts == (None,) * 3
        return None not in parts and self.in_cloud == sum(part or 0 for part in parts)


@dataclass(slots=True)
class Hour:
    """What the last record of an hour says."""

    mark: Mark
    in_cloud: int = 0
    delivered: int = 0
    missing: int = 0
    """That no repair delivered, either."""
    repaired: int = 0
    not_known: int = 0
    revision: int = 0


@dataclass(slots=True)
class Stream:
    """What the records of one stream say together."""

    name: str
    hours: dict[int, Hour] = field(default_factory=dict)
    """All from the first to the last, by their first second."""
    records: int = 0
    repeated: int = 0
    """That came once more, the same to the byte."""


@dataclass(slots=True)
class Report:
    """What was found."""

    streams: list[Stream] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0
    notes: list[str] = field(default_factory=list)
    is_signed: bool = False
    """The HMACs were checked."""
    hours: int = 0
    """Of all streams together."""

    @property
    def is_good(self) -> bool:
        """Nothing is missing and nothing was altered."""
        return not self.problems

    def tell(self, stream: str, where: str, what: str) -> None:
        """One more problem."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(stream, where, what))
        else:
            self.more_problems += 1


def verify(
    found: Iterable[tuple[str, Record]],
    *,
    key: bytes | None = None,
    since: int | None = None,
    until: int | None = None,
    streams: Collection[str] = (),
) -> Report:
    """Check all records.

    Args:
        found: records with the place where each was found, in any order.
        key: of the HMACs; None: they are not checked.
        since: the first second that has to be covered.  None: each chain must be there from its first record on.
        until: the second up to which every stream has to be covered; None: nobody knows.
        streams: names of streams that have to be there.
    """
    report = Report(is_signed=key is not None)
    by_stream: dict[str, list[Entry]] = {name: [] for name in streams}
    altered: dict[str, set[int]] = {}
    for where, record in found:
        stream = record["stream"][:MAX_NAME] if type(record["stream"]) is str else "?"
        entries = by_stream.setdefault(stream, [])
        if (entry := _read(where, record, key, stream, report)) is not None:
            entries.append(entry)
        elif (hour := second_of(record["hour"])) is not None:
            altered.setdefault(stream, set()).add(hour // HOUR_S * HOUR_S)
    for name in sorted(by_stream):
        checker = _Checker(Stream(name), report, since, until, altered.get(name, set()))
        checker.check(by_stream[name])
        report.streams.append(checker.stream)
    if not report.is_signed:
        report.notes.append(
            "No key was given: who could write the records anew, all of them, could have changed them unseen."
        )
    return report


def _read(where: str, record: Record, key: bytes | None, stream: str, report: Report) -> Entry | None:
    """A record that is whole by itself; else it is told why not."""
    hour = second_of(record["hour"])
    plugin, sequence, revision = (record[name] for name in ("plugin", "sequence", "revision"))
    figures = [record[name] for name in ("in_cloud", "delivered", "missing", "not_known", "repaired")]
    if record["format"] not in (FORMAT, None):
        what = f"a record of format {_short(record['format'])}: altered, or of a later version than this"
    elif not is_hash_right(record):
        what = f"the record of {_short(record['hour'])} was altered, or lacks fields: its hash does not fit it"
    elif key is not None and not is_hmac_right(record, key):
        how = "has no HMAC" if record["hmac"] is None else "was sealed with another key, or altered"
        what = f"the record of {_short(record['hour'])} {how}"
    elif (
        (hour is None or hour % HOUR_S)
        or not (_is_count(sequence) and _is_count(revision))
        or not all(figure is None or _is_count(figure) for figure in figures)
        or type(plugin) is not dict
    ):
        what = "no record of this plugin: its hour, plugin or counts are not as it writes them"
    else:
        return Entry(
            *(where, hour, sequence, _short(plugin.get("instance")), record["hash"]),
            *(None if record["previous"] is None else _short(record["previous"]), revision),
            *(_short(record["looked_at"]), *figures, _short(record["not_known_why"])),
        )
    report.tell(stream, where, what)
    return None


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNT


def _short(value: object) -> str:
    """What somebody else wrote, to be kept."""
    return str(value)[:MAX_TEXT]


class _Checker:
    """Checks the records of one stream."""

    def __init__(
        self, stream: Stream, report: Report, since: int | None, until: int | None, altered: set[int]
    ) -> None:
        self.stream = stream
        self._report = report
        self._since = since
        self._until = until
        self._altered = set(altered)

    def check(self, entries: list[Entry]) -> None:
        """All of it."""
        chains: dict[str, list[Entry]] = {}
        for entry in sorted(entries, key=lambda each: each.sequence):
            chains.setdefault(entry.instance, []).append(entry)
        in_order: list[Entry] = []
        ended = ""
        for number, chain in enumerate(sorted(chains.values(), key=lambda each: each[0].looked_at)):
            if number:
                self._report.notes.append(
                    f"stream {self.stream.name}: a new chain begins at {moment(chain[0].hour)}: the state file was "
                    "new. What the chain before had after its last record here, nobody can tell."
                )
            # Only what went on when the window opened can begin in it without its first record.
            is_whole = self._since is None or (ended != "" and chain[0].looked_at >= ended)
            in_order += self._chain(chain, is_whole=is_whole)
            ended = max(ended, *(entry.looked_at for entry in chain))
        self._hours(in_order)

    def _tell(self, entry: Entry, what: str) -> None:
        self._report.tell(self.stream.name, entry.where, what)
        self._altered.add(entry.hour)

    def _chain(self, chain: list[Entry], *, is_whole: bool) -> Iterator[Entry]:
        """The records of one chain, each once, those that fork left out; ``is_whole``: it has its first one."""
        kept: list[Entry] = []
        for entry in chain:
            if kept and kept[-1].sequence == entry.sequence:
                if kept[-1].hash == entry.hash:
                    self.stream.repeated += 1
                else:
                    what = f"there are two different records with the sequence {entry.sequence}: one is forged, or"
                    self._tell(entry, f"{what} a second plugin has run with a copy of the state file")
                continue
            kept.append(entry)
        first = kept[0]
        if is_whole and (first.sequence != 1 or first.previous is not None):
            self._tell(
                first,
                f"the chain begins with the sequence {first.sequence}: what was before is not in these files. If "
                "they begin later than the chain, say from when on with --since",
            )
        for before, entry in pairwise(kept):
            if entry.sequence != before.sequence + 1:
                lost = entry.sequence - before.sequence - 1
                self._tell(entry, f"{how_many(lost, 'record')} taken away before sequence {entry.sequence}")
            elif entry.previous != before.hash:
                self._tell(entry, f"the record before sequence {entry.sequence} is not the one that it was joined to")
        self.stream.records += len(kept)
        yield from kept

    def _hours(self, entries: list[Entry]) -> None:
        hours: dict[int, list[Entry]] = {}
        for entry in entries:
            hours.setdefault(entry.hour, []).append(entry)
        places = {*hours, *self._altered}
        if self._since is not None:
            places.add(self._since // HOUR_S * HOUR_S)
        if self._until is not None:
            places.add((self._until - 1) // HOUR_S * HOUR_S)
        if not places:
            self._report.tell(self.stream.name, "all files", "there is no record of this stream")
            return
        first, last = min(places), max(places)
        if last - first > MAX_HOURS * HOUR_S:
            self._report.tell(self.stream.name, moment(first), f"more than {MAX_HOURS} hours up to {moment(last)}")
            return
        self._report.hours += (last - first) // HOUR_S + 1
        if self._report.hours > MAX_ALL_HOURS:
            what = f"all streams up to this one have more than {MAX_ALL_HOURS} hours: it is not checked further"
            self._report.tell(self.stream.name, moment(first), what)
            return
        asked_from = first if self._since is None else self._since
        for hour in range(first, last + HOUR_S, HOUR_S):
            if hour + HOUR_S > asked_from or hour in places:
                self.stream.hours[hour] = self._hour(hour, hours.get(hour, []))
        self._tell_holes()

    def _tell_holes(self) -> None:
        """Hours in a row that have no record are one problem."""
        holes = {hour for hour, found in self.stream.hours.items() if found.mark is Mark.NO_RECORD}
        for first in sorted(hour for hour in holes if hour - HOUR_S not in holes):
            until = first + HOUR_S
            while until in holes:
                until += HOUR_S
            count = (until - first) // HOUR_S
            what = "of this hour" if count == 1 else f"up to {moment(until)} ({count} hours)"
            self._report.tell(self.stream.name, moment(first), f"there is no record {what}")

    def _hour(self, start: int, entries: list[Entry]) -> Hour:
        """What the hour comes to; its problems are told."""
        report, name = self._report, self.stream.name
        if not entries:
            if start in self._altered:
                return Hour(Mark.ALTERED)
            return Hour(Mark.NO_RECORD)
        revisions: dict[str, int] = {}
        for entry in entries:
            before = revisions.get(entry.instance, 0)
            revisions[entry.instance] = entry.revision
            if entry.revision != before + 1 and (before or self._since is None):
                self._tell(entry, f"revision {entry.revision} of {moment(start)} follows revision {before}")
            if not entry.adds_up:
                self._tell(entry, f"the figures of {moment(start)} do not add up")
        last = entries[-1]
        if last.not_known and not last.missing:  # a new state file knows less than the one before
            events = last.in_cloud or 0
            knew = (entry for entry in reversed(entries) if (entry.in_cloud or 0) >= events and not entry.not_known)
            last = next(knew, last)
        hour = Hour(
            Mark.CLEAN,
            in_cloud=last.in_cloud or 0,
            delivered=last.delivered or 0,
            missing=max(0, (last.missing or 0) - (last.repaired or 0)),
            repaired=max(entry.repaired or 0 for entry in entries),
            not_known=last.not_known or 0,
            revision=last.revision,
        )
        if start in self._altered:
            hour.mark = Mark.ALTERED
        elif last.in_cloud is None:
            hour.mark = Mark.NO_ANSWER
            report.tell(name, moment(start), f"nobody could tell: {last.why}")
        elif hour.missing:
            hour.mark = Mark.MISSING
            report.tell(name, moment(start), f"{hour.missing} of {hour.in_cloud} events were not delivered")
        elif hour.not_known:
            hour.mark = Mark.NOT_KNOWN
        elif any(entry.repaired or entry.missing for entry in entries):
            hour.mark = Mark.REPAIRED
        return hour
