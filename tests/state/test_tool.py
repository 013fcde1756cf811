"""What a tool delivers is in the daemon's state file, beside the daemon that has its lock."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.facts import Fact
from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.state import database, tool
from fluent_plugin_amp.state.errors import StateUnusable
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.tool import DeliveredByTool
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.ledgers import FakeLedger


def delivery(number: int) -> Delivery:
    """An event with facts."""
    digest = digest_of(b"%d" % number)
    facts = EventIdentity(number, 1_700_000_000 + number, 5, 7, "c")
    return Delivery("emea", FakeLedger(), number, b"{}", digest=digest, facts=facts)


async def record(delivered: DeliveredByTool, *numbers: int) -> None:
    """Return when these are remembered, or raise what prevents it."""
    done = asyncio.Event()
    delivered.record([delivery(number) for number in numbers]).then(done.set)
    waiting = asyncio.create_task(done.wait())
    either: set[asyncio.Future[Any]] = {waiting, delivered.failed}
    await asyncio.wait(either, timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if delivered.failed.done():
        delivered.failed.result()
    assert done.is_set()


async def test_it_works_beside_a_daemon(path: Path) -> None:
    """Both write to one file, and each event is there once it is done."""
    facts: list[Fact] = []
    daemon = StateFile(path, 86400.0, facts.append)
    await daemon.start()
    delivered = DeliveredByTool(path)
    done = asyncio.Event()
    daemon.delivered.record([delivery(1)]).then(done.set)
    await record(delivered, 2, 3)
    await asyncio.wait_for(done.wait(), DEADLINE_S)
    await record(delivered, 4)
    await delivered.close()
    store = Store.open(path)
    found = store.delivered_between("emea", 0, 2**40)
    summary = store.summary(int(time.time()))
    store.close()
    await daemon.close(1.0)
    assert [each.facts.event_id for each in found] == [1, 2, 3, 4]
    assert summary[0].events == 4


async def test_what_was_added_is_indexed(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that starts afterwards has little to take into its memory."""
    monkeypatch.setattr(tool, "INDEX_EVENTS", 4)
    delivered = DeliveredByTool(path)
    for number in range(0, 30, 3):
        await record(delivered, number, number + 1, number + 2)
    deadline = time.monotonic() + DEADLINE_S
    while not store.contains("emea", delivery(3).digest):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await delivered.close()
    assert sum(len(digests) for _, digests in store.unindexed()) < 30


async def test_a_file_that_stays_locked_is_told(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be remembered is not reported as done."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    delivered = DeliveredByTool(path)
    blocker = sqlite3.connect(path)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnusable, match="locked"):
        await record(delivered, 1)
    blocker.close()
    await delivered.close()


async def test_nothing_is_known_by_its_bytes(path: Path, store: Store) -> None:
    """A body of the API is never one of the stream."""
    delivered = DeliveredByTool(path)
    await record(delivered, 1)
    assert not delivered.contains("emea", delivery(1).digest)
    await delivered.close()
