"""How fast a shipper empties a queue, and what that costs."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

from tests.bench.rig import DEADLINE_S, Rig, Snapshot, receiver
from tests.peers.runs import running
from tests.peers.shippers import Shipper

START_S = 60.0


def measure(rig: Rig, shipper: Shipper, bodies: list[bytes]) -> Snapshot:
    """Fill the queue and have it emptied.

    The rate is the receiver's, from the first chunk to the last; of what goes nowhere it is that of the queue.  The
    seconds of processor are those of 100,000 events, from the moment that the shipper consumes: its start is no part.
    """
    rig.fill(bodies)
    with receiver() as (port, server), running(rig, shipper, port) as run:
        assert run.wait_until(lambda: run.depth().consumers > 0, START_S), f"it does not consume\n{run.log()}"
        began, before, depth = time.monotonic(), run.cpu_s(), run.depth()
        waiting = depth.ready + depth.unacked
        counts: dict[str, Any] = {}

        def is_done() -> bool:
            if shipper.into_receiver:
                counts.update(_counts(server))
                if counts["events"] < len(bodies):
                    return False
            return sum(run.depth()[:2]) == 0

        assert run.wait_until(is_done, DEADLINE_S), f"it does not come to an end: {counts}\n{run.log()}"
        seconds = time.monotonic() - began
        assert not run.starts, f"it ended by itself\n{run.log()}"
        rate = waiting / seconds
        if shipper.into_receiver:
            rate = counts["events"] / (counts["last_at"] - counts["first_at"])
        return Snapshot(rate, (run.cpu_s() - before) / waiting * 100_000, run.peak_mib())


def _counts(server: subprocess.Popen[str]) -> dict[str, Any]:
    """What the receiver took so far."""
    assert server.stdout is not None
    server.send_signal(signal.SIGUSR1)
    counts: dict[str, Any] = json.loads(server.stdout.readline())
    return counts
