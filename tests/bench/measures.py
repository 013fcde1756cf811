"""What ``make bench`` measures: each measure is a generator of rows, in an order that alternates what is compared."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.receivers import available_kinds, make_receiver
from tests.bench import growth as of_growth
from tests.bench import polling
from tests.bench.completeness import completeness
from tests.bench.job import Job, Row, with_state
from tests.bench.latencies import latencies
from tests.bench.rig import Rig, Snapshot, receiver, report, wait_until, watch
from tests.bench.steps import microseconds
from tests.processes import cpu_seconds, memory_mib

SIZES = {"256 B": 256, "1.5 kB": 1500, "20 kB": 20_000, "1 MiB": 1024 * 1024, "4 MiB": 4 * 1024 * 1024}
STREAMS = (1, 10, 100, 300)
WAITING = (10_000, 100_000, 1_000_000)
PROCESSES = (1, 2, 8)
LATENCY_RATES = (10, 500, 5000)
LATENCY_SECONDS = 20.0
HIDDEN_FIELDS = ("computer.hostname", "computer.user", "computer.network_addresses[].ip")


def hiding(folder: Path) -> list[dict[str, Any]]:
    """Three fields to obfuscate, in each of the ways that keep something."""
    key = folder / "obfuscation.key"
    key.write_text("key of the bench\n")
    key.chmod(0o600)
    first, second, third = HIDDEN_FIELDS
    return [
        {"field": first, "method": "hash", "key_file": str(key)},
        {"field": second, "method": "mask"},
        {"field": third, "method": "mask"},
    ]


def everything(rig: Rig) -> dict[str, Any]:
    """Flattened, links, three fields obfuscated, detections and incidents, a state file."""
    return {
        "transform": {"flatten": {}, "links": True, "obfuscate": hiding(rig.folder)},
        "detections": {},
        "incidents": {},
        "of_stream": {"cloud": "eu"},
        **with_state(rig),
    }


# --- the measures --------------------------------------------------------------------------------


def throughput(job: Job) -> Iterator[Row]:
    """The plugin beside a bare pika loop that only acknowledges."""
    rig, bodies = job.rig, job.bodies()
    figures = job.alternate(
        {
            "bare": lambda: rig.bare(bodies),
            "nested": lambda: rig.plugin(bodies),
            "flattened": lambda: rig.plugin(bodies, transform={"flatten": {}}),
            "everything": lambda: rig.plugin(bodies, **everything(rig)),
        },
        job.turns,
    )
    yield from _compared(figures, "bare", len(bodies))


def options(job: Job) -> Iterator[Row]:
    """What each option costs, as a multiple of the plain run: in time by the rates, and in processor time."""
    rig, bodies = job.rig, job.bodies(job.events // 4)
    tls = ("--tls-cert", str(rig.certificates.server.cert_file), "--tls-key", str(rig.certificates.server.key_file))
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "plain": dict,
        "metrics": lambda: {"observe": {"listen": f"127.0.0.1:{free_port()}"}},
        "flatten": lambda: {"transform": {"flatten": {}}},
        "serialize": lambda: {"transform": {"serialize": "message"}},
        "links": lambda: {"transform": {"links": True}, "of_stream": {"cloud": "eu"}},
        "obfuscate": lambda: {"transform": {"obfuscate": hiding(rig.folder)}},
        "gzip": lambda: {"forward": {"compress": "gzip"}},
        "TLS to the receiver": lambda: {
            "forward": {"tls": {"ca_file": str(rig.certificates.ca_file)}},
            "arguments": tls,
        },
        "state file": lambda: with_state(rig),
        "detections, incidents, state file": lambda: {"detections": {}, "incidents": {}, **with_state(rig)},
    }

    figures = job.alternate(
        {way: lambda make=make: rig.plugin(bodies, **make()) for way, make in ways.items()},  # type: ignore[misc]
        job.few,
    )
    plain = figures.pop("plain")
    for way, of_way in figures.items():
        yield Row(f"{way}: time", _ratios(plain, of_way))
    for way, of_way in figures.items():
        costs = tuple(each.cpu_s / base.cpu_s for each, base in zip(of_way, plain, strict=True))
        yield Row(f"{way}: processor time", costs)


def sizes(job: Job) -> Iterator[Row]:
    """Small and large events, nested, beside the bare loop."""
    for name, size in SIZES.items():
        bodies = job.bodies(max(30, min(job.events // 4, 60_000_000 // size)), size)
        figures = job.alternate(
            {
                f"{name} bare": partial(job.rig.bare, bodies),
                f"{name} nested": partial(job.rig.plugin, bodies),
            },
            job.few,
        )
        bare, nested = figures.values()
        yield Row(f"{name}: events/s", tuple(each.rate for each in nested))
        yield Row(f"{name}: nested / bare", _ratios(nested, bare))
        yield Row(f"{name}: microseconds of processor an event", _costs_us(nested, len(bodies)))
        yield Row(f"{name}: peak MiB", tuple(each.peak_mib for each in nested))


def streams(job: Job) -> Iterator[Row]:
    """More streams in one process."""
    bodies = job.bodies(job.events // 4)
    ways = {f"{count} streams": partial(job.rig.plugin, bodies, streams=count) for count in STREAMS}
    for way, figures in job.alternate(ways, job.few).items():
        yield Row(f"{way}: events/s", tuple(each.rate for each in figures))
        yield Row(f"{way}: microseconds of processor an event", _costs_us(figures, len(bodies)))
        yield Row(f"{way}: peak MiB", tuple(each.peak_mib for each in figures))


def receivers(job: Job) -> Iterator[Row]:
    """Into the built-in receiver, Fluentd and Fluent Bit, those two writing to files behind a buffer on disk."""
    bodies = job.bodies(job.events // 4)

    def measure(kind: Any) -> float:
        job.rig.fill(bodies)
        folder = job.rig.folder / "receiver"
        shutil.rmtree(folder, ignore_errors=True)
        server = make_receiver(kind, folder)
        server.start()
        try:
            return job.rig.rate_into(server.port, len(bodies))
        finally:
            server.stop()

    rates: dict[str, list[float]] = {str(kind): [] for kind in available_kinds()}
    for turn in range(job.few):
        for kind, of_kind in rates.items():
            of_kind.append(measure(kind))
            job.say(f"turn {turn + 1}: into {kind}: {of_kind[-1]:.0f} events/s")
    for kind, of_kind in rates.items():
        yield Row(f"into {kind}: events/s", tuple(of_kind))


def latency(job: Job) -> Iterator[Row]:
    """From publishing to receipt, at a steady rate, in milliseconds."""
    for rate in LATENCY_RATES:
        count = int(rate * LATENCY_SECONDS)
        moments = sorted(event.latency_ms for event in latencies(job.rig, rate, lambda number: number < count))  # noqa: B023
        cuts = statistics.quantiles(moments, n=1000)
        job.say(f"{rate} events/s: p50 {cuts[499]:.1f} ms, p99 {cuts[989]:.1f} ms")
        for name, value in (("p50", cuts[499]), ("p90", cuts[899]), ("p99", cuts[989]), ("max", moments[-1])):
            yield Row(f"latency at {rate} events/s: {name}, ms", (value,))


def start(job: Job) -> Iterator[Row]:
    """From the start of the process to the first event; and what the command line takes to import."""
    seconds = []
    imports = []
    for _ in range(max(job.turns, 3)):
        job.rig.fill(job.bodies(10))
        with receiver() as (port, server):
            began = time.time()
            job.rig.start_plugin(port, "--once").wait(60)
            seconds.append(report(server)["first_at"] - began)
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        between = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import fluent_plugin_amp.commands.cli"], check=True)
        imports.append(time.perf_counter() - between - (between - before))
    yield Row("start to first event, s", tuple(seconds))
    yield Row("import of the command line, s", tuple(imports))


def steps(job: Job) -> Iterator[Row]:
    """Where an event's time goes, in microseconds."""
    for name, microseconds_each in microseconds(job.bodies(3000)):
        yield Row(name, (microseconds_each,))


