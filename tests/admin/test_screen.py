"""Notes that nobody takes stop no work, and are told afterwards."""

from __future__ import annotations

import errno
import io
import sys
import time

import pytest

from fluent_plugin_amp.admin.screen import Screen, Unprintable


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


def test_what_is_written_to_closed_streams_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `2>&-`: that is asked for, and no error."""
    monkeypatch.setattr(sys, "stderr", None)
    screen = Screen()
    assert not screen.watched
    screen.note("done")
    screen.refuse_unread()
