"""The mistakes of a configuration, each with its place.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fluent_plugin_amp.text import how_many


class Mark(NamedTuple):
    """A place in a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


MAX_REPORTED = 100
"""Mistakes that are told in one go: a file of another kind would have thousands."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the place, the path of the key within its file (empty: the whole file), what is wrong."""

    mark: Mark
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.path}: {self.text}" if self.path else f"{self.mark}: {self.text}"


def join(path: str, step: str | int) -> str:
    """One step down: ``streams``, 0 → ``streams[0]``; ``streams[0]``, ``url`` → ``streams[0].url``."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def report(problems: Iterable[Problem], what: str = "configuration") -> str:
    """All of them, one a line: file by file as they were read, each file from top to bottom."""
    every = list(dict.fromkeys(problems))
    order = {name: index for index, name in enumerate(dict.fromkeys(problem.mark.file for problem in every))}
    every.sort(key=lambda problem: (order[problem.mark.file], problem.mark.line))
    count = how_many(len(every), "mistake")
    more = [f"  … and {len(every) - MAX_REPORTED} more"] if len(every) > MAX_REPORTED else []
    return "\n".join([f"{count} in the {what}:", *(f"  {each}" for each in every[:MAX_REPORTED]), *more])
