"""``make bench``: what the plugin costs, beside a bare pika loop on the same machine in the same run.

Prints tables (minimum, median, maximum) and never fails for being slow.  ``--only`` chooses among the measures of
``measures.py``; ``--save`` keeps the figures, and ``--report`` makes tables and pictures of them.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.bench.measures import MEASURES, STREAMS, Job, Row
from tests.bench.rig import Rig
from tests.bench.tables import machine, markdown


def table_of(title: str, rows: list[Row]) -> Table:
    """A measure's rows."""
    table = Table(title, "min", "median", "max")
    for row in rows:
        cuts = (min(row.values), statistics.median(row.values), max(row.values))
        shown = [f"{value:.{row.digits}f}" for value in cuts]
        table.add_row(row.what, *(shown if len(row.values) > 1 else ("", shown[0], "")))
    return table


@click.command()
@click.option("--events", default=200_000, show_default=True, help="Of the main table; the others take a part of it.")
@click.option("--runs", default=5, show_default=True, help="How often each way is run, in turn.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="Only this measure; may be repeated.")
@click.option("--save", type=click.Path(path_type=Path), help="Keep all figures in this JSON file; adds to it.")
@click.option("--report", type=click.Path(path_type=Path), help="Tables and pictures of what --save holds, in here.")
def main(events: int, runs: int, only: tuple[str, ...], save: Path | None, report: Path | None) -> None:
    """Run the bench and print its tables."""
    console = Console(width=110)
    kept: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with PrivateRabbitMQ(certificates=certificates) as broker:
            streams = [broker.create_stream(f"event_stream_{number + 1}") for number in range(max(STREAMS))]
            job = Job(Rig(folder, certificates, broker, streams), events, runs, console.print)
            for measure in only or MEASURES:
                rows = kept[measure] = list(MEASURES[measure](job))
                console.print(table_of(measure, rows))
    console.print(f"{events} events of about 1.5 kB, {runs} runs; {machine()}")
    if save is not None:
        held = json.loads(save.read_text()) if save.exists() else {}
        held |= {measure: {row.what: row.values for row in rows} for measure, rows in kept.items()}
        save.write_text(json.dumps(held, indent=1))
        if report is not None:
            from tests.bench.plots import draw

            draw(held, report)
            (report / "figures.md").write_text(markdown(held))


main()
