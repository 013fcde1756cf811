"""The commands as a user meets them: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgpack
import pytest
import yaml

from fluent_plugin_amp.errors import EXIT_CONFIG, EXIT_NO, EXIT_OK, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_USAGE
from fluent_plugin_amp.pipeline.dead_letters import original_body
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.reactions import NoAck
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import Rig, StartPlugin
from tests.e2e.plugin import Plugin

EVENTS = 50
PYTHON = (sys.executable, "-m", "fluent_plugin_amp")
EVENT = {
    "id": 6533241145273614340,
    "timestamp": 1593079552,
    "timestamp_nanoseconds": 619000000,
    "computer": {"os": "x"},
}
EVENT_TIME = "2020-06-25T10:05:52.619000000Z"


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


Finish = Callable[..., Awaitable[Finished]]


@pytest.fixture
def finish(tmp_path: Path) -> Finish:
    """Runs a command to its end: ``await finish(config, "check", "--json")``; None is no configuration."""
    numbers = count(1)

    async def finish(config: dict[str, Any] | None, command: str, *arguments: str, stdin: bytes = b"") -> Finished:
        if config is not None:
            file = tmp_path / f"config-{next(numbers)}.yml"
            file.write_text(yaml.safe_dump(config))
            file.chmod(0o600)
            arguments = ("-c", str(file), *arguments)
        ended = await asyncio.to_thread(
            subprocess.run,
            [*PYTHON, command, *arguments],
            input=stdin,
            capture_output=True,
            timeout=DEADLINE_S,
            env={"COLUMNS": "300", **os.environ},
        )
        return Finished(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return finish


@pytest.fixture
def stream(make_stream: MakeStream) -> StreamCredentials:
    """A queue of the test's own."""
    return make_stream()


@pytest.fixture
def section(stream: StreamCredentials, certificates: Certificates) -> dict[str, Any]:
    """Reads the queue, over TLS."""
    return stream_section(stream, certificates)


@pytest.fixture
def nowhere(free_port: int) -> dict[str, Any]:
    """A server that is not there."""
    return {"port": free_port}


# --- run --once -----------------------------------------------------------------------------------------


async def test_once(
    broker: PrivateRabbitMQ, stream: StreamCredentials, section: dict[str, Any], finish: Finish, fluentd: FakeFluentd
) -> None:
    """What is in the queue is delivered, then it ends with 0; with nothing in the queue at once."""
    published = bodies(EVENTS)
    broker.publish(stream.queue, published)
    for _ in range(2):
        assert (await finish(configuration(section, fluentd), "run", "--once")).code == EXIT_OK
        assert ids_of(fluentd.records) == ids_of(published)
    assert broker.queue_depth(stream.queue) == (0, 0, 0)


async def test_once_unavailable(
    rig: Rig,
    stream: StreamCredentials,
    section: dict[str, Any],
    finish: Finish,
    nowhere: dict[str, Any],
    fluentd: FakeFluentd,
) -> None:
    """Without a server, with one that never acks, or without a broker it ends with 69 after pause_after."""
    other = rig.make_stream()
    for each in (stream, other):
        rig.broker.publish(each.queue, bodies(EVENTS))
    fluentd.reaction = NoAck()
    second = rig.section(other)
    no_broker = section | {"url": f"amqps://localhost:{nowhere['port']}"}
    no_server, no_ack, unreachable = await asyncio.gather(
        *(
            finish(configuration(streams, server, pause_after="1s"), "run", "--once")
            for streams, server in ((section, nowhere), (second, fluentd), (no_broker, fluentd))
        )
    )
    assert [no_server.code, no_ack.code, unreachable.code] == [EXIT_UNAVAILABLE] * 3
    assert "error [run.no-progress]: " in no_server.err
    assert "error [run.no-progress]: " in no_ack.err
    assert "error [amqp.unreachable]: " in unreachable.err
    for each in (stream, other):
        assert rig.broker.queue_depth(each.queue)[:2] == (EVENTS, 0)


