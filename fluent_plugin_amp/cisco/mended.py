"""JSON in which texts are broken, decoded all the same.  Pure.

Whoever names a file on a computer may put half a surrogate pair into the name, and the cloud hand it on.  That is no
JSON.  One such name must not cost the page that it stands in, and with it each later page: U+FFFD takes the place of
what is no character.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

MAX_PLACES = 1_000_000
"""Surrogates and backslashes that are looked at; what stands behind them stays as it is."""
MAX_BYTES = 4 << 20
"""Of JSON that is no UTF-8, either; what is longer stays as it is."""

_PAIR_OR_HALF = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..")

Made = TypeVar("Made")


def decode_mended(decode: Callable[[bytes], Made], body: bytes) -> Made:
    """What ``decode`` makes of JSON, behind a byte order mark or not; its texts are mended where they have to be.

    Raises what ``decode`` raises.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return decode(mended(body))


def mended(body: bytes) -> bytes:
    """The same, as far as that can be done."""
    body = _PAIR_OR_HALF.sub(_whole, body, count=MAX_PLACES) if b"\\u" in body else body
    return body if len(body) > MAX_BYTES else body.decode("utf-8", "replace").encode()


def _whole(found: re.Match[bytes]) -> bytes:
    return found[0] if len(found[0]) != len(b"\\ud800") else b"\\ufffd"
