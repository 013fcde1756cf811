"""Bodies that no cloud should send: each becomes a record or a dead letter with its bytes, and the stream goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from itertools import chain, zip_longest

import pytest

from fluent_plugin_amp.testing.hostile import INTEGER_TOO_LARGE, LARGE_BYTES, HostileBody, hostile_bodies
from fluent_plugin_amp.testing.receivers import KINDS, Kind
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.configs import bodies, configuration
from tests.e2e.conftest import Rig
from tests.e2e.receiving import DEAD_LETTERS, is_empty, letters_in, receiving, texts

REFUSED_BY_SERVER = "event.refused-by-server"
FLOW_S = 0.1


def fate(hostile: HostileBody, kind: Kind) -> str | None:
    """The error id of its dead letter; None for a record.  Fluent Bit takes no message above 6,144,000 bytes."""
    if kind == "fluent-bit" and len(hostile.body) > LARGE_BYTES:
        return hostile.error_id or REFUSED_BY_SERVER
    return hostile.error_id


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(rig: Rig, kind: Kind) -> None:
    """Among good events every hostile body arrives once, as a record or a dead letter, and the log says why."""
    stream = rig.make_stream()
    hostile = hostile_bodies()
    good = bodies(len(hostile))
    rig.broker.publish(stream.queue, chain(*zip_longest((each.body for each in hostile), good)))
    with receiving(kind, rig.folder / kind) as receiver:
        told_each = {"logging": {"level": "debug"}}  # of many of a kind, only the first are said otherwise
        plugin = rig.run({**configuration(rig.section(stream), receiver), **told_each})
        deadline = time.monotonic() + DEADLINE_S
        while not is_empty(rig.broker.queue_depth(stream.queue)):
            assert time.monotonic() < deadline, plugin.log
            good += bodies(1, first=len(good))
            rig.broker.publish(stream.queue, good[-1:])
            time.sleep(FLOW_S)  # events that flow on tell the one that a server refuses from a server that is ill
        assert plugin.stop() == 0
        receiver.stop()
        received = list(receiver.received())
        server_log = (receiver.folder / "log").read_text()
    dead = {each.name: (error_id, each.body) for each in hostile if (error_id := fate(each, kind))}
    alive = [json.loads(each.body) for each in hostile if not fate(each, kind)]
    assert letters_in(received) == Counter(dead.values())
    assert texts(event.record for event in received if event.tag != DEAD_LETTERS) == texts(
        [*alive, *map(json.loads, good)]
    )
    for error_id, body in dead.values():
        assert f"dead letter, {len(body)} bytes" in plugin.log
        assert f"[{error_id}] " in plugin.log
    if kind == "built-in":
        assert '"violations":[]' in server_log


def test_transforms(rig: Rig) -> None:
    """With tags made of fields, flattening and serializing no hostile body is lost or changed either."""
    hostile = [each for each in hostile_bodies() if len(each.body) < LARGE_BYTES]
    whole = rig.make_stream()
    flat = rig.make_stream()
    for stream in (whole, flat):
        rig.broker.publish(stream.queue, [each.body for each in hostile])
    tag = "amp.{stream}.{event_type}.{event_type_id}.{severity}"
    serialize = {"serialize": "message"}
    flatten = {"flatten": {"lists": "index"}, "pulling_id": True, "add": {"id": "static", "a": {"b": 1}}}
    sections = [
        rig.section(whole, tag=tag, transform=serialize),
        rig.section(flat, tag=tag, transform=flatten),
    ]
    with receiving("built-in", rig.folder / "receiver") as receiver:
        plugin = rig.run(configuration(sections, receiver))
        for stream in (whole, flat):
            rig.broker.wait_for_depth(stream.queue, is_empty)
        assert plugin.stop() == 0
        receiver.stop()
        received = list(receiver.received())
    # as one JSON text an event may hold integers of any size
    dead_whole = [each for each in hostile if each.error_id not in (None, INTEGER_TOO_LARGE)]
    dead_flat = [each for each in hostile if each.error_id]
    assert letters_in(received) == Counter((each.error_id, each.body) for each in [*dead_whole, *dead_flat])
    of_whole = [event.record for event in received if event.tag.startswith(f"amp.{whole.queue}.")]
    of_flat = [event.record for event in received if event.tag.startswith(f"amp.{flat.queue}.")]
    assert texts(json.loads(record["message"]) for record in of_whole) == texts(
        json.loads(each.body) for each in hostile if each not in dead_whole
    )
    assert len(of_flat) == len(hostile) - len(dead_flat)
    assert all("@devo_pulling_id" in record for record in of_flat)
    assert not any(isinstance(value, dict) and value for record in of_flat for value in record.values())
