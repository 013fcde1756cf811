"""The command lines of `fluent-plugin-amp backfill` and `reconcile`.

The result goes to standard output, all else to standard error.  On a terminal a bar there shows the progress and the
time that is left, with the waits for the rate limit.  Ctrl-C and SIGTERM stop it in order; a second one ends it at
once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fluent_plugin_amp.commands.console import (
    config_option,
    count_down,
    echo_json,
    load_config,
    note_wait,
    pick_stream,
    progress_bar,
    report_errors,
    table_text,
)
from fluent_plugin_amp.errors import Interrupted, UsageError
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.text import how_many, one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from fluent_plugin_amp.commands.history.backfill import Backfill
    from fluent_plugin_amp.commands.history.past import Past
    from fluent_plugin_amp.commands.history.reconcile import Reconciliation
    from fluent_plugin_amp.config import Config
    from fluent_plugin_amp.history.batches import Progress
    from fluent_plugin_amp.history.span import Span

LINE_EVERY_S = 30.0
"""Seconds between two lines of progress, where there is no terminal."""

_stream_option = click.option(
    "--stream", "stream_name", metavar="NAME", help="The stream; needed where several are configured."
)
_source_option = click.option(
    "--source",
    metavar="NAME",
    help="An audit log instead of a stream: acme/audit_logs, or audit_logs where only one organisation has it.",
)
_since_option = click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="2026-11-20, 2026-11-20T18:00:00Z (UTC by default), 2h, 7d or 1w (that long ago), yesterday, today.",
)


@click.command()
@config_option
@_stream_option
@_source_option
@_since_option
@click.option("--until", metavar="TIME", help="As for --since, or now; the end itself is left out.  [default: now]")
@click.option("--resend", is_flag=True, help="Send what the state file knows as delivered, too.")
@click.option(
    "--restart",
    is_flag=True,
    help="Start again from the beginning, even if an earlier run with these times was interrupted.",
)
@report_errors
def backfill(
    config_path: Path,
    stream_name: str | None,
    source: str | None,
    since: str,
    until: str | None,
    resend: bool,
    restart: bool,
) -> int:
    """Deliver what the Cisco cloud recorded in a span of time, newest first, through the pipeline of `run`.

    It takes the events that the event stream carries: those of its event types and groups. It leaves out what the
    state file knows as delivered, and records each event there after its ack. A daemon may run meanwhile. After an
    interruption of any kind, the same command goes on where it was. Without a state file it starts again, and sends
    everything. Events that still wait in the stream's queue will be delivered from there once more.

    The stream needs `api` in the configuration, and `cloud` unless the broker or the `credentials_file` tells it.
    AMP_CLIENT_ID, AMP_API_KEY and AMP_REGION do as well.

    With --source it takes the entries of an organisation's audit log, as far as `run` has read it: what is later
    comes from there.

    \b
    Examples:
      fluent-plugin-amp backfill -c amp.yml --stream emea --since 7d
      fluent-plugin-amp backfill -c amp.yml --stream emea --since 2026-11-01 --until 2026-11-02T12:00:00Z
      fluent-plugin-amp backfill -c amp.yml --source audit_logs --since 30d
    """
    config, past, span = _asked(config_path, stream_name, source, since, until)
    from fluent_plugin_amp.commands.history.backfill import Backfill
    from fluent_plugin_amp.commands.history.past import LIST_IS_CUT

    if config.state.path is None:
        click.echo(
            "note: no `state.path`: everything is sent, and after an interruption the command starts again", err=True
        )
    job = Backfill(config, past, span, (past.name, since, until or ""), resend=resend, restart=restart)
    _run(f"backfill {past.name}", job)
    what = str(span)
    if job.resumed is not None:
        click.echo(f"went on with what an interrupted run had left: {job.resumed}", err=True)
        what = "that, and since"
    letters = job.counters.dead_letters
    delivered = job.counters.delivered - letters
    if not job.is_done:
        raise Interrupted(
            f"{delivered} delivered, {how_many(letters, 'dead letter')}, then stopped",
            remedy="Run the same command again: it goes on from there."
            if config.state.path is not None
            else "Without `state.path` the same command starts again.",
        )
    dropped = f", {job.dropped} dropped" if job.dropped else ""
    click.echo(
        f"{what}: {job.in_cloud + job.dropped} {past.noun} in the cloud: {delivered} delivered, "
        f"{how_many(letters, 'dead letter')}, {job.known} delivered before{dropped}",
        err=True,
    )
    if job.is_cut:
        click.echo(f"note: {LIST_IS_CUT}", err=True)
    return job.exit_code


@click.command()
@config_option
@_stream_option
@_source_option
@_since_option
@click.option(
    "--until",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="As for --since, or now; younger events may still be on their way.",
)
@click.option("--repair", is_flag=True, help="Deliver what is missing.")
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
@report_errors
def reconcile(
    config_path: Path,
    stream_name: str | None,
    source: str | None,
    since: str,
    until: str,
    repair: bool,
    as_json: bool,
) -> int:
    """Compare what the Cisco cloud recorded with what the state file knows as delivered, hour by hour.

    Exit code 1: something is missing. With --repair it is delivered now, and the code is 0.

    Only the state file tells what was delivered. Events from before it existed, or older than `state.remember`, are
    `not known`. Events that still wait in the stream's queue count as missing: let `run` catch up first. So do events
    that were delivered while the state file could not be written. Where the API shows a rounded id, events are
    compared by time, event type, connector and detection. If several are alike in all of these and one of them is
    missing, --repair sends them all.

    With --source it compares the audit log of an organisation, as far as `run` has read it.

    \b
    Examples:
      fluent-plugin-amp reconcile -c amp.yml --stream emea --since 2d
      fluent-plugin-amp reconcile -c amp.yml --stream emea --since 2026-11-20 --until 2026-11-21 --repair
      fluent-plugin-amp reconcile -c amp.yml --since 1d --json | jq .missing
      fluent-plugin-amp reconcile -c amp.yml --source acme/audit_logs --since 7d
    """
    config, past, span = _asked(config_path, stream_name, source, since, until)
    from fluent_plugin_amp.commands.history.reconcile import Reconciliation

    job = Reconciliation(config, past, span, time.time(), repair)
    _run(f"reconcile {past.name}", job)
    if not job.is_done:
        raise Interrupted(f"stopped before the end; {past.noun} delivered: {job.repaired}")
    if as_json:
        echo_json(job.as_json())
        return job.exit_code
    click.echo(one_line(f"{past.kind} {past.name}, {span}"))
    click.echo(table_text(job.table()), nl=False)
    for note in job.notes():
        click.echo(f"note: {one_line(note)}")
    return job.exit_code


def _asked(
    config_path: Path, stream_name: str | None, source: str | None, since: str, until: str | None
) -> tuple[Config, Past, Span]:
    """Configuration, stream or source, and span that the options name."""
    from fluent_plugin_amp.commands.history.past import AuditLogPast, EventsPast, pick_audit_log
    from fluent_plugin_amp.history.span import Span, parse_time
    from fluent_plugin_amp.observe import logs

    config = load_config(config_path)
    logs.set_up("warning", config.logging.format)
    if source is not None and stream_name is not None:
        raise UsageError("--stream and --source exclude each other")
    past: Past = (
        EventsPast(pick_stream(config, stream_name, in_doubt_ask=True))
        if source is None
        else pick_audit_log(config, source)
    )
    now = time.time()
    try:
        span = Span(parse_time(since, now), min(int(now), parse_time(until, now) if until else int(now)))
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    if span.since >= span.until:
        raise UsageError(f"--since must be before --until: {span}")
    if isinstance(past, AuditLogPast) and (end := past.end(now)) < span.until:
        if span.since >= end:
            raise UsageError(f"{past.name}: `run` itself reads what was added since {units.day_and_time(end)}")
        span = Span(span.since, end)
        click.echo(f"note: ends at {units.day_and_time(end)}: what is later is left to `run`", err=True)
    return config, past, span


def _run(what: str, job: Backfill | Reconciliation) -> None:
    """Run it to its end, or until a signal stops it, and show the progress."""
    from fluent_plugin_amp.commands.history.around import Around
    from fluent_plugin_amp.observe import logs
    from fluent_plugin_amp.run.signals import stop_on_signals

    async def main() -> None:
        stop = asyncio.Event()

        def stop_for(_: signal.Signals) -> None:
            click.echo("stopping, once what is on its way has arrived; press again to end at once", err=True)
            stop.set()

        with stop_on_signals(stop_for), Watch(what, job.past.noun) as watch:
            await job.run(Around(os.environ, logs.LogObserver(), watch.wait, stop, watch))

    asyncio.run(main())


class Watch:
    """Shows the progress on standard error: a bar on a terminal, else a line every `LINE_EVERY_S`."""

    def __init__(self, what: str, noun: str = "events") -> None:
        self._what = what
        self._noun = noun
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._said_at = time.monotonic()

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            from rich.progress import TextColumn

            self._bar = progress_bar(TextColumn("{task.fields[left]}", markup=False))
            self._task = self._bar.add_task(self._what, total=None, left="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the work has come."""
        left = "the time left is not known" if progress.left_s is None else f"{units.duration(progress.left_s)} left"
        total = None if progress.left is None else progress.read + progress.left
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress.read, total=total, left=left, description=self._what)
        elif time.monotonic() - self._said_at >= LINE_EVERY_S:
            self._said_at = time.monotonic()
            click.echo(f"{self._what}: {progress.read} of about {total or '?'} {self._noun}, {left}", err=True)

    async def wait(self, seconds: float, why: str) -> None:
        """A `Wait` of the API."""
        bar, task = self._bar, self._task
        if bar is None or task is None:
            note_wait(seconds, f"{self._what}: {why}")
            await asyncio.sleep(seconds)
            return
        why = one_line(why)
        await count_down(
            seconds, lambda left: bar.update(task, description=f"{self._what}: {why}, goes on in {left}")
        )
