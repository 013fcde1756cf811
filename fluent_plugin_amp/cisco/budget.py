"""The share of an API key's rate limit that this process may use.  Pure: the time is an argument.

Cisco counts the requests of a key in a fixed window, an hour, whoever makes them.  All sources of one key have one
`Budget`.  It grants a share of each window, and nothing of the window's last fifth: people act with what is left.
"""

from __future__ import annotations

from fluent_plugin_amp.cisco.answers import RateLimit

LEFT_TO_PEOPLE = 0.2
ASSUMED_LIMIT = 3000
"""Requests in a window, where the cloud does not tell."""
ASSUMED_WINDOW_S = 3600.0
SAME_WINDOW_S = 5.0
"""The reset is told in whole seconds: so much later it is still that of the same window."""


class Budget:
    """What may still be spent.

    Args:
        share: part of the limit that may be used, from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.used = 0
        """Requests in this window."""
        self.limit = ASSUMED_LIMIT
        self._remaining: int | None = None
        self._resets_at: float | None = None

    @property
    def left(self) -> int | None:
        """Requests that the cloud granted last, to all that use the key; None: it has not told."""
        return self._remaining

    def pause_s(self, now: float) -> float:
        """Seconds to wait before the next request; 0: it may be made."""
        if self._resets_at is None or now >= self._resets_at:
            self.used, self._remaining, self._resets_at = 0, None, None
            return 0.0
        is_left = self._remaining is None or self._remaining > self.limit * LEFT_TO_PEOPLE
        return 0.0 if is_left and self.used < max(1.0, self.share * self.limit) else self._resets_at - now

    def spend(self, now: float) -> None:
        """A request is made."""
        self.used += 1
        if self._resets_at is None:
            self._resets_at = now + ASSUMED_WINDOW_S

    def told(self, told: RateLimit | None, now: float) -> None:
        """An answer came; ``told`` is what its headers say."""
        if told is None:
            return
        if told.limit:
            self.limit = told.limit
        if told.reset_s is not None:
            resets_at = now + told.reset_s
            is_later = self._resets_at is not None and resets_at > self._resets_at + SAME_WINDOW_S
            if is_later and self._remaining is not None:
                self.used = 1  # this request opened another window
            self._resets_at = resets_at
        if told.remaining is not None:
            self._remaining = told.remaining
