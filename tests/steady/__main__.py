"""``make steady``: five whole runs that an unsteady test does not survive, and a table of them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.steady.whole import kinds, last_lines, run

USUAL = ("-n", "3", "--dist", "loadfile")


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of the first order; the others follow.")
@click.option("--only", default="", help="Runs whose name has this text.")
@click.argument("arguments", nargs=-1)
def main(seed: int, only: str, arguments: tuple[str, ...]) -> None:
    """Run all tests, or what ARGUMENTS tell pytest behind --."""
    console = Console(width=118)
    folder = Path(tempfile.mkdtemp(prefix="amp-steady-"))
    table = Table("run", "seed", "load", "passed", "failed", "minutes", title=f"logs: {folder}")
    is_steady = True
    for number, kind in enumerate(each for each in kinds(seed) if only in each.name):
        console.print(f"{kind.name} …", highlight=False)
        done = run(kind, folder / str(number), arguments or USUAL)
        table.add_row(*done.row)
        for failure in done.failures:
            console.print(f"  failed: {failure}", highlight=False, markup=False)
        if not done.is_whole:
            console.print(last_lines(folder / str(number)), highlight=False, markup=False)
        is_steady &= done.is_whole and not done.failures
    console.print(table)
    sys.exit(0 if is_steady else 1)


if __name__ == "__main__":
    main()
