"""What the commands of `fluent-plugin-amp` share: how they end, and how they find configuration and stream."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fluent_plugin_amp.errors import EXIT_BUG, EXIT_NO, EXIT_OK, Interrupted, PluginError, UsageError
from fluent_plugin_amp.text import in_json, lines, of_bug, of_error, one_line

if TYPE_CHECKING:
    from fluent_plugin_amp.config import Config, StreamConfig

DEFAULT_CONFIG = "/etc/fluent-plugin-amp/config.yml"

Command = TypeVar("Command", bound=Callable[..., Any])


MEANT = {"start": "run", "daemon": "run", "serve": "run", "test": "check", "validate": "check"}
"""Commands of other programs, and ours: by their letters alone, `start` is most like `state`."""


class Commands(click.Group):
    """A group that knows which command is meant by a name of another program."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Never a command that was not named: a suggestion at most."""
        if args and args[0] in MEANT and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{MEANT[args[0]]}'?")
        return super().resolve_command(ctx, args)


def report_errors(command: Command) -> Command:
    """Show a `PluginError` with its id and remedy and exit with its code; anything else is our bug, 70.

    Ctrl-C is `Interrupted`, at a prompt too; a question answered with no leaves 1.
    """

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        debug = bool(click.get_current_context().find_root().params.get("debug"))
        try:
            try:
                code = command(*args, **kwargs)
            except (click.Abort, KeyboardInterrupt) as exc:
                raise _stopped(exc) from None
        except Unconfirmed:
            click.echo("nothing was done", err=True)
            sys.exit(EXIT_NO)
        except PluginError as error:
            if debug:
                click.echo(lines(traceback.format_exc()), err=True, nl=False)
            click.echo(f"error [{error.id}]: {of_error(error)}", err=True)
            if error.remedy:
                click.echo(f"  what to do: {one_line(error.remedy)}", err=True)
            sys.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            sys.stderr.close()  # nobody reads any more: no second error about the first
            sys.exit(EXIT_OK)
        except Exception as exc:
            if debug:
                click.echo(lines(traceback.format_exc()), err=True, nl=False)
            click.echo(f"error [bug]: {of_bug(exc)}", err=True)
            click.echo(
                "  what to do: run it again with --debug before the command, and report what it prints", err=True
            )
            sys.exit(EXIT_BUG)
        sys.exit(code or EXIT_OK)

    return wrapper  # type: ignore[return-value]


class Unconfirmed(Exception):
    """The user was asked, and said no."""


def _stopped(exc: BaseException) -> Exception:
    """What became of a command that was not let go on: the same, whatever it was about to do."""
    if isinstance(exc, KeyboardInterrupt) or isinstance(exc.__context__, KeyboardInterrupt):
        return Interrupted("interrupted")
    if isinstance(exc.__context__, EOFError):
        return UsageError("nobody agreed", remedy="Where nobody can be asked, give --yes.")
    return Unconfirmed()


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


def load_config(path: Path) -> Config:
    """The configuration, or its mistakes, all of them (`ConfigError`)."""
    from fluent_plugin_amp.config import load

    return load(path)


def pick_stream(config: Config, name: str | None) -> StreamConfig:
    """The stream of that name, or the first."""
    for stream in config.streams:
        if name is None or stream.name == name:
            return stream
    names = ", ".join(stream.name for stream in config.streams)
    raise UsageError(f"no stream is named {name!r}; there are: {names}" if name else "no stream is configured")


def echo_json(value: Any) -> None:
    """``value`` as JSON, for people and programs."""
    import msgspec

    click.echo(in_json(msgspec.json.format(msgspec.json.encode(value).decode(), indent=2)))
