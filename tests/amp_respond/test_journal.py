"""The journal tells the truth, also when the program is killed at any moment."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fluent_plugin_amp.amp_respond.errors import JournalInUse, JournalUnusable
from fluent_plugin_amp.amp_respond.journal import Journal, default_path
from fluent_plugin_amp.testing.responses import LocalComputer

ASKED = {"entry": "00c0ffee", "phase": "asked", "action": "isolate"}

KILLED = """
import os, signal, sys
from fluent_plugin_amp.amp_respond import doing, journal
where, left = sys.argv.pop(1).rsplit("-", 1)
left = int(left)

def killing(do, before):
    def wrapped(*arguments, **options):
        global left
        left -= 1
        if before and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        done = do(*arguments, **options)
        if not before and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return wrapped

if where.endswith("append"):
    journal.Journal.append = killing(journal.Journal.append, where.startswith("before"))
elif where == "torn":
    write = os.write
    def torn(descriptor, data):
        if not data.startswith(b'{"entry":'):
            return write(descriptor, data)
        write(descriptor, data[:20])
        os.kill(os.getpid(), signal.SIGKILL)
    os.write = torn
else:
    perform = doing.perform
    async def performed(*arguments):
        await perform(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    doing.perform = performed
from fluent_plugin_amp.amp_respond.cli import main
main()
"""


@pytest.mark.parametrize(
    ("where", "status", "outcomes"),
    [
        ("before-append-1", "not_isolated", []),
        ("torn-1", "not_isolated", []),
        ("after-append-1", "not_isolated", ["unknown"]),
        ("performed-1", "pending_start", ["unknown"]),
        ("before-append-2", "pending_start", ["unknown"]),
        ("after-append-2", "pending_start", ["done"]),
    ],
)
def test_a_killed_program_leaves_a_journal_that_is_true(
    computer: LocalComputer, journal: Path, where: str, status: str, outcomes: list[str]
) -> None:
    """Nothing was changed that is not asked in it; `done` stands there only for what was; `unknown` is no lie."""
    command = [sys.executable, "-c", KILLED, where, "isolate", "desk-014", "--yes", "--reason", "case 77"]
    killed = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert computer.status == status
    found, broken = Journal(journal).entries()
    assert [entry.outcome for entry in found] == outcomes
    assert broken == (where == "torn-1")
    with Journal(journal).writing():  # the lock went with the process
        pass


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    """The next one begins on a line of its own."""
    journal = Journal(tmp_path / "journal")
    journal.path.write_text('{"entry":"00c0')
    with journal.writing():
        journal.append(ASKED)
    found, broken = journal.entries()
    assert ([entry.id for entry in found], broken) == (["00c0ffee"], 1)


def test_the_line_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync comes after the write, each time."""
    steps: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda fd, data: steps.append("write") or write(fd, data))  # type: ignore[func-returns-value]
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append("fsync") or fsync(fd))  # type: ignore[func-returns-value]
    with Journal(tmp_path / "journal").writing() as _:
        steps.clear()
        journal = Journal(tmp_path / "other")
        with journal.writing():
            steps.clear()
            journal.append(ASKED)
    assert steps[:2] == ["write", "fsync"]


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    """The other is told who does."""
    journal = Journal(tmp_path / "journal")
    with (
        journal.writing(),
        pytest.raises(JournalInUse, match=f"process {os.getpid()}"),
        Journal(journal.path).writing(),
    ):
        pass


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """One that others could read is closed to them."""
    journal = Journal(tmp_path / "journal")
    journal.path.touch(0o644)
    with journal.writing():
        pass
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, kind: str) -> None:
    """A symbolic link is not followed, a pipe not waited for."""
    path = tmp_path / "journal"
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(JournalUnusable), Journal(path).writing():
        pass


def test_it_is_in_the_folder_for_state() -> None:
    """Of the user."""
    assert default_path({"XDG_STATE_HOME": "/var/lib/x"}) == Path("/var/lib/x/amp-respond/journal.ndjson")
    assert default_path({}).parts[-4:] == (".local", "state", "amp-respond", "journal.ndjson")


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could change what stands in it."""
    journal = Journal(tmp_path / "journal")
    journal.path.touch()
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(JournalUnusable, match="somebody else"), journal.writing():
        pass
