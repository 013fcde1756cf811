"""The whole way from RabbitMQ to the syslog bytes, on whatever servers there are: containers or processes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.plugin import Plugin
from tests.integration.conftest import Services

HEADER = b"<14>Jan  1 00:00:00 amp-forwarder edr.cisco.amp.events: "
EVENTS = [{"id": 2**60 + number, "computer": {"hostname": f"Büro\n{number}"}} for number in range(500)]


@pytest.mark.parametrize("services", ["fluent-bit", "fluentd"], indirect=True)
def test_from_the_queue_to_the_bytes(services: Services, tmp_path: Path) -> None:
    """Every event is one line behind Devo's header, exact."""
    services.publish([json.dumps(event).encode() for event in EVENTS])
    config = {"streams": [services.stream], "forward": {"servers": [services.server]}}
    with Plugin(tmp_path / "plugin", config) as plugin:
        deadline = time.monotonic() + DEADLINE_S
        while len(lines := services.lines()) < len(EVENTS):
            assert time.monotonic() < deadline, f"{len(lines)} lines from {services.where}\n{plugin.log}"
            time.sleep(0.1)
    assert all(line.startswith(HEADER) for line in lines)
    arrived = sorted((json.loads(line[len(HEADER) :]) for line in lines), key=lambda event: int(event["id"]))
    assert arrived == EVENTS
