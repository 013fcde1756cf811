"""The bench's rig: a private RabbitMQ over TLS, receivers and the plugin, each in a process, and their figures.

Invariants: whatever is measured consumes from a queue that was filled before it began; nothing that was started is
left when its ``with`` ends.
"""

from __future__ import annotations

import contextlib
import json
import os
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
    """Of the program alone, user and system, without its start."""
    peak_mib: float
    """Of resident memory."""


@dataclass
class Rig:
    """The broker, and its streams."""

    folder: Path
    certificates: Certificates
    broker: PrivateRabbitMQ
    streams: list[StreamCredentials]
    filled: int = 0
    """So many of the queues may hold something."""

    def broker_version(self) -> str:
        """``RabbitMQ 3.10.8``, say."""
        return "RabbitMQ " + self.broker.evaluate("rabbit_misc:version()").strip('"')

    def fill(self, bodies: Sequence[bytes], streams: int = 1) -> None:
        """Empty the queues, and put all of these into the first of them, in turn."""
        for stream in self.streams[: self.filled]:
            self.broker.purge(stream.queue)
        self.filled = streams
        for number, stream in enumerate(self.streams[:streams]):
            self.broker.publish(stream.queue, bodies[number::streams])

    def bare(self, bodies: Sequence[bytes]) -> Snapshot:
        """The bare pika loop, over TLS, until it has all of these."""
        self.fill(bodies)
        stream, count = self.streams[0], len(bodies)
        arguments = (stream.username, stream.password, stream.queue, str(self.certificates.ca_file), str(count))
        process = subprocess.Popen(
            [sys.executable, str(BARE), stream.tls_url, *arguments], stdout=subprocess.PIPE, text=True
        )
        figures = json.loads(process.communicate()[0])
        assert process.returncode == 0
        assert figures["events"] == count
        return Snapshot(count / figures["seconds"], figures["cpu_s"], figures["peak_mib"])

    def plugin(
        self,
        bodies: Sequence[bytes],
        *,
        streams: int = 1,
        servers: int = 1,
        arguments: Sequence[str] = (),
        **options: Any,
    ) -> Snapshot:
        """The plugin into built-in receivers, until the queues are empty; ``options``: of its configuration.

        A run on empty queues comes first: it tells what the start costs.
        """
        with contextlib.ExitStack() as stack:
            receivers = [stack.enter_context(receiver(*arguments)) for _ in range(servers)]
            ports = [{"port": port} for port, _ in receivers]
            options["forward"] = {"servers": ports, **options.get("forward", {})}

            def run(given: Sequence[bytes]) -> tuple[float, float]:
                self.fill(given, streams)
                process = self.start_plugin(receivers[0][0], "--once", streams=streams, **options)
                used = watch(process)
                assert process.returncode == 0, self.log()
                return used

            start_s, _ = run([])
            cpu_s, peak_mib = run(bodies)
            counts = [report(server) for _, server in receivers]
        assert sum(each["events"] for each in counts) >= len(bodies), counts
        began = min(each["first_at"] for each in counts if each["events"])
        ended = max(each["last_at"] for each in counts if each["events"])
        return Snapshot(len(bodies) / (ended - began), cpu_s - start_s, peak_mib)

    def rate_into(self, port: int, count: int) -> float:
        """Of the plugin into any receiver, until the queue is empty: events a second by the plugin's own log."""
        process = self.start_plugin(port, "--once")
        watch(process)
        assert process.returncode == 0, self.log()
        return count / (self.moment("stopped: total") - self.moment("connected to queue"))

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
        # An installed plugin has its modules compiled: it may keep them here, whatever this process was told.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with self._log_path(first).open("wb") as log:
            return subprocess.Popen(command, stderr=log, env=environment)

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
    peak = 0.0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            peak = max(peak, memory_mib(process.pid))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime, peak
        time.sleep(POLL_S)
    return cpu_seconds(process.pid), peak


def wait_until(condition: Callable[[], bool], describe: Callable[[], str], seconds: float = 60.0) -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(POLL_S)
