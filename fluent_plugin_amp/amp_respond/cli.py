"""The command `amp-respond`: parse, call, map errors to exit codes.

What a command does is in `tasks`, or in the module of its name; what changes something goes through `doing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fluent_plugin_amp import __version__
from fluent_plugin_amp.admin.options import duration, json_option, once
from fluent_plugin_amp.admin.session import Session, offline
from fluent_plugin_amp.amp_respond.doing import Doing
from fluent_plugin_amp.amp_respond.options import (
    ActingCommand,
    acting,
    from_option,
    journal_option,
    of_tenant,
    open_journal,
    reason_option,
    ship_left,
    ship_option,
    wait_option,
)
from fluent_plugin_amp.commands.console import shared_code
from fluent_plugin_amp.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from fluent_plugin_amp.admin.tenants import Tenant


def main() -> None:
    """The console script."""
    cli(prog_name="amp-respond")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The key: AMP_CLIENT_ID and AMP_API_KEY (or AMP_API_KEY_FILE); the cloud: AMP_REGION or AMP_API_HOST. "
    "Exit codes: 0 done, 1 not so yet, 2 usage, 69 unavailable, 70 bug, 77 refused, 78 configuration, "
    "130 interrupted.",
)
@click.version_option(__version__, "--version")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Hunt for a threat in Cisco AMP for Endpoints (Secure Endpoint), and respond to it.

    One computer or file is asked about; several are only shown, unless --yes is given. Each action is written into a
    journal before it is done, and `undo` takes it back.
    """


@cli.command()
@click.option("--executed", is_flag=True, help="Ask each computer whether it ran the file, one request each.")
@json_option
@click.option("--all-tenants", is_flag=True, help="With --fleet: in every organisation of the file.")
@click.argument("what", metavar="SHA256|IP|NAME")
@of_tenant
def hunt(
    session: Session, tenant: str | None, what: str, executed: bool, all_tenants: Sequence[Tenant], as_json: bool
) -> int:
    """Show who has seen a file, an address or a name, and who raised no event for it.

    \b
    Example:
      amp-respond hunt 95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba --executed
    """
    from fluent_plugin_amp.amp_respond import hunts

    if all_tenants:
        found = session.run(lambda: hunts.hunt_all(session, all_tenants, what, executed=executed))
    else:
        found = [session.with_api(lambda api: hunts.hunt(api, what, executed=executed, tenant=tenant))]
    if as_json:
        told = [one.as_json() for one in found]
        session.screen.json(told if all_tenants else told[0])
    else:
        hunts.show(session.screen, found)
    hunts.show_failed(session.screen, found)
    return shared_code(one.error.exit_code for one in found if one.error is not None)


@cli.command()
@json_option
@click.argument("computer")
@of_tenant
def status(session: Session, tenant: str | None, computer: str, as_json: bool) -> int:
    """Show isolation, group, policy and last seen of a computer: its host name in full, or its connector GUID.

    \b
    Example:
      amp-respond status desk-014
    """
    from fluent_plugin_amp.amp_respond.tasks import show_status

    return show_status(session, computer, as_json=as_json)


@cli.command(cls=ActingCommand)
@once("--hash", "sha256", metavar="SHA256", help="Also every computer that has seen this file.")
@click.option("--no-event", is_flag=True, help="With --hash: only those that raised no event for it.")
@from_option
@reason_option
@wait_option
@click.argument("computers", nargs=-1, metavar="[COMPUTER]...")
@acting
def isolate(
    session: Session, doing: Doing, computers: tuple[str, ...], file: Path | None, sha256: str | None, no_event: bool
) -> int:
    """Cut computers off from their network, but for Cisco's cloud.

    The policy is asked first whether it may. Then the state is shown until it is reached; an offline computer stays
    pending.

    \b
    Examples:
      amp-respond isolate desk-014 --reason "case 77"
      amp-respond isolate --hash 95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba --reason "case 77"
    """
    from fluent_plugin_amp.amp_respond import tasks

    if no_event and sha256 is None:
        raise UsageError("--no-event belongs to --hash")
    return tasks.isolate(session, doing, "isolate", computers, file, sha256, without_event=no_event)


@cli.command(cls=ActingCommand)
@from_option
@reason_option
@wait_option
@click.argument("computers", nargs=-1, metavar="[COMPUTER]...")
@acting
def release(session: Session, doing: Doing, computers: tuple[str, ...], file: Path | None) -> int:
    """End the isolation of computers.

    \b
    Example:
      amp-respond release desk-014 --reason "case 77: cleaned"
    """
    from fluent_plugin_amp.amp_respond import tasks

    return tasks.isolate(session, doing, "release", computers, file)


