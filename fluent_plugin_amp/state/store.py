"""The state file: the only SQL.  SQLite with a write-ahead log; tools read and write beside the daemon.

One `Store` is one connection, for one thread at a time.  Every method is a few statements; those that write belong
inside `Store.transaction`, which the caller keeps short, since others wait for it.  A commit is on the disk when it
returns (``synchronous=FULL``).

What SQLite and the system say about the file becomes a `StateUnusable`; a mistake in our SQL stays what it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

import msgspec

from fluent_plugin_amp.errors import StateCorrupt, StateTooNew, StateUnusable
from fluent_plugin_amp.model import EventFacts
from fluent_plugin_amp.state.schema import (
    APPLICATION_ID,
    BLOCK_EVENTS,
    DIGEST_BYTES,
    KEY_BYTES,
    MIGRATIONS,
)
from fluent_plugin_amp.state.translate import translate, translate_os_error
from fluent_plugin_amp.state.values import DeliveredEvent, KeptLetter, StreamSummary

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process's."""
STEP_EVENTS = 1000
"""`Store.prune` and `Store.forget` remove about as many at once."""
LOG_BYTES = 16 * 1024 * 1024
"""The write-ahead log is cut to this after it was larger."""

_KEYS_OF = f"""
    SELECT substr(digests, 1 + {DIGEST_BYTES} * i, {KEY_BYTES}), stream, number
    FROM delivered CROSS JOIN place ON i < events WHERE number"""
