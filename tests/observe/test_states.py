"""Five states of a running plugin, told apart within ten seconds from the log, from /readyz and from the page.

What a person sees is seen in a real browser, where there is one.  With AMP_SCREENSHOTS in the environment, the
pictures of docs/operations.md are taken anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.reactions import Ack, NoAck
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.conftest import MakeStream
from tests.e2e.configs import configuration, stream_section
from tests.e2e.plugin import Plugin
from tests.observe.browser import CHROMIUM, Browser, Seen

IMAGES = Path(__file__).parents[2] / "docs" / "images"
HEALTHY = "All is well"


def bodies(count: int, age_s: float = 0.0) -> list[bytes]:
    """Events that happened ``age_s`` seconds ago."""
    timestamp = int(time.time() - age_s)
    return [json.dumps({"id": number, "timestamp": timestamp}).encode() for number in range(count)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser | None]:
    """A browser for all tests here; None without Chromium."""
    if CHROMIUM is None:
        yield None
        return
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
async def fluentd() -> AsyncIterator[FakeFluentd]:
    """The server behind the plugin."""
    async with FakeFluentd() as server:
        yield server


@dataclass
class Scene:
    """A plugin between a broker and a server, and those who look at it."""

    broker: PrivateRabbitMQ
    stream: StreamCredentials
    certificates: Certificates
    server: FakeFluentd
    folder: Path
    browser: Browser | None
    plugin: Plugin | None = None
    port: int = 0

    def start(self, *, stream: dict[str, Any] | None = None, **forward: Any) -> None:
        """Start the plugin on what the scene has."""
        section = stream_section(self.stream, self.certificates, name="emea", **(stream or {}))
        self.port = free_port()
        config = configuration(section, self.server, **forward)
        config["observe"] = {"listen": f"127.0.0.1:{self.port}"}
        self.plugin = Plugin(self.folder, config).start()

    async def publish(self, events: list[bytes]) -> None:
        """Put events into the queue."""
        await asyncio.to_thread(self.broker.publish, self.stream.queue, events)

    async def logged(self, text: str) -> None:
        """The log says so, soon."""
        assert self.plugin is not None
        await self.plugin.logged(text)

    async def get(self, path: str) -> httpx.Response:
        """What the plugin answers now."""
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def is_ready(self, ready: bool, *, reasons: Iterable[str] = (), warnings: Iterable[str] = ()) -> Any:
        """/readyz says so, soon: these error ids at least; its JSON."""
        deadline = time.monotonic() + DEADLINE_S
        said: Any = None
        while time.monotonic() < deadline:
            try:
                answer = await self.get("/readyz")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            said = answer.json()
            found = {kind: {each["error_id"] for each in said[kind]} for kind in ("reasons", "warnings")}
            if (
                said["ready"] is ready
                and found["reasons"].issuperset(reasons)
                and found["warnings"].issuperset(warnings)
            ):
                assert answer.status_code == (200 if ready else 503)
                return said
            await asyncio.sleep(0.05)
        raise AssertionError(f"/readyz says {said}")

    async def sees(self, name: str, *texts: str) -> None:
        """A person sees these on the page, soon; kept as a picture of that name where that is asked for."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            seen = await self._look()
            if all(text in seen.text for text in texts):
                break
            assert time.monotonic() < deadline, f"the page shows {seen.text}"
            await asyncio.sleep(0.05)
        assert texts[0] in seen.title
        assert seen.complaints == []
        assert len(seen.requests) <= 1, "something is loaded from elsewhere"
        if self.browser is not None and "AMP_SCREENSHOTS" in os.environ:
            IMAGES.mkdir(exist_ok=True)
            self.browser.screenshot(IMAGES / f"{name}.png")

    async def _look(self) -> Seen:
        url = f"http://127.0.0.1:{self.port}/"
        if self.browser is not None:
            return await asyncio.to_thread(self.browser.visit, url)
        text = (await self.get("/")).text
        return Seen(title=text, text=text)


@pytest.fixture
def scene(
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    certificates: Certificates,
    fluentd: FakeFluentd,
    tmp_path: Path,
    browser: Browser | None,
) -> Iterator[Scene]:
    """Everything is there, the plugin not started."""
    made = Scene(broker, make_stream(), certificates, fluentd, tmp_path, browser)
    yield made
    if made.plugin is not None:
        made.plugin.kill()
        print(made.plugin.log)


async def test_healthy(scene: Scene) -> None:
    """Ready, without a reason or a warning; events flow."""
    await scene.publish(bodies(500))
    scene.start()
    await scene.logged("consuming, prefetch")
    said = await scene.is_ready(True)
    assert said == {"ready": True, "state": "ready", "reasons": [], "warnings": []}
    await scene.server.wait_for(lambda: len(scene.server.records) == 500)
    await scene.sees("healthy", HEALTHY, "consuming", "acknowledging", "500")


async def test_fluentd_down(scene: Scene) -> None:
    """The server is named as the reason, and the streams that wait for it."""
    scene.start()
    await scene.is_ready(True)
    await scene.server.stop()
    await scene.publish(bodies(500))
    await scene.logged("[forward.unreachable]")
    said = await scene.is_ready(False, reasons={"forward.unreachable", "stream.no-server"})
    reason = said["reasons"][0]
    assert reason["server"] == f"127.0.0.1:{scene.server.port}"
    assert "forward input" in reason["remedy"]
    assert reason["since"].endswith("Z")
    await scene.sees("fluentd-down", "No server takes events", "forward.unreachable", "down", "500", "waiting")
    await scene.server.start()
    await scene.is_ready(True)


async def test_password_refused(scene: Scene) -> None:
    """The stream is named as the reason, with what to do, and never the password."""
    scene.start(stream={"password": "hunter2-is-wrong"})
    await scene.logged("[amqp.credentials-refused]")
    said = await scene.is_ready(False, reasons={"amqp.credentials-refused"})
    assert said["reasons"][0]["streams"] == ["emea"]
    await scene.sees(
        "password-refused", "1 of 1 stream not consuming", "amqp.credentials-refused", "amp-streams rotate"
    )
    assert scene.plugin is not None
    assert "hunter2" not in scene.plugin.log + (await scene.get("/")).text + (await scene.get("/metrics")).text


async def test_falling_behind(scene: Scene) -> None:
    """Still ready, with a warning: how many events wait, and for how long."""
    scene.server.reaction = Ack(delay_s=0.5)
    await scene.publish(bodies(3000, age_s=2 * 3600))
    scene.start(stream={"prefetch_count": 10})
    await scene.logged("[stream.falling-behind]")
    said = await scene.is_ready(True, warnings={"stream.falling-behind"})
    assert "the oldest for about 2 h" in said["warnings"][0]["what"]
    await scene.sees("falling-behind", "Working, with 1 warning", "stream.falling-behind", "events wait", "2 h")


async def test_paused(scene: Scene) -> None:
    """A server that takes chunks and never acks: what was held is back in the queue, and the page says so."""
    scene.start(pause_after="2s")
    await scene.is_ready(True)
    scene.server.reaction = NoAck()
    await scene.publish(bodies(500))
    await scene.logged("paused: the oldest event stayed unacknowledged")
    said = await scene.is_ready(False, reasons={"stream.paused"})
    assert said["reasons"][0]["streams"] == ["emea"]
    await scene.sees(
        "paused", "1 of 1 stream not consuming", "stream.paused", "paused", "Look for a full or blocked buffer"
    )
