"""The figures of the bench as tables for the documentation."""

from __future__ import annotations

import statistics

Held = dict[str, dict[str, list[float]]]
"""Values by measure and row."""


def markdown(held: Held) -> str:
    """A table for each measure."""
    return "\n".join(_table(measure, rows) for measure, rows in held.items())


def _table(measure: str, rows: dict[str, list[float]]) -> str:
    lines = [f"| {measure} | min | median | max |", "|---|---|---|---|"]
    for what, values in rows.items():
        cuts = (min(values), statistics.median(values), max(values))
        shown = [_shown(value) for value in cuts] if len(values) > 1 else ["", _shown(values[0]), ""]
        lines.append(f"| {what} | {' | '.join(shown)} |")
    return "\n".join([*lines, ""])


def _shown(value: float) -> str:
    """Three figures that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
