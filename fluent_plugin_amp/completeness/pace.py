"""How fast the cloud's events are looked at, so that deliveries lose next to nothing by it.  Pure.

All streams together have one pace.
"""

from __future__ import annotations

EVENTS_A_SECOND = 750
"""To look at one takes 20 to 25 µs of processor: less than 2 % of it at this pace."""
OF_A_REQUEST = 150
"""Events that take as long as a request without any: to send it, to read its answer, to search what was delivered."""


class SharedPace:
    """That of all looks: whoever looks waits after each answer."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def pause_s(self, events: int, now: float, requests: int = 1) -> float:
        """Seconds to wait after an answer.

        Args:
            events: in the answer.
            now: seconds of a clock that never goes back.
            requests: of several answers together.
        """
        self._free_at = max(self._free_at, now) + (events + requests * OF_A_REQUEST) / EVENTS_A_SECOND
        return self._free_at - now
