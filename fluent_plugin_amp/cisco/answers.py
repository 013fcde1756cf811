"""Reads the answers of the Cisco cloud.  Pure.

Cisco's answers are documented loosely and have been seen to differ from their documentation: this module is
tolerant where no source is certain (a port as a string, a list or one object, three shapes of errors, two
spellings of the rate limit), and strict where a guess could lose a password or a page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from fluent_plugin_amp.cisco.errors import (
    CloudAnswerNotUnderstood,
    CloudCredentialsRefused,
    CloudProxyRefused,
    CloudRateLimited,
    CloudReadOnlyKey,
    CloudRefused,
    CloudServerError,
    EventStreamNotFound,
)
from fluent_plugin_amp.cisco.mended import decode_mended
from fluent_plugin_amp.cisco.names import Named
from fluent_plugin_amp.cisco.unpacking import is_page
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.numbers import float_of

MAX_EVENT_STREAMS = 5
"""How many event streams Cisco lets an organisation have."""

MAX_RESET_S = 86_400.0
"""A rate limit that starts anew later than that is none: what is that large tells a time, not seconds."""
MAX_COUNT = 2**53
"""No list is longer, no port or id larger: what claims to be is not what it claims."""
MAX_SHORT_STRING = 255
"""Bytes that AMQP allows the name of a queue."""
MAX_TEXT = 1000
"""Characters of a name or a description that are kept: names are shown, and compared, and none is longer."""

_WORDS_SHOWN = 300
"""How much of a cloud's own words an error quotes, in characters."""
WORDS_READ = 65_536
"""Bytes of an error that are looked at; of a larger one, or of one that is not JSON, the first `_PLAIN_READ`."""
_PLAIN_READ = 4_096


# --- what there is -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AmqpCredentials:
    """Where an event stream is consumed, and by whom: ``amqp_credentials`` of the API."""

    user_name: str
    queue_name: str
    host: str | None
    port: int | None
    proto: str
    """``https`` as the cloud says it: it means AMQP over TLS."""
    password: str | None = field(default=None, repr=False)
    """Only in the answer to the stream's creation."""


@dataclass(frozen=True, slots=True)
class EventStream:
    """One event stream as the cloud describes it."""

    id: int
    name: str
    event_types: tuple[int, ...] | None = None
    """Ids of the event types it carries; None: all."""
    group_guids: tuple[str, ...] | None = None
    """GUIDs of the groups whose computers it covers; None: all."""
    amqp: AmqpCredentials | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of the recorded events as they came, newest first."""

    events: list[msgspec.Raw]
    total: int | None
    """How many there are on all pages, at that moment; None: the cloud does not tell."""
    is_last: bool
    """There is no page after this one."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a list; `pieces.one_object` decodes an item."""

    items: list[msgspec.Raw]
    total: int | None
    """How many there are on all pages, at that moment; None: the cloud does not tell."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of an organisation's requests: the rate limit headers of one answer."""

    limit: int | None
    remaining: int | None
    reset_s: float | None
    """Seconds until the count starts anew."""


def rate_limit(headers: Iterable[tuple[str, str]], now_s: float) -> RateLimit | None:
    """The rate limit in an answer's headers, in either spelling; None when there is none.

    ``X-Rate-Limit-Reset`` is documented, ``x-ratelimit-reset`` was seen; both are seconds remaining.  Other clouds
    and proxies tell the time of the reset instead, since the epoch: with ``now_s`` that is understood too.
    ``Retry-After``, in seconds or a date, stands in where there is no reset.
    """
    named = {name.lower().replace("-", ""): value for name, value in headers}
    limit, remaining = (_number(named.get(name, "")) for name in ("xratelimitlimit", "xratelimitremaining"))
    reset = _reset_s(named.get("xratelimitreset", ""), now_s)
    if reset is None:
        reset = _reset_s(named.get("retryafter", ""), now_s)
    if limit is None and remaining is None and reset is None:
        return None
    whole = [None if number is None else int(number) for number in (limit, remaining)]
    return RateLimit(whole[0], whole[1], reset)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= MAX_COUNT else None


def _reset_s(text: str, now_s: float) -> float | None:
    """Seconds until then: a number of them, a time since the epoch, or a date; None where it is none of these."""
    reset = _number(text)
    if reset is None:
        try:
            reset = parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError, TypeError):
            return None
    if reset > MAX_RESET_S:
        reset = max(0.0, reset - now_s)
    return reset if 0 <= reset <= MAX_RESET_S else None


# --- bodies --------------------------------------------------------------------------------------


