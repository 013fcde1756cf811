"""What these programs show: data on standard output, everything else on standard error.

Colours, countdowns and progress are for terminals only; into a file or a pipe goes plain text, each row on one
line.  Names come from the cloud and may hold anything: what is not printable is shown escaped, and nothing is
read as mark-up.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from fluent_plugin_amp.commands import console
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.text import in_json, one_line

if TYPE_CHECKING:
    from fluent_plugin_amp.cisco.api import Wait


class Unprintable(Exception):
    """Standard output, or standard error, takes nothing any more."""

    def __init__(self, exc: OSError, name: str = "stdout") -> None:
        super().__init__(f"standard {'error' if name == 'stderr' else 'output'} cannot be written: {exc.strerror}")
        self.reader_left = isinstance(exc, BrokenPipeError)
        """As `head` does: it has what it wanted."""


def error_json(error: PluginError | None) -> dict[str, str] | None:
    """An error for ``--json``; None for none."""
    return None if error is None else {"id": error.id, "message": str(error), "remedy": error.remedy}


class Screen:
    """The two streams of one command.

    A reader that leaves tears no request away from its answer: notes that nobody takes are passed over, and
    `refuse_unread` tells of them.  ``check`` is called once a second while something is waited for, and may raise.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._gone: dict[str, OSError] = {}
        """Of ``stdout`` and ``stderr``, the one that takes nothing any more: nothing is written to it."""
        self._is_closed = sys.stdout is None
        """As with ``>&-``: there is no reader of data."""
        self._is_counting = False
        """A countdown is drawn: a terminal has room for one."""
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the program ends
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a letter must not cost a password.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    @property
    def watched(self) -> bool:
        """Somebody sees standard error as it is written."""
        return "stderr" not in self._gone and sys.stderr.isatty()

    def refuse_unread(self) -> None:
        """Raises Unprintable when something was written that nobody took."""
        for name, exc in self._gone.items():
            raise Unprintable(exc, name) from exc

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """For a question, which is written to both streams.  Raises Unprintable when nobody can read it."""
        try:
            if gone := self._gone.get("stderr"):
                raise gone
            yield
            sys.stderr.flush()  # `input` passes over an error of its prompt
        except OSError as exc:
            self._write("stderr", sys.stderr.flush)  # what it did not take is still in its buffer
            unread = Unprintable(exc, "stderr" if "stderr" in self._gone else "stdout")
            unread.reader_left = False  # an answer is wanted of it
            raise unread from exc

    def _write(self, name: str, write: Callable[[], object]) -> None:
        """Unless that stream took nothing before."""
        if name in self._gone:
            return
        try:
            write()
        except OSError as exc:
            self._lose(name, exc)

    def _lose(self, name: str, exc: OSError) -> None:
        """That stream takes nothing any more."""
        self._gone[name] = exc
        # What is still buffered goes nowhere, or the interpreter would complain about it at exit.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, getattr(sys, name).fileno())
            finally:
                os.close(nowhere)

    # --- data ------------------------------------------------------------------------------------

    def data(self, text: str) -> None:
        """Text as it is.  Raises Unprintable when nobody takes it, now and ever after."""

        def write() -> None:
            if self._is_closed:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            click.echo(text, nl=False)
            sys.stdout.flush()

        self._write("stdout", write)
        if exc := self._gone.get("stdout"):
            raise Unprintable(exc) from exc

    def json(self, value: object) -> None:
        """One JSON document."""
        self.data(in_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under their headings."""
        from rich.text import Text

        table = console.new_table(*columns)
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        self.data(console.table_text(table))

    # --- notes -----------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A line for the user, if somebody takes it."""
        self._write("stderr", lambda: console.note(text))

    def error(self, error: PluginError, *, debug: bool) -> None:
        """As every error is shown; but what it rescued first, so that it is not lost."""
        rescue = getattr(error, "rescue", "")
        if rescue:
            self.note("\n!!! KEEP THIS NOW: the password below is shown only this once !!!\n")
            try:
                self.data(rescue.rstrip("\n") + "\n")
            except Unprintable:
                self._write("stderr", lambda: click.echo(rescue, err=True))
            self.note("")
        self._write("stderr", lambda: console.show_error(error, debug=debug))

    # --- waiting ---------------------------------------------------------------------------------

    async def wait(self, seconds: float, why: str) -> None:
        """The `Wait` of the API client: a countdown where somebody looks, one line where nobody does.

        A second wait at the same time is not shown at a terminal.
        """
        if not self.watched:
            self._write("stderr", lambda: console.note_wait(seconds, why))
        if not self.watched or self._is_counting:
            await self._sleep(seconds)
            return
        from rich.text import Text

        self._is_counting = True
        end_s = time.monotonic() + seconds
        try:
            with console.rich_console(sys.stderr).status("") as status:
                await self._sleep(seconds, lambda left: status.update(Text(f"{one_line(why)}: waiting {left}")))
        except OSError as exc:  # the terminal is gone
            self._lose("stderr", exc)
            await self._sleep(end_s - time.monotonic())
        finally:
            self._is_counting = False

    def wait_beside(self, who: str) -> Wait:
        """A `Wait` for one of many who work at the same time: a line each, for pauses worth one."""

        async def wait(seconds: float, why: str) -> None:
            self._write("stderr", lambda: console.note_wait(seconds, f"{who}: {why}"))
            await self._sleep(seconds)

        return wait

    async def _sleep(self, seconds: float, show: Callable[[str], None] = lambda left: None) -> None:
        def tick(left: str) -> None:
            self._check()
            show(left)

        await console.count_down(seconds, tick)

    @contextlib.contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar on terminals; the function that is given moves it by one."""
        if not self.watched:
            yield lambda: None
            return
        from rich.progress import TimeElapsedColumn

        with console.progress_bar(TimeElapsedColumn()) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)
