"""Turns what SQLite, the system and Python raise over the state file into our errors.  Pure."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import msgspec

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.state.errors import StateCorrupt, StateDiskFull, StateUnusable, StateValueRefused
from fluent_plugin_amp.text import how_many

FOREIGN = (
    sqlite3.Error,
    msgspec.MsgspecError,
    *(ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError),
)
"""What a damaged file can raise: in SQLite, and in Python when a column holds another type than it should."""

SET_ASIDE_REMEDY = (
    "Delivery goes on. Look for a failing disk, or another program that writes to the file. See the chapter on the "
    "state file in docs/operations.md for what was set aside."
)
_FORGOTTEN = {
    "delivered": "events that the broker delivers again may arrive twice",
    "streams": "events that the broker delivers again may arrive twice",
    "letters": "dead letters that no server has yet",
    "combined": "detections and incidents may lack events, or be written anew",
    "kept": "a polled source that has lost its place goes on from now: `backfill` brings what is in between",
}

_NOT_KEPT = (OverflowError, UnicodeEncodeError, sqlite3.DataError)
_NO_SUCH_TYPE = ("is not supported", "unsupported type")
_OTHER_TABLES = ("no such table", "no such column", "has no column", "ambiguous column", "malformed database schema")


def translate(path: Path, exc: BaseException) -> PluginError:
    """Why the file cannot be used, or cannot keep a value."""
    if isinstance(exc, PluginError):
        return exc
    if isinstance(exc, OSError):
        return translate_os_error(path, exc)
    text = str(exc)  # Python 3.10 has no codes of SQLite's
    if isinstance(exc, _NOT_KEPT) or any(words in text for words in _NO_SUCH_TYPE):
        return StateValueRefused(f"{path}: {type(exc).__name__}: {text}")
    if not isinstance(exc, sqlite3.Error) or isinstance(exc, sqlite3.IntegrityError):
        return StateCorrupt(f"{path}: a row is not as this plugin writes it ({type(exc).__name__}: {text:.200})")
    if "disk is full" in text:
        return StateDiskFull(f"{path}: {text}")
    if "malformed" in text or "not a database" in text or any(words in text for words in _OTHER_TABLES):
        return StateCorrupt(f"{path}: {text}")
    return StateUnusable(f"{path}: {text}")


def translate_os_error(path: Path, exc: OSError) -> StateUnusable:
    """Why a file cannot be opened or written."""
    kind = StateDiskFull if exc.errno in (errno.ENOSPC, errno.EDQUOT) else StateUnusable
    return kind(f"{path}: {exc.strerror}")


def garbled_rows(path: Path, table: str, count: int) -> StateCorrupt:
    """The error that reports garbled rows of a table that were set aside."""
    if table not in _FORGOTTEN:
        return StateCorrupt(f"{path}: {table} was garbled, and is made anew", remedy=SET_ASIDE_REMEDY)
    rows = how_many(count, "garbled row")
    return StateCorrupt(
        f"{path}: {rows} of {table} set aside in the table garbled_{table}: {_FORGOTTEN[table]}",
        remedy=SET_ASIDE_REMEDY,
    )
