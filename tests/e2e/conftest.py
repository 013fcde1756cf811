"""Processes of the plugin and a scriptable Fluentd, gone after each test; and what could not be run here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.testing.fluentd import FakeFluentd
from tests.e2e.plugin import Plugin

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
