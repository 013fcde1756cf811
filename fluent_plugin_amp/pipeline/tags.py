"""The tag of a record: fixed, or a template over the event.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fluent_plugin_amp.model import Record

EVENT_FIELDS = ("event_type", "event_type_id", "severity")
"""Fields of the event that a tag template may name; ``stream`` is the fourth."""

MAX_DISTINCT_TAGS = 256
FALLBACK = "other"
"""Stands for every further value once a stream has made `MAX_DISTINCT_TAGS` tags: each open tag is a batch."""

_FIELD = re.compile(r"\{([a-z_]+)\}")
_UNSAFE = re.compile(r"[^a-z0-9_]+")


def tag_safe(value: Any) -> str:
    """``value`` as one level of a tag: lower case, ``[a-z0-9_]``; "unknown" where nothing is left."""
    return _UNSAFE.sub("_", str(value).lower()).strip("_") or "unknown"


def compile_tag(template: str, stream: str) -> str | Callable[[Record], str]:
    """The tag itself when the template names no field of the event, else a function of the event."""
    template = template.replace("{stream}", tag_safe(stream))
    fields = _FIELD.findall(template)
    if not fields:
        return template
    made: dict[tuple[Any, ...], str] = {}

    def tag_of(record: Record) -> str:
        values = tuple(map(str, map(record.get, fields)))
        tag = made.get(values)
        if tag is None:
            if len(made) >= MAX_DISTINCT_TAGS:
                return _fill(template, dict.fromkeys(fields, FALLBACK))
            missing_as = {field: tag_safe(record.get(field) or "unknown") for field in fields}
            tag = made[values] = _fill(template, missing_as)
        return tag

    return tag_of


def _fill(template: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda match: values[match.group(1)], template)
