"""A bridge from RabbitMQ to Fluentd, as most people write it in Python: aio-pika and fluent-logger.

::

    python bridge.py '{"url": "amqps://…", "ca_file": FILE, "queue": …, "prefetch": …, "host": …, "port": …, …}'

fluent-logger knows no acks: an event is acknowledged to the broker when it was handed to the logger.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

import aio_pika
from fluent.sender import EventTime, FluentSender


async def ship(options: dict[str, Any]) -> None:
    """Until it is ended."""
    sender = FluentSender(options["tag"], options["host"], options["port"], nanosecond_precision=True)
    context = ssl.create_default_context(cafile=options["ca_file"])
    connection = await aio_pika.connect_robust(options["url"], ssl_context=context)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=options["prefetch"])
        queue = await channel.get_queue(options["queue"], ensure=False)
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    event = json.loads(message.body)
                    sender.emit_with_time(None, EventTime(event["timestamp"]), event)


asyncio.run(ship(json.loads(sys.argv[1])))
