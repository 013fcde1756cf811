"""Which computers and files are meant: names on the command line, lines of a file, or who has seen a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fluent_plugin_amp.cisco import computers, hunting
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.file_lists import checked_sha256
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.files import read_text

MAX_LIST_BYTES = 1 << 20
"""Of a file with names: some ten thousand."""
MAX_NAMES = 1000
"""Each name is a request."""


def names(given: Sequence[str], file: Path | None) -> list[str]:
    """The names of the command line, and of the lines of a file (``-``: standard input).

    A line that begins with ``#`` is a comment.  Elsewhere it is a part of the name: "Lab Mac #2" is not "Lab Mac".
    So is a blank at either end: it is told as a name that nobody has, and not taken away.

    Raises UsageError.
    """
    lines: list[str] = []
    if file is not None:
        try:
            if str(file) == "-":
                if sys.stdin is None:
                    raise UsageError("standard input is closed")
                text = sys.stdin.read(MAX_LIST_BYTES + 1)
                if len(text) > MAX_LIST_BYTES:
                    raise UsageError(f"standard input: larger than the {MAX_LIST_BYTES >> 10} KiB that are read")
            else:
                text = read_text(file, MAX_LIST_BYTES)
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"{file} cannot be read: {getattr(exc, 'strerror', None) or 'not UTF-8'}") from exc
        lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    found = list(dict.fromkeys([*given, *lines]))
    if len(found) > MAX_NAMES:
        raise UsageError(f"{len(found)} names are given, {MAX_NAMES} are the most")
    return found


async def find_computers(api: CiscoApi, named: Sequence[str]) -> list[Computer]:
    """Each computer that is named, once.

    Raises:
        ComputerNotFound, ComputerAmbiguous: nothing is done to any of them then.
    """
    return list({one.guid: one for one in [await computers.find(api, name) for name in named]}.values())


async def who_saw(api: CiscoApi, sha256: str, *, without_event: bool) -> hunting.Seen:
    """The computers that have seen a file; with ``without_event`` only those that raised no event for it.

    Raises:
        UsageError: it is no SHA-256, or has more events than are read.
    """
    sha256 = checked_sha256(sha256)
    seen = await hunting.seen(api, sha256)
    if not without_event:
        return seen
    told = await hunting.told(api, sha256)
    if not told.is_complete:
        raise UsageError(
            "--no-event: the file has more events than are read, so who raised none cannot be told",
            remedy="Name the computers.",
        )
    return replace(seen, computers=tuple(one for one in seen.computers if one.guid not in told.guids))
