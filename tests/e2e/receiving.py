"""What tests with real receivers share: starting them, and comparing what they wrote."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fluent_plugin_amp.pipeline.dead_letters import original_body
from fluent_plugin_amp.testing.rabbitmq import QueueDepth
from fluent_plugin_amp.testing.receivers import Kind, Received, Receiver, make_receiver
from tests.servers import need

DEAD_LETTERS = "edr.cisco.amp.dead_letters"


@contextmanager
def receiving(kind: Kind, folder: Path) -> Iterator[Receiver]:
    """A started receiver; "not run" when its program is missing."""
    if kind != "built-in":
        need(kind)
    receiver = make_receiver(kind, folder)
    try:
        receiver.start()
        yield receiver
    finally:
        receiver.kill()


def is_empty(depth: QueueDepth) -> bool:
    """Nothing is left in the queue, acked or not."""
    return depth.ready + depth.unacked == 0


def texts(records: Iterable[dict[str, Any]]) -> Counter[str]:
    """Records as texts that are equal when the records are, integers compared exactly; not every event has an id.

    Probes are no events: one shows whether a server takes anything while it refuses an event.
    """
    return Counter(json.dumps(record, sort_keys=True) for record in records if not is_probe(record))


def is_probe(record: dict[str, Any]) -> bool:
    """A record of the plugin's own."""
    return record.get("fluent_plugin_amp") == "probe"


def letters_in(received: Iterable[Received]) -> Counter[tuple[str, bytes]]:
    """The dead letters, put together: error id and original body of each.

    Of letters in several parts there may be one for each stream and error id.
    """
    letters: Counter[tuple[str, bytes]] = Counter()
    in_parts: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in received:
        if event.tag == DEAD_LETTERS and event.record["parts"] == 1:
            letters[event.record["error_id"], original_body([event.record])] += 1
        elif event.tag == DEAD_LETTERS:
            in_parts[event.record["stream"], event.record["error_id"]].append(event.record)
    for (_, error_id), records in in_parts.items():
        assert sorted(record["part"] for record in records) == list(range(1, records[0]["parts"] + 1))
        letters[error_id, original_body(records)] += 1
    return letters
