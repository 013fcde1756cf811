"""The command `amp-streams apply`: what it asks before it begins, and what it says of each tenant.

The work itself is in `apply`; this is the shell between it and the user.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fluent_plugin_amp.admin.fleet_file import read_fleet
from fluent_plugin_amp.admin.screen import Screen, error_json
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.admin.tenants import Tenant, chosen_tenants
from fluent_plugin_amp.amp_streams.apply import Options, Row, apply
from fluent_plugin_amp.amp_streams.plugin_files import PluginFiles
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CredentialsNotSaved
from fluent_plugin_amp.commands.console import shared_code
from fluent_plugin_amp.commands.queue_depth import Brokers
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK
from fluent_plugin_amp.text import how_many


def apply_file(
    session: Session, path: Path, folder: Path, options: Options, *, only: Sequence[str], yes: bool, as_json: bool
) -> int:
    """Bring the tenants of a fleet file to their streams: those named by ``only``, or all.

    Returns the exit code that all failures share, else 1; 1 too where an old stream waits to be drained.
    """
    tenants = read_fleet(path, os.environ)
    chosen = chosen_tenants(tenants, only)
    if options.prune and not options.dry_run:
        session.confirm("Delete the event streams that are not in the file (--dry-run lists them)?", yes)
    if options.finish and not options.dry_run:
        waits = "though events wait in its queue" if options.discard else "whose queue is empty"
        what = f"Delete each old stream {waits}, of {how_many(len(chosen), 'tenant')}?"
        session.confirm(f"{what} What came before its twin was made must be delivered.", yes)
    with session.interrupts.held_back("finishing what is under way, then stopping (again: at once)"):
        rows = session.run(lambda: _apply(session, chosen, folder, options))
        if as_json:
            session.screen.json([_as_json(row) for row in rows])
        else:
            _show_rows(session.screen, rows, chosen, dry_run=options.dry_run)
    code = shared_code(row.error.exit_code for row in rows if row.error is not None)
    return code or (EXIT_NO if any(row.action == "wait" for row in rows) else EXIT_OK)


async def _apply(session: Session, tenants: Sequence[Tenant], folder: Path, options: Options) -> list[Row]:
    at_once = options.at_once
    async with contextlib.AsyncExitStack() as stack:
        moved = stack.enter_context(session.screen.progress("tenants", len(tenants)))
        clients = {
            ca_file: await stack.enter_async_context(session.http(ca_file, connections=at_once))
            for ca_file in {tenant.cloud.ca_file for tenant in tenants}
        }

        def open_api(tenant: Tenant) -> CiscoApi:
            http = clients[tenant.cloud.ca_file]
            return session.api(tenant.cloud, tenant.key, http, wait=session.screen.wait_beside(tenant.name))

        def done(tenant: Tenant, rows: list[Row]) -> None:
            moved()
            for row in rows:
                if isinstance(row.error, CredentialsNotSaved):
                    session.screen.error(row.error, debug=False)  # at once: it is all there is of a password

        files = PluginFiles(folder)
        brokers = Brokers(session.broker_proxy)
        return await apply(tenants, open_api, files, options, brokers, done=done, check=session.interrupts.check)


def _show_rows(screen: Screen, rows: Sequence[Row], tenants: Sequence[Tenant], *, dry_run: bool) -> None:
    shown = [row for row in rows if row.action != "keep"]
    if shown:
        cells = [
            (row.tenant, row.stream, row.action, f"[{row.error.id}] {row.detail}" if row.error else row.detail)
            for row in shown
        ]
        screen.table(("TENANT", "STREAM", "ACTION", "DETAIL"), cells)
    for id_, remedy in dict.fromkeys((row.error.id, row.error.remedy) for row in rows if row.error is not None):
        screen.note(f"  what to do [{id_}]: {remedy}")
    counted = Counter(row.action for row in rows)
    summary = ", ".join(f"{count} {action}" for action, count in sorted(counted.items())) or "nothing to do"
    screen.note(f"{how_many(len(tenants), 'tenant')}: {summary}{' (dry run)' if dry_run else ''}")


def _as_json(row: Row) -> dict[str, object]:
    return {
        "tenant": row.tenant,
        "stream": row.stream or None,
        "action": row.action,
        "detail": row.detail,
        "error": error_json(row.error),
    }
