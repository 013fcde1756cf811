"""`make steady` on tests of a few lines: each run has the conditions that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.steady.whole import Kind, Run, kinds, last_lines, run

TESTS = """
import os, signal, time, pytest

with open("ran", "a") as ran:
    ran.write("|")

@pytest.mark.parametrize("number", range(20))
def test_order(number):
    with open("ran", "a") as ran:
        ran.write(f"{number} ")

def test_sigint():
    ignored = int(next(line for line in open("/proc/self/status") if line.startswith("SigIgn")).split()[1], 16)
    assert not ignored >> (signal.SIGINT - 1) & 1
"""


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tests, which is the working one."""
    (tmp_path / "test_it.py").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_here(kind: Kind, folder: Path) -> Run:
    """Run the tests of the folder, without this project's settings."""
    return run(kind, folder / kind.name, ["-c", "/dev/null", "--rootdir=.", "test_it.py"])


def test_the_order_is_random_and_told_by_the_seed(tried: Path) -> None:
    """The same seed gives the same order, another one another; without a seed it is that of the file."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", None)):
        done = run_here(Kind(name, seed), tried)
        assert (done.passed, done.failures, done.is_whole) == (21, [], True), last_lines(tried / name)
    orders = (tried / "ran").read_text().split("|")[1:]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(map(int, orders[0].split())) == list(range(20))
    assert orders[0].split() != list(map(str, range(20)))


def test_sigint_is_ignored_where_that_is_asked_for(tried: Path) -> None:
    """Then the test that wants it not ignored fails, and is named in the run."""
    done = run_here(Kind("ignored", ignores_sigint=True), tried)
    assert (done.passed, done.failures, done.is_whole) == (20, ["test_it::test_sigint"], True)
    assert run_here(Kind("not ignored"), tried).failures == []


def test_a_run_that_does_not_come_to_its_end_is_not_whole(tried: Path) -> None:
    """Whatever passed before."""
    (tried / "test_it.py").write_text(f"{TESTS}\ndef test_end():\n    os._exit(7)\n")
    done = run_here(Kind("broken"), tried)
    assert not done.is_whole


def test_five_runs() -> None:
    """Three orders, a busy machine, a background job."""
    five = kinds(7)
    assert [kind.seed for kind in five] == [7, 8, 9, None, None]
    assert [kind.is_busy for kind in five] == [False] * 3 + [True, False]
    assert [kind.ignores_sigint for kind in five] == [False] * 4 + [True]
