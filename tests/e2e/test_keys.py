"""Every key of the configuration has an effect: a key that no test here, or named here, changes is a failure.

Most keys are written into a file and read back through the parts that are built from it: a transform, a TLS
handshake in memory, the dispatch of chunks.  What only shows over time is tested elsewhere, and named in `ELSEWHERE`.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import inspect
import json
import ssl
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.config import Config, TlsConfig, load
from fluent_plugin_amp.config.keys import keys_of
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.model import Answer, Chunk, Delivery
from fluent_plugin_amp.run.build import forward_settings, make_broker, make_transform
from fluent_plugin_amp.run.daemon import Daemon
from fluent_plugin_amp.sink.forward.dispatch import Dispatcher
from fluent_plugin_amp.sink.forward.protocol import ClientProtocol, encode_chunk
from fluent_plugin_amp.source.ledger import Ledger
from fluent_plugin_amp.source.stream import Stream
from fluent_plugin_amp.testing.certificates import OTHER_HOST, Certificates, KeyPair, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import Handshake, Security, decode_message, make_unpacker
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from fluent_plugin_amp.tls import client_context
from tests.e2e.configs import configuration
from tests.e2e.conftest import Rig

BASE: dict[str, Any] = {
    "streams": [{"url": "amqp://localhost", "username": "user", "password": "password", "queue": "event_stream_1"}],
    "forward": {"servers": [{"host": "127.0.0.1"}]},
}
EVENT = {
    "id": 1,
    "event_type": "Threat Detected",
    "event_type_id": 1090519054,
    "connector_guid": "ad8f0d2c-0f1e-4d3c-8f43-2c4d5e6f7a8b",
    "computer": {"user": "u", "hostname": "h", "inner": {"deep": 1}, "tags": ["a"]},
}

ORGANISATIONS = "config/test_organisations.py"

ELSEWHERE = {
    "streams[].tls.ca_file": "e2e/configs.py::stream_section",
    "streams[].event_stream_name": "e2e/test_event_stream_name.py::siem_section",
    "streams[].cloud.api": "e2e/test_event_stream_name.py::siem_section",
    "streams[].cloud.ca_file": "e2e/test_event_stream_name.py::siem_section",
    "streams[].api.client_id": "e2e/test_event_stream_name.py::siem_section",
    "streams[].api.api_key": "e2e/test_event_stream_name.py::siem_section",
    "streams[].organisation": f"{ORGANISATIONS}::test_a_stream_takes_cloud_and_key_of_its_organisation",
    "organisations[].name": f"{ORGANISATIONS}::test_names_are_unique_among_organisations_and_lines",
    "organisations[].cloud.api": f"{ORGANISATIONS}::test_a_stream_takes_cloud_and_key_of_its_organisation",
    "organisations[].cloud.console": f"{ORGANISATIONS}::test_the_way_to_a_private_cloud",
    "organisations[].cloud.ca_file": f"{ORGANISATIONS}::test_the_way_to_a_private_cloud",
    "organisations[].api.client_id": f"{ORGANISATIONS}::test_the_way_to_a_private_cloud",
    "organisations[].api.api_key": f"{ORGANISATIONS}::test_a_stream_takes_cloud_and_key_of_its_organisation",
    "organisations[].api.api_key_file": f"{ORGANISATIONS}::test_the_way_to_a_private_cloud",
    "organisations[].proxy": f"{ORGANISATIONS}::test_the_way_to_a_private_cloud",
    "organisations[].add": f"{ORGANISATIONS}::test_its_records_have_the_static_fields_of_all_and_its_own",
    "organisations[].rate_limit_share": f"{ORGANISATIONS}::test_the_way_to_a_private_cloud",
    "organisations[].audit_logs.poll_interval": f"{ORGANISATIONS}::test_a_polled_source_needs_a_state_file",
    "organisations[].audit_logs.tag": f"{ORGANISATIONS}::test_a_polled_source_needs_a_state_file",
    "organisations[].names": f"{ORGANISATIONS}::test_events_get_names_of_their_organisation",
    "organisations[].computers.poll_interval": f"{ORGANISATIONS}::test_further_sources_have_keys_of_their_own",
    "organisations[].computers.sweep": f"{ORGANISATIONS}::test_further_sources_have_keys_of_their_own",
    "organisations[].computers.tag": f"{ORGANISATIONS}::test_further_sources_have_keys_of_their_own",
    "organisations[].vulnerabilities.poll_interval": f"{ORGANISATIONS}::test_further_sources_have_keys_of_their_own",
    "organisations[].vulnerabilities.tag": f"{ORGANISATIONS}::test_further_sources_have_keys_of_their_own",
    "organisations[].hunts.every": f"{ORGANISATIONS}::test_hunts_have_keys_of_their_own",
    "organisations[].hunts.delay": f"{ORGANISATIONS}::test_hunts_have_keys_of_their_own",
    "organisations[].hunts.event_types": f"{ORGANISATIONS}::test_hunts_have_keys_of_their_own",
    "organisations[].hunts.rate_limit_share": f"{ORGANISATIONS}::test_hunts_have_keys_of_their_own",
    "organisations[].hunts.tag": f"{ORGANISATIONS}::test_hunts_have_keys_of_their_own",
    "forward.servers[].unix_path": "e2e/test_delivery.py::test_unix_socket",
    "forward.connect_timeout": "e2e/test_trouble_forward.py::test_a_handshake_that_never_comes",
    "forward.ack_response_timeout": "e2e/test_trouble_forward.py::test_a_chunk_without_its_ack",
    "forward.pause_after": "e2e/test_trouble_broker.py::test_pause",
    "forward.shutdown_timeout": "e2e/test_kill.py::test_told_to_stop_while_the_server_hangs",
    "state.path": "e2e/test_delivery.py::test_delivered_before",
    "detections.window": "config/test_combining.py::test_the_window_of_a_detection",
    "detections.tag": "config/test_combining.py::test_tags_and_groupings",
    "detections.max_open": "config/test_combining.py::test_max_open",
    "incidents.window": "config/test_combining.py::test_window_and_lateness_of_an_incident",
    "incidents.lateness": "config/test_combining.py::test_window_and_lateness_of_an_incident",
    "incidents.by": "config/test_combining.py::test_tags_and_groupings",
    "incidents.tag": "config/test_combining.py::test_tags_and_groupings",
    "incidents.max_open": "config/test_combining.py::test_max_open",
    "completeness.every": "run/test_completing.py::test_every_record_is_of_an_hour",
    "completeness.tag": "run/test_completing.py::test_an_hour_has_its_record",
    "completeness.repair": "run/test_completing.py::test_what_is_missing_is_repaired",
    "completeness.key": "run/test_completing.py::test_an_hour_has_its_record",
    "completeness.key_file": "run/test_completing.py::test_every_record_is_of_an_hour",
    "heartbeat.every": "run/test_heartbeat.py::test_the_daemon_sends_one_at_once_and_then_every_so_often",
    "heartbeat.tag": "run/test_heartbeat.py::test_the_daemon_sends_one_at_once_and_then_every_so_often",
    "observe.statistics_every": "e2e/test_keys.py::test_what_an_operator_sees",
    "observe.ready": "observe/test_service.py::test_what_counts_as_ready_follows_the_configuration",
    "observe.listen": "e2e/test_keys.py::test_what_an_operator_sees",
    "logging.level": "e2e/test_keys.py::test_what_an_operator_sees",
    "logging.format": "e2e/test_keys.py::test_what_an_operator_sees",
    "logging.forward_tag": "e2e/test_keys.py::test_what_an_operator_sees",
}
"""Keys that another test changes, which must then hold their name; files below tests/."""


@dataclass(frozen=True)
class Given:
    """What a look may need besides the configuration."""

    folder: Path
    certificates: Certificates

    def file(self, name: str, text: str) -> str:
        """Path of a file with this text, for its owner only."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)


