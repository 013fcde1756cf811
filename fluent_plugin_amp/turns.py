"""Lets events go on beside long work: a little of it, then a rest that is much longer than the work was.

All of it is one loop.  Work of seconds, such as comparing 50,000 computers, would hold up each event for as long as
one turn of it takes, and again at each step of the event's way.  With rests most events meet none of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

WORK_S = 0.0001
"""So much of it in one turn."""
REST = 9
"""A rest is so many times as long as the work before it."""
LONGEST_REST_S = 0.02


class Turns:
    """The turns of one piece of work; parts of it share them.

    Args:
        clock: seconds that the loop has worked, not those in which it waited.  `time.thread_time` counts the work of
            all tasks of the loop, also while this one waits.
    """

    def __init__(self, *, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._began = clock()

    async def rest(self) -> None:
        """Call it after each small step: it rests where it is time to."""
        worked_s = self._clock() - self._began
        if worked_s >= WORK_S:
            await asyncio.sleep(min(REST * worked_s, LONGEST_REST_S))
            self._began = self._clock()
