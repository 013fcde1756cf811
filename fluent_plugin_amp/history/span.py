"""From when to when: times as people write them, and the part of a span that an interrupted run has left.  Pure.

A run that was interrupted leaves a `Bookmark`.  The next one with the same words first finishes that span, then adds
what has come since: `--since 7d` said an hour later means another week, all of which is done in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from fluent_plugin_amp.config.units import Duration
from fluent_plugin_amp.observe import units

DAY_S = 86400
EXAMPLES = "2026-11-20, 2026-11-20T18:00:00Z, 30m, 2h, 7d or 1w ago, yesterday, today, now"

_DURATION = Duration("1s")
_DAYS_AGO = {"today": 0, "yesterday": 1}


@dataclass(frozen=True, slots=True)
class Span:
    """Whole seconds since the epoch, from ``since`` on and before ``until``."""

    since: int
    until: int

    def __str__(self) -> str:
        return f"{units.day_and_time(self.since)} to {units.day_and_time(self.until)}"


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a run came: of ``since`` to ``until``, all but ``down_to`` to ``floor`` is done."""

    since: int
    until: int
    down_to: int
    floor: int
    offset: int
    """Where the events before ``floor`` begin, at the earliest, in the cloud's list."""

    @property
    def left(self) -> Span:
        """What is not done."""
        return Span(self.down_to, self.floor)


def parse_time(text: str, now: float) -> int:
    """A moment as people write it, in seconds since the epoch; nothing is before that.

    ``2026-11-20``, ``2026-11-20T18:00:00+01:00`` (UTC unless it says otherwise); ``30m``, ``2h``, ``7d``, ``1w``,
    with or without ``ago``; ``now``; ``today`` and ``yesterday``, which begin at midnight UTC.

    Raises ValueError, with words for the user.
    """
    words = text.strip().lower()
    if words == "now":
        return int(now)
    if words in _DAYS_AGO:
        return int(now) // DAY_S * DAY_S - _DAYS_AGO[words] * DAY_S
    if (ago := _seconds(words.removesuffix("ago").strip())) is not None:
        return int(max(0.0, now - ago))
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: {EXAMPLES}") from None


def _seconds(words: str) -> float | None:
    """A length of time; a bare number could be anything."""
    if words.isdigit():
        return None
    if words.endswith("w"):
        days = _DURATION.read(words[:-1] + "d")
        return None if days is None else 7 * days
    return _DURATION.read(words)


def legs(asked: Span, mark: Bookmark | None) -> list[Bookmark]:
    """What is to be done for ``asked``, one after the other: each as the bookmark of a run that has yet to begin it.

    ``mark`` is of a run with the same words, earlier.
    """
    if mark is None:
        return [Bookmark(asked.since, asked.until, asked.since, asked.until, 0)]
    rest = [mark] if mark.down_to < mark.floor else []
    if asked.until > mark.until:
        rest.append(Bookmark(mark.since, asked.until, max(asked.since, mark.until), asked.until, 0))
    return rest