Look = Callable[[Config, Given], Any]
"""What is seen of a configuration."""


@dataclass(frozen=True)
class Case:
    """Without ``key`` but with ``beside`` something else is seen than ``seen``; with ``key`` as well, ``seen`` is.

    A value that is a function is given the `Given`.  With ``seen`` None it is enough that the key makes a difference.
    """

    key: str
    value: Any
    look: Look
    seen: Any
    beside: dict[str, Any] = field(default_factory=dict)


# --- what can be seen -----------------------------------------------------------------------------------


def record(config: Config, given: Given) -> Any:
    """What becomes of `EVENT`."""
    made = make_transform(config.streams[0])(copy.deepcopy(EVENT), 0.0)
    return None if made is None else made[1]


def tag(config: Config, given: Given) -> Any:
    """The tag of `EVENT`."""
    made = make_transform(config.streams[0])(copy.deepcopy(EVENT), 0.0)
    return made and made[0]


def second_tag(config: Config, given: Given) -> Any:
    """The tag of `EVENT` after another event."""
    transform = make_transform(config.streams[0])
    transform({"event_type": "Another"}, 0.0)
    made = transform(copy.deepcopy(EVENT), 0.0)
    return made and made[0]


def has(name: str) -> Look:
    """Whether the record has a field."""
    return lambda config, given: name in record(config, given)


