"""conf/rsyslog-devo.conf by real rsyslog: plain syslog in, TLS with a client certificate out."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.conf.ways import EVENTS, activate, need_output_plugin
from tests.conf.ways import send as send_events
from tests.servers import Server, find, fluentd, need, shipped

EVENT = b'{"id":1152921504606846977,"n":"a\\nb\\t%s","u":"\xc3\xbc"}' % (b"x" * 20_000)


@pytest.fixture
def receiver(certificates: Certificates) -> Iterator[SyslogReceiver]:
    """In Devo's place, demanding a client certificate."""
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        yield receiver


@pytest.fixture
def relay(tmp_path: Path, certificates: Certificates, receiver: SyslogReceiver) -> Iterator[tuple[Server, int]]:
    """rsyslog with the shipped file, and its port."""
    need("rsyslogd")
    if (
        not list(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so"))
        and not Path("/usr/lib/rsyslog/lmnsd_gtls.so").exists()
    ):
        pytest.skip("not run: needs rsyslog's TLS driver (Debian: rsyslog-gnutls)")
    port = free_port()
    (tmp_path / "spool").mkdir()
    replacements = {
        'port="10514"': f'port="{port}"',
        "/var/spool/rsyslog": str(tmp_path / "spool"),
        "/etc/rsyslog.d/devo/chain.crt": str(certificates.ca_file),
        "/etc/rsyslog.d/devo/mydomain.crt": str(certificates.client.cert_file),
        "/etc/rsyslog.d/devo/mydomain.key": str(certificates.client.key_file),
        "collector-us.devo.io": "localhost",
        'port="443"': f'port="{receiver.port}"',
        'action.resumeInterval="5"': 'action.resumeInterval="1"',
    }
    file = tmp_path / "rsyslog.conf"
    file.write_text(shipped("rsyslog-devo.conf", replacements))
    program = find("rsyslogd")
    assert program is not None
    command = [program, "-n", "-f", str(file), "-i", str(tmp_path / "pid")]
    with Server(tmp_path, command, port) as server:
        yield server, port
        print(server.log)


def send(port: int, *events: bytes) -> None:
    """Write events as the gem fluent-plugin-remote_syslog does."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        for event in events:
            link.sendall(b"<14>Jan  1 00:00:00 amp-forwarder edr.cisco.amp.events: " + event + b"\n")


def test_bytes_pass_unchanged(relay: tuple[Server, int], receiver: SyslogReceiver) -> None:
    """Header and event leave the relay as they came: 64-bit ids, UTF-8, escaped newlines, 20 kB whole."""
    send(relay[1], EVENT)
    assert receiver.wait_for(1) == [b"<14>Jan  1 00:00:00 amp-forwarder edr.cisco.amp.events: " + EVENT]


def test_receiver_down_and_up_again(relay: tuple[Server, int], receiver: SyslogReceiver) -> None:
    """What came while Devo was away waits in the relay, over its restart too, and is sent then."""
    server, port = relay
    receiver.stop()
    events = [b'{"id":%d}' % number for number in range(50)]
    send(port, *events)
    server.wait_for_log("Connection refused")
    server.stop()
    receiver.start()
    server.start()
    lines = receiver.wait_for(len(events))
    assert {line.rpartition(b": ")[2] for line in lines} == set(events)


def test_from_fluentd(relay: tuple[Server, int], receiver: SyslogReceiver, tmp_path: Path) -> None:
    """Way 4 of fluentd.conf: the plugin, Fluentd, this relay and the receiver, with the files as they are shipped."""
    need_output_plugin(tmp_path, "remote_syslog")
    folder = tmp_path / "fluentd"
    folder.mkdir()
    port = free_port()
    replacements = {
        "port 24224": f"port {port}",
        "port 10514": f"port {relay[1]}",
        "/var/lib/fluentd/buffer": str(folder / "buffer"),
    }
    with fluentd(folder, activate(shipped("fluentd.conf", replacements), 4), port):
        send_events(folder, port)
        lines = receiver.wait_for(len(EVENTS))
    for line, event in zip(lines, EVENTS, strict=True):
        header, _, body = line.partition(b"{")
        assert re.fullmatch(rb"<14>\w+ +\d+ [\d:]+ amp-forwarder edr\.cisco\.amp\.events: ", header), header
        assert json.loads(b"{" + body) == event
