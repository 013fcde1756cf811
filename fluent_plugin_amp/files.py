"""Reading a file that somebody else names: the configuration, and every file that it names in turn.

Whatever stands under a name, a read ends: a pipe or a device is refused rather than waited for, and a size is checked
before its bytes are held.  All that can go wrong is an OSError whose ``strerror`` says it in words.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_FILE_BYTES = 4 << 20
"""More than thousands of streams take in one file, and little enough for YAML to be read within half a minute."""

MAX_SECRET_BYTES = 64 << 10
"""Of a password or a key."""


def read_bytes(path: Path | str, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """A file's content.

    Raises OSError: it is not there, may not be read, is no regular file, or is larger than ``limit_bytes`` (EFBIG).
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody who writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file, but a pipe, a socket or a device", str(path))
        content = b""
        # A file may grow while it is read, and those of /proc say that they are empty.
        while found.st_size <= limit_bytes and len(content) <= limit_bytes:
            piece = os.read(descriptor, limit_bytes + 1 - len(content))
            if not piece:
                return content
            content += piece
        raise OSError(errno.EFBIG, f"larger than the {limit_bytes >> 10} KiB that are read", str(path))
    finally:
        os.close(descriptor)


def read_text(path: Path | str, limit_bytes: int = MAX_FILE_BYTES) -> str:
    """A file's text; raises what `read_bytes` does, and OSError (EILSEQ) when it is not UTF-8."""
    try:
        return read_bytes(path, limit_bytes).decode("utf-8")
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "not UTF-8", str(path)) from None
