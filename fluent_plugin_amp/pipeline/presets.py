"""What hides a computer, a user or addresses wherever Cisco writes them: known fields, and the texts around.  Pure.

`PRESETS` is the list of the fields; docs/records.md has the same.  Beside them the values may stand in any text: a
summary that a hunter wrote, a path, a command line.  So what the fields of an event hold is looked for in all of its
other texts, as whole words however they are written, and replaced there too.  A record of a vulnerability hides
thousands of values of which none stands elsewhere: so it is found out first which of them do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from fluent_plugin_amp.model import Record

Preset = Literal["computer", "user", "addresses"]

AUDITED = ("item", "audit_log_id", "old_attributes.name", "new_attributes.name")
"""Fields in which an entry of the audit log tells what it is about."""
AUDITED_TYPES: Mapping[Preset, str] = MappingProxyType({"computer": "Computer", "user": "User"})
"""The ``audit_log_type`` of the entries in which a preset hides `AUDITED`."""

PRESETS: Mapping[Preset, tuple[str, ...]] = MappingProxyType(
    {
        "computer": (
            *("connector_guid", "computer.connector_guid", "computer.hostname", "computer.links"),
            *("computer.windows_processor_id", "computer.mac_hardware_id"),
            *("computers[].connector_guid", "computers[].hostname", "computers[].windows_processor_id"),
            *("old_attributes.hostname", "new_attributes.hostname"),
            *AUDITED,
        ),
        "addresses": (
            "computer.external_ip",
            "computer.network_addresses[].ip",
            "computer.network_addresses[].mac",
            "computer.internal_ips",
            "network_info.local_ip",
        ),
        "user": ("computer.user", "audit_log_user", *AUDITED),
    }
)
"""The fields of each."""

NOT_SEARCHED = frozenset(
    {
        *("id", "event_type", "event_type_id", "severity", "detection_id", "group_guids"),
        *("timestamp", "timestamp_nanoseconds", "date", "start_timestamp", "start_date"),
        *("tactics", "techniques", "vulnerabilities"),
    }
)
"""Fields in which nobody writes a name or an address."""

MAX_FOUND = 64
"""Hidden values of one event that stand in its other texts; of one with more, the texts are hidden whole."""
MAX_LOOKS = 64 * 1024 * 1024
"""Hidden values times the characters of the other texts: of an event with more, the texts are hidden whole."""
MAX_LENGTH = 256
"""Characters of a value that is looked for as `folded`; a longer one is looked for as it is written."""
MAX_SEARCHED = 1024 * 1024
"""Characters of all texts of one event; where there are more, the longest texts are hidden whole."""

Found = tuple[Any, Any, str]
"""The map or list that holds a text, its place there, and the text."""

_NAME = r"""[^\\/"'<>|:*?,;]+"""
_HOME = re.compile(
    rf"""(?:(?<=[\\/]users[\\/])|(?<=[\\/]home/)|(?<=[\\/]documents and settings[\\/]))"""
    rf"""(?:{_NAME}(?=[\\/])|[^\s\\/"'<>|:*?,;]+)""",
    re.IGNORECASE,
)
_NOBODY = frozenset({"public", "default", "default user", "all users", "shared"})
"""Folders beside those of the users."""


def account(user: str) -> str:
    """The name without its domain: of ``DOMAIN\\name`` and ``name@domain``."""
    return user.rpartition("\\")[2].partition("@")[0]


def homes(text: str) -> list[str]:
    """The names of users that a path in a text tells."""
    lowered = text.lower()
    if not ("users" in lowered or "home" in lowered or "settings" in lowered):
        return []
    return [name for name in _HOME.findall(text) if name.lower() not in _NOBODY]


def texts_of(record: Record) -> Iterator[Found]:
    """Each text that is searched."""
    inside: list[Any] = []
    for name, value in record.items():
        if name not in NOT_SEARCHED:
            if type(value) is str:
                yield record, name, value
            elif type(value) is dict or type(value) is list:
                inside.append(value)
    while inside:
        container = inside.pop()
        for place, value in container.items() if type(container) is dict else enumerate(container):
            if type(value) is str:
                yield container, place, value
            elif type(value) is dict or type(value) is list:
                inside.append(value)


def is_there(container: Any, place: Any, text: str) -> bool:
    """Whether a text is still where it was found."""
    if type(container) is dict:
        return container.get(place) is text
    return place < len(container) and container[place] is text


class _Folds(dict[int, str]):
    """For `str.translate`: what a character is looked for as, without case, and as a letter and its accents."""

    def __missing__(self, code: int) -> str:
        letters = unicodedata.normalize("NFD", unicodedata.normalize("NFD", chr(code)).casefold())
        fold = letters.replace(_DOTTED_I, "i").replace("ı", "i")
        if len(self) < _MAX_KEPT:
            self[code] = fold
        return fold


_DOTTED_I = "i\N{COMBINING DOT ABOVE}"
_MAX_KEPT = 65_536
_FOLDS = _Folds()
_ACCENT = "[\u0300-\u036f\u3099\u309a]"
_MOST_ACCENTS = 3
"""Of one letter, in any alphabet."""
_several_accents = re.compile(_ACCENT + "{2,}")


def folded(text: str) -> str:
    """``text`` as it is looked for: what is the same name is the same, in either case and however it is written.

    ß is ss, an accent is a character of its own, ς is σ, and the three kinds of i are one.
    """
    if text.isascii():
        return text.lower()
    return _several_accents.sub(_in_order, text.translate(_FOLDS).replace(_DOTTED_I, "i"))


def _in_order(accents: re.Match[str]) -> str:
    """The order of NFD.  `unicodedata.normalize` would take the square of the time for many accents."""
    return "".join(sorted(accents[0], key=unicodedata.combining))


def standing_in(texts: Sequence[str], values: Collection[str]) -> list[str] | None:
    """Those of ``values`` (as `replace` takes them) that stand in any text; None: it is too much to find out."""
    if len(values) * (sum(map(len, texts)) + len(texts)) > MAX_LOOKS:
        return None
    as_written = "\n".join(texts)
    searched = "\n".join(map(folded, texts))
    found = [value for value in values if value in (searched if len(value) <= MAX_LENGTH else as_written)]
    return found if len(found) <= MAX_FOUND else None


def replace(text: str, values: Mapping[str, str]) -> str:
    """``text`` with these values (`folded`; those longer than `MAX_LENGTH` as they are) replaced."""
    searched = folded(text)
    words = tuple([value for value in values if value in searched and len(value) <= MAX_LENGTH])
    if words:
        text = _replaced(text, searched, _finder(words), values)
    if len(text) > MAX_LENGTH:
        for value in values:
            if len(value) > MAX_LENGTH:
                text = text.replace(value, values[value])
    return text


def _replaced(text: str, searched: str, finder: re.Pattern[str], values: Mapping[str, str]) -> str:
    """``text`` without what is found in ``searched``, its `folded`."""
    places: Sequence[int] = range(len(text)) if text.isascii() else _places(text)
    pieces: list[str] = []
    end = 0
    for match in finder.finditer(searched):
        pieces += [text[end : places[match.start()]], values[match[0]]]
        end = places[match.end() - 1] + 1
    return "".join([*pieces, text[end:]])


def _places(text: str) -> list[int]:
    """Where in ``text`` each character of its `folded` comes from."""
    places: list[int] = []
    before = ""
    for place, character in enumerate(text):
        fold = folded(character)
        if fold != _DOTTED_I[1] or before[-1:] != "i":
            places += [place] * len(fold)
        before = fold
    return places


@lru_cache(maxsize=1024)  # the same computers come again and again
def _finder(values: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of ``values`` where it is a whole word, with its accents; the longest first."""
    words = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))
    no_letter_before = "".join(rf"(?<![^\W_]{_ACCENT * accents})" for accents in range(_MOST_ACCENTS + 1))
    return re.compile(rf"{no_letter_before}(?:{words})(?![^\W_]|{_ACCENT})")