def memory(job: Job) -> Iterator[Row]:
    """With no server there, and the queue full; and of many streams that have nothing."""
    rig = job.rig
    rig.fill(job.bodies(20_000))
    process = rig.start_plugin(free_port())
    _, peak = watch(process, 15.0)
    process.terminate()
    process.wait(60)
    yield Row("no server, queue full: peak MiB", (peak,))
    rig.fill([])
    with receiver() as (port, _):
        process = rig.start_plugin(port, streams=max(STREAMS), logging={"level": "debug"})  # a line each
        wait_until(lambda: rig.log().count(": connected to queue") >= max(STREAMS), rig.log, 300.0)
        yield Row(f"{max(STREAMS)} idle streams: MiB", (memory_mib(process.pid, "VmRSS"),))
        process.terminate()
        process.wait(60)


def growth(job: Job) -> Iterator[Row]:
    """More events waiting, and more processes on streams of their own."""
    bodies = job.bodies(job.events // 4)
    for waiting in WAITING:
        if waiting > 10 * job.events:
            continue
        job.rig.fill((bodies * (waiting // len(bodies) + 1))[:waiting])
        rate, cpu_us = _take(job.rig, min(len(bodies), waiting))
        job.say(f"{waiting:,} waiting: {rate:.0f} events/s")
        yield Row(f"{waiting:,} events waiting: events/s", (rate,))
        yield Row(f"{waiting:,} events waiting: microseconds of processor an event", (cpu_us,))
    for count in PROCESSES:
        _, start_s = _together(job.rig, count, [])
        rate, cpu_s = _together(job.rig, count, bodies)
        job.say(f"{count} processes: {rate:.0f} events/s")
        yield Row(f"{count} processes: events/s", (rate,))
        yield Row(f"{count} processes: microseconds of processor an event", ((cpu_s - start_s) / len(bodies) * 1e6,))


MEASURES: Mapping[str, Callable[[Job], Iterator[Row]]] = {
    measure.__name__: measure
    for measure in (
        throughput,
        options,
        sizes,
        streams,
        receivers,
        latency,
        start,
        memory,
        steps,
        growth,
        completeness,
        of_growth.shares,
        of_growth.servers,
        of_growth.open_detections,
        of_growth.remembered,
        polling.names,
        polling.sweep,
    )
}
EXPECTED_S = {
    "throughput": 300.0,
    "options": 250.0,
    "sizes": 150.0,
    "streams": 150.0,
    "receivers": 100.0,
    "latency": 80.0,
    "start": 20.0,
    "memory": 40.0,
    "steps": 20.0,
    "growth": 150.0,
    "completeness": 120.0,
    "shares": 40.0,
    "servers": 25.0,
    "open_detections": 20.0,
    "remembered": 40.0,
    "names": 330.0,
    "sweep": 1000.0,
}
"""About what each takes on two quiet cores, for the time that is left."""


# --- how -----------------------------------------------------------------------------------------


def _compared(figures: dict[str, list[Snapshot]], base: str, count: int) -> Iterator[Row]:
    for way, of_way in figures.items():
        yield Row(f"{way}: events/s", tuple(each.rate for each in of_way))
    for way, of_way in figures.items():
        if way != base:
            yield Row(f"{way} / {base}", _ratios(of_way, figures[base]))
    for way, of_way in figures.items():
        yield Row(f"{way}: processor seconds a million events", tuple(each.cpu_s / count * 1e6 for each in of_way))
    for way, of_way in figures.items():
        yield Row(f"{way}: peak MiB", tuple(each.peak_mib for each in of_way))


def _costs_us(figures: Sequence[Snapshot], count: int) -> tuple[float, ...]:
    """Microseconds of processor for each event, turn by turn."""
    return tuple(each.cpu_s / count * 1e6 for each in figures)


def _ratios(figures: Sequence[Snapshot], base: Sequence[Snapshot]) -> tuple[float, ...]:
    """Of rates, turn by turn."""
    return tuple(one.rate / other.rate for one, other in zip(figures, base, strict=True))


def _take(rig: Rig, count: int) -> tuple[float, float]:
    """Of what waits, take so many: events a second, microseconds of processor for each."""
    with receiver() as (port, server):
        process = rig.start_plugin(port)
        rig.moment("connected to queue")
        depth = rig.broker.queue_depth(rig.streams[0].queue)
        wanted = depth.ready + depth.unacked - count
        before = cpu_seconds(process.pid)
        began = time.monotonic()

        def left() -> int:
            now = rig.broker.queue_depth(rig.streams[0].queue)
            return now.ready + now.unacked

        wait_until(lambda: left() <= max(wanted, 0), rig.log, 300.0)
        seconds = time.monotonic() - began
        cpu_s = cpu_seconds(process.pid) - before
        taken = depth.ready + depth.unacked - left()
        process.kill()
        process.wait()
        server.kill()
    return taken / seconds, cpu_s / taken * 1e6


def _together(rig: Rig, processes: int, bodies: list[bytes]) -> tuple[float, float]:
    """So many processes, each with a stream of its own: events a second and seconds of processor, in all."""
    rig.fill(bodies, processes)
    with receiver() as (port, server):
        running = [rig.start_plugin(port, "--once", first=number) for number in range(processes)]
        cpu_s = sum(watch(process)[0] for process in running)
        figures = report(server)
    assert figures["events"] >= len(bodies), figures
    return len(bodies) / (figures["last_at"] - figures["first_at"]) if bodies else 0.0, cpu_s
