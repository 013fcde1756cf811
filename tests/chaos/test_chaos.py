"""A short, seeded chaos run; ``make chaos`` is the long one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.run import run
from tests.chaos.world import make_world

LEFT_OUT = (
    "restart of the broker",
    "kill -9 of the broker",
    "channel closed by consumer_timeout",
    "AMQP black hole until the heartbeat tells",
    "AMQP slow link",
    "AMQP half open",
    "disk of the state file full",
)
"""They take long to heal, or a user who may mount a disk."""
QUICK = tuple(fault for fault in FAULTS if fault.name not in LEFT_OUT)


@pytest.mark.parametrize("queue_kind", ["classic", "quorum"])
def test_nothing_is_lost_and_nothing_doubled_without_a_reason(
    tmp_path: Path, queue_kind: Literal["classic", "quorum"]
) -> None:
    """Kills, cuts, black holes and slow links: what was published arrived, and the queue is empty."""
    with make_world(tmp_path, queue_kind=queue_kind, seed=7) as world:
        result = run(world, faults=len(QUICK), seed=7, kinds=QUICK)
        log = world.plugin.log
    assert result.counted >= len(QUICK), "faults must hit to count"
    assert not result.stuck, log
    assert not result.lost, log
    assert result.left == 0, log
    assert result.unexplained == 0, log
    assert result.peak_mib < 150
