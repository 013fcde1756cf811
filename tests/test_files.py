"""Reading a file that somebody else names: it ends, and it is bounded."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from fluent_plugin_amp.files import read_bytes, read_text


def test_a_file(tmp_path: Path) -> None:
    """Its content, also through a link, and of a file of the system that says it is empty."""
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    assert read_bytes(tmp_path / "a") == read_bytes(str(tmp_path / "link")) == b"abc"
    assert read_bytes("/proc/self/stat").startswith(str(os.getpid()).encode())


def test_the_bound_is_exact(tmp_path: Path) -> None:
    """A file may be as large as the limit, and no byte more."""
    (tmp_path / "a").write_bytes(b"x" * 1024)
    assert len(read_bytes(tmp_path / "a", 1024)) == 1024
    with pytest.raises(OSError, match="larger than the 0 KiB that are read") as refused:
        read_bytes(tmp_path / "a", 1023)
    assert refused.value.errno == errno.EFBIG


def test_a_huge_file_is_not_held(tmp_path: Path) -> None:
    """Its size is enough to refuse it: not a byte is read."""
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than the 4096 KiB that are read"):
        read_bytes(tmp_path / "a")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder", "loop", "missing"])
def test_what_is_no_regular_file(kind: str, tmp_path: Path) -> None:
    """It is refused at once, in words; nothing is waited for, and no descriptor is left open."""
    path = tmp_path / "x"
    words = {
        "folder": "Is a directory",
        "loop": "Too many levels of symbolic links",
        "missing": "No such file or directory",
        "socket": "No such device or address",
    }
    before = set(os.listdir("/proc/self/fd"))
    server = socket.socket(socket.AF_UNIX)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            server.bind(str(path))
        case "device":
            path = Path("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to("x")
    with server, pytest.raises(OSError, match=r"\[Errno") as refused:
        read_bytes(path)
    assert refused.value.strerror == words.get(kind, "not a regular file, but a pipe, a socket or a device")
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_text_is_utf_8(tmp_path: Path) -> None:
    """Another encoding is not guessed."""
    (tmp_path / "a").write_bytes("ä".encode("latin-1"))
    with pytest.raises(OSError, match="not UTF-8") as refused:
        read_text(tmp_path / "a")
    assert refused.value.errno == errno.EILSEQ
