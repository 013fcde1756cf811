"""docs/shapes.md: made from the tables, with an example that holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.commands.shapes_reference import reference
from tests.pipeline.shape.ecs_schema import faults as ecs_faults
from tests.pipeline.shape.ocsf_schema import faults as ocsf_faults

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    """docs/shapes.md is what the tables say; `make docs` writes it anew."""
    command = [sys.executable, "-m", "fluent_plugin_amp.commands.shapes_reference"]
    printed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    assert (ROOT / "docs/shapes.md").read_text("utf-8") == printed == reference()


def test_the_examples_are_valid() -> None:
    """The records of the page keep to OCSF, and to ECS."""
    _, ocsf, ecs = (json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", reference(), re.DOTALL))
    assert ocsf_faults(ocsf) == []
    assert ecs_faults(ecs) == []


def test_every_event_type_is_there() -> None:
    """With its id, once."""
    page = reference()
    assert {page.count(f"`{entry.id}`") for entry in catalogue()} == {1}
