"""The tables of ``make peers``, of its figures.  Pure.

Figures are ``here``: version, and when a shipper acknowledges, by name, ours first; ``not here``: why, by name;
``speed``: rates, seconds of processor for 100,000 events and peaks in MiB, turn by turn, by name; ``loss``: lost,
doubled, left and changed, or nothing where it failed, by name and fault.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.tables import conditions_of, shown

NOWHERE = "goes nowhere"


def parts(conditions: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, str]:
    """What the pages show, by name."""
    return {
        "speed": "\n".join(_speed(figures)),
        "loss": "\n".join(_loss(figures)),
        "head": "\n".join(_head(figures)),
        "versions": "\n".join(f"- {name}: {one['version']}" for name, one in figures["here"].items()),
        "conditions": conditions_of(conditions),
    }


def _speed(figures: Mapping[str, Any]) -> Iterator[str]:
    """Minimum, median, maximum of the turns, and the ratio to the first row."""
    yield "| speed | events/s | ratio | processor seconds per 100,000 events | ratio | peak MiB |"
    yield "|---|---|---|---|---|---|"
    speed = figures["speed"]
    first = next(iter(speed.values()))
    for name, found in speed.items():
        cells = [
            _cuts(found["rate"]),
            _ratio(found["rate"], first["rate"]),
            _cuts(found["cpu_s"]),
            _ratio(found["cpu_s"], first["cpu_s"]),
            _cuts(found["peak_mib"]),
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    for name, reason in figures["not here"].items():
        yield f"| {name} | not run: {reason} |  |  |  |  |"


def _loss(figures: Mapping[str, Any]) -> Iterator[str]:
    loss = figures["loss"]
    faults = list(next(iter(loss.values())))
    yield f"| loss | {' | '.join(faults)} | ids changed | acknowledges to the broker when |"
    yield "|---" * (len(faults) + 3) + "|"
    for name, tallies in loss.items():
        changed = max(tally[3] for tally in tallies.values() if tally) if any(tallies.values()) else 0
        yield f"| {name} | {_tallies(tallies)} | {changed:,} | {figures['here'][name]['acknowledges']} |"
    for name, reason in figures["not here"].items():
        yield f"| {name} | not run: {reason} |" + "  |" * (len(faults) + 1)


def _head(figures: Mapping[str, Any]) -> Iterator[str]:
    """Both tables in short, of those that ran."""
    loss = figures["loss"]
    faults = list(next(iter(loss.values())))
    yield f"| | events/s | processor seconds per 100,000 | peak MiB | {' | '.join(faults)} |"
    yield "|---" * (len(faults) + 4) + "|"
    for name, found in figures["speed"].items():
        medians = [shown(statistics.median(found[what])) for what in ("rate", "cpu_s", "peak_mib")]
        lost = _tallies(loss[name]) if name in loss else " | ".join([NOWHERE, *[""] * (len(faults) - 1)])
        yield f"| {name} | {' | '.join(medians)} | {lost} |"


def _tallies(tallies: Mapping[str, Sequence[int] | None]) -> str:
    return " | ".join(
        " / ".join(f"{number:,}" for number in tally[:3]) if tally else "failed" for tally in tallies.values()
    )


def _cuts(values: Sequence[float]) -> str:
    return ", ".join(shown(value) for value in (min(values), statistics.median(values), max(values)))


def _ratio(values: Sequence[float], base: Sequence[float]) -> str:
    """The median of the turns' ratios."""
    return f"{statistics.median(one / other for one, other in zip(values, base, strict=True)):.2f}"
