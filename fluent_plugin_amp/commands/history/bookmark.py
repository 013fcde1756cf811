"""The file in which a backfill notes how far it came: small, replaced as a whole, gone when the work is done."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from dataclasses import asdict
from pathlib import Path

import msgspec

from fluent_plugin_amp.files import read_bytes
from fluent_plugin_amp.history.span import Bookmark
from fluent_plugin_amp.state.errors import StateUnusable

MAX_BYTES = 4096
"""Five numbers need less."""
LAST_SECOND = 2**33
_NO_BOOKMARK = (errno.ENOENT, errno.EINVAL, errno.EFBIG)
"""Nothing there, no file, or too large for one: see `files.read_bytes`."""


def bookmark_file(state_file: Path, *words: str) -> Path:
    """Where it is: beside the state file, another one for other ``words`` (stream, times, options)."""
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
    return state_file.with_name(f"{state_file.name}.backfill-{key}")


def load(path: Path) -> Bookmark | None:
    """What was noted; None: nothing, or nothing that can be read or be true, and the work begins anew."""
    try:
        mark = msgspec.json.decode(read_bytes(path, MAX_BYTES), type=Bookmark)
    except (msgspec.MsgspecError, ValueError):
        return None
    except OSError as exc:
        if exc.errno in _NO_BOOKMARK:
            return None
        raise StateUnusable(f"{path}: {exc.strerror}") from exc
    is_true = 0 <= mark.since <= mark.down_to <= mark.floor <= mark.until <= LAST_SECOND
    return mark if is_true and 0 <= mark.offset <= LAST_SECOND else None


def save(path: Path, mark: Bookmark) -> None:
    """Note it; a reader finds either this or what was there before.

    Raises:
        StateUnusable: it cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        # Not through a symbolic link that somebody put there.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(asdict(mark)))
        os.replace(new, path)
    except OSError as exc:
        raise StateUnusable(f"{path}: {exc.strerror}") from exc


def remove(path: Path) -> None:
    """The work is done."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
