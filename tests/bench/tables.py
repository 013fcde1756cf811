"""The figures of the benches as tables for the documentation, and what they were taken on."""

from __future__ import annotations

import itertools
import math
import os
import platform
import re
import statistics
from collections.abc import Mapping
from pathlib import Path

Held = dict[str, dict[str, list[float]]]
"""Values by measure and row."""

_GROWS = re.compile(r"(?P<count>[0-9,]+) (?P<of>[^:]+): (?P<cost>microseconds.*)")


def machine() -> str:
    """What this was measured on."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found.group(1) if found else platform.machine()
    return f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} x {processor}"


def markdown(held: Held) -> str:
    """A table for each measure, and one of how costs grow."""
    return "\n".join([*(_table(measure, rows) for measure, rows in held.items()), growth_table(growths(held))])


def growths(held: Held) -> dict[str, dict[int, float]]:
    """What an event costs, by what grows; of each, the medians by its number, from the least to the greatest."""
    grown: dict[str, dict[int, float]] = {}
    for rows in held.values():
        for what, values in rows.items():
            found = _GROWS.fullmatch(what)
            if found:
                name = f"{found['of']}: {found['cost']}"
                grown.setdefault(name, {})[int(found["count"].replace(",", ""))] = statistics.median(values)
    return {name: dict(sorted(costs.items())) for name, costs in grown.items() if len(costs) > 1}


def growth_table(grown: Mapping[str, Mapping[int, float]]) -> str:
    """The first and the last cost of each, and the most by which a cost grew when its number did tenfold."""
    lines = ["| what grows, and what it costs | from | to | tenfold, at most |", "|---|---|---|---|"]
    for name, costs in grown.items():
        (least, first), *_, (most, last) = costs.items()
        ends = f"{least:,}: {shown(first)} | {most:,}: {shown(last)}"
        lines.append(f"| {name} | {ends} | {tenfold(costs):.2f} times |")
    return "\n".join([*lines, ""])


def tenfold(costs: Mapping[int, float]) -> float:
    """By how much a cost grows at most, from one number to the next, if that were ten times as large.

    A number of 0 counts as 1.
    """
    growth = 0.0
    for (few, less), (many, more) in itertools.pairwise(costs.items()):
        decades = math.log10(many / max(1, few))
        if decades and less > 0 < more:  # a difference of two noisy runs may be less than nothing
            growth = max(growth, math.exp(math.log(more / less) / decades))
    return growth


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
