"""The world that the fuzzer plays in: the plugin and everybody it meets, good and hostile, as processes of their own.

::

    RabbitMQ ─────────── plain, garbage ──────────▶                       ──▶ receiver
    RabbitMQ ──▶ relay that mangles (real) ───────▶ fluent-plugin-amp run
    hostile broker ──▶ relay that mangles ────────▶                       ──▶ hostile server
                       └─▶ hostile proxy ─────────▶
                         rude HTTP clients, broken configurations and SIGHUP ─┘

The plain stream is what must not notice.  Back-off is shortened, so that a run sees thousands of connections.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.chaos.world import FIRST_ID, ChaosReceiver, Publisher, wait_for
from tests.e2e.plugin import Plugin
from tests.fuzz.clients import GarbagePublisher, Operator, Probe, RudeClients, Worker
from tests.fuzz.server import HOSTS
from tests.processes import memory_mib

PLAIN, GARBAGE, FLAT = "event_stream_1", "event_stream_2", "event_stream_3"
REAL = ("event_stream_4", "event_stream_5", "event_stream_6")
SCRIPTED = tuple(f"event_stream_{number}" for number in range(7, 13))
PLAIN_TAG = b"fuzz.plain"
SHARED_KEY = "fuzz"
SETTLE_S = 120.0
ACK_TIMEOUT_S = 1.0
HEARTBEAT_S = 5
FIRST_BACK_OFF_S, BACK_OFF_SPREAD_S = 0.2, 0.2

_QUICK_BACK_OFF = f"""
import fluent_plugin_amp.backoff
def quick(attempt, jitter, **limits):
    return {FIRST_BACK_OFF_S} + {BACK_OFF_SPREAD_S} * jitter
fluent_plugin_amp.backoff.backoff_s = quick
"""
_INTERNAL = re.compile(r"(?m) ([^:\n]+): \[internal\.error\] (\w+), contained")
PARTS = ("events", "broker", "server", "http", "reload")
"""What may be hostile."""


class Receiver(ChaosReceiver):
    """The good server; it asks for the shared key too."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--shared-key", SHARED_KEY]

    @property
    def violations(self) -> list[str]:
        """What it was sent that no server takes; once it was stopped."""
        reports = [line for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]
        return list(json.loads(reports[-1])["violations"]) if reports else ["the receiver told nothing"]


class Hostile:
    """A hostile process: says where it listens, and at its end what it did."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline())

    def stop(self) -> dict[str, Any]:
        """End it; what it did."""
        told, _ = self._process.communicate(timeout=60.0)
        report: dict[str, Any] = json.loads(told.splitlines()[-1]) if told else {}
        return report

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@dataclass
class Snapshot:
    """What a run showed."""

    published: int = 0
    missing: set[int] = field(default_factory=set)
    """Plain events that never arrived."""
    buried: set[int] = field(default_factory=set)
    """Plain events that arrived as dead letters only."""
    letters: int = 0
    """Dead letters."""
    left: dict[str, int] = field(default_factory=dict)
    """What is still in the queues of a good broker."""
    exit_code: int | None = None
    """Of the plugin, told to stop at the end; or before that, on its own."""
    ended_early: bool = False
    probes: int = 0
    probes_missed: int = 0
    slowest_probe_s: float = 0.0
    rss_mib: list[float] = field(default_factory=list)
    done: dict[str, Counter[str]] = field(default_factory=dict)
    """By everybody hostile."""
    connections: dict[str, int] = field(default_factory=dict)
    """To hostile peers."""
    violations: list[str] = field(default_factory=list)
    """What a good server would not have taken."""
    failures: list[str] = field(default_factory=list)
    """In the fuzzer itself."""
    contained: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What nobody foresaw: where it was contained, and its type."""
    log_mib: float = 0.0