def ocsf_version(config: Config, given: Given) -> Any:
    """Which the record is written in."""
    return record(config, given).get("metadata", {}).get("version")


def computer(name: str) -> Look:
    """A field of the record's computer; None when it is gone."""
    return lambda config, given: record(config, given)["computer"].get(name)


def console(config: Config, given: Given) -> Any:
    """The host that the record's links lead to."""
    links = record(config, given).get("console_links")
    return links and next(iter(links.values())).split("/")[2]


def broker(name: str) -> Look:
    """What the AMQP client is told."""
    return lambda config, given: getattr(make_broker(config.streams[0]), name)


def way(config: Config, given: Given) -> str | None:
    """The proxy on the way to the broker."""
    proxy = make_broker(config.streams[0]).proxy
    return None if proxy is None else str(proxy)


def stream(name: str) -> Look:
    """What a stream is told."""
    return lambda config, given: getattr(first_stream(config).settings, name)


def first_stream(config: Config) -> Stream:
    """Of those that run here."""
    return next(iter(daemon_of(config).streams.values()))


def remembered_s(config: Config, given: Given) -> Any:
    """How long the state file remembers."""
    state = Daemon(config, Taking(), lambda fact: None, with_state=True).state
    return state and vars(state.delivered)["_remember_s"]


async def queue(config: Config, given: Given) -> Any:
    """What the first stream consumes."""
    return (await first_stream(config).settings.locate()).queue


def api_key(config: Config, given: Given) -> Any:
    """What the first stream's queue is looked up with."""
    return config.streams[0].api and config.streams[0].api.key.api_key


def prefetch_count(config: Config, given: Given) -> Any:
    """Of the first stream."""
    return first_stream(config).flow.full_prefetch_count


def largest_event(config: Config, given: Given) -> Any:
    """That the first stream receives."""
    return first_stream(config).settings.max_event_bytes


def names(config: Config, given: Given) -> Any:
    """Of the streams that run here."""
    return list(daemon_of(config).streams)


def broker_handshake(pair: str, *, client_ca: bool = False) -> Look:
    """What TLS with a broker comes to that shows one of the `Certificates`."""

    def look(config: Config, given: Given) -> str:
        at = make_broker(config.streams[0])
        return shake_hands(
            config.streams[0].tls, at.server_name or at.host, getattr(given.certificates, pair), given, client_ca
        )

    return look


def server_handshake(pair: str, *, client_ca: bool = False) -> Look:
    """The same with a Forward server."""

    def look(config: Config, given: Given) -> str:
        settings = forward_settings(config)
        name = settings.server_hostname or settings.servers[0].host
        assert config.forward.tls is not None
        return shake_hands(config.forward.tls, name, getattr(given.certificates, pair), given, client_ca)

    return look


