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

MAX_PLACES = 200_000
"""Surrogates that are looked at, or quotes and numbers; what stands behind them stays as it is."""
MAX_DIGITS = 4300
"""Of an integer, its sign included.  Python reads no longer one: that takes a time that grows with its square."""
MAX_BYTES = 4 << 20
"""Of JSON that is longer only surrogates are mended: the event loop waits for it."""

_PAIR_OR_HALF = re.compile(rb"\\u[dD](?:[89abAB]H\\u[dD][c-fC-F]H|[89a-fA-F]H)".replace(b"H", b"[0-9a-fA-F]{2}"))
_HALF = len(b"\\ud800")
_SHAPES = bytes.maketrans(b"123456789E", b"000000000e")
_BEYOND = (b"0" * 309, b"0e000", b"0e+000")
"""Every number that is not read has one of these shapes, in decimal or with an exponent."""
_QUOTE_OR_NUMBER = re.compile(rb'\\.|"|[-0-9][0-9.eE+-]*', re.DOTALL)

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
    body = _with_surrogates_mended(body) if b"\\u" in body else body
    if len(body) > MAX_BYTES:
        return body
    shapes = body.translate(_SHAPES)
    body = _with_numbers_mended(body) if any(shape in shapes for shape in _BEYOND) else body
    return body.decode("utf-8", "replace").encode()


def _with_surrogates_mended(body: bytes) -> bytes:
    end = 0

    def whole(found: re.Match[bytes]) -> bytes:
        nonlocal end
        before, end = body[end : found.start()], found.end()
        first, second = found[0][:_HALF], found[0][_HALF:]
        if (len(before) - len(before.rstrip(b"\\"))) % 2:  # the backslash is one in the text: first is no character
            return first + (b"\\ufffd" if second else b"")
        return found[0] if second else b"\\ufffd"

    return _PAIR_OR_HALF.sub(whole, body, count=MAX_PLACES)


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
