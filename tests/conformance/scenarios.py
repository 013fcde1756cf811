"""The plugin from a real RabbitMQ into real Fluentd and Fluent Bit, with something going wrong on the way.

Each scenario publishes `EVENTS` events, lets the trouble happen, ends it, and waits until the broker holds nothing
any more.  What then is not with the receiver is lost.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from fluent_plugin_amp.errors import ServerTakesNothing
from fluent_plugin_amp.pipeline.dead_letters import original_body
from fluent_plugin_amp.testing.certificates import Certificates, KeyPair
from fluent_plugin_amp.testing.hostile import hostile_bodies
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.receivers import BuiltInReceiver, Receiver
from tests.conformance import probes as messages
from tests.conformance.servers import Edits, FluentBit, Fluentd, Kind, make_server, restart_supervisor, signal_server
from tests.e2e.plugin import Plugin

EVENTS = 1000
EVENT_BYTES = 1000
DONE_S = 180.0
DEAD_LETTERS = "edr.cisco.amp.dead_letters"
SMALL = 200_000
"""Bytes of a buffer that cannot hold all events of a scenario."""
HOLD_S = 120.0
"""How long a buffer stays full while a few events wait: a good one was given up after 67 s once."""
FILLER = "filler"
"""The tag of what fills a buffer before the events come."""


AnyReceiver = TypeVar("AnyReceiver", bound=Receiver)


@dataclass(frozen=True)
class Result:
    """What became of the events of one scenario."""

    published: int
    arrived: int
    """Different events, as records."""
    dead_letters: int
    duplicates: int
    lost: int
    probes: int = 0
    """Records of the plugin's own, which show whether the server takes anything."""
    note: str = ""
    promised: bool = True
    """Nothing may be lost here."""

    @property
    def ok(self) -> bool:
        """Kept, or a loss that the documentation announces."""
        return self.lost == 0 or not self.promised

    def __str__(self) -> str:
        parts = [f"{self.arrived} of {self.published} arrive"]
        if self.dead_letters:
            parts.append(f"{self.dead_letters} as dead letters")
        if self.duplicates:
            parts.append(f"{self.duplicates} twice")
        parts.append(f"**{self.lost} lost**" if self.lost else "0 lost")
        if self.probes:
            parts.append(f"{self.probes} probe records")
        return ", ".join(parts) + (f"; {self.note}" if self.note else "")


