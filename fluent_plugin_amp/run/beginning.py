"""The first moments of a process: what must not wait until everything is imported.

Python needs some tenths of a second for that.  Meanwhile a SIGHUP would end the process, and the parent of a
``--supervised`` one might die unnoticed and leave an orphan, which would eat a part of the stream.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Sequence
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PARENT_SIGNAL = signal.SIGUSR1
_OUTPUTS = (1, 2)


class Beginning:
    """Holds signals, and watches the parent, until the process can act on them.  Made first of all.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.was_hung_up = False
        """SIGHUP came before the event loop listened to it: the configuration is to be read again."""
        self.parent = Parent() if "--supervised" in arguments else None
        if "run" in arguments and "--once" not in arguments and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            self._had_terminal = os.isatty(2)
            signal.signal(signal.SIGHUP, self._hung_up)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if self._had_terminal and not os.isatty(2):  # then it is no wish, but the end of the terminal
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)
        self.was_hung_up = True


class Parent:
    """The process that started this one; made while that one is thought to be there.

    The kernel sends a signal when the parent ends, or the thread of it that started us; and a parent that reads our
    output is gone when nobody reads it any more: this also tells of one that was gone before we could ask for the
    signal.  That the parent is process 1 tells nothing: in a container it may be Fluentd.
    """

    def __init__(self) -> None:
        self._pid = os.getppid()
        self.when_gone: Callable[[], object] = lambda: os._exit(0)  # nothing was begun yet
        signal.signal(_PARENT_SIGNAL, self._signalled)
        _ask_for_signal()
        self._look()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return os.getppid() != self._pid or any(map(_has_no_reader, _OUTPUTS))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._look()

    def _look(self) -> None:
        if self.is_gone:
            self.when_gone()


def _ask_for_signal() -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(_PARENT_SIGNAL), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # no Linux, or no ctypes: `is_gone` is asked again and again


def _has_no_reader(descriptor: int) -> bool:
    """Whether it is a pipe, a socket or a terminal whose other end is closed."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
