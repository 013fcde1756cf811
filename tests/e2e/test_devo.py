"""RabbitMQ → plugin → Fluent Bit or Fluentd → TLS syslog: the bytes that reach a receiver in Devo's place.

Every server runs the configuration that is shipped in conf/, with the test's own ports, folders and certificates.
The receiver demands a client certificate.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.testing.certificates import Certificates, KeyPair, server_context
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.conf.ways import activate, fluent_bit_replacements
from tests.conftest import MakeStream
from tests.e2e.configs import FIRST_ID, bodies, configuration, stream_section
from tests.e2e.conftest import StartPlugin
from tests.servers import CONF, Server, fluent_bit, fluentd, shipped

HEADER = rb"<14>Jan  1 00:00:00 amp-forwarder edr\.cisco\.amp\.events: "
OUTAGE_S = 60.0
"""Patience after an outage: the frameworks retry at growing intervals."""

Start = Callable[["Way"], Server]

EVENTS: list[dict[str, Any]] = [
    {"id": FIRST_ID, "event_type_id": 2164260880, "event_type": "Quarantine Failure", "severity": "High"},
    {"id": 2**63 - 1, "computer": {"hostname": "Büro-7", "network_addresses": [{"ip": "10.0.0.1", "mac": ""}]}},
    {"id": FIRST_ID + 2, "file": {"file_path": '\\\\?\\C:\\a\nb\t"c".exe', "note": "x" * 20_000}},
]
NESTED = {"id": FIRST_ID, "computer": {"hostname": "h", "links": {"c": "u"}}, "tactics": ["TA0002", {"n": 1}]}
FLATTENED = {"id": FIRST_ID, "computer_hostname": "h", "computer_links_c": "u", "tactics": ["TA0002", {"n": 1}]}


@dataclass
class Way:
    """One way to the receiver: where it takes Forward, and what it needs."""

    folder: Path
    certificates: Certificates
    receiver: SyslogReceiver
    port: int
    client: KeyPair

    def devo(self) -> dict[str, str]:
        """What replaces Devo's address and the certificates in the files of conf/, for Fluent Bit."""
        return fluent_bit_replacements(self.folder, self.port, self.receiver.port, self.certificates, self.client)


def by_fluent_bit(way: Way) -> Server:
    """conf/fluent-bit.yaml."""
    return fluent_bit(way.folder, shipped("fluent-bit.yaml", way.devo()), way.port)


def by_fluent_bit_classic(way: Way) -> Server:
    """conf/fluent-bit.conf."""
    return fluent_bit(way.folder, shipped("fluent-bit.conf", way.devo()), way.port, name="fluent-bit.conf")


def by_fluentd_exec(way: Way) -> Server:
    """conf/fluentd.conf with its way 2, conf/devo-send.py."""
    text = activate(
        shipped(
            "fluentd.conf",
            {
                "port 24224": f"port {way.port}",
                "/var/lib/fluentd/buffer": str(way.folder / "buffer"),
                "python3 /etc/fluent/devo-send.py": f"{sys.executable} {CONF / 'devo-send.py'}",
                "collector-us.devo.io:443": f"localhost:{way.receiver.port}",
                "/etc/fluent/devo/chain.crt": str(way.certificates.ca_file),
                "/etc/fluent/devo/mydomain.crt": str(way.client.cert_file),
                "/etc/fluent/devo/mydomain.key": str(way.client.key_file),
            },
        ),
        2,
    )
    return fluentd(way.folder, text, way.port)


WAYS = [
    pytest.param(by_fluent_bit, id="fluent-bit"),
    pytest.param(by_fluentd_exec, id="fluentd"),
]


@pytest.fixture
def way(certificates: Certificates, tmp_path: Path) -> Iterator[Way]:
    """A receiver, and a folder for the server before it."""
    context = server_context(certificates.server, client_ca_file=certificates.ca_file)
    folder = tmp_path / "server"
    folder.mkdir()
    with SyslogReceiver(context) as receiver:
        yield Way(folder, certificates, receiver, free_port(), certificates.client)


@pytest.fixture
def start(way: Way) -> Iterator[Callable[[Start], Server]]:
    """Starts the server of a way; its log is shown when the test fails."""
    servers: list[Server] = []

    def go(make: Start) -> Server:
        servers.append(make(way).start())
        return servers[-1]

    yield go
    for server in servers:
        server.kill()
        print(server.log)


def message(line: bytes, header: bytes = HEADER) -> dict[str, Any]:
    """The event in a line, whose header must be as Devo wants it."""
    found = re.match(header, line)
    assert found, line[:200]
    event: dict[str, Any] = json.loads(line[found.end() :])
    return event


