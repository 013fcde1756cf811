"""Fields that must not leave the organisation: masked, hashed or dropped.  Pure.

First of the steps that change an event, so that whatever is made from it afterwards (links, the tag, combined
records, what the state file remembers) is made from what is left.

A path names fields by their dotted names, and ``[]`` for each item of a list: ``computer.network_addresses[].ip``.
What a path names is replaced whole, whatever it is; null stays null.  A hash is HMAC-SHA-256 in hexadecimal: equal
values stay equal, across streams and restarts, for as long as the key is the same.  What is written in hexadecimal (a
SHA-256, a GUID, a MAC) is equal in either case.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import msgspec

from fluent_plugin_amp.model import Delivery, Record
from fluent_plugin_amp.pipeline import presets

MASK = "***"

Method = Literal["mask", "hash", "drop"]

Apply = Callable[[Any], bool]
"""Changes a value in place; whether there was anything to be changed."""

CACHED_LENGTH = 256
"""The hashes of longer texts are not kept: so many are that their bytes would count."""

_is_hexadecimal = re.compile(r"[0-9A-Fa-f:-]+").fullmatch
_NAME = r"[^.\[\]\s]+(?:\[\])*"
_PATH = re.compile(rf"{_NAME}(?:\.{_NAME})*")


def is_path(text: str) -> bool:
    """Whether ``text`` is written as a path must be."""
    return _PATH.fullmatch(text) is not None


def keyed_hash(key: bytes, value: Any) -> str:
    """HMAC-SHA-256 of a text's UTF-8, or of another value's JSON; 64 hexadecimal digits.

    Of a text of hexadecimal digits, ``-`` and ``:``, the letters are lower-cased first: Cisco writes either.
    """
    if type(value) is str:
        return _hash_text(key, value) if len(value) <= CACHED_LENGTH else _hash_text.__wrapped__(key, value)
    return hmac.digest(key, msgspec.json.encode(value, order="deterministic"), "sha256").hex()


@lru_cache(maxsize=4096)  # the same computers and users come again and again
def _hash_text(key: bytes, text: str) -> str:
    if _is_hexadecimal(text):
        text = text.lower()
    return hmac.digest(key, text.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Rule:
    """One path, and what becomes of it."""

    path: str
    method: Method
    key: bytes = field(default=b"", repr=False)
    """For ``hash``."""
    audited: str | None = None
    """Only entries of the audit log with this ``audit_log_type`` are changed; None: all records are."""

    def replacement(self, value: Any) -> Any:
        """What stands in the place of ``value``."""
        if value is None:
            return None
        return keyed_hash(self.key, value) if self.method == "hash" else MASK


Hidden = dict[str, tuple["Rule", str]]
"""By what is looked for: the rule that hides it, and the value as it was."""
Searched = list[tuple[Rule, tuple[str | None, ...]]]
"""Rules whose values are looked for in texts, with the steps of their paths."""


def rules_of(preset: presets.Preset, method: Method, key: bytes = b"") -> list[Rule]:
    """One for each field of a preset."""
    audited = presets.AUDITED_TYPES.get(preset)
    return [Rule(path, method, key, audited if path in presets.AUDITED else None) for path in presets.PRESETS[preset]]


class Obfuscation:
    """The rules of one stream; called with an event, it changes it in place.

    Args:
        rules: each hides a field.
        searched: those that say which values are hidden in the event's other texts too (`presets`).
    """

    def __init__(self, rules: Sequence[Rule], searched: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._presets = frozenset(searched)
        self._steps = [(number, rule, _steps(rule.path)) for number, rule in enumerate(self.rules)]
        self._audited = {rule.audited for rule in (*self.rules, *searched)} - {None}
        self._of = {each: self._those_of(each, searched) for each in (None, *self._audited)}
        self._events = 0  # since `unmatched` was asked
        self._matched = [False] * len(self.rules)
        self._said = [False] * len(self.rules)

    def __call__(self, record: Record) -> None:
        """Obfuscate one event."""
        self._events += 1
        for number in self._obfuscate(record):
            self._matched[number] = True

    def apply(self, record: Record) -> None:
        """Obfuscate a copy of an event that is counted already."""
        self._obfuscate(record)

    def _obfuscate(self, record: Record) -> list[int]:
        """Do it; the numbers of the rules that matched."""
        audited = record.get("audit_log_type")
        applies, searched = self._of[audited if type(audited) is str and audited in self._audited else None]
        texts, too_long = _searchable(presets.texts_of(record)) if searched else ([], [])
        hidden = _hidden(list(_values(record, texts, searched)))
        if hidden is None:
            too_long, hidden = [*too_long, *texts], {}
        matched = [number for number, apply in applies if apply(record)]
        if hidden:
            _hide_in_texts(texts, hidden)
        for found in too_long:
            _mask(*found)
        return matched

    def _those_of(self, audited: str | None, searched: Sequence[Rule]) -> tuple[list[tuple[int, Apply]], Searched]:
        """What is done with, and searched in, entries of this ``audit_log_type``; None: all other records."""
        whose = (None, audited)
        applies = [(number, _compiled(rule, steps)) for number, rule, steps in self._steps if rule.audited in whose]
        return applies, [(rule, _steps(rule.path)) for rule in searched if rule.audited in whose]

    def rule_for(self, source: str) -> Rule | None:
        """The rule that hides the field ``source`` (``file.identity.sha256``), or something around or in it."""
        wanted = _steps(source)
        for _, rule, steps in self._steps:
            shorter = min(len(wanted), len(steps))
            if wanted[:shorter] == steps[:shorter]:
                return rule
        return None

    def hides(self, source: str) -> bool:
        """Whether a rule hides it."""
        return self.rule_for(source) is not None

    def unmatched(self) -> list[str]:
        """Paths that matched nothing since this was last asked, although events came; each is told once.

        Not those of a preset: few events have all of its fields.
        """
        paths = []
        if self._events:
            for number, rule, _ in self._steps:
                if not self._matched[number] and not self._said[number] and rule not in self._presets:
                    self._said[number] = True
                    paths.append(rule.path)
        self._events = 0
        self._matched = [False] * len(self.rules)
        return paths


def _hidden(values: Sequence[tuple[Rule, str]]) -> Hidden | None:
    """What is looked for in the texts of an event, to hide these values there; None: they are too long."""
    if sum(presets.size_of(value) for _, value in values if not value.isascii()) > presets.MAX_SEARCHED:
        return None
    hidden: Hidden = {}
    for rule, value in values:
        # What has no letter and no digit tells nothing; what is longer than all texts stands in none.
        if len(value) <= presets.MAX_SEARCHED:
            searched = presets.folded(value)
            if any(map(str.isalnum, searched)):
                hidden[searched] = rule, value
    return hidden


def _values(record: Record, texts: list[presets.Found], searched: Searched) -> Iterator[tuple[Rule, str]]:
    """The values that are looked for in the texts of an event."""
    for rule, steps in searched:
        for value in _texts_at(record, steps):
            yield rule, value
            if rule.path in ("computer.user", "audit_log_user"):
                yield rule, presets.account(value)
        if rule.path == "computer.user":
            for _, _, text in texts:
                for name in presets.homes(text):
                    yield rule, name


def _hide_in_texts(texts: list[presets.Found], hidden: Hidden) -> None:
    """In those that no rule has taken the place of."""
    left = [found for found in texts if presets.is_there(*found)]
    written = [text for _, _, text in left]
    folds = [presets.folded(text) for text in written]
    found = presets.standing_in(folds, hidden)
    made = None
    if found is not None:
        values = {value: str(rule.replacement(original)) for value in found for rule, original in [hidden[value]]}
        made = presets.replace(written, folds, values) if values else written
    for (container, place, _), text in zip(left, made or [MASK] * len(left), strict=True):
        container[place] = text


def _mask(container: Any, place: Any, text: str) -> None:
    if presets.is_there(container, place, text):
        container[place] = MASK


def _searchable(found: Iterable[presets.Found]) -> tuple[list[presets.Found], list[presets.Found]]:
    """What is short enough to be searched; and, of too many bytes in all, the longest texts."""
    texts = list(found)
    if sum(presets.size_of(text) for _, _, text in texts) <= presets.MAX_SEARCHED:
        return texts, []
    texts.sort(key=lambda found: presets.size_of(found[2]))
    ends = itertools.accumulate(presets.size_of(text) for _, _, text in texts)
    count = sum(end <= presets.MAX_SEARCHED for end in ends)
    return texts[:count], texts[count:]


def mask_delivery(delivery: Delivery) -> None:
    """Take everything from a delivery that becomes a dead letter, but the hash and the length of its body.

    Its body cannot be relied on to have the fields that the rules name; its routing key holds the computer's GUID.
    """
    masked = {"masked": True, "sha256": hashlib.sha256(delivery.body).hexdigest(), "bytes": len(delivery.body)}
    delivery.body = msgspec.json.encode(masked)
    delivery.routing_key = MASK


def _steps(path: str) -> tuple[str | None, ...]:
    """``a.b[].c`` → ``("a", "b", None, "c")``; None: each item."""
    steps: list[str | None] = []
    for level in path.split("."):
        name = level.rstrip("[]")
        steps += [name, *[None] * ((len(level) - len(name)) // 2)]
    return tuple(steps)


def _texts_at(inside: Any, steps: Sequence[str | None]) -> Iterator[str]:
    """The texts at a path, and those in a list there."""
    for at, step in enumerate(steps, 1):
        if step is None:
            if type(inside) is list:
                for item in inside:
                    yield from _texts_at(item, steps[at:])
            return
        if type(inside) is not dict or step not in inside:
            return
        inside = inside[step]
    for value in inside if type(inside) is list else (inside,):
        if type(value) is str:
            yield value


def _compiled(rule: Rule, steps: Sequence[str | None]) -> Apply:
    """What does as ``rule`` says with what ``steps`` name inside a value."""
    if None in steps[:-1]:
        items_at = steps.index(None)
        way, of_item = steps[:items_at], _compiled(rule, steps[items_at + 1 :])

        def in_each(inside: Any) -> bool:
            inside = _at(inside, way)
            return type(inside) is list and sum([of_item(item) for item in inside]) > 0  # `any` stops at the first

        return in_each
    *way, last = steps
    if last is None:

        def all_items(inside: Any) -> bool:
            inside = _at(inside, way)
            if type(inside) is not list or not inside:
                return False
            inside[:] = [] if rule.method == "drop" else [rule.replacement(item) for item in inside]
            return True

        return all_items

    def field(inside: Any) -> bool:
        inside = _at(inside, way)
        if type(inside) is not dict or last not in inside:
            return False
        if rule.method == "drop":
            del inside[last]
        else:
            inside[last] = rule.replacement(inside[last])
        return True

    return field


def _at(inside: Any, way: Iterable[str | None]) -> Any:
    """What objects have at a path of names; None where they have nothing."""
    for step in way:
        if type(inside) is not dict:
            return None
        inside = inside.get(step)
    return inside