@dataclass
class Trial:
    """One scenario under way: the broker's queue, the server, what is behind it, and the plugin."""

    kind: Kind
    folder: Path
    broker: PrivateRabbitMQ
    stream: StreamCredentials
    certificates: Certificates
    published: list[bytes] = field(default_factory=list)
    plugins: list[Plugin] = field(default_factory=list)

    def server(self, edits: Edits = Edits(), port: int | None = None) -> Fluentd | FluentBit:  # noqa: B008, frozen
        """The server, not started yet."""
        return make_server(self.kind, self.folder / "server", edits, port)

    def behind(self) -> BuiltInReceiver:
        """A receiver for the server to deliver to."""
        return BuiltInReceiver(self.folder / "behind")

    def publish(self, count: int = EVENTS) -> None:
        """Put plain events into the queue."""
        first = len(self.published)
        bodies = [_body(number) for number in range(first, first + count)]
        self.publish_bodies(bodies)

    def publish_bodies(self, bodies: list[bytes]) -> None:
        """Put these bodies into the queue."""
        self.broker.publish(self.stream.queue, bodies)
        self.published += bodies

    def run(self, server: Receiver, stream: Mapping[str, Any] | None = None, **forward: Any) -> Plugin:
        """Start the plugin, with further keys of its stream and of ``forward``."""
        config = {
            "streams": [
                {
                    "url": self.stream.url,
                    "username": self.stream.username,
                    "password": self.stream.password,
                    "queue": self.stream.queue,
                    **(stream or {}),
                }
            ],
            "forward": {
                "servers": [{"host": forward.pop("host", server.host), "port": server.port}],
                "ack_response_timeout": "3s",
                "chunk_limit_size": "64KiB",
                **forward,
            },
            "logging": {"level": "debug"},
        }
        plugin = Plugin(self.folder / "plugin", config)
        self.plugins.append(plugin)
        return plugin.start()

    def wait_delivered(self) -> None:
        """Until the broker holds nothing any more."""
        self.broker.wait_for_depth(self.stream.queue, lambda depth: depth.ready + depth.unacked == 0, DONE_S)

    def steady_depth(self) -> int:
        """How many events the broker holds once that has not changed for five seconds."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 5.0:
            depth = self.broker.queue_depth(self.stream.queue)
            if depth.ready + depth.unacked != last:
                last, since = depth.ready + depth.unacked, time.monotonic()
            time.sleep(0.2)
        return last

    @contextmanager
    def started(self, receiver: AnyReceiver) -> Iterator[AnyReceiver]:
        """A server that runs, and is killed at the end."""
        receiver.start()
        try:
            yield receiver
        finally:
            receiver.kill()

    def result(self, receiver: Receiver, note: str = "", *, promised: bool = True) -> Result:
        """Wait until everything is delivered and, if it can be, arrived; then count."""
        self.wait_delivered()
        deadline = time.monotonic() + (30.0 if promised else 10.0)
        wanted = {body: identity(body) for body in self.published}
        while True:
            records, letters, probes = _arrived(receiver)
            missing = [body for body, known in wanted.items() if not records[known] and not letters[body]]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        as_letters = sum(1 for body in wanted if letters[body])
        as_records = len(wanted) - as_letters - len(missing)
        return Result(
            published=len(wanted),
            arrived=as_records,
            dead_letters=as_letters,
            duplicates=records.total() + letters.total() - as_records - as_letters,
            lost=len(missing),
            probes=probes,
            note=note,
            promised=promised,
        )

    def close(self) -> None:
        """End the plugin."""
        for plugin in self.plugins:
            plugin.kill()


def killed(trial: Trial) -> Result:
    """The receiver is killed with SIGKILL, five times while events are on the way"""
    with trial.started(trial.server()) as server:
        trial.run(server)
        for _ in range(5):
            trial.publish(EVENTS // 5)
            server.kill()
            server.start()
        return trial.result(server, server.buffer)


def hostile(trial: Trial) -> Result:
    """Bodies that are no JSON, too deep, too large, with odd times and integers, between plain events"""
    with trial.started(trial.server()) as server:
        trial.publish(100)
        trial.publish_bodies([hostile.body for hostile in hostile_bodies()])
        trial.publish(100)
        trial.run(server, chunk_limit_size="1MiB")
        return trial.result(server)


def over_the_inputs_limit(trial: Trial) -> Result:
    """Chunks of 150 kB, and one event of 200 kB, where the input takes 100 kB"""
    limit = {"fluentd": "chunk_size_limit 100k", "fluent-bit": "buffer_chunk_size: 32K\nbuffer_max_size: 100K"}
    with trial.started(trial.server(Edits(input=limit[trial.kind]))) as server:
        trial.publish(150)
        trial.publish_bodies([_body(150, 200_000)])
        trial.run(server, chunk_limit_size="150KB", ack_response_timeout="1s")
        return trial.result(server)


def over_the_buffers_limit(trial: Trial) -> Result:
    """One event of 200 kB where the buffer's chunk_limit_size is 100 kB"""
    with trial.started(trial.server(Edits(buffer="chunk_limit_size 100k"))) as server:
        trial.publish(500)
        trial.publish_bodies([_body(500, 200_000)])
        trial.publish(499)
        trial.run(server)
        return trial.result(server)


def alone_over_a_limit(trial: Trial) -> Result:
    """One event of 200 kB where the server takes 100 kB, and nothing else in the queue"""
    limits = {
        "fluentd": Edits(buffer="chunk_limit_size 100k"),
        "fluent-bit": Edits(input="buffer_chunk_size: 32K\nbuffer_max_size: 100K"),
    }
    with trial.started(trial.server(limits[trial.kind])) as server:
        trial.publish_bodies([_body(0, 200_000)])
        began = time.monotonic()
        trial.run(server)
        trial.wait_delivered()
        return trial.result(server, f"after {time.monotonic() - began:.0f} s")


def full_throw_exception(trial: Trial) -> Result:
    """Buffer full, `overflow_action throw_exception` (the default)"""
    return _full(trial, Edits(buffer=_small_buffer("throw_exception")))


def full_block(trial: Trial) -> Result:
    """Buffer full, `overflow_action block`"""
    return _full(trial, Edits(buffer=_small_buffer("block")))


