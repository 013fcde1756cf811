"""Tags are safe, and bounded in number."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.tags import (
    FALLBACK,
    MAX_FALLBACKS,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    Tags,
    compile_tag,
    tag_safe,
)

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
    return tags_of(template)(event)


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


def tags_of(template: str, max_tags: int = MAX_TAGS) -> Tags:
    """Of a template that names fields of the event."""
    tags = compile_tag(template, "emea", max_tags)
    assert isinstance(tags, Tags)
    return tags


def test_the_number_of_tags_is_bounded() -> None:
    """Each open tag is a batch, so beyond the limit new values share one tag, and known ones keep theirs."""
    tag = tags_of("{event_type}")
    for number in range(MAX_TAGS):
        assert tag({"event_type": f"kind {number}"}) == f"kind_{number}"
    assert not tag.are_used_up
    assert {tag({"event_type": f"kind {number}"}) for number in range(MAX_TAGS, MAX_TAGS * 2)} == {FALLBACK}
    assert tag({"event_type": "kind 3"}) == "kind_3"
    assert (len(tag), tag.are_used_up) == (MAX_TAGS + 1, True)


@pytest.mark.parametrize(
    "template", ["edr.{severity}.{event_type}.x", "edr.{severity}.{event_type}.{event_type_id}.x"]
)
def test_a_flood_of_one_field_leaves_the_others(template: str) -> None:
    """The constant parts stay, and the fields with few values, whichever came before the flood."""
    tag = tags_of(template, 50)
    for number in range(200):
        tag({"severity": ["Low", "High"][number % 2], "event_type": f"kind {number}", "event_type_id": number})
    late = {"severity": "Critical", "event_type": "kind 999", "event_type_id": 999}
    others = template.split("{severity}")[1].count("{") * ["other"]
    assert tag(late) == ".".join(["edr", "critical", *others, "x"])
    assert tag({**late, "severity": "High"}) == ".".join(["edr", "high", *others, "x"])
    assert tag({"severity": "Low", "event_type": "kind 0", "event_type_id": 0}).startswith("edr.low.kind_0")


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)), max_size=400))
def test_the_number_is_bounded_whatever_the_values(values: list[tuple[int, int, int]]) -> None:
    """Of all fields together, and each tag is the same each time once it was made."""
    tag = tags_of("{event_type}.{severity}.{event_type_id}", 20)
    events = [dict(zip(("event_type", "severity", "event_type_id"), each, strict=True)) for each in values]
    made = {tag(event) for event in events}
    assert len(made) <= len(tag) <= 20 + MAX_FALLBACKS
    assert {tag(event) for event in events} <= made | {"other.other.other"}


@pytest.mark.parametrize("value", ["x" * 100_000, "x_" * 100_000, "." * 2000 + "x", ["x"] * 10_000, 10**4000])
@pytest.mark.parametrize(
    "template", ["edr.{severity}.y", "{severity}{event_type}{severity}", "a" * 254 + "{severity}"]
)
def test_a_tag_is_never_long(value: Any, template: str) -> None:
    """However long the value; and what is huge is not kept to be known again."""
    tag = tags_of(template)
    event = {"severity": value, "event_type": value}
    assert tag(event) == tag(event)
    assert len(tag(event)) <= MAX_TAG_LENGTH
    assert re.fullmatch(r"[a-z0-9_.]+", tag(event))
    assert sum(len(text) for values in tag._known for text in values) < 10_000
    if template.endswith(".y"):
        assert re.fullmatch(r"edr\.[a-z0-9_]+\.y", tag(event))


def test_a_fixed_tag_is_never_long() -> None:
    """A stream's name may be."""
    assert len(str(compile_tag("edr.{stream}", "x" * 1000))) == MAX_TAG_LENGTH


def test_what_is_known_again_is_bounded() -> None:
    """Values that come to the same tags are not all kept."""
    tag = tags_of("{severity}", 3)
    for number in range(1000):
        tag({"severity": "x" + "." * (number % 900)})
    assert (len(tag), len(tag._known)) == (1, 6)
