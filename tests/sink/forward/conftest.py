"""Chunks to play with, and deliveries behind them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fluent_plugin_amp.model import Chunk, Delivery

ChunkMaker = Callable[..., Chunk]


@dataclass
class FakeLedger:
    """A channel's ledger that only remembers."""

    closed: bool = False
    resolved: list[int] = field(default_factory=list)

    def resolve(self, delivery_tag: int) -> None:
        """Part of model.Ledger."""
        self.resolved.append(delivery_tag)


@pytest.fixture
def ledger() -> FakeLedger:
    """The ledger behind the deliveries of ``make_chunk``."""
    return FakeLedger()


@pytest.fixture
def make_chunk(ledger: FakeLedger) -> ChunkMaker:
    """Make a chunk of ``n`` entries, or of those given; ids are c1, c2, … unless told."""
    numbers = itertools.count(1)

    def make(
        n: int = 1,
        *,
        entries: list[bytes] | None = None,
        chunk_id: str | None = None,
        tag: str = "edr.cisco.amp.events",
        is_dead_letters: bool = False,
        behind: FakeLedger = ledger,
    ) -> Chunk:
        number = next(numbers)
        made = entries or [b"\x92\xd7\x00" + bytes(8) + b"\x81\xa1n" + bytes([i % 128]) for i in range(n)]
        deliveries = [Delivery("emea", behind, number * 1000 + i, b"") for i in range(len(made))]
        return Chunk(chunk_id or f"c{number}", tag, made, deliveries, is_dead_letters)

    return make
