"""What becomes of events when something is killed in the middle: lost, doubled, left at the broker.

The receiver writes each event into a file before it acknowledges it, so what it took is known however it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import pika

from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.rabbitmq_node import ADMIN, ADMIN_PASSWORD
from fluent_plugin_amp.testing.receivers import BuiltInReceiver
from tests.bench.latencies import EVENT_BYTES
from tests.bench.rig import Rig
from tests.peers.counting import Tally, tally
from tests.peers.runs import Run, running
from tests.peers.shippers import Shipper

NUMBER = "peer_number"
"""The field that tells an event apart, whatever became of its id."""
AWAY_S = 20.0
QUIET_S = 5.0
"""So long nothing more must come, when everything has arrived."""
QUIET_WITH_GAPS_S = 45.0
"""And when something has not: longer than anybody waits before it tries again."""
MIDDLE_S = 120.0
END_S = 300.0


class Arrivals:
    """What a receiver wrote, read as it grows."""

    def __init__(self, receiver: BuiltInReceiver) -> None:
        self._path = receiver.folder / "events.ndjson"
        self._read_to = 0
        self.all: list[tuple[int, object]] = []
        """Number and id of each event."""
        self.numbers: set[int] = set()
        self.changed_at = time.monotonic()

    def update(self) -> int:
        """Read on; how many different events there are."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.read().splitlines(keepends=True)
            for line in lines:
                if line.endswith(b"\n"):
                    self._read_to += len(line)
                    self._take(msgspec.json.decode(line)["record"])
        return len(self.numbers)

    def _take(self, record: dict[str, object]) -> None:
        number = record.get(NUMBER)
        if isinstance(number, int):  # no probe of a shipper's own
            self.all.append((number, record.get("id")))
            self.numbers.add(number)
            self.changed_at = time.monotonic()


@dataclass
class Scene:
    """Everything, while events are on their way."""

    run: Run
    receiver: BuiltInReceiver
    arrivals: Arrivals
    published: dict[int, object] = field(default_factory=dict)

    def wait_for_share(self, share: float) -> None:
        """Until so much of everything has arrived."""
        wanted = share * len(self.published)
        came = self.run.wait_until(lambda: self.arrivals.update() >= wanted, MIDDLE_S)
        assert came, f"only {len(self.arrivals.numbers)} events arrived\n{self.run.log()}"

    def wait_for_end(self) -> None:
        """Until nothing more comes: everything is there, or nobody tries again, or it takes too long."""
        self.arrivals.changed_at = time.monotonic()  # what was silent during the fault may only begin now

        def is_over() -> bool:
            missing = self.arrivals.update() < len(self.published)
            quiet_s = time.monotonic() - self.arrivals.changed_at
            is_empty = sum(self.run.depth()[:2]) == 0
            return quiet_s > (QUIET_WITH_GAPS_S if missing or not is_empty else QUIET_S)

        self.run.wait_until(is_over, END_S)


def receiver_killed(scene: Scene) -> None:
    """SIGKILL to the receiver when half has arrived; it is back at once, on the same port."""
    scene.wait_for_share(0.5)
    scene.receiver.kill()
    scene.receiver.start()


def shipper_killed(scene: Scene) -> None:
    """SIGKILL to the shipper, all its processes, when half has arrived; it is started again at once."""
    scene.wait_for_share(0.5)
    scene.run.kill()
    scene.run.restart()


def receiver_away(scene: Scene) -> None:
    """The receiver ends when a tenth has arrived, and is back a while later: meanwhile the queue is full."""
    scene.wait_for_share(0.1)
    scene.receiver.stop()
    scene.run.wait_until(lambda: False, AWAY_S)
    scene.receiver.start()


FAULTS: dict[str, Callable[[Scene], None]] = {
    "receiver killed": receiver_killed,
    "shipper killed": shipper_killed,
    f"receiver away for {AWAY_S:.0f} s": receiver_away,
}


def measure(rig: Rig, shipper: Shipper, fault: Callable[[Scene], None], count: int) -> Tally:
    """So many events through a fault."""
    bodies, published = _numbered(count)
    rig.fill(bodies)
    receiver = BuiltInReceiver(rig.folder / f"receiver-{time.monotonic_ns()}")
    receiver.start()
    try:
        arrivals = Arrivals(receiver)
        with running(rig, shipper, receiver.port) as run:
            scene = Scene(run, receiver, arrivals, published)
            fault(scene)
            scene.wait_for_end()
        arrivals.update()
    finally:
        receiver.stop()
    return tally(published, arrivals.all, set(_drain(rig)))


def _numbered(count: int) -> tuple[list[bytes], dict[int, object]]:
    """Events with numbers, and their ids by number."""
    bodies, ids = [], {}
    for number, body in enumerate(EventGenerator(seed=2).bodies(count, size=EVENT_BYTES)):
        event = msgspec.json.decode(body)
        event[NUMBER] = number
        ids[number] = event.get("id")
        bodies.append(msgspec.json.encode(event))
    return bodies, ids


def _drain(rig: Rig) -> Iterator[int]:
    """Take what the queue still has: its events' numbers."""
    parameters = pika.ConnectionParameters(
        rig.broker.host, rig.broker.port, credentials=pika.PlainCredentials(ADMIN, ADMIN_PASSWORD)
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        while True:
            found, _, body = channel.basic_get(rig.streams[0].queue, auto_ack=True)
            if found is None:
                return
            yield msgspec.json.decode(body)[NUMBER]
