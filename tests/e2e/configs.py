"""Configurations and plain events for the end-to-end tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.rabbitmq import StreamCredentials

FIRST_ID = 2**60 + 1
"""Beyond 2^53, and odd: a float on the way would change it."""


class Address(Protocol):
    """A Forward server that listens on a TCP port."""

    host: str
    port: int


def stream_section(stream: StreamCredentials, certificates: Certificates, **keys: Any) -> dict[str, Any]:
    """One entry of ``streams``, over TLS."""
    return {
        "url": stream.tls_url,
        "username": stream.username,
        "password": stream.password,
        "queue": stream.queue,
        "tls": {"ca_file": str(certificates.ca_file)},
        **keys,
    }


def configuration(
    streams: dict[str, Any] | list[dict[str, Any]], *servers: Address | dict[str, Any], **forward: Any
) -> dict[str, Any]:
    """A configuration of ``streams`` and ``servers``; ``forward`` has further keys of that section.

    Several plugins run at once, so none opens the endpoints.
    """
    return {
        "observe": {"listen": None},
        "streams": streams if isinstance(streams, list) else [streams],
        "forward": {
            "servers": [
                server if isinstance(server, dict) else {"host": server.host, "port": server.port}
                for server in servers
            ],
            **forward,
        },
    }


def bodies(count: int, first: int = 0) -> list[bytes]:
    """``count`` small events with the ids `FIRST_ID` + ``first`` and up."""
    return [
        json.dumps({"id": FIRST_ID + number, "event_type_id": 1090519054, "event_type": "Threat Detected"}).encode()
        for number in range(first, first + count)
    ]


def ids_of(events: Iterable[bytes] | Iterable[dict[str, Any]]) -> Counter[int]:
    """How often each ``id`` is there, in bodies or in records; what has none is left out."""
    found: Counter[int] = Counter()
    for event in events:
        record = json.loads(event) if isinstance(event, bytes) else event
        if "id" in record:
            found[record["id"]] += 1
    return found
