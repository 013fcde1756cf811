"""What becomes of one event is told as `run` does it."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.commands.explain import explain
from fluent_plugin_amp.pipeline.dead_letters import original_body
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.transform import Transform


def test_an_event_that_a_step_trips_over_is_explained_as_the_dead_letter_that_it_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what came before the step."""

    def trip(links: Links, record: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Links, "__call__", trip)
    explained = explain(Transform("a", links=Links("console.example")), b'{"id": 1}', "letters")
    assert explained.dead_letter is not None
    assert explained.dead_letter["error_id"] == "event.processing-failed"
    assert original_body([explained.dead_letter]) == b'{"id": 1}'
    assert explained.tag == "letters"
    assert explained.steps[0] == ("decode", {"id": 1})


def test_what_the_table_of_a_schema_does_not_know_is_told() -> None:
    """With the record that was made all the same."""
    explained = explain(Transform("a", schema=OcsfShape("a")), b'{"id": 1, "novelty": 2}', "letters")
    assert explained.drift == (("event_type", "event_type_id"), ("field", "novelty"))
    name, record = explained.steps[-1]
    assert (name, record and record["unmapped"]) == ("shape", {"novelty": 2})