def envelope(body: bytes, asked: str) -> dict[str, Any]:
    """The object that every answer is: ``{"version", "metadata", "data", …}``, integers exact.

    ``asked`` names the request in the error, as ``GET /v1/groups``; the body itself is not quoted, because
    the answer to a creation holds a password.
    """
    try:
        decoded = _decoded(body)
    except _NOT_JSON:
        raise CloudAnswerNotUnderstood(f"{asked}: the answer is {_kind(body)} instead of JSON") from None
    if not isinstance(decoded, dict) or "data" not in decoded:
        raise CloudAnswerNotUnderstood(f"{asked}: the answer is JSON, but holds no data")
    return decoded


_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_json = msgspec.json.Decoder(float_hook=float_of).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_SAYS_SOMETHING = 100  # bytes


def _decoded(body: bytes) -> Any:
    """JSON, behind a byte order mark or not.  Raises one of `_NOT_JSON`."""
    return decode_mended(_decode_json, body)


def _kind(body: bytes) -> str:
    start = body[:256].lstrip().lower()
    if not start:
        return "empty"
    return "a web page (HTML)" if start.startswith((b"<!doctype html", b"<html")) else "something else"


def items(decoded: Mapping[str, Any], asked: str) -> list[dict[str, Any]]:
    """``data`` as a list of objects; one object counts as a list of one, an empty one as none."""
    data = decoded["data"]
    if isinstance(data, dict):
        data = [data] if data else []
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise CloudAnswerNotUnderstood(f"{asked}: data is not a list of objects")
    return data


def one(decoded: Mapping[str, Any], asked: str) -> dict[str, Any]:
    """``data`` as the one object that was asked for, or created."""
    found = items(decoded, asked)
    if len(found) != 1:
        raise CloudAnswerNotUnderstood(f"{asked}: {len(found)} objects instead of one")
    return found[0]


def next_page(decoded: Mapping[str, Any]) -> str | None:
    """The link to the next page; None on the last one, where ``next`` is absent."""
    metadata = decoded.get("metadata")
    links = metadata.get("links") if isinstance(metadata, dict) else None
    link = links.get("next") if isinstance(links, dict) else None
    return link if isinstance(link, str) and link else None


def total(decoded: Mapping[str, Any]) -> int | None:
    """How many items all pages hold together; None where that is not told."""
    metadata = decoded.get("metadata")
    results = metadata.get("results") if isinstance(metadata, dict) else None
    count = results.get("total") if isinstance(results, dict) else None
    return count if type(count) is int and 0 <= count <= MAX_COUNT else None


def event_type(item: Mapping[str, Any]) -> Named[int]:
    """An entry of ``GET /v1/event_types``; a name may be missing."""
    return Named(_id(item, "event type"), text(item.get("name")), description=text(item.get("description")))


def group(item: Mapping[str, Any]) -> Named[str]:
    """An entry of ``GET /v1/groups``."""
    guid = item.get("guid")
    if not isinstance(guid, str) or not guid:
        raise CloudAnswerNotUnderstood("a group without a guid")
    return Named(guid, text(item.get("name")), description=text(item.get("description")))


def event_stream(item: Mapping[str, Any]) -> EventStream:
    """An entry of ``/v1/event_streams``: plural keys as they are read, singular as they are written."""
    types = item.get("event_types", item.get("event_type"))
    guids = item.get("group_guids", item.get("group_guid"))
    return EventStream(
        id=_id(item, "event stream"),
        name=text(item.get("name")),
        event_types=tuple(_integer(value, "event type") for value in _list(types)) or None,
        group_guids=tuple(str(value) for value in _list(guids)) or None,
        amqp=_amqp(item.get("amqp_credentials")),
    )


def _amqp(item: object) -> AmqpCredentials | None:
    if not isinstance(item, dict):
        return None
    user, queue = _short_string(item.get("user_name")), _short_string(item.get("queue_name"))
    if not user or not queue:
        return None
    port, password = item.get("port"), item.get("password")
    return AmqpCredentials(
        user_name=user,
        queue_name=queue,
        host=text(item.get("host")) or None,
        port=None if port in (None, "") else _integer(port, "port"),
        proto=text(item.get("proto")) or "https",
        password=password if isinstance(password, str) and password else None,
    )


def _id(item: Mapping[str, Any], kind: str) -> int:
    return _integer(item.get("id"), f"{kind}'s id")


