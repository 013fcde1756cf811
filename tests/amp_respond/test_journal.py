"""The journal is one file, written line by line, by one process at a time, and read by its owner only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fluent_plugin_amp.amp_respond.errors import JournalInUse, JournalUnusable
from fluent_plugin_amp.amp_respond.journal import Journal, default_path

ASKED = {"entry": "00c0ffee", "phase": "asked", "action": "isolate"}


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    """The next one begins on a line of its own."""
    journal = Journal(tmp_path / "journal")
    journal.path.write_text('{"entry":"00c0')
    with journal.writing():
        journal.append(ASKED)
    found, broken = journal.entries()
    assert ([entry.id for entry in found], broken) == (["00c0ffee"], 1)


def test_a_line_that_a_full_disk_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    """The next one, of the same process, can be read: what it asks for is done."""
    journal = Journal(tmp_path / "journal")
    with journal.writing():
        os.write(os.open(journal.path, os.O_WRONLY | os.O_APPEND), b'{"entry":"00c0')
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
