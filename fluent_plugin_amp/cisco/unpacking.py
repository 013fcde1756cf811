"""The body of an answer, unpacked within bounds while it arrives.  Pure.

A few kilobytes can unpack to gigabytes, the more so when they were packed twice.  So only what was asked for is
taken, gzip once or nothing at all, and neither the bytes that arrive nor what they unpack to grow beyond a limit.

Nor may it have too many values, as JSON: of millions of empty lists, each takes some 60 bytes when it is decoded, and
the event loop stands still meanwhile.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

MAX_VALUES = 1_000_000
"""A page of vulnerabilities, with all the computers that it may bring, has half of that."""
_GZIP = 16 + zlib.MAX_WBITS
_NOTHING_AT_ALL = ("", "identity")
_BEGINS_A_VALUE = b",[{"


class NotUnpacked(Exception):
    """The body cannot be taken.  ``str(error)`` goes on after "the answer …"."""


class Unpacking:
    """One body.

    Args:
        codings: ``Content-Encoding``, each value of it.
        max_bytes: how large the body may be, as it arrives and unpacked.
        max_values: how often a value may begin in it: so many commas and opening brackets, those in texts as well.

    Raises NotUnpacked wherever the body cannot be taken: here for a coding that was not asked for, before anything of
    the body is read.
    """

    def __init__(self, codings: Iterable[str], *, max_bytes: int, max_values: int = MAX_VALUES) -> None:
        named = [coding.strip().lower() for value in codings for coding in value.split(",")]
        named = [coding for coding in named if coding not in _NOTHING_AT_ALL]
        if len(named) > 1:
            raise NotUnpacked(f"is compressed {len(named)} times")
        if named and named[0] not in ("gzip", "x-gzip"):
            raise NotUnpacked(f"is compressed as {named[0][:40]!r}, which was not asked for")
        self._gzip = zlib.decompressobj(_GZIP) if named else None
        self._max_bytes = max_bytes
        self._max_values = max_values
        self._received = self._values = 0
        self._body = bytearray()

    def take(self, part: bytes) -> None:
        """The next bytes as they arrived.  Raises NotUnpacked."""
        self._received += len(part)
        if self._gzip is not None:
            try:
                # One more than there is room for: so too much is seen without being made.
                part = self._gzip.decompress(part, self._max_bytes + 1 - len(self._body))
            except zlib.error:
                raise NotUnpacked("cannot be unpacked") from None
            if self._gzip.unused_data:
                raise NotUnpacked("cannot be unpacked: something follows its end")
        self._body += part
        if max(self._received, len(self._body)) > self._max_bytes:
            raise NotUnpacked(f"is too large: more than {self._max_bytes} bytes")
        self._values += len(part) - len(part.translate(None, _BEGINS_A_VALUE))
        if self._values > self._max_values:
            raise NotUnpacked(f"has more than {self._max_values} values")

    def end(self) -> bytes:
        """The body, when nothing more arrives.  Raises NotUnpacked."""
        if self._gzip is not None and self._received and not self._gzip.eof:
            raise NotUnpacked("cannot be unpacked: its end is missing")
        return bytes(self._body)


def is_page(body: bytes) -> bool:
    """It is neither empty nor the beginning of JSON: no cloud's, but a proxy's or a portal's."""
    return body.strip()[:1] not in (b"", b"{", b"[")
