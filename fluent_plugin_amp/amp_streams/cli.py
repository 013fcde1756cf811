"""The command `amp-streams`: parse, call, map errors to exit codes.

What is done is in `cisco`; what is shown, in `description` and `admin.screen`.  Each command imports what it runs
and no more, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fluent_plugin_amp import __version__
from fluent_plugin_amp.admin.options import (
    NamedPath,
    dry_run_option,
    event_type_option,
    format_option,
    group_option,
    json_option,
    save_option,
    yes_option,
)
from fluent_plugin_amp.admin.session import Session, connected, networked
from fluent_plugin_amp.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from fluent_plugin_amp.amp_streams.description import Description
    from fluent_plugin_amp.amp_streams.key_check import Finding
    from fluent_plugin_amp.cisco.api import CiscoApi


def main() -> None:
    """The console script."""
    cli(prog_name="amp-streams")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The key: AMP_CLIENT_ID and AMP_API_KEY (or AMP_API_KEY_FILE); the cloud: AMP_REGION or AMP_API_HOST. "
    "Exit codes: 0 done, 1 the answer is no, 2 usage, 69 unavailable, 70 bug, 77 refused, 78 configuration, "
    "130 interrupted.",
)
@click.version_option(__version__, "--version")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Manage the event streams of Cisco AMP for Endpoints (Secure Endpoint)."""


# --- looking -------------------------------------------------------------------------------------


@cli.command()
@json_option
@connected
def test(session: Session, as_json: bool) -> int:
    """Try the key: does it work, in which cloud, what may it do, what is left of the rate limit.

    Without a region or host, every public cloud is asked. Nothing is changed anywhere.

    \b
    Example:
      amp-streams test
    """
    from fluent_plugin_amp.amp_streams.key_check import check_key, verdict
    from fluent_plugin_amp.cisco.regions import CLOUDS

    access = session.access()
    clouds = [access.cloud] if access.cloud else list(CLOUDS.values())

    async def ask() -> list[Finding]:
        async with session.http(access.cloud.ca_file if access.cloud else None) as http:
            return await check_key(clouds, lambda cloud: session.api(cloud, access.key, http))

    findings = session.run(ask)
    if as_json:
        session.screen.json([finding.as_json() for finding in findings])
    error = verdict(findings)
    if error is not None:
        raise error
    if not as_json:
        session.screen.data("".join(finding.as_text() for finding in findings if finding.error is None))
    return EXIT_OK


@cli.command("list")
@json_option
@connected
def list_(session: Session, as_json: bool) -> int:
    """List the event streams, with types and groups by name.

    \b
    Example:
      amp-streams list
    """
    from fluent_plugin_amp.amp_streams.description import describe, show_all

    async def look(api: CiscoApi) -> list[Description]:
        return await describe(api, await api.event_streams())

    found = session.with_api(look)
    if as_json:
        session.screen.json([each.as_json() for each in found])
    else:
        show_all(session.screen, found)
    return EXIT_OK


@cli.command()
@json_option
@click.argument("stream")
@connected
def show(session: Session, stream: str, as_json: bool) -> int:
    """Show one event stream, by name or id.

    \b
    Example:
      amp-streams show SIEM
    """
    from fluent_plugin_amp.amp_streams.description import describe, show_one
    from fluent_plugin_amp.cisco.streams import find

    async def look(api: CiscoApi) -> Description:
        found = await find(api, stream)
        return (await describe(api, [await api.event_stream(found.id)]))[0]

    found = session.with_api(look)
    if as_json:
        session.screen.json(found.as_json())
    else:
        show_one(session.screen, found)
    return EXIT_OK


@cli.command("event-types")
@click.option("--search", default="", metavar="TEXT", help="Only those with TEXT in a name, old name or id.")
@json_option
@connected
def event_types_(session: Session, search: str, as_json: bool) -> int:
    """List the event types that a stream can be restricted to.

    \b
    Example:
      amp-streams event-types --search quarantine
    """
    from fluent_plugin_amp.amp_streams.tasks import show_names
    from fluent_plugin_amp.cisco.streams import event_type_names

    return show_names(session.screen, session.with_api(event_type_names), search, "ID", as_json=as_json)


