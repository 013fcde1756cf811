"""The options that several commands of `amp-respond` have."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fluent_plugin_amp.admin.options import NamedPath, dry_run_option, duration, json_option, once, yes_option
from fluent_plugin_amp.admin.screen import Unprintable
from fluent_plugin_amp.admin.session import Session, connected
from fluent_plugin_amp.amp_respond.brakes import MAX, Brakes
from fluent_plugin_amp.amp_respond.comments import checked_reason
from fluent_plugin_amp.amp_respond.doing import Doing
from fluent_plugin_amp.amp_respond.journal import Journal, default_path
from fluent_plugin_amp.errors import OutputClosed, UsageError
from fluent_plugin_amp.text import how_many

Command = TypeVar("Command", bound=Callable[..., Any])


class ActingCommand(click.Command):
    """One whose words cannot be mistaken: its names stand together, and no option is the value of another.

    ``isolate a --reason attacked b`` does not say whether b is a name.  ``isolate a --yes --reason --dry-run`` lacks
    the reason, and would be no dry run.
    """

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError where names stand before and after an option, or one is the value of another."""
        options = [one for one in self.params if isinstance(one, click.Option)]
        if not context.resilient_parsing:
            self._refuse_scattered_names(context, args, options)
        left = super().parse_args(context, args)
        for one in options:
            value = str(context.params.get(one.name or ""))
            if not one.is_flag and self._is_option(context, value):
                raise click.UsageError(f"{one.opts[0]} lacks its value: {value} is an option")
        return left

    def _is_option(self, context: click.Context, word: str) -> bool:
        """Whether the word is an option of this command, also as ``--option=value`` or ``-ovalue``."""
        spellings = {spelling for one in self.get_params(context) for spelling in (*one.opts, *one.secondary_opts)}
        return word.partition("=")[0] in spellings or word[:2] in spellings

    def _refuse_scattered_names(self, context: click.Context, args: list[str], options: list[click.Option]) -> None:
        parser = click.Command(self.name, params=list(options)).make_parser(context)
        parser.allow_interspersed_args = False
        left, is_named = list(args), False
        while left:
            _, names, before = parser.parse_args(list(left))
            if names and is_named and before:
                raise click.UsageError(
                    f"names stand before and after {before[-1].opts[0]}: put all names together, "
                    "and a value of several words in quotes"
                )
            if left[: len(left) - len(names)][-1:] == ["--"]:  # nothing after it is an option
                break
            left = list(itertools.dropwhile(lambda word: word == "-" or not word.startswith("-"), names))
            is_named = is_named or bool(names)


journal_option = click.option(
    "--journal",
    "journal_file",
    type=NamedPath(),
    envvar="AMP_RESPOND_JOURNAL",
    metavar="FILE",
    help="The journal.  [env: AMP_RESPOND_JOURNAL; default: ~/.local/state/amp-respond/journal.ndjson]",
)
ship_option = click.option(
    "--ship",
    "ship_config",
    type=NamedPath(),
    metavar="CONFIG",
    help="Send what the journal has, and was not sent, to the servers of this configuration.",
)
from_option = once(
    "--from",
    "file",
    type=NamedPath(),
    metavar="FILE",
    help="Names from a file, one a line; - is stdin.",
)
wait_option = click.option(
    "--wait",
    "wait_s",
    type=click.UNPROCESSED,
    callback=duration,
    metavar="TIME",
    default=600.0,
    show_default=False,  # it would be put in parentheses
    help="How long to look until the state is reached; 0s: not at all.  [default: 10m]",
)

_TENANT_OPTIONS = (
    once("--fleet", type=NamedPath(), metavar="FLEET.yml", help="A fleet file, with --tenant."),
    once("--tenant", metavar="NAME", help="The organisation of the fleet file that is meant."),
)
_ACTING_OPTIONS = (
    yes_option,
    dry_run_option,
    click.option(
        "--max", "most", type=click.IntRange(1), default=MAX, show_default=True, help="So many are done at most."
    ),
    click.option("--count", type=click.IntRange(1), help="The number that has to be typed for more than ten."),
    journal_option,
    ship_option,
)


