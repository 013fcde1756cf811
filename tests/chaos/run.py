"""One chaos run: strike until enough faults counted, let everything settle, and hold the books against each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import NamedTuple

from tests.chaos.faults import Fault, possible_faults
from tests.chaos.world import Arrival, ChaosReceiver, World, wait_for

SETTLE_S = 120.0
REACH_S = 1.5
"""An ack may have been on its way so long before a fault struck, or after it was healed."""
WRITTEN_S = 15.0
"""So long after it was sent a real receiver may not have written an event."""
RECOVERY_GOAL_S = 5.0
MEMORY_GOAL_MIB = 150.0


class Strike(NamedTuple):
    """One fault, from its begin until what it broke could be used again; seconds since the epoch."""

    fault: Fault
    began_at: float
    healed_at: float
    published: int
    """Events before it."""

    def puts_in_doubt(self, at: float) -> bool:
        """It may have taken away the ack of what arrived then."""
        return self.fault.chunk_in_doubt and self.began_at - REACH_S <= at <= self.healed_at + REACH_S


@dataclass
class Tally:
    """What one kind of fault did."""

    struck: int = 0
    counted: int = 0
    """With evidence: a delivery was unacked and a chunk in flight at that moment."""
    lost: int = 0
    """Published last before another fault struck."""
    doubled: int = 0
    unexplained: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    """From the heal on, until the next arrival of an event that was published after the fault struck."""


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

    @property
    def longest_recovery_s(self) -> float:
        """Of all faults."""
        return max((each for tally in self.tallies.values() for each in tally.recoveries_s), default=0.0)

    @property
    def meets_goals(self) -> bool:
        """It is clean, was quick to recover, and took little memory."""
        return self.is_clean and self.longest_recovery_s <= RECOVERY_GOAL_S and self.peak_mib <= MEMORY_GOAL_MIB


def run(
    world: World,
    faults: int,
    seed: int,
    *,
    events: int = 0,
    progress: Callable[[str], None] = lambda text: None,
    kinds: tuple[Fault, ...] | None = None,
    settle_s: float = SETTLE_S,
) -> Result:
    """Strike until ``faults`` counted and ``events`` were published; every kind at least once."""
    random = Random(seed)
    kinds = kinds or possible_faults(world)
    result = Result(tallies={fault.name: Tally() for fault in kinds})
    strikes: list[Strike] = []
    first = random.sample(kinds, len(kinds))
    world.wait_for_delivery()
    while result.counted < faults or len(world.publisher.confirmed) < events:
        fault = first.pop() if first else random.choices(kinds, [kind.weight for kind in kinds])[0]
        tally = result.tallies[fault.name]
        hit = world.wait_until_busy()
        published, began_at = world.publisher.next, time.time()
        hit &= fault.strike(world, random) is not False
        strikes.append(Strike(fault, began_at, time.time(), published))
        tally.struck += 1
        tally.counted += hit
        took_s = world.wait_for_delivery(published_since=published)
        if took_s is None:
            result.stuck.append(fault.name)
            break
        tally.recoveries_s.append(took_s)
        progress(f"{result.counted:4} {fault.name}: {'hit' if hit else 'not counted'}, again after {took_s:.2f} s")
    world.publisher.stop()
    _settle(world, settle_s)
    _balance(world, strikes, result)
    return result


def _settle(world: World, settle_s: float) -> None:
    wait_for(world.drained, settle_s, every_s=0.2)
    world.note_memory()
    world.plugin.stop()
    if not isinstance(world.receiver, ChaosReceiver):
        expected = len(world.publisher.confirmed)
        wait_for(lambda: len({arrival.number for arrival in world.arrivals.update()}) >= expected, 30.0, every_s=0.5)
        world.receiver.stop()


def _balance(world: World, strikes: list[Strike], result: Result) -> None:
    arrived = {arrival.number for arrival in world.arrivals.update()}
    depth = world.broker.queue_depth(world.queue)
    result.published = len(world.publisher.confirmed)
    result.delivered = len(arrived & world.publisher.confirmed)
    result.lost = world.publisher.confirmed - arrived
    result.left = depth.ready + depth.unacked
    result.peak_mib = world.peak_mib
    for number in result.lost:
        before = [strike for strike in strikes if strike.published <= number] or strikes[:1]
        result.tallies[before[-1].fault.name].lost += 1
    chunks = world.chunks()
    for times, sent in world.twice():
        suspects = []
        for earlier, later in pairwise(sent):
            # The same chunk, or one that it was split into.
            is_part = later.chunk == earlier.chunk or chunks[later.chunk] <= chunks[earlier.chunk]
            suspects.append((culprit(strikes, earlier, later, is_part=is_part), later))
        suspects += [(rewriter(strikes, sent[-1]), sent[-1])] * (times - len(sent))
        suspects.sort(
            key=lambda suspect: suspect[0] is not None
        )  # what was sent more often than it arrived: the worst
        for suspect, later in suspects[: times - 1]:
            result.doubled += 1
            if suspect is not None:
                result.tallies[suspect.fault.name].doubled += 1
                continue
            result.unexplained += 1
            between = [strike for strike in strikes if strike.began_at <= later.at] or strikes[:1]
            result.tallies[between[-1].fault.name].unexplained += 1


def culprit(strikes: list[Strike], earlier: Arrival, later: Arrival, *, is_part: bool) -> Strike | None:
    """The fault that put the chunk in doubt with which the event came first, if that explains its coming again.

    Such a chunk is sent again, whole or in halves.  In another chunk its events come only from a process that did not
    know of it: after a kill, or when the plugin had to stop before the doubt was resolved.
    """
    doubts = [strike for strike in strikes if strike.puts_in_doubt(earlier.at)]
    began_anew = any(
        not strike.fault.plugin_survives and earlier.at - REACH_S <= strike.began_at <= later.at for strike in strikes
    )
    return doubts[-1] if doubts and (is_part or began_anew) else None


def rewriter(strikes: list[Strike], sent: Arrival) -> Strike | None:
    """The fault after which a real receiver may have written once more what it was sent once: it writes from a buffer
    of its own, and did not come to noting that it had written.
    """
    return next(
        (
            strike
            for strike in strikes
            if strike.fault.receiver_restarts and sent.at - REACH_S <= strike.began_at <= sent.at + WRITTEN_S
        ),
        None,
    )