@cli.command("groups")
@click.option("--search", default="", metavar="TEXT", help="Only those with TEXT in the name or GUID.")
@json_option
@connected
def groups_(session: Session, search: str, as_json: bool) -> int:
    """List the groups of computers that a stream can be restricted to.

    \b
    Example:
      amp-streams groups --search server
    """
    from fluent_plugin_amp.amp_streams.tasks import show_names
    from fluent_plugin_amp.cisco.streams import group_names

    return show_names(session.screen, session.with_api(group_names), search, "GUID", as_json=as_json)


# --- making --------------------------------------------------------------------------------------


@cli.command()
@event_type_option
@group_option
@save_option
@format_option
@dry_run_option
@click.argument("name")
@connected
def create(
    session: Session,
    name: str,
    event_types: tuple[str, ...],
    groups: tuple[str, ...],
    save: Path | None,
    format_: str,
    dry_run: bool,
) -> int:
    """Create an event stream; of all events and all groups, unless restricted.

    Cisco shows the password once. Without --save the credentials are printed.

    \b
    Examples:
      amp-streams create SIEM --save siem.yml
      amp-streams create "Threats only" --event-type "Threat Detected" --event-type "Threat Quarantined"
      amp-streams create SIEM --format kubernetes | kubectl apply -f -
    """
    from fluent_plugin_amp.amp_streams import tasks

    keep = tasks.Keep(save, format_, dry_run)
    tasks.create(session, name, event_types, groups, keep)
    return EXIT_OK


@cli.command()
@save_option
@format_option
@dry_run_option
@click.argument("stream")
@click.argument("new_name", metavar="NEWNAME")
@connected
def duplicate(session: Session, stream: str, new_name: str, save: Path | None, format_: str, dry_run: bool) -> int:
    """Create an event stream with the types and groups of another.

    \b
    Example:
      amp-streams duplicate SIEM "SIEM test" --save test.yml
    """
    from fluent_plugin_amp.amp_streams import tasks

    keep = tasks.Keep(save, format_, dry_run)
    session.with_api(lambda api: tasks.duplicate(session, api, stream, new_name, keep))
    return EXIT_OK


# --- changing ------------------------------------------------------------------------------------


@cli.command()
@click.option("--name", help="A new name.")
@event_type_option
@click.option("--all-event-types", is_flag=True, help="Lift the restriction to event types.")
@group_option
@click.option("--all-groups", is_flag=True, help="Lift the restriction to groups.")
@dry_run_option
@click.argument("stream")
@connected
def update(
    session: Session,
    stream: str,
    name: str | None,
    event_types: tuple[str, ...],
    all_event_types: bool,
    groups: tuple[str, ...],
    all_groups: bool,
    dry_run: bool,
) -> int:
    """Change the name, the event types or the groups of a stream; what is not given stays.

    Types and groups that are given replace those of before. Credentials and queue stay the same.

    \b
    Example:
      amp-streams update SIEM --event-type "Threat Detected" --all-groups
    """
    if (event_types and all_event_types) or (groups and all_groups):
        raise UsageError("give either names, or --all-…")
    if not (name or event_types or all_event_types or groups or all_groups):
        raise UsageError("nothing to change: give a name, event types or groups")
    from fluent_plugin_amp.amp_streams import tasks

    change = tasks.Change(name, None if all_event_types else event_types, None if all_groups else groups)
    tasks.update(session, stream, change, dry_run=dry_run)
    return EXIT_OK


@cli.command()
@yes_option
@click.argument("stream")
@connected
def delete(session: Session, stream: str, yes: bool) -> int:
    """Delete an event stream, with everything that waits in its queue.

    \b
    Example:
      amp-streams delete SIEM
    """
    from fluent_plugin_amp.amp_streams import tasks

    tasks.delete(session, stream, yes=yes)
    return EXIT_OK


