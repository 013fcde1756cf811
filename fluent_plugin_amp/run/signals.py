"""What the process is told from outside: signals, and the end of the process that started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from fluent_plugin_amp.errors import EXIT_OK
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.run.beginning import Parent

PARENT_POLL_S = 0.5
ORPHAN_GRACE_S = 1.0


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """SIGTERM and SIGINT stop in order, ``stop`` hears which it was; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def handle(signal_number: int) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + signal_number)
        asked = True
        stop(signal.Signals(signal_number))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def ask_on_hangup(
    ask: Callable[[], None], stop: Callable[[], None], was_hung_up: Callable[[], bool]
) -> Iterator[None]:
    """SIGHUP asks for a reload, unless it tells that the terminal of this process is gone: that stops it.

    ``was_hung_up`` says whether one came before, while nobody listened: that asks too.
    """
    loop = asyncio.get_running_loop()
    had_terminal = os.isatty(2)

    def asked() -> None:
        LOGGER.info("SIGHUP: reading the configuration again")
        ask()

    def handle() -> None:
        if had_terminal and not os.isatty(2):
            stop()
        else:
            asked()

    loop.add_signal_handler(signal.SIGHUP, handle)
    if was_hung_up():
        asked()
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def stop_with_parent(parent: Parent, stop: Callable[[], None]) -> None:
    """Stop when the process that started us is gone: an orphan would eat half of the stream."""
    loop = asyncio.get_running_loop()
    is_told = asyncio.Event()
    parent.when_gone = lambda: loop.call_soon_threadsafe(is_told.set)
    try:
        while not parent.is_gone:  # asked too: not every system tells
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(is_told.wait(), PARENT_POLL_S)
    finally:
        parent.when_gone = lambda: None  # known now, or no loop is there to be told
    LOGGER.info("the parent process is gone: stopping")
    stop()
    # The parent was the server, most often, and will acknowledge nothing any more: shutdown_timeout would be in vain.
    await asyncio.sleep(ORPHAN_GRACE_S)
    LOGGER.info("stopped: what was in flight goes back to the broker")
    os._exit(EXIT_OK)
