"""A TCP proxy on loopback that can do to a connection what networks do.

It stands between the plugin and a server, in a thread of its own, so a test may block while traffic flows.  Its
faults, each until `heal` unless said otherwise:

* `cut`: reset every connection, in the middle of whatever was being sent; once.
* `black_hole`: keep everything open and forward nothing, as a vanished host does.
* `half_open`: the server's side is closed and the client is never told.
* `slow`: forward only so many bytes a second.
* `refuse`: accept no new connection.

With ``reply_delay_s`` everything from the server comes that much later: so long a chunk is surely in flight.
``on_sent`` sees what clients send, before it goes on, with the number of its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S

if TYPE_CHECKING:
    from typing_extensions import Self

READ_BYTES = 65_536


class TcpProxy:
    """Listens on ``port`` and forwards to ``target_port``, both on loopback."""

    host = "127.0.0.1"

    def __init__(
        self,
        target_port: int,
        *,
        port: int | None = None,
        reply_delay_s: float = 0.0,
        on_sent: Callable[[int, bytes], None] = lambda connection, data: None,
    ) -> None:
        self.target_port = target_port
        self.port = port or free_port()
        self.reply_delay_s = reply_delay_s
        self.replies = 0
        """How often something came back from the server, over all connections."""
        self._on_sent = on_sent
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._open = asyncio.Event()
        self._bytes_a_second: float | None = None
        self._refusing = False

    def start(self) -> None:
        """Start listening."""
        self._thread.start()
        self._call(self._listen())

    def close(self) -> None:
        """Reset everything and stop."""
        self.cut()
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- what is seen ----------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._pairs)

    @property
    def waits_for_reply(self) -> bool:
        """The client sent something after the last thing it received: a request without its answer."""
        return any(pair.sent_at > pair.replied_at for pair in list(self._pairs))

    # --- faults ----------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection, once."""
        self._call(self._for_each_pair(_Pair.reset))

    def black_hole(self) -> None:
        """Forward nothing; open connections stay open, new ones are accepted."""
        self._call(self._shut())

    def half_open(self) -> None:
        """Close the servers' sides; the clients are not told, until `heal` resets them."""
        self._call(self._for_each_pair(_Pair.abandon))

    def slow(self, bytes_a_second: float) -> None:
        """Forward only so much, in each direction of each connection."""
        self._bytes_a_second = bytes_a_second

    def refuse(self) -> None:
        """Reset new connections at once."""
        self._refusing = True

    def heal(self) -> None:
        """Forward as a proxy should; what was abandoned is reset."""
        self._bytes_a_second = None
        self._refusing = False

        self._call(self._resume())

    # --- inside ----------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._accept, self.host, self.port)

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(client_writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(self.host, self.target_port)
        except OSError:
            _reset(client_writer)
            return
        pair = _Pair(next(self._numbers), client_writer, server_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(pair, client_reader, server_writer, partial(self._note_sent, pair), 0.0),
                self._pump(pair, server_reader, client_writer, partial(self._note_replied, pair), self.reply_delay_s),
            )
        except (OSError, asyncio.IncompleteReadError):
            pair.reset()
        finally:
            self._pairs.discard(pair)

    def _note_sent(self, pair: _Pair, data: bytes) -> None:
        pair.sent_at = time.monotonic()
        self._on_sent(pair.number, data)

    def _note_replied(self, pair: _Pair, _data: bytes) -> None:
        pair.replied_at = time.monotonic()
        self.replies += 1

    async def _pump(
        self,
        pair: _Pair,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: Callable[[bytes], None],
        delay_s: float,
    ) -> None:
        """One direction, until its end."""
        while data := await reader.read(READ_BYTES):
            if delay_s:
                await asyncio.sleep(delay_s)
            if self._bytes_a_second:
                await asyncio.sleep(len(data) / self._bytes_a_second)
            await self._open.wait()
            note(data)
            writer.write(data)
            await writer.drain()
        if pair.abandoned:
            await asyncio.Event().wait()  # the client is not told
        with contextlib.suppress(OSError):
            writer.write_eof() if writer.can_write_eof() else writer.close()

    async def _for_each_pair(self, do: Callable[[_Pair], None]) -> None:
        for pair in list(self._pairs):
            do(pair)

    async def _shut(self) -> None:
        self._open.clear()

    async def _resume(self) -> None:
        self._open.set()
        for pair in list(self._pairs):
            if pair.abandoned:
                pair.reset()

    def _call(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a job in the proxy's thread, from any other."""
        asyncio.run_coroutine_threadsafe(job, self._loop).result(DEADLINE_S)


class _Pair:
    """One connection: the client's side and the server's."""

    def __init__(self, number: int, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.number = number
        self.client = client
        self.server = server
        self.sent_at = 0.0
        self.replied_at = time.monotonic()
        self.abandoned = False

    def reset(self) -> None:
        """RST to both sides."""
        _reset(self.client)
        _reset(self.server)

    def abandon(self) -> None:
        """RST to the server only."""
        self.abandoned = True
        _reset(self.server)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
