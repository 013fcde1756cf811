# ruff: noqa: ASYNC240
"""Whatever is in the state file: it is reported and set aside, and delivery goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.backoff import Pace
from fluent_plugin_amp.commands import state as tool
from fluent_plugin_amp.errors import InvalidEvent
from fluent_plugin_amp.facts import (
    Fact,
    KeptLettersSent,
    LetterKept,
    StateOpened,
    StateRecovered,
    StateSetAside,
    StateTrouble,
)
from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.dead_letters import dead_letter
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.state import dead_letters, salvage
from fluent_plugin_amp.state.errors import StateCorrupt, StateUnusable
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import KeptDeadLetter, split
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.state.test_file import batch, until

OLD_EVENTS, NEW_EVENTS, LETTERS = 600, 300, 5
ROWS: dict[tuple[str, str], bytes | None] = {("emea", f"row {number}"): b"%d" % number * 50 for number in range(200)}


def digest(number: int) -> bytes:
    """Of one of the events in the file."""
    return number.to_bytes(16, "little")


def make_file(path: Path) -> None:
    """With something in every table: events indexed and not, letters, rows of combined records."""
    path.write_bytes(whole_file())


@cache
def whole_file() -> bytes:
    """The same for all: to write it takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        write_file(Path(folder, "state.db"))
        return Path(folder, "state.db").read_bytes()


def write_file(path: Path) -> None:
    """See `make_file`."""
    now = int(time.time())
    store = Store.open(path, create=True)
    for start, end in ((0, OLD_EVENTS), (OLD_EVENTS, OLD_EVENTS + NEW_EVENTS)):
        with store.transaction():
            for first in range(start, end, 20):
                numbers = range(first, first + 20)
                facts = [EventIdentity(number, now, 0, 1, "guid") for number in numbers]
                store.add_delivered(split(f"s{first % 3}", now, [digest(number) for number in numbers], facts))
        if not start:
            store.index_all()
    with store.transaction():
        for number in range(LETTERS):
            store.add_letter(KeptDeadLetter("s0", "event.not-json", "why", "key", False, 1e9, b"%d" % number * 9000))
        store.put_rows("combined", ROWS)
        store.put_rows("kept", ROWS)
    store.close()


class Run:
    """A state file in use as a daemon uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: list[Fact] = []
        self.sent: list[bytes] = []
        self.done: list[Delivery] = []
        self.is_available = True
        self.file = StateFile(
            path, 86400.0, self.facts.append, post=self._post, is_available=lambda: self.is_available
        )
        self.file.writer._pace = Pace(0.001, 30.0)
        self.file.combined._retry_s = self.file.kept._retry_s = 0.001

    def _post(self, delivery: Delivery, error: InvalidEvent) -> None:
        """A server takes the letter."""
        for record in dead_letter(delivery, error, 1000):
            entry(int(delivery.received_at), 0, record)
        self.sent.append(delivery.body)
        asyncio.get_running_loop().call_soon(self.file.dead_letters.resolve, delivery.delivery_tag)

    async def deliver(self, *, needs_file: bool = True) -> dict[tuple[str, str], bytes]:
        """Use everything once; the rows of combined records."""
        if self.file.task is None:
            await asyncio.wait_for(self.file.start(), DEADLINE_S)
        assert self.file.task is not None
        rows: dict[tuple[str, str], bytes] = {}
        if needs_file:
            rows = await asyncio.wait_for(self.file.combined.load(), DEADLINE_S)
            await asyncio.wait_for(self.file.kept.load(), DEADLINE_S)
        for number in range(3):
            deliveries = batch(number)
            self.file.delivered.record(deliveries).then(partial(self.done.extend, deliveries))
            for known in range(0, OLD_EVENTS + NEW_EVENTS, 50):
                self.file.delivered.contains("s0", digest(known))
        await until(lambda: len(self.done) == 15)
        if needs_file:
            await until(lambda: self.file.error is None and not self.file.dead_letters.count)
            await self.file.writer.call(lambda store: store.prune(0, 2**40))
            safe = asyncio.Event()
            self.file.combined.put({("new", "row"): b"x"}, safe.set)
            await asyncio.wait_for(safe.wait(), DEADLINE_S)
        assert not self.file.task.done()
        return rows

    async def close(self) -> None:
        """In order."""
        await self.file.close(DEADLINE_S)
        expected = (StateOpened, StateTrouble, StateRecovered, StateSetAside, LetterKept, KeptLettersSent)
        assert {type(fact) for fact in self.facts} <= {*expected}

    def told(self) -> list[str]:
        """What was set aside."""
        return [str(fact.error) for fact in self.facts if isinstance(fact, StateSetAside)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters are sent at once."""
    monkeypatch.setattr(dead_letters, "FIRST_WAIT_S", 0.0)


