from __future__ import annotations

from pathlib import Path

import pytest

from tests.cisco.helpers import clean_environment
from tests.completeness.simulation.days import simulate


async def test_every_record_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three days with all that goes wrong; `python -m tests.completeness.simulation` simulates ten, often."""
    clean_environment(monkeypatch)
    simulation = await simulate(1, 3, tmp_path, monkeypatch, repairs=True)
    simulation.check()
    assert simulation.told > 72
