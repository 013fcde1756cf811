"""Detections: written when settled or when the window is over, and the last revision is the same for any order."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.combine import detections as module
from fluent_plugin_amp.pipeline.combine.detections import EVENTS_EACH, KEEP_S, MAX_EVENTS, Detections
from fluent_plugin_amp.pipeline.combine.member import (
    QUARANTINE_FAILURE,
    RETROSPECTIVE_DETECTION,
    RETROSPECTIVE_QUARANTINE,
    RETROSPECTIVE_QUARANTINE_FAILURE,
    THREAT_DETECTED,
    THREAT_QUARANTINED,
    Member,
    MemberMaker,
)
from fluent_plugin_amp.pipeline.links import Links
from tests.pipeline.steps import grows_linearly

PAIR: list[dict[str, Any]] = json.loads(Path(__file__).with_name("cisco_pair.json").read_text())
ROOT = Path(__file__).parents[3]
NOW = 1_700_000_000.0


def member(type_id: int, seconds: int = 0, *, number: int = 0, nanoseconds: int = 0, **fields: Any) -> Member:
    """A member of detection "d"."""
    record = {"id": number or type_id, "event_type": f"type {type_id}", "event_type_id": type_id, "detection_id": "d"}
    digest = f"{type_id} {seconds} {nanoseconds} {number} {fields}".encode()
    made = MemberMaker(None, None, b"")({**record, **fields}, seconds, nanoseconds, digest)
    assert made is not None
    return made


def records(detections: Detections) -> list[dict[str, Any]]:
    """What was written since this was last called."""
    written = [emission.record for emission in detections.emissions]
    detections.emissions.clear()
    return written


def record_of(pair: list[dict[str, Any]]) -> dict[str, Any]:
    """What two events make together."""
    maker = MemberMaker(None, Links("console.amp.cisco.com"), b"")
    detections = Detections(60, 10)
    for number, event in enumerate(pair):
        made = maker(event, event["timestamp"], event["timestamp_nanoseconds"], str(event["id"]).encode())
        assert made is not None
        detections.add("emea", made, NOW + number)
    (record,) = records(detections)
    return record


@pytest.mark.parametrize("page", ["README.md", "docs/records.md"])
def test_the_record_that_is_shown_to_users(page: str) -> None:
    """Shortened, and in all that is left what Cisco's own pair makes."""
    text = (ROOT / page).read_text("utf-8")
    (shown,) = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    record = record_of(PAIR)
    assert len(shown) >= 12
    for name, value in shown.items():
        if isinstance(value, dict):
            assert value.items() <= record[name].items()
        else:
            assert value == record[name]


def test_ciscos_own_pair() -> None:
    """Both events in one record, with what the detection knows about computer and file, in either order."""
    for pair in (PAIR, PAIR[::-1]):
        record = record_of(pair)
        links = record.pop("console_links")
        assert links["device_trajectory_event"].endswith("trajectory2?id=6533241145273614339")
        assert record == {
            "stream": "emea",
            "detection_id": "6533241145273614338",
            "revision": 1,
            "status": "quarantined",
            "detection": "W32.Overdrive.RET",
            "severity": "Medium",
            "first_seen": "2020-06-25T10:05:52.619000000Z",
            "last_seen": "2020-06-25T10:05:52.619000000Z",
            "event_ids": [6533241145273614339, 6533241145273614340],
            "event_types": ["Threat Detected", "Threat Quarantined"],
            "computer": PAIR[1]["computer"],
            "file": PAIR[1]["file"],
        }