def shake_hands(tls: TlsConfig, name: str, pair: KeyPair, given: Given, client_ca: bool) -> str:
    """A TLS handshake in memory: "ok", or what the side says that is not content."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server_context(pair, client_ca_file=given.certificates.ca_file if client_ca else None)
    client = client_context(tls).wrap_bio(to_client, to_server, server_hostname=name)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return str(error)
    assert not waiting
    return "ok"


def ping(config: Config, given: Given) -> tuple[str, str]:
    """The name that we give ourselves, and why a server refuses us: its key is "key", "user" has "password"."""
    server = Handshake(Security("key", {"user": "password"}))
    client = ClientProtocol(forward_settings(config).security, salt="0" * 32)
    client.receive(server.helo())
    unpacker = make_unpacker()
    unpacker.feed(client.data_to_send())
    message = unpacker.unpack()
    return message[1], server.answer(message)[1]


def refusal(config: Config, given: Given) -> str:
    """Only the reason."""
    return ping(config, given)[1]


def server(name: str) -> Look:
    """Of the first server."""
    return lambda config, given: getattr(forward_settings(config).servers[0], name)


def compression(config: Config, given: Given) -> Any:
    """Of a chunk on the wire."""
    unpacker = make_unpacker()
    unpacker.feed(encode_chunk(a_chunk("1"), forward_settings(config).compress))
    return decode_message(unpacker.unpack()).option.get("compressed", "none")


def room(config: Config, given: Given) -> int:
    """Chunks that one server takes at once."""
    dispatcher = Dispatcher(forward_settings(config), lambda: "id", lambda tag, size: a_chunk("probe"))
    dispatcher.connected(config.forward.servers[0].label)
    return dispatcher.room


def shares(config: Config, given: Given) -> list[int]:
    """How many of forty chunks each server gets, both up."""
    labels = [server.label for server in config.forward.servers]
    dispatcher = Dispatcher(forward_settings(config), lambda: "id", lambda tag, size: a_chunk("probe"))
    for label in labels:
        dispatcher.connected(label)
    got: Counter[str] = Counter()
    for number in range(40):
        dispatcher.submit(a_chunk(str(number)))
        write = dispatcher.next_write(0.0)
        assert write is not None
        got[write.server] += 1
        dispatcher.acked(write.server, write.chunk.id)
    return [got[label] for label in labels]


def a_chunk(chunk_id: str) -> Chunk:
    """One event."""
    return Chunk(chunk_id, "tag", [b"\x92\x00\x80"], [Delivery("s", Ledger(), 1, b"")])


class Taking:
    """A sink that takes everything."""

    room = 1
    available = True
    in_flight = 0

    def __init__(self) -> None:
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self.chunks: list[Chunk] = []

    def send(self, chunk: Chunk) -> None:
        """Part of model.Sink."""
        self.chunks.append(chunk)

    def held(self) -> list[Chunk]:
        """Part of model.Sink."""
        return []

    def shed(self) -> None:
        """Part of model.Sink."""

    async def run(self) -> None:
        """Part of model.Sink."""

    def figures(self) -> tuple[()]:
        """Part of run.build.ClosableSink."""
        return ()

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Part of run.build.ClosableSink."""
        return []


def daemon_of(config: Config, sink: Taking | None = None) -> Daemon:
    """The parts of a run; nothing is started."""
    return Daemon(config, sink or Taking(), lambda fact: None)


async def chunks_of(config: Config, body: bytes, count: int) -> list[Chunk]:
    """What is sent for so many events that arrive together."""
    sink = Taking()
    daemon = daemon_of(config, sink)
    ledger = Ledger()
    for number in range(1, count + 1):
        ledger.deliver(number, 0.0)
        daemon.conductor.receive(Delivery(config.streams[0].name, ledger, number, body % number))
    await asyncio.sleep(0)
    return sink.chunks


async def are_small(config: Config, given: Given) -> bool:
    """Whether no chunk has more than 16 KiB when much arrives."""
    chunks = await chunks_of(config, b'{"id": %d, "padding": "' + b"x" * 900 + b'"}', 200)
    return max(chunk.bytes for chunk in chunks) <= 16 * 1024


async def letter(config: Config, given: Given) -> tuple[str, bool]:
    """The tag of a dead letter, and whether it holds the body."""
    (chunk,) = await chunks_of(config, b"no JSON %d", 1)
    return chunk.tag, b"no JSON 1" in chunk.entries[0]


async def letter_tag(config: Config, given: Given) -> str:
    """Only the tag."""
    return (await letter(config, given))[0]


async def letter_is_whole(config: Config, given: Given) -> bool:
    """Only whether it holds the body."""
    return (await letter(config, given))[1]


# --- the keys -------------------------------------------------------------------------------------------


