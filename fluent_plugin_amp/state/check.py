"""One visit to the state file, for `fluent-plugin-amp check`: whether a daemon could use it, and whether one does.

It makes no file and changes nothing: a file of this user would be in the way of a daemon that runs as another user.
It disturbs no daemon that has the file: then it looks at the lock, and only reads.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fluent_plugin_amp.state.errors import StateOutdated
from fluent_plugin_amp.state.lock import holder
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.translate import translate_os_error


@dataclass(frozen=True, slots=True)
class Checked:
    """A state file that can be used."""

    holder: str | None
    """The process that has it, such as ``process 12 on host``."""
    size_bytes: int | None
    """None: it is not there yet, and can be made."""


def size_on_disk(path: Path) -> int:
    """In bytes, together with the write-ahead log beside the file, which holds the newest rows."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def check(path: Path) -> Checked:
    """Try the file, and read all of it.

    Raises:
        StateUnusable: `run` could not use it; the error says why.
    """
    try:
        has_it = holder(path)
        if has_it is None:
            _try_folder(path)
        if not path.exists():
            return Checked(has_it, None)
        size_bytes = size_on_disk(path)
    except OSError as exc:
        raise translate_os_error(path, exc) from exc
    with contextlib.suppress(StateOutdated):  # `run` brings it up to date
        _try_file(path, for_writing=has_it is None)
    return Checked(has_it, size_bytes)


def _try_folder(path: Path) -> None:
    """SQLite makes files beside the state file, and takes them away again."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.check-", dir=path.parent)
    os.close(descriptor)
    Path(name).unlink()


def _try_file(path: Path, *, for_writing: bool) -> None:
    store = Store.open(path)
    try:
        store.check_integrity()
        if for_writing:
            with store.transaction():
                store.check_writable()
    finally:
        store.close()
