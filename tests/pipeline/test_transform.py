"""The steps of a stream, in their order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, Rule
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.transform import PULLING_ID, Schema, Transform

ARRIVAL = 1557506167.123456


def event() -> dict[str, Any]:
    """A small event, anew for each use."""
    return {"id": 6533241145273614340, "event_type_id": 1090519054, "file": {"disposition": "Malicious"}}


def test_without_options_the_event_passes_untouched() -> None:
    """The record is what Cisco sent, under the default tag."""
    assert Transform("emea")(event(), ARRIVAL) == ("edr.cisco.amp.events", event())


def test_dropped_types_are_dropped() -> None:
    """An event of a type named in the configuration is dropped, others pass."""
    assert Transform("emea", drop_event_types=frozenset({1090519054}))(event(), ARRIVAL) is None
    assert Transform("emea", drop_event_types=frozenset({1}))(event(), ARRIVAL) is not None


@pytest.mark.parametrize("type_id", [[], {}, [1090519054], None, "1090519054", 1.0, True])
def test_an_event_type_id_that_is_no_integer_is_not_dropped(type_id: Any) -> None:
    """A filter over types compares integers; what is none passes, and an unhashable one stops nothing."""
    transform = Transform("emea", drop_event_types=frozenset({1, 1090519054}))
    for steps in (lambda: transform({"event_type_id": type_id}, ARRIVAL), lambda: first_step(transform, type_id)):
        assert steps() is not None


def first_step(transform: Transform, type_id: Any) -> Any:
    """What the first step makes of an event of this type."""
    return next(iter(transform.steps({"event_type_id": type_id}, ARRIVAL))).record


def test_added_fields_overwrite_nothing() -> None:
    """A static field whose name is taken gets a suffix."""
    result = Transform("emea", add={"tenant": "acme", "id": "mine"})(event(), ARRIVAL)
    assert result is not None
    assert result[1] == {**event(), "tenant": "acme", "id_2": "mine"}


def test_the_pulling_id_is_the_arrival() -> None:
    """Devo's pulling id: seconds since the epoch with six digits, as text."""
    result = Transform("emea", pulling_id=True)(event(), ARRIVAL)
    assert result is not None
    assert result[1][PULLING_ID] == "1557506167.123456"


def test_the_tag_is_taken_before_flattening() -> None:
    """A tag template names fields as Cisco does, also when nothing is left of them but one text."""
    transform = Transform("emea", tag="{stream}.{event_type_id}", flatten=Flattener(), serialize="message")
    result = transform(event(), ARRIVAL)
    assert result is not None
    assert result[0] == "emea.1090519054"


def test_a_combined_record_takes_the_shape_of_the_events() -> None:
    """With the same static fields, flattened and serialized; what names an event's own fields is not done to it."""
    transform = Transform(
        "emea", links=Links("console.eu"), add={"tenant": "acme"}, flatten=Flattener(), serialize="m"
    )
    shaped = transform.shape({"id": 1, "file": {"disposition": "Malicious"}})
    assert json.loads(shaped["m"]) == {"id": 1, "file_disposition": "Malicious", "tenant": "acme"}


def test_add_then_flatten_then_serialize() -> None:
    """Added fields are flattened, and everything is in the one serialized field, integers exact."""
    transform = Transform("emea", add={"at": {"site": "x"}}, flatten=Flattener(), serialize="message")
    result = transform({**event(), "huge": 2**70}, ARRIVAL)
    assert result is not None
    assert list(result[1]) == ["message"]
    assert json.loads(result[1]["message"]) == {
        "id": 6533241145273614340,
        "event_type_id": 1090519054,
        "file_disposition": "Malicious",
        "huge": 2**70,
        "at_site": "x",
    }


HIDE_SHA256 = Obfuscation([Rule("file.identity.sha256", "hash", b"key"), Rule("severity", "mask")])


def test_links_and_tag_are_made_from_what_obfuscation_left() -> None:
    """Obfuscation goes first: a hidden value is in no link and in no tag."""
    sha256 = "a78c29d1fa05c2b23d1dc9b75da8c053399143682fe3779bc466f10e1a997850"
    record = {**event(), "severity": "High", "file": {"identity": {"sha256": sha256}}, "connector_guid": "c"}
    transform = Transform(
        "emea", tag="amp.{severity}", obfuscate=HIDE_SHA256, links=Links("console", HIDE_SHA256.hides)
    )
    result = transform(record, ARRIVAL)
    assert result is not None
    tag, sent = result
    assert tag == "amp.unknown"
    assert sha256 not in json.dumps(sent)
    assert sent["file"]["identity"]["sha256"] not in json.dumps(sent["console_links"])
    assert sent["console_links"]["device_trajectory"] == "https://console/computers/c/trajectory2"


