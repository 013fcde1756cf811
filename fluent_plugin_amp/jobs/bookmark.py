"""The file in which a backfill notes how far it came: small, replaced as a whole, gone when the work is done."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import asdict
from pathlib import Path

import msgspec

from fluent_plugin_amp.errors import StateUnusable
from fluent_plugin_amp.jobs.span import Bookmark


def bookmark_file(state_file: Path, *words: str) -> Path:
    """Where it is: beside the state file, another one for other ``words`` (stream, times, options)."""
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
    return state_file.with_name(f"{state_file.name}.backfill-{key}")


def load(path: Path) -> Bookmark | None:
    """What was noted; None: nothing, or nothing that can be read, and the work begins anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bookmark)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as exc:
        raise StateUnusable(f"{path}: {exc.strerror}") from exc


def save(path: Path, mark: Bookmark) -> None:
    """Note it; a reader finds either this or what was there before.

    Raises:
        StateUnusable: it cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        new.write_bytes(msgspec.json.encode(asdict(mark)))
        os.replace(new, path)
    except OSError as exc:
        raise StateUnusable(f"{path}: {exc.strerror}") from exc


def remove(path: Path) -> None:
    """The work is done."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
