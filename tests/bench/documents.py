"""The parts of Markdown pages that a bench writes.  Pure.

Such a part stands between two comments, ``<!-- bench: throughput -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs/performance.md")
MEASURED = ROOT / "docs/measured"
"""What the pages' tables are made of."""


def filled(page: str, bench: str, parts: Mapping[str, str]) -> str:
    """The page with the parts of one bench as they are now.

    Raises:
        ValueError: the page asks for a part that was not measured.
    """

    def write(found: re.Match[str]) -> str:
        if found["part"] not in parts:
            raise ValueError(f"{found['part']} was not measured: the pages are written by a whole run")
        return f"{found['opening']}\n{parts[found['part']].strip()}\n<!-- end -->"

    marked = rf"(?P<opening><!-- {bench}: (?P<part>[a-z ]+) -->)\n.*?<!-- end -->"
    return re.sub(marked, write, page, flags=re.DOTALL)


def write_pages(bench: str, parts: Mapping[str, str]) -> None:
    """All pages."""
    written = {path: filled(path.read_text(), bench, parts) for path in PAGES}
    for path, page in written.items():
        path.write_text(page)
