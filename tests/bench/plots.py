"""Pictures of what the bench has measured."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot

from tests.bench.saved import Held
from tests.bench.tables import growths

COLOUR = "#2f6f9f"


def draw(held: Held, folder: Path) -> None:
    """Throughput by option, latency by rate, and growth, of whatever was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    if "throughput" in held:
        _draw_throughput(held["throughput"], held.get("options", {}), folder / "throughput.png")
    if "latency" in held:
        _draw_latency(held["latency"], folder / "latency.png")
    if grown := growths(held):
        _draw_growth(grown, folder / "growth.png")


def _draw_growth(grown: dict[str, dict[int, float]], path: Path) -> None:
    """Each as a multiple of its cost at the least number; a number of 0 stands at 1."""
    figure, axes = pyplot.subplots(figsize=(9, 4.6), layout="constrained")
    for name, costs in grown.items():
        first = next(iter(costs.values()))
        axes.plot([max(1, count) for count in costs], [cost / first for cost in costs.values()], "o-", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("how many")
    axes.set_ylabel("cost, the first = 1")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_throughput(main: dict[str, list[float]], costs: dict[str, list[float]], path: Path) -> None:
    rates = {what.split(":")[0]: values for what, values in main.items() if what.endswith(": events/s")}
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    _bars(left, rates, "events a second")
    of_processor = {
        what.split(": ")[0]: values for what, values in costs.items() if what.endswith(": processor time")
    }
    _bars(right, of_processor, "processor time, plain run = 1")
    right.axvline(1.0, color="black", linewidth=0.8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bars(axes: Any, values: dict[str, list[float]], label: str) -> None:
    """Medians, with the span from the least to the most."""
    names = list(values)[::-1]
    medians = [statistics.median(values[name]) for name in names]
    spans = [
        [median - min(values[name]) for name, median in zip(names, medians, strict=True)],
        [max(values[name]) - median for name, median in zip(names, medians, strict=True)],
    ]
    axes.barh(names, medians, xerr=spans, color=COLOUR, ecolor="black", capsize=3)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_latency(rows: dict[str, list[float]], path: Path) -> None:
    by_rate: dict[str, dict[str, float]] = {}
    for what, (value, *_) in rows.items():
        rate, _, name = what.removeprefix("latency at ").removesuffix(", ms").partition(" events/s: ")
        by_rate.setdefault(rate, {})[name] = value
    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    for name in ("p50", "p90", "p99", "max"):
        axes.plot(list(by_rate), [cuts[name] for cuts in by_rate.values()], marker="o", label=name)
    axes.set_yscale("log")
    axes.set_xlabel("events a second")
    axes.set_ylabel("milliseconds from publishing to receipt")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
