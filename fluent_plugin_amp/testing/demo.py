"""`fluent-plugin-amp demo`: the whole way on this machine, with real processes and no Cisco account.

A local Cisco cloud, its REST API and a private RabbitMQ over TLS, holds the stream that `amp-streams create` makes; a
`fluent-plugin-amp run` process reads it; and Fluentd or Fluent Bit receives where one is on PATH, else the built-in
receiver.  All of it lives in one temporary folder, on loopback, and is gone afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
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

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK
from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.receivers import Receiver, available_kinds, make_receiver

SHOWN_EVENTS = 5
PATIENCE_S = 60.0
"""Without another event arriving, after which the demo gives up."""
POLL_S = 0.1
AUDIT_TAG = "edr.cisco.amp.audit_logs"


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
        cloud = stack.enter_context(LocalCloud(broker=broker))
        key = cloud.add_organisation()
        _say(console, f"cloud      REST API on {cloud.url}, RabbitMQ on {broker.tls_url}")
        receiver = make_receiver(kind, folder / "receiver")
        with console.status(f"starting {kind}"):
            receiver.start()
        stack.callback(receiver.stop)
        _say(console, f"receiver   {kind} {version} on {receiver.host}:{receiver.port}, {receiver.buffer}")

        def amp_streams(*arguments: str) -> None:
            _say(console, f"\n$ amp-streams {' '.join(arguments)}")
            command = [sys.executable, "-c", "from fluent_plugin_amp.amp_streams.cli import main; main()", *arguments]
            login = {"AMP_CLIENT_ID": key.client_id, "AMP_API_KEY": key.api_key, "AMP_API_HOST": cloud.url}
            answer = subprocess.run(
                command,
                env={**os.environ, **login},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            _say(console, answer.stdout.rstrip())

        credentials = folder / "demo.yml"
        amp_streams("create", "demo", "--save", str(credentials))
        bodies = list(EventGenerator(seed=int(time.time())).bodies(count))
        cloud.publish(bodies)
        kinds = len({json.loads(body)["event_type_id"] for body in bodies})
        _say(console, f"\npublished  {count} synthetic events of {kinds} kinds\n")

        a_while_ago = int(time.time()) - 120
        key.audit_log.add(
            a_while_ago, audit_log_user="kim@example.com", item="Protect", new_attributes={"name": "Protect"}
        )
        config = _write_config(folder, credentials, certificates.ca_file, receiver, cloud, key)
        _say(console, config.read_text())
        _say(console, f"$ fluent-plugin-amp run -c {config}")
        plugin = stack.enter_context(_plugin(config, folder / "plugin.log"))
        arrived = _follow(receiver, bodies, plugin, console)
        shows_all = _show_audit_entry(receiver, console) and _show_names(cloud, key, receiver, console)
        plugin.send_signal(signal.SIGTERM)
        plugin.wait(PATIENCE_S)
        queue = yaml.safe_load(credentials.read_text())["queue"]
        left = broker.queue_depth(queue)
        amp_streams("list")
        amp_streams("delete", "demo", "--yes")
    delivered = sum(1 for body in bodies if arrived[_identity(json.loads(body))])
    duplicated = arrived.total() - delivered
    waiting = left.ready + left.unacked
    _say(
        console,
        f"\n{count} published, {delivered} delivered, {duplicated} duplicated, {waiting} left in the queue",
    )
    if delivered == count and not waiting and shows_all:
        return EXIT_OK
    _say(console, (folder / "plugin.log").read_text())
    return EXIT_NO


def _say(console: Console, text: str) -> None:
    """Plain text: paths and output of other programs are no markup."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _write_config(
    folder: Path, credentials: Path, ca_file: Path, receiver: Receiver, cloud: LocalCloud, key: Organisation
) -> Path:
    """As a user would write it; only the CA is special here, the broker's certificate being a private one."""
    config = folder / "fluent-plugin-amp.yml"
    config.write_text(f"""\
streams:
  - credentials_file: {credentials.name}
    organisation: acme
    tls: {{ca_file: {ca_file}}}
forward:
  servers:
    - {{host: {receiver.host}, port: {receiver.port}}}
organisations:
  - name: acme
    cloud: {{api: "{cloud.url}"}}
    api: {{client_id: {key.client_id}, api_key_file: acme.key}}
    audit_logs: {{}}
    names: true
state: {{path: {folder}/state.db}}
observe: {{listen: null}}
""")
    key_file = folder / "acme.key"
    key_file.touch(mode=0o600)
    key_file.write_text(key.api_key)
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
            events = [event for event in receiver.received() if event.tag != AUDIT_TAG]
            for event in events[arrived.total() :][: max(0, SHOWN_EVENTS - arrived.total())]:
                _say(bar.console, f"  {event.tag}: {_shown(event.record)}")
            if len(events) > arrived.total():
                progress_at = time.monotonic()
            arrived = Counter(_identity(event.record) for event in events)
            bar.update(task, completed=len(arrived))
            if time.monotonic() - progress_at > PATIENCE_S:
                break
            time.sleep(POLL_S)
    return arrived


def _show_audit_entry(receiver: Receiver, console: Console) -> bool:
    """Wait for what the organisation's audit log tells, and show it; whether it came."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for event in receiver.received():
            if event.tag == AUDIT_TAG:
                _say(console, f"  {event.tag}: {json.dumps(event.record, ensure_ascii=False)}")
                return True
        time.sleep(POLL_S)
    return False


def _show_names(cloud: LocalCloud, key: Organisation, receiver: Receiver, console: Console) -> bool:
    """Publish an event of a group until one arrives with the group's name, and show that; whether it came.

    The first events are faster than the list of groups.
    """
    event = EventGenerator(seed=1).event() | {"group_guids": list(key.groups)[:1]}
    deadline = time.monotonic() + PATIENCE_S
    tried = 0
    while time.monotonic() < deadline:
        arrived = [each.record for each in receiver.received() if each.record.get("event_type") == "Try of names"]
        if len(arrived) >= tried:
            if arrived and arrived[-1]["names"].get("groups"):
                _say(console, f"  names: {json.dumps(arrived[-1]['names'], ensure_ascii=False)}")
                return True
            cloud.publish([json.dumps(event | {"id": tried, "event_type": "Try of names"}).encode()])
            tried += 1
        time.sleep(POLL_S)
    return False


def _identity(record: dict[str, Any]) -> str:
    """An event as text, without `names`: `id` alone will not do, some kinds have none."""
    return json.dumps({name: value for name, value in record.items() if name != "names"}, sort_keys=True)


def _shown(record: dict[str, Any]) -> str:
    computer = record.get("computer") or {}
    shown = {
        "id": record.get("id"),
        "event_type": record.get("event_type"),
        "date": record.get("date"),
        "hostname": computer.get("hostname"),
    }
    return json.dumps(shown, ensure_ascii=False)
