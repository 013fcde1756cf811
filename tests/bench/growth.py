"""What an event costs as things grow, one at a time: detections, servers, what is open, what is remembered.

Each is a generator of rows ``<number> <of what>: <cost>``, from the least number to the greatest.  What needs no
broker is measured in this process, in processor time.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.pipeline.combine.detections import Detections
from fluent_plugin_amp.pipeline.combine.incidents import GROUPINGS, Incidents
from fluent_plugin_amp.pipeline.combine.member import THREAT_DETECTED, Member
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import BLOCK_EVENTS, Block
from fluent_plugin_amp.testing.events import EventGenerator
from tests.bench.job import Job, Row, with_state
from tests.bench.latencies import EVENT_BYTES

SHARES = (0, 10, 100)
SERVERS = (1, 8)
OPEN = (0, 1_000, 10_000, 100_000)
REMEMBERED = (0, 10_000, 100_000, 1_000_000)
FURTHER = 1000
"""So many detections or events are added to what is open or remembered, to see what one costs."""
TOGETHER = 80
"""Events in a commit, about as many as under load."""
PASSES = 5
_START = 1_600_000_000
_WRITTEN_AT_ONCE = 100_000


def shares(job: Job) -> Iterator[Row]:
    """Of the events, so many percent are parts of detections; each of them takes part in combined records."""
    count = job.events // 4
    for share in SHARES:
        detections = EventGenerator(seed=1, event_type_ids=[THREAT_DETECTED])
        others = EventGenerator(seed=2, event_type_ids=[1003, 553648166])
        chosen = random.Random(3)
        bodies = [
            (detections if chosen.random() * 100 < share else others).body(size=EVENT_BYTES) for _ in range(count)
        ]

        found = job.rig.plugin(bodies, detections={}, incidents={}, of_stream={"cloud": "eu"}, **with_state(job.rig))
        yield Row(f"{share} % detections: microseconds of processor an event", (found.cpu_s / count * 1e6,))


def servers(job: Job) -> Iterator[Row]:
    """The events are divided among so many servers."""
    bodies = job.bodies(job.events // 4)
    for servers in SERVERS:
        cost_us = job.rig.plugin(bodies, servers=servers).cpu_s / len(bodies) * 1e6
        yield Row(f"{servers} servers: microseconds of processor an event", (cost_us,))


def open_detections(job: Job) -> Iterator[Row]:
    """So many detections are open, and as many incidents of each grouping, while further ones come."""
    for count in OPEN:
        detections, incidents = Detections(60.0, 200_000), Incidents(300.0, 60.0, tuple(GROUPINGS), 800_000)
        _add(detections, incidents, range(count))
        added_us = ticked_us = float("inf")
        for number in range(PASSES):
            first = count + number * FURTHER
            further = range(first, first + FURTHER)
            added_us = min(added_us, _us(partial(_add, detections, incidents, further)) / FURTHER)
            ticked_us = min(ticked_us, _us(partial(_tick, detections, incidents)))
        yield Row(f"{count:,} open detections: microseconds a further one", (added_us,))
        yield Row(f"{count:,} open detections: microseconds for the clock, once a second", (ticked_us,))


def remembered(job: Job) -> Iterator[Row]:
    """So many events are remembered in the state file: what a look-up, a commit, its index and pruning cost."""
    for count in REMEMBERED:
        if count > 10 * job.events:
            continue
        with tempfile.TemporaryDirectory(dir=job.rig.folder) as folder:
            store = Store.open(Path(folder) / "state.db", create=True)
            digests = _remember(store, count)
            job.say(f"{count:,} events remembered: {(Path(folder) / 'state.db').stat().st_size:,} bytes")
            for name, cost_us in _state_costs(store, digests).items():
                yield Row(f"{count:,} events remembered: microseconds {name}", (cost_us,))
            store.close()


# --- how -----------------------------------------------------------------------------------------


def _add(detections: Detections, incidents: Incidents, numbers: Sequence[int]) -> None:
    for number in numbers:
        member = Member(
            number.to_bytes(16, "big"),
            *(_START + number // 1000, 0, number, "Threat Detected", THREAT_DETECTED, "W32.Bad", "High"),
            *(str(number), f"{number:064x}", f"{number:032x}", None, b""),
        )
        detections.add("s", member, _START)
        incidents.add("s", member, _START)
    detections.changes.clear()
    incidents.changes.clear()


def _tick(detections: Detections, incidents: Incidents) -> None:
    detections.tick(_START)
    incidents.close_quiet("s", 0.0)


def _remember(store: Store, count: int) -> list[bytes]:
    """Index so many events; some of their digests."""
    some: list[bytes] = []
    for start in range(0, count, _WRITTEN_AT_ONCE):
        blocks = _blocks(range(start, min(start + _WRITTEN_AT_ONCE, count)), BLOCK_EVENTS)
        some += [block.digests[0] for block in blocks]
        with store.transaction():
            store.add_delivered(blocks)
        if (start // _WRITTEN_AT_ONCE) % 10 == 9:
            store.index_all()
    store.index_all()
    return random.Random(4).sample(some, min(len(some), FURTHER))


def _blocks(numbers: range, size: int) -> list[Block]:
    chosen = random.Random(numbers.start)
    return [
        Block(
            "s",
            _START + start // 1000,
            [chosen.randbytes(16) for _ in numbers[at : at + size]],
            [
                EventIdentity(6533241145273614339 + number, _START + number // 1000, 0, THREAT_DETECTED, "c" * 36)
                for number in numbers[at : at + size]
            ],
        )
        for at, start in enumerate(numbers[::size])
        for at in (at * size,)
    ]


def _state_costs(store: Store, digests: list[bytes]) -> dict[str, float]:
    unknown = [random.Random(5).randbytes(16) for _ in range(FURTHER)]
    first = 1_000_000_000

    def commit(blocks: list[Block]) -> None:
        for block in blocks:
            store.add_delivered([block])

    blocks = _blocks(range(first, first + 20 * FURTHER), TOGETHER)
    looked_up = [*digests, *unknown]
    costs = {
        "a look-up": min(_us(lambda: [store.contains("s", each) for each in looked_up]) for _ in range(PASSES))
        / len(looked_up),
        f"a commit of {TOGETHER}": _us(lambda: commit(blocks)) / len(blocks),
        "an event indexed": _us(store.index_all) / (20 * FURTHER),
    }

    steps = 10
    costs["an event pruned"] = _us(partial(_prune, store, steps, _START + first)) / (steps * FURTHER)
    return costs


def _prune(store: Store, steps: int, before: int) -> None:
    for _ in range(steps):
        with store.transaction():
            store.prune(before, before)


def _us(work: Callable[[], object]) -> float:
    """Of processor."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6
