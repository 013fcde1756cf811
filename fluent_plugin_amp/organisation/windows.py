"""Which time of a log to read next, and which of its entries are to be delivered.  Pure.

The entries have no id, and nobody says how late one may appear or in which order.  So each window reaches back over
the end of the one before, and ends before now.  A window is half open, in whole seconds: what happened in one second
is in it together.  The request asks for a second more on either side, because nobody says whether its bounds are
included; `Window.has` is what counts.

Entries that are equal to the last byte are told apart by their number within the window: the second one of a kind has
a blank behind its JSON, the third one two.  From `MOST_SPACES` on the number is written in two kinds of blanks,
which is shorter.  So each has a digest of its own, by which the memory of what was delivered knows it again, in this
window, in the next one, or after a crash.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from fluent_plugin_amp.organisation.entries import in_blanks

OVERLAP_S = 600
"""How far a window reaches back over the one before: so late an entry may appear."""
DELAY_S = 60
"""A window ends so long before now."""
AHEAD_S = 3600
"""A cursor that is so far ahead of the clock is none: the clock was wrong when it moved."""
BACK_S = 7 * 86_400
"""How far it is set back then: nobody knows since when the clock was wrong."""
LONGEST_S = 86_400
"""After an outage of days, how far is known once a day of them is delivered."""
MOST_ENTRIES = 100_000
"""A window of more is halved: the digests of one window are kept in memory."""
MOST_SPACES = 16
"""Up to so many equal entries are told apart by spaces alone: a hundred thousand behind each of a hundred thousand
would be gigabytes."""


class Window(NamedTuple):
    """From ``since`` on and before ``until``, in seconds since the epoch."""

    since: int
    until: int

    def has(self, second: int | None) -> bool:
        """Whether an entry of this second belongs to it; one without a time belongs to every window."""
        return second is None or self.since <= second < self.until

    @property
    def asked(self) -> tuple[int, int]:
        """The first and the last second to ask for."""
        return self.since - 1, self.until

    def halves(self) -> list[Window]:
        """Its two halves; none where it cannot be shorter."""
        middle = (self.since + self.until) // 2
        return [Window(self.since, middle), Window(middle, self.until)] if middle > self.since else []


def next_window(delivered_to: int, now: float) -> Window | None:
    """What to read when everything before ``delivered_to`` is delivered; None: nothing, yet."""
    if delivered_to > now + AHEAD_S:
        delivered_to = int(now) - BACK_S
    until = min(int(now) - DELAY_S, delivered_to + LONGEST_S)
    return Window(delivered_to - OVERLAP_S, until) if until > delivered_to else None


class Tally:
    """Numbers the equal entries of a window, page by page.

    The pages are addressed by their offset.  When an entry is added to the list in front of a page, the page begins
    with what the page before ended with.  `moved` tells, from the number of entries that each page claims; then the
    window is to be read again with a new tally.  Where the cloud does not tell that number, entries are numbered
    within a page only: then equal ones on two pages are taken for one.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self.read = 0
        """Entries that came, of the window or not."""
        self._is_first = True
        self._seen: Counter[bytes] = Counter()

    def moved(self, total: int | None) -> bool:
        """Whether the list has changed since the first page; to be called before a page is taken."""
        if self._is_first:
            self._is_first, self.total = False, total
        if self.total is None:
            self._seen.clear()
            return False
        return total != self.total

    @property
    def is_short(self) -> bool:
        """After the last page: fewer came than the cloud claims."""
        return self.read < (self.total or 0)

    def take(self, digest: bytes, body: bytes) -> bytes:
        """The body of an entry as it is to be delivered."""
        number = self._seen[digest]
        self._seen[digest] += 1
        return body + (b" " * number if number < MOST_SPACES else in_blanks(number))
