"""Spans of time: times as people write them, and the part that an interrupted run left undone.  Pure.

An interrupted run leaves a `Bookmark`.  The next run with the same words finishes that span first, and then does what
has come since.  An hour later `--since 7d` means another week; in the end all of it is done.
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
    """How far a run came: from ``since`` to ``until`` all is done, except ``down_to`` to ``floor``."""

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
    """Seconds since the epoch, at least 0, of a time as people write it.

    ``2026-11-20``, ``2026-11-20T18:00:00+01:00`` (UTC unless it says otherwise); ``30m``, ``2h``, ``7d``, ``1w``,
    with or without ``ago``; ``now``; ``today`` and ``yesterday``, which begin at midnight UTC.

    Raises ValueError with a message for the user.
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
        raise ValueError(f"{text!r} is not a time; give one such as {EXAMPLES}") from None


def _seconds(words: str) -> float | None:
    """A length of time in seconds; None for anything else, a bare number among it."""
    if words.isdigit():
        return None
    if words.endswith("w"):
        days = _DURATION.read(words[:-1] + "d")
        return None if days is None else 7 * days
    return _DURATION.read(words)


def legs(asked: Span, mark: Bookmark | None) -> list[Bookmark]:
    """What to do for ``asked``, in order: each part as the bookmark of a run that has not begun it yet.

    ``mark``: of an earlier run with the same words.
    """
    if mark is None:
        return [Bookmark(asked.since, asked.until, asked.since, asked.until, 0)]
    rest = [mark] if mark.down_to < mark.floor else []
    if asked.until > mark.until:
        rest.append(Bookmark(mark.since, asked.until, max(asked.since, mark.until), asked.until, 0))
    return rest
