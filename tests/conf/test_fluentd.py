"""The Fluentd files of conf/, each by real Fluentd; way 2 and fluentd-supervised.conf run in tests/e2e."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.ports import free_ports
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.receivers import whole_lines
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.conf.ways import (
    ENVIRONMENT,
    EVENTS,
    activate,
    events_of,
    fluent_bit_replacements,
    need_output_plugin,
    plugin_command,
    send,
    with_label,
    write_config,
)
from tests.conftest import MakeStream
from tests.e2e.configs import stream_section
from tests.servers import CONF, fluent_bit, fluentd, need, shipped

FILES = {"fluentd.conf", "fluentd-supervised.conf", "fluentd-exec.conf"}
GEMS = {4: "remote_syslog", 5: "devo"}


def test_every_file_is_known() -> None:
    """A Fluentd file that is added to conf/ must be added here, or to tests/e2e."""
    assert {path.name for path in CONF.glob("fluentd*")} == FILES


@pytest.mark.parametrize("way", [1, 2, 3, 4, 5, 6])
def test_activate(way: int) -> None:
    """Each way of fluentd.conf is one <match> for every tag of the plugin's events; the others are comments."""
    text = activate((CONF / "fluentd.conf").read_text(), way)
    active = [line for line in text.splitlines() if re.match(r"\s*[^#\s]", line)]
    assert active.count("<match edr.cisco.amp.**>") == 1
    assert active.count("</match>") == 2