@pytest.mark.parametrize("make", [*WAYS, pytest.param(by_fluent_bit_classic, id="fluent-bit, classic format")])
def test_the_bytes(
    make: Start,
    start: Callable[[Start], Server],
    way: Way,
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    run: StartPlugin,
) -> None:
    """One event a line behind Devo's header: 64-bit ids exact, 20 kB whole, newlines escaped, UTF-8 kept.

    With the transforms of conf/devo.yml: names joined with "_", lists kept, @devo_pulling_id added.
    """
    start(make)
    plain, flattened = make_stream(), make_stream()
    transform = yaml.safe_load((CONF / "devo.yml").read_text())["transform"]
    streams = [
        stream_section(plain, way.certificates),
        stream_section(flattened, way.certificates, transform=transform),
    ]
    broker.publish(plain.queue, [json.dumps(event).encode() for event in EVENTS])
    broker.publish(flattened.queue, [json.dumps(NESTED).encode()])
    run(configuration(streams, {"host": "127.0.0.1", "port": way.port}))
    lines = way.receiver.wait_for(len(EVENTS) + 1)
    records = [message(line) for line in lines]
    flat = next(record for record in records if "@devo_pulling_id" in record)
    records.remove(flat)
    assert records == EVENTS
    assert any(b'edr.cisco.amp.events: {"id":%d,' % FIRST_ID in line for line in lines)
    assert max(map(len, lines)) > 20_000
    assert re.fullmatch(r"\d+\.\d+", flat.pop("@devo_pulling_id"))
    assert flat == FLATTENED


@pytest.mark.parametrize("make", WAYS)
def test_receiver_down_and_up_again(
    make: Start,
    start: Callable[[Start], Server],
    way: Way,
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    run: StartPlugin,
) -> None:
    """What the framework accepted while nobody received arrives whole once somebody does, a crash in between."""
    server = start(make)
    stream = make_stream()
    run(configuration(stream_section(stream, way.certificates), {"host": "127.0.0.1", "port": way.port}))
    broker.publish(stream.queue, bodies(1))
    way.receiver.wait_for(1)
    way.receiver.stop()
    # The first write after a crash of the receiver may vanish in the socket: this event pays for that.
    broker.publish(stream.queue, bodies(1, first=1))
    broker.wait_for_depth(stream.queue, lambda depth: depth.ready + depth.unacked == 0)
    broker.publish(stream.queue, bodies(200, first=2))
    broker.wait_for_depth(stream.queue, lambda depth: depth.ready + depth.unacked == 0)
    server.kill()
    way.receiver.start()
    server.start()
    wanted = {FIRST_ID + number for number in range(2, 202)}

    def arrived() -> bool:
        return wanted <= {message(line)["id"] for line in way.receiver.lines}

    server.wait_until(arrived, "delivering what it had accepted", OUTAGE_S)


def test_without_a_trusted_certificate_nothing_is_received(
    way: Way, start: Callable[[Start], Server], broker: PrivateRabbitMQ, make_stream: MakeStream, run: StartPlugin
) -> None:
    """A client certificate of another authority is refused by the receiver, and the event waits in Fluent Bit."""
    way.client = way.certificates.untrusted_client
    server = start(by_fluent_bit)
    stream = make_stream()
    broker.publish(stream.queue, bodies(1))
    run(configuration(stream_section(stream, way.certificates), {"host": "127.0.0.1", "port": way.port}))
    server.wait_until(lambda: len(way.receiver.refusals) > 0, "refused by the receiver")
    assert way.receiver.lines == []


def test_strict_syslog_by_fluent_bit(
    way: Way,
    start: Callable[[Start], Server],
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    run: StartPlugin,
) -> None:
    """conf/fluent-bit-syslog.yaml with `serialize: message`: strict RFC 3164, nothing cut."""
    start(lambda way: fluent_bit(way.folder, shipped("fluent-bit-syslog.yaml", way.devo()), way.port))
    stream: StreamCredentials = make_stream()
    events = [{"id": FIRST_ID, "computer": {"hostname": "Büro-7"}}, {"id": FIRST_ID + 1, "note": "x\ny" * 7000}]
    broker.publish(stream.queue, [json.dumps(event).encode() for event in events])
    server = {"host": "127.0.0.1", "port": way.port}
    config = configuration(stream_section(stream, way.certificates), server)
    run({**config, "transform": {"serialize": "message"}})
    header = rb"<14>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d amp-forwarder edr\.cisco\.amp\.events: "
    assert [message(line, header) for line in way.receiver.wait_for(2)] == events
