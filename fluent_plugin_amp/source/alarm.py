"""What a task waits for between two looks: the time, or somebody who has news for it."""

from __future__ import annotations

import asyncio


class Alarm:
    """One sleeper, and any number of those who wake it."""

    def __init__(self) -> None:
        self._rang = asyncio.Event()

    def ring(self) -> None:
        """Wake the sleeper, or keep it from falling asleep the next time."""
        self._rang.set()

    async def sleep(self, timeout_s: float) -> None:
        """Until it rings, or the time is over."""
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the ring.
        timer = asyncio.get_running_loop().call_later(timeout_s, self._rang.set)
        try:
            await self._rang.wait()
        finally:
            timer.cancel()
        self._rang.clear()
