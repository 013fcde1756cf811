"""Which troubles are worth a line in the log.  Pure.

A trouble is news when it begins, when its kind changes, and every `REPEAT_AFTER_S` while it lasts.  A connection is
news, unless there was trouble before it and none of that was.
"""

from __future__ import annotations

REPEAT_AFTER_S = 600.0
BLIP_ATTEMPTS = 3
"""Failures after which a trouble is no blip any more."""


class News:
    """What the log said of one subject: a stream, a server, a file.

    ``quiet_s``: a blip, over after a few failures, is no news for so long after the last line about trouble of its
    kind.  The search for an event that a server refuses closes a connection at each step.
    """

    def __init__(self, quiet_s: float = 0.0) -> None:
        self._quiet_s = quiet_s
        self._error_id = ""
        self._said_at = 0.0
        self._is_over = False
        self._was_said = False  # trouble, since it was connected last
        self._is_hushed = False  # there was trouble since, and none of it was said

    def trouble(self, error_id: str, now: float, attempts: int = 1) -> bool:
        """There is trouble ``now``, after so many failures in a row.  True: it is news."""
        age_s = now - self._said_at
        is_new = self._is_over and (age_s >= self._quiet_s or attempts > BLIP_ATTEMPTS)
        if error_id == self._error_id and age_s < REPEAT_AFTER_S and not is_new:
            self._is_hushed = not self._was_said
            return False
        self._error_id, self._said_at = error_id, now
        self._is_over, self._was_said, self._is_hushed = False, True, False
        return True

    def connected(self) -> bool:
        """It is connected; that may not last.  True: it is news."""
        is_news = not self._is_hushed
        self._was_said = self._is_hushed = False
        return is_news

    def over(self) -> None:
        """The trouble is over: the next one is another."""
        self._is_over = True
