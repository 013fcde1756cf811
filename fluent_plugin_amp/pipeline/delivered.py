"""What was delivered already, remembered by stream and hash of the body.  Pure.

The broker may deliver an event again although a server has acked it: the acknowledgement to the broker was
lost with its channel.  Such a copy is acked, not sent.  Whoever remembers is a `model.Delivered`: `DeliveredMemory`
for as long as the process lives, or the state file for longer.
"""

from __future__ import annotations

import hashlib

from fluent_plugin_amp.model import Delivery, EventIdentity, Record

DIGEST_BYTES = 16
REMEMBERED_EVENTS = 5_000
"""Of one stream: its unacked deliveries, ten times over unless configured; only they can be delivered again."""
REMEMBERED_IN_ALL = 100_000
LEAST_REMEMBERED = 500
MAX_TEXT_LENGTH = 64
"""Of an id or a GUID: what is longer is none of Cisco's."""


def digest_of(body: bytes) -> bytes:
    """The hash by which a body is known again."""
    return hashlib.sha256(body).digest()[:DIGEST_BYTES]


def identity_of(record: Record, seconds: int, nanoseconds: int) -> EventIdentity:
    """What an event is known by, besides its digest, as Cisco sent it and not as a transform left it.

    The same for a message of the stream and for the API's record of it, which differ in form: a number may be a text
    in one of them, and the connector's GUID stand at the top, under ``computer``, or in both places.
    """
    type_id = number_of(record.get("event_type_id"))
    guid = record.get("connector_guid")
    if type(guid) is not str or not guid:
        computer = record.get("computer")
        guid = computer.get("connector_guid") if type(computer) is dict else None
    return EventIdentity(
        number_of(record.get("id")),
        seconds,
        nanoseconds,
        type_id if type(type_id) is int else None,
        guid.lower() if type(guid) is str and 0 < len(guid) <= MAX_TEXT_LENGTH else None,
        number_of(record.get("detection_id")),
    )


def number_of(value: object) -> int | str | None:
    """A number, also one that came as a text or with an exponent; other texts as they are, unless they are long."""
    if type(value) is int:
        return value
    if type(value) is str and 0 < len(value) <= MAX_TEXT_LENGTH:
        return int(value) if value.isascii() and value.isdigit() else value
    return int(value) if type(value) is float and value.is_integer() else None


class RecentDigests:
    """Digests of one stream in two generations: `turn` makes the young ones the old, and forgets the old."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: set[bytes] = set()
        self.old: set[bytes] = set()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self.young or digest in self.old

    def turn(self) -> None:
        """A new generation begins."""
        self.old, self.young = self.young, set()


class DeliveredMemory:
    """A `Delivered` that lives as long as the process.

    Of each stream it knows the last ``limit`` events at least, and never more than twice as many.
    """

    wants_facts = False

    def __init__(self, limit: int = REMEMBERED_EVENTS) -> None:
        self._limit = limit
        self._streams: dict[str, RecentDigests] = {}

    @classmethod
    def shared_by(cls, streams: int) -> DeliveredMemory:
        """For so many streams, bounded in all."""
        return cls(max(LEAST_REMEMBERED, min(REMEMBERED_EVENTS, REMEMBERED_IN_ALL // max(1, streams))))

    def contains(self, stream: str, digest: bytes) -> bool:
        """Part of `Delivered`: whether it is known."""
        recent = self._streams.get(stream)
        return recent is not None and digest in recent

    def record(self, deliveries: list[Delivery]) -> None:
        """Part of `Delivered`: remember these.  Nothing is ever pending."""
        for delivery in deliveries:
            recent = self._streams.get(delivery.stream)
            if recent is None:
                recent = self._streams[delivery.stream] = RecentDigests()
            recent.young.add(delivery.digest)
            if len(recent.young) >= self._limit:
                recent.turn()
