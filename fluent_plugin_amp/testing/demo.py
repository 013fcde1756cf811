"""`fluent-plugin-amp demo`: the whole way on this machine, with real processes and no Cisco account.

A private RabbitMQ over TLS plays Cisco's broker, a `fluent-plugin-amp run` process reads its queue, and Fluentd or
Fluent Bit receives where one is on PATH, else the built-in receiver.  All of it lives in one temporary folder, on
loopback, and is gone afterwards.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK
from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.receivers import Receiver, available_kinds, make_receiver

SHOWN_EVENTS = 5
PATIENCE_S = 60.0
"""Without another event arriving, after which the demo gives up."""
POLL_S = 0.1


def demo(count: int, *, keep: bool = False, console: Console | None = None) -> int:
    """Publish ``count`` synthetic events and follow them to the receiver.  Returns the exit code."""
    console = console or Console()
    folder = Path(tempfile.mkdtemp(prefix="fluent-plugin-amp-demo-"))
    try:
        return _demo(count, folder, console)
    finally:
        if keep:
            console.print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _demo(count: int, folder: Path, console: Console) -> int:
    kind, version = next(iter(available_kinds().items()))
    certificates = make_certificates(folder / "certificates")
    with contextlib.ExitStack() as stack:
        with console.status("starting a private RabbitMQ, with TLS, on loopback"):
            broker = stack.enter_context(PrivateRabbitMQ(certificates=certificates, folder=folder / "rabbitmq"))
            stream = broker.create_stream("event_stream_1")
        console.print(
            f"broker     RabbitMQ on {stream.tls_url}, queue {stream.queue}, user {stream.username}", soft_wrap=True
        )
        receiver = make_receiver(kind, folder / "receiver")
        with console.status(f"starting {kind}"):
            receiver.start()
        stack.callback(receiver.stop)
        console.print(f"receiver   {kind} {version} on {receiver.host}:{receiver.port}, {receiver.buffer}")

        bodies = list(EventGenerator(seed=int(time.time())).bodies(count))
        broker.publish(stream.queue, bodies)
        kinds = len({json.loads(body)["event_type_id"] for body in bodies})
        console.print(f"published  {count} synthetic events of {kinds} kinds\n")

        config = _write_config(folder, stream, certificates.ca_file, receiver)
        console.print(f"$ fluent-plugin-amp run -c {config}", highlight=False, soft_wrap=True)
        plugin = stack.enter_context(_plugin(config, folder / "plugin.log"))
        arrived = _follow(receiver, bodies, plugin, console)
        plugin.send_signal(signal.SIGTERM)
        plugin.wait(PATIENCE_S)
        left = broker.queue_depth(stream.queue)
    delivered = sum(1 for body in bodies if arrived[_identity(json.loads(body))])
    duplicated = arrived.total() - delivered
    waiting = left.ready + left.unacked
    console.print(
        f"\n{count} published, {delivered} delivered, {duplicated} duplicated, {waiting} left in the queue",
        highlight=False,
    )
    if delivered == count and not waiting:
        return EXIT_OK
    console.print((folder / "plugin.log").read_text(), highlight=False)
    return EXIT_NO


def _write_config(folder: Path, stream: StreamCredentials, ca_file: Path, receiver: Receiver) -> Path:
    """Ten lines, as a user would write them; the password in a file of its own."""
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(stream.password)
    config = folder / "fluent-plugin-amp.yml"
    config.write_text(f"""\
streams:
  - name: demo
    url: {stream.tls_url}
    username: {stream.username}
    password_file: {password_file}
    queue: {stream.queue}
    tls: {{ca_file: {ca_file}}}
forward:
  servers:
    - {{host: {receiver.host}, port: {receiver.port}}}
""")
    return config


@contextlib.contextmanager
def _plugin(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _follow(
    receiver: Receiver, bodies: list[bytes], plugin: subprocess.Popen[bytes], console: Console
) -> Counter[str]:
    """Show what arrives until everything has; how often each event did."""
    bar = Progress(TextColumn("delivered"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)
    arrived: Counter[str] = Counter()
    progress_at = time.monotonic()
    with bar:
        task = bar.add_task("", total=len(bodies))
        while len(arrived) < len(bodies) and plugin.poll() is None:
            events = list(receiver.received())
            for event in events[arrived.total() :][: max(0, SHOWN_EVENTS - arrived.total())]:
                bar.console.print(
                    f"  {event.tag}: {_shown(event.record)}", highlight=False, markup=False, soft_wrap=True
                )
            if len(events) > arrived.total():
                progress_at = time.monotonic()
            arrived = Counter(_identity(event.record) for event in events)
            bar.update(task, completed=len(arrived))
            if time.monotonic() - progress_at > PATIENCE_S:
                break
            time.sleep(POLL_S)
    return arrived


def _identity(record: dict[str, Any]) -> str:
    """An event as text: `id` alone will not do, some kinds have none."""
    return json.dumps(record, sort_keys=True)


def _shown(record: dict[str, Any]) -> str:
    computer = record.get("computer") or {}
    shown = {
        "id": record.get("id"),
        "event_type": record.get("event_type"),
        "date": record.get("date"),
        "hostname": computer.get("hostname"),
    }
    return json.dumps(shown, ensure_ascii=False)