def edit(path: Path, *statements: str) -> int:
    """Change the file as another program would; how many rows."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        return sum(connection.execute(statement).rowcount for statement in statements)


def count(path: Path, table: str) -> int:
    """Rows of a table, 0 when there is none."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


# --- rows ----------------------------------------------------------------------------------------

GARBAGE = [
    "'garbage'",
    "''",
    "x''",
    "x'fffe00'",
    "CAST(x'fffe' AS TEXT)",
    "-1",
    "0",
    "3.5",
    "1e300",
    "9223372036854775807",
    "zeroblob(20000)",
    "randomblob(320)",
]
COLUMNS = {
    "delivered": ("stream", "delivered_at", "first_at", "last_at", "events", "digests", "facts"),
    "letters": ("stream", "error_id", "reason", "routing_key", "redelivered", "received_at", "tries", "body"),
    "combined": ("data",),
    "kept": ("data",),
    "known": ("number",),
    "streams": ("resets",),
    "progress": ("indexed_to",),
}


@pytest.mark.parametrize(("table", "column"), [(table, each) for table, names in COLUMNS.items() for each in names])
async def test_any_value_in_any_column_stops_nothing(path: Path, table: str, column: str) -> None:
    """Everything is answered, the file is in use again by itself, and what comes later is remembered."""
    key = {"combined": "length(name)", "kept": "length(name)", "known": "number"}.get(table, "rowid")
    for shift in range(0, len(GARBAGE), 1 if table in ("progress", "letters", "streams", "combined", "kept") else 12):
        make_file(path)
        before = count(path, table)
        for number, value in enumerate(GARBAGE):
            where = f"({key} + {shift}) % {len(GARBAGE)} = {number}"
            edit(path, f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {where}")
        run = Run(path)
        await run.deliver()
        await run.close()
        again = Run(path)
        await again.deliver()
        assert all(again.file.delivered.contains("a", each.digest) for each in run.done)
        await again.close()
        assert again.told() == []
        aside = count(path, f"garbled_{table}")
        assert aside <= before
        assert bool(aside) == any(f"garbled_{table}" in text for text in run.told())
        tool.show(path, int(time.time()))
        for file in path.parent.iterdir():
            file.unlink()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE streams SET name = CAST(x'ff' || id AS TEXT)",
        "UPDATE streams SET name = zeroblob(100 + id)",
        "UPDATE combined SET name = CAST(x'ff' || name AS TEXT)",
        "UPDATE combined SET stream = randomblob(10)",
        "DELETE FROM streams",
        "DELETE FROM progress",
        "INSERT INTO progress VALUES (5), ('x')",
        "DELETE FROM place WHERE i > 3",
        "DELETE FROM known",
        "DELETE FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "UPDATE sqlite_sequence SET seq = 'x'",
        "UPDATE delivered SET number = 9223372036854775807 WHERE number = 1",
        "UPDATE letters SET number = 9223372036854775807 WHERE number = 1",
        "UPDATE letters SET number = -number",
        "UPDATE letters SET received_at = 1e11 WHERE number = 1",
    ],
)
async def test_rows_of_any_kind_stop_nothing(path: Path, statement: str) -> None:
    """Missing ones, too many, names that are no text, numbers at the end of 63 bits."""
    make_file(path)
    edit(path, statement)
    run = Run(path)
    await run.deliver()
    await run.close()
    again = Run(path)
    await again.deliver()
    assert all(again.file.delivered.contains("a", each.digest) for each in run.done)
    await again.close()
    assert again.told() == []