async def test_once_refused(section: dict[str, Any], finish: Finish, fluentd: FakeFluentd) -> None:
    """A wrong password ends it with 77, id, reason and remedy; the password is not shown."""
    ended = await finish(configuration(section | {"password": "a s3cret"}, fluentd), "run", "--once")
    assert ended.code == EXIT_REFUSED
    assert "error [amqp.credentials-refused]: localhost:" in ended.err
    assert "what to do: Check username and password of the stream" in ended.err
    assert "s3cret" not in ended.err + ended.out


# --- run --stdout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["json", "msgpack"])
async def test_stdout(
    broker: PrivateRabbitMQ,
    stream: StreamCredentials,
    section: dict[str, Any],
    run: StartPlugin,
    nowhere: dict[str, Any],
    format_: str,
) -> None:
    """Each event is a JSON line, or a msgpack map, with time and tag before its own fields; integers are exact."""
    events = [EVENT | {"id": 2**60 + number} for number in range(EVENTS)]
    broker.publish(stream.queue, [json.dumps(event).encode() for event in events])
    plugin = run(configuration(section, nowhere), "--once", "--stdout", format_)
    written = await asyncio.to_thread(read_all, plugin)
    assert await plugin.ended() == EXIT_OK
    if format_ == "json":
        records = [json.loads(line) for line in written.splitlines()]
    else:
        unpacker = msgpack.Unpacker()
        unpacker.feed(written)
        records = list(unpacker)
    assert records == [{"time": EVENT_TIME, "tag": "edr.cisco.amp.events", **event} for event in events]
    assert list(records[0])[:2] == ["time", "tag"]
    assert broker.queue_depth(stream.queue) == (0, 0, 0)


def read_all(plugin: Plugin) -> bytes:
    """Standard output to its end."""
    assert plugin.process is not None
    assert plugin.process.stdout is not None
    return plugin.process.stdout.read()


async def test_stdout_closed(
    broker: PrivateRabbitMQ,
    stream: StreamCredentials,
    section: dict[str, Any],
    run: StartPlugin,
    nowhere: dict[str, Any],
) -> None:
    """A reader that goes away in the middle ends it with 69; what was not written is still in the queue."""
    padding = "x" * 100_000  # more than a pipe holds: an event is written when its reader has read most of it
    published = [json.dumps({"id": number, "padding": padding}).encode() for number in range(EVENTS)]
    broker.publish(stream.queue, published)
    plugin = run(configuration(section, nowhere), "--stdout", "json")
    assert plugin.process is not None
    assert plugin.process.stdout is not None
    first = json.loads(await asyncio.to_thread(plugin.process.stdout.readline))
    plugin.process.stdout.close()
    assert await plugin.ended() == EXIT_UNAVAILABLE
    assert "error [stdout.closed]: standard output cannot be written" in plugin.log
    assert first["id"] == 0
    left = await asyncio.to_thread(
        broker.wait_for_depth, stream.queue, lambda depth: depth.unacked == 0 and depth.consumers == 0
    )
    assert left.ready >= EVENTS - 1


async def test_stdout_closed_while_idle(section: dict[str, Any], run: StartPlugin, nowhere: dict[str, Any]) -> None:
    """A reader that goes away is noticed without an event to write."""
    plugin = run(configuration(section, nowhere), "--stdout", "json")
    await plugin.logged("connected to queue")
    assert plugin.process is not None
    assert plugin.process.stdout is not None
    plugin.process.stdout.close()
    assert await plugin.ended() == EXIT_UNAVAILABLE


# --- check ----------------------------------------------------------------------------------------------


async def test_check_all_well(section: dict[str, Any], finish: Finish, fluentd: FakeFluentd) -> None:
    """One row for the configuration, each stream and each server; exit code 0."""
    ended = await finish(configuration(section, fluentd), "check", "--end-to-end")
    assert ended.code == EXIT_OK
    rows = [line.split() for line in ended.out.splitlines()]
    assert [row[:2] for row in rows if row[0] == "ok"] == [
        ["ok", "configuration"],
        ["ok", "stream"],
        ["ok", "server"],
    ]
    assert f"{section['queue']}: 0 messages waiting, readable, no consumer attached" in ended.out
    assert "one record acknowledged in" in ended.out
    assert [(chunk.tag, len(chunk.entries)) for chunk in fluentd.chunks] == [("fluent_plugin_amp.check", 1)]
    assert (await finish(configuration(section, fluentd), "check")).code == EXIT_OK
    assert len(fluentd.chunks) == 1


