"""The commands of docs/install.md: its ``sh`` blocks, by the heading above them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/install.md"

_PIECE = re.compile(r"^#+ (?P<heading>[^\n]*)$|^```sh\n(?P<block>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> dict[str, list[str]]:
    """The scripts below each heading that has some, in the order of the page."""
    found: dict[str, list[str]] = {}
    heading = ""
    for piece in _PIECE.finditer(text):
        if piece["heading"] is not None:
            heading = piece["heading"]
        else:
            found.setdefault(heading, []).append(piece["block"])
    return found
