"""``make peers``: this plugin beside others who bring events from RabbitMQ to Fluentd, in one run.

Two tables, of speed and of loss, as Markdown.  Same queue, same events, same receiver, TLS to the broker.  Who is not
on this machine is listed as not run.  Every shipper's figures are saved when they are there; ``--report`` writes the
tables of the documentation from what is saved.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.bench.documents import MEASURED, ROOT, write_pages
from tests.bench.job import Job
from tests.bench.rig import Rig
from tests.bench.saved import Progress, Saved
from tests.bench.tables import machine
from tests.peers import loss, speed
from tests.peers.shippers import NotHere, Shipper, shippers
from tests.peers.tables import parts

SAVED = ROOT / "build/peers.json"
EXPECTED_S = {"speed": 30.0, "loss": 80.0}
"""About what a shipper takes for each table on two quiet cores."""


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


def speeds(job: Job, here: list[Shipper]) -> dict[str, dict[str, list[float]]]:
    """Events a second, seconds of processor, memory, turn by turn."""
    bodies = job.bodies()
    figures = job.alternate(
        {shipper.name: lambda shipper=shipper: speed.measure(job.rig, shipper, bodies) for shipper in here},  # type: ignore[misc]
        job.turns,
    )
    return {
        name: {
            "rate": [each.rate for each in found],
            "cpu_s": [each.cpu_s for each in found],
            "peak_mib": [each.peak_mib for each in found],
        }
        for name, found in figures.items()
    }


def losses(job: Job, shipper: Shipper, count: int) -> dict[str, list[int] | None]:
    """Lost, doubled, left and changed, fault by fault."""
    tallies: dict[str, list[int] | None] = {}
    for name, fault in loss.FAULTS.items():
        try:
            tally = loss.measure(job.rig, shipper, fault, count)
        except AssertionError as exc:  # it did not come as far as the fault
            job.say(f"{shipper.name}: {name}: {exc}")
            tallies[name] = None
            continue
        job.say(f"{shipper.name}: {name}: {tally}")
        tallies[name] = list(tally)
    return tallies


@click.command()
@click.option("--events", default=15_000, show_default=True, help="Of the speed table.")
@click.option("--turns", default=3, show_default=True, help="How often each is run for the speed table.")
@click.option("--loss-events", default=20_000, show_default=True, help="Of the loss table, for each fault.")
@click.option("--peer", multiple=True, help="Only those whose name holds this, and this plugin.")
@click.option("--save", default=SAVED, type=click.Path(path_type=Path), help="Keep the figures in this file.")
@click.option("--resume", is_flag=True, help="Leave out what --save holds already.")
@click.option("--report", is_flag=True, help="Write the documentation's tables from what --save holds.")
def main(
    events: int, turns: int, loss_events: int, peer: tuple[str, ...], save: Path, resume: bool, report: bool
) -> None:
    """Run everybody and print the tables."""
    conditions = {
        "machine": machine(),
        "versions": [],
        "sizes": f"Speed: {turns} turns of {events:,} events of about 1.5 kB. Loss: {loss_events:,} events a fault.",
    }
    saved = Saved(save, conditions, resume=resume)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with PrivateRabbitMQ(certificates=certificates) as broker:
            rig = Rig(folder, certificates, broker, [broker.create_stream("event_stream_1")])
            saved.conditions["versions"] = [rig.broker_version()]
            measure_all(saved, rig, (*peer, "fluent-plugin-amp") if peer else (), (events, turns, loss_events))
    made = parts(saved.conditions, saved.figures)
    click.echo("\n\n".join(made[part] for part in ("speed", "loss", "versions", "conditions")))
    if report:
        write_pages("peers", made)
        saved.write(MEASURED / "peers.json")


def measure_all(saved: Saved, rig: Rig, names: tuple[str, ...], sizes: tuple[int, int, int]) -> None:
    """First the speed of everybody, in turn; then what each loses."""
    events, turns, loss_events = sizes
    here, not_here = available(rig, names)
    saved.figures["not here"] = not_here
    saved.figures["here"] = {
        shipper.name: {"version": version, "acknowledges": shipper.acknowledges} for shipper, version in here.items()
    }
    lost = saved.figures.get("loss", {})
    losing = [shipper for shipper in here if shipper.into_receiver and shipper.name not in lost]
    expected_s = {shipper.name: EXPECTED_S["loss"] for shipper in losing}
    if "speed" not in saved.figures:
        expected_s = {"speed": len(here) * EXPECTED_S["speed"], **expected_s}
    progress = Progress(expected_s, time.monotonic())

    def say(text: str) -> None:
        click.echo(f"{progress.left_s(time.monotonic()) / 60:3.0f} min left  {text}", err=True)

    job = Job(rig, events, turns, say)
    if "speed" in expected_s:
        saved.add("speed", speeds(job, list(here)))
        progress.done(time.monotonic())
    for shipper in losing:
        lost[shipper.name] = losses(job, shipper, loss_events)
        saved.add("loss", lost)
        progress.done(time.monotonic())


main()
