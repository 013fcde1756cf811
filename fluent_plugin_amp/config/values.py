"""Types of single values: tags, hosts, event types, static fields.  Pure.

Each refuses with ValueError in plain words, without the value, but for names of event types: those are no secrets,
and a list of them needs to say which one is meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, WithJsonSchema

from fluent_plugin_amp.cisco.errors import NameAmbiguous, NameUnknown
from fluent_plugin_amp.cisco.event_types import resolve
from fluent_plugin_amp.config.units import Whole
from fluent_plugin_amp.config.url import MAX_SHORT_BYTES, is_name
from fluent_plugin_amp.pipeline.obfuscate import is_path
from fluent_plugin_amp.pipeline.tags import MAX_TAG_LENGTH

TAG_FIELDS = ("stream", "event_type", "event_type_id", "severity", "group")
"""What ``{…}`` in a stream's tag may name."""


def _event_type(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise ValueError("must be the name or the id of an event type")
    try:
        return resolve(value)
    except (NameUnknown, NameAmbiguous) as error:
        raise ValueError(str(error)) from None


def _tag(text: str) -> str:
    if re.search(r"[\s{}*]", text):
        raise ValueError("must be a tag, without white space, { } and *")
    if len(text) > MAX_TAG_LENGTH:
        raise ValueError(f"must have at most {MAX_TAG_LENGTH} characters")
    return text


def _tag_template(text: str) -> str:
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in TAG_FIELDS:
            raise ValueError("may hold " + " ".join(f"{{{field}}}" for field in TAG_FIELDS) + " and no other {…}")
    _tag(re.sub(r"\{[^{}]*\}", "", text))
    return text


def _sendable(value: Any, depth: int = 1) -> Any:
    """The value in plain dicts and lists, as events hold them; refuses what no Forward server can keep."""
    if depth > 32 and isinstance(value, (dict, list)):
        raise ValueError("must not nest deeper than 32 levels")
    if isinstance(value, dict):
        return {key: _sendable(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_sendable(each, depth + 1) for each in value]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must not hold half a surrogate pair") from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not hold .nan or .inf")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("must not hold integers outside -2^63 … 2^64-1")
    return value


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if not text or re.search(r"[\s/@\[\]]", text):
        raise ValueError("must be a host name or an address")
    if not is_name(text):
        raise ValueError("must be a host name or an address: a part of it is empty or too long")
    if text.count(":") == 1:
        raise ValueError("must be a host name or an address; `port` is a key of its own")
    return text


def _short(text: str) -> str:
    if len(text.encode()) > MAX_SHORT_BYTES:
        raise ValueError(f"must be at most {MAX_SHORT_BYTES} bytes long")
    return text


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[host]:port``; ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    number = Whole("1", "65535").read(port)
    if not colon or number is None or not 1 <= number <= 65535 or (":" in host and not host.startswith("[")):
        raise ValueError("must be host:port, such as 127.0.0.1:24280 or [::1]:24280, or null")
    return _host(host), number


def _address(text: str) -> str:
    split_address(text)
    return text


def _console_host(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", text):
        raise ValueError("must be a host, or host:port, without https://")
    return text


def _field_path(text: str) -> str:
    if not is_path(text):
        raise ValueError("must be a field such as computer.user, or with [] for lists: group_guids[]")
    return text


def one_or_more(value: object) -> object:
    """A single text is a list of one."""
    return [value] if isinstance(value, str) else value


Text = Annotated[str, StringConstraints(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Whole("1", "65535")]
ServerName = Annotated[Text, AfterValidator(_host)]
Queue = Annotated[Text, AfterValidator(_short)]
ConsoleHost = Annotated[str, AfterValidator(_console_host)]
FieldPath = Annotated[str, AfterValidator(_field_path)]
Address = Annotated[str, AfterValidator(_address)]
Tag = Annotated[Text, AfterValidator(_tag)]
TagTemplate = Annotated[Text, AfterValidator(_tag_template)]
StaticFields = Annotated[dict[Text, Any], AfterValidator(_sendable)]
EventTypeId = Annotated[int, BeforeValidator(_event_type), WithJsonSchema({"type": ["string", "integer"]})]
PrefetchCount = Annotated[int | Literal["auto"], Whole("1", "65535", word="auto")]


def repeated(names: Iterable[str]) -> str | None:
    """The first name that comes twice."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
