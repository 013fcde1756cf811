"""From the newest recorded event to the oldest, although the list moves while it is read.  Pure.

``GET /v1/events`` has no end date, answers newest first, and is addressed by offset.  So while it is read, events
that happen push all others along; those that the cloud forgets, or finds late, move them too.  A `Walk` says what to
ask for next, and which of the events that came are new to it::

    while (ask := walk.ask) is not None:
        new = walk.take(…the entries from ask.offset on, ask.limit at most…)

How nothing is left out, and next to nothing comes twice:

* Each page begins within the one before.  One whose first entry was not seen before means that the list has become
  shorter in front of it: the walk steps back until it stands on ground that it knows.
* What was seen last is remembered by digest, in whole seconds (`KEEP` entries or a few more).  What is later than all
  of it, later than the `ceiling`, was seen before or came in too late: it is passed over.
* The list ends where its last page says so.  Where none does, it ends at the empty page behind all that is known: at
  the first empty one it may only have become shorter, so the walk steps back, and comes to it again.  Or else behind
  an entry above the ceiling, from which a search has found nothing.
* Where a whole page is above the ceiling, the place to go on is searched by time: a few dozen requests for one entry
  each, however many events lie before it.  That is also how a walk begins that is not interested in the newest ones.

All this rests on the order by time.  A list that is seen not to keep it is read from there on as it comes, each page
beginning within the one before, and events may come twice (`Walk.is_sorted`).

Two events that are the same to the last byte are one.  Events that come in late, above the ceiling, are not seen:
that is what a second walk is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

PAGE = 500
"""The most that Cisco puts into one answer."""
OVERLAP = 50
KEEP = 1000
MAX_OFFSET = 1 << 40
PATIENCE = 10
"""So many times a page may come again, at another offset."""
PATIENCE_FOR_NEWS = 500
"""So many answers in a row may bring nothing new: a search takes some eighty, events that happen push pages along."""

Item = TypeVar("Item")


class PagesDoNotGoOn(Exception):
    """Whatever offset is asked for, the same entries come."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[Item]):  # no NamedTuple: before Python 3.11 it cannot be generic
    """One recorded event in the list."""

    second: int
    """When it happened, since the epoch."""
    digest: bytes
    """By which it is known again."""
    item: Item


class Ask(NamedTuple):
    """A request."""

    offset: int
    limit: int


class _Search(NamedTuple):
    """Between two offsets lies the first entry that is not above the ceiling."""

    above: int
    """The entry here is above it, and will be: events that happen only bring later ones here."""
    below: int | None
    """The entry here is not, or there is none; None: no such offset is known yet."""
    step: int
    known_by: tuple[int, bytes]
    """Where it began: offset and digest of the last entry of a page."""
    is_below_empty: bool = False
    """There is none."""

    @property
    def probe(self) -> int:
        """The offset to look at next."""
        return self.above + self.step if self.below is None else (self.above + self.below) // 2


