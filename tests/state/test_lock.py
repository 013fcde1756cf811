"""One process has the state file, and others can tell who."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp.errors import EXIT_CONFIG
from fluent_plugin_amp.state import lock
from fluent_plugin_amp.state.errors import StateInUse, StateUnusable
from fluent_plugin_amp.state.lock import Lock, holder, lock_file


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody lets go meanwhile."""
    monkeypatch.setattr(lock, "PATIENCE_S", 0.02)


@pytest.fixture
def other(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    script = (
        "import sys, pathlib; from fluent_plugin_amp.state.lock import Lock\n"
        "Lock(pathlib.Path(sys.argv[1])).acquire(); print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused(path: Path, other: subprocess.Popen[str]) -> None:
    """With an error of its own that names the first, and the exit code of a wrong configuration."""
    with pytest.raises(StateInUse, match=f"in use by process {other.pid} on ") as caught:
        Lock(path).acquire()
    assert caught.value.exit_code == EXIT_CONFIG


def test_a_killed_process_leaves_no_lock(path: Path, other: subprocess.Popen[str]) -> None:
    """Nothing needs to be cleaned up."""
    other.kill()
    other.wait()
    assert holder(path) is None
    Lock(path).acquire()
    assert (holder(path) or "").startswith(f"process {os.getpid()} on ")


def test_a_released_lock_can_be_taken(path: Path) -> None:
    """Also twice by the one that has it, which changes nothing."""
    first, second = Lock(path), Lock(path)
    first.acquire()
    first.acquire()
    with pytest.raises(StateInUse):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()
    assert holder(path) is None


def test_who_looks_does_not_hold_it(path: Path) -> None:
    """And does not even need the file to be there."""
    assert holder(path) is None
    assert not lock_file(path).exists()
    mine = Lock(path)
    mine.acquire()
    mine.release()
    for _ in range(3):
        assert holder(path) is None
    mine.acquire()


def test_a_short_look_of_another_does_not_refuse_us(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is tried again for a moment."""
    looking = Lock(path)
    looking.acquire()
    monkeypatch.setattr("time.sleep", lambda seconds: looking.release())
    Lock(path).acquire()


def test_a_place_where_there_can_be_no_lock(tmp_path: Path) -> None:
    """Is trouble with the file, not another process."""
    with pytest.raises(StateUnusable, match="lock"):
        Lock(tmp_path / "missing" / "state.db").acquire()


def test_a_symbolic_link_is_not_followed(path: Path) -> None:
    """What it leads to stays as it is, whoever takes the lock or looks who has it."""
    other = path.with_name("dear")
    other.write_text("dear to somebody")
    lock_file(path).symlink_to(other)
    with pytest.raises(StateUnusable, match="is a symbolic link"):
        Lock(path).acquire()
    with pytest.raises(StateUnusable, match="is a symbolic link"):
        holder(path)
    assert other.read_text() == "dear to somebody"
    other.unlink()  # nor is one made where it leads to
    with pytest.raises(StateUnusable, match="is a symbolic link"):
        Lock(path).acquire()
    assert not other.exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_something_else_in_its_place_is_trouble(path: Path, make: Callable[[Path], None]) -> None:
    """Nobody waits for the other end of a FIFO."""
    make(lock_file(path))
    with pytest.raises(StateUnusable):
        Lock(path).acquire()
    with pytest.raises(StateUnusable, match="no regular file"):
        holder(path)


def test_a_file_with_two_names_has_one_lock(path: Path) -> None:
    """Of the file, not of the link to it."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    Lock(path).acquire()
    with pytest.raises(StateInUse):
        Lock(link).acquire()


def test_only_the_owner_may_read_the_name(path: Path) -> None:
    """Like the state file."""
    Lock(path).acquire()
    assert lock_file(path).stat().st_mode & 0o777 == 0o600
