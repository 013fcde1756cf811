"""Reads Cisco's own answer to the creation of a stream as a credentials file.  Pure.

Whoever creates a stream without `amp-streams`, by ``curl`` or a script, has this answer, whole or only its
``data``.  It holds everything that a credentials file does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluent_plugin_amp.cisco.address import address_of
from fluent_plugin_amp.cisco.answers import event_stream
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.regions import CLOUDS


def is_answer(found: Mapping[str, Any]) -> bool:
    """Whether this is such an answer, or the ``data`` of one, and no credentials file of our own."""
    return "amqp_credentials" in found or isinstance(found.get("data"), dict)


def as_credentials(found: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a credentials file.

    ``cloud`` only where the broker is a public cloud's.  Raises CloudAnswerNotUnderstood, which quotes no secret.
    """
    data = found.get("data", found)
    stream = event_stream(data if isinstance(data, dict) else {})
    if stream.amqp is None:
        raise CloudAnswerNotUnderstood("no amqp_credentials with user_name and queue_name")
    if stream.amqp.password is None:
        raise CloudAnswerNotUnderstood(
            "amqp_credentials without a password: Cisco tells it only in the answer to the stream's creation"
        )
    host = (stream.amqp.host or "").lower()
    cloud = next((each for each in CLOUDS.values() if each.broker_host == host), None)
    if not host:
        raise CloudAnswerNotUnderstood("amqp_credentials without a host")
    address = address_of(stream, cloud or CLOUDS["us"])
    return {
        "name": stream.name or address.queue,
        "id": stream.id,
        **({"cloud": cloud.name} if cloud else {}),
        "url": address.url,
        "username": address.username,
        "password": stream.amqp.password,
        "queue": address.queue,
    }
