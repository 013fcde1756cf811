"""Tells which rows of the state file are as this plugin writes them, and sets the others aside.

SQLite keeps whatever is written into any column, and a damaged disk writes anything.  A row that is not `SOUND` goes
to a table ``garbled_…`` beside its own, for whoever looks into what happened.  Rows are checked before they are used.
The small tables and blocks that are not indexed are checked whenever the file is opened.  All rows are checked after
something met one that it could not read.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

import msgspec

from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.state.schema import DIGEST_BYTES, MIGRATIONS, PLACES
from fluent_plugin_amp.state.values import BLOCK_EVENTS

LAST_SECOND = 253_402_300_799
"""The last second of the year 9999; Python has no later date."""
LAST_EVENT_SECOND = 2**32 - 1
"""The latest time that a record can carry, see `sink.forward.protocol.entry`."""
LAST_NUMBER = 2**62
"""The highest number of a row.  At the end of 63 bits SQLite has no more numbers, and says that the disk is full."""
MAX_FACTS_BYTES = 4 * 1024 * 1024
MAX_ROW_BYTES = 16 * 1024 * 1024
"""Of a named value, in the tables of `OWNERS`."""
MAX_LETTER_BYTES = 128 * 1024 * 1024
"""RabbitMQ takes no larger message by default."""
MAX_TEXT_BYTES = 1024 * 1024

OWNERS = {"combined": "stream", "kept": "source"}
"""The tables of small named values (``owner, name, data``), and the column that says whose each is."""

_decode_facts = msgspec.msgpack.Decoder(list[EventIdentity]).decode


def _text(column: str) -> str:
    return (
        f"(typeof({column}) = 'text' AND length(CAST({column} AS BLOB)) <= {MAX_TEXT_BYTES}"
        f" AND is_utf8(CAST({column} AS BLOB)))"
    )


def _integer(column: str, least: int, most: int) -> str:
    # The plus keeps SQLite from looking for rows by this condition, which all of them meet.
    return f"(typeof({column}) = 'integer' AND +{column} BETWEEN {least} AND {most})"


def _blob(column: str, most: int) -> str:
    return f"(typeof({column}) = 'blob' AND length({column}) <= {most})"


COUNTED = f"({_integer('delivered_at', 0, LAST_SECOND)} AND {_integer('events', 1, BLOCK_EVENTS)})"
"""The condition for the columns of ``delivered`` that a summary reads, from an index alone."""

SOUND = {
    "streams": _text("name"),
    "delivered": " AND ".join(
        [
            _integer("number", 1, LAST_NUMBER),
            f"typeof(stream) = 'integer' AND {COUNTED}",
            f"{_integer('first_at', 0, LAST_SECOND)} AND {_integer('last_at', 0, LAST_SECOND)}",
            f"typeof(digests) = 'blob' AND length(digests) = {DIGEST_BYTES} * events",
            f"{_blob('facts', MAX_FACTS_BYTES)} AND are_facts(facts, events)",
        ]
    ),
    "letters": " AND ".join(
        [
            _integer("number", 1, LAST_NUMBER),
            *map(_text, ("stream", "error_id", "reason", "routing_key")),
            f"{_integer('redelivered', 0, 1)} AND {_integer('tries', 0, LAST_NUMBER)}",
            f"typeof(received_at) = 'real' AND received_at BETWEEN 0 AND {LAST_EVENT_SECOND}",
            _blob("body", MAX_LETTER_BYTES),
        ]
    ),
    **{
        table: f"{_text(owner)} AND {_text('name')} AND {_blob('data', MAX_ROW_BYTES)}"
        for table, owner in OWNERS.items()
    },
}
"""For each table, the condition that a sound row meets.  It is never NULL."""


def add_functions(connection: sqlite3.Connection) -> None:
    """Add the functions that `SOUND` calls."""
    connection.create_function("is_utf8", 1, _is_utf8, deterministic=True)
    connection.create_function("are_facts", 2, _are_facts, deterministic=True)
    # Text that is not UTF-8 can still be read, to be set aside or shown.
    connection.text_factory = lambda text: text.decode(errors="replace")


def set_garbled_aside(connection: sqlite3.Connection, *, all_of_it: bool) -> dict[str, int]:
    """Set aside rows that are not sound, within a transaction; returns how many of which table.

    Args:
        connection: one that `add_functions` was called with.
        all_of_it: check blocks that are indexed too, which are most of the file.
    """
    counts = {"progress": _mend_progress(connection), "place": _mend_places(connection)}
    for table, sound in SOUND.items():
        if table == "delivered" and not all_of_it:
            sound = f"number <= (SELECT indexed_to FROM progress) OR ({sound})"
        counts[table] = _set_aside(connection, table, f"NOT ({sound})")
    return {table: count for table, count in counts.items() if count}


def set_row_aside(connection: sqlite3.Connection, table: str, owner: str, name: str) -> int:
    """Set aside a row of one of `OWNERS` that its reader cannot decode."""
    return _set_aside(connection, table, f"{OWNERS[table]} = ? AND name = ?", owner, name)


def _set_aside(connection: sqlite3.Connection, table: str, condition: str, *values: str) -> int:
    count: int = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}", values).fetchone()[0]
    if not count:
        return 0
    connection.execute(f"CREATE TABLE IF NOT EXISTS garbled_{table} AS SELECT * FROM {table} WHERE 0")
    connection.execute(f"INSERT INTO garbled_{table} SELECT * FROM {table} WHERE {condition}", values)
    if table == "streams":  # its number stays in use: no other stream may take over what this one delivered
        connection.execute(f"UPDATE streams SET name = 'garbled ' || id WHERE {condition}", values)
    else:
        connection.execute(f"DELETE FROM {table} WHERE {condition}", values)
    return count


def _mend_progress(connection: sqlite3.Connection) -> int:
    """Mend how far the index is filled, and which numbers are in use; whatever is doubtful is indexed again."""
    mended = 0
    for table in ("delivered", "letters"):
        top = connection.execute(
            f"SELECT coalesce(max(number), 0) FROM {table} WHERE number <= {LAST_NUMBER}"
        ).fetchone()[0]
        given = [row[0] for row in connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))]
        if given and not (len(given) == 1 and type(given[0]) is int and top <= given[0] <= LAST_NUMBER):
            mended += 1
            connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, top))
    last = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'delivered'")
    last_given = last.fetchone()[0]
    rows = [row[0] for row in connection.execute("SELECT indexed_to FROM progress LIMIT 2")]
    if len(rows) != 1 or type(rows[0]) is not int or not 0 <= rows[0] <= last_given:
        mended += 1
        connection.execute("DELETE FROM progress")
        connection.execute("INSERT INTO progress VALUES (0)")
    return mended


def _mend_places(connection: sqlite3.Connection) -> int:
    rows = connection.execute("SELECT count(*), min(i), max(i) FROM place").fetchone()
    if rows == (BLOCK_EVENTS, 0, BLOCK_EVENTS - 1):
        return 0
    connection.execute("DELETE FROM place")
    connection.execute(PLACES)
    return 1


def tables_of(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Every table and index except those set aside: its kind, its name and its columns."""
    return {
        (kind, name, _columns(connection, name))
        for kind, name in connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        if not str(name).startswith(("garbled_", "sqlite_stat"))
    }


def _columns(connection: sqlite3.Connection, name: Any) -> str:
    rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
    return ", ".join(f"{column} {kind}" for column, kind in rows)


@cache
def expected_tables() -> frozenset[tuple[str, str, str]]:
    """The result of `tables_of` for a new file."""
    connection = sqlite3.connect(":memory:")
    try:
        for migration in MIGRATIONS:
            for statement in migration:
                connection.execute(statement)
        return frozenset(tables_of(connection))
    finally:
        connection.close()


def _is_utf8(text: object) -> bool:
    try:
        return type(text) is bytes and text.decode() is not None
    except UnicodeDecodeError:
        return False


def _are_facts(encoded: object, events: object) -> bool:
    """Whether these are facts of so many events."""
    try:
        return type(encoded) is bytes and len(_decode_facts(encoded)) == events
    except (msgspec.MsgspecError, ValueError):
        return False
