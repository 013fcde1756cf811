"""The Fluent Bit files of conf/, each by real Fluent Bit; tests/e2e/test_devo.py has more of the ways to Devo."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.conf.ways import (
    ENVIRONMENT,
    EVENTS,
    events_of,
    fluent_bit_replacements,
    need_fluent_bit_output,
    plugin_command,
    send,
    write_config,
)
from tests.pipeline.shape.ecs_schema import faults as ecs_faults
from tests.pipeline.shape.ocsf_schema import faults as ocsf_faults
from tests.servers import CONF, fluent_bit, need, shipped

OUTPUTS = {f"fluent-bit-{name}.yaml": name for name in ("es", "opensearch", "s3", "opentelemetry")}
"""Not every build has them; test_fluent_bit_ways.py sends records through them."""

FILES = [
    *OUTPUTS,
    *("fluent-bit.yaml", "fluent-bit.conf", "fluent-bit-syslog.yaml", "fluent-bit-http.yaml"),
    "fluent-bit-stdin.yaml",
]


def test_every_file_is_known() -> None:
    """A Fluent Bit file that is added to conf/ must be added here."""
    assert {path.name for path in CONF.glob("fluent-bit*")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_it_is_valid(name: str) -> None:
    """`fluent-bit --dry-run` takes the file as it is shipped."""
    need("fluent-bit")
    if name in OUTPUTS:
        need_fluent_bit_output(OUTPUTS[name])
    command = ["fluent-bit", "--dry-run", "-c", str(CONF / name)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "configuration test is successful" in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["fluent-bit.yaml", "fluent-bit.conf"])
def test_both_formats_say_the_same(name: str) -> None:
    """No property of the yaml file is missing in the classic one, nor the other way round."""
    words = {line.split("#")[0].strip().lower() for line in (CONF / name).read_text().splitlines()}
    keys = {word.lstrip("- ").split(":")[0].split(" ")[0] for word in words if word and word[0] not in "[{"}
    sections = {"service", "pipeline", "inputs", "outputs", "processors", "logs", "match", "name"}
    expected = {
        *("flush", "grace", "log_level", "storage.path", "storage.sync", "storage.max_chunks_up"),
        *("storage.backlog.mem_limit", "scheduler.base", "scheduler.cap", "listen", "port", "storage.type"),
        *("operation", "wildcard", "nest_under", "host", "raw_message_key", "workers", "tls", "tls.verify"),
        *("tls.verify_hostname", "tls.ca_file", "tls.crt_file", "tls.key_file", "net.connect_timeout"),
        *("net.keepalive_idle_timeout", "retry_limit"),
    }
    assert keys - sections == expected


def test_dead_letters_go_to_devo_too(tmp_path: Path, certificates: Certificates) -> None:
    """What cannot be sent as an event arrives under its own Devo tag."""
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        port = free_port()
        text = shipped("fluent-bit.yaml", fluent_bit_replacements(tmp_path, port, receiver.port, certificates))
        with fluent_bit(tmp_path, text, port):
            send(tmp_path, port, [{"too large": 2**64}])
            header = b"<14>Jan  1 00:00:00 amp-forwarder edr.cisco.amp.dead_letters: "
            letter = events_of(receiver.wait_for(1), header)[0]
    assert json.loads(letter["body"]) == {"too large": 2**64}


class SiemHandler(BaseHTTPRequestHandler):
    """Refuses the first request, and takes the others."""

    def do_POST(self) -> None:
        """Keep the records."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, Siem)
        server.requests += 1
        self.send_response(503 if server.requests == 1 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if server.requests > 1 and self.headers["Authorization"] == "Bearer secret":
            server.records += [json.loads(line) for line in body.splitlines()]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Siem(ThreadingHTTPServer):
    """Takes JSON over HTTPS."""

    def __init__(self, certificates: Certificates) -> None:
        super().__init__(("127.0.0.1", 0), SiemHandler)
        self.requests = 0
        self.records: list[dict[str, Any]] = []
        self.socket = server_context(certificates.server).wrap_socket(self.socket, server_side=True)


@pytest.mark.parametrize(("schema", "faults"), [("ocsf", ocsf_faults), ("ecs", ecs_faults)], ids=["ocsf", "ecs"])
def test_shaped_events_over_http(
    schema: str, faults: Callable[[dict[str, Any]], list[str]], tmp_path: Path, certificates: Certificates
) -> None:
    """Every record arrives as its schema wants it, ids exact, after the receiver had refused the first request."""
    generator = EventGenerator(1)
    events = [generator.event() for _ in range(150)]
    with Siem(certificates) as siem:
        Thread(target=siem.serve_forever, daemon=True).start()
        port = free_port()
        replacements = {
            "siem.example": "localhost",
            "443": str(siem.server_port),
            "# tls.ca_file: /etc/fluent-bit/siem.crt ": f"tls.ca_file: {certificates.ca_file} #",
            "${SIEM_TOKEN}": "secret",
            "/var/lib/fluent-bit/storage": str(tmp_path / "storage"),
            "24224": str(port),
        }
        text = shipped("fluent-bit-http.yaml", replacements).replace("/var/lib/fluent-bit", str(tmp_path))
        with fluent_bit(tmp_path, text, port) as server:
            send(tmp_path, port, [*events, {"too large": 2**64}], transform={"shape": schema})
            server.wait_until(lambda: len(siem.records) >= len(events), "delivering", 90.0)
            letters = tmp_path / "dead_letters.log"
            server.wait_until(lambda: letters.exists() and "too large" in letters.read_text(), "writing dead letters")
        siem.shutdown()
    assert siem.requests > 1
    assert [faults(record) for record in siem.records] == [[]] * len(events)
    ids = [
        (record.get("metadata") or record["event"]).get("uid" if schema == "ocsf" else "id")
        for record in siem.records
    ]
    assert sorted(filter(None, ids)) == sorted(str(event["id"]) for event in events if "id" in event)


def test_the_pipe(tmp_path: Path) -> None:
    """Everything that the plugin writes to its standard output comes out of Fluent Bit, in one burst and whole."""
    need("fluent-bit")
    events = EVENTS * 50
    lines = "".join(json.dumps(event) + "\n" for event in events).encode()
    replay = plugin_command("replay", write_config(tmp_path, 1), "--stdout", "json", "-")
    piped = subprocess.run(replay, input=lines, env=ENVIRONMENT, capture_output=True, check=True, timeout=60)
    # cat keeps the pipe open for a moment: at its end Fluent Bit stops at once.
    command = f"(cat; sleep 1.5) | fluent-bit -c {CONF / 'fluent-bit-stdin.yaml'}"
    result = subprocess.run(["sh", "-c", command], input=piped.stdout, capture_output=True, check=True, timeout=60)
    records = [json.loads(line) for line in result.stdout.splitlines() if line.startswith(b"{")]
    assert [record["id"] for record in records] == [event["id"] for event in events]
    assert {record["tag"] for record in records} == {"edr.cisco.amp.events"}
    assert records[1]["file"] == EVENTS[1]["file"]
