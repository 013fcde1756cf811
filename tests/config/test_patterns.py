"""The files that a pattern matches."""

from __future__ import annotations

import errno
import glob
import os
from pathlib import Path

import pytest

from fluent_plugin_amp.config import patterns
from fluent_plugin_amp.config.patterns import has_magic, matching

NAMES = ("a.yml", "b.yml", ".hidden.yml", "d/c.yml", "d/e/f.yml", "d/.g/h.yml", "[x].yml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `NAMES`."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    ["*.yml", "a.yml", "?.yml", "[ab].yml", "[!a].yml", "[[]x].yml", ".*.yml", "d/*", "*/*.yml", "**/*.yml", "d/**",
     "./*.yml", "d/../*.yml", "none.yml", "none/*.yml", "a.yml/*", "**/e/*.yml", "x*", "d"],
)  # fmt: skip
def test_it_is_what_a_shell_matches(pattern: str, folder: Path) -> None:
    """Python's `glob` agrees, for patterns that both know."""
    names = set(glob.glob(pattern, root_dir=folder, recursive=True)) - {"d/"}  # `d/**` is what is in it
    assert set(matching(folder, pattern)) == {folder / name for name in names}


def test_sorted_and_absolute(folder: Path, tmp_path: Path) -> None:
    """By name; a pattern may begin at the root."""
    assert matching(Path("/"), f"{tmp_path}/?.yml") == [tmp_path / "a.yml", tmp_path / "b.yml"]


def test_links_lead_in_no_circles(folder: Path) -> None:
    """`**` does not follow them: two links to the folder itself would make a tree of 2^40 folders."""
    (folder / "d/one").symlink_to(folder)
    (folder / "d/two").symlink_to(folder)
    assert matching(folder, "**/f.yml") == [folder / "d/e/f.yml"]


def test_a_link_to_nowhere_is_there(folder: Path) -> None:
    """Whoever reads it says what is wrong with it."""
    (folder / "z.yml").symlink_to("z.yml")
    assert folder / "z.yml" in matching(folder, "*.yml")
    assert matching(folder, "z.yml") == [folder / "z.yml"]


def test_the_search_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that begins at the root ends with a mistake, not with the disk."""
    monkeypatch.setattr(patterns, "MAX_NAMES", 5)
    with pytest.raises(ValueError, match="leads to more than 5 files and folders: begin it further down"):
        matching(folder, "**/*.yml")
    with pytest.raises(ValueError, match="must be a file's name"):
        matching(folder, "a\0b")


def test_magic() -> None:
    """What makes a pattern of a name."""
    assert [has_magic(text) for text in ("a.yml", "*.yml", "a?", "[a]")] == [False, True, True, True]


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that takes it for empty would take away all streams of its files."""
    (tmp_path / "streams.d").mkdir()

    def refused(folder: Path) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(ValueError, match=r"streams\.d cannot be listed: Permission denied"):
        matching(tmp_path, "streams.d/*.yml")
