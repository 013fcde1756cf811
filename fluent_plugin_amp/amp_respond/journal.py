"""The journal: a file that only grows, one line of JSON for each step of an action.

The line that says what is asked is on the disk before the request is sent (fsync), so that no change is without one.
Only its owner reads it (mode 0600).  One process at a time changes something with it: `Journal.writing` holds a lock
on a file beside it.  A line that a crash cut off is ended before the next one, and is counted when it is read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from fluent_plugin_amp.amp_respond.entries import Entry, Json, entries, parse
from fluent_plugin_amp.amp_respond.errors import JournalInUse, JournalUnusable
from fluent_plugin_amp.files import read_bytes
from fluent_plugin_amp.state.lock import take

MAX_JOURNAL_BYTES = 256 << 20
"""Some hundred thousand actions; a larger one is moved away by its owner."""


def default_path(environ: Mapping[str, str]) -> Path:
    """Where the journal is when nobody names it."""
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "amp-respond" / "journal.ndjson"


def line(entry: str, phase: str, **more: Any) -> Json:
    """A line of an entry, with the time."""
    return {"entry": entry, "phase": phase, "at": before_now(timedelta()), **more}


def before_now(ago: timedelta) -> str:
    """The time then, as the lines have it, so that the two can be compared: ISO 8601, UTC."""
    return (datetime.now(timezone.utc) - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """The journal in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """For the length of the block, this process and no other writes.

        Raises:
            JournalInUse, JournalUnusable; and StateUnusable where the lock's file cannot be.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = self._open()
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            lock = take(
                self.path.with_name(self.path.name + ".lock"),
                lambda holder: JournalInUse(f"{self.path} is being written by {holder}"),
            )
            try:
                self._descriptor = descriptor
                yield
            finally:
                self._descriptor = None
                os.close(lock)
        finally:
            os.close(descriptor)

    def append(self, *lines: Mapping[str, Any]) -> None:
        """Write lines, all at once; they are on the disk when this returns.  Raises JournalUnusable."""
        if self._descriptor is None:
            raise RuntimeError("the journal is not being written")
        text = "".join(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines)
        data = text.encode("utf-8", "backslashreplace")
        try:
            if self._is_torn(self._descriptor):
                data = b"\n" + data
            self._write(self._descriptor, data)
        except OSError as exc:
            raise self._unusable(exc) from exc

    def entries(self) -> tuple[list[Entry], int]:
        """All entries, and how many lines could not be read.  Raises JournalUnusable."""
        try:
            lines, broken = parse(read_bytes(self.path, MAX_JOURNAL_BYTES))
        except FileNotFoundError:
            return [], 0
        except OSError as exc:
            raise self._unusable(exc) from exc
        return entries(lines), broken

    def _open(self) -> int:
        """A regular file of ours, which nobody else reads."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        is_new = not os.path.lexists(self.path)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if found.st_uid != os.geteuid():
                raise OSError(errno.EPERM, "it is somebody else's, who could change it")
            if stat.S_IMODE(found.st_mode) != 0o600:
                os.fchmod(descriptor, 0o600)
            if is_new:  # or a power cut could take the file away, with all its lines
                folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_torn(self, descriptor: int) -> bool:
        """The last line has no end: a crash, or a full disk, cut it off."""
        size = os.fstat(descriptor).st_size
        return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"

    def _write(self, descriptor: int, data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)

    def _unusable(self, exc: OSError) -> JournalUnusable:
        why = "a symbolic link" if exc.errno == errno.ELOOP else exc.strerror or "no file"
        return JournalUnusable(f"the journal {self.path} cannot be used: {why}")
