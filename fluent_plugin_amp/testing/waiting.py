"""Waiting for a condition in an event loop without asking for it on a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEADLINE_S = 60.0
"""How long to wait for what is sure to come. A busy machine takes its time; only a fault takes this long."""


class Conditions:
    """The conditions that somebody waits for; whoever changes what they depend on calls ``changed``."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], object], asyncio.Future[None]]] = []

    async def wait_for(self, condition: Callable[[], object], timeout_s: float) -> None:
        """Return when ``condition`` holds, now or after a change; raises TimeoutError, or what it raises."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((condition, future))
        await asyncio.wait_for(future, timeout_s)

    def changed(self) -> None:
        """Ask every condition anew."""
        for condition, future in self._waiting:
            if not future.done():
                _resolve(future, condition)
        self._waiting = [waiting for waiting in self._waiting if not waiting[1].done()]


def _resolve(future: asyncio.Future[None], condition: Callable[[], object]) -> None:
    try:
        if condition():
            future.set_result(None)
    except Exception as exc:  # the condition is the waiter's, so its error is too, not the changer's
        future.set_exception(exc)
