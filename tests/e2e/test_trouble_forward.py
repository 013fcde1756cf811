"""What Forward servers do to the plugin: nothing is lost, and what can be delivered is delivered once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from fluent_plugin_amp.pipeline.dead_letters import original_body
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import Security
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.reactions import (
    Ack,
    Answer,
    Close,
    CloseAfterBytes,
    CloseAtOnce,
    CloseMidChunk,
    Hang,
    HoldAck,
    NoAck,
    Reaction,
    Welcome,
    WrongAck,
    WrongPong,
)
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import Rig, StartPlugin
from tests.e2e.plugin import eventually

EVENTS = 100
BRISK = "from fluent_plugin_amp import backoff; backoff.backoff_s = lambda *_, **__: 0.02"
"""A poisonous event is found over a number of connections: lets them follow each other quickly."""
DEAD_LETTERS = "edr.cisco.amp.dead_letters"


@dataclass
class Source:
    """A queue with events in it, and the section that reads it."""

    broker: PrivateRabbitMQ
    stream: StreamCredentials
    section: dict[str, object]
    published: list[bytes]

    async def publish(self, count: int) -> None:
        """Put more events into the queue."""
        more = bodies(count, first=len(self.published))
        self.published += more
        await asyncio.to_thread(self.broker.publish, self.stream.queue, more)

    async def is_empty(self) -> None:
        """Return when the broker holds nothing any more, acked or not."""
        await eventually(lambda: sum(self.broker.queue_depth(self.stream.queue)[:2]) == 0)


@pytest.fixture
def source(broker: PrivateRabbitMQ, make_stream: MakeStream, certificates: Certificates) -> Source:
    """A queue with `EVENTS` events."""
    stream = make_stream()
    published = bodies(EVENTS)
    broker.publish(stream.queue, published)
    return Source(broker, stream, stream_section(stream, certificates), published)


def letters_of(server: FakeFluentd) -> list[dict[str, Any]]:
    """The records of dead letters that were accepted."""
    return [
        entry.record
        for chunk in server.chunks
        if chunk.tag == DEAD_LETTERS and chunk.accepted
        for entry in chunk.entries
    ]


async def test_down_at_start(source: Source, run: StartPlugin) -> None:
    """Without a server nothing is taken from the queue; everything is delivered when the server comes."""
    server = FakeFluentd()
    plugin = run(configuration(source.section, server))
    await plugin.logged("connected to queue")
    await plugin.logged("[forward.unreachable]")
    assert source.broker.queue_depth(source.stream.queue)[:2] == (EVENTS, 0)
    async with server:
        await source.is_empty()
        assert ids_of(server.records) == ids_of(source.published)
        assert server.violations == []


@pytest.mark.parametrize(
    ("reaction", "error_id"),
    [
        pytest.param(CloseMidChunk(), "forward.connection-lost", id="goes away in mid-chunk"),
        pytest.param(Close(), "forward.connection-lost", id="closes before the ack"),
        pytest.param(Close(reset=True), "forward.connection-lost", id="resets before the ack"),
        pytest.param(NoAck(), "forward.ack-timeout", id="never acks"),
        pytest.param(WrongAck(), "forward.wrong-ack", id="acks another chunk"),
        pytest.param(WrongAck(ack=None), "forward.wrong-ack", id="acks nothing"),
        pytest.param(Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "forward.wrong-ack", id="speaks HTTP"),
    ],
)
async def test_a_chunk_without_its_ack(
    source: Source, run: StartPlugin, fluentd: FakeFluentd, reaction: Reaction, error_id: str
) -> None:
    """Every event arrives, no event is accepted twice, and the chunk in doubt comes again under its id."""
    fluentd.script(Ack(), reaction)
    # Only silence is to run into it: an ack that a busy machine delays would, too, and the chunk be accepted twice.
    timeout = "2s" if isinstance(reaction, NoAck) else "60s"
    plugin = run(configuration(source.section, fluentd, ack_response_timeout=timeout), prelude=BRISK)
    await source.is_empty()
    assert ids_of(fluentd.records) == ids_of(source.published)
    sent = [chunk.id for chunk in fluentd.chunks]
    in_doubt = {chunk.id for chunk in fluentd.chunks if not chunk.accepted}
    assert all(sent.count(chunk_id) > 1 for chunk_id in in_doubt)
    assert in_doubt or isinstance(reaction, CloseMidChunk)
    assert f"[{error_id}" in plugin.log
    assert "in doubt will be sent again" in plugin.log
    assert fluentd.violations == []


@pytest.mark.parametrize(
    ("welcome", "error_id"),
    [
        pytest.param(Hang(), "forward.ack-timeout", id="hangs"),
        pytest.param(CloseAtOnce(), "forward.connection-lost", id="closes"),
        pytest.param(CloseAtOnce(reset=True), "forward.", id="resets"),
        pytest.param(CloseAfterBytes(100), "forward.connection-lost", id="resets while it reads"),
    ],
)
async def test_a_bad_connection(
    source: Source, run: StartPlugin, fluentd: FakeFluentd, welcome: Welcome, error_id: str
) -> None:
    """A server that accepts a connection and then does not serve it costs one try, and no event."""
    fluentd.script_connections(welcome)
    timeout = "2s" if isinstance(welcome, Hang) else "60s"  # as above
    plugin = run(configuration(source.section, fluentd, ack_response_timeout=timeout))
    await source.is_empty()
    assert ids_of(fluentd.records) == ids_of(source.published)
    assert f"[{error_id}" in plugin.log
    assert fluentd.counts.connections == 2
    assert fluentd.violations == []


async def test_a_handshake_that_never_comes(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """A server that accepts the connection and says no HELO is given up after connect_timeout, and tried again."""
    fluentd.security = Security("key")
    fluentd.script_connections(Hang())
    security = {"self_hostname": "plugin.example", "shared_key": "key"}
    plugin = run(configuration(source.section, fluentd, connect_timeout="300ms", security=security))
    await source.is_empty()
    assert ids_of(fluentd.records) == ids_of(source.published)
    assert "the handshake was not done within 0.3 s" in plugin.log


async def test_poison_in_a_flow(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """While events keep coming, the one that closes the connection becomes a dead letter; all others arrive once."""
    poison = source.published[EVENTS // 3]
    fluentd.poison = lambda entry: entry.record == json.loads(poison)
    plugin = run(configuration(source.section, fluentd), prelude=BRISK)
    deadline = time.monotonic() + DEADLINE_S
    while not letters_of(fluentd):
        assert time.monotonic() < deadline, plugin.log
        await source.publish(1)
        await asyncio.sleep(0.05)
    await source.is_empty()
    (letter,) = letters_of(fluentd)
    assert original_body([letter]) == poison
    assert letter["error_id"] == "event.refused-by-server"
    assert ids_of(fluentd.records) + ids_of([poison]) == ids_of(source.published)
    assert "[event.refused-by-server]" in plugin.log
    assert "split to find the one" in plugin.log
    assert fluentd.violations == []


async def test_poison_and_nothing_else(rig: Rig, fluentd: FakeFluentd) -> None:
    """A poisonous event with nothing beside or behind it becomes a dead letter too: probes are the proof."""
    stream = rig.make_stream()
    published = bodies(1)
    rig.broker.publish(stream.queue, published)
    fluentd.poison = lambda entry: "id" in entry.record
    rig.run(configuration(rig.section(stream), fluentd), prelude=BRISK)
    await fluentd.wait_for(lambda: letters_of(fluentd), timeout_s=DEADLINE_S)
    await eventually(lambda: rig.broker.queue_depth(stream.queue)[:2] == (0, 0))
    assert original_body(letters_of(fluentd)) == published[0]
    assert fluentd.violations == []


async def test_once_ends_with_poison_and_nothing_else(rig: Rig, fluentd: FakeFluentd) -> None:
    """Within a short pause_after, with the back-off as it is: the event is a dead letter, and all is well."""
    stream = rig.make_stream()
    published = bodies(1)
    rig.broker.publish(stream.queue, published)
    fluentd.poison = lambda entry: "id" in entry.record
    plugin = rig.run(configuration(rig.section(stream), fluentd, pause_after="30s"), "--once")
    assert await plugin.ended() == 0, plugin.log
    assert original_body(letters_of(fluentd)) == published[0]


async def test_two_servers_the_first_one_killed(source: Source, run: StartPlugin, fluentd: FakeFluentd) -> None:
    """Both get chunks; what the killed one had not acked goes to the other under the same id, nothing is lost."""
    first, second = fluentd, FakeFluentd()
    async with second:
        plugin = run(configuration(source.section, first, second, chunk_limit_size="16KiB"))
        while not (first.records and second.records):  # the one that is connected first may get many chunks
            await source.publish(1)
            await source.is_empty()
        first.reaction = HoldAck()
        while all(chunk.accepted for chunk in first.chunks):  # the next chunk may be the other's
            await source.publish(EVENTS)
            await asyncio.sleep(0.1)
        await first.stop()
        await source.is_empty()
        in_doubt = {chunk.id for chunk in first.chunks if not chunk.accepted}
        assert in_doubt <= {chunk.id for chunk in second.chunks if chunk.accepted}
        assert ids_of([*first.records, *second.records]) == ids_of(source.published)
        assert "[forward.connection-lost]" in plugin.log
        assert first.violations + second.violations == []


async def test_handshakes_refused(source: Source, run: StartPlugin) -> None:
    """Each is said with id and remedy, and tried again slowly, not in a storm; nothing leaves the queue."""
    user = {"user": "pass s3cret"}
    async with contextlib.AsyncExitStack() as stack:
        refusing = [
            await stack.enter_async_context(FakeFluentd(security=security))
            for security in (
                Security("another key"),
                Security("our s3cret", {"user": "another password"}),
                Security("our s3cret", {"somebody": "pass s3cret"}),
                Security("our s3cret", user),
                Security("our s3cret", user),
            )
        ]
        refusing[3].welcome = CloseAfterBytes(1)  # in the middle of our PING, as Fluent Bit does
        refusing[4].welcome = WrongPong()  # which does not prove that it knows the key
        ours = {
            "self_hostname": "plugin.example",
            "shared_key": "our s3cret",
            "username": "user",
            "password": "pass s3cret",
        }
        plugin = run(configuration(source.section, *refusing, security=ours))
        for server in refusing:
            await plugin.logged(f"server {server.host}:{server.port}: [forward.handshake-refused]")
        assert plugin.log.count("Compare forward.security with the server's <security> section") >= 3
        await asyncio.sleep(1.5)  # time for the storm that must not come
        assert [server.counts.connections for server in refusing] == [1] * 5
        assert source.broker.queue_depth(source.stream.queue)[:2] == (EVENTS, 0)
        assert "s3cret" not in plugin.log
