"""One daemon for each state file: an advisory lock on ``<state file>.lock``, a file beside it.

The lock is not on the state file itself: closing any descriptor of that would drop SQLite's own locks on it.  The
kernel releases the lock when the process ends, so a crash leaves nothing to clean up.  The lock file stays, with the
last holder's name in it.  A symbolic link in its place is not followed, because it could make us empty another file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.state.database import resolved
from fluent_plugin_amp.state.errors import StateInUse, StateUnusable
from fluent_plugin_amp.state.translate import translate_os_error

PATIENCE_S = 0.5
"""`holder` takes the lock for a moment to see whether anybody has it."""


class Lock:
    """The lock of one state file.  Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, unless it is held already.

        Raises:
            StateInUse: another process has it.
            StateUnusable: there can be no lock file here.
        """
        if self._descriptor is not None:
            return
        self._descriptor = take(
            lock_file(self._state_file), lambda holder: StateInUse(f"{self._state_file} is in use by {holder}")
        )

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def take(file: Path, in_use: Callable[[str], PluginError]) -> int:
    """Lock a file, and make it if need be.  The lock holds until the returned descriptor is closed.

    Args:
        file: the file to lock; the holder's name is written into it.
        in_use: makes the error to raise when another process has the lock, from that process's name.

    Raises:
        StateUnusable: there can be no such file.
    """
    descriptor = _open(file, os.O_RDWR | os.O_CREAT)
    try:
        if not _lock(descriptor, fcntl.LOCK_EX, PATIENCE_S):
            raise in_use(_read(descriptor))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except OSError as exc:
        os.close(descriptor)
        raise translate_os_error(file, exc) from exc
    except PluginError:
        os.close(descriptor)
        raise
    return descriptor


def lock_file(state_file: Path) -> Path:
    """The file that is locked."""
    file = resolved(state_file)
    return file.with_name(file.name + ".lock")


def holder(state_file: Path) -> str | None:
    """Who has the lock, such as ``process 12 on host``; None when nobody has it.

    Raises:
        StateUnusable: the lock file cannot be read.
    """
    file = lock_file(state_file)
    if not os.path.lexists(file):
        return None
    descriptor = _open(file, os.O_RDONLY)
    try:
        return None if _lock(descriptor, fcntl.LOCK_SH, 0.0) else _read(descriptor)
    except OSError as exc:
        raise translate_os_error(file, exc) from exc
    finally:
        os.close(descriptor)


def _open(file: Path, flags: int) -> int:
    try:
        descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise StateUnusable(f"{file} is a symbolic link", remedy="Remove it: the plugin makes a file.") from exc
        raise translate_os_error(file, exc) from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StateUnusable(f"{file} is no regular file", remedy="Remove it: the plugin makes a file.")
    return descriptor


def _lock(descriptor: int, kind: int, patience_s: float) -> bool:
    """Try to take the lock for so long; returns whether that worked."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            if time.monotonic() >= deadline:
                return False
            time.sleep(PATIENCE_S / 20)
        else:
            return True


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"