class World:
    """Everything, running; see `make_world`."""

    def __init__(
        self, broker: PrivateRabbitMQ, receiver: Receiver, plugin: Plugin, publisher: Publisher, ids: list[Path]
    ) -> None:
        self.broker = broker
        self.receiver = receiver
        self.plugin = plugin
        self.publisher = publisher
        self.probe: Probe | None = None
        self.workers: list[Worker] = []
        self.hostile: dict[str, Hostile] = {}
        self._ids = ids
        self._empty_looks = 0

    def run(self, duration_s: float) -> Snapshot:
        """Play for so long, let it settle, and tell what was seen."""
        figures = Snapshot()
        assert self.probe is not None
        workers = [self.probe, *self.workers]
        self.publisher.start()
        for worker in workers:
            worker.start()
        until = time.monotonic() + duration_s
        while time.monotonic() < until and not self._has_ended:
            figures.rss_mib.append(self._rss_mib())
            time.sleep(1.0)
        self.publisher.stop()
        for worker in self.workers:
            worker.stop()
        wait_for(lambda: self._has_ended or self._is_drained(), SETTLE_S, every_s=0.5)
        self.probe.stop()
        figures.ended_early = self._has_ended
        figures.left = self._left()
        figures.exit_code = self.plugin.wait(1.0) if self._has_ended else self._stop_plugin()
        self.receiver.stop()
        self._tell(figures, workers)
        return figures

    @property
    def _has_ended(self) -> bool:
        return self.plugin.process is not None and self.plugin.process.poll() is not None

    def _stop_plugin(self) -> int | None:
        try:
            return self.plugin.stop()
        except subprocess.TimeoutExpired:
            return None

    def _rss_mib(self) -> float:
        with contextlib.suppress(OSError):
            return memory_mib(self.plugin.pid, "VmRSS")
        return 0.0

    def _is_drained(self) -> bool:
        """Twice in a row: what a closing channel gives back is for a moment nowhere."""
        self._empty_looks = 0 if any(self._left().values()) else self._empty_looks + 1
        return self._empty_looks >= 2

    def _left(self) -> dict[str, int]:
        depths = {queue: self.broker.queue_depth(queue) for queue in (PLAIN, GARBAGE, FLAT)}
        return {queue: depth.ready + depth.unacked for queue, depth in depths.items()}

    def _tell(self, figures: Snapshot, workers: list[Worker]) -> None:
        assert self.probe is not None
        figures.published = len(self.publisher.confirmed)
        arrived, buried, figures.letters = self._arrivals()
        figures.missing = self.publisher.confirmed - arrived - buried
        figures.buried = (self.publisher.confirmed & buried) - arrived
        figures.probes, figures.probes_missed = self.probe.done["asked"], self.probe.missed
        figures.slowest_probe_s = self.probe.slowest_s
        figures.log_mib = self.plugin.log_file.stat().st_size / (1 << 20)
        figures.contained = Counter(_INTERNAL.findall(self.plugin.log_file.read_text(errors="replace")))
        figures.violations = self.receiver.violations
        figures.failures = [f"{worker.name}: {worker.failure!r}" for worker in workers if worker.failure]
        for name, hostile in self.hostile.items():
            report = hostile.stop()
            figures.done[name] = Counter(report.get("moves", {}))
            figures.connections[name] = report.get("connections", 0)
            figures.violations += [f"{name}: {each}" for each in report.get("violations", ())]
            figures.failures += [f"{name}: {each}" for each in report.get("failures", ())]
        figures.done.update({worker.name: worker.done for worker in self.workers})

    def _arrivals(self) -> tuple[set[int], set[int], int]:
        """Plain events as they should be, plain events as dead letters, and how many letters there are in all."""
        arrived, buried, letters = set[int](), set[int](), 0
        for path in self._ids:
            for line in path.read_bytes().split(b"\n") if path.exists() else ():
                id_, _, rest = line.partition(b"\t")
                is_letter = b"dead_letters" in rest.partition(b"\t")[0]
                letters += is_letter
                if not id_.isdigit() or len(id_) != len(str(FIRST_ID)):
                    continue
                if is_letter:
                    buried.add(int(id_) - FIRST_ID)
                elif rest.startswith(PLAIN_TAG):
                    arrived.add(int(id_) - FIRST_ID)
        return arrived, buried, letters


