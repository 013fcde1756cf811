from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.observe import logs
from fluent_plugin_amp.observe.service import Service
from fluent_plugin_amp.observe.watch import LOOK_EVERY_S
from fluent_plugin_amp.run.build import forward_settings
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.plugin import eventually
from tests.observe.scenes import Scene

STREAM = {"name": "emea", "url": "amqps://h", "username": "u", "password": "p", "queue": "q"}
TAG = "fluent_plugin_amp.log"


def config(**keys: Any) -> Config:
    """One stream; no endpoints unless asked for."""
    return Config.model_validate({"streams": [STREAM], "observe": {"listen": None}, **keys})


@contextlib.asynccontextmanager
async def running(config: Config, *, has_servers: bool = True) -> AsyncIterator[Service]:
    """A service that runs meanwhile."""
    scene = Scene().add().add_server()
    settings = forward_settings if has_servers else None
    async with Service(config, lambda: [], scene.figures, scene.troubles, scene.troubles, settings) as service:
        yield service


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The handlers and the level that a test sets are gone after it."""
    monkeypatch.setattr(logs.LOGGER, "handlers", [caplog.handler])
    monkeypatch.setattr(logs.LOGGER, "propagate", False)
    level = logs.LOGGER.level
    logs.LOGGER.setLevel(logging.INFO)
    yield
    logs.LOGGER.setLevel(level)


async def test_statistics_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Every `statistics_every`, as it is now: a reload changes it."""
    async with running(config(observe={"listen": None, "statistics_every": "1d"})) as service:
        assert service._look_every_s() == 86400.0
        await service.follow(config(observe={"listen": None, "statistics_every": "1s"}))
        await eventually(lambda: any(message.startswith("total of 1 stream:") for message in caplog.messages))


async def test_queues_are_looked_at_often_while_somebody_may_look() -> None:
    """Otherwise for the statistics only."""
    async with running(config(observe={"listen": f"127.0.0.1:{free_port()}"})) as service:
        assert service._look_every_s() == LOOK_EVERY_S
        await service.follow(config())
        assert service._look_every_s() == 300.0


async def test_what_counts_as_ready_follows_the_configuration() -> None:
    """A reload changes it."""
    async with running(config()) as service:
        assert service._watcher._ready() == "all"
        await service.follow(config(observe={"listen": None, "ready": "any"}))
        assert service._watcher._ready() == "any"


async def test_endpoints_follow_the_configuration() -> None:
    """From nowhere to an address, to another, to nowhere."""
    one, two = free_port(), free_port()

    async def answers(port: int) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
            except httpx.TransportError:
                return False

    async def follow(expected: tuple[bool, bool]) -> None:
        while (await answers(one), await answers(two)) != expected:  # noqa: ASYNC110, a server tells nobody
            await asyncio.sleep(0.01)

    async with running(config()) as service:
        for listen, expected in ((one, (True, False)), (two, (False, True)), (None, (False, False))):
            await service.follow(config(observe={"listen": listen and f"127.0.0.1:{listen}"}))
            await asyncio.wait_for(follow(expected), DEADLINE_S)
    assert not await answers(two)


async def test_the_log_goes_to_the_servers() -> None:
    """As long as the service runs, to the servers of the configuration in force."""
    async with FakeFluentd() as one, FakeFluentd() as two:
        settings = [
            {"logging": {"forward_tag": TAG}, "forward": {"servers": [{"port": server.port}]}}
            for server in (one, two)
        ]
        async with running(config(**settings[0])) as service:
            logs.LOGGER.info("first")
            await one.wait_for(lambda: one.records)
            await service.follow(config(**settings[1]))
            logs.LOGGER.info("second")
            await two.wait_for(lambda: two.records)
            logs.LOGGER.info("last")
        assert [record["message"] for record in one.records] == ["first"]
        assert [record["message"] for record in two.records] == ["second", "last"]
        assert not logs.LOGGER.handlers[1:]


async def test_without_servers_the_log_stays_here(caplog: pytest.LogCaptureFixture) -> None:
    """With --stdout there is nobody to send it to: that is said."""
    async with running(config(logging={"forward_tag": TAG}), has_servers=False):
        assert "logging.forward_tag has no effect here: there are no servers" in caplog.text
