"""What it costs events that an organisation is polled: names in each, and a sweep of its computers beside them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fluent_plugin_amp.testing.ports import free_port
from tests.bench.cloud import NAME, cloud
from tests.bench.job import Job, Row
from tests.bench.latencies import latencies
from tests.bench.rig import Snapshot, receiver, report, wait_until
from tests.processes import cpu_seconds, memory_mib

COMPUTERS = 50_000
RATE = 500
LEAST_S = 10.0
LONGEST_S = 600.0


def names(job: Job) -> Iterator[Row]:
    """Events that get names against such that get none, both with a state file, from a queue that was full before.

    Names are learnt first, while no server is there; then the receiver comes.
    """
    bodies = job.bodies(job.events // 4)
    folder = job.rig.folder / "names"
    with cloud(job.rig.folder, COMPUTERS, bodies) as organisation:
        ways: dict[str, dict[str, Any]] = {
            "without names": {},
            "with names": {
                "organisations": [{**organisation, "names": True}],
                "of_stream": {"organisation": NAME},
            },
        }

        def measure(options: dict[str, Any]) -> Snapshot:
            state = _new_state(folder)
            job.rig.fill(bodies)
            port = free_port()
            process = job.rig.start_plugin(port, state={"path": str(state)}, **options)
            try:
                job.rig.moment("connected to queue")
                if options:
                    wait_until(lambda: _swept(state), job.rig.log, LONGEST_S)
                before = cpu_seconds(process.pid)
                with receiver("--port", str(port)) as (_, server):
                    queue = job.rig.streams[0].queue
                    wait_until(lambda: sum(job.rig.broker.queue_depth(queue)[:2]) == 0, job.rig.log, LONGEST_S)
                    used = cpu_seconds(process.pid) - before
                    peak = memory_mib(process.pid)
                    process.terminate()
                    process.wait(60)
                    figures = report(server)
            finally:
                process.kill()
            assert figures["events"] >= len(bodies), figures
            return Snapshot(len(bodies) / (figures["last_at"] - figures["first_at"]), used, peak)

        found = job.alternate({way: partial(measure, options) for way, options in ways.items()}, job.few)
    without, named = found.values()
    yield Row(
        "with names: rate, of that without", tuple(a.rate / b.rate for a, b in zip(named, without, strict=True))
    )
    yield Row("with names: processor time", tuple(a.cpu_s / b.cpu_s for a, b in zip(named, without, strict=True)))
    yield Row("with names: MiB more", tuple(a.peak_mib - b.peak_mib for a, b in zip(named, without, strict=True)))


def sweep(job: Job) -> Iterator[Row]:
    """Latency of events while all computers are read: when each is new and is told, and when none has changed."""
    folder = job.rig.folder / "sweep"
    kinds = ("without", "all computers are told", "none has changed")
    p50: dict[str, list[float]] = {kind: [] for kind in kinds}
    p99: dict[str, list[float]] = {kind: [] for kind in kinds}
    with cloud(job.rig.folder, COMPUTERS, []) as organisation:
        swept = {"organisations": [{**organisation, "computers": {}}]}
        for turn in range(job.few):
            state = _new_state(folder)
            for kind in kinds:
                if kind == "none has changed":
                    _forget_sweep(state)
                options = {} if kind == "without" else swept
                moments = _while_it_lasts(job, state, options)
                cuts = statistics.quantiles(moments, n=100)
                p50[kind].append(cuts[49])
                p99[kind].append(cuts[98])
                job.say(f"turn {turn + 1}: {kind}: {len(moments)} events, p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f} ms")
    for kind in kinds:
        yield Row(f"{RATE} events/s, {kind}: p50, ms", tuple(p50[kind]))
        yield Row(f"{RATE} events/s, {kind}: p99, ms", tuple(p99[kind]))
    for kind in kinds[1:]:
        pairs = zip(p99[kind], p99["without"], strict=True)
        yield Row(f"{RATE} events/s, {kind}: p99, of that without", tuple(one / other for one, other in pairs))


def _while_it_lasts(job: Job, state: Path, options: dict[str, Any]) -> list[float]:
    """Milliseconds of each event that was sent while the sweep went on; of all, where there is none."""
    began = time.monotonic()
    ended_at: list[float] = []

    def watch() -> None:
        while time.monotonic() - began < LONGEST_S and not ended_at:
            if _swept(state):
                ended_at.append(time.time())
            time.sleep(0.05)

    if options:
        threading.Thread(target=watch, daemon=True).start()
    goes_on: Callable[[int], bool] = lambda number: (  # noqa: E731
        number < LEAST_S * RATE or (bool(options) and not ended_at and number < LONGEST_S * RATE)
    )
    events = latencies(job.rig, RATE, goes_on, state={"path": str(state)}, **options)
    last = ended_at[0] if ended_at else time.time()
    return [event.latency_ms for event in events if event.sent_at < last]


def _new_state(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder / "state.db"


def _swept(state: Path) -> bool:
    path = f"file:{state}?mode=ro"  # the plugin makes it
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(path, timeout=5.0, uri=True)) as connection,
    ):
        return bool(connection.execute("SELECT 1 FROM kept WHERE name = 'swept_at'").fetchall())
    return False


def _forget_sweep(state: Path) -> None:
    """So that the next start begins with a sweep."""
    with contextlib.closing(sqlite3.connect(state)) as connection, connection:
        connection.execute("DELETE FROM kept WHERE name = 'swept_at'")
