"""The figures of a bench in a file, as they come: what was measured survives an interruption."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

Held = dict[str, dict[str, list[float]]]
"""Values by measure and row."""


class Saved:
    """What is in one file: ``conditions`` of the run, and ``figures`` by measure.

    A run that resumes keeps the conditions of the one that began, and adds to its minutes.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any], *, resume: bool) -> None:
        self.conditions: dict[str, Any] = {
            "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
            "load": round(os.getloadavg()[0], 1),
            "minutes": 0.0,
            **conditions,
        }
        self.figures: dict[str, Any] = {}
        self._path = path
        if resume and path.exists():
            held = json.loads(path.read_text())
            self.conditions, self.figures = held["conditions"], held["figures"]
        self._began = time.monotonic() - self.conditions["minutes"] * 60

    def add(self, measure: str, figures: Mapping[str, Any]) -> None:
        """Keep the figures of one measure; the file is whole at any moment."""
        self.figures[measure] = figures
        self.conditions["minutes"] = round((time.monotonic() - self._began) / 60, 1)
        self.write(self._path)

    def write(self, path: Path) -> None:
        """All of it, as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps({"conditions": self.conditions, "figures": self.figures}, indent=1) + "\n")
        unfinished.replace(path)


class Progress:
    """How long a run still takes, by what its parts were expected to take and how fast it has been."""

    def __init__(self, expected_s: Mapping[str, float], now: float) -> None:
        self._expected_s = dict(expected_s)
        self._began = self._part_began = now
        self._done_s = 0.0

    def left_s(self, now: float) -> float:
        """Of the parts that are not done; the first of these is under way."""
        pace = (self._part_began - self._began) / self._done_s if self._done_s else 1.0
        first, *others = [*self._expected_s.values(), 0.0]
        return max(0.0, first * pace - (now - self._part_began)) + sum(others) * pace

    def done(self, now: float) -> None:
        """The first part is done."""
        self._done_s += self._expected_s.pop(next(iter(self._expected_s)))
        self._part_began = now