def _integer(value: object, kind: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    raise CloudAnswerNotUnderstood(f"an {kind} is no integer" if kind[0] in "aeiou" else f"a {kind} is no integer")


def text(value: object) -> str:
    """A name or a description, shortened; empty where there is none."""
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _short_string(value: object) -> str:
    """A text that AMQP can carry as a name, or an empty one."""
    if not isinstance(value, str):
        return ""
    try:
        return value if len(value.encode()) <= MAX_SHORT_STRING else ""
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
        return ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


# --- refusals ------------------------------------------------------------------------------------

_ONE_STREAM = re.compile(r"/v1/event_streams/[^/?]+$")


def refusal(status: int, body: bytes, *, asked: str, key_is_good: bool, location: str = "") -> PluginError:
    """The error that an answer other than 2xx means, with the cloud's own words.

    Args:
        status: the HTTP status.
        body: the answer's body, whatever it is.
        asked: the request, as ``POST /v1/event_streams``.
        key_is_good: the same key was accepted before, so a refusal is about what it may do.
        location: where a redirect leads.
    """
    words = _words(body)
    what = f"{asked} was answered {status}{': ' + words if words else ''}"
    if status in (401, 403):
        if not asked.startswith("GET ") and (key_is_good or status == 403):
            return CloudReadOnlyKey(what)
        return CloudCredentialsRefused(what)
    if status == 407 or (status == 405 and is_page(body)):
        return CloudProxyRefused(f"a proxy on the way answered {status} to {asked}")
    if status == 429:
        return CloudRateLimited(what)
    if status >= 500:
        return CloudServerError(what)
    if 300 <= status < 400:
        where = location[:_WORDS_SHOWN] or "nowhere"
        return CloudAnswerNotUnderstood(f"{asked} was answered {status}, a redirect to {where}")
    if _ONE_STREAM.search(asked) and (status == 404 or "not found" in words.lower()):
        return EventStreamNotFound(what)
    remedy = "Check that this host is the API of an AMP for Endpoints cloud." if status == 404 else None
    return CloudRefused(what, remedy=remedy, status=status)


def hidden_refusal(body: bytes, *, asked: str, masked: Callable[[bytes], bytes] = bytes) -> PluginError | None:
    """The error that a 2xx answer means all the same: it has ``errors`` in place of ``data``.  None: it is none.

    ``masked`` hides secrets in what is quoted; what it makes need be no JSON.
    """
    if b'"errors"' not in body:
        return None
    try:
        fields = decode_mended(_decode_fields, body)  # a file may be named so, on a page of megabytes
        errors, data = (bytes(fields.get(name, b"null")) for name in ("errors", "data"))
        is_refusal = len(data) < _SAYS_SOMETHING and _decoded(errors) and not _decoded(data)
    except _NOT_JSON:
        return None  # whoever reads it will say so
    if is_refusal:
        return CloudRefused(f"{asked} was answered with errors: {_words(masked(body))}")
    return None


def _words(body: bytes) -> str:
    """The cloud's own words, on one line, whatever shape they came in."""
    try:
        words = _flat(_decoded(body[:WORDS_READ]))
    except _NOT_JSON:
        words = _plain(body[:_PLAIN_READ].decode("utf-8", "replace"))
    words = " ".join(words.split())
    return words if len(words) <= _WORDS_SHOWN else words[: _WORDS_SHOWN - 1] + "…"


def _flat(errors: object) -> str:
    """``errors`` as text: a string, a list, an object with description and details, or one of a field's faults.

    The last as ``{"name": ["is taken"]}``: what is no heading of Cisco's is told with what it says.
    """
    if isinstance(errors, str):
        return errors
    if isinstance(errors, list):
        return "; ".join(filter(None, map(_flat, errors)))
    if not isinstance(errors, dict):
        return ""
    inner = next((errors[key] for key in ("errors", "error") if errors.get(key)), None)
    if inner is not None and not isinstance(inner, bool | int | float):
        return _flat(inner)
    said = [_flat(errors.get(key)) for key in _HEADINGS]
    if not any(said):
        said = ["; ".join(f"{key}: {text}" for key, text in _by_field(errors) if text)]
    return ": ".join(dict.fromkeys(filter(None, said)))


_HEADINGS = ("title", "description", "message", "detail", "details")
_NO_FIELDS = ("version", "metadata", "data", "error_code", "code", "status")


def _by_field(errors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((key, _flat(inner)) for key, inner in errors.items() if key not in _NO_FIELDS)


# No tag of these goes beyond the next "<", so each character is looked at once, however many tags have no end.
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<title[^<>]*>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title>", re.IGNORECASE)


def _plain(text: str) -> str:
    """A page's title, or the text as it is."""
    title = _TITLE.search(text)
    end = _TITLE_END.search(text, title.end()) if title else None
    if title and end:
        return text[title.end() : end.start()]
    return _TAG.sub(" ", text)
