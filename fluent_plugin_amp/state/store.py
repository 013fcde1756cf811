"""Reads and writes what the state file holds.  All SQL is here, except what `database` needs to open the file.

Every method is a few statements.  Call those that write inside `Store.transaction`, and keep it short: the daemon and
the tools beside it wait for each other's transactions.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec

from fluent_plugin_amp.state.database import Database, translated
from fluent_plugin_amp.state.errors import StateCorrupt
from fluent_plugin_amp.state.schema import DIGEST_BYTES, KEY_BYTES
from fluent_plugin_amp.state.valid_rows import COUNTED, OWNERS, SOUND, set_garbled_aside, set_row_aside
from fluent_plugin_amp.state.values import (
    Block,
    DeliveredEvent,
    KeptDeadLetter,
    KeptSummary,
    StreamSummary,
    decode_facts,
    encode_facts,
)

STEP_EVENTS = 1000
"""`Store.index`, `Store.prune`, `Store.forget` and `Store.forget_combined` handle about as many at once."""
BLOCKS_AT_ONCE = 16
ROWS_AT_ONCE = 256
"""Of combined records; three values each, of which SQLite took 999 at most before its version 3.32."""
ROWS_STEP = 16
"""Statements are made for multiples of it, so that they are few, and prepared once."""

_KEYS_OF = f"""
    SELECT substr(digests, 1 + {DIGEST_BYTES} * i, {KEY_BYTES}) AS key, stream, number
    FROM delivered CROSS JOIN place ON i < events WHERE number"""
"""A row for each event of the blocks whose numbers the rest of the statement chooses."""

Row = TypeVar("Row")


class Store(Database):
    """The tables of the state file, over one connection."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._stream_ids: dict[str, int] = {}
        self._sorted_rows = 0
        self._sorted_to = 0
        self._indexed_rows = 0

    def rolled_back(self) -> None:
        """Part of `Database`: forget the ids of streams, which may be gone again."""
        self._stream_ids.clear()

    @translated
    def check_writable(self) -> None:
        """Write something that changes nothing, so that a full disk or a read-only file shows."""
        self._execute("UPDATE progress SET indexed_to = indexed_to")

    def set_garbled_aside(self, *, all_of_it: bool = False) -> dict[str, int]:
        """Set aside rows that are not as this plugin writes them, and return how many of which table.

        Without ``all_of_it`` it skips blocks that are indexed.
        """
        with self.transaction():
            counts = set_garbled_aside(self._connection, all_of_it=all_of_it)
        if "progress" in counts or "place" in counts:
            self.index_all()
        return counts

    @translated
    def set_rows_aside(self, table: str, keys: Sequence[tuple[str, str]]) -> None:
        """Set aside rows that their reader cannot decode, by owner and name.  ``table`` is one of `OWNERS`."""
        for key in keys:
            set_row_aside(self._connection, table, *key)

    @translated
    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""
        return [name for (name,) in self._execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]

    @translated
    def adopt(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Take over rows of another file, except those that are here already or break a constraint."""
        places = ", ".join("?" * len(self.columns(table)))
        self._connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)

    # --- what was delivered ------------------------------------------------------------------------------------

    @translated
    def add_delivered(self, blocks: Sequence[Block]) -> None:
        """Remember these.  Up to `BLOCKS_AT_ONCE` are one statement, and need no transaction around it."""
        for start in range(0, len(blocks), BLOCKS_AT_ONCE):
            values: list[int | bytes] = []
            for block in blocks[start : start + BLOCKS_AT_ONCE]:
                seconds = [each.seconds for each in block.facts]
                values += (self._stream_id(block.stream), block.delivered_at, min(seconds), max(seconds))
                values += (len(block.digests), b"".join(block.digests), encode_facts(block.facts))
            rows = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * (len(values) // 7))
            # `execute` would let go of the interpreter once more, and wait for a busy loop to get it back.
            self._connection.executemany(
                "INSERT INTO delivered (stream, delivered_at, first_at, last_at, events, digests, facts)"
                f" VALUES {rows}",
                [values],
            )

    @translated
    def contains(self, stream: str, digest: bytes) -> bool:
        """Whether an event of this stream was delivered, among those that `index` has seen."""
        # All rows are fetched: a statement left half way would keep the log from being cleared.
        return bool(
            self._execute(
                "SELECT 1 FROM known JOIN delivered USING (number)"
                " WHERE key = ? AND known.stream = (SELECT id FROM streams WHERE name = ?) AND instr(digests, ?)",
                (digest[:KEY_BYTES], stream, digest),
            ).fetchall()
        )

    @translated
    def unindexed(self) -> list[tuple[str, list[bytes]]]:
        """Stream and digests of each block that `index` has not seen."""
        return [
            (name, _cut(digests))
            for name, digests in self._execute(
                "SELECT name, digests FROM delivered JOIN streams ON streams.id = stream"
                " WHERE number > (SELECT indexed_to FROM progress)"
            )
        ]

    @translated
    def sort_unindexed(self) -> None:
        """Sort what was added so far, for `index`, which lets `contains` find it."""
        self._execute("DROP TABLE IF EXISTS temp.sorted")
        self._execute(f"CREATE TEMP TABLE sorted AS {_KEYS_OF} > (SELECT indexed_to FROM progress) ORDER BY 1, 2, 3")
        self._sorted_rows = self._value("SELECT count(*) FROM temp.sorted")
        self._sorted_to = self._value("SELECT coalesce(max(number), 0) FROM delivered")
        self._indexed_rows = 0

    @translated
    def index(self) -> bool:
        """Index about `STEP_EVENTS` more of what was sorted; False: that was all.

        The order is that of the keys, so each page of the index is written once.  The steps are small, because what
        is delivered meanwhile waits for its commit.
        """
        first, self._indexed_rows = self._indexed_rows + 1, self._indexed_rows + STEP_EVENTS
        self._execute(  # but for what was forgotten since
            "INSERT OR REPLACE INTO known (key, stream, number) SELECT key, sorted.stream, number"
            " FROM temp.sorted JOIN delivered USING (number) WHERE sorted.rowid BETWEEN ? AND ?",
            (first, self._indexed_rows),
        )
        if self._indexed_rows < self._sorted_rows:
            return True
        self._execute("UPDATE progress SET indexed_to = ?", (self._sorted_to,))
        self._execute("DROP TABLE temp.sorted")
        return False

    def index_all(self) -> None:
        """Index everything, however long that takes: for a file that nobody waits for."""
        with self.transaction():
            self.sort_unindexed()
        is_left = True
        while is_left:
            with self.transaction():
                is_left = self.index()

    @translated
    def prune(self, before: int, now: int, after: int = 0) -> int | None:
        """One step of forgetting what was delivered ``before``, oldest first; times in seconds since the epoch.

        Returns the number of the block to go on ``after``, or None when the rest is younger.  A block from the future
        (the clock was wrong) is no sign that the rest is younger; it stays until its time has come.
        """
        blocks = self._step("number > ? ORDER BY number", after)
        if old := [number for number, delivered_at in blocks if delivered_at < before]:
            self._delete_blocks(old)
        is_done = not blocks or any(before <= delivered_at <= now for _, delivered_at in blocks)
        return None if is_done else blocks[-1][0]

    @translated
    def forget(self, stream: str) -> bool:
        """One step of forgetting everything that was delivered from a stream; False: nothing was left."""
        blocks = self._step("stream = (SELECT id FROM streams WHERE name = ?)", stream)
        self._delete_blocks([number for number, _ in blocks])
        if blocks:
            self._count_reset(stream)
        return bool(blocks)

    @translated
    def resets(self) -> dict[str, int]:
        """How many steps of forgetting each stream has seen.  Whoever keeps a copy in memory watches this."""
        return dict(self._execute("SELECT CAST(name AS TEXT), resets FROM streams").fetchall())

    @translated
    def delivered_between(self, stream: str, since: int, until: int) -> list[DeliveredEvent]:
        """What was delivered from a stream and happened from ``since`` to ``until``, both included.

        Garbled blocks are left out.
        """
        blocks = self._execute(
            "SELECT digests, facts FROM delivered"
            " WHERE stream = (SELECT id FROM streams WHERE name = ?) AND last_at >= ? AND first_at <= ?"
            f" AND {SOUND['delivered']}",
            (stream, since, until),
        )
        return [
            DeliveredEvent(digest, facts)
            for digests, encoded in blocks
            for digest, facts in zip(_cut(digests), decode_facts(encoded), strict=True)
            if since <= facts.seconds <= until
        ]

    @translated
    def oldest_at(self, stream: str) -> int | None:
        """When the first event that is remembered of a stream was delivered; None: there is none."""
        query = f"SELECT min(delivered_at) FROM delivered JOIN streams ON id = stream WHERE name = ? AND {COUNTED}"
        oldest: int | None = self._execute(query, (stream,)).fetchall()[0][0]
        return oldest

    # --- dead letters ------------------------------------------------------------------------------------------

    @translated
    def add_letter(self, letter: KeptDeadLetter) -> None:
        """Keep a dead letter."""
        self._execute(
            "INSERT INTO letters (stream, error_id, reason, routing_key, redelivered, received_at, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(letter.stream, letter.error_id, letter.reason, letter.routing_key),
                *(letter.redelivered, letter.received_at, letter.body),
            ),
        )

    @translated
    def next_letter(self) -> KeptDeadLetter | None:
        """The letter that was tried least often; among equals, the oldest.

        Raises:
            StateCorrupt: it is garbled.
        """
        rows = self._execute(
            f"SELECT {SOUND['letters']}, stream, error_id, reason, routing_key, redelivered, received_at,"
            f" CASE WHEN {SOUND['letters']} THEN body END, number"
            " FROM letters ORDER BY tries, number LIMIT 1"
        ).fetchall()
        if not rows:
            return None
        is_sound, *letter = rows[0]
        if not is_sound:
            raise StateCorrupt(f"{self.path}: a dead letter is garbled")
        return KeptDeadLetter(*letter)

    @translated
    def letter_refused(self, number: int) -> None:
        """Note that a try to send it failed: the others go first."""
        self._execute("UPDATE letters SET tries = tries + 1 WHERE number = ?", (number,))

    @translated
    def remove_letter(self, number: int) -> None:
        """Remove a letter that a server has."""
        self._execute("DELETE FROM letters WHERE number = ?", (number,))

    @translated
    def count_letters(self) -> int:
        """How many are kept."""
        return int(self._execute("SELECT count(*) FROM letters").fetchall()[0][0])

    # --- small named values ------------------------------------------------------------------------------------

    @translated
    def put_rows(self, table: str, rows: Mapping[tuple[str, str], bytes | None]) -> None:
        """Keep these rows, by owner and name; None: remove the row.  ``table`` is one of `OWNERS`.

        `ROWS_AT_ONCE` are one statement, since the interpreter is let go of for each, and a busy loop takes it.
        """
        owner = OWNERS[table]
        kept = [(*key, data) for key, data in rows.items() if data is not None]
        removed = [key for key, data in rows.items() if data is None]
        for statement, places, values in (
            (f"INSERT OR REPLACE INTO {table} ({owner}, name, data) VALUES {{}}", "(?, ?, ?)", kept),
            (f"DELETE FROM {table} WHERE ({owner}, name) IN (SELECT * FROM (VALUES {{}}))", "(?, ?)", removed),
        ):
            for some in _evenly(values):
                self._connection.executemany(
                    statement.format(", ".join([places] * len(some))), [tuple(chain.from_iterable(some))]
                )

    @translated
    def rows(self, table: str, owner: str | None = None) -> dict[tuple[str, str], bytes]:
        """All rows that are kept, or those of one owner, except garbled ones."""
        chosen, values = ("", ()) if owner is None else (f" AND {OWNERS[table]} = ?", (owner,))
        rows = self._execute(
            f"SELECT {OWNERS[table]}, name, data FROM {table} WHERE {SOUND[table]}{chosen}", values
        ).fetchall()
        return {(owner, name): data for owner, name, data in rows}

    @translated
    def forget_combined(self, stream: str, but: str) -> bool:
        """One step of forgetting a stream's rows whose names do not begin with ``but``; False: nothing was left."""
        deleted = self._execute(
            "DELETE FROM combined WHERE stream = :stream AND name IN ("
            " SELECT name FROM combined WHERE stream = :stream AND substr(name, 1, length(:but)) != :but"
            " LIMIT :step)",
            {"stream": stream, "but": but, "step": STEP_EVENTS},
        ).rowcount
        if deleted:
            self._count_reset(stream)
        return bool(deleted)

    # --- for the operator --------------------------------------------------------------------------------------

    @translated
    def summary(self, now: int) -> list[StreamSummary]:
        """One summary for each stream that the file knows, by name."""
        return [
            StreamSummary(*row)
            for row in self._execute(
                f"""
                WITH names AS (SELECT CAST(name AS TEXT) AS name FROM streams UNION SELECT stream FROM sound_letters),
                    sound_letters AS (SELECT CAST(stream AS TEXT) AS stream FROM letters),
                    counted AS (
                        SELECT CAST(name AS TEXT) AS name,
                            sum(events) AS events, min(delivered_at) AS oldest, max(delivered_at) AS newest,
                            sum(events * (delivered_at > :now - 3600)) AS hour,
                            sum(events * (delivered_at > :now - 86400)) AS day
                        FROM delivered JOIN streams ON streams.id = stream WHERE {COUNTED} GROUP BY stream
                    ),
                    kept AS (SELECT stream AS name, count(*) AS letters FROM sound_letters GROUP BY stream)
                SELECT name, coalesce(events, 0), oldest, newest, coalesce(hour, 0), coalesce(day, 0),
                    coalesce(letters, 0)
                FROM names LEFT JOIN counted USING (name) LEFT JOIN kept USING (name) ORDER BY name
                """,
                {"now": now},
            ).fetchall()
        ]

    @translated
    def kept_summary(self) -> list[KeptSummary]:
        """One summary for each source that keeps values, by name."""
        counted = "SELECT CAST(source AS TEXT) AS source, count(*), sum(length(CAST(data AS BLOB))) FROM kept"
        return [KeptSummary(*row) for row in self._execute(f"{counted} GROUP BY source ORDER BY source").fetchall()]

    # --- within -----------------------------------------------------------------------------------------------

    def _count_reset(self, stream: str) -> None:
        self._execute("UPDATE streams SET resets = resets + 1 WHERE name = ?", (stream,))

    def _stream_id(self, name: str) -> int:
        known = self._stream_ids.get(name)
        if known is None:
            self._execute("INSERT OR IGNORE INTO streams (name) VALUES (?)", (name,))
            row = self._execute("SELECT id FROM streams WHERE name = ?", (name,)).fetchall()[0]
            known = self._stream_ids[name] = row[0]
        return known

    def _step(self, condition: str, value: object) -> list[tuple[int, int]]:
        """Number and time of delivery of some blocks, about `STEP_EVENTS` in all."""
        blocks = []
        events = 0
        with contextlib.closing(
            self._execute(f"SELECT number, delivered_at, events FROM delivered WHERE {condition}", (value,))
        ) as rows:
            for number, delivered_at, count in rows:
                blocks.append((number, delivered_at))
                events += count
                if events >= STEP_EVENTS:
                    break
        return blocks

    def _delete_blocks(self, numbers: list[int]) -> None:
        chosen = msgspec.json.encode(numbers).decode()
        # An event that was delivered again is known by its later block: that stays.
        self._execute(
            f"""
            WITH gone(key, stream, number) AS ({_KEYS_OF} IN (SELECT value FROM json_each(?)))
            DELETE FROM known WHERE (key, stream) IN (SELECT key, stream FROM gone)
                AND number IN (SELECT number FROM gone)
            """,
            (chosen,),
        )
        self._execute("DELETE FROM delivered WHERE number IN (SELECT value FROM json_each(?))", (chosen,))


def _evenly(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Up to `ROWS_AT_ONCE` of the rows at a time; the last of them again and again, up to the next `ROWS_STEP`."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        yield [*some, *[some[-1]] * (-len(some) % ROWS_STEP)]


def _cut(digests: bytes) -> list[bytes]:
    return [digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES)]
