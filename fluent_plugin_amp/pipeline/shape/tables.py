"""Tables written as text, read: a row is a line, its columns are parted by ``|``, ``#`` begins a remark.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache


@cache
def rows(table: str) -> tuple[tuple[str, ...], ...]:
    """The columns of each row, without the blanks around them.

    A table is read once: every class of a schema reads the same ones.
    """
    return tuple(
        tuple(column.strip() for column in line.split("|"))
        for line in table.splitlines()
        if line.strip() and not line.startswith("#")
    )


def is_in(where: str, version: str) -> bool:
    """Whether a row with this column holds in a version: ``1.1`` in that one, ``1.5+`` in the others."""
    return where in ("", "1.1" if version.startswith("1.1.") else "1.5+")


def numbered(text: str) -> tuple[int, str]:
    """``3 Medium`` → 3 and ``Medium``."""
    number, _, name = text.partition(" ")
    return int(number), name.strip()


def ids(text: str) -> Iterator[int]:
    """The ids of a column: ``7 10-12`` → 7, 10, 11, 12."""
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
