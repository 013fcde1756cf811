"""What two of the faults need: a small disk that can be filled, and a clock that can be stepped."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_BYTES = 192 * 1024 * 1024
_BLOCK = bytes(1 << 20)
_OFFSET = struct.Struct("d")


class SmallDisk:
    """A file system of `DISK_BYTES`, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Not one byte is free: whoever writes meets ENOSPC, as with any disk."""
        ballast = self.folder / "ballast"
        try:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                size = len(_BLOCK)
                while size:
                    try:
                        file.write(_BLOCK[:size])
                    except OSError:
                        size //= 2
            yield
        finally:
            ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """A small disk on ``folder``; None where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Clock:
    """The clock of the plugin, apart from that of this machine: its processes read the offset out of a shared file.

    Only the time of day is stepped.  The monotonic clock goes on, as it does when a host's clock is set.
    """

    def __init__(self, path: Path) -> None:
        path.write_bytes(_OFFSET.pack(0.0))
        self.prelude = _PRELUDE.format(path=str(path))
        """What the plugin executes first."""
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), _OFFSET.size)

    def step(self, seconds: float) -> None:
        """Forth, or back when negative."""
        (offset_s,) = _OFFSET.unpack(self._offset[:])
        self._offset[:] = _OFFSET.pack(offset_s + seconds)


_PRELUDE = """
import mmap, struct, time
with open({path!r}, "rb") as file:
    offset = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
def stepped(now=time.time):
    return now() + struct.unpack("d", offset[:])[0]
def stepped_ns(now=time.time_ns):
    return now() + round(struct.unpack("d", offset[:])[0] * 1e9)
time.time, time.time_ns = stepped, stepped_ns
"""
