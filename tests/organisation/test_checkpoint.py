"""What is known is kept after a server has what was told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fluent_plugin_amp import turns as turns_of_work
from fluent_plugin_amp.organisation.checkpoint import Checkpoint
from tests.organisation.polling import Memory, Receiver


async def test_secrets_are_masked_in_every_record(memory: Memory, receiver: Receiver) -> None:
    """As in the audit log: whoever has the code ends a computer's isolation."""
    checkpoint = Checkpoint("acme/computers", receiver, memory, lambda: ())
    await checkpoint.tell({"computer": {"isolation": {"status": "isolated", "unlock_code": "5g8kq2"}}})
    assert receiver.taken() == [{"computer": {"isolation": {"status": "isolated", "unlock_code": "***"}}}]


async def test_events_go_on_while_what_is_known_is_packed(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop turns between two rows, where a row takes as long as those of many computers."""
    monkeypatch.setattr(turns_of_work, "WORK_S", 0.0)
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    made_in = []

    def rows() -> Iterator[tuple[str, bytes | None]]:
        for number in range(3):
            made_in.append(turns)
            yield str(number), b"known"

    others = asyncio.create_task(go_on())
    await Checkpoint("acme/computers", None, memory, rows).keep(more=b"m")
    others.cancel()
    assert len(set(made_in)) == 3
    assert {**memory.values} == {"0": b"known", "1": b"known", "2": b"known", "more": b"m", "checkpoint": b"1"}