"""A row for each event of the blocks whose numbers the rest of the statement chooses."""

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[tuple[int | str | None, int, int, int | None, str | None]]).decode

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _translated(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A method of `Store` whose errors of SQLite become ours."""

    @wraps(method)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return method(*args, **kwargs)
        except sqlite3.DatabaseError as exc:
            raise translate(args[0].path, exc) from exc  # type: ignore[attr-defined]

    return wrapper


class Store:
    """See the module.  Made by `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._execute = connection.execute
        self._stream_ids: dict[str, int] = {}

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Store:
        """Open the file.

        Args:
            path: of the file; its folder must be there.
            create: make it (readable by its owner only) or bring it up to date if need be; for its daemon.

        Raises:
            StateUnusable: it cannot be used, for the reason that the error tells.
        """
        if create:
            _create(path)
        elif not path.exists():
            raise StateUnusable(f"{path} does not exist", remedy="`fluent-plugin-amp run` makes it.")
        store = cls(path, _connect(path))
        try:
            store._prepare(create)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the connection; the last one of a file clears its log away."""
        with contextlib.suppress(sqlite3.Error):  # what was committed stays committed
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside; on the disk when it ends without an exception."""
        try:
            self._execute("BEGIN IMMEDIATE")
            yield
            self._execute("COMMIT")
        except BaseException as exc:
            self._stream_ids.clear()
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
            if isinstance(exc, sqlite3.DatabaseError):
                raise translate(self.path, exc) from exc
            raise

    @_translated
    def check_writable(self) -> None:
        """Write something that changes nothing; a full disk or a read-only file shows."""
        self._execute("UPDATE progress SET indexed_to = indexed_to")

    @_translated
    def check_integrity(self) -> None:
        """Read all of the file.

        Raises:
            StateCorrupt: what is wrong first.
        """
        result = self._value("PRAGMA quick_check(1)")
        if result != "ok":
            raise StateCorrupt(f"{self.path}: {result}")

    # --- what was delivered ------------------------------------------------------------------------------------

    @_translated
    def add_delivered(
        self, stream: str, delivered_at: int, digests: Sequence[bytes], facts: Sequence[EventFacts]
    ) -> None:
        """Remember events of one stream: digests and facts in the same order."""
        stream_id = self._stream_id(stream)
        for start in range(0, len(digests), BLOCK_EVENTS):
            place = slice(start, start + BLOCK_EVENTS)
            block = digests[place]
            seconds = [each[1] for each in facts[place]]
            self._execute(
                "INSERT INTO delivered (stream, delivered_at, first_at, last_at, events, digests, facts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(stream_id, delivered_at, min(seconds), max(seconds), len(block)),
                    *(b"".join(block), _encode_facts(facts[place])),
                ),
            )

    @_translated
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

    @_translated
    def unindexed(self) -> list[tuple[str, list[bytes]]]:
        """Stream and digests of each block that `index` has not seen."""
        return [
            (name, _cut(digests))
            for name, digests in self._execute(
                "SELECT name, digests FROM delivered JOIN streams ON streams.id = stream"
                " WHERE number > (SELECT indexed_to FROM progress)"
            )
        ]

    @_translated
    def index(self) -> None:
        """Let `contains` find everything that was added so far."""
        self._execute(
            "INSERT OR REPLACE INTO known (key, stream, number)"
            f" {_KEYS_OF} > (SELECT indexed_to FROM progress) ORDER BY 1, 2, 3"
        )
        self._execute("UPDATE progress SET indexed_to = (SELECT coalesce(max(number), 0) FROM delivered)")

    @_translated
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

    @_translated
    def forget(self, stream: str) -> bool:
        """One step of forgetting everything that was delivered from a stream; False: nothing was left."""
        blocks = self._step("stream = (SELECT id FROM streams WHERE name = ?)", stream)
        self._delete_blocks([number for number, _ in blocks])
        if blocks:
            self._execute("UPDATE streams SET resets = resets + 1 WHERE name = ?", (stream,))
        return bool(blocks)

    @_translated
    def resets(self) -> dict[str, int]:
        """How many steps of `forget` each stream has seen: who keeps a copy in memory watches this."""
        return dict(self._execute("SELECT name, resets FROM streams").fetchall())

    @_translated
    def delivered_between(self, stream: str, since: int, until: int) -> list[DeliveredEvent]:
        """What was delivered from a stream and happened from ``since`` to ``until``, both included."""
        blocks = self._execute(
            "SELECT digests, facts FROM delivered"
            " WHERE stream = (SELECT id FROM streams WHERE name = ?) AND last_at >= ? AND first_at <= ?",
            (stream, since, until),
        )
        return [
            DeliveredEvent(digest, *facts)
            for digests, encoded in blocks
            for digest, facts in zip(_cut(digests), _decode(encoded), strict=True)
            if since <= facts[1] <= until
        ]

    # --- dead letters ------------------------------------------------------------------------------------------

    @_translated
    def add_letter(self, letter: KeptLetter) -> None:
        """Keep a dead letter."""
        self._execute(
            "INSERT INTO letters (stream, error_id, reason, routing_key, redelivered, received_at, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(letter.stream, letter.error_id, letter.reason, letter.routing_key),
                *(letter.redelivered, letter.received_at, letter.body),
            ),
        )

    @_translated
    def next_letter(self) -> KeptLetter | None:
        """The letter that was tried least often, of those the oldest."""
        rows = self._execute(
            "SELECT stream, error_id, reason, routing_key, redelivered, received_at, body, number"
            " FROM letters ORDER BY tries, number LIMIT 1"
        ).fetchall()
        return KeptLetter(*rows[0]) if rows else None

    @_translated
    def letter_refused(self, number: int) -> None:
        """A try to send it failed: the others go first."""
        self._execute("UPDATE letters SET tries = tries + 1 WHERE number = ?", (number,))

    @_translated
    def remove_letter(self, number: int) -> None:
        """A server has it."""
        self._execute("DELETE FROM letters WHERE number = ?", (number,))

    @_translated
    def count_letters(self) -> int:
        """How many are kept."""
        return int(self._execute("SELECT count(*) FROM letters").fetchall()[0][0])

    # --- combined records --------------------------------------------------------------------------------------

    @_translated
    def put_combined(self, rows: Mapping[tuple[str, str], bytes | None]) -> None:
        """Keep these rows, by stream and name; None: no longer."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO combined (stream, name, data) VALUES (?, ?, ?)",
            [(*key, data) for key, data in rows.items() if data is not None],
        )
        self._connection.executemany(
            "DELETE FROM combined WHERE stream = ? AND name = ?", [key for key, data in rows.items() if data is None]
        )

    @_translated
    def combined(self) -> dict[tuple[str, str], bytes]:
        """All rows that are kept."""
        rows = self._execute("SELECT stream, name, data FROM combined").fetchall()
        return {(stream, name): data for stream, name, data in rows}

    # --- for the operator --------------------------------------------------------------------------------------

    @_translated
    def summary(self, now: int) -> list[StreamSummary]:
        """Of each stream that anything is known of, by name."""
        return [
            StreamSummary(*row)
            for row in self._execute(
                """
                WITH names AS (SELECT name FROM streams UNION SELECT stream FROM letters),
                    counted AS (
                        SELECT name, sum(events) AS events, min(delivered_at) AS oldest, max(delivered_at) AS newest,
                            sum(events * (delivered_at > :now - 3600)) AS hour,
                            sum(events * (delivered_at > :now - 86400)) AS day
                        FROM delivered JOIN streams ON streams.id = stream GROUP BY stream
                    ),
                    kept AS (SELECT stream AS name, count(*) AS letters FROM letters GROUP BY stream)
                SELECT name, coalesce(events, 0), oldest, newest, coalesce(hour, 0), coalesce(day, 0),
                    coalesce(letters, 0)
                FROM names LEFT JOIN counted USING (name) LEFT JOIN kept USING (name) ORDER BY name
                """,
                {"now": now},
            ).fetchall()
        ]

    # --- within ------------------------------------------------------------------------------------------------

    @_translated
    def _prepare(self, create: bool) -> None:
        version = self._value("PRAGMA user_version")
        application = self._value("PRAGMA application_id")
        is_new = application == 0 and version == 0 and self._value("SELECT count(*) FROM sqlite_master") == 0
        if not is_new and application != APPLICATION_ID:
            raise StateCorrupt(f"{self.path} is a database of another program", remedy="Name another `state.path`.")
        if version > len(MIGRATIONS):
            raise StateTooNew(f"{self.path} has version {version}; this plugin knows up to {len(MIGRATIONS)}")
        if version < len(MIGRATIONS) and not create:
            raise StateUnusable(
                f"{self.path} has version {version} of {len(MIGRATIONS)}",
                remedy="`fluent-plugin-amp run` brings it up to date.",
            )
        mode = self._value("PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise StateUnusable(
                f"{self.path}: there can be no write-ahead log here ({mode})",
                remedy="Put the file on a local disk; network file systems lack what SQLite needs.",
            )
        self._execute("PRAGMA synchronous = FULL")
        self._execute("PRAGMA temp_store = MEMORY")
        self._execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            with self.transaction():
                for statement in migration:
                    self._execute(statement)
                self._execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._execute(f"PRAGMA user_version = {number}")

    def _value(self, statement: str) -> Any:
        return self._execute(statement).fetchall()[0][0]

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


def _create(path: Path) -> None:
    """Make the file unless it is there: closing a descriptor of it would drop the locks that SQLite has on it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as exc:
        raise translate_os_error(path, exc) from exc


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions are begun and ended in the open
            check_same_thread=False,
        )
    except sqlite3.DatabaseError as exc:
        raise translate(path, exc) from exc


def _cut(digests: bytes) -> list[bytes]:
    return [digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES)]


def _encode_facts(facts: Sequence[EventFacts]) -> bytes:
    try:
        return _encode(facts)
    except OverflowError:  # JSON knows integers beyond 64 bits, msgpack does not
        return _encode(
            [
                (
                    event_id if event_id is None or _fits(event_id) else str(event_id),
                    *(seconds, nanoseconds),
                    type_id if type_id is None or _fits(type_id) else None,
                    guid,
                )
                for event_id, seconds, nanoseconds, type_id, guid in facts
            ]
        )


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**64
