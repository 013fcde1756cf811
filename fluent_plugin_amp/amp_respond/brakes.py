"""Whether an action is only shown, asked about, or done.  Pure.

One computer or file that was named is asked about.  Several are only shown, unless --yes; more than ten also need
their number, typed; more than --max are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fluent_plugin_amp.amp_respond.errors import TooMany
from fluent_plugin_amp.errors import UsageError

MAX = 25
TYPED_ABOVE = 10
"""So many are done without their number."""

Way = Literal["show", "ask", "type", "do"]


@dataclass(frozen=True, slots=True)
class Brakes:
    """What the command line says of it."""

    yes: bool = False
    dry_run: bool = False
    max: int = MAX
    count: int | None = None
    """The number, typed beforehand."""

    def way(self, targets: int, *, named: bool = True) -> Way:
        """What to do about so many; ``named``: on the command line itself, each by its name.

        Raises:
            TooMany, UsageError
        """
        if not targets:
            raise UsageError("nothing is named, or found", remedy="Name a computer or a SHA-256; see --help.")
        if self.dry_run:
            return "show"
        if targets > self.max:
            raise TooMany(f"{targets} are meant, --max allows {self.max}")
        if self.count is not None and self.count != targets:
            raise TooMany(f"{targets} are meant, --count says {self.count}")
        if not self.yes:
            return "ask" if targets == 1 and named else "show"
        return "type" if self.needs_number(targets) else "do"

    def refuse_more(self, names: int) -> None:
        """Raises TooMany before so many names are looked up: each is a request."""
        if names > self.max and not self.dry_run:
            raise TooMany(f"{names} names are given, --max allows {self.max}")

    def needs_number(self, targets: int) -> bool:
        """So many are done only when their number is typed, or given as --count."""
        return targets > TYPED_ABOVE and self.count is None
