"""Standard output as a sink, for pipes: one JSON line or one msgpack map for each event.

A chunk counts as acked when the operating system took its last byte: nobody knows what happens past the pipe.  A
thread writes the bytes, because only blocking writes treat a full pipe, a file and a terminal alike; the loop goes on
meanwhile.  It is a daemon thread, so a reader that never reads does not keep the process alive.

Invariants: chunks are written one at a time, in the order in which they came; a chunk is answered only when all of it
was written.  A reader that goes away ends ``run`` with ``OutputClosed``; on a pipe, that is noticed while idle too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import select
import stat
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import BinaryIO, Literal

import msgpack
import msgspec

from fluent_plugin_amp.errors import OutputClosed
from fluent_plugin_amp.model import Answer, Chunk, Outcome, Record, ServerSnapshot

MAX_CHUNKS = 2
"""One that is being written, and one that waits."""

_EVENT_TIME = struct.Struct(">II")
_NAME = "stdout"


class StdoutSink:
    """A `model.Sink` that writes to ``output``, by its file descriptor.  ``run`` starts it."""

    def __init__(self, stream: Literal["json", "msgpack"], output: BinaryIO) -> None:
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self._render = json_lines if stream == "json" else msgpack_maps
        self._fd = output.fileno()
        self._waiting: deque[Chunk] = deque()
        self._writing: Chunk | None = None
        self._to_write: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._end: asyncio.Future[None] | None = None
        self._is_closing = False
        self._written = asyncio.Event()

    @property
    def available(self) -> bool:
        """It runs, and no sign says that the reader is gone."""
        return self._end is not None and not self._end.done() and not self._is_closing

    @property
    def room(self) -> int:
        """How many chunks it takes now."""
        return max(MAX_CHUNKS - self.in_flight, 0) if self.available else 0

    @property
    def in_flight(self) -> int:
        """Chunks taken and not written yet."""
        return len(self._waiting) + (self._writing is not None)

    def figures(self) -> tuple[ServerSnapshot, ...]:
        """Part of a sink: there is no server."""
        return ()

    def send(self, chunk: Chunk) -> None:
        """Take a chunk; it is written when those before it are."""
        self._waiting.append(chunk)
        self._write_next()

    def held(self) -> list[Chunk]:
        """Chunks taken and not written yet."""
        return [*([self._writing] if self._writing else []), *self._waiting]

    def shed(self) -> None:
        """Forget waiting chunks whose deliveries were all requeued; the one being written stays, as a probe."""
        probe = self._writing or next(iter(self._waiting), None)
        requeued = [chunk for chunk in self._waiting if chunk is not probe and chunk.is_requeued]
        for chunk in requeued:
            self._waiting.remove(chunk)
        for chunk in requeued:
            self.on_answer(Answer(chunk, Outcome.SHED))
        self.on_change()

    async def run(self) -> None:
        """Write until cancelled or closed.  Raises ``OutputClosed`` when the reader is gone."""
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        threading.Thread(target=self._write_all, args=(loop,), name="stdout", daemon=True).start()
        is_pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        if is_pipe:  # its writing end never has data: it becomes readable when the reader is gone
            loop.add_reader(self._fd, self._fail, "its reader is gone")
        try:
            self.on_change()
            self._write_next()
            await self._end
        finally:
            if is_pipe:
                loop.remove_reader(self._fd)
            self._to_write.put(None)

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Wait at most ``timeout_s`` for the chunk being written, and end ``run``.

        Returns the chunks that are not answered, and never will be.
        """
        self._is_closing = True
        if self._writing is not None:
            self._written.clear()
            written = asyncio.create_task(self._written.wait())
            await asyncio.wait({written}, timeout=timeout_s)
            written.cancel()
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        return self.held()

    def _write_next(self) -> None:
        if self.available and self._writing is None and self._waiting:
            self._writing = self._waiting.popleft()
            self._to_write.put(self._render(self._writing))

    def _chunk_written(self) -> None:
        chunk, self._writing = self._writing, None
        assert chunk is not None
        self._written.set()
        self._write_next()
        self.on_answer(Answer(chunk, Outcome.ACKED, _NAME))
        self.on_change()

    def _fail(self, why: str) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_exception(OutputClosed(f"standard output cannot be written: {why}"))

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write what is queued, in the thread, until told to end."""
        while (data := self._to_write.get()) is not None:
            try:
                _write(self._fd, data)
                tell: Callable[[], None] = self._chunk_written
            except OSError as exc:
                tell = partial(self._fail, exc.strerror or str(exc))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
                loop.call_soon_threadsafe(tell)


def json_lines(chunk: Chunk) -> bytes:
    """Each event as a line of JSON, integers exact."""
    return b"".join(msgspec.json.encode(event) + b"\n" for event in _events(chunk))


def msgpack_maps(chunk: Chunk) -> bytes:
    """Each event as a msgpack map, one after the other."""
    packer = msgpack.Packer()
    return b"".join(packer.pack(event) for event in _events(chunk))


def _events(chunk: Chunk) -> Iterator[Record]:
    """Each record behind ``time`` and ``tag``; its own fields of these names become ``time_2``, ``tag_2``, …"""
    for entry in chunk.entries:
        event_time, record = msgpack.unpackb(entry)
        ours = {"time": _iso8601(event_time.data), "tag": chunk.tag}
        if not ours.keys().isdisjoint(record):
            renamed = {name: _free_name(name, record) for name in ours}
            record = {renamed.get(name, name): value for name, value in record.items()}
        yield {**ours, **record}


def _free_name(name: str, record: Record) -> str:
    return next(free for number in itertools.count(2) if (free := f"{name}_{number}") not in record)


def _iso8601(event_time: bytes) -> str:
    """``2024-01-31T23:59:59.000000001Z``: UTC, all nine digits, so that it also sorts as text."""
    seconds, nanoseconds = _EVENT_TIME.unpack(event_time)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # another process that shares the terminal or pipe made it non-blocking
            select.select([], [fd], [])
