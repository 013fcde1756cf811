"""When the plugin could not receive, or not deliver, and what it counted in each hour.  Pure.

It is told every few seconds how a stream stands.  What it knows is kept, so after a restart the time in between shows
as a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from fluent_plugin_amp.completeness.record import HOUR_S, LAST_SECOND, Gap, fewer
from fluent_plugin_amp.completeness.schedule import LOST_S, is_ahead
from fluent_plugin_amp.model import Counters

ABSENT_S = 60
"""When nothing was heard for longer than that, the plugin did not run."""
MAX_KEPT_GAPS = 500
DID_NOT_RUN = "the plugin did not run"


@dataclass(slots=True)
class Counted:
    """In one hour, by the plugin's own clock."""

    dead_letters: int = 0
    duplicates: int = 0
    newest_event: int | None = None


@dataclass(slots=True)
class Presence:
    """One stream's."""

    seen_at: int | None = None
    """When it was told last; seconds since the epoch."""
    trouble: str | None = None
    """Why it could not work then."""
    gaps: list[Gap] = field(default_factory=list)
    hours: dict[int, Counted] = field(default_factory=dict)

    def observe(self, now: float, trouble: str | None, more: Counters) -> None:
        """How the stream stands, and what was counted since the last time.

        Args:
            now: seconds since the epoch; when the clock goes back, the time until then is told twice.  What was told
                by a clock that was far ahead ends now, or is forgotten.
            trouble: why it cannot receive or deliver; None: it can.
            more: counted since the last time; ``newest_event_at`` of all time.
        """
        at = int(now)
        self._set_back(at)
        if self.seen_at is not None and at - self.seen_at > ABSENT_S:
            self._gap(self.seen_at, at, DID_NOT_RUN)
        elif self.seen_at is not None and self.trouble is not None:
            self._gap(self.seen_at, at, self.trouble)
        self.seen_at, self.trouble = at, trouble
        hour = self.hours.setdefault(at // HOUR_S * HOUR_S, Counted())
        hour.dead_letters += more.dead_letters
        hour.duplicates += more.duplicates
        hour.newest_event = more.newest_event_at or hour.newest_event
        for start in [start for start in self.hours if start < at - LOST_S]:
            del self.hours[start]
        self.gaps = [gap for gap in self.gaps if gap.until > at - LOST_S]
        if len(self.gaps) > MAX_KEPT_GAPS:
            self.gaps = fewer(self.gaps, MAX_KEPT_GAPS // 2)

    def _set_back(self, at: int) -> None:
        if self.seen_at is not None and is_ahead(self.seen_at, at):
            self.seen_at = None
        self.hours = {hour: counted for hour, counted in self.hours.items() if not is_ahead(hour, at)}
        gaps = (gap._replace(until=at) if is_ahead(gap.until, at) else gap for gap in self.gaps)
        self.gaps = [gap for gap in gaps if gap.since < gap.until]

    def _gap(self, since: int, until: int, why: str) -> None:
        if until <= since:
            return
        if self.gaps and self.gaps[-1].until == since and self.gaps[-1].why == why:
            self.gaps[-1] = self.gaps[-1]._replace(until=until)
        else:
            self.gaps.append(Gap(since, until, why))

    def gaps_of(self, hour: int) -> tuple[Gap, ...]:
        """The parts of the gaps that lie in an hour."""
        end = hour + HOUR_S
        return tuple(
            Gap(max(gap.since, hour), min(gap.until, end), gap.why)
            for gap in self.gaps
            if gap.since < end and gap.until > hour
        )

    def encode(self) -> bytes:
        """As it is kept."""
        return msgspec.json.encode(self)


def decode(data: bytes) -> Presence:
    """What `Presence.encode` made.

    Raises:
        ValueError: it is something else.
    """
    presence = msgspec.json.decode(data, type=Presence)
    newest = (counted.newest_event or 0 for counted in presence.hours.values())
    if not all(0 <= second <= LAST_SECOND for second in (presence.seen_at or 0, *newest)):
        raise ValueError("a time that is none")
    return presence
