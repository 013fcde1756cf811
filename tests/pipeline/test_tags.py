"""Tags are safe, and bounded in number."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.tags import FALLBACK, MAX_DISTINCT_TAGS, compile_tag, tag_safe

EVENT = {"event_type": "Threat Quarantined", "event_type_id": 553648143, "severity": "Medium"}


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("Threat Quarantined", "threat_quarantined"),
        ("A.B/C", "a_b_c"),
        ("  Ähm  ", "hm"),
        (2164260880, "2164260880"),
        ("...", "unknown"),
        ("", "unknown"),
        ("_x_", "x"),
    ],
)
def test_values_become_one_level(value: Any, level: str) -> None:
    """Lower case, and nothing that a match pattern or a file name could trip over."""
    assert tag_safe(value) == level


@given(st.text())
def test_any_text_becomes_one_safe_level(text: str) -> None:
    """Whatever the text, the level is not empty, and holds no dot."""
    assert re.fullmatch(r"[a-z0-9_]+", tag_safe(text))


def test_without_a_field_the_tag_is_fixed() -> None:
    """A template over the stream alone is filled once."""
    assert compile_tag("edr.cisco.amp.events", "emea") == "edr.cisco.amp.events"
    assert compile_tag("edr.{stream}", "EMEA 1") == "edr.emea_1"


def tag_of(template: str, event: dict[str, Any]) -> str:
    """The tag that a template gives an event of the stream emea."""
    tag = compile_tag(template, "emea")
    assert not isinstance(tag, str)
    return tag(event)


def test_fields_of_the_event_fill_the_tag() -> None:
    """Each named field is one level."""
    assert tag_of("edr.{stream}.{event_type}", EVENT) == "edr.emea.threat_quarantined"
    assert tag_of("{event_type_id}.{severity}", EVENT) == "553648143.medium"


@pytest.mark.parametrize("event", [{}, {"severity": None}, {"severity": ""}])
def test_what_is_missing_is_unknown(event: dict[str, Any]) -> None:
    """Older events lack a severity; they have a tag all the same."""
    assert tag_of("edr.{severity}", event) == "edr.unknown"


@pytest.mark.parametrize("value", [[], {}, [1], {"a": 1}, 1.5, True])
def test_a_field_of_another_type_has_a_tag_too(value: Any) -> None:
    """No value can stop the stream."""
    assert re.fullmatch(r"edr\.[a-z0-9_]+", tag_of("edr.{severity}", {"severity": value}))


def test_the_number_of_tags_is_bounded() -> None:
    """Each open tag is a batch, so beyond the limit new values share one tag, and known ones keep theirs."""
    tag = compile_tag("{event_type}", "emea")
    assert not isinstance(tag, str)
    tags = {tag({"event_type": f"kind {number}"}) for number in range(MAX_DISTINCT_TAGS * 2)}
    assert len(tags) == MAX_DISTINCT_TAGS + 1
    assert tag({"event_type": "kind 3"}) == "kind_3"
    assert tag({"event_type": "kind 9999"}) == FALLBACK
