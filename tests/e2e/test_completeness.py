"""Completeness records of a process that is killed while it makes them: one chain, and nothing is told wrong."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

from fluent_plugin_amp.completeness.journal import Journal
from fluent_plugin_amp.completeness.record import HOUR_S, moment
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.reactions import Ack, NoAck
from fluent_plugin_amp.testing.rest import Request
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.configs import FIRST_ID, configuration, ids_of
from tests.e2e.conftest import Rig
from tests.e2e.plugin import Plugin

HOURS, AN_HOUR, LOST = 10, 30, 20
LOST_HOUR = 4
KEY = "a key of sixteen"
TAG = "edr.cisco.amp.completeness"


def event(number: int, second: int) -> bytes:
    """With an id beyond 2^53."""
    return json.dumps({"id": FIRST_ID + number, "timestamp": second, "event_type_id": 553648147}).encode()


class Gate:
    """Holds up the cloud's answers about events, until so many are let through: ``Organisation.arriving``."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)

    def __iter__(self) -> Gate:
        return self

    def __next__(self) -> list[bytes]:
        """Called before each answer; nothing happens."""
        self._open.acquire(timeout=DEADLINE_S)
        return []

    def let(self, answers: int) -> None:
        """So many more."""
        for _ in range(answers):
            self._open.release()


async def test_killed_in_the_middle_of_a_repair_and_of_a_record(
    rig: Rig, cloud: LocalCloud, fluentd: FakeFluentd, tmp_path: Path
) -> None:
    """Each hour has its record; one that came twice is the same to the byte; what was lost is delivered; and `verify`
    has nothing against it.
    """
    organisation = cloud.add_organisation()
    begins = int(time.time()) // HOUR_S * HOUR_S - (HOURS + 2) * HOUR_S
    lost = [event(number, begins + LOST_HOUR * HOUR_S + number) for number in range(LOST)]
    organisation.publish(lost)  # no stream carries them
    organisation.answer(Request("POST", "/v1/event_streams", cloud.url, body=b'{"name": "SIEM"}'))
    (siem,) = organisation.streams.values()
    state = tmp_path / "state.db"
    _begin_chain(state, begins)
    section = {
        "name": "emea",
        "event_stream_name": "SIEM",
        "password": siem.password,
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        "cloud": {"api": cloud.url, "ca_file": str(rig.certificates.ca_file)},
        "tls": {"ca_file": str(rig.certificates.ca_file)},
    }
    config = {
        **configuration(section, fluentd),
        "state": {"path": str(state)},
        "completeness": {"key": KEY, "repair": True},
    }
    gate = Gate()
    apart_s = HOUR_S // AN_HOUR
    streamed = [event(1000 + number, begins + number * apart_s) for number in range(HOURS * AN_HOUR)]
    await asyncio.to_thread(organisation.publish, streamed)
    organisation.arriving = iter(gate)

    def records() -> list[dict[str, Any]]:
        return [entry.record for chunk in fluentd.chunks if chunk.tag == TAG for entry in chunk.entries]

    async def started() -> Plugin:
        fluentd.reaction = Ack()
        plugin = rig.run(config)
        await plugin.logged("connected to queue")  # from here on it knows what waits in it
        return plugin

    async def killed_while_a_server_is_silent(plugin: Plugin, tag: str) -> None:
        fluentd.reaction = NoAck()
        gate.let(1)
        before = len(fluentd.chunks)
        await fluentd.wait_for(lambda: any(chunk.tag == tag for chunk in fluentd.chunks[before:]))
        plugin.kill()

    first = await started()
    await fluentd.wait_for(lambda: ids_of(fluentd.records).keys() >= ids_of(streamed).keys())
    await asyncio.to_thread(
        rig.broker.wait_for_depth, siem.queue_name, lambda depth: depth.ready + depth.unacked == 0
    )
    gate.let(LOST_HOUR)
    await fluentd.wait_for(lambda: len(records()) == LOST_HOUR)
    await killed_while_a_server_is_silent(first, "edr.cisco.amp.events")
    second = await started()
    gate.let(1)
    await fluentd.wait_for(lambda: len(records()) == LOST_HOUR + 1)
    await killed_while_a_server_is_silent(second, TAG)
    third = await started()
    gate.let(100)
    await fluentd.wait_for(lambda: records() and records()[-1]["sequence"] >= HOURS)
    assert await third.stopped() == 0

    texts = [json.dumps(record) for record in records()]
    assert len(texts) > len(set(texts)), "the record that was on its way at the kill came again"
    assert [record["sequence"] for record in map(json.loads, dict.fromkeys(texts))][:HOURS] == [*range(1, HOURS + 1)]
    for number, text in enumerate([*dict.fromkeys(texts)][:HOURS]):
        record, missing = json.loads(text), LOST if number == LOST_HOUR else 0
        assert record["hour"] == moment(begins + number * HOUR_S)
        assert (record["in_cloud"], record["missing"], record["repaired"]) == (AN_HOUR + missing, missing, missing)
    assert ids_of(fluentd.records).keys() == ids_of([*streamed, *lost]).keys()

    export, key_file = tmp_path / "export.ndjson", tmp_path / "key"
    export.write_text("".join(f"{text}\n" for text in texts))
    key_file.touch(mode=0o600)
    key_file.write_text(KEY)
    verified = rig.run(None, "--key-file", str(key_file), "--stream", "emea", str(export), command="verify")
    assert await verified.ended() == 0, verified.log
    assert "nothing is missing" in verified.log


def _begin_chain(state: Path, begins: int) -> None:
    """As if the plugin had run for hours, and had no record to send so far."""
    store = Store.open(state, create=True)
    with store.transaction():
        store.put_rows("kept", {("completeness", "chain:emea"): Journal(begins, begins).encode()})
    store.close()
