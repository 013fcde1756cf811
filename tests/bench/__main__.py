"""``make bench``: what the plugin costs, beside a bare pika loop on the same machine in the same run.

Publishes events into a private RabbitMQ over TLS and consumes them, in turn and several times over, with a bare pika
loop (``bare.py``) and with ``fluent-plugin-amp run`` into a Forward receiver in its own process.  Prints a table of
ratios (minimum, median, maximum); never fails for being slow.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pika
import yaml
from rich.console import Console
from rich.table import Table

from fluent_plugin_amp.testing.certificates import Certificates, make_certificates
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials

BARE = Path(__file__).with_name("bare.py")
EVENT_BYTES = 1500
DEADLINE_S = 600.0


@dataclass
class Bench:
    """The broker and what was published last."""

    folder: Path
    certificates: Certificates
    broker: PrivateRabbitMQ
    stream: StreamCredentials
    bodies: list[bytes]

    def fill(self) -> None:
        """Put all events into the queue."""
        self.broker.purge(self.stream.queue)
        self.broker.publish(self.stream.queue, self.bodies)

    def bare(self) -> tuple[float, float]:
        """Events a second, and peak MiB, of the bare loop."""
        self.fill()
        answer = subprocess.run(
            [
                *(sys.executable, str(BARE), str(self.stream.tls_url), self.stream.username, self.stream.password),
                *(self.stream.queue, str(self.certificates.ca_file), str(len(self.bodies))),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_S,
        )
        figures = json.loads(answer.stdout)
        return figures["events"] / figures["seconds"], figures["peak_mib"]

    def plugin(self, **options: Any) -> tuple[float, float]:
        """Events a second from the first to the last receipt, and peak MiB, of the plugin."""
        self.fill()
        with receiver() as (port, server):
            process = self.start_plugin(port, "--once", **options)
            peak = peak_mib(process)
            assert process.returncode == 0, (self.folder / "plugin.log").read_text()
            server.send_signal(signal.SIGTERM)
            figures = json.loads(server.communicate()[0])
        assert figures["events"] == len(self.bodies), figures
        return figures["events"] / (figures["last_at"] - figures["first_at"]), peak

    def start_plugin(self, port: int, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A `fluent-plugin-amp run` process for a receiver on ``port``."""
        config = {
            "streams": [
                {
                    "url": self.stream.tls_url,
                    "username": self.stream.username,
                    "password": self.stream.password,
                    "queue": self.stream.queue,
                    "tls": {"ca_file": str(self.certificates.ca_file)},
                }
            ],
            "forward": {"servers": [{"port": port}]},
            **options,
        }
        path = self.folder / "config.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        with (self.folder / "plugin.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(path), *arguments], stderr=log
            )


@contextlib.contextmanager
def receiver(*arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The built-in receiver in its own process; its port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "fluent_plugin_amp.testing.fluentd", "--print-port", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline()), server
    finally:
        server.kill()
        server.wait()


def peak_mib(process: subprocess.Popen[bytes], seconds: float = DEADLINE_S) -> float:
    """Wait for the process, ``seconds`` at most; its peak of resident memory."""
    peak = 0.0
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, AttributeError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            peak = max(peak, int(found.group(1)) / 1024) if found else peak
        time.sleep(0.1)
    return peak


def latency_ms(bench: Bench, rate: int, seconds: float) -> list[float]:
    """Milliseconds from publishing to receipt, at ``rate`` events a second."""
    bench.broker.purge(bench.stream.queue)
    ids = bench.folder / "ids"
    ids.unlink(missing_ok=True)
    with receiver("--ids", str(ids)) as (port, _):
        process = bench.start_plugin(port)
        _wait_for_text(bench.folder / "plugin.log", "connected to queue")
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                bench.broker.host, bench.broker.port, credentials=pika.PlainCredentials("admin", "private")
            )
        )
        channel = connection.channel()
        event = json.loads(bench.bodies[0])
        count = int(rate * seconds)
        began = time.monotonic()
        for number in range(count):
            delay = began + number / rate - time.monotonic()
            if delay > 0:
                time.sleep(delay)
            now = time.time_ns()
            event["id"] = number
            event["timestamp"], event["timestamp_nanoseconds"] = divmod(now, 1_000_000_000)
            channel.basic_publish("", bench.stream.queue, json.dumps(event).encode())
        connection.close()
        deadline = time.monotonic() + 30
        while ids.read_bytes().count(b"\n") < count and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        process.wait(30)
    lines = [line.split("\t") for line in ids.read_text().splitlines()]
    assert len(lines) == count, f"{len(lines)} of {count} arrived"
    return sorted((int(arrived) - int(sent)) / 1e6 for _, _, sent, arrived, _ in lines)


