"""What a task waits for between two looks: the time, or somebody who has news for it, or wants it to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Alarm:
    """One sleeper, and any number of those who wake it.  ``clock`` is a steady one, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.stop_at: float | None = None
        """When the sleeper must have stopped; None: nobody wants it to."""
        self._rang = asyncio.Event()
        self._clock = clock

    def ring(self) -> None:
        """Wake the sleeper, or keep it from falling asleep the next time."""
        self._rang.set()

    def stop(self, within_s: float) -> None:
        """Wake the sleeper, which is to stop."""
        self.stop_at = self._clock() + within_s
        self.ring()

    @property
    def is_stop_overdue(self) -> bool:
        """It must have stopped by now."""
        return self.stop_at is not None and self._clock() >= self.stop_at

    async def sleep(self, timeout_s: float) -> None:
        """Until it rings, or the time is over, or it must have stopped."""
        if self.stop_at is not None:
            timeout_s = max(0.0, min(timeout_s, self.stop_at - self._clock()))
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the ring.
        timer = asyncio.get_running_loop().call_later(timeout_s, self._rang.set)
        try:
            await self._rang.wait()
        finally:
            timer.cancel()
        self._rang.clear()

    async def sleep_on(self, delay_s: float) -> None:
        """All of ``delay_s``, however often it rings, unless it is to stop."""
        until = self._clock() + delay_s
        while self.stop_at is None and (left_s := until - self._clock()) > 0:
            await self.sleep(left_s)