class Walk(Generic[Item]):
    """Which page to ask for next, and which entries of an answer are new.

    Args:
        ceiling: the second of the latest events that are wanted.
        offset: where the first of them may be looked for, as far as is known; too far is no harm.
        page: how many entries to ask for.
        keep: how many entries are remembered at least.
    """

    def __init__(self, ceiling: int, *, offset: int = 0, page: int = PAGE, keep: int = KEEP) -> None:
        self.ceiling = ceiling
        self.offset = offset
        """Of the page that was read last, or will be next."""
        self.is_sorted = True
        """No page had an entry later than the one before it."""
        self.step = max(1, page - OVERLAP)
        """How far a page goes beyond the one before."""
        self._wanted = ceiling
        self._page = page
        self._keep = keep
        self._seen: dict[bytes, int] = {}
        self._search: _Search | None = None
        self._step_back = page
        self._last_page: list[bytes] = []
        self._repetitions = 0
        self._without_news = 0
        self._was_empty = self._was_known = False
        """An empty page came, and after it one that is known already; nothing new has come since."""
        self._empty_behind: tuple[int, bytes] | None = None
        """A search that began there found no entry that is not above the ceiling."""
        self._is_over = False

    @property
    def ask(self) -> Ask | None:
        """The next request; None: there are no more events."""
        if self._is_over:
            return None
        if self._search is not None:
            return Ask(self._search.probe, 1)
        return Ask(self.offset, self._page)

    def take(self, entries: Sequence[Entry[Item]], *, is_last: bool) -> list[Entry[Item]]:
        """The answer to `ask`; what is new in it, in the same order.

        Raises:
            PagesDoNotGoOn
        """
        self._without_news += 1
        if self._without_news > PATIENCE_FOR_NEWS:
            raise PagesDoNotGoOn(
                f"{PATIENCE_FOR_NEWS} pages brought nothing new, the last one at offset {self.offset}"
            )
        if self._search is not None:
            self._go_on_searching(self._search, entries)
            return []
        if self.is_sorted and any(entry.second < later.second for entry, later in pairwise(entries)):
            self.is_sorted = False
            self.ceiling = self._wanted
        if not entries and self._was_known:
            self._is_over = True
            return []
        self._was_empty = self._was_empty or not entries
        if self.is_sorted and self.offset > 0 and not (entries and self._is_passed(entries[0])):
            self._go_back()
            return []
        self._step_back = self._page
        new = [entry for entry in entries if self._is_new(entry)]
        if new:
            self._was_empty = False
            self._without_news = 0
        self._was_known = self._was_empty
        if is_last or not entries:
            self._is_over = True
            return new
        if new:
            self._forget_some(new[-1].second)
        if self.is_sorted and entries[-1].second > self.ceiling:
            known_by = self.offset + len(entries) - 1, entries[-1].digest
            self._is_over = known_by == self._empty_behind
            self._search = _Search(known_by[0], None, self._page, known_by)
            return new
        self.step = step = len(entries) - min(OVERLAP, len(entries) // 2)
        self.offset += step
        self._refuse_repetition([entry.digest for entry in entries])
        return new

    def _refuse_repetition(self, page: list[bytes]) -> None:
        """Events that happen may push the list along by just a page, but not again and again."""
        self._repetitions = self._repetitions + 1 if page == self._last_page else 0
        self._last_page = page
        if self._repetitions > PATIENCE:
            raise PagesDoNotGoOn(f"up to offset {self.offset} the same events come again and again")

    def _is_passed(self, entry: Entry[Item]) -> bool:
        return entry.second > self.ceiling or entry.digest in self._seen

    def _is_new(self, entry: Entry[Item]) -> bool:
        if self._is_passed(entry):
            return False
        self._seen[entry.digest] = entry.second
        return True

    def _forget_some(self, last: int) -> None:
        """Whole seconds, the latest first, so that what is above the ceiling is known without its digest.

        ``last`` is the second in which the walk stands.
        """
        while len(self._seen) > self._keep:
            second = next(iter(self._seen.values()))
            if self.is_sorted:
                if second <= last:
                    return
                self.ceiling = min(self.ceiling, second - 1)
            while self._seen and next(iter(self._seen.values())) == second:
                del self._seen[next(iter(self._seen))]

    def _go_back(self) -> None:
        self.offset = max(0, self.offset - self._step_back)
        self._step_back *= 2

    def _go_on_searching(self, search: _Search, entries: Sequence[Entry[Item]]) -> None:
        probe = search.probe
        if probe > MAX_OFFSET:
            raise PagesDoNotGoOn(f"the events at offset {probe} are as new as those at the beginning")
        if not entries or entries[0].second <= self.ceiling:
            search = search._replace(below=probe, is_below_empty=not entries)
        else:
            search = search._replace(above=probe, step=search.step * 2)
        if search.below is not None and search.below - search.above <= self._page // 2:
            self.offset = search.above
            self._empty_behind = search.known_by if search.is_below_empty else None
            self._search = None
        else:
            self._search = search
