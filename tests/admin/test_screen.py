"""Notes that nobody takes stop no work, and are told afterwards."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from fluent_plugin_amp.admin.screen import Screen, Unprintable
from fluent_plugin_amp.errors import UsageError


class Gone(io.StringIO):
    """A terminal that was closed."""

    def isatty(self) -> bool:
        """It was one."""
        return True

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
