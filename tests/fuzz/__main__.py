"""``make fuzz``: the plugin among hostile peers, messages and clients, and what the plain stream beside them sees."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.fuzz.verdict import faults_of, summary
from tests.fuzz.world import PARTS, make_world

LAST_LINES = 40


@click.command()
@click.option("--seed", type=int, help="Default: another one each time; it is printed.")
@click.option("--minutes", default=10.0, show_default=True, help="Of play; settling comes on top.")
@click.option("--rate", default=50.0, show_default=True, help="Plain events a second.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="What is hostile; default: everything.")
@click.option("--keep", is_flag=True, help="Keep the folder, with the plugin's log.")
def main(seed: int | None, minutes: float, rate: float, only: tuple[str, ...], keep: bool) -> None:
    """Play, and show what became of it."""
    seed = time.time_ns() % 1_000_000 if seed is None else seed
    print(f"seed {seed}, {minutes:g} minutes, hostile: {', '.join(only or PARTS)}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="amp-fuzz-"))
    with make_world(folder, seed, rate=rate, parts=only or PARTS) as world:
        figures = world.run(60.0 * minutes)
        log = world.plugin.log_file.read_text(errors="replace")
    print(summary(figures))
    faults = faults_of(figures)
    for fault in faults:
        print(f"FAULT: {fault}")
    if figures.ended_early:
        print("\n".join(re.sub(r"[^ -~]", "?", line) for line in log.splitlines()[-LAST_LINES:]))
    if keep or faults:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if faults else 0)


main()
