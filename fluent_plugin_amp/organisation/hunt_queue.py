"""The hashes of one organisation that are to be hunted, and those that were.  Pure: the time is an argument.

Each change gives rows for the state file, by hash.  A hash is noted once in ``every_s``; later events of it ask for
nothing more.  Both what waits and what is remembered are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from fluent_plugin_amp.hashes import is_sha256

MAX_WAITING = 10_000
"""Hashes that wait; a further one is left out, and counted.  Its next event asks again."""
MAX_REMEMBERED = 100_000
"""Hashes that were hunted: of more, the oldest is forgotten, and may be hunted early."""
MAX_SECONDS = 2**40

Rows = dict[str, bytes | None]
"""By hash; None: no longer."""


class Noted(NamedTuple):
    """A hash that an event asked for."""

    sha256: str
    asked_at: int
    """Seconds since the epoch."""
    event: dict[str, Any]
    """`pipeline.asking.Ask.event`."""


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(tuple[int, dict[str, Any] | None]).decode


class HuntQueue:
    """What waits, and what was hunted.

    Args:
        every_s: after so long a hash may be hunted again.
        max_waiting: a bound of what waits.
        max_remembered: and of what was hunted.
    """

    def __init__(
        self, every_s: float, *, max_waiting: int = MAX_WAITING, max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self.every_s = every_s
        self.hunts = 0
        """Hunts that were done, since the start."""
        self.left_out = 0
        """Hashes for which there was no room."""
        self._max_waiting = max_waiting
        self._max_remembered = max_remembered
        self._waiting: dict[str, Noted] = {}
        self._hunted: dict[str, int] = {}
        """When it was asked for, in the order of the hunts."""

    @property
    def waiting(self) -> int:
        """How many hashes wait."""
        return len(self._waiting)

    def needs(self, sha256: str, now: float) -> bool:
        """Whether a hunt of this hash is to be noted."""
        hunted_at = self._hunted.get(sha256)
        return sha256 not in self._waiting and not (hunted_at is not None and 0 <= now - hunted_at < self.every_s)

    def note(self, sha256: str, event: dict[str, Any], now: float) -> Rows:
        """An event asks.  Returns what is to be kept; nothing, where the hash needs no hunt."""
        if not self.needs(sha256, now):
            return {}
        if len(self._waiting) >= self._max_waiting:
            self.left_out += 1
            return {}
        noted = self._waiting[sha256] = Noted(sha256, int(now), event)
        return {sha256: _encode((noted.asked_at, event))}

    def due(self, before: float) -> list[Noted]:
        """What was asked for before then, the oldest first; what was put off comes last."""
        return [noted for noted in self._waiting.values() if noted.asked_at <= before]

    def put_off(self, sha256: str) -> None:
        """Its hunt could not be done: others go first."""
        self._waiting[sha256] = self._waiting.pop(sha256)

    def done(self, sha256: str) -> Rows:
        """A server has the record of its hunt."""
        self.hunts += 1
        asked_at = self._waiting.pop(sha256).asked_at
        self._hunted.pop(sha256, None)
        self._hunted[sha256] = asked_at
        rows: Rows = {sha256: _encode((asked_at, None))}
        while len(self._hunted) > self._max_remembered:
            oldest = next(iter(self._hunted))
            del self._hunted[oldest]
            rows[oldest] = None
        return rows

    def forget_old(self, now: float) -> Rows:
        """Forget hashes that may be hunted again."""
        old = [sha256 for sha256, at in self._hunted.items() if not 0 <= now - at < self.every_s]
        for sha256 in old:
            del self._hunted[sha256]
        return dict.fromkeys((sha256 for sha256 in old if sha256 not in self._waiting), None)

    def restore(self, rows: Mapping[str, bytes]) -> list[str]:
        """Take up what was kept, before anything is noted.  Returns the names of garbled rows."""
        garbled: list[str] = []
        kept: list[Noted] = []
        hunted: list[tuple[int, str]] = []
        for sha256, data in rows.items():
            try:
                asked_at, event = _decode(data)
                if not is_sha256(sha256) or not 0 <= asked_at < MAX_SECONDS:
                    raise ValueError("no hash, or no time")
            except (msgspec.MsgspecError, ValueError, RecursionError):
                garbled.append(sha256)
                continue
            if event is None:
                hunted.append((asked_at, sha256))
            else:
                kept.append(Noted(sha256, asked_at, event))
        self._hunted = {sha256: asked_at for asked_at, sha256 in sorted(hunted)}
        self._waiting = {noted.sha256: noted for noted in sorted(kept, key=lambda noted: noted.asked_at)}
        return garbled
