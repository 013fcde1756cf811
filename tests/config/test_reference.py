from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from fluent_plugin_amp.config import load
from fluent_plugin_amp.config.keys import keys_of
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.config.reference import reference

ROOT = Path(__file__).parents[2]
ENVIRON = {"AMP_STREAM_PASSWORD": "hunter2"}


def test_the_page_is_current() -> None:
    """docs/configuration.md is what the models say; `make docs` writes it anew."""
    assert (ROOT / "docs/configuration.md").read_text("utf-8") == reference()


def test_the_command_prints_the_page() -> None:
    """`make docs` only has to redirect it."""
    command = [sys.executable, "-m", "fluent_plugin_amp.config.reference"]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert done.stdout == reference()


def test_every_key_has_a_row() -> None:
    """The page has each key of each section, with its type and its meaning."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) \| (.+?) \| (.+) \|$", reference(), re.MULTILINE)
    sections = {id(key.field): key.name for key in keys_of(Config)}
    assert sorted(name for name, *_ in rows) == sorted(sections.values())
    assert all(cell for row in rows for cell in (row[1], row[3], row[4]))


def test_units_and_defaults_are_those_of_the_models() -> None:
    """A few rows, word for word."""
    page = reference()
    assert "| `memory_limit` | size, 1MiB or more | bytes | `64MiB` |" in page
    assert "| `pause_after` | duration, 1s … 25m | seconds | `10m` |" in page
    assert "| `prefetch_count` | `auto` or whole number, 1 … 65535 |  | `auto` |" in page
    assert "| `compress` | `none` or `gzip` |  | `none` |" in page
    assert "## `streams[].tls`, `forward.tls`" in page


# --- the files in conf/ -------------------------------------------------------------------------------------


def test_the_full_example_has_every_key() -> None:
    """Each key of the models stands in conf/fluent-plugin-amp.yml, some of them behind a #."""
    text = (ROOT / "conf/fluent-plugin-amp.yml").read_text("utf-8")
    written = set(re.findall(r"^[ #-]*(\w+):", text, re.MULTILINE))
    assert {key.name for key in keys_of(Config)} <= written


def test_the_full_example_spells_out_the_defaults() -> None:
    """Taking any key out of conf/fluent-plugin-amp.yml changes nothing."""
    full = load(ROOT / "conf/fluent-plugin-amp.yml", ENVIRON)
    stream = {key: getattr(full.streams[0], key) for key in ("name", "url", "username", "password", "queue")}
    assert full == Config.model_validate({"streams": [stream]})


def test_no_key_of_the_full_example_is_behind_the_times() -> None:
    """What stands behind a # there would be accepted without it."""
    text = (ROOT / "conf/fluent-plugin-amp.yml").read_text("utf-8")
    known = {key.name for key in keys_of(Config)}
    assert set(re.findall(r"^ *# +(?:- )?(\w+):", text, re.MULTILINE)) <= known


@pytest.mark.parametrize("name", ["minimal.yml", "fluent-plugin-amp.yml"])
def test_the_examples_load_without_a_warning(name: str) -> None:
    """What we ship is sound."""
    config = load(ROOT / "conf" / name, ENVIRON)
    assert isinstance(config, BaseModel)
    assert config.warnings == ()
