"""Where a source's records go, and where it keeps what it knows."""

from __future__ import annotations

import json
from typing import Any

from fluent_plugin_amp.errors import NoProgress


class Receiver:
    """A feed: what was put is safe when `finish` returns."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.is_lossy = False

    async def put(self, body: bytes, *, perhaps_again: bool = False) -> None:
        """Take one; it may have come before."""
        assert perhaps_again
        self.records.append(json.loads(body))
        self.bodies.append(body)

    async def finish(self) -> None:
        """All are safe, unless they are lost."""
        if self.is_lossy:
            raise NoProgress("lost")

    def taken(self) -> list[dict[str, Any]]:
        """What came since this was called last."""
        records, self.records = self.records, []
        return records


class Memory:
    """Keeps values as the state file does, and refuses to while records are not safe."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.saves = 0

    async def load_of(self, source: str) -> dict[str, bytes]:
        """Those of the one source that there is."""
        return dict(self.values)

    async def save(self, source: str, values: dict[str, bytes | None]) -> None:
        """Keep them."""
        self.saves += 1
        for name, data in values.items():
            self.values.pop(name, None)
            if data is not None:
                self.values[name] = data
