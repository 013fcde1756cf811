"""The Forward server as a process: it serves, reports, records before it acknowledges, and ends."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.waiting import DEADLINE_S


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port; killed if the test did not end it."""
    command = [sys.executable, "-m", "fluent_plugin_amp.testing.fluentd", "--print-port", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def next_report(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line it prints."""
    assert process.stdout is not None
    report: dict[str, Any] = json.loads(process.stdout.readline())
    return report


def deliver(port: int, *records: dict[str, Any], tag: str = "tag") -> None:
    """Send a chunk and wait for its ack."""
    packed = b"".join(b"\x92\xd7\x00\0\0\0\x01\0\0\0\x02" + msgpack.packb(record) for record in records)
    message = msgpack.packb([tag, packed, {"size": len(records), "chunk": "aWQ="}])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        connection.sendall(message)
        assert connection.recv(100) == b"\x81\xa3ack\xa4aWQ="


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_counts_and_reports(end: signal.Signals) -> None:
    """On SIGUSR1 and at the end, one line of JSON each."""
    with running() as (process, port):
        deliver(port, {"n": 1}, {"n": 2})
        process.send_signal(signal.SIGUSR1)
        report = next_report(process)
        assert (report["chunks"], report["events"], report["violations"]) == (1, 2, [])
        assert report["first_at"] == report["last_at"] > 1e9
        deliver(port, {"n": 3})
        process.send_signal(end)
        report = next_report(process)
        assert (report["connections"], report["chunks"], report["repeated_chunks"]) == (2, 2, 1)
        assert process.wait(DEADLINE_S) == 0


def test_it_can_end_with_its_standard_input() -> None:
    """So that it does not outlive who started it."""
    with running("--until-eof") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert next_report(process)["connections"] == 0
        assert process.wait(DEADLINE_S) == 0


def test_what_was_acknowledged_was_recorded(tmp_path: Path) -> None:
    """A SIGKILL right after the ack loses nothing of either file; a new process appends."""
    events, ids = tmp_path / "events", tmp_path / "ids"
    records: list[dict[str, Any]] = [
        {"id": 6533241145273614340, "name": "ü"},
        {"body": "without an id"},
        {"error_id": "event.not-json", "body": '{"id":77,}'},
    ]
    for record in records:
        with running("--record", str(events), "--ids", str(ids)) as (process, port):
            deliver(port, record)
            process.kill()
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert lines == [{"tag": "tag", "time": [1, 2], "record": record} for record in records]
    columns = [line.split("\t") for line in ids.read_text().splitlines()]
    assert [column[:3] for column in columns] == [
        ["6533241145273614340", "tag", "1000000002"],
        ["-", "tag", "1000000002"],
        ["77", "tag", "1000000002"],
    ]
    assert int(columns[0][3]) < int(columns[1][3])
    assert columns[0][4] == "aWQ="


def test_what_cannot_be_recorded_is_not_acknowledged(tmp_path: Path) -> None:
    """A broken entry closes the connection and is reported, as it would not be without recording."""
    with running("--ids", str(tmp_path / "ids")) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
            connection.sendall(msgpack.packb(["tag", b"\x92\x01\x02", {"size": 1, "chunk": "aWQ="}]))
            assert connection.recv(100) == b""
        process.send_signal(signal.SIGUSR1)
        [violation] = next_report(process)["violations"]
        assert "cannot be recorded" in violation


def test_tls_and_a_shared_key_can_be_demanded(tmp_path: Path) -> None:
    """With the certificate given, the server speaks first, and refuses who does not know the key."""
    certificates = make_certificates(tmp_path)
    pair = certificates.server
    options = ["--tls-cert", str(pair.cert_file), "--tls-key", str(pair.key_file), "--shared-key", "key"]
    with running(*options, "--user", "amp:password") as (_, port):
        context = ssl.create_default_context(cafile=certificates.ca_file)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            helo, options_ = msgpack.unpackb(secured.recv(1000), raw=True)
            assert (helo, len(options_[b"auth"])) == (b"HELO", 16)
            secured.sendall(msgpack.packb(["PING", "client", "salt", "digest", "amp", "digest"]))
            assert msgpack.unpackb(secured.recv(1000))[:3] == ["PONG", False, "shared_key mismatch"]