async def test_check_of_everything_wrong(
    broker: PrivateRabbitMQ,
    section: dict[str, Any],
    certificates: Certificates,
    finish: Finish,
    fluentd: FakeFluentd,
    free_port: int,
) -> None:
    """Each fault has its row with id and remedy; what is well is said as well; 1, because the faults differ."""
    fluentd.reaction = NoAck()
    untrusted = {"ca_file": str(certificates.untrusted_ca_file)}
    streams = {
        "": section,
        "amqp.credentials-refused": section | {"password": "a s3cret"},
        "amqp.queue-not-found": section | {"queue": "event_stream_missing"},
        "amqp.unreachable": section | {"url": f"amqps://localhost:{free_port}"},
        "amqp.certificate-refused": section | {"tls": untrusted},
        "amqp.access-refused": section | {"url": section["url"] + "/elsewhere"},
        "amqp.protocol-mismatch": section | {"url": f"amqps://localhost:{broker.port}"},
    }
    sections = [keys | {"name": f"stream {number}"} for number, keys in enumerate(streams.values())]
    config = configuration(sections, {"port": free_port}, fluentd, ack_response_timeout="200ms")
    ended = await finish(config, "check", "--end-to-end", "--json")
    assert ended.code == EXIT_NO
    rows = json.loads(ended.out)
    assert [row["error_id"] for row in rows] == [*streams, "forward.unreachable", "forward.ack-timeout"]
    assert all(bool(row["remedy"]) is not row["ok"] for row in rows)
    table = await finish(config, "check", "--end-to-end")
    assert table.code == EXIT_NO
    for row in rows:
        assert f"[{row['error_id']}] {row['result'][:20]}" in table.out or row["ok"]
    assert "s3cret" not in ended.out + ended.err + table.out + table.err


async def test_check_of_one_fault(
    section: dict[str, Any], finish: Finish, fluentd: FakeFluentd, nowhere: dict[str, Any]
) -> None:
    """When there is one kind of fault only, its exit code is that of check: 77 refused, 69 unavailable."""
    refused, unavailable = await asyncio.gather(
        finish(configuration(section | {"password": "wrong"}, fluentd), "check"),
        finish(configuration(section, nowhere), "check"),
    )
    assert refused.code == EXIT_REFUSED
    assert unavailable.code == EXIT_UNAVAILABLE