@pytest.mark.parametrize("way", sorted(GEMS))
def test_ways_that_need_a_gem_are_valid(way: int, tmp_path: Path) -> None:
    """`fluentd --dry-run` takes them, and knows each of their parameters, where the gem is installed."""
    need_output_plugin(tmp_path, GEMS[way])
    file = tmp_path / "fluentd.conf"
    file.write_text(activate((CONF / "fluentd.conf").read_text(), way).replace("/var/lib/fluentd", str(tmp_path)))
    command = ["fluentd", "--dry-run", "-c", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout
    assert "is not used" not in result.stdout


def test_by_devos_own_gem(tmp_path: Path, certificates: Certificates) -> None:
    """Way 5: over TLS with the client certificate, each event whole, under the tag with its colon."""
    need_output_plugin(tmp_path, "devo")
    port, _ = free_ports(2)
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        replacements = {
            "port 24224": f"port {port}",
            "collector-us.devo.io": "localhost",
            "port 443": f"port {receiver.port}",
            "/etc/fluent/devo/chain.crt": str(certificates.ca_file),
            "/etc/fluent/devo/mydomain.crt": str(certificates.client.cert_file),
            "/etc/fluent/devo/mydomain.key": str(certificates.client.key_file),
        }
        text = activate(shipped("fluentd.conf", replacements), 5)
        with fluentd(tmp_path, text, port):
            send(tmp_path, port, transform={"add": {"app_name": "edr.cisco.amp.events:"}})
            lines = receiver.wait_for(len(EVENTS))
    for line, event in zip(lines, EVENTS, strict=True):
        header, _, body = line.partition(b"{")
        assert re.fullmatch(rb"<14>\w+ +\d+ [\d:]+ amp-forwarder edr\.cisco\.amp\.events: ", header), header
        assert json.loads(b"{" + body) == {**event, "app_name": "edr.cisco.amp.events:"}


def test_by_fluent_bit(tmp_path: Path, certificates: Certificates) -> None:
    """Way 1: Fluentd to Fluent Bit to the receiver, with the two files as they are shipped."""
    need("fluentd", "fluent-bit")
    port, behind = free_ports(2)
    first, second = tmp_path / "fluentd", tmp_path / "fluent-bit"
    first.mkdir()
    second.mkdir()
    replacements = {
        "port 24224": f"port {port}",
        "port 24225": f"port {behind}",
        "/var/lib/fluentd/buffer": str(first / "buffer"),
    }
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        bit = shipped("fluent-bit.yaml", fluent_bit_replacements(second, behind, receiver.port, certificates))
        with fluent_bit(second, bit, behind), fluentd(first, shipped("fluentd.conf", replacements), port):
            send(tmp_path, port)
            header = b"<14>Jan  1 00:00:00 amp-forwarder edr.cisco.amp.events: "
            assert events_of(receiver.wait_for(len(EVENTS)), header) == EVENTS


@pytest.mark.parametrize("labelled", [False, True], ids=["as shipped", "beside a <match **>"])
def test_to_files(tmp_path: Path, labelled: bool) -> None:
    """Way 6: one event a line, 64-bit ids exact; with the label a <match **> before it takes none of them."""
    port, _ = free_ports(2)
    replacements = {
        "port 24224": f"port {port}",
        "flush_interval 60s": "flush_interval 1s",
        "/var/log/fluentd": str(tmp_path / "files"),
        "/var/lib/fluentd/buffer": str(tmp_path / "buffer"),
    }
    text = activate(shipped("fluentd.conf", replacements), 6)
    if labelled:
        text = "<match **>\n  @type null\n</match>\n" + with_label(text)
    with fluentd(tmp_path, text, port) as server:
        send(tmp_path, port)
        server.wait_until(lambda: len(_lines(tmp_path / "files")) == len(EVENTS), "writing the files")
    assert [json.loads(line) for line in _lines(tmp_path / "files")] == EVENTS


def _lines(folder: Path) -> list[str]:
    return [line for file in folder.glob("edr.cisco.amp.events.*.log") for line in whole_lines(file)]


class HttpEndpoint:
    """Stands in for Devo's HTTP endpoint: refuses the first request, takes the others."""

    def __init__(self, certificates: Certificates) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.taken = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = server_context(certificates.server)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.requests.append((self.path, self.headers["content-type"], body))
                self.send_response(403 if len(endpoint.requests) == 1 else 200)
                self.send_header("content-length", "0")
                self.end_headers()
                if len(endpoint.requests) > 1:
                    endpoint.taken.set()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        return Handler


@pytest.fixture
def endpoint(certificates: Certificates) -> Iterator[HttpEndpoint]:
    """An endpoint that listens."""
    endpoint = HttpEndpoint(certificates)
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


def test_over_http(tmp_path: Path, certificates: Certificates, endpoint: HttpEndpoint) -> None:
    """Way 3: one event a line under the tag's own address; a refusal such as 403 is tried again, not dropped."""
    port, _ = free_ports(2)
    replacements = {
        "port 24224": f"port {port}",
        "https://http-us.devo.io/": f"https://localhost:{endpoint.port}/",
        "/var/lib/fluentd/buffer": str(tmp_path / "buffer"),
    }
    text = activate(shipped("fluentd.conf", replacements), 3)
    with fluentd(tmp_path, text, port, environment={"SSL_CERT_FILE": str(certificates.ca_file)}) as server:
        send(tmp_path, port)
        server.wait_until(endpoint.taken.is_set, "taken by the endpoint")
    path, content_type, body = endpoint.requests[-1]
    assert path == "/stream/mydomain/token!mytoken/amp-forwarder/edr.cisco.amp.events"
    assert content_type == "application/x-ndjson"
    assert [json.loads(line) for line in body.splitlines()] == EVENTS
    assert endpoint.requests[0] == endpoint.requests[1]


def test_the_pipe(
    tmp_path: Path, broker: PrivateRabbitMQ, make_stream: MakeStream, certificates: Certificates
) -> None:
    """fluentd-exec.conf: events come through the pipe with their own time and tag, 64-bit ids exact."""
    stream = make_stream()
    config = write_config(tmp_path, 1, streams=[stream_section(stream, certificates)])
    event = {"timestamp": 1700000000, "timestamp_nanoseconds": 123456789, **EVENTS[0]}
    broker.publish(stream.queue, [json.dumps(event).encode()])
    text = shipped(
        "fluentd-exec.conf",
        {
            "fluent-plugin-amp run --supervised --stdout msgpack -c /etc/fluent-plugin-amp/config.yml": " ".join(
                plugin_command("run", config, "--supervised", "--stdout", "msgpack")
            ),
            "run_interval 10s": "run_interval 1s",
        },
    )
    with fluentd(tmp_path, text, environment=ENVIRONMENT) as server:
        server.wait_for_log("edr.cisco.amp.events: {")
        line = next(line for line in server.log.splitlines() if "edr.cisco.amp.events: {" in line)
        server.stop()
    time_and_tag, _, record = line.partition(": ")
    assert time_and_tag == "2023-11-14 22:13:20.123456789 +0000 edr.cisco.amp.events"
    assert json.loads(record) == event