list_option = once("--list", "list_name", required=True, metavar="NAME", help="The list: name in full, or GUID.")


@cli.command(cls=ActingCommand)
@list_option
@from_option
@reason_option
@click.argument("hashes", nargs=-1, metavar="[SHA256]...")
@acting
def block(session: Session, doing: Doing, hashes: tuple[str, ...], file: Path | None, list_name: str) -> int:
    """Put files on a list of simple custom detections or application blocking, never on an allow list.

    \b
    Example:
      amp-respond block 95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba --list "SOC list" \\
        --reason "case 77"
    """
    from fluent_plugin_amp.amp_respond import tasks

    return tasks.block(session, doing, "block", hashes, file, list_name)


@cli.command(cls=ActingCommand)
@list_option
@from_option
@reason_option
@click.argument("hashes", nargs=-1, metavar="[SHA256]...")
@acting
def unblock(session: Session, doing: Doing, hashes: tuple[str, ...], file: Path | None, list_name: str) -> int:
    """Take files off such a list.

    \b
    Example:
      amp-respond unblock 95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba --list "SOC list" \\
        --reason "case 77: clean"
    """
    from fluent_plugin_amp.amp_respond import tasks

    return tasks.block(session, doing, "unblock", hashes, file, list_name)


@cli.command()
@click.option("--files", "with_files", is_flag=True, help="Each file on them, too.")
@json_option
@of_tenant
def lists(session: Session, tenant: str | None, with_files: bool, as_json: bool) -> int:
    """Show the lists for blocking, their types, and the policies that use them.

    \b
    Example:
      amp-respond lists --files
    """
    from fluent_plugin_amp.amp_respond.tasks import show_lists

    return show_lists(session, with_files=with_files, as_json=as_json)


@cli.command(cls=ActingCommand)
@once("--group", required=True, metavar="NAME", help="Where to: name in full, or GUID.")
@click.option("--empty-group", is_flag=True, help="Also where a group is left without computers.")
@from_option
@reason_option
@click.argument("computers", nargs=-1, metavar="[COMPUTER]...")
@acting
def move(
    session: Session, doing: Doing, computers: tuple[str, ...], file: Path | None, group: str, empty_group: bool
) -> int:
    """Put computers into another group, whose policy follows when they are online.

    \b
    Example:
      amp-respond move desk-014 --group Triage --reason "case 77"
    """
    from fluent_plugin_amp.amp_respond import tasks

    return tasks.move(session, doing, computers, file, group, empty_group=empty_group)


@cli.command()
@click.option("--computer", metavar="COMPUTER", help="Only what is vulnerable on this one.")
@click.option("--sha256", metavar="SHA256", help="Only this program.")
@json_option
@of_tenant
def vulnerable(session: Session, tenant: str | None, computer: str | None, sha256: str | None, as_json: bool) -> int:
    """Show vulnerable programs, the worst first, and how many computers have them.

    \b
    Example:
      amp-respond vulnerable --computer desk-014
    """
    from fluent_plugin_amp.amp_respond.vulnerable import programs, show

    found = session.with_api(lambda api: programs(api, computer, sha256))
    if as_json:
        session.screen.json([one.as_json() for one in found])
    else:
        show(session.screen, found)
    return EXIT_OK


@cli.command()
@click.option(
    "--since", "since_s", type=click.UNPROCESSED, callback=duration, metavar="TIME", help="Not older than, as 7d."
)
@json_option
@journal_option
@ship_option
@offline
def journal(
    session: Session, since_s: float | None, as_json: bool, journal_file: Path | None, ship_config: Path | None
) -> int:
    """Show what was done, by whom, why, and what became of it.

    An entry without an answer is `unknown`: the program was killed before it could write it.

    \b
    Examples:
      amp-respond journal --since 7d
      amp-respond journal --ship /etc/fluent-plugin-amp/config.yml
    """
    from fluent_plugin_amp.amp_respond.tasks import show_journal

    code = show_journal(session, open_journal(journal_file), since_s, as_json=as_json)
    if ship_config is not None:
        ship_left(session, ship_config, open_journal(journal_file))
    return code


@cli.command(cls=ActingCommand)
@once("--reason", metavar="TEXT", help="Why; by default that of the entry.")
@wait_option
@click.argument("entry")
@acting
def undo(session: Session, doing: Doing, entry: str) -> int:
    """Take back an entry of the journal: release what it isolated, unblock what it blocked, move back.

    \b
    Example:
      amp-respond undo 7f3a91c20b44
    """
    from fluent_plugin_amp.amp_respond import undo as undoing

    return undoing.undo(session, doing, entry)
