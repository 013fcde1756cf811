"""The figures of the benches as tables for the documentation, and what they were taken on."""

from __future__ import annotations

import os
import platform
import re
import statistics
from pathlib import Path

Held = dict[str, dict[str, list[float]]]
"""Values by measure and row."""


def machine() -> str:
    """What this was measured on."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found.group(1) if found else platform.machine()
    return f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} x {processor}"


def markdown(held: Held) -> str:
    """A table for each measure."""
    return "\n".join(_table(measure, rows) for measure, rows in held.items())


def _table(measure: str, rows: dict[str, list[float]]) -> str:
    lines = [f"| {measure} | min | median | max |", "|---|---|---|---|"]
    for what, values in rows.items():
        cuts = (min(values), statistics.median(values), max(values))
        cells = [shown(value) for value in cuts] if len(values) > 1 else ["", shown(values[0]), ""]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def shown(value: float) -> str:
    """Three figures that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