def open_journal(file: Path | None) -> Journal:
    """The journal that is named, or the user's own."""
    return Journal(file or default_path(os.environ))


def ship_left(session: Session, config: Path, journal: Journal) -> None:
    """Do what --ship asks for, and tell how many entries that were."""
    from fluent_plugin_amp.amp_respond.shipping import ship

    session.screen.note(f"{how_many(ship(config, journal), 'entry')} sent")


def of_tenant(command: Command) -> Command:
    """Give a command a `Session` with the cloud and key of its options, or of the ``tenant`` in a fleet file."""

    @functools.wraps(command)
    def wrapper(session: Session, fleet: Path | None, tenant: str | None, **arguments: Any) -> Any:
        asks_all = bool(arguments.get("all_tenants"))
        if (fleet is None) is (tenant is not None or asks_all):
            raise UsageError("--fleet belongs to --tenant or, for a hunt, --all-tenants")
        if asks_all and tenant is not None:
            raise UsageError("give --tenant or --all-tenants, not both")
        if fleet is None:
            _refuse_unknown_organisation(session, click.get_current_context())
        else:
            from fluent_plugin_amp.admin.fleet_file import read_fleet
            from fluent_plugin_amp.admin.tenants import chosen_tenants

            _refuse_another_key(click.get_current_context())
            tenants = read_fleet(fleet, os.environ)
            if tenant is None:
                arguments["all_tenants"] = tenants
            else:
                chosen = chosen_tenants(tenants, [tenant])
                if len(chosen) != 1:
                    raise UsageError("--tenant: name one")
                session.use(chosen[0].cloud, chosen[0].key)
                tenant = chosen[0].name
        return command(session, tenant=tenant, **arguments)

    for option in reversed(_TENANT_OPTIONS):
        wrapper = option(wrapper)
    return connected(wrapper)  # type: ignore[return-value]


def _refuse_another_key(context: click.Context) -> None:
    names = ("region", "api_host", "client_id", "api_key_file", "config_file", "of_stream")
    options = {option.name: option.opts[0] for option in context.command.params}
    if given := [options[name] for name in names if context.params.get(name) is not None]:
        raise UsageError(f"which organisation? --fleet has cloud and key, and so has {given[0]}: give one of them")


def _refuse_unknown_organisation(session: Session, context: click.Context) -> None:
    stream = context.params.get("of_stream")
    if stream is not None and "AMP_CLIENT_ID" in session.access().variables:
        raise UsageError(
            f"which organisation? the stream {stream} has no client id, and AMP_CLIENT_ID may be of another one",
            remedy="Give the stream `api:`, or leave --of-stream out.",
        )


def acting(command: Command) -> Command:
    """The same for a command that changes something: it gets a `Doing`, made of the options that all of them have."""

    @functools.wraps(command)
    def wrapper(
        session: Session,
        tenant: str | None,
        reason: str | None,
        yes: bool,
        dry_run: bool,
        most: int,
        count: int | None,
        journal_file: Path | None,
        ship_config: Path | None,
        as_json: bool,
        wait_s: float = 0.0,
        **arguments: Any,
    ) -> Any:
        brakes = Brakes(yes, dry_run, most, count)
        doing = Doing(
            "" if reason is None else checked_reason(reason),
            brakes,
            open_journal(journal_file),
            tenant,
            as_json,
            wait_s,
        )
        if ship_config is not None:
            from fluent_plugin_amp.amp_respond.shipping import read_config

            read_config(ship_config)  # what cannot be sent later is told before anything is done
        try:
            code = command(session, doing, **arguments)
            if ship_config is not None and not dry_run:
                ship_left(session, ship_config, doing.journal)
            session.screen.refuse_unread()
        except Unprintable as exc:
            if dry_run:
                raise
            raise OutputClosed(str(exc), remedy="See `amp-respond journal` for what was done.") from exc
        return code

    for option in (json_option, *reversed(_ACTING_OPTIONS)):
        wrapper = option(wrapper)
    return of_tenant(wrapper)  # type: ignore[return-value]


reason_option = once("--reason", required=True, metavar="TEXT", help="Why: for the journal and the console.")
