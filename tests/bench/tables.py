"""The figures of the bench as tables for the documentation, and what they were taken on."""

from __future__ import annotations

import itertools
import math
import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.saved import Held

HEAD = {
    "throughput": (
        "bare: events/s",
        "nested: events/s",
        "flattened: events/s",
        "everything: events/s",
        "nested / bare",
        "flattened / bare",
        "everything / bare",
        "nested: peak MiB",
        "everything: peak MiB",
    ),
    "start": ("start to first event, s",),
    "memory": ("300 idle streams: MiB",),
    "latency": tuple(f"latency at {rate} events/s: {name}, ms" for rate in (500, 5000) for name in ("p50", "p99")),
}
"""The rows of README's table."""
_GROWS = re.compile(r"(?P<count>[0-9.,]+) (?P<of>[^:]+): (?P<cost>microseconds.*)")
_BYTES = {"B": 1, "kB": 1000, "MiB": 1024 * 1024}


def machine() -> str:
    """What this was measured on."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found.group(1) if found else platform.machine()
    return f"{os.cpu_count()} x {processor}, {platform.freedesktop_os_release()['PRETTY_NAME']}"


def parts(conditions: Mapping[str, Any], held: Held) -> dict[str, str]:
    """What the pages show, by name: a table for each measure, one of how costs grow, README's, and the conditions."""
    head = {what: held[measure][what] for measure, rows in HEAD.items() if measure in held for what in rows}
    return {
        **{measure.replace("_", " "): table(measure, rows) for measure, rows in held.items()},
        "tenfold": f"{growth_table(growths(held))}\n![Growth](images/bench/growth.png)\n",
        "head": table("", head),
        "conditions": conditions_of(conditions),
    }


def conditions_of(conditions: Mapping[str, Any]) -> str:
    """When, on what, with what, and how busy the machine was."""
    return (
        f"Taken {conditions['date']} in one run of {conditions['minutes']:.0f} minutes, on {conditions['machine']}; "
        f"{', '.join(conditions['versions'])}. {conditions['sizes']} When it began, the load of the machine was "
        f"{conditions['load']:.1f}."
    )


def growths(held: Held) -> dict[str, dict[int, float]]:
    """What an event costs, by what grows; of each, the medians by its number, from the least to the greatest."""
    grown: dict[str, dict[int, float]] = {}
    for rows in held.values():
        for what, values in rows.items():
            found = _GROWS.fullmatch(what)
            if found:
                name, count = f"{found['of']}: {found['cost']}", float(found["count"].replace(",", ""))
                cost = statistics.median(values)
                if unit := _BYTES.get(found["of"]):  # an event twice as large may cost twice as much
                    name, count = "bytes of an event: microseconds of processor a kB", count * unit
                    cost /= count / 1000
                grown.setdefault(name, {})[round(count)] = cost
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


def table(title: str, rows: Mapping[str, Sequence[float]]) -> str:
    """Minimum, median and maximum of each row; of a single value only that."""
    lines = [f"| {title.replace('_', ' ')} | min | median | max |", "|---|---|---|---|"]
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
