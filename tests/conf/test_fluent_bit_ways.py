"""Shaped events from the plugin through real Fluent Bit to stores and collectors: each takes every record whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.ports import free_port
from tests.conf.ways import need_fluent_bit_output, send
from tests.pipeline.shape.ecs_schema import faults as ecs_faults
from tests.pipeline.shape.ocsf_schema import faults as ocsf_faults
from tests.servers import fluent_bit, shipped

Record = dict[str, Any]

SECRET = "secret"
BASIC = "Basic Zmx1ZW50OnNlY3JldA=="
_GENERATOR = EventGenerator(1)
WITHOUT_ID = {name: value for name, value in _GENERATOR.event(1107296344).items() if name != "id"}
EVENTS = [WITHOUT_ID, *(_GENERATOR.event() for _ in range(40))]


class Handler(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Refuse the first request, and take the others."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, StandIn)
        server.requests += 1
        is_refused = server.requests == 1
        if not is_refused:
            server.bodies.append((self.path, self.headers["Authorization"], body))
        answer = json.dumps({"took": 1, "errors": False, "items": []}).encode()
        self.send_response(503 if is_refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class StandIn(ThreadingHTTPServer):
    """In place of a store or a collector; without certificates over plain HTTP."""

    def __init__(self, certificates: Certificates | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0
        self.bodies: list[tuple[str, str, bytes]] = []
        """Path, authorization, body."""
        if certificates is not None:
            self.socket = server_context(certificates.server).wrap_socket(self.socket, server_side=True)


def deliver(
    tmp_path: Path,
    name: str,
    schema: str,
    certificates: Certificates | None,
    records_in: Callable[[bytes], list[Any]],
    **more: str,
) -> tuple[StandIn, list[Any]]:
    """Send all events through the configuration ``name``; the stand-in, and the records in what it took."""
    with StandIn(certificates) as stand_in:
        Thread(target=stand_in.serve_forever, daemon=True).start()
        port = free_port()
        replacements = {
            "/var/lib/fluent-bit/storage": str(tmp_path / "storage"),
            "24224": str(port),
            **{old: new.replace("PORT", str(stand_in.server_port)) for old, new in more.items()},
        }
        if certificates is not None:
            replacements |= {
                "siem.example": "localhost",
                "# tls.ca_file: /etc/fluent-bit/siem.crt ": f"tls.ca_file: {certificates.ca_file} #",
                "${SIEM_TOKEN}": SECRET,
            }
        text = shipped(name, replacements).replace("/var/lib/fluent-bit", str(tmp_path))

        def records() -> list[Any]:
            return [record for _, _, body in [*stand_in.bodies] for record in records_in(body)]

        with fluent_bit(tmp_path, text, port) as server:
            send(tmp_path, port, EVENTS, transform={"shape": schema})
            server.wait_until(lambda: len(records()) >= len(EVENTS), "delivering", 90.0)
        stand_in.shutdown()
    assert stand_in.requests > 1
    return stand_in, records()


@pytest.mark.parametrize(
    ("output", "schema", "faults"), [("es", "ecs", ecs_faults), ("opensearch", "ocsf", ocsf_faults)]
)
def test_search_engines(
    output: str, schema: str, faults: Callable[[Record], list[str]], tmp_path: Path, certificates: Certificates
) -> None:
    """Each record goes to the index of its day under its event's id, and holds to its schema but for the time."""
    need_fluent_bit_output(output)
    name = f"fluent-bit-{output}.yaml"
    stand_in, records = deliver(tmp_path, name, schema, certificates, bulk, **{"9200": "PORT"})
    assert {(path, authorization) for path, authorization, _ in stand_in.bodies} == {("/_bulk", BASIC)}
    ids = sorted(action["_id"] for action, _ in records if "_id" in action)
    assert ids == sorted(str(event["id"]) for event in EVENTS if "id" in event)
    assert all(action["_index"].startswith("cisco-amp-20") for action, _ in records)
    for _, record in records:
        assert record.pop("received_time")
        assert faults(record) == []


def bulk(body: bytes) -> list[tuple[Record, Record]]:
    """Actions and documents of a bulk request."""
    lines = [json.loads(line) for line in body.splitlines()]
    return [(action["index"], record) for action, record in zip(lines[::2], lines[1::2], strict=True)]


def test_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are gzip of one record a line."""
    need_fluent_bit_output("s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    more = {
        "# endpoint: https://s3.example ": "endpoint: http://127.0.0.1:PORT #",
        "upload_timeout: 1m": "upload_timeout: 2s",
    }
    stand_in, records = deliver(tmp_path, "fluent-bit-s3.yaml", "ocsf", None, lines_of_gzip, **more)
    assert all(path.startswith("/siem-bucket/cisco-amp/20") for path, _, _ in stand_in.bodies)
    assert [ocsf_faults(record) for record in records] == [[]] * len(EVENTS)


def lines_of_gzip(body: bytes) -> list[Record]:
    """The records of one object."""
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


def test_opentelemetry(tmp_path: Path, certificates: Certificates) -> None:
    """Each record is the body of a log record, with the time of the event."""
    need_fluent_bit_output("opentelemetry")
    stand_in, records = deliver(
        tmp_path, "fluent-bit-opentelemetry.yaml", "ocsf", certificates, log_records, **{"4318": "PORT"}
    )
    assert {(path, authorization) for path, authorization, _ in stand_in.bodies} == {("/v1/logs", f"Bearer {SECRET}")}
    seconds = {nanoseconds // 1_000_000_000 for nanoseconds, _ in records}
    assert seconds == {event["timestamp"] for event in EVENTS}
    for _, record in records:
        assert ocsf_faults(record) == []


def log_records(body: bytes) -> list[tuple[int, Record]]:
    """Time and body of each log record of an export request."""
    logs = [log for one in fields(body, 1) for scope in fields(one, 2) for log in fields(scope, 2)]
    return [(int.from_bytes(fields(log, 1)[0], "little"), value_of(fields(log, 5)[0])) for log in logs]


def value_of(value: bytes) -> Any:
    """An OTLP ``AnyValue``."""
    for number, content in messages(value):
        match number:
            case 1:
                return content.decode()
            case 2:
                return bool(content[0])
            case 3:
                return int.from_bytes(content, "little", signed=True)
            case 4:
                return float(memoryview(content).cast("d")[0])
            case 5:
                return [value_of(each) for each in fields(content, 1)]
            case 6:
                pairs = fields(content, 1)
                return {fields(pair, 1)[0].decode(): value_of(fields(pair, 2)[0]) for pair in pairs}
    return None


def fields(message: bytes, number: int) -> list[bytes]:
    """What a protobuf message has under a number."""
    return [content for each, content in messages(message) if each == number]


def messages(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field; numbers as 8 bytes, little-endian."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            value, at = varint(message, at)
            yield key >> 3, value.to_bytes(8, "little")
            continue
        length = {1: 8, 5: 4}.get(key & 7)
        if length is None:
            length, at = varint(message, at)
        yield key >> 3, message[at : at + length]
        at += length


def varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        shift += 7
        at += 1
        if message[at - 1] < 128:
            return value, at
