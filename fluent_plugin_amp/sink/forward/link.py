"""The way to one server: its connections, one after the other, their deadlines, and the outages between them.

A thin asyncio shell: it translates what a `connection.Connection` tells into calls of the dispatcher, and into facts.
How long it waits before it tries again is decided by `backoff.Outage`.

An outage ends when the server has **settled**: it acked a chunk, or its connection stood for `STEADY_AFTER_S`.

Invariant: the dispatcher hears ``connected`` and ``lost`` in turn, ``lost`` before anything else can be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fluent_plugin_amp.backoff import STEADY_AFTER_S, Outage, Pace
from fluent_plugin_amp.errors import (
    AckTimeout,
    PluginError,
    RefusedError,
    ServerConnectionFailed,
    ServerConnectionLost,
    ServerTakesNothing,
)
from fluent_plugin_amp.facts import ChunkSplit, Fact, InternalError, ServerConnected, ServerTrouble
from fluent_plugin_amp.model import Chunk, ServerSnapshot
from fluent_plugin_amp.sink.forward.connection import Connection, open_connection, unforeseen
from fluent_plugin_amp.sink.forward.dispatch import Dispatcher
from fluent_plugin_amp.sink.forward.protocol import encode_chunk
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.sink.forward.tls_probe import TlsDoubt

REFUSED_PACE = Pace(20.0, 60.0)
"""Time does not mend a refusal.  The jitter takes off up to half."""


class Link:
    """One server of a Forward client.  It is a `connection.Listener`.

    ``tell`` takes a fact to pass on; ``changed`` is called after anything that lets the client do more.
    ``jitter`` returns a random number in 0 … 1, for the back-off.
    """

    def __init__(
        self,
        address: ServerAddress,
        settings: ForwardSettings,
        dispatcher: Dispatcher,
        *,
        tell: Callable[[Fact], None],
        changed: Callable[[], None],
        jitter: Callable[[], float],
    ) -> None:
        self._address = address
        self._name = address.name
        self._settings = settings
        self._dispatcher = dispatcher
        self._tell = tell
        self._changed = changed
        self._outage = Outage(lambda: asyncio.get_running_loop().time(), jitter)
        self._is_settled = False
        self._is_told = False  # of this connection
        self._is_on_trial = False  # it was told to be connected, and has not settled since
        self._tls_doubt = TlsDoubt(address, settings)
        self._connection: Connection | None = None
        self._end: asyncio.Future[tuple[PluginError, int]] | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._settle_timer: asyncio.TimerHandle | None = None
        self._ended_by: PluginError | None = None
        self._ack_latency_s: float | None = None

    async def keep_connected(self) -> None:
        """Connect, serve until the connection ends, wait, and connect again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection = await open_connection(self._address, self._settings)
            except Exception as exc:  # the fault domain is one connection, its opening included
                error, in_doubt = exc if isinstance(exc, PluginError) else unforeseen(exc), 0
            else:
                self._end = loop.create_future()
                self._connected(connection)
                error, in_doubt = await self._end
            retry_in_s = self._failed(await self._tls_doubt.explain(error), in_doubt)
            self._changed()
            await asyncio.sleep(retry_in_s)

    def write(self, chunk: Chunk) -> None:
        """Write a chunk, which the dispatcher has registered, and watch its deadline."""
        connection = self._connection
        assert connection is not None  # the dispatcher writes to connected servers only
        try:
            connection.write(encode_chunk(chunk, self._settings.compress))
        except Exception as exc:  # then the chunk is in doubt, as with any connection that ended
            connection.fail(exc)
            return
        if self._ack_timer is None:
            self._mind_deadline()

    def fail(self, exc: Exception) -> None:
        """Cut the connection off, for something that nobody foresaw."""
        if self._connection is not None:
            self._connection.fail(exc)

    def figures(self) -> ServerSnapshot:
        """How the server stands now."""
        window = self._dispatcher.window(self._name)
        sent_at = window.oldest_sent_at
        return ServerSnapshot(
            server=self._name,
            is_standby=self._address.standby,
            is_up=self._dispatcher.is_up(self._name),
            is_doubtful=self._dispatcher.is_doubtful(self._name),
            in_flight=len(window),
            owes_ack_s=0.0 if sent_at is None else asyncio.get_running_loop().time() - sent_at,
            ack_latency_s=self._ack_latency_s,
            retries=window.retries,
        )

    def close(self) -> None:
        """Close the connection, and report nothing."""
        self._stop_timers()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._dispatcher.lost(self._name, asyncio.get_running_loop().time())

    # --- connection.Listener ---------------------------------------------------------------------

    def acked(self, chunk_id: str) -> None:
        """The server acked a chunk."""
        self._dispatcher.acked(self._name, chunk_id)
        self._tls_doubt.acked()
        if self._dispatcher.splits:
            self._tell_splits()
        sent_at = self._dispatcher.window(self._name).acked_sent_at
        if sent_at is not None:
            self._ack_latency_s = asyncio.get_running_loop().time() - sent_at
        if not self._is_settled:
            self._settle()

    def acks_read(self) -> None:
        """The last of the acks that arrived together is in the books."""
        self._changed()

    def writable(self, writable: bool) -> None:
        """The connection takes more bytes now, or wants to drain first."""
        self._dispatcher.set_writable(self._name, writable)
        if writable:
            self._changed()

    def ended(self, error: PluginError) -> None:
        """The connection is over."""
        self._connection = None
        self._ended_by = error
        self._stop_timers()
        try:
            in_doubt = self._lost()
        except Exception as exc:  # what was in flight gets into the books when it is connected again
            self._tell(InternalError("sink", exc))
            in_doubt = 0
        if isinstance(error, AckTimeout | ServerConnectionLost) and self._dispatcher.takes_nothing(self._name):
            error = _takes_nothing(error)
        assert self._end is not None  # made before the connection was started
        if not self._end.done():  # done already: `keep_connected` was cancelled
            self._end.set_result((error, in_doubt))
        self._changed()

    # --- how -------------------------------------------------------------------------------------

    def _lost(self) -> int:
        in_doubt = self._dispatcher.lost(self._name, asyncio.get_running_loop().time())
        if self._dispatcher.splits:
            self._tell_splits()
        return in_doubt

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        if len(self._dispatcher.window(self._name)):  # a fault kept the last end out of the books
            self._lost()
        self._dispatcher.connected(self._name)
        self._is_settled = self._is_told = False
        if not self._is_on_trial and not self._dispatcher.is_doubtful(self._name):
            self._is_on_trial = True
            self._tell_connected()
        self._settle_later()
        connection.start(self)
        self._changed()

    def _tell_splits(self) -> None:
        assert self._ended_by is not None  # what is split was refused before, by the same server
        while self._dispatcher.splits:
            chunk = self._dispatcher.splits.popleft()
            self._tell(ChunkSplit(chunk.id, len(chunk.entries), self._ended_by))

    def _failed(self, error: PluginError, in_doubt: int) -> float:
        if isinstance(error, ServerConnectionFailed) and isinstance(error.__cause__, Exception):
            self._tell(InternalError("forward connection", error.__cause__))
        retry_in_s = self._outage.failed(REFUSED_PACE if isinstance(error, RefusedError) else None)
        self._tell(ServerTrouble(self._name, error, in_doubt, retry_in_s, self._outage.attempts))
        return retry_in_s

    def _mind_deadline(self) -> None:
        """End the connection at the deadline of the oldest chunk in flight; one timer serves all chunks."""
        self._ack_timer = None
        deadline = self._dispatcher.deadline(self._name)
        if deadline is None or self._connection is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < deadline:
            self._ack_timer = loop.call_at(deadline, self._mind_deadline)
        else:
            self._connection.end(AckTimeout(f"no ack within {self._settings.ack_response_timeout_s:g} s"))

    def _settle_later(self) -> None:
        self._settle_timer = asyncio.get_running_loop().call_later(STEADY_AFTER_S, self._stood)

    def _stood(self) -> None:
        if self._dispatcher.is_doubtful(self._name):
            self._settle_later()
        else:
            self._settle()
            self._changed()

    def _settle(self) -> None:
        if not self._is_told:
            self._tell_connected()
        self._is_settled, self._is_on_trial = True, False
        self._outage.over()

    def _tell_connected(self) -> None:
        self._is_told = True
        self._tell(ServerConnected(self._name, self._outage.lasted_s))

    def _stop_timers(self) -> None:
        for timer in (self._ack_timer, self._settle_timer):
            if timer is not None:
                timer.cancel()
        self._ack_timer = self._settle_timer = None


def _takes_nothing(error: PluginError) -> ServerTakesNothing:
    named = ServerTakesNothing(f"{error}, whatever it is sent, a test record too")
    named.__cause__ = error
    return named
