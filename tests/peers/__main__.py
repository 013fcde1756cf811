"""``make peers``: this plugin beside others who bring events from RabbitMQ to Fluentd, in one run.

Two tables, of speed and of loss, as Markdown.  Same queue, same events, same receiver, TLS to the broker.  Who is not
on this machine is listed as not run.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import click

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.bench.measures import Job
from tests.bench.rig import Rig
from tests.bench.tables import machine, shown
from tests.peers import loss, speed
from tests.peers.shippers import NotHere, Shipper, shippers


def available(rig: Rig, names: tuple[str, ...]) -> tuple[dict[Shipper, str], dict[str, str]]:
    """Who can be compared here, with versions; and who not, and why."""
    here, not_here = {}, {}
    for shipper in shippers():
        if names and not any(name.lower() in shipper.name.lower() for name in names):
            continue
        try:
            here[shipper] = shipper.version(rig)
        except NotHere as exc:
            not_here[shipper.name] = str(exc)
    return here, not_here


def speed_table(job: Job, here: list[Shipper], not_here: dict[str, str]) -> Iterator[str]:
    """Events a second, seconds of processor, memory: minimum, median, maximum of the turns, and the ratio to ours."""
    bodies = job.bodies()
    figures = job.alternate(
        {shipper.name: lambda shipper=shipper: speed.measure(job.rig, shipper, bodies) for shipper in here}  # type: ignore[misc]
    )
    first = figures[here[0].name]
    yield "| speed | events/s | ratio | processor seconds per 100,000 events | ratio | peak MiB |"
    yield "|---|---|---|---|---|---|"
    for name, found in figures.items():
        cells = [
            _cuts([each.rate for each in found]),
            _ratio([each.rate for each in found], [each.rate for each in first]),
            _cuts([each.cpu_s for each in found]),
            _ratio([each.cpu_s for each in found], [each.cpu_s for each in first]),
            _cuts([each.peak_mib for each in found]),
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    for name, reason in not_here.items():
        yield f"| {name} | not run: {reason} |  |  |  |  |"


def loss_table(job: Job, here: list[Shipper], not_here: dict[str, str], count: int) -> Iterator[str]:
    """Lost, doubled and left, fault by fault."""
    yield f"| loss, of {count:,} events | {' | '.join(loss.FAULTS)} | ids changed | acknowledges to the broker when |"
    yield "|---" * (len(loss.FAULTS) + 3) + "|"
    for shipper in here:
        if not shipper.into_receiver:
            continue
        cells, changed = [], 0
        for name, fault in loss.FAULTS.items():
            try:
                tally = loss.measure(job.rig, shipper, fault, count)
            except AssertionError as exc:  # it did not come as far as the fault
                job.say(f"{shipper.name}: {name}: {exc}")
                cells.append("failed")
                continue
            job.say(f"{shipper.name}: {name}: {tally}")
            cells.append(f"{tally.lost:,} / {tally.doubled:,} / {tally.left:,}")
            changed = max(changed, tally.changed)
        yield f"| {shipper.name} | {' | '.join(cells)} | {changed:,} | {shipper.acknowledges} |"
    for name, reason in not_here.items():
        yield f"| {name} | not run: {reason} |" + "  |" * (len(loss.FAULTS) + 1)


def _cuts(values: list[float]) -> str:
    return ", ".join(shown(value) for value in (min(values), statistics.median(values), max(values)))


def _ratio(values: list[float], base: list[float]) -> str:
    """The median of the turns' ratios."""
    return f"{statistics.median(one / other for one, other in zip(values, base, strict=True)):.2f}"


@click.command()
@click.option("--events", default=30_000, show_default=True, help="Of the speed table.")
@click.option("--runs", default=5, show_default=True, help="How often each is run, in turn.")
@click.option("--loss-events", default=20_000, show_default=True, help="Of the loss table, for each fault.")
@click.option("--only", type=click.Choice(["speed", "loss"]), help="Only this table.")
@click.option("--peer", multiple=True, help="Only those whose name holds this, and this plugin.")
def main(events: int, runs: int, loss_events: int, only: str | None, peer: tuple[str, ...]) -> None:
    """Run everybody and print the tables."""
    began = datetime.now(timezone.utc)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with PrivateRabbitMQ(certificates=certificates) as broker:
            rig = Rig(folder, certificates, broker, [broker.create_stream("event_stream_1")])
            job = Job(rig, events, runs, lambda text: click.echo(text, err=True))
            here, not_here = available(rig, (*peer, "fluent-plugin-amp") if peer else ())
            if only != "loss":
                click.echo("\n".join(speed_table(job, list(here), not_here)) + "\n")
            if only != "speed":
                click.echo("\n".join(loss_table(job, list(here), not_here, loss_events)) + "\n")
    took = (datetime.now(timezone.utc) - began).total_seconds() / 60
    click.echo(
        f"Three figures: minimum, median, maximum of {runs} turns of {events:,} events of about 1.5 kB. Ratio: to "
        "the first row, the median of the turns' ratios. Loss: lost / doubled / left at the broker. "
        f"{began:%Y-%m-%d}, {machine()}; load {load:.1f} when it began; {took:.0f} minutes."
    )
    for shipper, what in here.items():
        click.echo(f"- {shipper.name}: {what}")


main()
