"""What is kept of a stream's chain: its end, the hours that have a record, and the record that is under way.  Pure.

A record is kept before it is sent, and the chain advances when a server has it.  So after a crash the same record is
sent again, to the byte, and no other one can take its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from fluent_plugin_amp.completeness.record import HOUR_S, LAST_SECOND, Figures, Link, Origin, body_of, compose
from fluent_plugin_amp.completeness.schedule import BACK_S, LONGEST_S, Due, Looked, first_hour, is_ahead, is_over


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A record that no server has acknowledged yet."""

    body: str
    looked_at: int
    """Its time, seconds since the epoch."""
    hour: int
    looked: Looked
    link: Link


@dataclass(slots=True)
class Journal:
    """One stream's."""

    begins: int
    """The first hour that is to have a record and is not over."""
    since: int
    """Since then the state file is told what is delivered; seconds since the epoch."""
    link: Link = field(default_factory=Link)
    hours: dict[int, Looked] = field(default_factory=dict)
    under_way: UnderWay | None = None
    instance: str | None = None
    """Of a chain that began because the one before was not believed; None: that of the state file."""

    @classmethod
    def new(cls, now: float) -> Journal:
        """The beginning of a chain."""
        return cls(first_hour(now), int(now))

    def is_off(self, now: float) -> bool:
        """Whether this was written by a clock that was ahead, which looked at hours too early; or is far behind."""
        looks = (hour + HOUR_S + looked.age_s for hour, looked in self.hours.items())
        ahead = any(is_ahead(second, now) for second in (self.begins, self.since, *looks))
        return ahead or self.begins < now - LONGEST_S

    def anew(self, now: float, instance: str) -> Journal:
        """Another chain, in place of one that is off: the hours that it looked at have their records anew."""
        return Journal(first_hour(now - BACK_S), min(self.since, int(now)), instance=instance)

    def note(self, origin: Origin, due: Due, figures: Figures, now: float, key: bytes | None) -> bool:
        """What a look found; True: that is worth a record, which is under way now."""
        before = self.hours.get(due.hour, Looked())
        age_s, was_missing = int(now) - (due.hour + HOUR_S), before.was_missing or bool(figures.missing)
        looked = Looked(
            before.revision, age_s, figures.is_clean, figures.what_counts, was_missing, figures.cloud_total
        )
        if before.revision and before.counts == looked.counts:
            self.hours[due.hour] = looked
            return False
        looked = replace(looked, revision=before.revision + 1)
        record = compose(
            origin,
            due.hour,
            looked.revision,
            figures,
            looked_at=int(now),
            delayed_by=due.delayed_by(now, looked.revision),
            after=self.link,
            key=key,
        )
        link = Link(record["sequence"], record["hash"])
        self.under_way = UnderWay(body_of(record).decode(), int(now), due.hour, looked, link)
        return True

    def total_when_clean(self, due: Due) -> int | None:
        """How many events the cloud said it has of an hour that was clean; None: it was not, or nobody can tell."""
        looked = self.hours.get(due.hour, Looked())
        return looked.cloud_total if looked.is_clean else None

    def note_unchanged(self, due: Due, now: float) -> None:
        """What a look found: as many events as before."""
        self.hours[due.hour] = replace(self.hours[due.hour], age_s=int(now) - (due.hour + HOUR_S))

    def acknowledged(self, now: float) -> None:
        """A server has the record that was under way."""
        if self.under_way is not None:
            self.link = self.under_way.link
            self.hours[self.under_way.hour] = self.under_way.looked
            self.under_way = None
        while self.begins in self.hours and is_over(self.begins, now):
            del self.hours[self.begins]
            self.begins += HOUR_S

    @property
    def until(self) -> int:
        """Every hour before this has its record; seconds since the epoch."""
        hour = self.begins
        while hour in self.hours:
            hour += HOUR_S
        return hour

    def encode(self) -> bytes:
        """As it is kept."""
        return msgspec.json.encode(self)


def decode(data: bytes) -> Journal:
    """What `Journal.encode` made.

    Raises:
        ValueError: it is something else.
    """
    journal = msgspec.json.decode(data, type=Journal)
    if not all(0 <= second <= LAST_SECOND for second in (journal.begins, journal.since, *journal.hours)):
        raise ValueError("a time that is none")
    if any(hour % HOUR_S for hour in (journal.begins, *journal.hours)):
        raise ValueError("an hour that is none")
    return journal
