"""Small named values, kept in a table of the state file: a `pipeline.combine.combiner.Keeper`.

``combined`` has what combined records are made from, by stream.  ``kept`` has what parts of the daemon know, by
source: how far a polled source has come, for example.  Both work alike.

Rows are put in the same turn of the loop in which their events are recorded as delivered, so one transaction takes
both.  While the file is in trouble nothing is answered: whoever put the rows waits, and so do the acks of their
events.  Afterwards everything that waits is put again, in order.  Rows that can never be put are given up, and
reported; their events are delivered as ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.state.errors import StateValueRefused
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.translate import garbled_rows
from fluent_plugin_amp.state.valid_rows import MAX_ROW_BYTES
from fluent_plugin_amp.state.writer import Rows, Writer

RETRY_S = 1.0


class KeptRows:
    """Keeps the rows of one table, ``combined`` or ``kept``, in the state file."""

    def __init__(self, writer: Writer, table: str, *, retry_s: float = RETRY_S) -> None:
        self._writer = writer
        self._table = table
        self._path = writer.file
        self._retry_s = retry_s
        self._waiting: deque[tuple[Rows, Callable[[], None]]] = deque()
        self._is_retrying = False

    def put(self, rows: Rows, done: Callable[[], None]) -> None:
        """Part of `Keeper`: keep these rows, and call ``done`` when they are committed."""
        self._waiting.append((rows, done))
        if not self._is_retrying:
            self._write(rows)

    async def save(self, source: str, values: Mapping[str, bytes | None]) -> None:
        """Keep these values of a source, by name; returns when they are committed, however long that takes.

        Raises:
            ValueError: one is larger than `MAX_ROW_BYTES`: it would not be read again.
        """
        too_large = [name for name, data in values.items() if data is not None and len(data) > MAX_ROW_BYTES]
        if too_large:
            raise ValueError(f"{source} {too_large[0]}: more than {MAX_ROW_BYTES >> 20} MiB cannot be kept")
        committed = asyncio.Event()
        self.put({(source, name): data for name, data in values.items()}, committed.set)
        await committed.wait()

    async def load(self) -> dict[tuple[str, str], bytes]:
        """All rows; waits until the file can be read."""
        return await self._read(None)

    async def load_of(self, source: str) -> dict[str, bytes]:
        """The values of one source, by name; waits until the file can be read."""
        return {name: data for (_, name), data in (await self._read(source)).items()}

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """Part of `Keeper`: set aside rows that cannot be read."""
        self._writer.set_aside(garbled_rows(self._path, self._table, len(keys)))
        self._writer.put(partial(Store.set_rows_aside, table=self._table, keys=keys), events=1)

    async def _read(self, source: str | None) -> dict[tuple[str, str], bytes]:
        while True:
            try:
                return await self._writer.call(partial(Store.rows, table=self._table, owner=source))
            except PluginError:  # the writer has reported it
                await asyncio.sleep(self._retry_s)

    def _write(self, rows: Rows) -> None:
        self._writer.keep(self._table, rows, self._answered)

    def _answered(self, error: PluginError | None) -> None:
        """Take the answer for the first rows that wait: they are committed, refused, or to be put again."""
        if self._is_retrying:
            return  # these rows are put again, together with those that failed before
        if error is None or isinstance(error, StateValueRefused):  # reported by the writer, and beyond another try
            _, done = self._waiting.popleft()
            done()
        else:
            self._is_retrying = True
            asyncio.get_running_loop().call_later(self._retry_s, self._put_all)

    def _put_all(self) -> None:
        self._is_retrying = False
        for rows, _ in [*self._waiting]:
            self._write(rows)
