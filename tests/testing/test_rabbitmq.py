"""The private RabbitMQ: it behaves as Cisco's broker does, survives what tests do to it, and leaves nothing."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAuthenticationError

from fluent_plugin_amp.testing.certificates import OTHER_HOST, Certificates
from fluent_plugin_amp.testing.erlang import NodeError
from fluent_plugin_amp.testing.publisher import PublishError
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, QueueDepth, StreamCredentials
from fluent_plugin_amp.testing.rabbitmq_node import find_server
from fluent_plugin_amp.testing.waiting import DEADLINE_S

pytestmark = pytest.mark.skipif(find_server() is None, reason="no RabbitMQ on this machine")

OWNER = """
import signal
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
broker = PrivateRabbitMQ()
broker.start()
print(broker.folder, flush=True)
signal.pause()
"""


@pytest.fixture
def stream(broker: PrivateRabbitMQ, request: pytest.FixtureRequest) -> StreamCredentials:
    """A stream of the test's own."""
    return broker.create_stream(f"event_stream_{request.node.name}")


def connect(broker: PrivateRabbitMQ, stream: StreamCredentials) -> BlockingChannel:
    """A channel of the stream's user."""
    credentials = pika.PlainCredentials(stream.username, stream.password)
    parameters = pika.ConnectionParameters("127.0.0.1", broker.port, credentials=credentials)
    return pika.BlockingConnection(parameters).channel()


