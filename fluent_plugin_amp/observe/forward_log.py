"""Sends the plugin's log to the servers as records: a logging handler in front of a Forward client of its own.

It does its best: a line never waits for a server, and a server never waits for a line.  While no server takes lines,
it keeps the last `MAX_WAITING`.  When servers take them again, a record says how many lines are missing.

It cannot feed itself: its client reports to nobody, so trouble on the way of the log makes no lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import replace

from fluent.handler import FluentRecordFormatter

from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.client import ForwardClient, new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.sink.forward.settings import ForwardSettings
from fluent_plugin_amp.text import how_many, values

MAX_WAITING = 1000
MAX_IN_CHUNK = 200

_FIELDS = {"host": "%(hostname)s", "pid": "%(process)d"}


class ForwardLog(logging.Handler):
    """Sends log records, tagged ``tag``, while `run` runs.  Make it within the event loop that it is to use."""

    def __init__(self, tag: str, settings: ForwardSettings) -> None:
        super().__init__()
        self._tag = tag
        self._fields = FluentRecordFormatter(_FIELDS, format_json=False)
        self._client = ForwardClient(replace(settings, max_in_flight=1), lambda fact: None)
        self._client.on_change = self._send
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._missing = 0
        self._all_sent = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Send until `finish`, or cancelled."""
        await self._client.run()

    async def finish(self, timeout_s: float) -> None:
        """Wait at most ``timeout_s`` for the lines logged so far, if a server takes them; then end ``run``."""
        self._send()
        if self._client.available:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_sent.wait(), timeout_s)
        await self._client.close(0.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Part of logging.Handler: any thread may log."""
        if len(self._waiting) == MAX_WAITING:
            self._missing += 1  # the oldest makes room
        try:
            self._waiting.append(self._entry(record))
        except (ValueError, OverflowError):  # an integer beyond 64 bits
            self._missing += 1
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        while self._waiting and self._client.room > 0:
            entries = [self._waiting.popleft() for _ in range(min(MAX_IN_CHUNK, len(self._waiting)))]
            if self._missing:
                entries.insert(0, self._entry(_notice(self._missing)))
                self._missing = 0
            self._client.send(Chunk(new_chunk_id(), self._tag, entries, []))
        if self._waiting or self._client.in_flight:
            self._all_sent.clear()
        else:
            self._all_sent.set()

    def _entry(self, record: logging.LogRecord) -> bytes:
        seconds, nanoseconds = divmod(round(record.created * 1e6) * 1000, 1_000_000_000)
        level = {"level": record.levelname.lower()}  # as in the JSON log
        fields = {**level, **self._fields.format(record), **getattr(record, "fields", {})}
        return entry(seconds, nanoseconds, values(fields))


def _notice(missing: int) -> logging.LogRecord:
    text = f"left out here: {how_many(missing, 'log line')} that no server took in time"
    return logging.LogRecord(__package__, logging.WARNING, __file__, 0, text, None, None)
