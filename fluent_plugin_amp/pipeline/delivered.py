"""What was delivered already, remembered by the hash of the body.  Pure.

The broker may deliver an event again although a server has acked it: the acknowledgement to the broker was
lost with its channel.  Such a copy is acked, not sent.  This memory lives as long as the process.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

DIGEST_BYTES = 16
REMEMBERED_EVENTS = 10_000
"""A stream's unacked deliveries, many times over: only they can be delivered again."""


def digest_of(body: bytes) -> bytes:
    """The hash by which a body is known again."""
    return hashlib.sha256(body).digest()[:DIGEST_BYTES]


class DeliveredMemory:
    """The last digests of one stream, the oldest forgotten first."""

    def __init__(self, limit: int = REMEMBERED_EVENTS) -> None:
        self._limit = limit
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def remember(self, digest: bytes) -> None:
        """This event was delivered."""
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)
