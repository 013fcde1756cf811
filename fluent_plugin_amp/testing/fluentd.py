"""A scriptable Forward server: Fluentd on its good and on its bad days.

::

    async with FakeFluentd() as server:
        server.script(NoAck(), Close())             # what becomes of the next two chunks; then Ack() again
        ...                                         # let the client send to 127.0.0.1:server.port
        await server.wait_for(lambda: len(server.records) == 10)
        assert server.violations == []

It acknowledges as Fluentd and Fluent Bit do, keeps every chunk it was sent, and is stricter than both: what one
of them refuses, loses or hangs on ends the connection here and is told in ``violations``.

Invariants: a chunk counts as accepted (``records``) from the moment its ack is written, and only then; after
``stop`` no connection is open.  Everything happens in the event loop's thread.

``python -m fluent_plugin_amp.testing.fluentd --help`` runs the same server as a process of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.testing.fluentd_connection import Connection
from fluent_plugin_amp.testing.forward import (
    Entry,
    Message,
    ReceivedChunk,
    Security,
    decode_entries,
)
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.reactions import (
    Reaction,
    Script,
    Welcome,
)
from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(slots=True)
class Counts:
    """Totals since the start; ``events`` by the client's word where it gives one."""

    connections: int = 0
    chunks: int = 0
    repeated_chunks: int = 0
    """Accepted chunks whose id had been accepted before."""
    events: int = 0
    """In accepted chunks."""
    bytes: int = 0
    """Read from all connections."""
    first_at: float | None = None
    last_at: float | None = None
    """When the first and the last chunk was accepted, seconds since the epoch."""
    violations: list[str] = field(default_factory=list)


class FakeFluentd:
    """A Forward server on ``host`` and ``port`` (0: a free one), or on a Unix socket.

    ``tls`` is a server context (`certificates.server_context`, which may demand client certificates).
    ``security`` asks clients for a shared key and users.  ``keep=False`` neither decodes nor keeps entries, to
    be fast; ``on_message`` sees each message before it is acknowledged.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix_path: Path | None = None,
        tls: ssl.SSLContext | None = None,
        security: Security | None = None,
        keep: bool = True,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.unix_path = unix_path
        self.security = security
        self.keep = keep
        self.poison: Callable[[Entry], bool] | None = None
        """A chunk with an entry for which this is true closes the connection, always."""
        self.chunks: list[ReceivedChunk] = []
        """Every chunk that arrived whole, in order, repeated ones and those not accepted included."""
        self.acks: list[str] = []
        """Ids acknowledged, in order."""
        self.refusals: list[str] = []
        """Why PINGs were refused."""
        self.counts = Counts()
        self._tls = tls
        self._on_message = on_message
        self._server: asyncio.Server | None = None
        self.open_connections: set[Connection] = set()
        self.scripted = Script()
        self.held: list[Callable[[], None]] = []
        self._accepted_ids: set[str] = set()
        self.conditions = Conditions()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- listening -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; after ``stop`` or ``stop_listening`` again, on the same port."""
        loop = asyncio.get_running_loop()
        if self.unix_path is not None:
            self._server = await loop.create_unix_server(partial(Connection, self), self.unix_path, ssl=self._tls)
        else:
            self._server = await loop.create_server(partial(Connection, self), self.host, self.port, ssl=self._tls)

    def stop_listening(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Refuse new connections and cut (RST) the open ones, as a server that is killed."""
        self.stop_listening()
        self.drop_connections()
        await self.wait_for(lambda: not self.open_connections)

    def drop_connections(self, *, reset: bool = True) -> None:
        """Close the open connections; with ``reset=False`` orderly, after what is still to be written."""
        for connection in list(self.open_connections):
            connection.close(reset=reset)

    # --- the script ------------------------------------------------------------------------------

    @property
    def reaction(self) -> Reaction:
        """What becomes of a chunk for which nothing is scripted; may be set."""
        return self.scripted.reaction

    @reaction.setter
    def reaction(self, reaction: Reaction) -> None:
        self.scripted.reaction = reaction

    @property
    def welcome(self) -> Welcome:
        """What becomes of a connection for which nothing is scripted; may be set."""
        return self.scripted.welcome

    @welcome.setter
    def welcome(self, welcome: Welcome) -> None:
        self.scripted.welcome = welcome

    def script(self, *reactions: Reaction) -> None:
        """What becomes of the next chunks, one after the other, on whichever connection they arrive."""
        self.scripted.reactions.extend(reactions)

    def script_connections(self, *welcomes: Welcome) -> None:
        """What becomes of the next connections."""
        self.scripted.welcomes.extend(welcomes)

    def release(self) -> int:
        """Send the acks held back by `HoldAck`, oldest first; returns how many there were."""
        held, self.held = self.held, []
        for send in held:
            send()
        return len(held)

    # --- what it saw -----------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self.open_connections)

    @property
    def violations(self) -> list[str]:
        """What clients did wrong, in words."""
        return self.counts.violations

    @property
    def entries(self) -> list[Entry]:
        """Entries of the accepted chunks, in order, with what was sent twice twice."""
        return [entry for chunk in self.chunks if chunk.accepted for entry in chunk.entries]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Records of the accepted chunks, in order, with what was sent twice twice."""
        return [entry.record for entry in self.entries]

    async def wait_for(self, condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
        """Wait until ``condition`` holds; it is asked anew after everything that happens here.

        Raises TimeoutError, with what had happened instead.
        """
        try:
            await self.conditions.wait_for(condition, timeout_s)
        except (TimeoutError, asyncio.TimeoutError) as exc:
            raise TimeoutError(
                f"not within {timeout_s:g} s: {self.connections} connections, {self.counts}, "
                f"{len(self.acks)} acks, {len(self.held)} held"
            ) from exc

    # --- for the connections ---------------------------------------------------------------------

    def take(self, message: Message, connection: int) -> ReceivedChunk:
        """What happens to every chunk that arrives whole; raises Violation for what cannot be taken."""
        entries = decode_entries(message) if self.keep else []
        chunk = ReceivedChunk(connection, message.tag, message.chunk, message.option, entries)
        if self.keep:
            self.chunks.append(chunk)
        if self._on_message is not None:
            self._on_message(message)
        return chunk

    def is_poisoned(self, chunk: ReceivedChunk) -> bool:
        """Whether it has an entry that closes the connection."""
        return self.poison is not None and any(map(self.poison, chunk.entries))

    def accept(self, message: Message, chunk: ReceivedChunk) -> None:
        """Count a chunk that is being acknowledged."""
        counts = self.counts
        counts.last_at = time.time()
        counts.first_at = counts.first_at or counts.last_at
        counts.chunks += 1
        size = len(chunk.entries) if self.keep else message.size
        counts.events += len(decode_entries(message)) if size is None else size
        if message.chunk is not None:
            counts.repeated_chunks += message.chunk in self._accepted_ids
            self._accepted_ids.add(message.chunk)
        if message.chunk is not None and self.keep:
            self.acks.append(message.chunk)
        chunk.accepted = True


if __name__ == "__main__":
    from fluent_plugin_amp.testing.fluentd_process import main

    main()
