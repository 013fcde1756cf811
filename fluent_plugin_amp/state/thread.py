"""A thread for calls that may take long; their results come back to the event loop.

The interpreter waits for the standard library's executors when it ends, so one call that hangs on a dead disk would
keep the process alive.  It does not wait for this thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")

_Call = tuple[Callable[[], Any], asyncio.Future[Any]]


class CallThread:
    """Makes calls one after another, in a thread that it starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Call it when its turn comes; the future gets its result or its exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
        self._calls.put((function, future))
        return future

    def stop(self) -> None:
        """End the thread when the calls made before are done."""
        self._calls.put(None)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            result, error = None, None
            try:
                result = function()
            except BaseException as exc:  # raised where the future is awaited
                error = exc
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
