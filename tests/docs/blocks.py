"""The console blocks of the pages: commands, what they print, and the shape of that.

A block is a fenced ``console``.  A line that begins with ``$ `` is a command, what follows it is its output, and
``(exit code N)`` at the end of that its exit code.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_PIECE = re.compile(r"^#+ (?P<heading>[^\n]*)$|^```(?P<kind>\w*)\n(?P<block>.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT_CODE = re.compile(r"^\(exit code (\d+)\)\n?", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One command."""

    command: str
    output: str
    exit_code: int | None
    """As the page says; None: it does not."""


@dataclass(frozen=True)
class Block:
    """One block, known by its page, the heading above it and its first command."""

    page: str
    line: int
    key: str
    steps: tuple[Step, ...]


def blocks() -> list[Block]:
    """Of all pages, in order."""
    return [block for page in PAGES for block in blocks_of(page, (ROOT / page).read_text("utf-8"))]


def blocks_of(page: str, text: str) -> list[Block]:
    """Of one page."""
    found: list[Block] = []
    seen: Counter[str] = Counter()
    heading = ""
    for piece in _PIECE.finditer(text):
        if piece["heading"] is not None:
            heading = piece["heading"].replace("`", "")
        if piece["kind"] != "console":
            continue
        steps = _steps(piece["block"])
        key = f"{page} > {heading} > {steps[0].command.split('  #')[0].rstrip()}"
        seen[key] += 1
        nth = f" ({seen[key]})" if seen[key] > 1 else ""
        found.append(Block(page, text.count("\n", 0, piece.start()) + 1, key + nth, steps))
    return found


def _steps(block: str) -> tuple[Step, ...]:
    steps = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        said = _EXIT_CODE.search(output)
        steps.append(Step(command, _EXIT_CODE.sub("", output), int(said[1]) if said else None))
    assert steps, f"a console block without a command:\n{block}"
    return tuple(steps)


_MASKS = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "GUID"),
    (r"\b[0-9a-f]{12,}\b", "HEX"),
    (r"\bclient id [0-9a-f]{8}…", "client id HEX"),
    (r"\d+(?:[.,]\d+)*", "#"),
    (r"# (?:ms|s|min|h|days)\b", "# TIME"),
    (r"# (?:B|KiB|MiB|GiB)\b", "# SIZE"),
    (r"[ \t]+", " "),
)


def shape(text: str) -> list[str]:
    """What stays the same from run to run: numbers, times, sizes, widths and empty lines are not.

    Lines that differ in nothing else, such as rows of figures, count once where they stand together.  Progress bars
    are for terminals only, and are left out.
    """
    for pattern, mask in _MASKS:
        text = re.sub(pattern, mask, text)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and "━" not in line]
    return [line for place, line in enumerate(lines) if place == 0 or line != lines[place - 1]]
