"""The links between the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.blocks import PAGES, ROOT

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")


def text_of(page: str) -> str:
    """Without what is fenced."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)", text_of(page), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(page: str, text: str) -> Iterator[str]:
    """Those that lead to no file, or to no heading of a page."""
    for name, anchor in _LINK.findall(text):
        file = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors_of(str(file.relative_to(ROOT)))):
            yield f"{name}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_somewhere(page: str) -> None:
    """To a file of the project, and to a heading where it names one."""
    assert list(dead_links(page, text_of(page))) == []


def test_dead_links_are_found() -> None:
    """A file that is not there, and a heading; an address of the web is not looked at."""
    text = "[a](gone.md) [b](records.md#gone) [c](#gone) [d](records.md#names) [e](https://example.com/gone)"
    assert list(dead_links("docs/hunts.md", text)) == ["gone.md#", "records.md#gone", "#gone"]