@pytest.mark.parametrize("type_id", [THREAT_DETECTED, THREAT_QUARANTINED, QUARANTINE_FAILURE])
def test_a_part_is_written_when_the_window_is_over(type_id: int) -> None:
    """Not before, and once."""
    detections = Detections(60, 10)
    detections.add("s", member(type_id), NOW)
    detections.tick(NOW + 59.9)
    assert records(detections) == []
    detections.tick(NOW + 60)
    assert [record["revision"] for record in records(detections)] == [1]
    detections.tick(NOW + 120)
    assert records(detections) == []


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    """A first arrival in the future is no reason to wait for it."""
    detections = Detections(60, 10)
    detections.add("s", member(THREAT_DETECTED), NOW)
    detections.tick(NOW - 3600)
    assert len(records(detections)) == 1


def test_later_events_make_revisions_and_repeats_do_not() -> None:
    """Each event once, each change a revision."""
    detections = Detections(60, 10)
    for each in (member(THREAT_DETECTED), member(THREAT_DETECTED), member(QUARANTINE_FAILURE, 1)):
        detections.add("s", each, NOW)
    assert [(record["revision"], record["status"]) for record in records(detections)] == [(1, "quarantine_failed")]
    for each in (member(QUARANTINE_FAILURE, 1), member(THREAT_QUARANTINED, 2)):
        detections.add("s", each, NOW)
    assert [(record["revision"], record["status"]) for record in records(detections)] == [(2, "quarantined")]


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ([member(THREAT_DETECTED)], "detected"),
        ([member(RETROSPECTIVE_DETECTION), member(RETROSPECTIVE_QUARANTINE)], "quarantined"),
        ([member(THREAT_DETECTED), member(RETROSPECTIVE_QUARANTINE_FAILURE)], "quarantine_failed"),
        ([member(THREAT_QUARANTINED, 5), member(QUARANTINE_FAILURE, 4)], "quarantined"),
        ([member(THREAT_QUARANTINED, 4), member(QUARANTINE_FAILURE, 5)], "quarantine_failed"),
        ([member(THREAT_QUARANTINED, 4, nanoseconds=1), member(QUARANTINE_FAILURE, 4)], "quarantined"),
        ([member(THREAT_QUARANTINED, 4, number=9), member(QUARANTINE_FAILURE, 4, number=1)], "quarantine_failed"),
    ],
)
def test_status(members: list[Member], status: str) -> None:
    """By the latest outcome in event time; at the same moment, failure wins."""
    for order in itertools.permutations(members):
        detections = Detections(60, 10)
        for each in order:
            detections.add("s", each, NOW)
        detections.tick(NOW + 60)
        assert records(detections)[-1]["status"] == status


def test_streams_have_detections_of_their_own() -> None:
    """The same id in two organisations is a coincidence."""
    detections = Detections(60, 10)
    detections.add("a", member(THREAT_DETECTED), NOW)
    detections.add("b", member(THREAT_QUARANTINED), NOW)
    detections.tick(NOW + 60)
    assert [record["status"] for record in records(detections)] == ["detected", "quarantined"]


def test_the_oldest_is_closed_early_when_there_are_too_many() -> None:
    """It is written, and counted; one that was written before is only forgotten."""
    detections = Detections(60, 2)
    for number in range(4):
        detections.add("s", member(THREAT_DETECTED, detection_id=f"d{number}"), NOW + number)
    assert [record["detection_id"] for record in records(detections)] == ["d0", "d1"]
    assert (detections.closed_early, len(detections)) == (2, 2)
    detections.add("s", member(THREAT_QUARANTINED, detection_id="d2"), NOW)
    detections.add("s", member(THREAT_DETECTED, detection_id="d4"), NOW)
    assert [record["detection_id"] for record in records(detections)] == ["d2"]
    assert detections.closed_early == 2


def test_what_is_older_than_the_broker_keeps_events_is_forgotten() -> None:
    """Nothing can come to it any more."""
    detections = Detections(60, 10)
    detections.add("s", member(THREAT_DETECTED), NOW)
    detections.tick(NOW + KEEP_S)
    assert len(detections) == 0
    assert len(records(detections)) == 1


