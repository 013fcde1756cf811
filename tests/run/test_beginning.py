"""The first moments of a process, with real ones that are killed in them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from fluent_plugin_amp.run.beginning import Beginning
from fluent_plugin_amp.testing.ports import free_ports
from fluent_plugin_amp.testing.waiting import DEADLINE_S

ROOT = Path(__file__).parents[2]

PARENT = """
import subprocess, sys, time
output = {"pipes": subprocess.PIPE, "no pipes": subprocess.DEVNULL}[sys.argv[1]]
process = subprocess.Popen(sys.argv[2:], stdout=output, stderr=output)
print(process.pid, flush=True)
time.sleep(600)
"""
WAITS_FOR_A_FILE = 'while [ ! -e "$1" ]; do sleep 0.01; done; shift; exec "$@"'


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """`run --supervised`, with peers that are not there: nothing but its parent's end would stop it."""
    broker, server = free_ports(2)
    config = tmp_path / "config.yml"
    config.touch(0o600)
    config.write_text(
        yaml.safe_dump(
            {
                "streams": [{"url": f"amqp://u:p@127.0.0.1:{broker}", "queue": "q"}],
                "forward": {"servers": [{"host": "127.0.0.1", "port": server}]},
                "observe": {"listen": None},
            }
        )
    )
    return [sys.executable, "-m", "fluent_plugin_amp", "run", "--supervised", "-c", str(config)]


def is_running(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not asked for its exit code counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Until ``condition`` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Family:
    """A parent and its child, which is killed in the end."""

    def __init__(self, output: str, *command: str, before: tuple[str, ...] = ()) -> None:
        self.parent = subprocess.Popen(
            [*before, sys.executable, "-c", PARENT, output, *command], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self.parent.stdout is not None
        self.child = int(self.parent.stdout.readline())

    def end(self) -> None:
        """Of both."""
        self.parent.kill()
        self.parent.wait()
        assert self.parent.stdout is not None
        self.parent.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Family]]:
    """Starts a `Family`."""
    families: list[Family] = []

    def make(output: str, *command: str, **options: tuple[str, ...]) -> Family:
        families.append(Family(output, *command, **options))
        return families[-1]

    yield make
    for family in families:
        family.end()
        if is_running(family.child):
            os.kill(family.child, signal.SIGKILL)


@pytest.mark.parametrize("seed", range(6))
def test_no_orphan_is_left(seed: int, command: list[str], start: Callable[..., Family]) -> None:
    """Whenever after the start the parent is killed; without pipes, once the first line of Python has run."""
    chance = random.Random(seed)
    output = chance.choice(["pipes", "no pipes"])
    family = start(output, *command)
    if output == "no pipes":
        wait_until(lambda: _ignores_hangup(family.child), "it has not begun")
    time.sleep(chance.uniform(0.0, 0.5))
    family.parent.kill()
    wait_until(lambda: not is_running(family.child), "an orphan is left")


def _ignores_hangup(pid: int) -> bool:
    """Whether a process catches SIGHUP, as `Beginning` does after it has looked at the parent."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGHUP - 1) & 1)
    return False


def test_a_parent_that_was_gone_before(command: list[str], start: Callable[..., Family], tmp_path: Path) -> None:
    """Before the first line of Python: the pipe that nobody reads tells."""
    gone = tmp_path / "gone"
    family = start("pipes", "sh", "-c", WAITS_FOR_A_FILE, "sh", str(gone), *command)
    family.parent.kill()
    family.parent.wait()
    gone.touch()
    wait_until(lambda: not is_running(family.child), "an orphan is left")


@pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="not run: processes of their own cannot be made here (unshare --pid)",
)
def test_process_1_may_be_the_parent(command: list[str], start: Callable[..., Family], tmp_path: Path) -> None:
    """As Fluentd is in a container: the plugin works, and is no orphan."""
    log = tmp_path / "log"
    run = ("sh", "-c", 'log=$1; shift; exec "$@" 2>"$log"', "sh", str(log), *command)
    start("no pipes", *run, before=("unshare", "--pid", "--fork", "--kill-child"))
    wait_until(lambda: log.exists() and "[amqp.unreachable]" in log.read_text(), "it does not work")
    assert "parent process is gone" not in log.read_text()


def test_a_hangup_in_the_first_moments(command: list[str], tmp_path: Path) -> None:
    """It is a wish like later ones: the configuration is read again once there is something to reload."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([part for part in command if part != "--supervised"], stderr=file, cwd=ROOT)
    try:
        wait_until(lambda: _ignores_hangup(process.pid), "it has not begun")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded: nothing changed" in log.read_text(), "it is not reloaded")
    finally:
        process.kill()
        process.wait()


def test_other_commands_are_left_alone() -> None:
    """Only `run` has something to reload, and only without `--once`."""
    before = signal.getsignal(signal.SIGHUP)
    for arguments in ((), ("check",), ("run", "--once")):
        assert Beginning(arguments).parent is None
        assert signal.getsignal(signal.SIGHUP) is before
