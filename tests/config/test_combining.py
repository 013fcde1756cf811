from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluent_plugin_amp.commands.explain import explain
from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.facts import Fact, InternalError
from fluent_plugin_amp.model import Delivery, Record
from fluent_plugin_amp.run.build import make_transform
from fluent_plugin_amp.run.pipeline import Pipeline
from tests.ledgers import FakeLedger

Write = Callable[[str, str], Path]

STREAM = {
    "name": "s",
    "url": "amqps://export-streaming.amp.cisco.com",
    "username": "u",
    "password": "p",
    "queue": "q",
}
EVENT = {"id": 1, "timestamp": 1_600_000_000, "event_type_id": 1090519054, "detection_id": "D", "connector_guid": "c"}


def loaded(write: Write, **keys: Any) -> Config:
    """A configuration of one stream."""
    return load(write("c.json", json.dumps({"streams": [STREAM], **keys})), {})


class Rig:
    """A combiner as configured, and what it sends."""

    def __init__(self, config: Config) -> None:
        self.sent: list[tuple[str, Record]] = []
        self.told: list[Fact] = []
        pipeline = Pipeline(config, config.streams, SimpleNamespace(), self.told.append)
        combining = pipeline.combining
        assert combining is not None
        self.combining = combining
        self.combiner = combining.combiner
        self.combiner._post = self.post
        self.transform = pipeline.conductor.lines["s"].transform

    def post(self, delivery: Delivery, tag: str, seconds: int, nanoseconds: int, record: Record) -> None:
        """A record is sent."""
        self.sent.append((tag, record))

    def receive(self, seconds: int = 0, **fields: Any) -> None:
        """A server has an event."""
        record = {**EVENT, **fields}
        delivery = Delivery("s", FakeLedger(), 1, b"", digest=json.dumps([seconds, record]).encode())
        assert self.transform.combine is not None
        delivery.member = self.transform.combine(record, EVENT["timestamp"] + seconds, 0, delivery.digest)  # type: ignore[operator]
        self.combiner.record([delivery])

    def tags(self) -> list[str]:
        """Of what was sent."""
        return [tag for tag, _ in self.sent]


def test_off_by_default(write: Write) -> None:
    """The plain path stays plain."""
    config = loaded(write)
    assert (config.detections, config.incidents) == (None, None)
    assert Pipeline(config, config.streams, SimpleNamespace(), lambda fact: None).combining is None


def test_defaults(write: Write) -> None:
    """`{}` turns them on."""
    config = loaded(write, detections={}, incidents={})
    assert config.detections is not None
    assert config.incidents is not None
    assert (config.detections.window, config.detections.max_open) == (60.0, 100_000)
    assert (config.incidents.window, config.incidents.lateness, config.incidents.max_open) == (300.0, 60.0, 100_000)
    assert config.incidents.by == ("sha256", "sha256_and_computer", "computer")


def test_tags_and_groupings(write: Write) -> None:
    """Each record under its own tag, and the groupings that were asked for."""
    rig = Rig(loaded(write, detections={"tag": "d"}, incidents={"tag": "i", "by": ["computer"]}))
    rig.receive(file={"identity": {"sha256": "f"}})
    rig.combiner.finish()
    assert sorted(rig.tags()) == ["d", "i"]
    assert {record.get("by") for _, record in rig.sent} == {None, "computer"}


def test_max_open(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """What is closed early is written, and logged with its count."""
    for keys in ({"detections": {"max_open": 1}}, {"incidents": {"max_open": 1, "by": ["sha256"]}}):
        caplog.clear()
        rig = Rig(loaded(write, **keys))
        for number in range(3):
            rig.receive(detection_id=str(number), file={"identity": {"sha256": str(number)}})
        assert len(rig.sent) == 2
        rig.combining.tick([], 0.0)
        rig.combining.tick([], 1.0)
        assert [record.getMessage()[:40] for record in caplog.records] == ["more detections or incidents were open t"]


@pytest.mark.parametrize(("window", "open_after"), [("1s", 0), ("1h", 1)])
def test_the_window_of_a_detection(write: Write, window: str, open_after: int) -> None:
    """A part is written when the window is over."""
    rig = Rig(loaded(write, detections={"window": window}))
    rig.combiner.clock = lambda: 1_700_000_000.0
    rig.receive()
    rig.combiner.clock = lambda: 1_700_000_002.0
    rig.combining.tick([], 0.0)
    assert len(rig.sent) == 1 - open_after


@pytest.mark.parametrize(
    ("keys", "count"),
    [({}, 0), ({"window": "1m"}, 1), ({"window": "1m", "lateness": "2m"}, 0), ({"lateness": "0s"}, 0)],
)
def test_window_and_lateness_of_an_incident(write: Write, keys: dict[str, str], count: int) -> None:
    """It is written when both have passed by the time of its key's events."""
    rig = Rig(loaded(write, incidents={"by": ["sha256"], **keys}))
    for seconds in (0, 150):
        rig.receive(seconds, file={"identity": {"sha256": "f"}})
    assert len(rig.sent) == count


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"detections": {"window": "0s"}}, "detections.window"),
        ({"incidents": {"by": []}}, "incidents.by"),
        ({"incidents": {"by": ["hash"]}}, "incidents.by[0]"),
        ({"incidents": {"max_open": 0}}, "incidents.max_open"),
    ],
)
def test_mistakes(write: Write, keys: dict[str, Any], words: str) -> None:
    """Each with its place."""
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
        loaded(write, **keys)


def test_explain_shows_the_keys(write: Write) -> None:
    """By which an event belongs to combined records; nothing where none are made."""
    transform = make_transform(loaded(write).streams[0])
    body = json.dumps(EVENT).encode()
    steps = dict(explain(transform, body, "letters", combines=True).steps)
    assert steps["combine"] == {"detection_id": "d", "sha256": None, "computer": "c", "remote_ip": None}
    assert "combine" not in dict(explain(transform, body, "letters").steps)
    assert "combine" not in dict(explain(transform, b"{}", "letters", combines=True).steps)


@pytest.mark.parametrize("key", ["detections", "incidents"])
def test_not_with_exclusive_unless_there_is_a_state_file(write: Write, key: str) -> None:
    """What takes a stream over would know nothing of what is open."""
    keys = {"streams": [{**STREAM, "exclusive": True}], key: {}}
    with pytest.raises(ConfigError, match=key) as refused:
        loaded(write, **keys)
    assert refused.value.id == "config.invalid"
    assert loaded(write, **keys, state={"path": "state"}).state.path is not None


async def test_what_is_kept_and_cannot_be_taken_up_holds_up_no_event(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays where it is; what came before that was known is acked."""
    rig = Rig(loaded(write, detections={}))
    given: list[dict[Any, Any]] = []

    def trip(rows: dict[Any, Any]) -> None:
        given.append(rows)
        if rows:
            raise ZeroDivisionError

    async def load() -> dict[tuple[str, str], bytes]:
        return {("s", "head x"): b"garbage"}

    rig.combiner.is_ready = False
    monkeypatch.setattr(rig.combiner, "restore", trip)
    monkeypatch.setattr(rig.combining, "_keeper", SimpleNamespace(load=load))
    task = asyncio.create_task(rig.combining.run(lambda: []))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    assert given == [{("s", "head x"): b"garbage"}, {}]
    assert [type(fact) for fact in rig.told] == [InternalError]