async def test_garbled_rows_are_kept_as_they_are(path: Path) -> None:
    """In a table of their own, told with its name; the sound ones are used as ever."""
    make_file(path)
    edit(
        path,
        "UPDATE combined SET data = 'text ' || name WHERE name < 'row 150'",
        "UPDATE letters SET body = 7 WHERE number = 3",
    )
    garbled = sum(name < "row 150" for _, name in ROWS)
    run = Run(path)
    rows = await run.deliver()
    await run.close()
    assert len(rows) == len(ROWS) - garbled
    assert len(run.sent) == LETTERS - 1
    texts = sorted(run.told())
    assert f"{garbled} garbled rows of combined set aside in the table garbled_combined" in texts[1]
    assert "1 garbled row of letters" in texts[0]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT data FROM garbled_combined ORDER BY name").fetchall()
        assert kept[0] == ("text row 0",)
        assert connection.execute("SELECT body FROM garbled_letters").fetchall() == [(7,)]


async def test_a_row_that_is_garbled_while_the_file_is_in_use(path: Path) -> None:
    """Is met some time, told as trouble, set aside, and the file is in use again."""
    make_file(path)
    run = Run(path)
    run.is_available = False
    await asyncio.wait_for(run.file.start(), DEADLINE_S)
    edit(path, "UPDATE letters SET body = 'text'", "UPDATE delivered SET delivered_at = 'then' WHERE number = 2")
    run.is_available = True
    run.file.dead_letters.wake()
    await until(lambda: run.told())
    await run.deliver()
    assert {"letters", "delivered"} <= {word for text in run.told() for word in text.split()}
    assert any(isinstance(fact, StateTrouble) and fact.error.id == "state.corrupt" for fact in run.facts)
    await run.close()


async def test_a_garbled_stream_keeps_its_number(path: Path) -> None:
    """What was delivered of it is not taken for another stream's."""
    make_file(path)
    edit(path, "UPDATE streams SET name = x'00' WHERE id = (SELECT max(id) FROM streams)")
    run = Run(path)
    await run.deliver()
    await run.close()
    store = Store.open(path)
    assert not any(store.contains("a", digest(number)) for number in range(OLD_EVENTS))
    store.close()


# --- the file ------------------------------------------------------------------------------------


def garble_page(path: Path, page: int, rng: random.Random) -> None:
    """Overwrite one."""
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(rng.randbytes(4096))


async def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_taken_over(path: Path) -> None:
    """Letters and rows of combined records too; the old file is kept as it was."""
    make_file(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        pages = connection.execute("SELECT pageno FROM dbstat WHERE name = 'known' AND pagetype = 'leaf'")
        page = pages.fetchone()[0] - 1
    garble_page(path, page, random.Random(1))
    damaged = path.read_bytes()
    run = Run(path)
    await asyncio.wait_for(run.file.start(), DEADLINE_S)
    run.file.writer.suspect(StateCorrupt("somebody met it"))
    await until(lambda: run.told())
    rows = await run.deliver()
    await run.close()
    assert rows == ROWS
    assert sorted(run.sent) == sorted(b"%d" % number * 9000 for number in range(LETTERS))
    assert f"kept as {salvage.aside_file(path)}" in run.told()[0]
    assert salvage.aside_file(path).read_bytes() == damaged
    store = Store.open(path)
    known = [any(store.contains(f"s{each}", digest(number)) for each in range(3)) for number in range(OLD_EVENTS)]
    store.close()
    assert all(known)


async def test_a_second_damaged_file_waits_for_the_operator(path: Path) -> None:
    """What was set aside is not overwritten, and the disk is not filled with copies."""
    make_file(path)
    salvage.aside_file(path).write_bytes(b"kept")
    edit(path, "DROP TABLE combined")
    run = Run(path)
    await run.deliver(needs_file=False)
    assert isinstance(run.file.error, StateCorrupt)
    await run.close()
    assert salvage.aside_file(path).read_bytes() == b"kept"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE combined",
        "DROP TABLE letters",
        "DROP INDEX delivered_by_time",
        "ALTER TABLE delivered RENAME COLUMN facts TO other",
        "ALTER TABLE letters ADD COLUMN other",
        "ALTER TABLE combined RENAME TO other",
    ],
)
async def test_other_tables_than_ours_are_a_damaged_file(path: Path, statement: str) -> None:
    """It is set aside, and delivery goes on with a new one."""
    make_file(path)
    edit(path, statement)
    run = Run(path)
    await run.deliver()
    await run.close()
    assert len(run.told()) == 1
    assert salvage.aside_file(path).exists()


