"""Entries of the audit log: what of them is secret, when they happened, and their bodies.  Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

import msgspec

MASK = "***"
SECRET = frozenset({"unlock_code", "api_key", "api_secret", "client_secret", "password", "secret", "token"})
"""Attributes whose values are masked, whatever the configuration says, at any depth."""
_LAST_SECOND = 2**32 - 1
_encode = msgspec.json.Encoder(order="deterministic").encode
_AS_BLANKS = bytes.maketrans(b"01", b" \t")


def second_of(entry: dict[str, Any]) -> int | None:
    """``created_at`` in seconds since the epoch; None where there is none that can be read."""
    try:
        moment = datetime.fromisoformat(str(entry.get("created_at")).replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    second = int(moment.timestamp())
    return second if 0 <= second <= _LAST_SECOND else None


def moment_of(second: int) -> str:
    """As the API takes it: ``2024-06-19T10:16:22+00:00``."""
    return datetime.fromtimestamp(second, timezone.utc).isoformat()


def mask_secrets(entry: dict[str, Any]) -> dict[str, Any]:
    """The same entry, changed in place: what a secret attribute says is `MASK`."""
    level: list[Any] = [entry]
    while level:
        container = level.pop()
        if isinstance(container, dict):
            for name, value in container.items():
                if name.lower() in SECRET and value is not None:
                    container[name] = MASK
            level += container.values()
        elif isinstance(container, list):
            level += container
    return entry


def body_of(entry: dict[str, Any]) -> tuple[bytes, bytes]:
    """Digest and JSON of an entry without its secrets; the keys are sorted, so equal entries have equal bytes."""
    body = _encode(mask_secrets(entry))
    return hashlib.blake2b(body, digest_size=16).digest(), body


def in_blanks(number: int) -> bytes:
    """Written in two kinds of blanks: behind JSON they change nothing but its bytes."""
    return f"{number:b}".encode().translate(_AS_BLANKS)
