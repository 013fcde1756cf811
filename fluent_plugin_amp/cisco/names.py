"""From the names that people write to the ids that Cisco wants, and back.  Pure.

Event types and groups are resolved by the same rules, the first that fits deciding: the id; the name; an
older name (alias).  Case and runs of white space do not matter.  What fits nothing, or several things, is an error
that lists the candidates: a wrong guess would silently lose events.  So would the beginning of a name, taken for the
whole: it is an error too, but one that says what was meant, so that whoever can ask may ask (`Abbreviated`).

What is about to be cut off or blocked is named more strictly (`exactly`): a form of a letter is another letter, a
blank more is another name, and what has the form of a GUID is never a name.

``all`` is no name: wherever names stand, it means everything, and stands alone.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fluent_plugin_amp.cisco.errors import NameAbbreviated, NameAmbiguous, NameUnknown
from fluent_plugin_amp.errors import UsageError

Id = TypeVar("Id", int, str)
Entry = TypeVar("Entry")

_SHOWN = 12
"""How many candidates an error lists."""


@dataclass(frozen=True, slots=True)
class Named(Generic[Id]):
    """Something with an id and a name: an event type (int) or a group (GUID)."""

    id: Id
    name: str
    aliases: tuple[str, ...] = ()
    """Names it had before, or has elsewhere."""
    description: str = ""


class Abbreviated(NameAbbreviated):
    """The beginning of one name only; ``meant`` is the id that goes with it."""

    def __init__(self, kind: str, text: str, entry: Named[Any]) -> None:
        super().__init__(f"{kind} {text!r} is only the beginning of a name; meant perhaps: {_listed([entry])}")
        self.meant = entry.id
        self.question = f"Is {kind} {text!r} {_listed([entry])}?"


class Names(Generic[Id]):
    """What an organisation has of one kind, e.g. ``Names("event type", …)``."""

    def __init__(self, kind: str, entries: Iterable[Named[Id]]) -> None:
        self.kind = kind
        self._entries: dict[Id, Named[Id]] = {entry.id: entry for entry in entries}

    def __iter__(self) -> Iterator[Named[Id]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def name_of(self, id_: Id) -> str:
        """The name that goes with an id; the id itself when there is none."""
        entry = self._entries.get(id_)
        return (entry and entry.name) or str(id_)

    def find(self, text: str) -> Named[Id]:
        """The one entry that ``text`` means.

        Raises NameUnknown, NameAmbiguous or Abbreviated, all with the candidates in their message.
        """
        wanted = fold(text)
        if is_all(text):
            raise self._unknown(f"`all` is no {self.kind}: it means every one and must stand alone")
        rules: tuple[Callable[[Named[Id]], bool], ...] = (
            lambda entry: fold(str(entry.id)) == wanted,
            lambda entry: fold(entry.name) == wanted,
            lambda entry: any(fold(alias) == wanted for alias in entry.aliases),
        )
        for fits in rules if wanted else ():
            found = [entry for entry in self if fits(entry)]
            if len(found) == 1:
                return found[0]
            if found:
                raise self._ambiguous(text, found)
        found = [
            entry for entry in self if wanted and any(fold(name).startswith(wanted) for name in _spellings(entry))
        ]
        if len(found) == 1:
            raise Abbreviated(self.kind, text, found[0])
        if found:
            raise self._ambiguous(text, found)
        raise self._unknown(f"no {self.kind} is called {text!r}{self._hint(wanted)}")

    def find_exactly(self, text: str) -> Named[Id]:
        """The one entry that ``text`` means, as `exactly` says.  Raises NameUnknown, NameAmbiguous."""
        found = exactly(self, text, id_of=lambda entry: str(entry.id), name_of=lambda entry: entry.name)
        if len(found) == 1:
            return found[0]
        if found:
            raise self._ambiguous(text, found)
        raise self._unknown(f"no {self.kind} is called {text!r}{self._hint(fold(text))}")

    def find_all(self, texts: Sequence[str]) -> tuple[Id, ...] | None:
        """The ids that ``texts`` mean, each once, in the order given; None for ``all``, which stands alone.

        Raises what `find` raises, and UsageError where ``all`` stands beside others.
        """
        if any(map(is_all, texts)):
            if len(texts) > 1:
                raise UsageError(f"`all` means every {self.kind}: nothing can stand beside it")
            return None
        return tuple(dict.fromkeys(self.find(text).id for text in texts))

    def search(self, text: str) -> list[Named[Id]]:
        """Every entry with ``text`` in its id, a name or the description, by name; all when it is empty."""
        wanted = fold(text)
        found = [entry for entry in self if any(wanted in fold(part) for part in _searched(entry))]
        return sorted(found, key=lambda entry: (fold(entry.name), str(entry.id)))

    def _unknown(self, what: str) -> NameUnknown:
        command = f"amp-streams {self.kind.replace(' ', '-')}s --search TEXT"
        return NameUnknown(what, remedy=f"See `{command}`; TEXT is a part of the name.")

    def _ambiguous(self, text: str, found: list[Named[Id]]) -> NameAmbiguous:
        found = sorted(found, key=lambda entry: fold(entry.name))
        return NameAmbiguous(f"{self.kind} {text!r} fits several: {_listed(found)}")

    def _hint(self, wanted: str) -> str:
        found = [entry for entry in self if wanted and any(wanted in fold(part) for part in _searched(entry))]
        if not found:
            by_name = {fold(name): entry for entry in self for name in _spellings(entry) if name}
            close = difflib.get_close_matches(wanted, by_name, n=_SHOWN, cutoff=0.6)
            found = list({by_name[name].id: by_name[name] for name in close}.values())
        return f"; meant perhaps: {_listed(found)}" if found else ""


def exactly(
    entries: Iterable[Entry], text: str, *, id_of: Callable[[Entry], str], name_of: Callable[[Entry], str]
) -> list[Entry]:
    """Those that ``text`` means: the one with this GUID, or all that have exactly this name, whatever the case."""
    if is_guid(text):
        return [entry for entry in entries if id_of(entry).lower() == text.lower()]
    return [entry for entry in entries if text and is_called(name_of(entry), text)]


def is_guid(text: str) -> bool:
    """``text`` has the form of a GUID."""
    return _GUID.fullmatch(text) is not None


_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_called(name: str, text: str) -> bool:
    """``text`` is the name, but for the case of its letters.  One that only looks alike is another's."""
    return len(name) == len(text) and all(map(_is_same_letter, name, text))


def _is_same_letter(one: str, other: str) -> bool:
    """Each is the other's only upper or lower case: the signs for Kelvin and Angstrom are nobody's."""
    return one == other or any(
        lower.upper() == upper and upper.lower() == lower for lower, upper in ((one, other), (other, one))
    )


def is_all(text: str) -> bool:
    """``text`` means everything there is, in whatever case."""
    return fold(text) == "all"


def fold(text: str) -> str:
    """``text`` as names are compared: no case, one form of each letter, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def slug(name: str) -> str:
    """``name`` as a part of file names and Kubernetes names: lower-case letters, digits and hyphens."""
    ascii_ = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_).strip("-")[:50].strip("-") or "stream"


def _spellings(entry: Named[Id]) -> tuple[str, ...]:
    return (entry.name, *entry.aliases)


def _searched(entry: Named[Id]) -> tuple[str, ...]:
    return (str(entry.id), entry.description, *_spellings(entry))


def _listed(entries: Sequence[Named[Any]]) -> str:
    shown = ", ".join(f"{entry.name or '(no name)'} ({entry.id})" for entry in entries[:_SHOWN])
    more = len(entries) - _SHOWN
    return shown + (f" and {more} more" if more > 0 else "")
