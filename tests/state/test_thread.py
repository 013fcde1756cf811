"""Calls made in a thread come back to the loop, in order, and a call that hangs holds nobody up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from fluent_plugin_amp.state.thread import CallThread
from fluent_plugin_amp.testing.waiting import DEADLINE_S


async def test_results_and_exceptions_come_back() -> None:
    """To whoever awaits the call."""
    thread = CallThread("test")
    assert await thread.call(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 / 0)
    assert await thread.call(lambda: "still there") == "still there"
    thread.stop()


async def test_calls_are_made_one_after_another() -> None:
    """In the order in which they were asked for."""
    thread = CallThread("test")
    made: list[int] = []
    await asyncio.gather(*(thread.call(lambda number=number: made.append(number)) for number in range(50)))  # type: ignore[misc]
    assert made == list(range(50))
    thread.stop()


async def test_a_call_nobody_waits_for_is_made_all_the_same() -> None:
    """Its result is dropped."""
    thread = CallThread("test")
    may_end = threading.Event()
    ended: list[bool] = []
    future = thread.call(lambda: ended.append(may_end.wait()))
    future.cancel()
    may_end.set()
    await thread.call(lambda: None)
    assert ended == [True]
    thread.stop()


def test_a_call_that_hangs_does_not_keep_the_process() -> None:
    """Python's own executors would wait for it for ever."""
    script = (
        "import asyncio, threading; from fluent_plugin_amp.state.thread import CallThread\n"
        "async def main():\n"
        "    CallThread('test').call(threading.Event().wait)\n"
        "asyncio.run(main())"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=DEADLINE_S).returncode == 0
