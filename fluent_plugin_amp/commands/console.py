"""The console of both programs: how a command ends, and how tables, bars and waits look.

The commands of `fluent-plugin-amp` also find their configuration and stream here.
"""

from __future__ import annotations

import functools
import io
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from fluent_plugin_amp.errors import EXIT_BUG, EXIT_NO, EXIT_OK, Interrupted, PluginError, UsageError
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.text import in_json, lines, of_bug, of_error, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.table import Column, Table

    from fluent_plugin_amp.config import Config, StreamConfig

DEFAULT_CONFIG = "/etc/fluent-plugin-amp/config.yml"

_PLAIN_WIDTH = 100_000
"""Columns where the output is not a terminal, so that no row is wrapped or cut."""

Command = TypeVar("Command", bound=Callable[..., Any])


MEANT = {"start": "run", "daemon": "run", "serve": "run", "test": "check", "validate": "check"}
"""Commands of other programs, and ours for the same.  By its letters alone `start` would suggest `state`."""


class Commands(click.Group):
    """A group of commands that suggests ours for the name of another program's."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest a command; never run one that was not named."""
        if args and args[0] in MEANT and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{MEANT[args[0]]}'?")
        return super().resolve_command(ctx, args)


def report_errors(command: Command) -> Command:
    """Exit with the code that `conclude` gives a command."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        sys.exit(conclude(lambda: command(*args, **kwargs)))

    return wrapper  # type: ignore[return-value]


# --- the end -------------------------------------------------------------------------------------


def show_error(error: PluginError, *, debug: bool) -> None:
    """Show what happened and what to do; with ``debug`` the traceback, too."""
    if debug:
        _show_traceback(error)
    click.echo(f"error [{error.id}]: {of_error(error)}", err=True)
    if error.remedy:
        click.echo(f"  what to do: {one_line(error.remedy)}", err=True)


def conclude(command: Callable[[], int | None], show: Callable[..., None] = show_error) -> int:
    """Run a command of either program, show the error that ends it, and return the exit code.

    ``show`` gets a `PluginError`, whose own code is returned.  Any other exception is our bug: 70.  Ctrl-C is
    `Interrupted`, at a prompt, too.  A question that is answered with no gives 1.
    """
    debug = bool(click.get_current_context().find_root().params.get("debug"))
    try:
        try:
            return command() or EXIT_OK
        except (click.Abort, KeyboardInterrupt) as exc:
            raise _stopped(exc) from None
    except Unconfirmed:
        note("nothing was done")
        return EXIT_NO
    except PluginError as error:
        show(error, debug=debug)
        return error.exit_code
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads any more: no second error about the first
        return EXIT_OK
    except Exception as exc:
        if debug:
            _show_traceback(exc)
        note(f"error [bug]: {of_bug(exc)}")  # never its message: nobody checked it for secrets
        note("  what to do: run it again with --debug before the command, and report what it prints")
        return EXIT_BUG


def shared_code(codes: Iterable[int]) -> int:
    """One exit code for several failures: 0 for none, their own where all share it, 1 where they differ."""
    different = set(codes)
    return EXIT_OK if not different else different.pop() if len(different) == 1 else EXIT_NO


def _show_traceback(exc: BaseException) -> None:
    note("".join(traceback.format_exception(exc)).rstrip())


class Unconfirmed(Exception):
    """The user was asked, and said no."""


def _stopped(exc: BaseException) -> Exception:
    """The error for a command that a signal, or the answer to a question, has ended."""
    if isinstance(exc, KeyboardInterrupt) or isinstance(exc.__context__, KeyboardInterrupt):
        return Interrupted("interrupted")
    if isinstance(exc.__context__, EOFError):
        return nobody_agreed()
    return Unconfirmed()


def nobody_agreed(needed: str = "a yes", remedy: str = "Give --yes.") -> UsageError:
    """The error for a question where nobody can answer."""
    return UsageError(f"this needs {needed}, and there is no terminal to ask on", remedy=remedy)


# --- words, tables, bars -------------------------------------------------------------------------


def note(text: str) -> None:
    """Lines for the user, on standard error."""
    click.echo(lines(text), err=True)


def echo_json(value: Any) -> None:
    """Print ``value`` as JSON, indented."""
    import msgspec

    click.echo(in_json(msgspec.json.format(msgspec.json.encode(value).decode(), indent=2)))


def rich_console(file: IO[str], **options: Any) -> Console:
    """A rich console that prints names as they are, whatever brackets and colons they have."""
    from rich.console import Console

    return Console(file=file, markup=False, highlight=False, emoji=False, **options)


def new_table(*columns: str | Column) -> Table:
    """Columns under their headings, without lines."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def table_text(table: Table) -> str:
    """A table as text for standard output: coloured and wrapped on a terminal, else each row on one line."""
    text = io.StringIO()  # rich has ways of its own with closed pipes
    watched = sys.stdout.isatty()
    width = (shutil.get_terminal_size().columns or 80) if watched else _PLAIN_WIDTH
    rich_console(text, width=width, force_terminal=watched).print(table)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A bar on standard error that vanishes when it is done.  ``columns`` stand at its end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    what = TextColumn("{task.description}", markup=False)
    return Progress(
        what, BarColumn(), MofNCompleteColumn(), *columns, console=rich_console(sys.stderr), transient=True
    )


async def count_down(seconds: float, tick: Callable[[str], None]) -> None:
    """Wait, and tell ``tick`` every second how long it will still take.  What ``tick`` raises ends the wait."""
    import asyncio

    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        tick(units.duration(round(left)))
        await asyncio.sleep(min(1.0, left))


def note_wait(seconds: float, why: str) -> None:
    """Print a line for a pause of a second or more, where no countdown is shown."""
    if seconds >= 1:
        note(f"{one_line(why)}: waiting {units.duration(round(seconds))}")


# --- configuration -------------------------------------------------------------------------------


def config_option(command: Command) -> Command:
    """``-c FILE``."""
    option = click.option(
        "-c",
        "--config",
        "config_path",
        envvar="FLUENT_PLUGIN_AMP_CONFIG",
        default=DEFAULT_CONFIG,
        show_default=True,
        show_envvar=True,
        type=click.Path(readable=False, path_type=Path),  # `load_config` says why it cannot be read
        help="Configuration file.",
    )
    return option(command)


def load_config(path: Path, running: Config | None = None) -> Config:
    """Load the configuration.  Raises ConfigError with all mistakes.  ``running``: see `config.load`."""
    from fluent_plugin_amp.config import load

    return load(path, running=running)


def pick_stream(config: Config, name: str | None, *, in_doubt_ask: bool = False) -> StreamConfig:
    """The stream of that name, or the first.  ``in_doubt_ask``: UsageError where several are there, and no name."""
    names = ", ".join(stream.name for stream in config.streams)
    if in_doubt_ask and name is None and len(config.streams) > 1:
        raise UsageError(f"which stream? There are: {names}", remedy="Name one with --stream.")
    for stream in config.streams:
        if name is None or stream.name == name:
            return stream
    raise UsageError(f"no stream is named {name!r}; there are: {names}" if name else "no stream is configured")