def of_transform(at: str) -> Iterator[Case]:
    """The keys of ``transform``, which may stand at two places."""
    flat: dict[str, Any] = {f"{at}.flatten": {}}
    hides = {f"{at}.obfuscate[].field": "computer.user"}
    yield Case(f"{at}.drop_event_types", ["Threat Detected"], record, None)
    yield Case(f"{at}.add", {"tenant": "acme"}, has("tenant"), True)
    yield Case(f"{at}.pulling_id", True, has("@devo_pulling_id"), True)
    yield Case(f"{at}.ids", "text", lambda config, given: type(record(config, given)["id"]), str)
    yield Case(f"{at}.links", True, has("console_links"), True, {"streams[].cloud": "eu"})
    ocsf: dict[str, Any] = {f"{at}.shape.to": "ocsf"}
    yield Case(f"{at}.shape", "ocsf", has("class_uid"), True)
    yield Case(f"{at}.shape.to", "ecs", has("ecs"), True, ocsf)
    yield Case(f"{at}.shape.version", "1.8.0", ocsf_version, "1.8.0", ocsf)
    yield Case(f"{at}.shape.raw_data", True, has("raw_data"), True, ocsf)
    yield Case(f"{at}.shape.observables", False, has("observables"), False, ocsf)
    yield Case(f"{at}.flatten", {}, has("computer_inner_deep"), True)
    yield Case(f"{at}.flatten.separator", ".", has("computer.inner.deep"), True, flat)
    yield Case(f"{at}.flatten.lists", "index", has("computer_tags_0"), True, flat)
    yield Case(f"{at}.flatten.depth", 1, has("computer_inner"), True, flat)
    yield Case(f"{at}.serialize", "message", lambda config, given: list(record(config, given)), ["message"])
    mask = {f"{at}.obfuscate[].method": "mask"}
    yield Case(
        f"{at}.obfuscate[].field", "computer.user", computer("user"), "***", {f"{at}.obfuscate[].field": "x", **mask}
    )
    yield Case(f"{at}.obfuscate[].preset", "user", computer("user"), "***", mask)
    yield Case(f"{at}.obfuscate[].method", "drop", computer("user"), None, {**hides, **mask})
    by_hash = {**hides, f"{at}.obfuscate[].method": "hash"}
    yield Case(f"{at}.obfuscate[].key", "k2", computer("user"), None, {**by_hash, f"{at}.obfuscate[].key": "k1"})
    yield Case(f"{at}.obfuscate[].key_file", lambda given: given.file("key", "k1"), computer("user"), None, by_hash)


def of_tls(at: str, handshake: Callable[..., Look]) -> Iterator[Case]:
    """The keys of ``tls``, which may stand at two places."""
    url = {"streams[].url": "amqps://localhost"}
    trusts = {**url, f"{at}.ca_file": lambda given: str(given.certificates.ca_file)}
    shows = {f"{at}.cert_file": lambda given: str(given.certificates.client.cert_file)}
    yield Case(f"{at}.ca_file", trusts[f"{at}.ca_file"], handshake("server"), "ok", {**url, f"{at}.verify": True})
    yield Case(f"{at}.server_name", OTHER_HOST, handshake("other_host"), "ok", trusts)
    yield Case(f"{at}.verify", False, handshake("untrusted_server"), "ok", trusts)
    yield Case(f"{at}.cert_file", cert_and_key, handshake("server", client_ca=True), "ok", trusts)
    yield Case(
        f"{at}.key_file",
        lambda given: str(given.certificates.client.key_file),
        handshake("server", client_ca=True),
        "ok",
        {**trusts, **shows},
    )


def cert_and_key(given: Given) -> str:
    """One file with both."""
    client = given.certificates.client
    return given.file("both.pem", client.key_file.read_text() + client.cert_file.read_text())


def credentials_file(given: Given) -> str:
    """As `amp-streams create --save` writes it."""
    return given.file("saved.yml", "{url: amqps://saved, username: u, password: p, queue: event_stream_9}")


def more_streams(given: Given) -> str:
    """A file to include."""
    return given.file("more.yml", "{url: amqps://h, username: u, password: p, queue: event_stream_2}")


