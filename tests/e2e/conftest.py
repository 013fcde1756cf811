"""Processes of the plugin and a scriptable Fluentd, gone after each test; and what could not be run here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from tests.conftest import MakeStream
from tests.e2e.configs import stream_section
from tests.e2e.plugin import Plugin
from tests.e2e.receiving import is_empty

NOT_RUN = "not run: "

StartPlugin = Callable[..., Plugin]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[StartPlugin]:
    """Starts a plugin, given what `Plugin` takes behind its folder; killed after the test, its log shown."""
    plugins: list[Plugin] = []

    def start(*arguments: Any, **options: Any) -> Plugin:
        plugin = Plugin(tmp_path / f"plugin-{len(plugins) + 1}", *arguments, **options)
        plugins.append(plugin)
        return plugin.start()

    yield start
    for plugin in plugins:
        plugin.kill()
        print(f"--- {plugin.folder.name}: {' '.join(plugin.arguments)}\n{plugin.log}")


@dataclass(frozen=True)
class Rig:
    """Everything before the server: a broker, streams on it, and the plugin."""

    broker: PrivateRabbitMQ
    make_stream: MakeStream
    certificates: Certificates
    run: StartPlugin
    folder: Path
    """Of the test's own."""

    def section(self, stream: StreamCredentials, **keys: Any) -> dict[str, Any]:
        """One entry of ``streams``, over TLS."""
        return stream_section(stream, self.certificates, **keys)

    async def publish(self, stream: StreamCredentials, bodies: Iterable[bytes]) -> None:
        """Put events into the queue, while a server in this event loop goes on."""
        await asyncio.to_thread(self.broker.publish, stream.queue, bodies)

    async def is_empty(self, stream: StreamCredentials) -> None:
        """Return when the broker holds nothing of a stream any more, acked or not."""
        await asyncio.to_thread(self.broker.wait_for_depth, stream.queue, is_empty)


@pytest.fixture
def rig(
    broker: PrivateRabbitMQ, make_stream: MakeStream, certificates: Certificates, run: StartPlugin, tmp_path: Path
) -> Rig:
    """See `Rig`."""
    return Rig(broker, make_stream, certificates, run, tmp_path)


@pytest.fixture
async def fluentd() -> AsyncIterator[FakeFluentd]:
    """A Forward server that does what it is told, on a port of its own."""
    async with FakeFluentd() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell which tests need a server that this machine has not."""
    reasons = {
        report.nodeid: report.longrepr[2]
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and NOT_RUN in report.longrepr[2]
    }
    if reasons:
        terminalreporter.section("not run")
        for test, reason in sorted(reasons.items()):
            terminalreporter.line(f"{test}: {reason.partition(NOT_RUN)[2]}")
