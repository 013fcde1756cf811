"""One chaos run: strike until enough faults counted, let everything settle, and hold the books against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.world import Arrival, ChaosReceiver, World, wait_for

SETTLE_S = 120.0
REACH_BACK_S = 1.0
"""An event that arrived so shortly before a fault may not have been acked to the broker when it struck."""


@dataclass
class Tally:
    """What one kind of fault did."""

    struck: int = 0
    counted: int = 0
    """With evidence: a delivery was unacked and a chunk in flight at that moment."""
    doubled: int = 0
    unexplained: int = 0
    recoveries_s: list[float] = field(default_factory=list)


@dataclass
class Result:
    """The books of a run."""

    published: int = 0
    delivered: int = 0
    lost: set[int] = field(default_factory=set)
    doubled: int = 0
    unexplained: int = 0
    """Second arrivals that no chunk in doubt and no killed plugin accounts for."""
    left: int = 0
    peak_mib: float = 0.0
    stuck: list[str] = field(default_factory=list)
    """Faults after which nothing was delivered again."""
    tallies: dict[str, Tally] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """Faults with evidence."""
        return sum(tally.counted for tally in self.tallies.values())

    @property
    def is_clean(self) -> bool:
        """The promise was kept."""
        return not (self.lost or self.unexplained or self.left or self.stuck)


def run(
    world: World,
    faults: int,
    seed: int,
    *,
    events: int = 0,
    progress: Callable[[str], None] = lambda text: None,
    kinds: tuple[Fault, ...] = FAULTS,
    settle_s: float = SETTLE_S,
) -> Result:
    """Strike until ``faults`` counted and ``events`` were published; every kind at least once."""
    random = Random(seed)
    result = Result(tallies={fault.name: Tally() for fault in kinds})
    windows: list[tuple[float, Fault]] = []
    first = random.sample(kinds, len(kinds))
    world.wait_for_delivery()
    while result.counted < faults or len(world.publisher.confirmed) < events:
        fault = first.pop() if first else random.choices(kinds, [kind.weight for kind in kinds])[0]
        tally = result.tallies[fault.name]
        hit = world.wait_until_busy()
        windows.append((_now(world), fault))
        fault.strike(world, random)
        tally.struck += 1
        tally.counted += hit
        took_s = world.wait_for_delivery()
        if took_s is None:
            result.stuck.append(fault.name)
            break
        tally.recoveries_s.append(took_s)
        progress(f"{result.counted:4} {fault.name}: {'hit' if hit else 'not counted'}, again after {took_s:.2f} s")
    world.publisher.stop()
    _settle(world, settle_s)
    _balance(world, windows, result)
    return result


def _now(world: World) -> float:
    arrivals = world.arrivals.update()
    return arrivals[-1].at if arrivals else 0.0


def _settle(world: World, settle_s: float) -> None:
    wait_for(world.drained, settle_s, every_s=0.2)
    world.note_memory()
    world.plugin.stop()
    if not isinstance(world.receiver, ChaosReceiver):
        expected = len(world.publisher.confirmed)
        wait_for(lambda: len({arrival.number for arrival in world.arrivals.update()}) >= expected, 30.0, every_s=0.5)
        world.receiver.stop()


def _balance(world: World, windows: list[tuple[float, Fault]], result: Result) -> None:
    arrived = {arrival.number for arrival in world.arrivals.update()}
    depth = world.broker.queue_depth(world.queue)
    result.published = len(world.publisher.confirmed)
    result.delivered = len(arrived & world.publisher.confirmed)
    result.lost = world.publisher.confirmed - arrived
    result.left = depth.ready + depth.unacked
    result.peak_mib = world.peak_mib
    chunks = world.chunks()
    for arrivals in world.twice().values():
        for earlier, later in pairwise(arrivals):
            between = [fault for at, fault in windows if earlier.at - REACH_BACK_S <= at <= later.at] or [
                windows[0][1]
            ]
            tally = result.tallies[between[-1].name]
            result.doubled += 1
            tally.doubled += 1
            is_part = chunks[later.chunk] <= chunks[earlier.chunk]  # the same chunk, or one that it was split into
            if not _is_explained(between, later, is_part=is_part):
                result.unexplained += 1
                tally.unexplained += 1


def _is_explained(between: list[Fault], later: Arrival, *, is_part: bool) -> bool:
    """A chunk in doubt is sent again, whole or in halves; a plugin that was killed may not have known of an ack.

    Where the receiver does not tell chunks, the kinds of the faults must do.
    """
    if not later.chunk:
        return any(fault.chunk_in_doubt for fault in between)
    return is_part or not all(fault.plugin_survives for fault in between)