def start_seconds(bench: Bench) -> float:
    """From the start of the process to the first event received."""
    bench.broker.purge(bench.stream.queue)
    bench.broker.publish(bench.stream.queue, bench.bodies[:10])
    with receiver() as (port, server):
        began = time.time()
        process = bench.start_plugin(port, "--once")
        process.wait(60)
        server.send_signal(signal.SIGTERM)
        figures = json.loads(server.communicate()[0])
    return float(figures["first_at"] - began)


def away_mib(bench: Bench, seconds: float) -> float:
    """Peak memory with the queue full and no server there."""
    bench.fill()
    process = bench.start_plugin(free_port())
    peak = peak_mib(process, seconds)
    process.terminate()
    process.wait(30)
    return peak


def _wait_for_text(path: Path, text: str) -> None:
    deadline = time.monotonic() + 30
    while text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)


def _spread(values: list[float], digits: int = 2) -> tuple[str, str, str]:
    return tuple(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))  # type: ignore[return-value]


@click.command()
@click.option("--events", default=100_000, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--latency-seconds", default=20.0, show_default=True)
def main(events: int, runs: int, latency_seconds: float) -> None:
    """Run the bench and print its table."""
    console = Console(width=110)
    generator = EventGenerator(seed=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with PrivateRabbitMQ(certificates=certificates) as broker:
            stream = broker.create_stream("event_stream_1")
            bodies = [generator.body(size=EVENT_BYTES) for _ in range(events)]
            bench = Bench(folder, certificates, broker, stream, bodies)
            nested: list[float] = []
            flattened: list[float] = []
            rates: dict[str, list[float]] = {"bare": [], "nested": [], "flattened": []}
            peaks: dict[str, list[float]] = {"bare": [], "nested": [], "flattened": []}
            for run in range(runs):
                for kind in rates:
                    if kind == "bare":
                        rate, peak = bench.bare()
                    elif kind == "nested":
                        rate, peak = bench.plugin()
                    else:
                        rate, peak = bench.plugin(transform={"flatten": {}})
                    rates[kind].append(rate)
                    peaks[kind].append(peak)
                    console.print(f"run {run + 1}: {kind:9} {rate:8.0f} events/s, {peak:.0f} MiB")
                nested.append(rates["nested"][-1] / rates["bare"][-1])
                flattened.append(rates["flattened"][-1] / rates["bare"][-1])
            starts = [start_seconds(bench) for _ in range(runs)]
            away = away_mib(bench, 20.0)
            latencies = latency_ms(bench, 500, latency_seconds)
    table = Table(
        "figure", "min", "median", "max", title=f"{events} events of {EVENT_BYTES} B, {runs} alternating runs"
    )
    for kind, values in rates.items():
        table.add_row(f"{kind}, events/s", *_spread(values, 0))
    table.add_row("nested / bare", *_spread(nested))
    table.add_row("flattened / bare", *_spread(flattened))
    for kind, values in peaks.items():
        table.add_row(f"{kind}, peak MiB", *_spread(values, 0))
    table.add_row("no server, queue full, peak MiB", "", f"{away:.0f}", "")
    table.add_row("start to first event, s", *_spread(starts))
    quantiles = statistics.quantiles(latencies, n=100)
    table.add_row(
        "500 events/s: latency p50, p99, max, ms",
        f"{quantiles[49]:.1f}",
        f"{quantiles[98]:.1f}",
        f"{latencies[-1]:.1f}",
    )
    console.print(table)
    console.print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}"
    )


main()
