"""A bookmark is what was noted, or nothing: a file that says something else begins the work anew."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.commands.history import bookmark
from fluent_plugin_amp.history.span import Bookmark
from fluent_plugin_amp.state.errors import StateUnusable

MARK = Bookmark(since=100, until=900, down_to=100, floor=500, offset=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is."""
    return bookmark.bookmark_file(tmp_path / "state.db", "emea", "7d", "")


def test_what_was_noted_is_there(path: Path) -> None:
    """Until the work is done; only its owner may read it."""
    assert bookmark.load(path) is None
    bookmark.save(path, MARK)
    assert bookmark.load(path) == MARK
    assert path.stat().st_mode & 0o777 == 0o600
    bookmark.remove(path)
    assert bookmark.load(path) is None


WRONG: list[Any] = [-1, 10**30, None, "x", [], 1.5]
GARBAGE: list[Any] = [
    *({**asdict(MARK), key: value} for key in asdict(MARK) for value in WRONG),
    {**asdict(MARK), "floor": 50},
    {**asdict(MARK), "until": 300},
    *([], None, {}, "x"),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=str)
def test_what_cannot_be_true_is_nothing(path: Path, garbage: Any) -> None:
    """Numbers of another kind, or in another order."""
    path.write_text(json.dumps(garbage))
    assert bookmark.load(path) is None


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"[" * 4000, b" " * 10**6 + b"{}"])
def test_other_bytes_are_nothing(path: Path, garbage: bytes) -> None:
    """And not many are read."""
    path.write_bytes(garbage)
    assert bookmark.load(path) is None


def test_a_fifo_is_not_waited_for(path: Path) -> None:
    """It says nothing."""
    os.mkfifo(path)
    assert bookmark.load(path) is None


def test_a_symbolic_link_is_not_followed(path: Path) -> None:
    """What it leads to stays as it is."""
    dear = path.with_name("dear")
    dear.write_text("dear")
    path.with_name(path.name + ".new").symlink_to(dear)
    with pytest.raises(StateUnusable):
        bookmark.save(path, MARK)
    assert dear.read_text() == "dear"
