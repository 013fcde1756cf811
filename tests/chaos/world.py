"""The world that the chaos suite shakes: broker, receiver, plugin and publisher as real processes, proxies between.

::

    publisher ──▶ RabbitMQ ──▶ proxy ──▶ fluent-plugin-amp run ──▶ proxy ──▶ receiver
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgpack

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.erlang import NodeError
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.fluentd_process import NO_ID, entries, id_line
from fluent_plugin_amp.testing.forward import decode_message, make_unpacker
from fluent_plugin_amp.testing.proxy import TcpProxy
from fluent_plugin_amp.testing.publisher import PublishError
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.receivers import BuiltInReceiver, Kind, Receiver, make_receiver
from tests.chaos.means import Clock, SmallDisk, small_disk
from tests.e2e.plugin import Plugin
from tests.processes import memory_mib

FIRST_ID = 6_533_241_145_000_000_000
ACK_DELAY_S = 0.03
"""How much later the receiver's acks reach the plugin: so long a chunk is surely in flight."""
ACK_TIMEOUT_S = 2.0
HEARTBEAT_S = 2.0
PUBLISH_EVERY_S = 0.25
DELIVERY_LIMIT = 20
BODIES_KEPT = 20_000
POISON_EVERY = 50
"""So many events, and one of them cannot be a record: in turn no JSON, and one at which `TRIP` stumbles."""
TRIP = """
from fluent_plugin_amp.pipeline import conductor
def stumble(body, decode=conductor.decode):
    if b'"chaos":"trip"' in body:
        raise ZeroDivisionError("nobody foresaw this")
    return decode(body)
conductor.decode = stumble
"""
_ID = re.compile(rb'"id\\?": ?(%d\d{9})\b' % (FIRST_ID // 10**9))


class Arrival(NamedTuple):
    """One event as the receiver has it, as a record or as a dead letter."""

    number: int
    at: float
    """Seconds since the epoch; 0 where the receiver does not tell."""
    chunk: str
    """Empty where the receiver does not tell."""


class ChaosReceiver(BuiltInReceiver):
    """The built-in receiver, noting ids, arrivals and chunks."""

    def _command(self) -> list[str]:
        return [*super()._command()[:-2], "--ids", str(self.folder / "ids")]


class Tap:
    """Notes what the plugin sends, as a `ChaosReceiver` does: chunks and times, which real servers do not tell."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._unpackers: dict[int, msgpack.Unpacker] = defaultdict(make_unpacker)

    def sent(self, connection: int, data: bytes) -> None:
        """These bytes go to the server now."""
        unpacker = self._unpackers[connection]
        unpacker.feed(data)
        for each in unpacker:
            message = decode_message(each)
            self._file.write(b"".join(id_line(message, *entry) for entry in entries(message)))


class Arrivals:
    """Reads what a receiver wrote, or a `Tap`, only what is new each time."""

    def __init__(self, receiver: Receiver | Path) -> None:
        self._receiver = receiver
        self._ids = receiver if isinstance(receiver, Path) else None
        if isinstance(receiver, ChaosReceiver):
            self._ids = receiver.folder / "ids"
        self._read_to: dict[Path, int] = defaultdict(int)
        self.all: list[Arrival] = []
        self.numbers: set[int] = set()

    def update(self) -> list[Arrival]:
        """Everything that arrived so far."""
        if self._ids is not None:
            for line in self._new_lines(self._ids):
                id_, _, _, at_ns, chunk = line.decode().split("\t")
                if id_ != NO_ID:  # a probe of the plugin's own
                    self._add(Arrival(int(id_) - FIRST_ID, int(at_ns) / 1e9, chunk))
        else:
            assert isinstance(self._receiver, Receiver)
            for path in (*self._receiver.folder.glob("events*.log"), *self._receiver.folder.glob("events/*")):
                for line in self._new_lines(path):
                    if found := _ID.search(line):
                        self._add(Arrival(int(found.group(1)) - FIRST_ID, 0.0, ""))
        return self.all

    def _add(self, arrival: Arrival) -> None:
        self.all.append(arrival)
        self.numbers.add(arrival.number)

    def _new_lines(self, path: Path) -> list[bytes]:
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read_to[path])
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._read_to[path] += len(complete)
        return complete.split(b"\n")[:-1]


class Publisher:
    """Publishes numbered events at a steady rate, from a thread of its own.

    Numbers in ``confirmed`` are the broker's responsibility.  When publishing fails, nobody knows which of the batch
    it took: their numbers are in neither set that must match, and are not used again.
    """

    def __init__(
        self, broker: PrivateRabbitMQ, queue: str, rate: float, seed: int, *, poisoned: bool = False
    ) -> None:
        self.confirmed: set[int] = set()
        self.next = 0
        self.pause = threading.Lock()
        """Nothing is published while somebody has it."""
        self._broker = broker
        self._queue = queue
        self._rate = rate
        self._poisoned = poisoned
        self._events = EventGenerator(seed)
        self.twice: set[int] = set()
        """Published again: two messages, of which both may arrive."""
        self._bodies: dict[int, bytes] = {}  # the latest
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch under way."""
        self._stop.set()
        self._thread.join()

    def publish_again(self, numbers: set[int]) -> None:
        """The same bodies again, in order."""
        self.twice |= numbers
        self._broker.publish(self._queue, [self._bodies[number] for number in sorted(numbers)])

    def _run(self) -> None:
        while not self._stop.wait(PUBLISH_EVERY_S):
            with self.pause:
                self._publish()

    def _publish(self) -> None:
        numbers = range(self.next, self.next + round(self._rate * PUBLISH_EVERY_S))
        self.next = numbers.stop
        self._bodies.update((number, self._body(number)) for number in numbers)
        for number in list(itertools.islice(self._bodies, max(0, len(self._bodies) - BODIES_KEPT))):
            del self._bodies[number]
        try:
            self._broker.publish(self._queue, [self._bodies[number] for number in numbers])
        except (PublishError, OSError, NodeError):
            return
        self.confirmed.update(numbers)

    def _body(self, number: int) -> bytes:
        event = self._events.event()
        event["id"] = FIRST_ID + number
        turn, rest = divmod(number, POISON_EVERY)
        is_poison = self._poisoned and not rest
        if is_poison and turn % 2:
            event["chaos"] = "trip"
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        return body + b"}" if is_poison and not turn % 2 else body


@dataclass
class World:
    """Everything, running."""

    folder: Path
    broker: PrivateRabbitMQ
    queue: str
    amqp: TcpProxy
    forward: TcpProxy
    receiver: Receiver
    plugin: Plugin
    publisher: Publisher
    arrivals: Arrivals
    sendings: Arrivals
    """The same with chunks and times: what arrived, or where the receiver does not tell them, what was sent to it."""
    clock: Clock
    state_path: Path
    disk: SmallDisk | None
    """With the state file on it."""
    declare: Callable[[], None]
    """Makes the queue."""
    peak_mib: float = 0.0

    def is_busy(self) -> bool:
        """A delivery is unacked and a chunk is in flight: a fault would hit."""
        try:
            unacked = self.broker.queue_depth(self.queue).unacked
        except NodeError:
            return False
        return unacked > 0 and self.forward.waits_for_reply

    def wait_until_busy(self, timeout_s: float = 10.0) -> bool:
        """Wait for `is_busy`."""
        return wait_for(self.is_busy, timeout_s)

    def wait_until_consuming(self, timeout_s: float = 10.0) -> None:
        """Wait until the queue has a consumer with something unacked."""
        self.broker.wait_for_depth(self.queue, lambda depth: depth.consumers > 0 < depth.unacked, timeout_s)

    def wait_for_delivery(self, timeout_s: float = 90.0, *, published_since: int | None = None) -> float | None:
        """Until an event arrives that was published after now, or from that number on.

        Real servers write what they acked when they see fit: of those the next ack is waited for.  Returns the
        seconds it took, None when nothing came.
        """
        began = time.monotonic()
        self.note_memory()
        mark = self.publisher.next if published_since is None else published_since
        seen, replies = len(self.arrivals.update()), self.forward.replies

        def delivered_again() -> bool:
            nonlocal seen
            if not isinstance(self.receiver, ChaosReceiver):
                return self.forward.replies > replies
            arrivals = self.arrivals.update()
            new, seen = arrivals[seen:], len(arrivals)
            return any(arrival.number >= mark for arrival in new)

        return time.monotonic() - began if wait_for(delivered_again, timeout_s) else None

    def listen(self, text: str) -> Callable[[float], bool]:
        """A wait, of so many seconds at most, for ``text`` in what the plugin logs from now on."""
        mark = self.plugin.log_file.stat().st_size

        def is_said() -> bool:
            with self.plugin.log_file.open("rb") as file:
                file.seek(mark)
                return text.encode() in file.read()

        return lambda timeout_s: wait_for(is_said, timeout_s)

    @contextlib.contextmanager
    def queue_deleted(self) -> Iterator[None]:
        """Without the queue; afterwards it is there again, with what had been published and has not arrived."""
        with self.publisher.pause:
            self.broker.delete_queue(self.queue)
            try:
                yield
            finally:
                self.declare()
                self.arrivals.update()
                self.publisher.publish_again(self.publisher.confirmed - self.arrivals.numbers)

    def shorten_state_log(self) -> None:
        """Have the state file's log begin anew, so that it has to grow with the next commit."""
        with contextlib.closing(sqlite3.connect(self.state_path, timeout=1.0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def note_memory(self) -> None:
        """Remember the plugin's peak."""
        with contextlib.suppress(OSError):
            self.peak_mib = max(self.peak_mib, memory_mib(self.plugin.pid))

    def drained(self) -> bool:
        """Nothing is left at the broker, and everything confirmed has arrived."""
        depth = self.broker.queue_depth(self.queue)
        return depth.ready == depth.unacked == 0

    def chunks(self) -> dict[str, set[int]]:
        """The events of each chunk, by its id."""
        events: dict[str, set[int]] = defaultdict(set)
        for sending in self.sendings.update():
            events[sending.chunk].add(sending.number)
        return events

    def twice(self) -> Iterator[tuple[int, list[Arrival]]]:
        """Events that arrived more than once, but for those that were published again: how often, and as sent."""
        arrived = Counter(arrival.number for arrival in self.arrivals.update())
        sent: dict[int, list[Arrival]] = defaultdict(list)
        for sending in self.sendings.update():
            sent[sending.number].append(sending)
        for number, times in arrived.items():
            if times > 1 and number not in self.publisher.twice:
                yield times, sent[number]


@contextlib.contextmanager
def make_world(
    folder: Path,
    *,
    kind: Kind = "built-in",
    queue_kind: Literal["classic", "quorum"] = "classic",
    rate: float = 400.0,
    seed: int = 0,
    prelude: str = "",
) -> Iterator[World]:
    """Start everything, and stop everything."""
    certificates = make_certificates(folder / "certificates")
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(PrivateRabbitMQ(certificates=certificates))
        limit: dict[str, Any] = {"kind": "quorum", "delivery_limit": DELIVERY_LIMIT} if queue_kind == "quorum" else {}
        disk = stack.enter_context(small_disk(folder / "disk"))
        clock = Clock(folder / "clock")
        stream = broker.create_stream("event_stream_1", **limit)
        receiver = (
            ChaosReceiver(folder / "receiver") if kind == "built-in" else make_receiver(kind, folder / "receiver")
        )
        receiver.start()
        stack.callback(receiver.stop)
        amqp = stack.enter_context(TcpProxy(broker.tls_port))
        arrivals = sendings = Arrivals(receiver)
        on_sent: Callable[[int, bytes], None] = lambda connection, data: None  # noqa: E731
        if kind != "built-in":
            on_sent = Tap(folder / "sent").sent
            sendings = Arrivals(folder / "sent")
        forward = stack.enter_context(TcpProxy(receiver.port, reply_delay_s=ACK_DELAY_S, on_sent=on_sent))
        config = {
            "streams": [
                {
                    "name": "chaos",
                    "url": f"amqps://localhost:{amqp.port}",
                    "username": stream.username,
                    "password": stream.password,
                    "queue": stream.queue,
                    "heartbeat": HEARTBEAT_S,
                    "tls": {"ca_file": str(certificates.ca_file)},
                }
            ],
            "forward": {
                "servers": [{"host": "127.0.0.1", "port": forward.port}],
                "ack_response_timeout": ACK_TIMEOUT_S,
                "shutdown_timeout": 5,
            },
            "state": {"path": str(folder / "disk" / "state.db")},
            "observe": {"listen": None},
            "logging": {"level": "debug"},  # what repeats itself is told too: evidence
        }
        plugin = stack.enter_context(Plugin(folder, config, prelude=clock.prelude + TRIP + prelude))
        publisher = Publisher(broker, stream.queue, rate, seed, poisoned=True)
        publisher.start()
        stack.callback(publisher.stop)
        yield World(
            folder=folder,
            broker=broker,
            queue=stream.queue,
            declare=partial(broker.declare_queue, stream.queue, **limit),
            amqp=amqp,
            forward=forward,
            receiver=receiver,
            plugin=plugin,
            publisher=publisher,
            arrivals=arrivals,
            sendings=sendings,
            clock=clock,
            disk=disk,
            state_path=folder / "disk" / "state.db",
        )


def wait_for(condition: Any, timeout_s: float, every_s: float = 0.02) -> bool:
    """Poll until ``condition`` is true, or the time is over: what another process does can only be polled."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