@contextlib.contextmanager
def make_world(folder: Path, seed: int, *, rate: float = 50.0, parts: tuple[str, ...] = PARTS) -> Iterator[World]:
    """Start everybody, and end everybody; only ``parts`` are hostile."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(PrivateRabbitMQ())
        for queue in (PLAIN, GARBAGE, FLAT, *REAL):
            broker.declare_queue(queue)
        broker.add_user("fuzz", "fuzz", read="^event_stream_")
        receiver = Receiver(folder / "receiver")
        receiver.start()
        stack.callback(receiver.kill)
        ids = [receiver.folder / "ids", folder / "hostile-ids"]
        hostile: dict[str, Hostile] = {}
        if "broker" in parts:
            hostile["broker"] = Hostile("tests.fuzz.broker", "--seed", str(seed), "--real-port", str(broker.port))
        if "server" in parts:
            arguments = ("--seed", str(seed), "--shared-key", SHARED_KEY, "--ids", str(ids[1]))
            hostile["server"] = Hostile("tests.fuzz.server", *arguments)
        for each in hostile.values():
            stack.callback(each.kill)
        config = _configuration(folder, broker, receiver, hostile)
        plugin = stack.enter_context(Plugin(folder, config, prelude=_QUICK_BACK_OFF))
        broker.wait_for_depth(PLAIN, lambda depth: depth.consumers > 0)
        publisher = Publisher(broker, PLAIN, rate, seed)
        world = World(broker, receiver, plugin, publisher, ids)
        world.hostile = hostile
        port = int(config["observe"]["listen"].rpartition(":")[2])
        world.probe = Probe(port)
        if "events" in parts:
            world.workers.append(GarbagePublisher(seed, broker, [GARBAGE, FLAT, *REAL], every_s=0.1))
        if "http" in parts:
            world.workers.append(RudeClients(seed, port, every_s=0.2))
        if "reload" in parts:
            world.workers.append(Operator(seed, plugin.config_file, plugin.signal, every_s=2.0))
        yield world


def _configuration(
    folder: Path, broker: PrivateRabbitMQ, receiver: Receiver, hostile: dict[str, Hostile]
) -> dict[str, Any]:
    """With every option on that works on events."""

    def stream(queue: str, port: int = broker.port, **options: Any) -> dict[str, Any]:
        url = f"amqp://127.0.0.1:{port}"
        login = {"username": "fuzz", "password": "fuzz"}
        return {"name": queue, "url": url, **login, "queue": queue, "cloud": "us", **options}

    flat = {
        "obfuscate": [{"field": "computer.hostname", "method": "mask"}, {"field": "id", "method": "drop"}],
        "flatten": {"lists": "index"},
        "pulling_id": True,
    }
    streams = [
        stream(PLAIN, tag=PLAIN_TAG.decode(), transform={"links": False}),
        stream(GARBAGE, tag="fuzz.{event_type}.{event_type_id}.{severity}"),
        stream(FLAT, transform=flat),
    ]
    servers: list[dict[str, Any]] = [{"host": "127.0.0.1", "port": receiver.port}]
    if "broker" in hostile:
        ports = hostile["broker"].ports
        streams += [stream(queue, ports["real"], heartbeat=HEARTBEAT_S) for queue in REAL]
        streams += [stream(queue, ports["scripted"], heartbeat=HEARTBEAT_S) for queue in SCRIPTED]
        for section, scheme in zip(streams[-2:], ("http", "socks5"), strict=True):
            section["proxy"] = f"{scheme}://fuzz:fuzz@127.0.0.1:{ports['proxy']}"
    if "server" in hostile:
        port = hostile["server"].ports["port"]
        servers += [{"host": host, "port": port, "weight": 15} for host in HOSTS]
    return {
        "streams": streams,
        "forward": {
            "servers": servers,
            "security": {"self_hostname": "fuzz", "shared_key": SHARED_KEY},
            "ack_response_timeout": ACK_TIMEOUT_S,
            "shutdown_timeout": 5,
        },
        "transform": {"links": True, "add": {"fuzz": 1}},
        "detections": {"window": "5s", "max_open": 1000},
        "incidents": {"window": "5s", "lateness": "1s", "max_open": 1000},
        "memory_limit": "32MiB",
        "state": {"path": str(folder / "state.db")},
        "observe": {"listen": f"127.0.0.1:{free_port()}", "statistics_every": "30s"},
    }
