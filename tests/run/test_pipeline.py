"""`Pipeline`: the parts that know each other in a circle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.commands.dry_run import DryRunSink
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.errors import EventNotJson
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.run.pipeline import Pipeline
from tests.ledgers import FakeLedger

STREAM: dict[str, Any] = {"name": "a", "url": "amqps://broker.test", "username": "u", "password": "p", "queue": "q"}


@pytest.fixture
def made(tmp_path: Path) -> Pipeline:
    """With a state file and combined records; nothing is started."""
    keys = {"state": {"path": tmp_path / "state.db"}, "detections": {}}
    config = Config.model_validate({"streams": [STREAM], **keys})
    return Pipeline(config, config.streams, DryRunSink(), lambda fact: None, with_state=True)


async def test_a_kept_dead_letter_goes_through_the_conductor(made: Pipeline) -> None:
    """As soon as its sink is there to take it."""
    assert made.state is not None
    assert made.state.dead_letters._is_available()
    made.state.dead_letters._post(Delivery("a", FakeLedger(), 1, b"no JSON"), EventNotJson("no JSON"))
    assert not made.conductor.idle


def test_what_a_tool_resets_is_no_longer_combined(made: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The combiner hears of it from the state file."""
    assert made.state is not None
    assert made.combining is not None
    forgotten: list[str] = []
    monkeypatch.setattr(made.combining.combiner, "forget", forgotten.append)
    made.state.delivered._on_reset("a")
    assert forgotten == ["a"]


def test_without_a_state_file_nothing_is_opened(tmp_path: Path) -> None:
    """A tool beside a `run` must not take its file."""
    config = Config.model_validate({"streams": [STREAM], "state": {"path": tmp_path / "state.db"}})
    assert Pipeline(config, config.streams, DryRunSink(), lambda fact: None).state is None
