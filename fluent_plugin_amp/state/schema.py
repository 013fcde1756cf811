"""The tables of the state file, as numbered migrations.

``delivered`` holds *blocks*: up to `BLOCK_EVENTS` events of one stream that were recorded together, their digests one
behind the other.  A row for each event would cost five times the processor time.  Digests are random, so an index of
them would make every commit write as many pages as it has events.  Therefore ``known``, the index of digests, is
filled later and in order (`Store.sort_unindexed`), for some thousand events at once.  ``progress`` says how far it is
filled.
"""

from __future__ import annotations

from fluent_plugin_amp.state.values import BLOCK_EVENTS

APPLICATION_ID = 0x46504153
"""In the header of each state file: "FPAS"."""

DIGEST_BYTES = 16
KEY_BYTES = 8
"""Bytes of a digest in ``known``.  Two digests may begin alike; the block has all of each."""

PLACES = f"""INSERT INTO place
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {BLOCK_EVENTS}) SELECT i FROM n"""

Migration = tuple[str, ...]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, resets INTEGER NOT NULL DEFAULT 0)",
        # AUTOINCREMENT: a number is never given again, which `progress` relies on.
        """CREATE TABLE delivered (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            stream INTEGER NOT NULL REFERENCES streams,
            delivered_at INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            events INTEGER NOT NULL,
            digests BLOB NOT NULL,
            facts BLOB NOT NULL
        )""",
        # Holds all that `state show` counts, and what a comparison with the cloud asks for: a stream and a time span.
        "CREATE INDEX delivered_by_time ON delivered (stream, last_at, first_at, delivered_at, events)",
        """CREATE TABLE known (
            key BLOB NOT NULL,
            stream INTEGER NOT NULL REFERENCES streams,
            number INTEGER NOT NULL REFERENCES delivered,
            PRIMARY KEY (key, stream)
        ) WITHOUT ROWID""",
        "CREATE TABLE progress (indexed_to INTEGER NOT NULL)",
        "INSERT INTO progress VALUES (0)",
        # The places in a block, to make rows of its digests.
        "CREATE TABLE place (i INTEGER PRIMARY KEY)",
        PLACES,
        """CREATE TABLE letters (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            stream TEXT NOT NULL,
            error_id TEXT NOT NULL,
            reason TEXT NOT NULL,
            routing_key TEXT NOT NULL,
            redelivered INTEGER NOT NULL,
            received_at REAL NOT NULL,
            tries INTEGER NOT NULL DEFAULT 0,
            body BLOB NOT NULL
        )""",
        "CREATE INDEX letters_by_tries ON letters (tries, number)",
    ),
    (
        # What combined records are made from; the names of the rows are `pipeline.combine.rows`'s.
        """CREATE TABLE combined (
            stream TEXT NOT NULL,
            name TEXT NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (stream, name)
        ) WITHOUT ROWID""",
    ),
    (
        # What parts of the daemon know, such as how far a polled source has come; the names are each source's own.
        """CREATE TABLE kept (
            source TEXT NOT NULL,
            name TEXT NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (source, name)
        ) WITHOUT ROWID""",
    ),
)
