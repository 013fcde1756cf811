"""`run --supervised`: a child that does not outlive its parent, and real Fluentd as that parent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.ports import free_ports
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.receivers import BuiltInReceiver
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.conftest import MakeStream
from tests.e2e.configs import FIRST_ID, bodies, configuration, ids_of, stream_section
from tests.servers import CONF, Server, fluentd, shipped

PARENT = """
import subprocess, sys, time
process = subprocess.Popen(sys.argv[1:])
print(process.pid, flush=True)
time.sleep(60)
"""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Until ``condition`` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not asked for its exit code counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command(config: Path) -> list[str]:
    """What a parent executes."""
    return [sys.executable, "-m", "fluent_plugin_amp", "run", "--supervised", "-c", str(config)]


@pytest.mark.parametrize("server", ["idle", "frozen"])
def test_it_ends_with_its_parent(
    server: str, tmp_path: Path, broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """After a kill -9 of the parent the plugin stops by itself, and what nobody acknowledges any more goes back."""
    stream = make_stream()
    config = tmp_path / "config.yml"
    keys = {"url": stream.url, "username": stream.username, "password": stream.password, "queue": stream.queue}
    receiver = BuiltInReceiver(tmp_path / "receiver")
    receiver.start()
    config.write_text(yaml.safe_dump(configuration(keys, receiver, shutdown_timeout="5m")))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        broker.publish(stream.queue, bodies(1))
        broker.wait_for_depth(stream.queue, lambda depth: depth.consumers == 1 and not depth.ready + depth.unacked)
        if server == "frozen":
            assert receiver._process is not None
            receiver._process.send_signal(signal.SIGSTOP)
            broker.publish(stream.queue, bodies(5, first=1))
            broker.wait_for_depth(stream.queue, lambda depth: depth.unacked == 5)
        parent.kill()
        wait_until(lambda: not is_running(child), "the plugin outlives its parent")
        left = 5 if server == "frozen" else 0
        broker.wait_for_depth(stream.queue, lambda depth: depth == (left, 0, 0))
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()
        receiver.kill()


class Supervised:
    """Real Fluentd with conf/fluentd-supervised.conf; its <match> leads to a receiver that writes what comes."""

    def __init__(self, folder: Path, stream: StreamCredentials, certificates: Certificates) -> None:
        port, behind = free_ports(2)
        config = folder / "config.yml"
        section = stream_section(stream, certificates)
        server = {"host": "127.0.0.1", "port": port}
        config.write_text(yaml.safe_dump(configuration(section, server, shutdown_timeout="5s")))
        self.config = config
        self.receiver = BuiltInReceiver(folder / "receiver", port=behind)
        text = shipped(
            "fluentd-supervised.conf",
            {
                "port 24224": f"port {port}",
                "port 24225": f"port {behind}",
                "fluent-plugin-amp run --supervised -c /etc/fluent-plugin-amp/config.yml": " ".join(command(config)),
                "run_interval 10s": "run_interval 1s",
                "/var/lib/fluentd/buffer": str(folder / "buffer"),
            },
        )
        environment = {"PYTHONPATH": str(CONF.parent)}
        self.server: Server = fluentd(folder, text, port, environment=environment)

    def plugins(self) -> list[int]:
        """The processes of the plugin that run with this configuration."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.config).encode() in arguments and is_running(int(path.parent.name)):
                found.append(int(path.parent.name))
        return found

    def plugin(self) -> int:
        """The one plugin, once it is there."""
        wait_until(lambda: len(self.plugins()) == 1, f"Fluentd runs {self.plugins()}:\n{self.server.log}")
        return self.plugins()[0]

    def has(self, *ids: int) -> bool:
        """Whether all these events have come through."""
        return set(ids) <= set(ids_of(event.record for event in self.receiver.received()))


@pytest.fixture
def supervised(tmp_path: Path, make_stream: MakeStream, certificates: Certificates) -> Iterator[Supervised]:
    """Fluentd with the plugin as its child."""
    stream = make_stream()
    service = Supervised(tmp_path, stream, certificates)
    service.receiver.start()
    with service.server:
        yield service
        for pid in service.plugins():
            os.kill(pid, signal.SIGKILL)
    service.receiver.kill()
    print(service.server.log)


def test_under_fluentd(supervised: Supervised, broker: PrivateRabbitMQ) -> None:
    """A plugin that died is started again, Fluentd's log stays silent about it, and no orphan is left behind."""
    first = supervised.plugin()
    queue = yaml.safe_load(supervised.config.read_text())["streams"][0]["queue"]
    broker.publish(queue, bodies(3))
    wait_until(lambda: supervised.has(FIRST_ID, FIRST_ID + 2), "the first events come through")

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervised.plugins() not in ([], [first]), "the plugin is started again")
    broker.publish(queue, bodies(3, first=3))
    wait_until(lambda: supervised.has(FIRST_ID + 3, FIRST_ID + 5), "events after the restart come through")

    log = supervised.server.log
    complaints = [line for line in log.splitlines() if re.search(r"\[(warn|error|fatal)\]", line)]
    assert complaints == []
    lines = re.findall(r"fluent_plugin_amp\.log: (\{.*\})", log)
    assert any("started: 1 stream" in json.loads(line)["message"] for line in lines)

    second = supervised.plugin()
    supervised.server.kill()
    wait_until(lambda: not is_running(second), "the plugin outlives Fluentd")
    broker.wait_for_depth(queue, lambda depth: depth.consumers == 0)
