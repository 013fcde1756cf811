"""Signals that wait until a password is safe.

While a stream is created, Ctrl-C, SIGTERM and a lost terminal must not tear the request away from its answer, the
only thing that holds the password.  They are noted, said, and obeyed when the block is over.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from fluent_plugin_amp.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The signals of one command.

    ``say`` tells the user that a signal was noted.  A second Ctrl-C is not held back any more.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.noted: signal.Signals | None = None
        self._say = say

    @contextmanager
    def held_back(self, why: str) -> Iterator[None]:
        """Until the end of the block, signals are only noted; ``why`` is said when one arrives.

        At the end a noted signal is raised, unless the block fails by itself.  Outside the main thread, where
        Python delivers no signals, this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            if self.noted is signal.SIGINT and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.noted = signal.Signals(number)
            self._say(why)

        before = {number: signal.getsignal(number) for number in SIGNALS}
        before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.noted is not None:
            signal.raise_signal(self.noted)

    def check(self) -> None:
        """Raise Interrupted when a signal was noted: for moments in which nothing can be lost."""
        if self.noted is not None:
            raise Interrupted("interrupted")
