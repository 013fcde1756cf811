"""What the state file costs: events a second through the conductor into a sink that acks, with a file and without.

``python tests/bench/state.py [EVENTS [ROUNDS]]`` runs both in turn, in processes of their own, and prints each
rate, the medians, and their ratio.  The broker is played by a ledger with a prefetch, the server by a timer.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fluent_plugin_amp.model import Answer, Chunk, Delivery, Outcome
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.testing.events import EventGenerator

EVENT_BYTES = 1500
PREFETCH_COUNT = 500
TOGETHER = 40
"""Events in one read of a socket."""
ROUND_TRIP_S = 0.001
MAX_IN_FLIGHT = 4


class Server:
    """A sink whose chunks are acked after a round trip."""

    available = True

    def __init__(self) -> None:
        self.in_flight = 0
        self.on_answer = lambda answer: None
        self.on_change = lambda: None

    @property
    def room(self) -> int:
        """Chunks it takes."""
        return MAX_IN_FLIGHT - self.in_flight

    def send(self, chunk: Chunk) -> None:
        """Take one."""
        self.in_flight += 1
        asyncio.get_running_loop().call_later(ROUND_TRIP_S, self._ack, chunk)

    def _ack(self, chunk: Chunk) -> None:
        self.in_flight -= 1
        self.on_answer(Answer(chunk, Outcome.ACKED))  # type: ignore[no-untyped-call]
        self.on_change()  # type: ignore[no-untyped-call]

    def shed(self) -> None:
        """Nothing is ever returned."""

    async def run(self) -> None:
        """Nothing to connect."""


class Queue:
    """The ledger of one endless channel."""

    closed = False

    def __init__(self) -> None:
        self.resolved = 0
        self.progress = asyncio.Event()

    def resolve(self, delivery_tag: int) -> None:
        """Make room for another delivery."""
        self.resolved += 1
        self.progress.set()


async def measure(count: int, path: Path | None) -> float:
    """Events a second."""
    generator = EventGenerator(seed=1)
    bodies = list(generator.bodies(count, size=EVENT_BYTES))
    state = None
    if path is not None:
        state = StateFile(path, 86400.0, lambda fact: None)
        await state.start()
    server, queue = Server(), Queue()
    conductor = Conductor(
        {"bench": Transform("bench")},
        server,
        entry,
        Batcher(1024 * 1024, new_chunk_id),
        lambda fact: None,
        dead_letter_tag="dead",
        dead_letter_part_bytes=1024 * 1024,
        delivered=state.delivered if state else None,
    )
    began = time.perf_counter()
    sent = 0
    while queue.resolved < count:
        room = min(TOGETHER, PREFETCH_COUNT - (sent - queue.resolved), count - sent)
        for body in bodies[sent : sent + room]:
            sent += 1
            conductor.receive(Delivery("bench", queue, sent, body, received_at=time.time()))
        if room:
            await asyncio.sleep(0)
        else:
            queue.progress.clear()
            await queue.progress.wait()
    rate = count / (time.perf_counter() - began)
    if state is not None:
        await state.close(30.0)
    return rate


def main() -> None:
    """Both ways in turn."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    rates: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(rounds):
        for way in rates:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "--measure", way, str(count), f"{folder}/state.db"]
                rates[way].append(json.loads(subprocess.check_output(command)))
        print("  ".join(f"{way} {rates[way][-1]:8.0f}/s" for way in rates), flush=True)
    medians = {way: statistics.median(measured) for way, measured in rates.items()}
    best = {way: max(measured) for way, measured in rates.items()}
    for name, rate in {"median": medians, "best": best}.items():
        ratio = rate["with"] / rate["without"]
        print(f"{name}: {rate['without']:.0f} without, {rate['with']:.0f} with, {ratio:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        way, count, path = sys.argv[2:]
        print(asyncio.run(measure(int(count), Path(path) if way == "with" else None)))
    else:
        main()
