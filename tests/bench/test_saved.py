"""A bench keeps what it has measured, and says how long it still takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.saved import Progress, Saved


def test_a_run_goes_on_where_another_ended(tmp_path: Path) -> None:
    """Each measure is in the file when it is done; the conditions are those of the run that began."""
    path = tmp_path / "folder/bench.json"
    Saved(path, {"machine": "a"}, resume=True).add("start", {"s": [0.5]})
    second = Saved(path, {"machine": "b"}, resume=True)
    assert second.figures == {"start": {"s": [0.5]}}
    second.add("steps", {"us": [1.0]})
    held = json.loads(path.read_text())
    assert held["conditions"]["machine"] == "a"
    assert list(held["figures"]) == ["start", "steps"]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    """Figures of two runs are not mixed unless that is asked for."""
    Saved(tmp_path / "a", {}, resume=False).add("start", {})
    assert not Saved(tmp_path / "a", {}, resume=False).figures


def test_the_time_left_follows_the_pace() -> None:
    """At first it is what was expected; after a part that took twice as long, twice that."""
    progress = Progress({"a": 10.0, "b": 20.0, "c": 30.0}, now=100.0)
    assert progress.left_s(100.0) == pytest.approx(60.0)
    assert progress.left_s(104.0) == pytest.approx(56.0)
    assert progress.left_s(200.0) == pytest.approx(50.0)
    progress.done(120.0)
    assert progress.left_s(120.0) == pytest.approx(100.0)
    progress.done(160.0)
    progress.done(220.0)
    assert progress.left_s(220.0) == 0.0
