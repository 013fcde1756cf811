"""What SQLite and the system say about the state file, as our errors.  Pure."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from fluent_plugin_amp.errors import StateCorrupt, StateDiskFull, StateUnusable


def translate(path: Path, exc: sqlite3.DatabaseError) -> Exception:
    """Why the file cannot be used; a mistake of our own in using SQLite stays what it is."""
    if isinstance(exc, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)):
        return exc
    text = str(exc)  # Python 3.10 has no codes of SQLite's
    if "disk is full" in text:
        return StateDiskFull(f"{path}: {text}")
    if "malformed" in text or "not a database" in text:
        return StateCorrupt(f"{path}: {text}")
    return StateUnusable(f"{path}: {text}")


def translate_os_error(path: Path, exc: OSError) -> StateUnusable:
    """Why a file cannot be opened or written."""
    kind = StateDiskFull if exc.errno in (errno.ENOSPC, errno.EDQUOT) else StateUnusable
    return kind(f"{path}: {exc.strerror}")
