"""What a table does not know is counted, with a sample and no value."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.pipeline.shape.drift import MAX_SAMPLE, MAX_SAMPLES, Drift
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.testing.events import EventGenerator

DETECTED = 1090519054

Make = type[OcsfShape] | type[EcsShape]
BOTH = pytest.mark.parametrize("make", [OcsfShape, EcsShape])


@BOTH
def test_what_is_known_does_not_drift(make: Make) -> None:
    """None of Cisco's events, nor what the plugin adds to them."""
    shape, generator = make("emea"), EventGenerator(1)
    for entry in catalogue():
        shape({**generator.event(entry.id), "@devo_pulling_id": "1.5", "console_links": {"x": "y"}}, 0.0)
    assert shape.drift.samples == {}


@BOTH
def test_types_fields_and_words(make: Make) -> None:
    """Each is counted as often as it comes; samples are paths."""
    shape = make("emea")
    event = {
        **EventGenerator(1).event(DETECTED),
        "event_type_id": 7,
        "severity": "Weird secret",
        "network_info": {"nfm": {"direction": "Sideways"}},
    }
    event["file"] = {**event["file"], "novelty": "secret"}
    for _ in range(2):
        shape(event, 0.0)
    assert shape.drift.counts == {"event_type": 2, "field": 2, "value": 4}
    assert set(shape.drift.samples) == {
        ("event_type", "7"),
        ("field", "file.novelty"),
        ("value", "severity"),
        ("value", "network_info.nfm.direction"),
    }


@BOTH
def test_masked_words_do_not_drift(make: Make) -> None:
    """They are the user's own doing."""
    shape = make("emea")
    shape({**EventGenerator(1).event(DETECTED), "severity": "***"}, 0.0)
    assert shape.drift.samples == {}


def test_samples_are_bounded() -> None:
    """In number and length."""
    shape = OcsfShape("emea")
    shape({"event_type_id": DETECTED, **{f"{number}{'x' * 1000}": 1 for number in range(1000)}}, 0.0)
    assert shape.drift.counts["field"] == 1000
    assert len(shape.drift.samples) == MAX_SAMPLES
    assert {len(path) for _, path in shape.drift.samples} == {MAX_SAMPLE}


def test_a_word_is_told_by_its_field() -> None:
    """The word itself may be anybody's secret."""
    drift = Drift()
    drift.note_word("event")
    assert (drift.counts["value"], [*drift.samples]) == (1, [("value", "event")])
