"""Named values are in the file when they are answered, together with what was delivered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fluent_plugin_amp.facts import Fact, InternalError, Observer
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.state.errors import StateDiskFull
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.state.rows import KeptRows
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.valid_rows import MAX_ROW_BYTES
from fluent_plugin_amp.testing.waiting import DEADLINE_S


async def opened(path: Path, observer: Observer = lambda fact: None) -> StateFile:
    """A state file in use."""
    state = StateFile(path, 1000.0, observer)
    await state.start()
    return state


async def put(kept: KeptRows, rows: dict[tuple[str, str], bytes | None]) -> None:
    """Put rows and wait until they are safe."""
    done = asyncio.Event()
    kept.put(rows, done.set)
    await asyncio.wait_for(done.wait(), DEADLINE_S)


async def test_rows_outlive_the_process(tmp_path: Path) -> None:
    """What was put is there, what was taken away is not."""
    state = await opened(tmp_path / "state")
    await put(state.combined, {("s", "a"): b"1", ("s", "b"): b"2", ("t", "a"): b"3"})
    await put(state.combined, {("s", "a"): b"4", ("s", "b"): None})
    await state.close(5)
    state = await opened(tmp_path / "state")
    assert await state.combined.load() == {("s", "a"): b"4", ("t", "a"): b"3"}
    await state.close(5)


async def test_rows_and_deliveries_of_one_turn_are_one_transaction(tmp_path: Path) -> None:
    """A crash leaves both or none: when either is answered, the other is in the file."""
    state = await opened(tmp_path / "state")
    seen: list[tuple[int, int]] = []

    def look() -> None:
        store = Store.open(tmp_path / "state")
        seen.append((len(store.rows("combined")), sum(len(digests) for _, digests in store.unindexed())))
        store.close()

    both = asyncio.Semaphore(0)
    for number in range(1, 4):
        state.combined.put({("s", str(number)): b""}, lambda: (look(), both.release()))  # type: ignore[arg-type, func-returns-value]
        delivery = Delivery("s", None, number, b"", digest=bytes([number]) * 16)  # type: ignore[arg-type]
        state.delivered.record([delivery]).then(lambda: (look(), both.release()))  # type: ignore[arg-type, func-returns-value]
        await both.acquire()
        await both.acquire()
    assert seen == [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3), (3, 3)]
    await state.close(5)


async def test_trouble_is_waited_out_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered before it is safe; later rows do not overtake earlier ones."""
    state = await opened(tmp_path / "state")
    kept = KeptRows(state.writer, "combined", retry_s=0.01)
    works = Store.put_rows
    failures = [StateDiskFull("full"), StateDiskFull("full")]

    def fail(store: Store, table: str, rows: dict[tuple[str, str], bytes | None]) -> None:
        if failures:
            raise failures.pop()
        works(store, table, rows)

    monkeypatch.setattr(Store, "put_rows", fail)
    answered: list[int] = []
    last = asyncio.Event()
    kept.put({("s", "a"): b"1", ("s", "b"): b"1"}, lambda: answered.append(1))
    await asyncio.sleep(0)
    kept.put({("s", "a"): b"2"}, lambda: answered.append(2))
    while failures:  # noqa: ASYNC110, changed in a thread
        await asyncio.sleep(0.01)
    assert answered == []
    kept.put({("s", "b"): None}, last.set)
    await asyncio.wait_for(last.wait(), DEADLINE_S)
    assert answered == [1, 2]
    assert await kept.load() == {("s", "a"): b"2"}
    await state.close(5)


async def test_rows_that_can_never_be_put_hold_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is well: their events are acked without them, and what comes later is put; so it is after trouble."""
    facts: list[Fact] = []
    state = await opened(tmp_path / "state", facts.append)
    kept = KeptRows(state.writer, "combined", retry_s=0.01)
    works = Store.put_rows
    failures: list[Exception] = [StateDiskFull("full")]

    def fail(store: Store, table: str, rows: dict[tuple[str, str], bytes | None]) -> None:
        if failures:
            raise failures.pop()
        if ("s", "bad") in rows:
            raise ZeroDivisionError
        works(store, table, rows)

    monkeypatch.setattr(Store, "put_rows", fail)
    for _ in range(2):
        await asyncio.gather(put(kept, {("s", "bad"): b"1"}), put(kept, {("s", "a"): b"2"}))
    assert await kept.load() == {("s", "a"): b"2"}
    assert {type(fact.error) for fact in facts if isinstance(fact, InternalError)} == {ZeroDivisionError}
    await state.close(5)


async def test_a_source_has_its_own_values_and_is_answered_when_they_are_safe(tmp_path: Path) -> None:
    """What a part of the daemon saved outlives the process; another part of the same daemon does not see it."""
    state = await opened(tmp_path / "state")
    await asyncio.wait_for(state.kept.save("acme/audit_logs", {"cursor": b"1", "old": b"x"}), DEADLINE_S)
    await asyncio.wait_for(state.kept.save("acme/audit_logs", {"cursor": b"2", "old": None}), DEADLINE_S)
    await asyncio.wait_for(state.kept.save("acme/computers", {"cursor": b"3"}), DEADLINE_S)
    await state.close(5)
    state = await opened(tmp_path / "state")
    assert await state.kept.load_of("acme/audit_logs") == {"cursor": b"2"}
    assert await state.combined.load() == {}
    await state.close(5)


async def test_a_value_that_would_not_be_read_again_is_refused(tmp_path: Path) -> None:
    """Its owner hears of it at once, not at the next start."""
    state = await opened(tmp_path / "state")
    with pytest.raises(ValueError, match="16 MiB"):
        await state.kept.save("acme/computers", {"known": bytes(MAX_ROW_BYTES + 1)})
    await state.close(5)
