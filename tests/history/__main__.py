"""`backfill` and `reconcile` against a large history: ``python -m tests.history --events 100000``.

A cloud with rounded ids, in which events go on happening with every page, two gaps in what was delivered (a stretch,
and events here and there); `reconcile` finds the gaps; `backfill` fills them, is interrupted and goes on; `reconcile`
finds nothing any more; `backfill --resend` sends everything and must need no more memory for it.  Exit code 1 when
anything is not as it should be.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

from fluent_plugin_amp.testing.events import EventGenerator
from tests.history.world import World, history, world

SINCE = "10d"
ARRIVING = 20
"""Events that happen before each answer."""
DEADLINE_S = 1800.0
LEEWAY_MIB = 12.0


def main() -> int:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="in the history (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as made:
        return Run(made, options.events).run()


class Run:
    """One run; ``wrong`` collects what is not as it should be."""

    def __init__(self, made: World, count: int) -> None:
        self.world = made
        self.wrong: list[str] = []
        now = time.time()
        spacing_s = min(0.5, 8 * 86400 / count)
        self.bodies = history(count, until=now - 3600, spacing_s=spacing_s)
        chance = Random(5)
        gap = range(count // 2, count // 2 + count // 10)
        self.missing = [body for number, body in enumerate(self.bodies) if number in gap or chance.random() < 0.02]
        lost = set(self.missing)
        made.organisation.events.rounded_ids = True
        made.organisation.publish(self.bodies)
        made.remember((body for body in self.bodies if body not in lost), delivered_at=now - 9 * 86400)
        self.expected = made.as_shown(self.missing)
        new = EventGenerator(seed=8, start_s=now)
        made.organisation.arriving = (list(new.bodies(ARRIVING)) for _ in itertools.count())

    def run(self) -> int:
        """All steps."""
        print(f"{len(self.bodies)} events recorded, {len(self.missing)} of them not delivered, ids rounded")
        self.reconcile(len(self.missing), 1)
        self.interrupted_backfill()
        self.reconcile(0, 0)
        self.memory()
        for text in self.wrong:
            print(f"WRONG: {text}")
        return 1 if self.wrong else 0

    def reconcile(self, missing: int, code: int) -> None:
        """It finds so many."""
        with closing(self.world.start("reconcile", "--since", SINCE, "--until", "30m", "--json")) as running:
            ended = running.end(DEADLINE_S)
        self.check(ended.code == code, f"reconcile ended with {ended.code}: {ended.log}")
        found = ended.json
        self.check(found["missing"] == missing, f"reconcile found {found['missing']} missing, not {missing}")
        print(
            f"reconcile: {found['in_cloud']} in cloud, {found['delivered']} delivered, {found['missing']} missing "
            f"in {ended.seconds:.1f} s, {found['in_cloud'] / ended.seconds:.0f} events/s, {ended.peak_mib:.0f} MiB"
        )

    def interrupted_backfill(self) -> None:
        """Ctrl-C half way, kill -9 later, then to the end."""
        seconds, peak = 0.0, 0.0
        for number, stop in ((signal.SIGINT, 0.3), (signal.SIGKILL, 0.6)):
            enough = int(self.expected.total() * stop)
            with closing(self.world.start("backfill", "--since", SINCE, "--until", "30m")) as running:
                running.until(partial(self.has_arrived, enough), DEADLINE_S)
                running.process.send_signal(number)
                ended = running.end(DEADLINE_S)
            code = 130 if number is signal.SIGINT else -signal.SIGKILL
            self.check(ended.code == code, f"{number.name}: ended with {ended.code}: {ended.log}")
            seconds, peak = seconds + ended.seconds, max(peak, ended.peak_mib)
            print(f"backfill, {number.name} after {self.world.arrived().total()} of {self.expected.total()}: {code}")
        with closing(self.world.start("backfill", "--since", SINCE, "--until", "30m")) as running:
            ended = running.end(DEADLINE_S)
        self.check(ended.code == 0, f"backfill ended with {ended.code}: {ended.log}")
        self.check("went on with what an interrupted run had left" in ended.log, "it began anew")
        arrived = self.world.arrived()
        self.report(arrived, self.expected)
        print(f"backfill: {seconds + ended.seconds:.1f} s in three runs, {max(peak, ended.peak_mib):.0f} MiB")
        print(ended.log.strip())

    def report(self, arrived: Counter[str], expected: Counter[str]) -> None:
        """What came against what should have come."""
        lost, more = expected - arrived, arrived - expected
        twice = sum((more & expected).values())
        print(
            f"arrived: {arrived.total()}; lost {lost.total()}, more than once {twice}, alike {more.total() - twice}"
        )
        self.check(not lost, f"{lost.total()} events did not arrive")
        self.check(more.total() <= len(self.bodies) // 100 + 1500, f"{more.total()} events arrived for nothing")

    def memory(self) -> None:
        """Everything is sent again; resident memory in the first tenth and at the end."""
        before = self.world.arrived().total()
        marks: list[float] = []
        with closing(self.world.start("backfill", "--since", SINCE, "--until", "30m", "--resend")) as running:
            for tenth in (1, 5, 9):
                enough = before + len(self.bodies) * tenth // 10
                running.until(partial(self.has_arrived, enough), DEADLINE_S)
                marks.append(running.resident_mib())
            ended = running.end(DEADLINE_S)
        sent = _lines(self.world.records) - before
        self.check(ended.code == 0, f"backfill --resend ended with {ended.code}: {ended.log}")
        self.check(sent >= len(self.bodies), f"backfill --resend sent {sent}")
        self.check(marks[-1] - marks[0] < LEEWAY_MIB, f"memory grew: {marks}")
        print(
            f"backfill --resend: {sent} events in {ended.seconds:.1f} s, {sent / ended.seconds:.0f} events/s; "
            f"after 10, 50, 90 %: {', '.join(f'{mark:.0f}' for mark in marks)} MiB, peak {ended.peak_mib:.0f} MiB"
        )

    def has_arrived(self, enough: int) -> bool:
        """Whether the receiver has so many."""
        return _lines(self.world.records) >= enough

    def check(self, is_right: bool, text: str) -> None:
        """Note it when it is wrong."""
        if not is_right:
            self.wrong.append(text)


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


if __name__ == "__main__":
    sys.exit(main())
