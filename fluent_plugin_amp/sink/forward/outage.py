"""How long to wait before a server is tried again, and which of its troubles are worth telling.  Pure.

An outage begins with the first failure and ends when the server has **settled**: it acked a chunk, or its
connection stood for ``SETTLED_AFTER_S``.  Merely accepting a connection ends nothing: a server that accepts and
closes at once would otherwise be visited in a tight loop.

Told are changes, not retries: trouble when it begins, when its kind changes, and every ``REPEAT_S`` while it
lasts; a connection when it is the first since the server had settled, or when it settles.  A blip, over after a few
attempts, is told once in ``REPEAT_S``: the search for a poisonous event closes a connection at each step.
"""

from __future__ import annotations

from fluent_plugin_amp.backoff import backoff_s, outage_cap_s
from fluent_plugin_amp.errors import PluginError, RefusedError

SETTLED_AFTER_S = 10.0
REPEAT_S = 60.0

_BLIP_ATTEMPTS = 3
_REFUSED_FIRST_S = 20.0  # with the jitter 10 … 20 s: a refusal does not pass by itself
_REFUSED_CAP_S = 60.0


class Outage:
    """One server's outages, one after the other."""

    def __init__(self) -> None:
        self.is_settled = False
        """It acked, or stood long enough, since it was connected last."""
        self._began_at: float | None = None
        self._attempt = 0
        self._told_up: bool | None = None
        self._told_connection = False
        self._told_error_id = ""
        self._told_at = 0.0

    def failed(self, error: PluginError, now: float, jitter: float) -> tuple[float, bool]:
        """A connection failed or ended: returns the seconds to wait, and whether to tell."""
        self.is_settled = False
        if self._began_at is None:
            self._began_at = now
        self._attempt += 1
        if isinstance(error, RefusedError):
            delay_s = backoff_s(self._attempt, jitter, first_s=_REFUSED_FIRST_S, cap_s=_REFUSED_CAP_S)
        else:
            delay_s = backoff_s(self._attempt, jitter, cap_s=outage_cap_s(now - self._began_at))
        tell = (
            error.id != self._told_error_id
            or now - self._told_at >= REPEAT_S
            or (self._told_up is True and self._attempt > _BLIP_ATTEMPTS)
        )
        if tell:
            self._told_up = False
            self._told_error_id = error.id
            self._told_at = now
        return delay_s, tell

    def connected(self, *, is_doubtful: bool) -> bool:
        """The server is connected: returns whether to tell.  ``is_doubtful``: it has yet to ack something."""
        if is_doubtful or self._told_connection:
            return False
        return self._tell_up()

    def settled(self) -> bool:
        """The server acked, or its connection stood: the outage is over.  Returns whether to tell."""
        self.is_settled = True
        self._began_at = None
        self._attempt = 0
        tell = self._tell_up()
        self._told_connection = False
        return tell

    def _tell_up(self) -> bool:
        self._told_connection = True
        tell = self._told_up is not True
        self._told_up = True
        return tell
