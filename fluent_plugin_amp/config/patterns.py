"""The files that a pattern of ``include`` matches.

As a shell does it: ``*``, ``?`` and ``[…]`` within a name, ``**`` for any number of folders, names that begin with a
dot only where the pattern says so.  Unlike `glob`, it follows no link behind ``**``, which may lead in circles, and
ends after `MAX_NAMES` names.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

MAX_NAMES = 100_000
"""Looked at for one pattern; beyond it the pattern is a mistake: it begins at the root, or near it."""


def has_magic(pattern: str) -> bool:
    """Whether it is a pattern, and not the name of one file."""
    return any(character in pattern for character in "*?[")


def matching(folder: Path, pattern: str) -> list[Path]:
    """What is there, sorted by name; links that lead nowhere are.

    Raises ValueError: too many names to look at, a folder that cannot be listed, or no name that a file can have.
    """
    if "\0" in pattern:
        raise ValueError("must be a file's name")
    search = _Search()
    return sorted(set(search.under(folder, Path(pattern).parts or (".",))))


class _Search:
    def __init__(self) -> None:
        self._names = 0

    def under(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """What matches the rest of a pattern below ``folder``."""
        first, rest = parts[0], parts[1:]
        if first == "**":
            yield from self.under(folder, rest or ("*",))
            for name in self._names_in(folder):
                if not name.startswith(".") and (folder / name).is_dir() and not (folder / name).is_symlink():
                    yield from self.under(folder / name, parts)
            return
        if has_magic(first):
            names = [name for name in self._names_in(folder) if _fits(name, first)]
        else:
            names = [first] if os.path.lexists(folder / first) else []
        for name in names:
            if not rest:
                yield folder / name
            elif (folder / name).is_dir():
                yield from self.under(folder / name, rest)

    def _names_in(self, folder: Path) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                names = []
                for entry in entries:
                    self._names += 1
                    if self._names > MAX_NAMES:
                        raise ValueError(f"leads to more than {MAX_NAMES} files and folders: begin it further down")
                    names.append(entry.name)
                return names
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:  # not "nothing there": on a reload that would take away the streams of its files
            raise ValueError(f"{folder} cannot be listed: {exc.strerror}") from exc


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))
