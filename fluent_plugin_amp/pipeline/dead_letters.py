"""Dead letters: events that cannot be sent as records, kept whole with their original bytes.  Pure."""

from __future__ import annotations

import base64
from datetime import datetime, timezone

from fluent_plugin_amp.errors import InvalidEvent
from fluent_plugin_amp.model import Delivery, Record

MIN_PART_BYTES = 16 * 1024
"""No smaller parts are tried: a server that refuses this refuses everything."""


def dead_letter(delivery: Delivery, error: InvalidEvent, part_bytes: int) -> list[Record]:
    """The records of one dead letter, each carrying at most ``part_bytes`` of the original body.

    A part's bytes stand in ``body`` when they are UTF-8 text, else in ``body_base64``.  Joined in the order of
    ``part`` (1 … ``parts``) they are the body as the broker delivered it.
    """
    body = delivery.body
    text = _is_text(body)
    pieces = list(_split_text(body, part_bytes) if text else _split(body, part_bytes)) or [b""]
    received = datetime.fromtimestamp(delivery.received_at, timezone.utc).isoformat(timespec="milliseconds")
    letters: list[Record] = []
    for part, piece in enumerate(pieces, 1):
        letter: Record = {
            "stream": delivery.stream,
            "error_id": error.id,
            "reason": str(error),
            "received_at": received,
            "redelivered": delivery.redelivered,
            "routing_key": delivery.routing_key,
        }
        if text:
            letter["body"] = piece.decode()
        else:
            letter["body_base64"] = base64.b64encode(piece).decode()
        letter["part"] = part
        letter["parts"] = len(pieces)
        letters.append(letter)
    return letters


def original_body(letters: list[Record]) -> bytes:
    """The body again, from all parts of one dead letter, in any order."""
    return b"".join(
        letter["body"].encode() if "body" in letter else base64.b64decode(letter["body_base64"])
        for letter in sorted(letters, key=lambda letter: int(letter["part"]))
    )


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _split(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def _split_text(body: bytes, size: int) -> list[bytes]:
    """Like `_split`, but never within a character (``size`` ≥ 4)."""
    pieces = []
    start = 0
    while start < len(body):
        end = min(start + size, len(body))
        while end < len(body) and body[end] & 0xC0 == 0x80:  # a continuation byte: the character began before
            end -= 1
        pieces.append(body[start:end])
        start = end
    return pieces
