"""Notes that nobody takes stop no work, and are told afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from fluent_plugin_amp.admin.screen import Screen, Unprintable
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.config.access import Given
from fluent_plugin_amp.errors import UsageError


class Window(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


class Gone(Window):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        """Fail."""
        raise OSError(errno.EIO, "Input/output error")


async def test_a_terminal_that_goes_away_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause takes its time, as the cloud asked for it; the next one has no countdown."""
    monkeypatch.setattr(sys, "stderr", Gone())
    screen = Screen()
    assert screen.watched
    start_s = time.monotonic()
    await screen.wait(0.05, "rate limit")
    assert time.monotonic() - start_s >= 0.05
    assert not screen.watched
    await screen.wait(0.0, "rate limit")
    screen.note("done")
    with pytest.raises(Unprintable, match="standard error cannot be written: Input/output error"):
        screen.refuse_unread()


class Terminal(io.TextIOWrapper):
    """What was opened at a terminal."""

    def isatty(self) -> bool:
        """It was one when the command looked."""
        return True


@contextlib.contextmanager
def unread() -> Iterator[io.TextIOWrapper]:
    """A standard error at a terminal that was closed."""
    window, write = os.openpty()
    os.close(window)
    stream = Terminal(os.fdopen(write, "wb"), line_buffering=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        yield stream
    with contextlib.suppress(OSError):
        stream.close()


def goes_nowhere(stream: io.TextIOWrapper) -> bool:
    """What is written there is lost without an error."""
    return os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))


@pytest.mark.parametrize("note", ["", "events waiting: 0"])
def test_a_question_that_nobody_can_read_agrees_to_nothing(monkeypatch: pytest.MonkeyPatch, note: str) -> None:
    """Also where a note failed before, and where an answer waits on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with unread() as stream:
        session = Session(Given, proxy=None, timeout_s=1.0, max_wait_s=1.0)
        if note:
            session.screen.note(note)
        with pytest.raises(Unprintable, match="standard error cannot be written: Input/output error") as caught:
            session.confirm("Delete 'SIEM'?", yes=False)
        assert not caught.value.reader_left
        assert goes_nowhere(stream)


async def test_a_terminal_that_goes_away_in_a_wait_fails_no_exit() -> None:
    """What is still buffered is not written when the interpreter ends, which would give it another exit code."""
    with unread() as stream:
        await Screen().wait(0.05, "rate limit")
        assert goes_nowhere(stream)


async def test_two_who_wait_at_once_draw_one_countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one terminal each would write over the other; both take their time, and the next wait is shown again."""
    terminal = Window()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    start_s = time.monotonic()
    await asyncio.gather(screen.wait(0.05, "isolation"), screen.wait(0.1, "computer"))
    assert time.monotonic() - start_s >= 0.1
    assert "isolation: waiting" in terminal.getvalue()
    assert "computer: waiting" not in terminal.getvalue()
    await screen.wait(0.05, "computer")
    assert "computer: waiting" in terminal.getvalue()


def test_a_stream_without_a_descriptor_costs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left open for a stream that is no file."""
    monkeypatch.setattr(sys, "stderr", Gone())
    before = os.listdir("/proc/self/fd")
    Screen().note("done")
    assert os.listdir("/proc/self/fd") == before


@contextlib.contextmanager
def closed() -> Iterator[None]:
    """As with `>&- 2>&-`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        patched.setattr(sys, "stderr", None)
        try:
            yield
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.close()


def test_a_closed_standard_error_is_asked_for() -> None:
    """What is said there is nobody's, and no error."""
    with closed():
        screen = Screen()
        assert not screen.watched
        screen.note("done")
        screen.error(UsageError("what"), debug=False)
        screen.refuse_unread()


def test_a_closed_standard_output_is_one_whose_reader_has_left() -> None:
    """Data of each form goes nowhere, which is told."""
    shows: list[Callable[[Screen], None]] = [
        lambda screen: screen.data("x"),
        lambda screen: screen.json([]),
        lambda screen: screen.table(("A",), [("x",)]),
    ]
    for show in shows:
        with closed():
            screen = Screen()
            with pytest.raises(Unprintable) as caught:
                show(screen)
            assert caught.value.reader_left
            with pytest.raises(Unprintable, match="standard output cannot be written"):
                screen.refuse_unread()
