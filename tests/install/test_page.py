"""What `make install-try` runs is the page: no command of docs/install.md is forgotten, none is made up."""

from __future__ import annotations

import re

from tests.containers.page import WAYS as BY_AN_ENGINE
from tests.install.page import PAGE, blocks
from tests.install.ways import NOT_RUN, ONCE, START, STOP, WAYS, Does

TEXT = PAGE.read_text("utf-8")
HEADINGS = {
    heading if isinstance(heading, str) else heading[0]
    for way in WAYS
    for heading in way.steps
    if isinstance(heading, str | tuple)
}


def test_every_block_is_run_or_says_why_not() -> None:
    """A heading with commands is in a way, here or of an engine, or in the list of those that are not."""
    assert set(blocks(TEXT)) == HEADINGS | set(BY_AN_ENGINE) | set(NOT_RUN)
    assert not (HEADINGS | set(BY_AN_ENGINE)) & set(NOT_RUN)


def test_blocks_stand_below_their_heading() -> None:
    """Several of one heading stay apart and in order; other kinds of blocks are no commands."""
    text = "# One\n```sh\na\n```\n```yaml\nb: 1\n```\n\n```sh\nc\nd\n```\n### Two\n```sh\ne\n```\n"
    assert blocks(text) == {"One": ["a\n", "c\nd\n"], "Two": ["e\n"]}


def test_what_is_run_besides_is_on_the_page() -> None:
    """Starting, stopping and delivering are the page's own commands."""
    for step in (START, STOP):
        assert isinstance(step, Does)
        assert step.script in TEXT
    for command in (ONCE, *(way.deliver for way in WAYS if way.name == "pipx")):
        assert re.search(rf"^{re.escape(command)}$", TEXT, re.MULTILINE)