def test_an_event_that_gives_no_link_has_no_field_for_them() -> None:
    """Nothing is added where there is nothing to say, and nothing of Cisco's is overwritten."""
    assert Transform("emea", links=Links("console"))({"a": 1}, ARRIVAL) == ("edr.cisco.amp.events", {"a": 1})
    result = Transform("emea", links=Links("console"))({"console_links": "Cisco's", "event_type_id": 1}, ARRIVAL)
    assert result is not None
    assert result[1]["console_links"] == "Cisco's"
    assert set(result[1]["console_links_2"]) == {"dashboard_event_type", "events_event_type"}


def test_what_is_added_stays_as_it_was_configured() -> None:
    """Every event gets the same static fields: a step that changes one of them must not change them for all."""
    add = {"tenant": {"number": 2**60}}
    result = Transform("emea", add=add, ids_as_texts=True)(event(), ARRIVAL)
    assert result is not None
    assert result[1]["tenant"] == {"number": str(2**60)}
    assert add == {"tenant": {"number": 2**60}}


def test_the_steps_end_where_the_call_does() -> None:
    """`explain` shows each configured step in order, and the last one is what is sent."""
    transform = Transform(
        "emea",
        drop_event_types=frozenset({1}),
        obfuscate=Obfuscation([Rule("file.disposition", "mask")]),
        links=Links("console"),
        add={"tenant": "acme"},
        pulling_id=True,
        ids_as_texts=True,
        flatten=Flattener(),
        serialize="message",
    )
    steps = list(transform.steps(event(), ARRIVAL))
    assert [step.name for step in steps] == [
        "drop_event_types",
        "obfuscate",
        "links",
        "add",
        "pulling_id",
        "ids",
        "flatten",
        "serialize",
    ]
    result = transform(event(), ARRIVAL)
    assert result is not None
    assert steps[-1].record == result[1]
    assert steps[0].record == event()
    masked = {**event(), "file": {"disposition": "***"}}
    assert steps[1].record == masked
    linked = steps[2].record
    assert linked is not None
    assert linked == {**masked, "console_links": linked["console_links"]}
    assert steps[3].record == {**linked, "tenant": "acme"}


def test_the_steps_of_a_dropped_event_end_with_the_drop() -> None:
    """Nothing follows the step that dropped the event."""
    steps = list(Transform("emea", drop_event_types=frozenset({1090519054}), add={"a": 1}).steps(event(), ARRIVAL))
    assert [(step.name, step.record) for step in steps] == [("drop_event_types", None)]


def test_the_tags_that_were_made() -> None:
    """Snapshot tell of them where the tag depends on the event."""
    assert Transform("emea", tag="edr.{stream}").tags is None
    transform = Transform("emea", tag="{severity}", max_tags=1)
    for severity in ("High", "Low"):
        transform({"severity": severity}, 0.0)
    assert transform.tags is not None
    assert (len(transform.tags), transform.tags.are_used_up) == (2, True)


def test_an_event_is_shaped_after_its_tag_and_before_it_is_flattened() -> None:
    """The tag is there already; what the schema has no place for is `unmapped`, and static fields stay at the top."""
    transform = Transform(
        "emea", tag="{event_type_id}", add={"tenant": "acme"}, schema=OcsfShape("emea"), flatten=Flattener()
    )
    made = transform(event(), ARRIVAL)
    assert made is not None
    tag, record = made
    assert tag == "1090519054"
    assert (record["class_uid"], record["tenant"]) == (2004, "acme")
    assert record["unmapped_file_disposition"] == "Malicious"


@pytest.mark.parametrize("schema", [OcsfShape("emea"), EcsShape("emea")])
def test_what_was_added_is_no_part_of_what_is_shaped(schema: Schema) -> None:
    """It is at the top of the record, whatever it is called, and the schema's own fields are what Cisco sent."""
    add = {"hostname": "collector-1", "observer": 7, "event_type_id": 1, "tenant": {"name": "acme"}, "site": "acme"}
    transform = Transform("emea", tag="{site}", add=add, pulling_id=True, schema=schema)
    made = transform(event(), ARRIVAL)
    assert made is not None
    tag, record = made
    assert tag == "acme"
    assert [record.pop(name) for name in ("hostname", "tenant", "site")] == ["collector-1", {"name": "acme"}, "acme"]
    assert record.pop(PULLING_ID) == f"{ARRIVAL:.6f}"
    assert record.pop("event_type_id") == 1
    assert record.pop("observer_2" if "ecs" in record else "observer") == 7
    assert record == schema(event(), ARRIVAL)
    assert schema.drift.counts["field"] == 0


def test_a_combined_record_is_shaped_with_its_static_fields() -> None:
    """It has no pulling id; the last of its own fields are its own."""
    transform = Transform("emea", add={"tenant": "acme"}, pulling_id=True, schema=OcsfShape("emea"))
    combined = {"event_ids": ["1"], "status": "detected", "revision": 1, "count": 2}
    made = transform.shape(combined)
    assert (made["tenant"], made["count"], made["class_uid"]) == ("acme", 2, 2004)
    assert PULLING_ID not in made
