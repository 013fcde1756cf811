"""What the looks at a queue tell: how much waits, and what goes wrong without a word.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.source.backlog import Backlog
from fluent_plugin_amp.source.starvation import Starvation
from fluent_plugin_amp.source.vanished import Vanished


class Looks:
    """The looks of one stream, over all its channels.

    A look gives the ``messages`` that are ready in the queue, and its ``consumers``.
    """

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.queue = ""
        """Its name, once it is known."""
        self.others = 0
        """Consumers besides this stream's, at the last look; 0 while not connected."""
        self.saw_empty = False
        """At the last look nothing was in the queue, nor with a consumer that the broker takes for alive."""
        self._vanished = Vanished()
        self._starvation = Starvation()

    def use(self, queue: str) -> None:
        """From now on it is this queue."""
        if queue != self.queue:
            self.queue, self._vanished = queue, Vanished()

    def looked(self, messages: int, consumers: int, now: float, *, received: int, consumes: bool) -> None:
        """One more look, ``now`` in seconds since the epoch; ``consumes``: one of the consumers is this stream's."""
        self.backlog.looked(messages, now, received=received)
        self.others = _others(consumers, consumes)
        self.saw_empty = messages == 0 and not self.others

    def lost(self) -> None:
        """The connection is gone: nobody knows what waits, and who else takes it."""
        self.backlog.lost()
        self.others = 0

    def opened(self, messages: int, consumers: int) -> int:
        """The first look over a new channel, without a consumer yet: how many messages are missing."""
        self._starvation = Starvation()
        return self._vanished.opened(messages=messages, consumers=consumers)

    def is_forgotten(
        self, messages: int, consumers: int, *, unacked: int, consumes: bool, progress_at: float
    ) -> bool:
        """Whether the broker has forgotten this stream's consumer, as far as this look and those before tell.

        ``progress_at``: when anything was acked last, of any clock.
        """
        self._vanished.looked(messages=messages, unacked=unacked, others=_others(consumers, consumes))
        return self._starvation.looked(
            messages=messages, consumers=consumers, idle=consumes and not unacked, progress_at=progress_at
        )

    def acked(self, deliveries: int) -> None:
        """So many were acked to the broker."""
        self._vanished.acked(deliveries)
        self.saw_empty = False

    def left(self, unacked: int, *, consumed: bool) -> None:
        """The channel is gone: see `Vanished.left`."""
        self._vanished.left(unacked, consumed=consumed)


def _others(consumers: int, consumes: bool) -> int:
    """How many consumers are not this stream's."""
    return max(0, consumers - consumes)
