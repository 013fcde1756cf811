"""Sets a damaged state file aside under another name, and takes over what can be read of it.

This happens once: while a file ``….corrupt`` is there, the next damage waits for the operator.  Otherwise a disk that
damages everything would fill up with copies.  It touches only files that begin as ours do: any other file may matter
to somebody.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fluent_plugin_amp.state.database import BESIDE, connect, resolved
from fluent_plugin_amp.state.schema import APPLICATION_ID
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.translate import FOREIGN, translate_os_error
from fluent_plugin_amp.state.valid_rows import OWNERS, SOUND

ROWS_AT_ONCE = 500

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_ID_AT = 68


def aside_file(path: Path) -> Path:
    """The name under which a damaged file is kept."""
    path = resolved(path)
    return path.with_name(path.name + ".corrupt")


def can_be_replaced(path: Path) -> bool:
    """Whether the file begins as one of ours, or with nothing but zeros, and none was set aside before.

    No connection of this process may be open: closing a descriptor drops SQLite's locks.
    """
    try:
        with resolved(path).open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return False
    is_ours = header.startswith(_MAGIC) and header[_ID_AT : _ID_AT + 4] == APPLICATION_ID.to_bytes(4, "big")
    return (is_ours or not header.strip(b"\0")) and not aside_file(path).exists()


def replace(path: Path) -> None:
    """Put a new file in its place, with what can be read of the old one.

    Call it only when `can_be_replaced`, and while the lock is held.

    Raises:
        StateUnusable: that did not work, and the file is still there.
    """
    path, aside = resolved(path), aside_file(path)
    new = path.with_name(path.name + ".salvaged")
    try:
        for leftover in (new, *(Path(f"{new}{end}") for end in BESIDE)):
            leftover.unlink(missing_ok=True)
        store = Store.open(new, create=True)
        try:
            _take_over(path, store)
        finally:
            store.close()
        for end in BESIDE:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{end}", f"{aside}{end}")
        # A crash in between leaves the old file in its place, or the same under both names.
        with contextlib.suppress(OSError):
            os.link(path, aside)
        if not aside.exists():  # a file system without links
            os.rename(path, aside)
        os.replace(new, path)
    except OSError as exc:
        raise translate_os_error(path, exc) from exc


def _take_over(path: Path, store: Store) -> None:
    """Copy what can be read: from the first row on, and if that ends early, from the last row back."""
    old = connect(path)
    try:
        for table in SOUND:
            _copy(old, table, "", store) or _copy(old, table, " DESC", store)
    finally:
        old.close()
    store.set_garbled_aside(all_of_it=True)
    store.index_all()


def _copy(old: sqlite3.Connection, table: str, order: str, store: Store) -> bool:
    """Copy a table's rows; returns whether all could be read."""
    came_to_the_end = False

    def readable() -> Iterator[Sequence[object]]:
        nonlocal came_to_the_end
        key = f"{OWNERS[table]}{order}, name{order}" if table in OWNERS else f"rowid{order}"
        with contextlib.suppress(*FOREIGN):
            yield from old.execute(f"SELECT {', '.join(store.columns(table))} FROM {table} ORDER BY {key}")
            came_to_the_end = True

    rows = readable()
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        with store.transaction():
            store.adopt(table, batch)
    return came_to_the_end
