"""``make bench``: what the plugin costs, beside a bare pika loop on the same machine in the same run.

Prints tables (minimum, median, maximum) and never fails for being slow.  ``--only`` chooses among the measures of
``measures.py``.  Every measure is saved when it is done; ``--report`` writes the tables and pictures of the
documentation from what is saved.
"""

from __future__ import annotations

import platform
import tempfile
import time
from pathlib import Path

import click

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.bench.documents import MEASURED, ROOT, write_pages
from tests.bench.job import Job
from tests.bench.measures import EXPECTED_S, MEASURES, STREAMS
from tests.bench.rig import Rig
from tests.bench.saved import Progress, Saved
from tests.bench.tables import conditions_of, machine, parts, table

SAVED = ROOT / "build/bench.json"


@click.command()
@click.option("--events", default=100_000, show_default=True, help="Of the main table; the others take a quarter.")
@click.option("--turns", default=5, show_default=True, help="Beside the bare loop; others take half.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="Only this measure; may be repeated.")
@click.option("--save", default=SAVED, type=click.Path(path_type=Path), help="Keep the figures in this file.")
@click.option("--resume", is_flag=True, help="Leave out what --save holds already.")
@click.option("--report", is_flag=True, help="Write the documentation's tables and pictures from what --save holds.")
def main(events: int, turns: int, only: tuple[str, ...], save: Path, resume: bool, report: bool) -> None:
    """Run the bench and print its tables."""
    conditions = {
        "machine": machine(),
        "versions": [f"{platform.python_implementation()} {platform.python_version()}"],
        "sizes": f"{events:,} events and {turns} turns for the first table.",
    }
    saved = Saved(save, conditions, resume=resume)
    wanted = [measure for measure in only or MEASURES if measure not in saved.figures]
    if wanted:
        measure_all(saved, wanted, events, turns)
    click.echo(conditions_of(saved.conditions))
    if report:
        from tests.bench.plots import draw

        write_pages("bench", parts(saved.conditions, saved.figures))
        draw(saved.figures, ROOT / "docs/images/bench")
        saved.write(MEASURED / "bench.json")


def measure_all(saved: Saved, wanted: list[str], events: int, turns: int) -> None:
    """One after the other, with the same broker."""
    progress = Progress({measure: EXPECTED_S[measure] for measure in wanted}, time.monotonic())

    def say(text: str) -> None:
        click.echo(f"{progress.left_s(time.monotonic()) / 60:3.0f} min left  {text}", err=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with PrivateRabbitMQ(certificates=certificates) as broker:
            streams = [broker.create_stream(f"event_stream_{number + 1}") for number in range(max(STREAMS))]
            rig = Rig(folder, certificates, broker, streams)
            saved.conditions["versions"][1:] = [rig.broker_version()]
            job = Job(rig, events, turns, say)
            for measure in wanted:
                say(measure)
                rows = {row.what: list(row.values) for row in MEASURES[measure](job)}
                saved.add(measure, rows)
                progress.done(time.monotonic())
                click.echo(table(measure, rows))


main()
