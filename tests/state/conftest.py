"""What the tests of the state file share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp.state.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file goes."""
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new state file, open."""
    store = Store.open(path, create=True)
    yield store
    store.close()
