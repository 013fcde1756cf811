"""``make chaos``: hundreds of counted faults over hundreds of thousands of events, and the books afterwards."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from fluent_plugin_amp.testing.receivers import KINDS
from tests.chaos.faults import DISK_FULL
from tests.chaos.run import Result, run
from tests.chaos.world import make_world


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--faults", default=500, show_default=True, help="That count.")
@click.option("--events", default=200_000, show_default=True, help="To publish at least.")
@click.option("--rate", default=400.0, show_default=True, help="Events a second.")
@click.option("--queue", "queue_kind", type=click.Choice(["classic", "quorum"]), default="classic", show_default=True)
@click.option("--receiver", "kind", type=click.Choice(KINDS), default="built-in", show_default=True)
@click.option("--keep", is_flag=True, help="Keep the folder, with the plugin's log.")
def main(seed: int, faults: int, events: int, rate: float, queue_kind: Any, kind: Any, keep: bool) -> None:
    """Shake the plugin and show the table."""
    console = Console(width=118)
    folder = Path(tempfile.mkdtemp(prefix="amp-chaos-"))
    began = time.monotonic()
    with make_world(folder, kind=kind, queue_kind=queue_kind, rate=rate, seed=seed) as world:
        if world.disk is None:
            console.print(f"left out, since this user may not mount a disk: {DISK_FULL}")
        result = run(world, faults, seed, events=events, progress=lambda text: console.print(text, highlight=False))
    show(console, result, f"seed {seed}, {queue_kind} queue, receiver {kind}, {time.monotonic() - began:.0f} s")
    if keep or not result.meets_goals:
        console.print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(0 if result.meets_goals else 1)


def show(console: Console, result: Result, title: str) -> None:
    """The table of faults."""
    columns = ("fault", "struck", "counted", "lost", "doubled", "unexplained", "longest recovery, s")
    table = Table(*columns, title=title)
    for name, tally in result.tallies.items():
        longest = f"{max(tally.recoveries_s):.2f}" if tally.recoveries_s else ""
        figures = (tally.struck, tally.counted, tally.lost, tally.doubled, tally.unexplained)
        table.add_row(name, *map(str, figures), longest)
    console.print(table)
    console.print(
        f"{result.counted} counted faults, {result.published} published, {result.delivered} delivered, "
        f"{len(result.lost)} lost, {result.doubled} doubled of which {result.unexplained} unexplained, "
        f"{result.left} left in the queue, recovered within {result.longest_recovery_s:.2f} s, "
        f"{result.peak_mib:.0f} MiB at most",
        highlight=False,
    )
    if result.lost:
        console.print(f"lost: {sorted(result.lost)[:20]}")
    for name in result.stuck:
        console.print(f"no delivery after: {name}")


main()
