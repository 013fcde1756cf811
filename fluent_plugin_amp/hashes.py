"""The form of a hash.  Pure."""

from __future__ import annotations

import re

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def is_sha256(text: str) -> bool:
    """``text`` has the form of a SHA-256, in either case."""
    return _SHA256.fullmatch(text) is not None
