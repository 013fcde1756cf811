from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import BrokerCredentialsRefused
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe import watch as module
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.observe.troubles import BEHIND_FROM_S
from fluent_plugin_amp.observe.watch import Watcher
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions
from tests.e2e.plugin import eventually
from tests.observe.scenes import Clock, Scene, connected, stream, trouble


class FakeStream:
    """Counts the looks at it; may hang, or have a bug."""

    def __init__(self) -> None:
        self.looks = 0
        self.hangs = False
        self.bug: Exception | None = None
        self.looked = Conditions()

    async def look(self) -> None:
        """Part of Looker."""
        self.looks += 1
        self.looked.changed()
        if self.bug is not None:
            raise self.bug
        if self.hangs:
            await asyncio.Event().wait()


class Rig:
    """A watcher over a scene and some streams."""

    def __init__(self) -> None:
        self.scene = Scene().add().add_server()
        self.clock = Clock(0.0)
        self.streams: list[FakeStream] = []
        self.told: list[facts.Fact] = []
        self.watcher = Watcher(
            lambda: self.streams,
            self.scene.figures,
            self.scene.troubles,
            self._tell,
            clock=self.clock,
        )

    def _tell(self, fact: facts.Fact) -> None:
        self.scene.tell(fact)
        self.told.append(fact)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[asyncio.Task[None]]:
        """It watches meanwhile."""
        task = asyncio.create_task(self.watcher.watch(lambda: 0.01))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Quick to look."""
    monkeypatch.setattr(module, "LOOK_STEP_S", 0.0)
    return Rig()


# --- looking ---------------------------------------------------------------------------------------


async def test_each_queue_is_looked_at_again_and_again(rig: Rig) -> None:
    """Those of streams that come later too."""
    rig.streams = [FakeStream()]
    async with rig.watching():
        await rig.streams[0].looked.wait_for(lambda: rig.streams[0].looks >= 3, DEADLINE_S)
        rig.streams.append(FakeStream())
        await rig.streams[1].looked.wait_for(lambda: rig.streams[1].looks >= 3, DEADLINE_S)


async def test_a_broker_that_does_not_answer_holds_up_nobody(rig: Rig) -> None:
    """It is not asked again while it owes an answer."""
    rig.streams = [FakeStream(), FakeStream()]
    rig.streams[0].hangs = True
    async with rig.watching():
        await rig.streams[1].looked.wait_for(lambda: rig.streams[1].looks >= 5, DEADLINE_S)
        assert rig.streams[0].looks == 1


async def test_without_streams_it_goes_on(rig: Rig) -> None:
    """A shard may have none."""
    async with rig.watching() as task:
        await asyncio.sleep(0.05)
        assert not task.done()


# --- sampling --------------------------------------------------------------------------------------


def test_falling_behind_is_told_to_all(rig: Rig) -> None:
    """Once; the page knows it then."""
    rig.scene.streams[0] = replace(rig.scene.streams[0], messages_ready=9, oldest_waiting_s=BEHIND_FROM_S)
    rig.watcher.sample()
    rig.watcher.sample()
    assert [type(fact) for fact in rig.told] == [facts.StreamBehind]
    assert rig.watcher.status().streams[0].word == "falling behind"


def test_how_many_of_many_streams_do_what_is_one_line(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When all have started, and when it changes; of a few streams each has its own lines."""
    monkeypatch.setattr(LOGGER, "propagate", True)
    caplog.set_level(logging.INFO, LOGGER.name)
    rig.watcher.sample()
    assert caplog.messages == []
    well, new = [rig.scene.streams[0]], stream("s")
    for number in range(20):
        well.append(replace(new, name=f"s{number}"))
        rig.scene.streams.append(replace(new, name=f"s{number}", is_connected=False))
    rig.watcher.sample()
    assert caplog.messages == [], "they are about to connect"
    rig.scene.streams[:20] = well[:20]
    rig.scene.tell(trouble(BrokerCredentialsRefused("no"), "s19"))
    rig.watcher.sample()
    rig.watcher.sample()
    assert caplog.messages == ["20 of 21 streams consuming, 1 in trouble"]
    rig.scene.streams[:] = well
    rig.watcher.sample()
    assert caplog.messages[1:] == ["21 of 21 streams consuming"]
    rig.scene.streams[:] = [replace(each, is_connected=False, state=State.STOPPING) for each in well]
    rig.watcher.sample()
    rig.watcher.sample()
    assert caplog.messages[2:] == [], "the process is about to end"


def test_a_stream_that_has_gone_is_forgotten(rig: Rig) -> None:
    """With its history and its troubles; one of the same name begins anew."""
    rig.scene.tell(connected())
    rig.watcher.sample()
    gone = rig.scene.streams.pop()
    rig.watcher.sample()
    assert "emea" not in rig.scene.troubles.streams
    rig.scene.streams.append(replace(gone, counters=Counters(delivered=1_000_000)))
    rig.clock.now += 60
    rig.watcher.sample()
    assert rig.watcher._histories["emea"].rate == 0.0


# --- showing ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    """The endpoints answer meanwhile, to this client."""
    port = free_port()
    task = asyncio.create_task(rig.watcher.serve("127.0.0.1", port))
    transport = httpx.AsyncHTTPTransport(retries=5)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", transport=transport, trust_env=False, timeout=DEADLINE_S
    ) as client:
        yield client
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_endpoints(rig: Rig) -> None:
    """The page, the metrics, and two probes in JSON that say yes and no by their status."""
    async with serving(rig) as client:
        page = await client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "All is well" in page.text
        metrics = await client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'cisco_amp_stream_up{stream="emea"} 1.0' in metrics.text
        healthz = await client.get("/healthz")
        assert (healthz.status_code, json.loads(healthz.text)["alive"]) == (200, True)
        assert (await client.get("/readyz")).status_code == 200
        rig.scene.streams[0] = replace(rig.scene.streams[0], state=State.HELD, reason=Reason.PAUSED)
        readyz = await client.get("/readyz")
        assert readyz.status_code == 503
        assert readyz.headers["content-type"] == "application/json"
        assert readyz.json()["reasons"][0]["error_id"] == "stream.paused"


async def test_a_port_that_is_taken_is_a_warning(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once; when the port is free, the endpoints are there."""
    monkeypatch.setattr(module, "PORT_RETRY_S", 0.01)
    port = free_port()
    other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    with caplog.at_level(logging.INFO, LOGGER.name):
        task = asyncio.create_task(rig.watcher.serve("127.0.0.1", port))
        await eventually(lambda: caplog.messages)
        await asyncio.sleep(0.05)
        other.close()
        await other.wait_closed()
        await eventually(lambda: len(caplog.messages) > 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    warning, started = caplog.records
    assert warning.levelno == logging.WARNING
    assert f"no status page and no metrics on 127.0.0.1:{port}" in warning.getMessage()
    assert started.getMessage() == f"status page and metrics: http://127.0.0.1:{port}/"
