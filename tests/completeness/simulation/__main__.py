"""The long form of the simulation: ``python -m tests.completeness.simulation --days 10 --seeds 5``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click
import pytest

from tests.cisco.helpers import clean_environment
from tests.completeness.simulation.days import simulate


@click.command()
@click.option("--days", default=10, show_default=True, type=click.IntRange(3))
@click.option("--seeds", default=4, show_default=True, help="Every second one repairs.")
@click.option("--first", default=1, show_default=True, help="The first seed.")
def main(days: int, seeds: int, first: int) -> None:
    """Simulate days of a stream, and compare each completeness record with the truth."""
    for seed in range(first, first + seeds):
        repairs = seed % 2 == 0
        with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
            clean_environment(patched)
            simulation = asyncio.run(simulate(seed, days, Path(folder), patched, repairs=repairs))
        simulation.check()
        words = "with repairs" if repairs else "without repairs"
        click.echo(f"seed {seed}, {words}: {simulation.told} records tell the truth")


if __name__ == "__main__":
    main()
