"""The options that several commands have, each with its words and its check."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def _only(context: click.Context, option: click.Parameter, values: Sequence[Any]) -> Any:
    if len(values) > 1:
        raise click.UsageError(f"{option.opts[0]}: give it once")
    if values and not str(values[0]).strip():
        raise click.UsageError(f"{option.opts[0]} is empty")
    return values[0] if values else None


class NamedPath(click.Path):
    """The path of a file or folder.  An empty one would be the working directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises UsageError where it is empty."""
        if not str(value).strip():
            raise click.UsageError(f"{param.opts[0] if param else 'a path'} is empty")
        return super().convert(value, param, ctx)


once = functools.partial(click.option, multiple=True, callback=_only)
"""An option that may not be repeated: the last one would be taken, and the others forgotten without a word.

Nor may it be empty, as an unset variable of the shell is: the organisation of the environment would be meant.
"""

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
save_option = click.option(
    "--save",
    type=NamedPath(),
    metavar="FILE",
    help="Save the credentials there (mode 0600); it is opened before anything is created.",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["yaml", "json", "env", "kubernetes"]),
    default="yaml",
    show_default=True,
    help="Form of the credentials; `credentials_file:` of the plugin takes yaml and json.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")
event_type_option = click.option(
    "--event-type",
    "event_types",
    multiple=True,
    metavar="NAME",
    help="Only events of this type: name in any case, older name, or id; or `all`. Repeatable.",
)
group_option = click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME",
    help="Only computers of this group: name in any case, or GUID; or `all`. Repeatable.",
)


# --- which cloud, which key, which way there -----------------------------------------------------

MAX_DAYS = 3650
"""Of a duration: nobody means more than ten years, and a calendar ends somewhere."""


def duration(ctx: click.Context, param: click.Parameter, value: str | float | None) -> float | None:
    """Seconds of an option such as ``--timeout 30s``."""
    if value is None or isinstance(value, float):  # the default
        return value
    from fluent_plugin_amp.config.units import Duration  # takes its time, and few need it

    seconds = Duration("0s").read(value)
    if seconds is None:
        raise click.BadParameter(f"{value!r} is not a duration{Duration.examples}")
    if seconds > MAX_DAYS * 86400:
        raise click.BadParameter(f"{value!r} is more than {MAX_DAYS}d")
    return seconds


def _proxy(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty")
    if value is not None and "@" in value:
        raise click.BadParameter("a proxy's password belongs in HTTPS_PROXY: options are seen by everybody")
    return value


ACCESS_OPTIONS = (
    once("--region", metavar="us|eu|apjc", help="Cisco's public cloud.  [env: AMP_REGION]"),
    once("--api-host", metavar="HOST", help="A private cloud: host, host:port or URL.  [env: AMP_API_HOST]"),
    once("--client-id", metavar="ID", help="The API client id.  [env: AMP_CLIENT_ID]"),
    once(
        "--api-key-file",
        metavar="FILE",
        help="A file with the API key; - is standard input.  [env: AMP_API_KEY_FILE, or AMP_API_KEY for the key]",
    ),
    once(
        "-c",
        "--config",
        "config_file",
        type=NamedPath(),
        help="Take `api:` and `cloud:` of a stream in this configuration.",
    ),
    once("--of-stream", metavar="NAME", help="With -c: which stream; by default the one that has `api:`."),
    once("--ca-file", metavar="FILE", help="PEM file of the CA of a private cloud.  [env: SSL_CERT_FILE]"),
)
NETWORK_OPTIONS = (
    click.option("--proxy", metavar="URL", callback=_proxy, help="A proxy without a password.  [env: HTTPS_PROXY]"),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.UNPROCESSED,
        callback=duration,
        metavar="TIME",
        default=30.0,
        show_default=False,  # it would be put in parentheses
        help="How long to wait for a connection or an answer.  [default: 30s]",
    ),
    click.option(
        "--max-wait",
        "max_wait_s",
        type=click.UNPROCESSED,
        callback=duration,
        metavar="TIME",
        default=300.0,
        show_default=False,
        help="How long the rate limit may hold up a request.  [default: 5m]",
    ),
)
