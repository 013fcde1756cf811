"""The bench's rig: a private RabbitMQ over TLS, receivers and the plugin, each in a process, and their figures.

Invariants: whatever is measured consumes from a queue that was filled before it began; nothing that was started is
left when its ``with`` ends.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from tests.processes import cpu_seconds, memory_mib

BARE = Path(__file__).with_name("bare.py")
DEADLINE_S = 900.0
POLL_S = 0.05


class Snapshot(NamedTuple):
    """What one run of one program took."""

    rate: float
    """Events a second, from the first to the last."""
    cpu_s: float
    """Of the program alone, user and system, its start included."""
    peak_mib: float
    """Of resident memory."""


@dataclass
class Rig:
    """The broker, and its streams."""

    folder: Path
    certificates: Certificates
    broker: PrivateRabbitMQ
    streams: list[StreamCredentials]

    def fill(self, bodies: Sequence[bytes], streams: int = 1) -> None:
        """Empty the queues, and put all of these into the first of them, in turn."""
        for stream in self.streams:
            self.broker.purge(stream.queue)
        for number, stream in enumerate(self.streams[:streams]):
            self.broker.publish(stream.queue, bodies[number::streams])

    def bare(self, count: int) -> Snapshot:
        """The bare pika loop, over TLS, until it has ``count`` events."""
        stream = self.streams[0]
        arguments = (stream.username, stream.password, stream.queue, str(self.certificates.ca_file), str(count))
        process = subprocess.Popen(
            [sys.executable, str(BARE), stream.tls_url, *arguments], stdout=subprocess.PIPE, text=True
        )
        used = watch(process)
        assert process.stdout is not None
        figures = json.loads(process.stdout.read())
        assert process.returncode == 0
        assert figures["events"] == count
        return Snapshot(count / figures["seconds"], *used)

    def plugin(self, count: int, *, streams: int = 1, arguments: Sequence[str] = (), **options: Any) -> Snapshot:
        """The plugin into the built-in receiver, until the queues are empty; ``options``: of its configuration."""
        with receiver(*arguments) as (port, server):
            process = self.start_plugin(port, "--once", streams=streams, **options)
            used = watch(process)
            assert process.returncode == 0, self.log()
            figures = report(server)
        assert figures["events"] >= count, figures
        return Snapshot(count / (figures["last_at"] - figures["first_at"]), *used)

    def plugin_into(self, port: int, count: int, **options: Any) -> Snapshot:
        """The plugin into any receiver, until the queue is empty; the rate by the plugin's own log."""
        process = self.start_plugin(port, "--once", **options)
        used = watch(process)
        assert process.returncode == 0, self.log()
        return Snapshot(count / (self.moment("stopped: total") - self.moment("connected to queue")), *used)

    def start_plugin(
        self, port: int, *arguments: str, streams: int = 1, first: int = 0, **options: Any
    ) -> subprocess.Popen[bytes]:
        """A ``run`` for a receiver on ``port`` and some of the streams; its log is for `log` and `moment`.

        ``options`` are keys of the configuration, and ``of_stream`` those of each stream.
        """
        forward = {"servers": [{"port": port}], **options.pop("forward", {})}
        of_stream = options.pop("of_stream", {})
        config: dict[str, Any] = {
            "streams": [
                {
                    "name": stream.queue,
                    "url": stream.tls_url,
                    "username": stream.username,
                    "password": stream.password,
                    "queue": stream.queue,
                    "tls": {"ca_file": str(self.certificates.ca_file)},
                    **of_stream,
                }
                for stream in self.streams[first : first + streams]
            ],
            "forward": forward,
            "observe": {"listen": None},
            **options,
        }
        path = self.folder / f"config-{first}.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(path), *arguments]
        with self._log_path(first).open("wb") as log:
            return subprocess.Popen(command, stderr=log)

    def log(self, first: int = 0) -> str:
        """What the plugin wrote."""
        return self._log_path(first).read_text()

    def moment(self, text: str, first: int = 0) -> float:
        """When the plugin first wrote this, seconds since the epoch; waits for it."""
        wait_until(lambda: text in self.log(first), lambda: self.log(first))
        (line, *_) = (line for line in self.log(first).splitlines() if text in line)
        return datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")).timestamp()

    def _log_path(self, first: int) -> Path:
        return self.folder / f"plugin-{first}.log"


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


def report(server: subprocess.Popen[str]) -> dict[str, Any]:
    """End a `receiver`; what it counted."""
    server.send_signal(signal.SIGTERM)
    counts: dict[str, Any] = json.loads(server.communicate()[0].splitlines()[-1])
    return counts


def watch(process: subprocess.Popen[Any], seconds: float = DEADLINE_S) -> tuple[float, float]:
    """Wait for the process, ``seconds`` at most: processor time in seconds, and peak of resident memory in MiB."""
    cpu_s = peak = 0.0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            cpu_s = max(cpu_s, cpu_seconds(process.pid))
            peak = max(peak, memory_mib(process.pid))
        if process.poll() is not None:
            break
        time.sleep(POLL_S)
    return cpu_s, peak


def wait_until(condition: Callable[[], bool], describe: Callable[[], str], seconds: float = 60.0) -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(POLL_S)