async def test_check_shows_a_row_a_line(
    section: dict[str, Any], finish: Finish, fluentd: FakeFluentd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, however narrow the terminal; of what is asked for only."""
    monkeypatch.setenv("COLUMNS", "40")
    others = [section | {"name": f"wrong {number}", "password": "wrong"} for number in range(3)]
    config = configuration([section, *others], fluentd)
    ended = await finish(config, "check")
    assert len(ended.out.splitlines()) == 6
    failures = await finish(config, "check", "--failures")
    assert failures.code == EXIT_REFUSED
    assert [line.split()[:4] for line in failures.out.splitlines()] == [
        *(["no", "stream", "wrong", str(number)] for number in range(3)),
        ["2", "of", "5", "ok;"],
    ]
    one = await finish(config, "check", "--stream", section["queue"])
    assert one.code == EXIT_OK
    assert "wrong" not in one.out
    unknown = await finish(config, "check", "--stream", "no such stream")
    assert unknown.code == EXIT_USAGE


# --- replay, explain, schema ----------------------------------------------------------------------------


async def test_replay(section: dict[str, Any], finish: Finish, fluentd: FakeFluentd, tmp_path: Path) -> None:
    """Lines of a file go the way of events from a broker: transformed, delivered, or to the dead letters."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join([*bodies(EVENTS), b"", b"no JSON", b'{"event_type_id": 7, "id": 1}', b""]))
    config = configuration(section | {"transform": {"drop_event_types": [7]}, "tag": "amp.{stream}"}, fluentd)
    ended = await finish(config, "replay", str(file))
    assert ended.code == EXIT_OK
    assert f"{EVENTS + 2} events: {EVENTS} delivered, 1 dead letter, 1 dropped" in ended.err
    assert ids_of(fluentd.records) == ids_of(bodies(EVENTS))
    (letter,) = [chunk.entries[0].record for chunk in fluentd.chunks if chunk.tag == "edr.cisco.amp.dead_letters"]
    assert original_body([letter]) == b"no JSON"
    assert {chunk.tag for chunk in fluentd.chunks} == {f"amp.{section['queue']}", "edr.cisco.amp.dead_letters"}


async def test_replay_to_stdout(section: dict[str, Any], finish: Finish, nowhere: dict[str, Any]) -> None:
    """From standard input to standard output, with no server at all."""
    body = json.dumps(EVENT).encode()
    ended = await finish(configuration(section, nowhere), "replay", "--stdout", "json", "-", stdin=body)
    assert ended.code == EXIT_OK
    assert json.loads(ended.out) == {"time": EVENT_TIME, "tag": "edr.cisco.amp.events", **EVENT}


async def test_replay_without_a_server(section: dict[str, Any], finish: Finish, nowhere: dict[str, Any]) -> None:
    """It gives up with 69 after pause_after."""
    config = configuration(section, nowhere, pause_after="1s")
    ended = await finish(config, "replay", "-", stdin=bodies(1)[0])
    assert ended.code == EXIT_UNAVAILABLE
    assert "error [run.no-progress]: " in ended.err


async def test_explain(section: dict[str, Any], finish: Finish, nowhere: dict[str, Any]) -> None:
    """What each step makes of an event, its tag, time and bytes, for people and as JSON."""
    transform = {"add": {"tenant": "acme"}, "flatten": {}}
    config = configuration(section | {"transform": transform, "tag": "amp.{event_type_id}"}, nowhere)
    body = json.dumps(EVENT | {"event_type_id": 7}).encode()
    shown = await finish(config, "explain", "-", stdin=body)
    assert shown.code == EXIT_OK
    order = ["--- decode", "--- add", '"tenant": "acme"', "--- flatten", '"computer_os": "x"', "tag:  amp.7"]
    assert sorted(order, key=shown.out.index) == order
    assert f"time: {EVENT_TIME}" in shown.out
    explained = json.loads((await finish(config, "explain", "--json", "-", stdin=body)).out)
    assert [step["step"] for step in explained["steps"]] == ["decode", "add", "flatten"]
    assert explained["steps"][-1]["record"]["computer_os"] == "x"
    time_and_record = msgpack.unpackb(bytes.fromhex(explained["entry"]))
    assert time_and_record[0].data == struct.pack(">II", EVENT["timestamp"], EVENT["timestamp_nanoseconds"])
    assert time_and_record[1] == explained["steps"][-1]["record"]
    assert explained["entry_bytes"] == len(explained["entry"]) // 2


async def test_explain_what_is_no_event(section: dict[str, Any], finish: Finish, nowhere: dict[str, Any]) -> None:
    """The dead letter that it would become, with the reason."""
    ended = await finish(configuration(section, nowhere), "explain", "--json", "-", stdin=b'{"id": 1e999}')
    assert ended.code == EXIT_OK
    explained = json.loads(ended.out)
    assert explained["tag"] == "edr.cisco.amp.dead_letters"
    assert explained["dead_letter"]["error_id"] == "event.not-json"
    assert original_body([explained["dead_letter"]]) == b'{"id": 1e999}'


async def test_schema(finish: Finish) -> None:
    """It is JSON, and knows the keys."""
    ended = await finish(None, "schema")
    assert ended.code == EXIT_OK
    schema = json.loads(ended.out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"streams", "forward", "transform", "memory_limit"} <= schema["properties"].keys()


# --- mistakes -------------------------------------------------------------------------------------------

TEN_MISTAKES = """\
streams:
  - name: emea
    url: https://export-streaming.eu.amp.cisco.com
    username: 6-0123456789abcdef0123
    password_file: /nowhere/password
    queue: event_stream_6
    prefetchCount: 7
    heartbeat: often
    tag: "{colour}"
forward:
  servers: [{host: 127.0.0.1, port: 99999}]
  pause_after: 2h
  compress: zstd
transform: {flatten: {lists: joined}}
memory_limit: 64 potatoes
"""


async def test_ten_mistakes(finish: Finish, tmp_path: Path) -> None:
    """All ten are reported at once, each with its line and path, and the key that was meant; exit code 78."""
    file = tmp_path / "amp.yml"
    file.write_text(TEN_MISTAKES)
    ended = await finish(None, "run", "-c", str(file))
    assert ended.code == EXIT_CONFIG
    assert "error [config.invalid]: 10 mistakes in the configuration:" in ended.err
    for line, path, words in (
        (3, "streams[0].url", "must begin with amqps://"),
        (5, "streams[0].password_file", "No such file"),
        (7, "streams[0].prefetchCount", "did you mean `prefetch_count`?"),
        (8, "streams[0].heartbeat", "must be a duration, such as 250ms"),
        (9, "streams[0].tag", "may hold {stream}"),
        (11, "forward.servers[0].port", "must be at most 65535"),
        (12, "forward.pause_after", "must be at most 25m"),
        (13, "forward.compress", "must be `none` or `gzip`"),
        (14, "transform.flatten.lists", "must be `json` or `index` or `keep`"),
        (15, "memory_limit", "must be a size"),
    ):
        assert any(f"{file}:{line}: {path}: " in said and words in said for said in ended.err.splitlines()), (
            line,
            words,
        )
    assert "what to do: Correct the lines named above" in ended.err


async def test_errors_have_ids(section: dict[str, Any], finish: Finish, nowhere: dict[str, Any]) -> None:
    """Whatever cannot be done is told with an id and what to do, without a traceback; --debug adds that."""
    config = configuration(section, nowhere)
    missing, no_stream, no_ca, debug, no_option = await asyncio.gather(
        finish(None, "run", "-c", "/nowhere/amp.yml"),
        finish(config, "explain", "--stream", "apjc", "-", stdin=b"{}"),
        finish(configuration(section | {"tls": {"ca_file": __file__}}, nowhere), "run"),
        finish(None, "--debug", "run", "-c", "/nowhere/amp.yml"),
        finish(None, "run", "--no-such-option"),
    )
    assert missing.code == EXIT_CONFIG
    assert "error [config.unreadable]: /nowhere/amp.yml" in missing.err
    assert "what to do: Name the file with -c" in missing.err
    assert no_stream.code == EXIT_USAGE
    assert f"error [usage]: no stream is named 'apjc'; there are: {section['queue']}" in no_stream.err
    assert no_ca.code == EXIT_CONFIG
    assert f"error [config.tls-files]: ca_file {__file__}" in no_ca.err
    assert "Traceback" not in missing.err + no_stream.err + no_ca.err
    assert "Traceback" in debug.err
    assert no_option.code == EXIT_USAGE


# --- help -----------------------------------------------------------------------------------------------


async def test_help(finish: Finish) -> None:
    """Each command's help shows an example that begins with the command."""
    commands = ["run", "check", "replay", "explain", "schema", "demo"]
    for command, ended in zip(
        commands, await asyncio.gather(*(finish(None, command, "--help") for command in commands)), strict=True
    ):
        assert ended.code == EXIT_OK
        _, _, examples = ended.out.partition("Example")
        assert f"fluent-plugin-amp {command}" in examples


async def test_imports(
    broker: PrivateRabbitMQ,
    stream: StreamCredentials,
    section: dict[str, Any],
    run: StartPlugin,
    fluentd: FakeFluentd,
) -> None:
    """Neither `run --help` nor a run loads what only other commands need."""
    broker.publish(stream.queue, bodies(1))
    timed = {"PYTHONPROFILEIMPORTTIME": "1"}
    plugins = [
        run(None, "--help", environment=timed),
        run(configuration(section, fluentd), "--once", environment=timed),
    ]
    for plugin in plugins:
        assert await plugin.ended() == EXIT_OK
        imported = {
            line.rpartition("|")[2].strip() for line in plugin.log.splitlines() if line.startswith("import time:")
        }
        assert "click" in imported
        assert not imported & {"httpx", "rich", "trustme", "fluent_plugin_amp.testing", "sqlite3"}
        assert not imported & {f"fluent_plugin_amp.run.{name}" for name in ("completing", "heartbeat", "sources")}
        assert not imported & {"fluent_plugin_amp.completeness", "fluent_plugin_amp.history"}
