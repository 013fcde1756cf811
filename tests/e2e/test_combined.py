"""Detections of a real run: with a state file a crash loses nothing, without one a stop does not."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
from typing import Any

from fluent_plugin_amp.testing.fluentd import FakeFluentd
from tests.e2e.configs import configuration
from tests.e2e.conftest import Rig
from tests.e2e.plugin import eventually

TAG = "edr.cisco.amp.detections"


def event(number: int, type_id: int) -> bytes:
    """One event of a detection."""
    return json.dumps(
        {"id": number, "timestamp": 1_600_000_000, "event_type_id": type_id, "detection_id": "D"}
    ).encode()


def detections(fluentd: FakeFluentd) -> list[dict[str, Any]]:
    """Those that arrived."""
    return [each.record for chunk in fluentd.chunks if chunk.tag == TAG for each in chunk.entries]


async def test_killed_between_two_events_of_a_detection(rig: Rig, fluentd: FakeFluentd) -> None:
    """The first event was acked before a kill -9, the second one comes after: the detection has both."""
    stream = rig.make_stream()
    config = {
        **configuration(rig.section(stream), fluentd),
        "detections": {"window": "1h"},
        "state": {"path": str(rig.folder / "state.db")},
    }
    rig.broker.publish(stream.queue, [event(1, 1090519054)])
    plugin = rig.run(config)
    await fluentd.wait_for(lambda: fluentd.records)
    await eventually(lambda: rig.broker.queue_depth(stream.queue)[:2] == (0, 0))
    plugin.signal(signal.SIGKILL)
    await plugin.ended()
    rig.broker.publish(stream.queue, [event(2, 553648143)])
    plugin = rig.run(config)
    await eventually(lambda: detections(fluentd))
    assert await plugin.stopped() == 0
    (record,) = detections(fluentd)
    assert (record["event_ids"], record["status"], record["revision"]) == ([1, 2], "quarantined", 1)


async def test_garbled_rows_in_the_state_file_stop_nothing(rig: Rig, fluentd: FakeFluentd) -> None:
    """Of every table: what was open is set aside and told, and all that comes is delivered, combined and acked."""
    stream = rig.make_stream()
    path = rig.folder / "state.db"
    config = {
        **configuration(rig.section(stream), fluentd),
        "detections": {"window": "1h"},
        "incidents": {"window": "5m"},
        "state": {"path": str(path)},
    }
    rig.broker.publish(stream.queue, [event(1, 1090519054)])
    assert await rig.run(config, "--once").ended() == 0
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE combined SET data = 'garbage ' || name WHERE name LIKE 'h%'")
        connection.execute("UPDATE combined SET data = randomblob(100) WHERE name NOT LIKE 'h%'")
        connection.execute("UPDATE delivered SET delivered_at = 'garbage', digests = 'garbage', facts = 7")
        connection.execute("UPDATE streams SET name = x'ff00'")
        connection.execute("INSERT INTO letters VALUES (1, x'ff', 7, 7, 7, 'x', 'x', 'x', 'garbage')")
    fields = {"timestamp": 1_600_000_000, "event_type_id": 1090519054}
    bodies = [json.dumps({**fields, "id": number, "detection_id": f"D{number}"}).encode() for number in range(1500)]
    rig.broker.publish(stream.queue, bodies)
    plugin = rig.run(config, "--once")
    assert await plugin.ended() == 0
    assert {record["id"] for record in fluentd.records if "id" in record} == set(range(1500))
    assert rig.broker.queue_depth(stream.queue)[:2] == (0, 0)
    assert "[state.corrupt]" in plugin.log
    for table in ("combined", "delivered", "streams", "letters"):
        assert f"set aside in the table garbled_{table}" in plugin.log


async def test_without_a_state_file_what_is_open_is_written_at_the_stop(rig: Rig, fluentd: FakeFluentd) -> None:
    """It would be lost otherwise."""
    stream = rig.make_stream()
    config = {**configuration(rig.section(stream), fluentd), "detections": {"window": "1h"}}
    rig.broker.publish(stream.queue, [event(1, 1090519054)])
    plugin = rig.run(config, "--once")
    assert await plugin.ended() == 0
    assert [record["status"] for record in detections(fluentd)] == ["detected"]


async def test_a_computer_that_was_away_is_one_incident(rig: Rig, fluentd: FakeFluentd) -> None:
    """Its events come an hour late between those of another: one incident of six, written when nothing more comes."""
    stream = rig.make_stream()
    config = {
        **configuration(rig.section(stream), fluentd),
        "incidents": {"window": "5s", "lateness": "0s", "by": ["computer"]},
        "state": {"path": str(rig.folder / "state.db")},
    }
    late = [detected("b", 1_600_000_000 - 3600, number) for number in range(6)]
    others = [detected("a", 1_600_000_000 + second, 0) for second in (0, 1, 30)]
    rig.broker.publish(stream.queue, [*others[:2], *late, others[2]])
    plugin = rig.run(config)

    def counts() -> list[tuple[str, int]]:
        incidents = [
            each.record for chunk in fluentd.chunks if chunk.tag.endswith("incidents") for each in chunk.entries
        ]
        return sorted((each["key"], each["count"]) for each in incidents)

    await eventually(lambda: sum(count for _, count in counts()) == 9)
    assert await plugin.stopped() == 0
    assert counts() == [("a", 1), ("a", 2), ("b", 6)]


def detected(computer: str, seconds: int, number: int) -> bytes:
    """A detection on a computer."""
    return json.dumps(
        {
            "id": seconds + number,
            "timestamp": seconds,
            "timestamp_nanoseconds": number * 1_000_000,
            "detection": "x",
            "connector_guid": computer,
            "file": {"identity": {"sha256": "f"}},
        }
    ).encode()