@cli.command()
@click.option(
    "--save",
    type=NamedPath(),
    metavar="FILE",
    required=True,
    help="The file for the new credentials; the same one with --finish.",
)
@format_option
@click.option("--finish", is_flag=True, help="Second step: delete the old stream, once its queue is empty.")
@click.option(
    "--discard",
    is_flag=True,
    help="With --finish: delete it even if events wait in its queue, or nobody knows how many.",
)
@yes_option
@dry_run_option
@click.argument("stream")
@connected
def rotate(
    session: Session,
    stream: str,
    save: Path,
    format_: str,
    finish: bool,
    discard: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    """Give a stream a new password: a twin takes its place, and nothing is lost.

    Cisco cannot reset a password. So the first step creates a twin and tells how to consume both; the second,
    with --finish, deletes the old stream when its queue is empty, and gives the twin its name. Either can be
    interrupted and repeated.

    \b
    Examples:
      amp-streams rotate SIEM --save siem-new.yml
      amp-streams rotate SIEM --save siem-new.yml --finish
    """
    from fluent_plugin_amp.amp_streams import tasks

    keep = tasks.Keep(save, format_, dry_run)
    return tasks.rotate(session, stream, save, keep, finish=finish, discard=discard, yes=yes)


@cli.command()
@click.option("--prune", is_flag=True, help="Delete the event streams that are not in the file.")
@click.option(
    "--output",
    type=NamedPath(),
    metavar="FOLDER",
    help="Where credentials/ and streams.d/ go; by default the folder of the file.",
)
@click.option("--verify", is_flag=True, help="Try the saved credentials of every stream with its broker.")
@click.option(
    "--rotate",
    "rotate_names",
    multiple=True,
    metavar="TENANT",
    help="Give the streams of this tenant new passwords, and do nothing for others; or `all`. Repeatable.",
)
@click.option(
    "--finish", is_flag=True, help="With --rotate, second step: delete each old stream whose queue is empty."
)
@click.option(
    "--discard",
    is_flag=True,
    help="With --finish: delete them even if events wait in their queues, or nobody knows how many.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Tenants at a time.")
@yes_option
@dry_run_option
@json_option
@click.argument("fleet", metavar="FLEET.yml", type=NamedPath())
@networked
def apply(
    session: Session,
    fleet: Path,
    prune: bool,
    output: Path | None,
    verify: bool,
    rotate_names: tuple[str, ...],
    finish: bool,
    discard: bool,
    jobs: int,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring many organisations to the event streams of one file.

    Creates and updates; deletes only with --prune. Writes credentials/ and streams.d/, which `include:` of the
    plugin takes. A tenant's failure does not stop the others. The keys are in the file, as ${VARIABLES} or files.

    --rotate works as `rotate` does: first it makes a twin of each stream; with --finish the twin takes the stream's
    place, in the cloud and in the folder, once the old queue is empty. Either can be repeated.

    \b
    Examples:
      amp-streams apply fleet.yml --dry-run
      amp-streams apply fleet.yml --verify
      amp-streams apply fleet.yml --rotate "Acme Corp"
      amp-streams apply fleet.yml --rotate "Acme Corp" --finish
    """
    from fluent_plugin_amp.amp_streams.apply import Options
    from fluent_plugin_amp.amp_streams.fleet import apply_file

    if (finish and not rotate_names) or (discard and not finish):
        raise UsageError("--finish belongs to --rotate, and --discard to --finish")
    rotate = bool(rotate_names) and not finish
    options = Options(dry_run, prune, at_once=jobs, rotate=rotate, finish=finish, discard=discard, verify=verify)
    return apply_file(session, fleet, output or fleet.parent, options, only=rotate_names, yes=yes, as_json=as_json)
