"""A SQLite file as this plugin uses one: opens it, brings it up to date, and keeps transactions short.

One `Database` is one connection, for one thread at a time.  A commit is on the disk when it returns
(``synchronous=FULL``).  With the write-ahead log, readers and the writer do not wait for each other.

Every error of SQLite and of the system, and of Python over values in the file, becomes a `StateUnusable`.  So nothing
in the file can end whoever uses it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from fluent_plugin_amp.state.errors import StateCorrupt, StateOutdated, StateTooNew, StateUnusable
from fluent_plugin_amp.state.schema import APPLICATION_ID, MIGRATIONS
from fluent_plugin_amp.state.translate import FOREIGN, translate, translate_os_error
from fluent_plugin_amp.state.valid_rows import add_functions, expected_tables, tables_of

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process's."""
LOG_BYTES = 16 * 1024 * 1024
"""The write-ahead log is cut to this after it was larger."""
MAX_VALUE_BYTES = 256 * 1024 * 1024
"""Of one value; SQLite itself would load a gigabyte."""
BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside the file."""
_LIMIT_LENGTH = 0  # SQLITE_LIMIT_LENGTH

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Self = TypeVar("Self", bound="Database")


def translated(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A method of a `Database` whose foreign errors become ours."""

    @wraps(method)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return method(*args, **kwargs)
        except FOREIGN as exc:
            raise translate(args[0].path, exc) from exc  # type: ignore[attr-defined]

    return wrapper


class Database:
    """One connection to a state file.  `open` makes it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._execute = connection.execute

    @classmethod
    def open(cls: type[Self], path: Path, *, create: bool = False) -> Self:
        """Open the file.

        Args:
            path: of the file, or a symbolic link to it; its folder must be there.
            create: make the file (readable by its owner only) or bring it up to date if need be; for its daemon.

        Raises:
            StateUnusable: the file cannot be used; the error says why.
        """
        path = resolved(path)
        if create:
            _create(path)
        _check_kind(path)
        database = cls(path, connect(path))
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
        """Commit all of what is written inside, or nothing; it is on the disk when this ends without an exception."""
        try:
            self._execute("BEGIN IMMEDIATE")
            yield
            self._execute("COMMIT")
        except BaseException as exc:
            self.rolled_back()
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
            if isinstance(exc, sqlite3.Error):
                raise translate(self.path, exc) from exc
            raise

    @translated
    def check_integrity(self) -> None:
        """Read all of the file.

        Raises:
            StateCorrupt: something is wrong; the error names the first of it.
        """
        result = self._value("PRAGMA integrity_check(1)")
        if result != "ok":
            raise StateCorrupt(f"{self.path}: {result}")

    def rolled_back(self) -> None:
        """Called when a transaction was undone: a subclass forgets what it remembers of it."""

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
        if missing := expected_tables() - tables_of(self._connection):
            raise StateCorrupt(f"{self.path}: the table or index {min(name for _, name, _ in missing)} is not there")

    def _value(self, statement: str) -> Any:
        return self._execute(statement).fetchall()[0][0]


def tighten(path: Path) -> bool:
    """Make the file, and those beside it, accessible to their owner only; returns whether others had access.

    The file holds dead letters as they were received.  The mode is changed by name, because closing a descriptor
    would drop SQLite's locks.
    """
    was_open = False
    path = resolved(path)
    for file in (path, *(path.with_name(path.name + end) for end in BESIDE)):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077 and stat.S_ISREG(file.stat().st_mode):
                file.chmod(mode & 0o700)
                was_open = True
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise translate_os_error(file, exc) from exc
    return was_open


def resolved(path: Path) -> Path:
    """Where a symbolic link leads: lock and log stand beside the file itself, whatever name leads to it.

    Raises:
        StateUnusable: the link leads in a circle.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as exc:
        raise StateUnusable(f"{path}: {exc}") from exc


def _check_kind(path: Path) -> None:
    """Refuse what is no regular file: SQLite would wait for ever to open a FIFO."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as exc:
        raise StateUnusable(f"{path} does not exist", remedy="`fluent-plugin-amp run` makes it.") from exc
    except OSError as exc:
        raise translate_os_error(path, exc) from exc
    if not stat.S_ISREG(mode):
        raise StateUnusable(f"{path} is no regular file", remedy="Name another `state.path`.")


def _create(path: Path) -> None:
    """Make the file unless it is there.  No existing file is opened: to close it would drop SQLite's locks on it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as exc:
        raise translate_os_error(path, exc) from exc


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there, whatever is in it."""
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions are begun and ended in the open
            check_same_thread=False,
        )
    except FOREIGN as exc:
        raise translate(path, exc) from exc
    if hasattr(connection, "setlimit"):  # from Python 3.11 on
        connection.setlimit(_LIMIT_LENGTH, MAX_VALUE_BYTES)
    add_functions(connection)
    return connection
