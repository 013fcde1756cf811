"""One visit to one queue, for `fluent-plugin-amp check`: log in, look, and see whether it may be consumed.

No event is taken out, since a quorum queue counts what is given back.  That leaves one question open: whether
somebody has the queue for himself while events wait in it.  Only consuming would tell, and that would take one.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluent_plugin_amp.source import amqp

CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What there is to be seen of a queue that the user may read."""

    queue: amqp.Queue
    tried_to_share: bool
    """Consuming beside others was tried, and granted; False: no need for it, or it would have taken events."""


async def check(broker: amqp.BrokerAddress, queue: str, *, try_to_share: bool = True) -> Checked:
    """Log in and look.

    ``try_to_share``: where somebody consumes an empty queue, consume beside him for a moment.

    Raises:
        PluginError: what `run` would be refused with: ``BrokerAccessRefused``, ``QueueNotFound``, ``QueueInUse``, …
    """
    connection = await amqp.connect(broker)
    try:
        channel = await connection.open_channel()
        seen = await channel.declare_passive(queue)
        await channel.check_may_read(queue)
        tries = try_to_share and seen.consumers > 0 and seen.messages == 0
        if tries:
            channel = await connection.open_channel()
            await channel.consume(queue, 1, lambda messages: None)
            await channel.cancel()
        return Checked(seen, tries)
    finally:
        await connection.close(CLOSE_TIMEOUT_S)
