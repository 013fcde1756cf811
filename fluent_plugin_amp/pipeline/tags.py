"""The tag of a record: fixed, or a template over the event.  Pure.

Each tag costs a batch here, and a file, a buffer or a table at the server, so their number and length are bounded.
When a stream has made as many as it may, what is new gets `FALLBACK` in place of the fields that had most values by
then, of as few as will do: a flood of event types leaves the severity in the tag.
"""

from __future__ import annotations

import math
import re
from typing import Any

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.names import group_of

EVENT_FIELDS = ("event_type", "event_type_id", "severity", "group")
"""Fields of the event that a tag template may name, ``group`` being the first name of its groups; ``stream`` is the
fifth."""

MAX_TAG_LENGTH = 255
"""Characters: many a server makes a file name of it."""
MAX_TAGS = 1000
FALLBACK = "other"
MAX_FALLBACKS = 100
"""Tags with `FALLBACK` in place of a field or more, beside those that a stream may make."""

_READ_LENGTH = 1024
"""Characters of a value that are looked at, and of the values that are known again."""

_FIELD = re.compile(r"\{([a-z_]+)\}")
_UNSAFE = re.compile(r"[^a-z0-9_]+")


def tag_safe(value: Any) -> str:
    """``value`` as one level of a tag: lower case, ``[a-z0-9_]``; "unknown" where nothing is left."""
    return _UNSAFE.sub("_", str(value)[:_READ_LENGTH].lower()).strip("_") or "unknown"


class Tags:
    """The tags of one stream, by a template that names fields of the event; called with an event, gives its tag."""

    def __init__(self, template: str, max_tags: int) -> None:
        self.max_tags = max_tags
        self._constants = _FIELD.split(template)[::2]  # before, between and behind the fields
        self._fields = tuple(_FIELD.findall(template))
        self._has_group = "group" in self._fields
        self._level_length = max(1, (MAX_TAG_LENGTH - len("".join(self._constants))) // len(self._fields))
        self._known: dict[tuple[str, ...], str] = {}  # by the values as they come
        self._made: dict[tuple[str, ...], str] = {}  # by the levels of the tag
        self._with_fallback: dict[tuple[str, ...], str] = {}
        self._wide: frozenset[int] = frozenset()  # places of the fields that get FALLBACK in what is new

    def __call__(self, record: Record) -> str:
        """The event's tag."""
        if self._has_group:
            return self._of_group(record)
        values = tuple(map(str, map(record.get, self._fields)))
        return self._known.get(values) or self._make(record, values)

    def __len__(self) -> int:
        return len(self._made) + len(self._with_fallback)

    @property
    def are_used_up(self) -> bool:
        """There were more than may be: what is new is `FALLBACK`."""
        return bool(self._wide)

    def _of_group(self, record: Record) -> str:
        """The same, of a copy that has the group as a field of its own."""
        values = {name: record.get(name) for name in self._fields} | {"group": group_of(record)}
        known_by = tuple(map(str, values.values()))
        return self._known.get(known_by) or self._make(values, known_by)

    def _make(self, record: Record, values: tuple[str, ...]) -> str:
        levels = tuple(self._level(record.get(field)) for field in self._fields)
        tag = self._made.get(levels)
        if tag is None and len(self._made) < self.max_tags:
            tag = self._made[levels] = self._fill(levels)
        if tag is None:
            tag = self._fall_back(levels)
        if len(self._known) < 2 * self.max_tags and sum(map(len, values)) <= _READ_LENGTH:
            self._known[values] = tag
        return tag

    def _fall_back(self, levels: tuple[str, ...]) -> str:
        others = self._with_fallback
        all_other = (FALLBACK,) * len(levels)
        if not self._wide:
            self._wide = self._find_wide()
            others[all_other] = self._fill(all_other)
        key = tuple([FALLBACK if place in self._wide else level for place, level in enumerate(levels)])
        if key not in others and len(others) < MAX_FALLBACKS:
            others[key] = self._fill(key)
        return others.get(key, others[all_other])

    def _find_wide(self) -> frozenset[int]:
        """Of the fields so many that what is left of them comes to few tags; at least one."""
        counts = [len(set(of_field)) for of_field in zip(*self._made, strict=True)]
        narrow = sorted(range(len(counts)), key=lambda place: counts[place])
        wide = [narrow.pop()]
        while narrow and math.prod(counts[place] for place in narrow) > MAX_FALLBACKS // 2:
            wide.append(narrow.pop())
        return frozenset(wide)

    def _level(self, value: Any) -> str:
        if not value or type(value) is list or type(value) is dict:
            value = "unknown"
        return tag_safe(value)[: self._level_length].rstrip("_") or "unknown"[: self._level_length]

    def _fill(self, levels: tuple[str, ...]) -> str:
        first, *rest = self._constants
        filled = first + "".join(level + constant for level, constant in zip(levels, rest, strict=True))
        return filled[:MAX_TAG_LENGTH]


def compile_tag(template: str, stream: str, max_tags: int = MAX_TAGS) -> str | Tags:
    """The tag itself when the template names no field of the event, else what makes it of an event."""
    template = template.replace("{stream}", tag_safe(stream))
    return Tags(template, max_tags) if _FIELD.search(template) else template[:MAX_TAG_LENGTH]
