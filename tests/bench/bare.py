"""The yardstick of the bench: a bare pika asyncio loop that acks every 200 messages and does nothing else.

``python bare.py URL USERNAME PASSWORD QUEUE CA_FILE COUNT`` prints one JSON line: events, seconds and seconds of
processor from the first message to the last ack known to the broker, peak resident memory.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

PREFETCH_COUNT = 500
ACK_EVERY = 200


async def consume(url: str, username: str, password: str, queue: str, ca_file: str, count: int) -> dict[str, float]:
    """Consume ``count`` messages."""
    address = urlsplit(url)
    assert address.hostname
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()
    began = cpu_began = 0.0
    received = 0
    tls = ssl.create_default_context(cafile=ca_file) if address.scheme == "amqps" else None

    def on_message(channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        nonlocal began, cpu_began, received
        received += 1
        if received == 1:
            began, cpu_began = time.perf_counter(), time.process_time()
        if received == count:
            channel.basic_ack(method.delivery_tag, True)
            channel.basic_qos(prefetch_count=1, callback=lambda _: done.set_result(time.perf_counter() - began))
        elif received % ACK_EVERY == 0:
            channel.basic_ack(method.delivery_tag, True)

    def on_channel(channel: Any) -> None:
        channel.basic_qos(prefetch_count=PREFETCH_COUNT, callback=lambda _: channel.basic_consume(queue, on_message))

    def fail(_connection: Any, reason: BaseException) -> None:
        if not done.done():
            done.set_exception(reason)

    connection = AsyncioConnection(
        pika.ConnectionParameters(
            host=address.hostname,
            port=address.port,
            credentials=pika.PlainCredentials(username, password),
            ssl_options=pika.SSLOptions(tls, address.hostname) if tls else None,
        ),
        on_open_callback=lambda opened: opened.channel(on_open_callback=on_channel),
        on_open_error_callback=fail,
        on_close_callback=fail,
    )
    seconds = await done
    cpu_s = time.process_time() - cpu_began
    connection.close()
    # Not getrusage: its peak is that of the process that started this one.
    peak_kib = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())  # noqa: ASYNC240
    return {"events": received, "seconds": seconds, "cpu_s": cpu_s, "peak_mib": int(peak_kib[0]) / 1024}


if __name__ == "__main__":
    url, username, password, queue, ca_file, count = sys.argv[1:]
    print(json.dumps(asyncio.run(consume(url, username, password, queue, ca_file, int(count)))))
