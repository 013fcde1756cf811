"""JSON in which texts are broken, or numbers beyond reading, decoded all the same.  Pure.

Whoever names a file on a computer may put half a surrogate pair into the name, and the cloud hand it on.  That is no
JSON.  One such name must not cost the page that it stands in, and with it each later page: U+FFFD takes the place of
what is no character.  In the same way null takes the place of a number that Python does not read: an integer of more
than `MAX_DIGITS`, and what no float can hold.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

MAX_PLACES = 1_000_000
"""Surrogates and backslashes that are looked at, or quotes and numbers; what stands behind them stays as it is."""
MAX_DIGITS = 4300
"""Of an integer, its sign included.  Python reads no longer one: that takes a time that grows with its square."""
MAX_BYTES = 4 << 20
"""Of JSON that is no UTF-8, either; what is longer stays as it is."""

_PAIR_OR_HALF = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..")
_BEYOND = re.compile(rb"(?<![0-9])[0-9]{309}|[0-9][eE]\+?[0-9]{3}")
"""Every number that is not read has this, in decimal or with an exponent."""
_QUOTE_OR_NUMBER = re.compile(rb'\\.|"|-?[0-9][0-9.eE+-]*', re.DOTALL)

Made = TypeVar("Made")


def decode_mended(decode: Callable[[bytes], Made], body: bytes) -> Made:
    """What ``decode`` makes of JSON, behind a byte order mark or not; it is mended where it has to be.

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
    body = _with_numbers_mended(body) if _BEYOND.search(body) else body
    return body if len(body) > MAX_BYTES else body.decode("utf-8", "replace").encode()


def _whole(found: re.Match[bytes]) -> bytes:
    return found[0] if len(found[0]) != len(b"\\ud800") else b"\\ufffd"


def _with_numbers_mended(body: bytes) -> bytes:
    in_text = False

    def readable(found: re.Match[bytes]) -> bytes:
        nonlocal in_text
        token = found[0]
        if token == b'"':
            in_text = not in_text
        return b"null" if not in_text and _is_beyond(token) else token

    return _QUOTE_OR_NUMBER.sub(readable, body, count=MAX_PLACES)


def _is_beyond(token: bytes) -> bool:
    if token.removeprefix(b"-").isdigit():
        return len(token) > MAX_DIGITS
    try:
        return math.isinf(float(token))
    except ValueError:  # no number
        return False
