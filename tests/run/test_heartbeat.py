"""The heartbeat: what it says, and that it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.facts import Fact
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe.status import Status
from fluent_plugin_amp.run import daemon
from fluent_plugin_amp.run.build import make_sink
from fluent_plugin_amp.run.heartbeat import MAX_FINDINGS, Heartbeat
from fluent_plugin_amp.run.pipeline import Pipeline
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.reactions import Ack, HoldAck
from tests.observe.scenes import NOW, Scene

STREAM = {"name": "emea", "url": "amqp://u:p@127.0.0.1:9", "queue": "q"}


def config(folder: Path, port: int) -> Config:
    """A stream whose broker is away, a server, a heartbeat every ten seconds."""
    file = folder / "c.json"
    document = {
        "streams": [STREAM],
        "forward": {"servers": [{"host": "127.0.0.1", "port": port}]},
        "heartbeat": {"every": "10s", "tag": "edr.pulse"},
        "observe": {"listen": None},
    }
    file.write_text(json.dumps(document))
    return load(file, {})


async def test_the_daemon_sends_one_at_once_and_then_every_so_often(tmp_path: Path) -> None:
    """Under its tag, though the broker is away."""
    facts: list[Fact] = []
    async with FakeFluentd() as fluentd:
        running = asyncio.create_task(daemon.run(config(tmp_path, fluentd.port), facts.append))
        await fluentd.wait_for(lambda: fluentd.records)
        os.kill(os.getpid(), signal.SIGTERM)
        await running
        assert {chunk.tag for chunk in fluentd.chunks} == {"edr.pulse"}
        assert list(fluentd.records[0]["streams"]) == ["emea"]


async def test_it_says_how_everything_stands(tmp_path: Path) -> None:
    """Each stream, the servers that are up, and what is wrong."""
    scene = Scene().add("emea", messages_ready=5, counters=Counters(newest_event_at=1_700_000_000))
    scene.add_server().add_server("b:24224", is_up=False)
    made = _heartbeat(config(tmp_path, 1), scene.status)
    record = made.record()
    assert record["streams"] == {"emea": {"state": "consuming", "last_event": "2023-11-14T22:13:20Z", "waiting": 5}}
    assert (record["servers_up"], record["uptime"], record["instance"]) == (1, 60, "abc")
    assert len(record["findings"]) <= MAX_FINDINGS


async def test_two_plugins_with_copies_of_a_state_file_can_be_told_apart(tmp_path: Path) -> None:
    """By the name of the process, which stays the same as long as it runs."""
    one, other = (_heartbeat(config(tmp_path, 1), Scene().status) for _ in range(2))
    assert one.record()["instance"] == other.record()["instance"]
    assert one.record()["process"] == one.record()["process"] != other.record()["process"]


async def test_they_do_not_pile_up(tmp_path: Path) -> None:
    """While no server acknowledges, one waits."""
    async with FakeFluentd() as fluentd:
        fluentd.reaction = HoldAck()
        given = config(tmp_path, fluentd.port)
        assert given.heartbeat is not None
        fast = given.model_copy(update={"heartbeat": given.heartbeat.model_copy(update={"every": 0.001})})
        sink = make_sink(fast, lambda fact: None, None)
        pipeline = Pipeline(fast, fast.streams, sink, lambda fact: None)
        made = Heartbeat(fast, pipeline.conductor, Scene().status, lambda: None, started_at=NOW)
        tasks = [asyncio.create_task(sink.run()), asyncio.create_task(made.run())]
        await fluentd.wait_for(lambda: fluentd.held)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(fluentd.chunks) == 1
        fluentd.reaction = Ack()
        fluentd.release()
        await fluentd.wait_for(lambda: len(fluentd.chunks) > 3)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await sink.close(0.1)


def _heartbeat(given: Config, status: object) -> Heartbeat:
    sink = make_sink(given, lambda fact: None, None)
    pipeline = Pipeline(given, given.streams, sink, lambda fact: None)
    assert callable(status)

    def now() -> Status:
        judged = status()
        assert isinstance(judged, Status)
        return judged

    return Heartbeat(given, pipeline.conductor, now, lambda: "abc", started_at=NOW, clock=lambda: NOW + 60)
