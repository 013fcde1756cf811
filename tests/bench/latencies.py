"""How long events are on their way, at a steady rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pika

from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.rabbitmq_node import ADMIN, ADMIN_PASSWORD
from tests.bench.rig import Rig, receiver, wait_until

EVENT_BYTES = 1500
TAG = "edr.cisco.amp.events"
"""That of other records, such as those of computers, is another one."""


class Event(NamedTuple):
    """One event that arrived."""

    latency_ms: float
    sent_at: float
    """Seconds since the epoch."""


def latencies(rig: Rig, rate: int, goes_on: Callable[[int], bool], **options: Any) -> list[Event]:
    """Publish ``rate`` events a second while ``goes_on`` says so of their number; from publishing to receipt.

    ``options`` are the plugin's, as `Rig.start_plugin` takes them.
    """
    rig.fill([])
    ids = rig.folder / "ids"
    ids.unlink(missing_ok=True)
    event = msgspec.json.decode(EventGenerator(seed=1).body(size=EVENT_BYTES))
    for field in ("id", "timestamp", "timestamp_nanoseconds"):
        event.pop(field)
    rest = msgspec.json.encode(event)[1:]
    with receiver("--ids", str(ids)) as (port, _):
        process = rig.start_plugin(port, **options)
        rig.moment("connected to queue")
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                rig.broker.host, rig.broker.port, credentials=pika.PlainCredentials(ADMIN, ADMIN_PASSWORD)
            )
        )
        channel = connection.channel()
        began = time.monotonic()
        number = 0
        while goes_on(number):
            delay = began + number / rate - time.monotonic()
            if delay > 0:
                time.sleep(delay)
            moment = divmod(time.time_ns(), 1_000_000_000)
            head = b'{"id":%d,"timestamp":%d,"timestamp_nanoseconds":%d,' % (number, *moment)
            channel.basic_publish("", rig.streams[0].queue, head + rest)
            number += 1
        connection.close()

        def arrived() -> list[Event]:
            lines = (line.split("\t") for line in ids.read_text().splitlines())
            times = [(int(sent), int(at)) for _, tag, sent, at, _ in lines if tag == TAG]
            return [Event((at - sent) / 1e6, sent / 1e9) for sent, at in times]

        wait_until(lambda: len(arrived()) >= number, rig.log)
        process.terminate()
        process.wait(60)
    return arrived()