def full_drop_oldest_chunk(trial: Trial) -> Result:
    """Buffer full, `overflow_action drop_oldest_chunk`"""
    return _full(trial, Edits(buffer=_small_buffer("drop_oldest_chunk")), promised=False)


def paused(trial: Trial) -> Result:
    """Paused by `mem_buf_limit`"""
    return _full(trial, Edits(input=f"mem_buf_limit: {SMALL}", memory_only=True))


def _small_buffer(action: str) -> str:
    return f"chunk_limit_size 20k\ntotal_limit_size {SMALL}\noverflow_action {action}\nretry_max_interval 2s"


def _full(trial: Trial, edits: Edits, *, promised: bool = True) -> Result:
    """Nobody takes what the server holds, until its buffer is full and some time has passed."""
    behind = trial.behind()
    with trial.started(trial.server(replace(edits, output_port=behind.port))) as server:
        trial.publish()
        trial.run(server)
        waiting = trial.steady_depth()
        with trial.started(behind):
            return trial.result(behind, f"{waiting} waited with the broker meanwhile", promised=promised)


def few_throw_exception(trial: Trial) -> Result:
    """Buffer full (`throw_exception`) for two minutes, 20 events waiting and nothing new"""
    return _few(trial, Edits(buffer=_small_buffer("throw_exception")))


def few_throw_exception_tags(trial: Trial) -> Result:
    """Buffer full (`throw_exception`) for two minutes, 20 events of three tags waiting and nothing new"""
    return _few(trial, Edits(buffer=_small_buffer("throw_exception")), tag="edr.cisco.amp.{event_type_id}")


def few_block(trial: Trial) -> Result:
    """Buffer full (`block`) for two minutes, 20 events waiting and nothing new"""
    return _few(trial, Edits(buffer=_small_buffer("block")))


def few_paused(trial: Trial) -> Result:
    """Paused by `mem_buf_limit` for two minutes, 20 events waiting and nothing new"""
    retries = "scheduler.base: 1\nscheduler.cap: 5"  # the default tries again half an hour later
    return _few(trial, Edits(input=f"mem_buf_limit: {SMALL}", memory_only=True, service=retries))


def _few(trial: Trial, edits: Edits, **stream: Any) -> Result:
    """The server takes nothing for a while: it is named, and no event is given up or split for it."""
    behind = trial.behind()
    with trial.started(trial.server(replace(edits, output_port=behind.port))) as server:
        _fill(server)
        trial.publish_bodies([_body(number, type_id=number % 3 + 1) for number in range(20)])
        plugin = trial.run(server, stream=stream)
        plugin.wait_for_log(f"[{ServerTakesNothing.id}]", HOLD_S)
        time.sleep(HOLD_S)
        assert "split to find" not in plugin.log, "said of an event what is the server's"
        assert "dead letter, " not in plugin.log, "a good event was given up"
        with trial.started(behind):
            return trial.result(behind)


def _fill(server: Receiver) -> None:
    """Until the server takes no more."""
    message = messages.packed(messages.entries({"filler": "x" * 10_000}), tag=FILLER)
    while messages.ask(server.port, message) == "ack":
        pass


def sigusr2(trial: Trial) -> Result:
    """SIGUSR2 (Fluentd: a new supervisor takes over from the old one), three times while events arrive"""
    with trial.started(trial.server()) as server:
        assert isinstance(server, Fluentd)
        trial.publish(100)
        trial.run(server)
        trial.wait_delivered()
        for _ in range(3):
            wait = restart_supervisor(server)
            trial.publish(150)
            wait()
            trial.publish(150)
            trial.wait_delivered()
        return trial.result(server)


def sighup(trial: Trial) -> Result:
    """SIGHUP (Fluentd: restart of the workers; Fluent Bit: hot reload), three times while events arrive"""
    with trial.started(trial.server(Edits(service="hot_reload: on"))) as server:
        trial.publish(100)
        trial.run(server)
        trial.wait_delivered()
        for _ in range(3):
            signal_server(server, signal.SIGHUP)
            trial.publish(300)
            trial.wait_delivered()
        return trial.result(server)