MEMBERS = st.lists(
    st.builds(
        member,
        st.sampled_from(
            [
                THREAT_DETECTED,
                THREAT_QUARANTINED,
                QUARANTINE_FAILURE,
                RETROSPECTIVE_DETECTION,
                RETROSPECTIVE_QUARANTINE,
                RETROSPECTIVE_QUARANTINE_FAILURE,
            ]
        ),
        st.integers(0, 3),
        number=st.integers(1, 20),
        severity=st.sampled_from([None, "Low", "High", "odd"]),
        detection=st.sampled_from([None, "one", "two"]),
        computer=st.sampled_from([None, {"user": "a"}, {"user": "b"}]),
    ),
    min_size=1,
    max_size=6,
)


@given(MEMBERS, st.data())
def test_the_last_revision_is_the_same_for_any_order(members: list[Member], data: st.DataObject) -> None:
    """Whatever the order, the pauses between arrivals and the repeats: only the number of writes differs."""

    def last(order: list[Member], pauses: list[float]) -> dict[str, Any]:
        detections = Detections(60, 10)
        now = NOW
        for each, pause in zip(order, pauses, strict=True):
            now += pause
            detections.tick(now)
            detections.add("s", each, now)
        detections.tick(now + 60)
        written = records(detections)
        assert [record["revision"] for record in written] == list(range(1, len(written) + 1))
        return {**written[-1], "revision": None}

    def pauses(order: list[Member]) -> list[float]:
        return data.draw(st.lists(st.sampled_from([0.0, 59.0, 61.0]), min_size=len(order), max_size=len(order)))

    order = data.draw(st.permutations(members)) + data.draw(st.lists(st.sampled_from(members), max_size=3))
    assert last(order, pauses(order)) == last(members, pauses(members))


def test_a_detection_takes_so_many_events_and_no_more() -> None:
    """Each revision names them all; those that come when there is no room are delivered as ever."""
    detections = Detections(60, 10)
    for number in range(MAX_EVENTS + 5):
        detections.add("s", member(THREAT_DETECTED, MAX_EVENTS - number, number=number + 1), NOW)
    detections.tick(NOW + 60)
    (record,) = records(detections)
    assert record["event_ids"] == list(range(MAX_EVENTS, 0, -1))
    assert (len(detections.changes), detections.closed_early) == (MAX_EVENTS + 1, 0)


def test_events_that_are_remembered_are_bounded() -> None:
    """However few detections there are: the oldest is closed early."""
    detections = Detections(60, 5)
    for detection_id in "abc":
        for number in range(600):
            made = member(THREAT_DETECTED, number, number=number + 1, detection_id=detection_id)
            detections.add("s", made, NOW)
        assert detections._events <= MAX_EVENTS + EVENTS_EACH * 5
    assert [(record["detection_id"], len(record["event_ids"])) for record in records(detections)] == [
        ("a", 600),
        ("b", 600),
    ]
    assert detections.closed_early == 2
    detections.forget("s")
    assert (len(detections), detections._events) == (0, 0)


def test_very_many_events_of_one_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd stream whose events all have one id costs no more for each."""
    monkeypatch.setattr(module, "MAX_EVENTS", 100)

    def work(size: int) -> Callable[[], object]:
        members = [member(THREAT_DETECTED, number, number=number + 1) for number in range(size)]

        def add() -> None:
            detections = Detections(60, 10)
            for each in members:
                detections.add("s", each, NOW)

        return add

    assert grows_linearly(work, 200)


def test_a_detection_has_the_names_of_its_events() -> None:
    """The record has them beside its other fields; without names there is no such field."""
    detections = Detections(60, 10)
    names = {"organisation": "acme", "groups": ["Finance laptops"], "as_of": "2026-03-02T09:10:00Z"}
    for number, type_id in enumerate((1090519054, 553648143)):
        detections.add("s", member(type_id, number)._replace(names=names), NOW)
    (record,) = records(detections)
    assert record["names"] == names
    assert "names" not in record_of(PAIR)
