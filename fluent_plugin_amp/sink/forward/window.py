"""The chunks in flight on one server's connection, oldest first.  Pure.

A chunk is registered before it is written, so its ack always finds it.  A window is ``max_in_flight`` chunks wide
while its server is trusted.  It is one chunk wide from the end of a connection with chunks in doubt until the
server's next ack.  A suspect chunk always travels alone.

Invariant: a chunk leaves the window exactly once, acked or lost.
"""

from __future__ import annotations

from collections import deque

from fluent_plugin_amp.errors import WrongAck
from fluent_plugin_amp.model import Chunk

MAX_REPEATS = 16
"""The most acks that may be repeated without a new one among them.  No server has a reason for more."""


class Window:
    """What one server was given and has not acked yet."""

    def __init__(self, max_in_flight: int, ack_timeout_s: float) -> None:
        self._max_in_flight = max_in_flight
        self._ack_timeout_s = ack_timeout_s
        self._in_flight: dict[str, tuple[Chunk, float]] = {}
        self._acked_lately: deque[str] = deque(maxlen=2 * max_in_flight)
        self._repeats = 0
        self._alone = False
        self._trusted = True
        self.retries = 0
        """How many chunks were lost here, and were sent again, here or elsewhere."""
        self.acked_sent_at: float | None = None
        """When the chunk that was acked last was written."""

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def trusted(self) -> bool:
        """No chunk got in doubt since the last ack."""
        return self._trusted

    @property
    def room(self) -> int:
        """Chunks that may be registered now."""
        if self._alone:
            return 0
        return (self._max_in_flight if self._trusted else 1) - len(self._in_flight)

    @property
    def oldest_sent_at(self) -> float | None:
        """When the oldest chunk in flight was written; None when there is none."""
        return next((sent_at for _, sent_at in self._in_flight.values()), None)

    @property
    def deadline(self) -> float | None:
        """When the oldest chunk in flight must have been acked; None when there is none."""
        sent_at = self.oldest_sent_at
        return None if sent_at is None else sent_at + self._ack_timeout_s

    def register(self, chunk: Chunk, now: float, *, alone: bool = False) -> None:
        """Count a chunk as in flight; call this before writing it.  ``alone`` closes the window behind it."""
        assert self.room > 0
        assert not (alone and self._in_flight)
        self._in_flight[chunk.id] = (chunk, now)
        self._alone = alone

    def ack(self, chunk_id: str) -> Chunk | None:
        """Take out the chunk that the server acked; None for an ack that is repeated shortly afterwards.

        Raises ``WrongAck`` for a chunk that was never sent on this connection, and for acks repeated without end:
        such a peer cannot be relied on.
        """
        found = self._in_flight.pop(chunk_id, None)
        if found is None:
            self._repeats += 1
            if chunk_id in self._acked_lately and self._repeats <= MAX_REPEATS:
                return None
            raise WrongAck(f"the server acked {chunk_id[:40]!r}, which is not in flight")
        self._acked_lately.append(chunk_id)
        self._repeats = 0
        self._alone = False
        self._trusted = True
        self.acked_sent_at = found[1]
        return found[0]

    def lost(self) -> list[Chunk]:
        """The connection is gone: take out every chunk in flight, all in doubt now, oldest first."""
        in_doubt = [chunk for chunk, _ in self._in_flight.values()]
        if in_doubt:
            self._trusted = False
            self.retries += len(in_doubt)
        self._in_flight.clear()
        self._acked_lately.clear()
        self._repeats = 0
        self._alone = False
        return in_doubt

    def chunks(self) -> list[Chunk]:
        """The chunks in flight, oldest first."""
        return [chunk for chunk, _ in self._in_flight.values()]