TWO_SERVERS = {"forward.servers": [{"port": 1}, {"port": 2}]}
KEYED = {"forward.security": {"shared_key": "key", "username": "user", "password": "password"}}

CASES = [
    *of_transform("transform"),
    *of_transform("streams[].transform"),
    *of_tls("streams[].tls", broker_handshake),
    *of_tls("forward.tls", server_handshake),
    Case("streams[].name", "emea", stream("name"), "emea"),
    Case("proxy", "http://proxy.example:3128", way, "proxy.example:3128"),
    Case("streams[].proxy", "socks5://proxy.example", way, "proxy.example:1080", {"proxy": "direct"}),
    Case("streams[].url", "amqps://other:5671/vhost", broker("vhost"), "vhost"),
    Case("streams[].username", "other", broker("username"), "other"),
    Case("streams[].password", "other", broker("password"), "other"),
    Case(
        "streams[].password_file",
        lambda given: given.file("password", "other\n"),
        broker("password"),
        "other",
        {"streams[].password": None},
    ),
    Case("streams[].queue", "event_stream_2", queue, "event_stream_2"),
    Case("streams[].credentials_file", credentials_file, queue, "event_stream_9", {"streams[].queue": None}),
    Case("streams[].tag", "amp.{event_type_id}", tag, "amp.1090519054"),
    Case("streams[].max_tags", 1, second_tag, "amp.other", {"streams[].tag": "amp.{event_type}"}),
    Case("streams[].prefetch_count", 7, prefetch_count, 7),
    Case("streams[].exclusive", True, stream("exclusive"), True),
    Case("streams[].poll_interval", "60s", stream("poll_interval_s"), 60.0),
    Case("streams[].silent_after", "1h", stream("silent_after_s"), 3600.0),
    Case("streams[].heartbeat", "5s", broker("heartbeat_s"), 5.0),
    Case("streams[].cloud", "eu", console, "console.eu.amp.cisco.com", {"transform.links": True}),
    Case("streams[].cloud.console", "fqdn.example", console, "fqdn.example", {"transform.links": True}),
    Case(
        "streams[].api.api_key_file",
        lambda given: given.file("api_key", "key"),
        api_key,
        "key",
        {
            **dict.fromkeys(("streams[].url", "streams[].username", "streams[].queue")),
            "streams[].event_stream_name": "SIEM",
            "streams[].cloud": "eu",
            "streams[].api.client_id": "id",
        },
    ),
    Case("streams[].add", {"tenant": "acme"}, has("tenant"), True),
    Case("include", more_streams, names, ["event_stream_1", "event_stream_2"]),
    Case("shard.index", 1, names, ["event_stream_1"], {"shard.of": 2, "shard.index": 0}),
    Case("shard.of", 1, names, ["event_stream_1"], {"shard.of": 2, "shard.index": 0}),
    Case("forward.servers[].host", "fluentd.example", server("host"), "fluentd.example"),
    Case("forward.servers[].port", 24225, server("port"), 24225),
    Case("forward.servers", [{"port": 1, "weight": 30}, {"port": 2, "weight": 10}], shares, [30, 10], TWO_SERVERS),
    Case("forward.servers[].weight", 180, shares, [30, 10], TWO_SERVERS),
    Case("forward.servers[].standby", True, shares, [0, 40], TWO_SERVERS),
    Case("forward.security.self_hostname", "plugin.example", ping, ("plugin.example", ""), KEYED),
    Case("forward.security.shared_key", "key", refusal, "", {**KEYED, "forward.security.shared_key": "other"}),
    Case(
        "forward.security.shared_key_file",
        lambda given: given.file("shared_key", "key"),
        refusal,
        "",
        {**KEYED, "forward.security.shared_key": None},
    ),
    Case("forward.security.username", "user", refusal, "", {**KEYED, "forward.security.username": "other"}),
    Case("forward.security.password", "password", refusal, "", {**KEYED, "forward.security.password": "other"}),
    Case(
        "forward.security.password_file",
        lambda given: given.file("password", "password"),
        refusal,
        "",
        {**KEYED, "forward.security.password": None},
    ),
    Case("forward.compress", "gzip", compression, "gzip"),
    Case("forward.chunk_limit_size", "16KiB", are_small, True),
    Case("forward.max_in_flight", 9, room, 9),
    Case("dead_letters.tag", "amp.dead", letter_tag, "amp.dead"),
    Case(
        "dead_letters.raw",
        True,
        letter_is_whole,
        True,
        {"transform.obfuscate": [{"field": "computer.user", "method": "drop"}]},
    ),
    Case("memory_limit", "1MiB", prefetch_count, 32),
    Case("max_event_size", "1MiB", largest_event, 1024 * 1024),
    Case("state.remember", "1d", remembered_s, 86400.0, {"state.path": lambda given: str(given.folder / "state.db")}),
]


