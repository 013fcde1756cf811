from __future__ import annotations

from pathlib import Path

import pytest

from fluent_plugin_amp.state.check import check
from fluent_plugin_amp.state.errors import StateCorrupt, StateUnusable
from fluent_plugin_amp.state.lock import Lock
from fluent_plugin_amp.state.store import Store


def names(path: Path) -> set[str]:
    """What is in its folder."""
    return {each.name for each in path.parent.iterdir()}


def test_a_file_that_is_not_there_can_be_made(path: Path) -> None:
    """And is not: one that this user made would be in the way of a daemon that runs as another."""
    checked = check(path)
    assert (checked.holder, checked.size_bytes) == (None, None)
    assert names(path) == set()


def test_a_file_that_nobody_uses(path: Path, store: Store) -> None:
    """Opened, read and written; nothing is left beside it."""
    store.close()
    checked = check(path)
    assert checked.holder is None
    assert checked.size_bytes
    assert names(path) == {path.name}


def test_a_file_that_a_daemon_uses(path: Path, store: Store) -> None:
    """It is named, and is not waited for, although it is in the middle of a commit."""
    lock = Lock(path)
    lock.acquire()
    with store.transaction():
        store.check_writable()
        checked = check(path)
        assert checked.size_bytes == sum(each.stat().st_size for each in (path, path.with_name(f"{path.name}-wal")))
    lock.release()
    assert checked.holder is not None
    assert checked.holder.startswith("process ")


def test_a_file_of_an_older_version(path: Path) -> None:
    """An empty one, for instance: `run` makes of it what it needs."""
    path.touch()
    assert check(path).size_bytes == 0
    assert path.stat().st_size == 0


def test_garbage(path: Path) -> None:
    """It is no state file."""
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(StateCorrupt):
        check(path)


def test_garbage_in_the_middle(path: Path, store: Store) -> None:
    """All of the file is read."""
    store.close()
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 3 * 4096)
    with pytest.raises(StateCorrupt):
        check(path)


def test_a_folder_that_is_not_there(path: Path) -> None:
    """The plugin makes files, not folders."""
    with pytest.raises(StateUnusable, match="No such file or directory"):
        check(path.parent / "missing" / "state.db")


def test_a_folder_in_its_place(path: Path) -> None:
    """It is no file."""
    path.mkdir()
    with pytest.raises(StateUnusable):
        check(path)


def test_a_folder_that_may_not_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor may SQLite, which makes files beside the state file."""

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(StateUnusable, match="Permission denied"):
        check(path)
