"""What the tests of the commands share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from tests.cisco.helpers import clean_environment
from tests.commands.history.history_rig import Rig


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A local cloud, a Forward server, and their configuration."""
    clean_environment(monkeypatch)
    with LocalCloud() as cloud:
        async with FakeFluentd() as fluentd:
            yield Rig(tmp_path, cloud, fluentd)