@pytest.mark.parametrize("length", [0, 1, 100, 4096, 9000, 100_000])
async def test_a_truncated_file(path: Path, length: int) -> None:
    """Is a damaged one; of one with nothing in it, a new one is made."""
    make_file(path)
    with path.open("r+b") as file:
        file.truncate(length)
    run = Run(path)
    await run.deliver()
    await run.close()
    assert salvage.aside_file(path).exists() == (length >= 100)


async def test_a_file_of_zeros_is_replaced(path: Path) -> None:
    """A power cut may leave one."""
    path.write_bytes(bytes(40_000))
    run = Run(path)
    await run.deliver()
    await run.close()
    assert salvage.aside_file(path).read_bytes() == bytes(40_000)


def make_other_database(path: Path) -> None:
    """Of another program."""
    edit(path, "CREATE TABLE t (x)", "PRAGMA application_id = 77")


@pytest.mark.parametrize("make", [make_other_database, lambda path: path.write_text("streams: []\n" * 100)])
async def test_a_file_that_is_not_ours_is_left_alone(path: Path, make: Callable[[Path], Any]) -> None:
    """It may be dear to somebody."""
    make(path)
    before = path.read_bytes()
    run = Run(path)
    await run.deliver(needs_file=False)
    await until(lambda: len(run.facts) > 2)
    assert isinstance(run.file.error, StateCorrupt)
    await run.close()
    assert path.read_bytes() == before
    assert not salvage.aside_file(path).exists()


@pytest.mark.parametrize("seed", range(30))
async def test_random_damage_stops_nothing(path: Path, seed: int) -> None:
    """Bytes, pages, the log beside the file, and its end: there is nothing but reports."""
    rng = random.Random(seed)
    make_file(path)
    edit(path, "UPDATE place SET i = i")
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 20])):
        size = rng.choice([1, 8, 300, 4096])
        start = rng.randrange(100 if seed % 2 else 4096, len(data))  # the header in every other one
        data[start : start + size] = rng.randbytes(size)
    path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    if not seed % 5:
        path.with_name(path.name + "-wal").write_bytes(rng.randbytes(5000))
    run = Run(path)
    await run.deliver(needs_file=False)
    tries = len(run.facts)
    await until(lambda: run.file.error is None or len(run.facts) > tries + 3)
    assert run.file.error is None or isinstance(run.file.error, StateUnusable)
    assert run.file.task is not None
    assert not run.file.task.done()
    await run.close()
    with contextlib.suppress(StateUnusable):
        tool.show(path, int(time.time()))


# --- other things in its place -------------------------------------------------------------------


async def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    """Lock and log stand beside the file itself, so that two names are one file."""
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "disk" / "state.db")
    run = Run(link)
    await run.deliver()
    assert sorted(each.name for each in (tmp_path / "disk").iterdir())[:2] == ["state.db", "state.db-shm"]
    await run.close()
    assert [each.name for each in tmp_path.iterdir() if each.name != "disk"] == ["link.db"]


async def test_a_link_that_leads_in_a_circle_is_trouble(path: Path) -> None:
    """And delivery goes on."""
    path.symlink_to(path)
    run = Run(path)
    await run.deliver(needs_file=False)
    assert type(run.file.error) is StateUnusable
    await run.close()


async def test_a_fifo_is_trouble(path: Path) -> None:
    """Nobody waits for the other end."""
    os.mkfifo(path)
    run = Run(path)
    await run.deliver(needs_file=False)
    assert "is no regular file" in str(run.file.error)
    await run.close()
    with pytest.raises(StateUnusable, match="no regular file"):
        tool.show(path, 0)


async def test_a_file_that_others_may_use_is_closed_to_them(path: Path) -> None:
    """And that is told: dead letters are in it, as they were received."""
    make_file(path)
    path.chmod(0o666)
    run = Run(path)
    await run.deliver()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await run.close()
    assert [fact.was_open_to_others for fact in run.facts if isinstance(fact, StateOpened)] == [True]