def drain(channel: BlockingChannel, queue: str) -> list[bytes]:
    """What is in the queue, acked."""
    bodies = []
    for method, _, body in channel.consume(queue, inactivity_timeout=0.3):
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
        bodies.append(body)
    channel.cancel()
    return bodies


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that were started with this folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        # A zombie has neither.
        if str(folder).encode() in environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_until_gone(folder: Path) -> None:
    """Fails when a process still lives on the folder after half a minute."""
    deadline = time.monotonic() + DEADLINE_S
    while left := processes_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_stream_user_reads_its_queue(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """A passive declare and a consumer work, and bodies come in order."""
    bodies = [b"%d" % number for number in range(2500)]
    assert broker.publish(stream.queue, bodies) == 2500
    channel = connect(broker, stream)
    channel.queue_declare(stream.queue, passive=True, durable=True)
    assert drain(channel, stream.queue) == bodies


def test_a_stream_user_configures_nothing(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """An active declare is refused, as by Cisco."""
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        connect(broker, stream).queue_declare(stream.queue, durable=True)


def test_a_stream_user_reads_no_other_queue(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """Not even one whose name begins alike."""
    other = broker.create_stream(stream.queue + "2")
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        connect(broker, stream).basic_get(other.queue)


def test_events_are_routed_as_in_the_cloud(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """A stream of one event type gets that type alone; key and CC header are those recorded at Cisco."""
    picky = broker.create_stream("event_stream_7700", binding_keys=["*.*.553648143"])
    quarantined = b'{"event_type_id":553648143,"connector_guid":"c","group_guids":["g"]}'
    hostile = [b'{"event_type_id":1003}', b"no JSON", b"[1]", b"[" * 100_000, b'{"group_guids":3}']
    assert broker.publish_routed([quarantined, *hostile]) == 6
    assert drain(connect(broker, stream), stream.queue) == [quarantined, *hostile]
    method, properties, body = connect(broker, picky).basic_get(picky.queue)
    assert body == quarantined
    assert method.exchange == "events_api_stream"
    organisation, rest = method.routing_key.split(".", 1)
    assert (len(organisation), rest) == (36, "c.553648143")
    assert properties.headers == {"CC": [f"{organisation}.c.553648143.g"]}
    assert (properties.delivery_mode, properties.content_type) == (2, "application/octet-stream")
    assert broker.queue_depth(picky.queue).ready + broker.queue_depth(picky.queue).unacked <= 1


def test_a_publisher_learns_that_nobody_got_its_message(broker: PrivateRabbitMQ) -> None:
    """A missing queue raises, however far into the bodies the broker says so."""
    with pytest.raises(PublishError, match="NO_ROUTE"):
        broker.publish("no_such_queue", (b"x" for _ in range(5000)))


def test_bodies_of_any_size_arrive_whole(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """Empty, one frame full, one byte more, several megabytes."""
    bodies = [b"x" * size for size in (0, 1, 131_064, 131_065, 6 << 20, 0)]
    broker.publish(stream.queue, bodies)
    assert drain(connect(broker, stream), stream.queue) == bodies


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_depth_is_exact_at_once(broker: PrivateRabbitMQ, kind: str) -> None:
    """Ready, unacked and consumers are told without the delay of the broker's statistics."""
    queue = f"event_stream_depth_{kind}"
    stream = broker.create_stream(queue, kind="quorum" if kind == "quorum" else "classic")
    broker.publish(queue, [b"1", b"2", b"3"])
    assert broker.queue_depth(queue) == QueueDepth(ready=3, unacked=0, consumers=0)
    channel = connect(broker, stream)
    channel.basic_qos(prefetch_count=2)
    next(channel.consume(queue))
    assert broker.wait_for_depth(queue, lambda depth: depth.unacked > 1) == QueueDepth(1, 2, 1)
    broker.purge(queue)
    assert broker.queue_depth(queue) == QueueDepth(ready=0, unacked=2, consumers=1)
    broker.delete_queue(queue)
    with pytest.raises(NodeError, match="no queue"):
        broker.queue_depth(queue)


def test_waiting_for_a_depth_ends(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """What does not come true is an error that tells the depth there is."""
    with pytest.raises(TimeoutError, match="ready=0"):
        broker.wait_for_depth(stream.queue, lambda depth: depth.ready > 0, timeout_s=0.1)


def test_a_quorum_queue_deletes_what_was_returned_too_often(broker: PrivateRabbitMQ) -> None:
    """The delivery limit is in force, and the broker counts."""
    stream = broker.create_stream("event_stream_limited", kind="quorum", delivery_limit=1)
    broker.publish(stream.queue, [b"x"])
    channel = connect(broker, stream)
    counts = []
    for method, properties, _ in channel.consume(stream.queue, inactivity_timeout=1):
        if method is None:
            break
        counts.append((properties.headers or {}).get("x-delivery-count"))
        channel.basic_nack(method.delivery_tag)
    assert counts in ([None, 1], [0, 1])
    assert broker.queue_depth(stream.queue).ready == 0


def test_the_broker_closes_connections_on_demand(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """One user's, or all: clients see 320 CONNECTION_FORCED."""
    other = broker.create_stream("event_stream_undisturbed")
    mine, others = connect(broker, stream), connect(broker, other)
    assert broker.close_all_connections(stream.username) == 1
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        mine.connection.process_data_events(time_limit=30)
    others.basic_get(other.queue)
    assert broker.close_all_connections() >= 1
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        others.connection.process_data_events(time_limit=30)


def test_a_delivery_unacked_for_too_long_closes_the_channel(
    broker: PrivateRabbitMQ, stream: StreamCredentials
) -> None:
    """406, within the time asked for and not a minute later."""
    broker.publish(stream.queue, [b"x"])
    broker.set_consumer_timeout(0.2, check_every_s=0.1)
    try:
        channel = connect(broker, stream)
        deliveries = channel.consume(stream.queue, inactivity_timeout=DEADLINE_S)
        next(deliveries)
        with pytest.raises(ChannelClosedByBroker, match=r"406.*timed out"):
            next(deliveries)
    finally:
        broker.set_consumer_timeout(None)


def test_users_change(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """Passwords, permissions and users themselves can be taken away; names may hold anything."""
    broker.add_user("o'neil (\"}ü", "pass\nword'")
    broker.set_permissions("o'neil (\"}ü", read=".*")
    odd = StreamCredentials(stream.queue, "o'neil (\"}ü", "pass\nword'", "", "")
    connect(broker, odd).basic_get(stream.queue)
    broker.set_permissions(stream.username)
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        connect(broker, stream).basic_get(stream.queue)
    broker.change_password(stream.username, "new")
    with pytest.raises(ProbableAuthenticationError):
        connect(broker, stream)
    broker.delete_user(odd.username)
    with pytest.raises(ProbableAuthenticationError):
        connect(broker, odd)


def test_a_frozen_broker_goes_on_after_thawing(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """While frozen it answers nothing; nothing is lost by it."""
    broker.freeze()
    try:
        status = Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert status == "T"
    finally:
        broker.thaw()
    assert broker.publish(stream.queue, [b"x"]) == 1


def test_a_failing_expression_is_an_error_and_no_more(broker: PrivateRabbitMQ) -> None:
    """The console answers the next question."""
    with pytest.raises(NodeError, match="badarith"):
        broker.evaluate("1 / 0")
    with pytest.raises(NodeError, match="failed"):
        broker.evaluate("no erlang at all")
    assert broker.evaluate("{1 + 1,\n <<1, 2>>}") == "{2,<<1,2>>}"


def test_tls_with_the_certificate_asked_for(broker: PrivateRabbitMQ, certificates: Certificates) -> None:
    """A verifying client is content with the TLS port."""
    context = ssl.create_default_context(cafile=certificates.ca_file)
    parameters = pika.URLParameters(broker.tls_url.replace("//", "//admin:private@"))
    parameters.ssl_options = pika.SSLOptions(context, "localhost")
    pika.BlockingConnection(parameters).close()


def test_an_orderly_restart_keeps_messages(broker: PrivateRabbitMQ, stream: StreamCredentials) -> None:
    """Clients are told with 320; what was persistent is there afterwards, on the same port."""
    broker.publish(stream.queue, [b"x", b"y"])
    channel = connect(broker, stream)
    broker.restart()
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        channel.connection.process_data_events(time_limit=30)
    assert drain(connect(broker, stream), stream.queue) == [b"x", b"y"]


def test_a_crash_keeps_messages_and_closing_leaves_nothing(certificates: Certificates) -> None:
    """SIGKILL and a new start: ports, users and messages as before; then no process and no folder is left."""
    node = PrivateRabbitMQ(
        certificates=certificates, server_certificate=certificates.other_host, demand_client_certificate=True
    )
    with pytest.raises(NodeError, match="not running"):
        node.queue_depth("any")
    with node:
        stream = node.create_stream(kind="quorum")
        node.publish(stream.queue, [b"x"])
        node.kill()
        wait_until_gone(node.folder)  # its disk monitor is a shell that ends when nobody speaks to it any more
        with pytest.raises(PublishError, match="refused"):
            node.publish(stream.queue, [b"y"])
        node.start()
        assert drain(connect(node, stream), stream.queue) == [b"x"]
        context = ssl.create_default_context(cafile=certificates.ca_file)
        context.load_cert_chain(certificates.client.cert_file, certificates.client.key_file)
        parameters = pika.URLParameters(node.tls_url.replace("//", "//admin:private@"))
        parameters.ssl_options = pika.SSLOptions(context, OTHER_HOST)
        pika.BlockingConnection(parameters).close()
        parameters.ssl_options = pika.SSLOptions(ssl.create_default_context(cafile=certificates.ca_file), OTHER_HOST)
        with pytest.raises(pika.exceptions.AMQPError):
            pika.BlockingConnection(parameters)
        node.stop()
        assert not node.running
        assert processes_in(node.folder) == []
    assert not node.folder.exists()


def test_the_node_ends_with_its_owner() -> None:
    """A SIGKILL to the process that started it leaves no process of the node."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert processes_in(folder)
        owner.kill()
    wait_until_gone(folder)
    shutil.rmtree(folder)