def wrong_shared_key(trial: Trial) -> Result:
    """The plugin has a wrong shared key; then the server gets the same"""
    keys = {
        "fluentd": "<security>\n  self_hostname server\n  shared_key {}\n</security>",
        "fluent-bit": "self_hostname: server\nshared_key: {}",
    }
    server = trial.server(Edits(input=keys[trial.kind].format("right")))
    with trial.started(server):
        trial.publish()
        plugin = trial.run(server, security={"self_hostname": "plugin", "shared_key": "wrong"})
        plugin.wait_for_log("[forward.handshake-refused]")
        note = _tries(plugin, "forward.handshake-refused")
    with trial.started(trial.server(Edits(input=keys[trial.kind].format("wrong")), server.port)) as server:
        return trial.result(server, note)


def expired_certificate(trial: Trial) -> Result:
    """The server's certificate is expired; then it gets a good one"""
    settings = {
        "fluentd": "<transport tls>\n  cert_path {cert}\n  private_key_path {key}\n</transport>",
        "fluent-bit": "tls: on\ntls.verify: off\ntls.crt_file: {cert}\ntls.key_file: {key}",
    }

    def edits(pair: KeyPair) -> Edits:
        return Edits(input=settings[trial.kind].format(cert=pair.cert_file, key=pair.key_file))

    server = trial.server(edits(trial.certificates.expired))
    with trial.started(server):
        trial.publish()
        plugin = trial.run(server, host="localhost", tls={"ca_file": str(trial.certificates.ca_file)})
        plugin.wait_for_log("[forward.certificate-refused]")
        note = _tries(plugin, "forward.certificate-refused")
    with trial.started(trial.server(edits(trial.certificates.server), server.port)) as server:
        return trial.result(server, note)


def _tries(plugin: Plugin, error_id: str) -> str:
    """How often an error comes within the first ten seconds: no storm."""
    time.sleep(10.0)
    tries = plugin.log.count(f"[{error_id}]")
    assert tries < 10, f"a storm: {tries} tries in ten seconds"
    return f"`{error_id}` in the log, {tries} tries in 10 s"


Scenario = Callable[[Trial], Result]
BOTH: list[Scenario] = [killed, hostile, over_the_inputs_limit, sighup, wrong_shared_key, expired_certificate]
SCENARIOS: dict[Kind, list[Scenario]] = {
    "fluentd": [
        *BOTH,
        over_the_buffers_limit,
        alone_over_a_limit,
        few_throw_exception,
        few_throw_exception_tags,
        few_block,
        full_throw_exception,
        full_block,
        full_drop_oldest_chunk,
        sigusr2,
    ],
    "fluent-bit": [*BOTH, alone_over_a_limit, few_paused, paused],
}


# --- what arrived ------------------------------------------------------------------------------------------------


def _arrived(receiver: Receiver) -> tuple[Counter[bytes], Counter[bytes], int]:
    """How often each published body is there, as a record (as canonical JSON) and as a dead letter; probe records."""
    records: Counter[bytes] = Counter()
    letters: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    probes = 0
    try:
        for tag, record in receiver.received():
            if record.get("fluent_plugin_amp") == "probe":  # under any tag, that of the dead letters too
                probes += 1
            elif tag == DEAD_LETTERS:
                # The parts of a letter share all this; a letter in one part is told apart by what it holds.
                whole = record.get("body", record.get("body_base64")) if record["parts"] == 1 else None
                key = (*(record[name] for name in ("error_id", "received_at", "reason", "parts")), whole)
                letters.setdefault(key, {})[record["part"]] = record
            elif tag != FILLER:
                records[canonical(record)] += 1
    except (ValueError, KeyError):  # the last line is being written
        return Counter(), Counter(), 0
    complete = [list(parts.values()) for parts in letters.values() if len(parts) == parts[min(parts)]["parts"]]
    return records, Counter(map(original_body, complete)), probes


def canonical(event: Any) -> bytes:
    """An event as bytes that do not depend on the order of its fields."""
    return json.dumps(event, sort_keys=True).encode()


def identity(body: bytes) -> bytes:
    """What a body is known by at the receiver: canonical JSON, or itself where it is no event."""
    try:
        event = json.loads(body.decode())
    except (ValueError, RecursionError):
        return body
    return canonical(event) if isinstance(event, dict) else body


def _body(number: int, size: int = EVENT_BYTES, type_id: int = 1090519054) -> bytes:
    event = {"id": 2**60 + number, "event_type_id": type_id, "padding": "x" * (size - 80)}
    return json.dumps(event, separators=(",", ":")).encode()