def write(given: Given, keys: dict[str, Any]) -> Path:
    """`BASE` with these keys, by their paths; null takes a key away."""
    document = copy.deepcopy(BASE)
    for path, value in keys.items():
        value = value(given) if callable(value) else value
        *sections, name = path.split(".")
        place = document
        for section in sections:
            if section.endswith("[]"):
                place = place.setdefault(section[:-2], [{}])[0]
            else:
                place = place.setdefault(section, {})
        if value is None:
            place.pop(name, None)
        else:
            place[name] = copy.deepcopy(value)
    return Path(given.file("config.yml", yaml.safe_dump(document)))


async def see(given: Given, keys: dict[str, Any], look: Look) -> Any:
    """What ``look`` sees with these keys, or the error's id where there is nothing to see."""
    try:
        seen = look(load(write(given, keys)), given)
        return await seen if inspect.isawaitable(seen) else seen
    except PluginError as error:
        return error.id


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
async def test_effect(case: Case, tmp_path: Path, certificates: Certificates) -> None:
    """The key changes what is seen."""
    given = Given(tmp_path, certificates)
    without = await see(given, case.beside, case.look)
    with_it = await see(given, {**case.beside, case.key: case.value}, case.look)
    assert with_it != without
    assert case.seen is None or with_it == case.seen


def test_every_key_has_a_test() -> None:
    """A key that is added to the models needs a `Case` here, or a test named in `ELSEWHERE`."""
    tested = {case.key for case in CASES} | ELSEWHERE.keys()
    all_keys = {key.path for key in keys_of(Config)}
    sections = {path for path in all_keys if any(other.startswith((f"{path}.", f"{path}[]")) for other in all_keys)}
    assert sorted(all_keys - sections - tested) == [], "keys without a test"
    assert sorted(tested - all_keys) == [], "tests of keys that are gone"


@pytest.mark.parametrize(("key", "test"), ELSEWHERE.items())
def test_elsewhere(key: str, test: str) -> None:
    """The test named for a key exists, and holds the key."""
    file, _, function = test.partition("::")
    source = (Path(__file__).parents[1] / file).read_text()
    found = {
        node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert key.rpartition(".")[2] in (ast.get_source_segment(source, found[function]) or "")


async def test_what_an_operator_sees(rig: Rig, fluentd: FakeFluentd, free_port: int) -> None:
    """`logging` with `format`, `level` and `forward_tag`, `observe` with `listen` and `statistics_every`."""
    stream = rig.make_stream()
    config = configuration(rig.section(stream), fluentd)
    talkative, taciturn = (
        rig.run(config | {"logging": logging, "observe": observe})
        for logging, observe in (
            (
                {"format": "json", "level": "debug", "forward_tag": "amp.log"},
                {"statistics_every": "1s", "listen": f"127.0.0.1:{free_port}"},
            ),
            ({"level": "error"}, {"listen": None}),
        )
    )
    await talkative.logged("total of 1 stream: ")
    assert {"time", "level", "message"} <= json.loads(talkative.log.splitlines()[0]).keys()
    await fluentd.wait_for(lambda: any(chunk.tag == "amp.log" for chunk in fluentd.chunks))
    answer = await asyncio.to_thread(
        urllib.request.urlopen, f"http://127.0.0.1:{free_port}/healthz", timeout=DEADLINE_S
    )
    assert answer.status == 200
    await asyncio.to_thread(rig.broker.wait_for_depth, stream.queue, lambda depth: depth.consumers == 2)
    assert await taciturn.stopped() == 0
    assert taciturn.log == ""
