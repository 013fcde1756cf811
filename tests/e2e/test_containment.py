"""Faults of the plugin's own, put into a real run: each costs what it met, is told, and all else is delivered."""

from __future__ import annotations

import json
from urllib.request import urlopen

import pytest

from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.configs import bodies, configuration, ids_of
from tests.e2e.conftest import Rig
from tests.e2e.plugin import eventually
from tests.e2e.receiving import DEAD_LETTERS, is_empty, receiving

TRIPS = """
import {module} as module
def trips(self, *arguments, **options):
    raise ZeroDivisionError("johndoe")
module.{name} = trips
"""
ODD = """
import fluent_plugin_amp.pipeline.links as module
make = module.Links.__call__
def trips(self, record):
    if record.get("odd"):
        raise ZeroDivisionError("johndoe")
    return make(self, record)
module.Links.__call__ = trips
"""


def test_an_event_that_trips_a_step_is_a_dead_letter(rig: Rig) -> None:
    """The others arrive, and after a restart nothing is met again."""
    stream = rig.make_stream()
    odd = json.dumps({"id": 1, "odd": True, "computer": {"user": "johndoe"}}).encode()
    good = bodies(40)
    rig.broker.publish(stream.queue, [*good[:20], odd, *good[20:]])
    port = free_port()
    with_endpoints = {"observe": {"listen": f"127.0.0.1:{port}"}}
    with receiving("built-in", rig.folder / "receiver") as receiver:
        section = rig.section(stream, cloud="eu", transform={"links": True})
        plugin = rig.run({**configuration(section, receiver), **with_endpoints}, prelude=ODD)
        rig.broker.wait_for_depth(stream.queue, is_empty)
        plugin.wait_for_log(f"http://127.0.0.1:{port}/")
        metrics = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S).read().decode()
        ready = json.load(urlopen(f"http://127.0.0.1:{port}/readyz", timeout=DEADLINE_S))
        assert plugin.stop() == 0
        receiver.stop()
        received = list(receiver.received())
    (letter,) = (event.record for event in received if event.tag == DEAD_LETTERS)
    assert (letter["error_id"], letter["body"]) == ("event.processing-failed", odd.decode())
    assert letter["reason"].startswith("ZeroDivisionError in ")
    assert ids_of(event.record for event in received if event.tag != DEAD_LETTERS) == ids_of(good)
    assert 'cisco_amp_internal_errors_total{where="event"} 1.0' in metrics
    assert [warning["error_id"] for warning in ready["warnings"]] == ["internal.error"]
    assert plugin.log.count("Traceback") == 1
    assert "johndoe" not in plugin.log


@pytest.mark.parametrize(
    ("module", "name", "where"),
    [
        ("fluent_plugin_amp.pipeline.combine.incidents", "Incidents.add", "combining"),
        ("fluent_plugin_amp.pipeline.combine.combiner", "Combiner.tick", "combining"),
        ("fluent_plugin_amp.pipeline.combine.member", "MemberMaker.__call__", "combining"),
        ("fluent_plugin_amp.observe.systemd", "Notifier.keep_alive", "notifier"),
        ("fluent_plugin_amp.observe.watch", "Watcher.sample", "watch"),
        ("fluent_plugin_amp.observe.watch", "Watcher.serve", "endpoints"),
        ("fluent_plugin_amp.observe.statistics", "lines", "statistics"),
        ("fluent_plugin_amp.observe.logs", "LogObserver._level_of_trouble", "observer"),
        ("fluent_plugin_amp.source.stream", "Stream.look", "look"),
        ("fluent_plugin_amp.source.backlog", "Backlog.looked", "stream"),
    ],
)
async def test_a_part_that_always_fails_costs_its_domain(
    rig: Rig, fluentd: FakeFluentd, module: str, name: str, where: str
) -> None:
    """Events arrive, but for those of a stream that cannot; the process goes on, and stops in order."""
    stream = rig.make_stream()
    events = [json.dumps({**json.loads(body), "detection_id": "D"}).encode() for body in bodies(20)]
    rig.broker.publish(stream.queue, events)
    config = {
        **configuration(rig.section(stream), fluentd),
        "observe": {"listen": f"127.0.0.1:{free_port()}", "statistics_every": "1s"},
        "detections": {"window": "1s"},
        "incidents": {},
        "state": {"path": str(rig.folder / "state.db")},
    }
    plugin = rig.run(config, prelude=TRIPS.format(module=module, name=name))
    told = f"{where}: [internal.error]"
    if where == "observer":  # that one writes the log, in which nothing of it can be
        told = ""
    await plugin.logged(told)
    if where != "stream":
        await eventually(lambda: is_empty(rig.broker.queue_depth(stream.queue)))
        delivered = [
            each.record for chunk in fluentd.chunks if chunk.tag.endswith("events") for each in chunk.entries
        ]
        assert ids_of(delivered) == ids_of(events)
    assert await plugin.stopped() == 0
