"""``make shapes`` in small: it finds nothing, and notices a schema that loses values."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from tests.pipeline.shape.trips import main

FEW = ["--events", "20", "--hostile", "20", "--seed", "1"]


def test_nothing_is_lost() -> None:
    """In any schema, of any kind of record."""
    result = CliRunner().invoke(main, FEW)
    assert (result.exit_code, result.output.count(" 0 faults")) == (0, 25), result.output


def test_a_loss_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that forgets the computer of an event."""
    shaped = OcsfShape.__call__

    def forgetful(self: OcsfShape, event: dict[str, Any], received_at: float) -> dict[str, Any]:
        record = shaped(self, event, received_at)
        record.pop("device", None)
        return record

    monkeypatch.setattr(OcsfShape, "__call__", forgetful)
    result = CliRunner().invoke(main, [*FEW, "--only", "1.6.0"])
    assert result.exit_code == 1
    assert ".connector_guid: " in result.output
