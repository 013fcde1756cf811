"""docs/shapes.md: made from the tables, with an example that holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.commands.shapes_reference import reference
from tests.pipeline.shape.ocsf_schema import faults

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    """docs/shapes.md is what the tables say; `make docs` writes it anew."""
    command = [sys.executable, "-m", "fluent_plugin_amp.commands.shapes_reference"]
    printed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    assert (ROOT / "docs/shapes.md").read_text("utf-8") == printed == reference()


def test_the_examples_are_valid() -> None:
    """The record of the page keeps to OCSF."""
    _, record = (json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", reference(), re.DOTALL)[:2])
    assert faults(record) == []


def test_every_event_type_is_there() -> None:
    """With its id, once."""
    page = reference()
    assert {page.count(f"`{entry.id}`") for entry in catalogue()} == {1}
