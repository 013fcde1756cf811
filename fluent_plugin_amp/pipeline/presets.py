"""What hides a computer, a user or addresses wherever Cisco writes them: known fields, and the texts around.  Pure.

`PRESETS` is the list of the fields; docs/records.md has the same.  Beside them the values may stand in any text: a
summary that a hunter wrote, a path, a command line.  So what the fields of an event hold is looked for in all of its
other texts, as whole words however they are written, and replaced there too.  A record of a vulnerability hides
thousands of values of which none stands elsewhere: so it is found out first which of them do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
MAX_PLACES = 10_000
"""At which hidden values stand in the other texts of one event; where there are more, the texts are hidden whole."""
MAX_SEARCHED = 256 * 1024
"""Bytes of all texts of one event; where there are more, the longest are hidden whole.  And of its hidden values that
are not ASCII: folding them takes its time.  Where there are more, all texts are hidden whole."""

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


def size_of(text: str) -> int:
    """Its bytes in UTF-8: with them grows the time that it takes to fold it."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


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
    """For `str.translate`: a character without case and form, as a letter and its accents; if unseen, as nothing."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        if unicodedata.decomposition(letter).startswith("<"):
            compatible = unicodedata.normalize("NFKC", letter)
            is_sign = not letter.isalnum() and any(map(str.isalnum, compatible))  # TM behind a name is no part of it
            if not is_sign and len(compatible) <= _MOST_LETTERS:
                letter = compatible
        letters = unicodedata.normalize("NFD", unicodedata.normalize("NFD", letter).casefold())
        fold = _UNSEEN.sub("", letters).replace(_DOTTED_I, "i").replace("ı", "i")
        if code <= _LAST_KEPT:
            self[code] = fold
        return fold


_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that nobody sees, as joiners: Unicode's ``Default_Ignorable_Code_Point``."""
_MOST_LETTERS = 4
"""Letters that one character may stand for, as a ligature does; U+FDFA stands for a sentence."""
_DOTTED_I = "i\N{COMBINING DOT ABOVE}"
_LAST_KEPT = 0xFFFF
"""Of the letters beyond few are in use: they are folded each time."""
_FOLDS = _Folds()
_fold_of = _FOLDS.__getitem__
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u065f]{2,}")
_MARKS = "".join(map(chr, (*range(0x300, 0x370), 0x3099, 0x309A)))
"""Behind a letter they make it another one."""
_MOST_MARKS = 3
"""Of one letter, in any alphabet."""


def folded(text: str) -> str:
    """``text`` as it is looked for: what is the same name is the same, in either case and however it is written.

    ß is ss, an accent is a character of its own, ς is σ, and the three kinds of i are one.  A character that nobody
    sees is none.
    """
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub(_in_order, text.translate(_FOLDS).replace(_DOTTED_I, "i"))


def _in_order(accents: re.Match[str]) -> str:
    """Those of one letter may stand in any order, as long as they stand at different places of it.

    `unicodedata.normalize` does the same, and takes seconds for thousands of them.
    """
    return "".join(sorted(accents[0], key=unicodedata.combining))


def standing_in(folds: Sequence[str], values: Collection[str]) -> list[str] | None:
    """Those of ``values`` that stand in any of these texts, all `folded`; None: it is too much to find out."""
    searched = "\n".join(folds)
    if len(values) * len(searched) > MAX_LOOKS:
        return None
    found = [value for value in values if value in searched]
    return found if len(found) <= MAX_FOUND else None


def replace(texts: Iterable[str], folds: Iterable[str], values: Mapping[str, str]) -> list[str] | None:
    """``texts`` with these values replaced; None: they stand at too many places.

    Args:
        texts: as they are written.
        folds: the same, `folded`.
        values: by what is looked for, `folded`, what stands in its place.
    """
    made: list[str] = []
    left = MAX_PLACES
    for text, searched in zip(texts, folds, strict=True):
        words: list[tuple[int, int, str]] = []
        for value in values:
            start = searched.find(value)
            while start >= 0:
                if not left:
                    return None
                left -= 1
                if _is_word(searched, start, start + len(value)):
                    words.append((start, -len(value), value))
                start = searched.find(value, start + 1)
        made.append(_replaced(text, sorted(words), values) if words else text)
    return made


def _is_word(searched: str, start: int, end: int) -> bool:
    """Whether what stands there is whole, with its accents."""
    before = searched[max(0, start - _MOST_MARKS - 1) : start].rstrip(_MARKS)[-1:]
    after = searched[end : end + 1]
    return not (before.isalnum() or after.isalnum() or (after and after in _MARKS))


def _replaced(text: str, words: Sequence[tuple[int, int, str]], values: Mapping[str, str]) -> str:
    """``text`` without these words: where each begins in its `folded`, and its length below 0; the longest first."""
    places: Sequence[int] = range(len(text)) if text.isascii() else _places(text)
    pieces: list[str] = []
    end = searched_to = 0
    for start, negative, value in words:
        if start >= searched_to:
            searched_to = start - negative
            pieces += [text[end : places[start]], values[value]]
            end = places[searched_to - 1] + 1
    return "".join([*pieces, text[end:]])


def _places(text: str) -> list[int]:
    """Where in ``text`` each character of its `folded` comes from."""
    places: list[int] = []
    before = ""
    for place, fold in enumerate(map(_fold_of, map(ord, text))):
        if fold != _DOTTED_I[1] or before[-1:] != "i":
            places += [place] * len(fold)
        before = fold or before
    return places
