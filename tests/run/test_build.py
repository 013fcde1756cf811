"""`run.build`: what a configuration becomes."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.run.build import make_broker

STREAM: dict[str, Any] = {"name": "a", "url": "amqps://broker.test", "username": "u", "password": "p", "queue": "q"}


@pytest.mark.parametrize(("exclusive", "heartbeat_s"), [(False, 10.0), (True, 5.0)])
def test_a_standby_takes_over_within_two_heartbeats(exclusive: bool, heartbeat_s: float) -> None:
    """A broker lets go of a vanished consumer after two to three heartbeats: 27 s were measured with one of 10 s."""
    config = Config.model_validate({"streams": [{**STREAM, "exclusive": exclusive, "heartbeat": "10s"}]})
    assert make_broker(config.streams[0]).heartbeat_s == heartbeat_s
