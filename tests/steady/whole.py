"""Whole runs of the tests under conditions in which an unsteady one fails, and what became of them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

BUSY_PROCESSES = 8
LOOK_EVERY_S = 10.0
PROVEN = """
import runpy, signal
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "SIGINT is not ignored"
runpy.run_module("pytest", run_name="__main__")
"""


@dataclass(frozen=True)
class Kind:
    """The conditions of a run."""

    name: str
    seed: int | None = None
    """Shuffles files and tests; None: file order."""
    is_busy: bool = False
    """Processes that do nothing but compute run beside it."""
    ignores_sigint: bool = False
    """As in the background of a shell without job control: what it starts inherits that."""


@dataclass(frozen=True)
class Run:
    """What became of one."""

    kind: Kind
    load: float
    """Load average of the machine, the mean over the run."""
    minutes: float
    passed: int
    failures: list[str]
    """Names of the tests that failed."""
    is_whole: bool
    """It came to its end, and every test but those failed or was left out."""

    @property
    def row(self) -> tuple[str, ...]:
        """For the table."""
        figures = (f"{self.load:.1f}", str(self.passed), str(len(self.failures)), f"{self.minutes:.1f}")
        return (self.kind.name, str(self.kind.seed or "-"), *figures)


def kinds(seed: int) -> list[Kind]:
    """Three orders, a busy machine, and a background job."""
    return [
        *(Kind("random order", each) for each in range(seed, seed + 3)),
        Kind(f"beside {BUSY_PROCESSES} busy processes", is_busy=True),
        Kind("SIGINT ignored", ignores_sigint=True),
    ]


def run(kind: Kind, folder: Path, arguments: Sequence[str]) -> Run:
    """Run pytest with these arguments; its output is ``pytest.log`` in ``folder``, a line for each test."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", PROVEN] if kind.ignores_sigint else [sys.executable, "-m", "pytest"]
    if kind.ignores_sigint:
        command[:0] = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    order = [] if kind.seed is None else ["-p", "randomly", f"--randomly-seed={kind.seed}"]
    report = folder / "report.xml"
    with (folder / "pytest.log").open("wb") as log, _busy(kind), _watched() as loads:
        ended = subprocess.run(
            [*command, "-v", *order, f"--junitxml={report}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if not report.exists():
        return Run(kind, fmean(loads), 0.0, 0, [], is_whole=False)
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    total, left_out = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failures = [
        f"{case.attrib['classname']}::{case.attrib['name']}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    minutes = float(suite.attrib["time"]) / 60
    return Run(
        kind, fmean(loads), minutes, total - left_out - len(failures), failures, is_whole=ended.returncode in (0, 1)
    )


@contextlib.contextmanager
def _busy(kind: Kind) -> Iterator[None]:
    """Polite enough that the tests go on, and enough of them that nothing comes at once."""
    spin = [sys.executable, "-c", "import os\nos.nice(10)\nwhile True: pass"]
    others = [subprocess.Popen(spin) for _ in range(BUSY_PROCESSES if kind.is_busy else 0)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@contextlib.contextmanager
def _watched() -> Iterator[list[float]]:
    """The load averages meanwhile."""
    loads, is_over = [os.getloadavg()[0]], threading.Event()

    def watch() -> None:
        while not is_over.wait(LOOK_EVERY_S):
            loads.append(os.getloadavg()[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield loads
    finally:
        is_over.set()
        thread.join()


def last_lines(folder: Path) -> str:
    """Why a run did not come to its end."""
    return "\n".join(re.split(r"\n+", (folder / "pytest.log").read_text(errors="replace"))[-20:])
