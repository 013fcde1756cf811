"""A SQLite file as this plugin uses one: opened, brought up to date, locked by nobody for long.

One `Database` is one connection, for one thread at a time.  A commit is on the disk when it returns
(``synchronous=FULL``); with the write-ahead log, readers and the writer do not wait for each other.

What SQLite and the system say about the file becomes a `StateUnusable`; a mistake in our SQL stays what it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from fluent_plugin_amp.errors import StateCorrupt, StateOutdated, StateTooNew, StateUnusable
from fluent_plugin_amp.state.schema import APPLICATION_ID, MIGRATIONS
from fluent_plugin_amp.state.translate import translate, translate_os_error

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process's."""
LOG_BYTES = 16 * 1024 * 1024
"""The write-ahead log is cut to this after it was larger."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Self = TypeVar("Self", bound="Database")


def translated(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A method of a `Database` whose errors of SQLite become ours."""

    @wraps(method)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return method(*args, **kwargs)
        except sqlite3.DatabaseError as exc:
            raise translate(args[0].path, exc) from exc  # type: ignore[attr-defined]

    return wrapper


class Database:
    """See the module.  Made by `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._execute = connection.execute

    @classmethod
    def open(cls: type[Self], path: Path, *, create: bool = False) -> Self:
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
        database = cls(path, _connect(path))
        try:
            database._prepare(create)
        except BaseException:
            database.close()
            raise
        return database

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
            self.rolled_back()
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
            if isinstance(exc, sqlite3.DatabaseError):
                raise translate(self.path, exc) from exc
            raise

    @translated
    def check_integrity(self) -> None:
        """Read all of the file.

        Raises:
            StateCorrupt: what is wrong first.
        """
        result = self._value("PRAGMA quick_check(1)")
        if result != "ok":
            raise StateCorrupt(f"{self.path}: {result}")

    def rolled_back(self) -> None:
        """What was written in a transaction was undone: for subclasses that remember any of it."""

    # --- within ------------------------------------------------------------------------------------------------

    @translated
    def _prepare(self, create: bool) -> None:
        version = self._value("PRAGMA user_version")
        application = self._value("PRAGMA application_id")
        is_new = application == 0 and version == 0 and self._value("SELECT count(*) FROM sqlite_master") == 0
        if not is_new and application != APPLICATION_ID:
            raise StateCorrupt(f"{self.path} is a database of another program", remedy="Name another `state.path`.")
        if version > len(MIGRATIONS):
            raise StateTooNew(f"{self.path} has version {version}; this plugin knows up to {len(MIGRATIONS)}")
        if version < len(MIGRATIONS) and not create:
            raise StateOutdated(f"{self.path} has version {version} of {len(MIGRATIONS)}")
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
