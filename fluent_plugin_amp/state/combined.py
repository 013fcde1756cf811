"""What combined records are made from, kept in the state file: a `pipeline.combine.combiner.Keeper`.

Rows are put in the same turn of the loop in which their events are recorded as delivered, so one transaction takes
both.  While the file is in trouble nothing is answered: the combiner waits for the rows, and so do the acks of their
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
from fluent_plugin_amp.state.writer import Writer

RETRY_S = 1.0

Rows = Mapping[tuple[str, str], bytes | None]


class KeptCombined:
    """Keeps the rows of combined records in the state file."""

    def __init__(self, writer: Writer, *, retry_s: float = RETRY_S) -> None:
        self._writer = writer
        self._path = writer.file
        self._retry_s = retry_s
        self._waiting: deque[tuple[Rows, Callable[[], None]]] = deque()
        self._is_retrying = False

    def put(self, rows: Rows, done: Callable[[], None]) -> None:
        """Part of `Keeper`: keep these rows, and call ``done`` when they are committed."""
        self._waiting.append((rows, done))
        if not self._is_retrying:
            self._writer.put(partial(Store.put_combined, rows=rows), self._answered)

    async def load(self) -> dict[tuple[str, str], bytes]:
        """All rows; waits until the file can be read."""
        while True:
            try:
                return await self._writer.call(Store.combined)
            except PluginError:  # the writer has reported it
                await asyncio.sleep(self._retry_s)

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """Part of `Keeper`: set aside rows that cannot be read."""
        self._writer.set_aside(garbled_rows(self._path, "combined", len(keys)))
        self._writer.put(partial(Store.set_combined_aside, keys=keys), events=1)

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
            self._writer.put(partial(Store.put_combined, rows=rows), self._answered)
