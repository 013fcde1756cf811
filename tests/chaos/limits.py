"""What three promises look like at their limits: ``python -m tests.chaos.limits``.

* 300 idle streams in one process: memory and processor.
* A stream of 4 MiB events: memory at its peak.
* A standby takes over: from an active process that is killed, and from one whose host vanished.

Prints a line for each; exits with 1 when one is beyond its limit.  It takes some minutes: make the machine quiet.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fluent_plugin_amp.testing.certificates import Certificates, make_certificates
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.proxy import TcpProxy
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.chaos.world import FIRST_ID, Arrivals, ChaosReceiver, wait_for
from tests.e2e.plugin import Plugin
from tests.processes import cpu_seconds, memory_mib

IDLE_STREAMS = 300
IDLE_MIB = 120.0
IDLE_CORE_PERCENT = 2.0
LARGE_EVENTS = 150
LARGE_EVENT_BYTES = 4 * 1024 * 1024
LARGE_MIB = 150.0
HEARTBEAT_S = 10.0
KILLED_S = 5.0
VANISHED_S = 2 * HEARTBEAT_S

Config = dict[str, Any]


@dataclass
class Ground:
    """Broker and receiver, and what a plugin needs to know of them."""

    folder: Path
    certificates: Certificates
    broker: PrivateRabbitMQ
    receiver: ChaosReceiver

    def stream(self, queue: str, username: str, password: str, port: int, **options: Any) -> Config:
        """A stream of a configuration."""
        return {
            "name": queue,
            "queue": queue,
            "url": f"amqps://localhost:{port}",
            "username": username,
            "password": password,
            "tls": {"ca_file": str(self.certificates.ca_file)},
            **options,
        }

    def config(self, name: str, streams: list[Config]) -> Config:
        """A configuration, with a state file."""
        return {
            "streams": streams,
            "forward": {"servers": [{"host": "127.0.0.1", "port": self.receiver.port}]},
            "state": {"path": str(self.folder / f"{name}.db")},
            "observe": {"listen": None},
        }


@contextlib.contextmanager
def _ground() -> Iterator[Ground]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amp-limits-")))
        certificates = make_certificates(folder / "certificates")
        broker = stack.enter_context(PrivateRabbitMQ(certificates=certificates))
        receiver = ChaosReceiver(folder / "receiver")
        receiver.start()
        stack.callback(receiver.stop)
        yield Ground(folder, certificates, broker, receiver)


def _log_has(plugin: Plugin, text: str, times: int) -> None:
    assert wait_for(lambda: plugin.log.count(text) == times, 180.0, every_s=0.5), plugin.log[-2000:]


def idle_streams(ground: Ground) -> bool:
    """Many streams without events."""
    queues = [f"event_stream_{number}" for number in range(1000, 1000 + IDLE_STREAMS)]
    for queue in queues:
        ground.broker.declare_queue(queue)
    ground.broker.add_user("idle", "idle", read="^event_stream_")
    streams = [ground.stream(queue, "idle", "idle", ground.broker.tls_port) for queue in queues]
    config = ground.config("idle", streams)
    config["observe"] = {"listen": f"127.0.0.1:{free_port()}"}  # with the endpoints, as it is run
    config["logging"] = {"level": "debug"}  # otherwise so many streams have one line between them
    with Plugin(ground.folder / "idle", config) as plugin:
        _log_has(plugin, ": connected to queue", IDLE_STREAMS)
        for queue in queues:
            ground.broker.publish(queue, EventGenerator(1).bodies(1))  # so that each consumes in full
        _log_has(plugin, ": consuming, prefetch", IDLE_STREAMS)
        time.sleep(10.0)
        began_s, began_at = cpu_seconds(plugin.pid), time.monotonic()
        time.sleep(120.0)
        percent = 100.0 * (cpu_seconds(plugin.pid) - began_s) / (time.monotonic() - began_at)
        mib = memory_mib(plugin.pid, "VmRSS")
    print(f"{IDLE_STREAMS} idle streams: {mib:.0f} MiB, {percent:.2f} % of a core", flush=True)
    return mib <= IDLE_MIB and percent <= IDLE_CORE_PERCENT


def large_events(ground: Ground) -> bool:
    """A stream of nothing but very large events."""
    stream = ground.broker.create_stream("event_stream_1")
    section = ground.stream(stream.queue, stream.username, stream.password, ground.broker.tls_port)
    for number in range(LARGE_EVENTS):
        event = {"id": FIRST_ID + number, "payload": os.urandom(LARGE_EVENT_BYTES // 2).hex()}
        ground.broker.publish(stream.queue, [json.dumps(event).encode()])
    began = time.monotonic()
    with Plugin(ground.folder / "large", ground.config("large", [section])) as plugin:
        arrivals = Arrivals(ground.receiver)
        arrived = wait_for(lambda: len({each.number for each in arrivals.update()}) >= LARGE_EVENTS, 300.0)
        took_s = time.monotonic() - began
        mib = memory_mib(plugin.pid, "VmHWM")
    print(f"{LARGE_EVENTS} events of 4 MiB: {mib:.0f} MiB at most, all within {took_s:.1f} s: {arrived}", flush=True)
    return arrived and mib <= LARGE_MIB


def takeover(ground: Ground, *, vanishes: bool) -> bool:
    """From the end of the active process, or of its network, until an event published after it arrives."""
    queue = "event_stream_2" if vanishes else "event_stream_3"
    stream = ground.broker.create_stream(queue)
    arrivals = Arrivals(ground.receiver)
    options = {"exclusive": True, "heartbeat": HEARTBEAT_S}
    events = EventGenerator(2)
    published = 1_000_000 if vanishes else 2_000_000

    def publish() -> int:
        nonlocal published
        published += 1
        event = events.event() | {"id": FIRST_ID + published}
        ground.broker.publish(queue, [json.dumps(event).encode()])
        return published

    with contextlib.ExitStack() as stack:
        amqp = stack.enter_context(TcpProxy(ground.broker.tls_port))
        plugins = [
            Plugin(
                ground.folder / f"{queue}-{number}",
                ground.config(
                    f"{queue}-{number}", [ground.stream(queue, stream.username, stream.password, port, **options)]
                ),
            )
            for number, port in enumerate((amqp.port, ground.broker.tls_port))
        ]
        active = stack.enter_context(plugins[0])
        publish()
        active.wait_for_log("consuming, prefetch")
        standby = stack.enter_context(plugins[1])
        standby.wait_for_log("standing by")
        began = time.monotonic()
        if vanishes:
            amqp.black_hole()
        else:
            active.kill()
        mark = publish()
        arrived = wait_for(lambda: any(each.number == mark for each in arrivals.update()), 120.0)
        took_s = time.monotonic() - began
        if vanishes:
            amqp.heal()
    limit_s = VANISHED_S if vanishes else KILLED_S
    what = (
        f"host of the active process vanished, heartbeat {HEARTBEAT_S:g} s" if vanishes else "active process killed"
    )
    print(f"takeover, {what}: {took_s:.1f} s", flush=True)
    return arrived and took_s <= limit_s


@click.command()
@click.argument("which", nargs=-1, type=click.Choice(["idle", "large", "killed", "vanished"]))
def main(which: tuple[str, ...]) -> None:
    """Measure all, or those named."""
    measures = {
        "killed": lambda ground: takeover(ground, vanishes=False),
        "vanished": lambda ground: takeover(ground, vanishes=True),
        "large": large_events,
        "idle": idle_streams,
    }
    with _ground() as ground:
        results = [measure(ground) for name, measure in measures.items() if not which or name in which]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
