"""A long answer of the cloud in pieces, each decoded by itself and only as far as its reader needs it.  Pure.

A page of events has a megabyte, one of vulnerabilities 25; an entry of an audit log may hold thousands of values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.mended import decode_mended
from fluent_plugin_amp.numbers import float_of

NOT_AS_DOCUMENTED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a piece raises."""

MAX_SAID = 1 << 20
"""So much of an answer that is not understood is looked at again, to say what it is instead."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=float_of).decode


class Envelope(NamedTuple):
    """What every answer is, with ``data`` left as it came."""

    data: msgspec.Raw
    about: dict[str, Any]
    """The same without ``data``, as `answers.total` and `answers.next_page` read it."""


class _Parts(msgspec.Struct):
    data: msgspec.Raw
    metadata: msgspec.Raw = msgspec.Raw(b"null")


_decode_parts = msgspec.json.Decoder(_Parts).decode
_decode = msgspec.json.Decoder(float_hook=float_of).decode


def envelope(body: bytes, asked: str) -> Envelope:
    """The envelope of an answer.

    Raises:
        CloudAnswerNotUnderstood: it is none; ``asked`` names the request in the error, as ``GET /v1/events``.
    """
    try:
        parts = decode_mended(_decode_parts, body)
        return Envelope(parts.data, {"metadata": decode_mended(_decode, bytes(parts.metadata))})
    except NOT_AS_DOCUMENTED as exc:
        if not isinstance(exc, msgspec.ValidationError):  # else it is JSON, which its beginning need not be
            answers.envelope(body[:MAX_SAID], asked)  # says what it is instead
        raise CloudAnswerNotUnderstood(f"{asked}: the answer is JSON, but holds no data") from None


def items(data: msgspec.Raw, asked: str, inside: str | None = None) -> list[msgspec.Raw]:
    """``data`` as a list, whatever its items are.

    Args:
        data: of the envelope.
        asked: the request.
        inside: the field of ``data`` that holds the list; None: ``data`` is the list.

    Raises:
        CloudAnswerNotUnderstood: it is no list.
    """
    try:
        if inside is not None:
            data = _decode_fields(data).get(inside, msgspec.Raw(b"[]"))
        return _decode_list(data)
    except NOT_AS_DOCUMENTED:
        where = "data" if inside is None else f"data.{inside}"
        raise CloudAnswerNotUnderstood(f"{asked}: {where} is not a list") from None


def items_or_one(data: msgspec.Raw, asked: str) -> list[msgspec.Raw]:
    """The same; one object counts as a list of one, an empty one as none."""
    if bytes(memoryview(data)[:1]) != b"{":
        return items(data, asked)
    return [data] if b'"' in bytes(data) else []


def one_object(item: msgspec.Raw, asked: str) -> dict[str, Any]:
    """An item of a list, as an object.

    Raises:
        CloudAnswerNotUnderstood: it is none.
    """
    try:
        return decode_mended(_decode_object, bytes(item))
    except NOT_AS_DOCUMENTED:
        raise CloudAnswerNotUnderstood(f"{asked}: data is not a list of objects") from None
