"""`fluent-plugin-amp backfill` and `reconcile`: recorded events, from the options to the words at the end.

What is found goes to standard output, everything else to standard error; where somebody watches that, a bar tells how
far it is and how long it will take, waits for the rate limit included.  Ctrl-C and SIGTERM end it in order, a second
one at once.
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
from fluent_plugin_amp.errors import EXIT_OK, Interrupted, UsageError
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from fluent_plugin_amp.commands.history.backfill import Backfill
    from fluent_plugin_amp.commands.history.reconcile import Reconciliation
    from fluent_plugin_amp.config import Config, StreamConfig
    from fluent_plugin_amp.history.batches import Progress
    from fluent_plugin_amp.history.span import Span

LINE_EVERY_S = 30.0
"""Where nobody watches, so often a line says how far it is."""

_stream_option = click.option("--stream", "stream_name", metavar="NAME", help="Needed where several are configured.")
_since_option = click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="2026-11-20, 2026-11-20T18:00:00Z (UTC if it says nothing), 2h, 7d, 1w (so long ago), yesterday, today.",
)


@click.command()
@config_option
@_stream_option
@_since_option
@click.option("--until", metavar="TIME", help="The same, or now; this time itself is not included.  [default: now]")
@click.option("--resend", is_flag=True, help="Also send what the state file knows as delivered.")
@click.option("--restart", is_flag=True, help="Begin anew although an earlier run with these times was interrupted.")
@report_errors
def backfill(
    config_path: Path, stream_name: str | None, since: str, until: str | None, resend: bool, restart: bool
) -> int:
    """Deliver what the Cisco cloud recorded in a span of time, newest first, through the pipeline of `run`.

    The events are those that the event stream carries: its event types, its groups. What the state file knows as
    delivered is left out; what is delivered is recorded there after the ack. It may work beside a running daemon.
    After an interruption of any kind the same command goes on where it was; without a state file it begins anew,
    and sends everything. Events that also wait in the stream's queue will be delivered from there once more.

    It needs the stream's `api` in the configuration, and its `cloud` unless the broker or the `credentials_file`
    tells it; or AMP_CLIENT_ID, AMP_API_KEY and AMP_REGION.

    \b
    Examples:
      fluent-plugin-amp backfill -c amp.yml --stream emea --since 7d
      fluent-plugin-amp backfill -c amp.yml --stream emea --since 2026-11-01 --until 2026-11-02T12:00:00Z
    """
    config, stream, span = _asked(config_path, stream_name, since, until)
    from fluent_plugin_amp.commands.history.backfill import Backfill

    if config.state.path is None:
        click.echo("note: no `state.path`: everything is sent, and an interrupted run begins anew", err=True)
    job = Backfill(config, stream, span, (stream.name, since, until or ""), resend=resend, restart=restart)
    _run(f"backfill {stream.name}", job)
    what = str(span)
    if job.resumed is not None:
        click.echo(f"went on with what an interrupted run had left: {job.resumed}", err=True)
        what = "that, and since"
    letters = job.counters.dead_letters
    delivered = job.counters.delivered - letters
    if not job.is_done:
        raise Interrupted(
            f"{delivered} delivered, {letters} dead letters, then stopped",
            remedy="Run the same command again: it goes on from there."
            if config.state.path is not None
            else "Without `state.path` the same command begins anew.",
        )
    dropped = f", {job.dropped} dropped" if job.dropped else ""
    click.echo(
        f"{what}: {job.in_cloud + job.dropped} events in the cloud: {delivered} delivered, "
        f"{letters} dead letters, {job.known} delivered before{dropped}",
        err=True,
    )
    return EXIT_OK


@click.command()
@config_option
@_stream_option
@_since_option
@click.option(
    "--until",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="The same, or now; what is younger may still be on its way.",
)
@click.option("--repair", is_flag=True, help="Deliver what is missing.")
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
@report_errors
def reconcile(config_path: Path, stream_name: str | None, since: str, until: str, repair: bool, as_json: bool) -> int:
    """Compare what the Cisco cloud recorded with what the state file says was delivered, hour by hour.

    Exit code 1: something is missing (with --repair: it was delivered now, and the code is 0).

    Only the state file tells what was delivered. What happened before it was there, or longer ago than
    `state.remember`, is `not known`. What still waits in the stream's queue counts as missing, so let `run` catch
    up first. What was delivered while the state file could not be written counts as missing too. Where the API
    shows a rounded id, time, event type, connector and detection decide; if several events are alike in all of
    these and one of them is missing, --repair sends them all.

    \b
    Examples:
      fluent-plugin-amp reconcile -c amp.yml --stream emea --since 2d
      fluent-plugin-amp reconcile -c amp.yml --stream emea --since 2026-11-20 --until 2026-11-21 --repair
      fluent-plugin-amp reconcile -c amp.yml --since 1d --json | jq .missing
    """
    config, stream, span = _asked(config_path, stream_name, since, until)
    from fluent_plugin_amp.commands.history.reconcile import Reconciliation

    job = Reconciliation(config, stream, span, time.time(), repair)
    _run(f"reconcile {stream.name}", job)
    if not job.is_done:
        raise Interrupted(f"stopped before the end; {job.repaired} events were delivered")
    if as_json:
        echo_json(job.as_json())
        return job.exit_code
    click.echo(one_line(f"stream {stream.name}, {span}"))
    click.echo(table_text(job.table()), nl=False)
    for note in job.notes():
        click.echo(f"note: {one_line(note)}")
    return job.exit_code


def _asked(
    config_path: Path, stream_name: str | None, since: str, until: str | None
) -> tuple[Config, StreamConfig, Span]:
    """Configuration, stream and span that the options name."""
    from fluent_plugin_amp.history.span import Span, parse_time
    from fluent_plugin_amp.observe import logs

    config = load_config(config_path)
    logs.set_up("warning", config.logging.format)
    stream = pick_stream(config, stream_name, in_doubt_ask=True)
    now = time.time()
    try:
        span = Span(parse_time(since, now), min(int(now), parse_time(until, now) if until else int(now)))
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    if span.since >= span.until:
        raise UsageError(f"there is no time between --since and --until: {span}")
    return config, stream, span


def _run(what: str, job: Backfill | Reconciliation) -> None:
    """Run it to its end, watched, until a signal stops it."""
    from fluent_plugin_amp.commands.history.around import Around
    from fluent_plugin_amp.observe import logs
    from fluent_plugin_amp.run.signals import stop_on_signals

    async def main() -> None:
        stop = asyncio.Event()

        def stop_for(_: signal.Signals) -> None:
            click.echo("stopping: what is on its way is waited for; once more to end at once", err=True)
            stop.set()

        with stop_on_signals(stop_for), Watch(what) as watch:
            await job.run(Around(os.environ, logs.LogObserver(), watch.wait, stop, watch))

    asyncio.run(main())


class Watch:
    """Shows on standard error how far it is: a bar on a terminal, else a line now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
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
        """So far it is."""
        left = "the time left is not known" if progress.left_s is None else f"{units.duration(progress.left_s)} left"
        total = None if progress.left is None else progress.read + progress.left
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress.read, total=total, left=left, description=self._what)
        elif time.monotonic() - self._said_at >= LINE_EVERY_S:
            self._said_at = time.monotonic()
            click.echo(f"{self._what}: {progress.read} of about {total or '?'} events, {left}", err=True)

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
