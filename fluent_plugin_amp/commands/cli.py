"""The command line of `fluent-plugin-amp`: it parses, calls, and turns errors into exit codes.

Each command imports only what it runs, so that `--help` answers at once and `run` starts fast.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fluent_plugin_amp import __version__
from fluent_plugin_amp.commands.console import (
    Commands,
    config_option,
    echo_json,
    load_config,
    pick_stream,
    report_errors,
    table_text,
)
from fluent_plugin_amp.commands.history.cli import backfill, reconcile
from fluent_plugin_amp.commands.shape_cli import shape
from fluent_plugin_amp.commands.verify_cli import verify
from fluent_plugin_amp.errors import EXIT_OK, DemoIncomplete, UsageError
from fluent_plugin_amp.run.beginning import Beginning
from fluent_plugin_amp.text import how_many, one_line

if TYPE_CHECKING:
    from fluent_plugin_amp.config import Config

GC_THRESHOLD = 20_000
"""Python looks for garbage after it has made this many containers more than it freed."""

_OK, _NO = click.style("ok", "green"), click.style("no", "red")


def main(beginning: Beginning | None = None) -> None:
    """The command line; ``beginning`` was made before this module was imported."""
    cli(prog_name="fluent-plugin-amp", obj=beginning)


stdout_option = click.option(
    "--stdout",
    "stdout_format",
    type=click.Choice(["json", "msgpack"]),
    help="Write records to standard output instead of Forward servers (at most once past the pipe).",
)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 usage, 69 unavailable, 70 bug, 77 refused, 78 configuration, "
    "130 interrupted.",
)
@click.version_option(__version__, "--version")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(debug: bool) -> None:
    """Cisco AMP for Endpoints event streams into Fluentd and Fluent Bit, acknowledged end to end."""


@cli.command()
@config_option
@click.option(
    "--once",
    is_flag=True,
    help="Deliver what is in the queues now, then exit; give up (69) when nothing is delivered for "
    "forward.pause_after: the broker or every server is away, or none acks.",
)
@click.option("--supervised", is_flag=True, help="Exit when the parent process is gone.")
@stdout_option
@report_errors
def run(config_path: Path, once: bool, supervised: bool, stdout_format: Literal["json", "msgpack"] | None) -> int:
    """Consume the event streams and deliver their events, until stopped.

    \b
    Examples:
      fluent-plugin-amp run -c amp.yml
      fluent-plugin-amp run -c amp.yml --once
      fluent-plugin-amp run -c amp.yml --stdout json | jq .event_type
    """
    beginning = click.get_current_context().obj or Beginning(sys.argv[1:])

    from fluent_plugin_amp import descriptors
    from fluent_plugin_amp.observe import logs
    from fluent_plugin_amp.run import daemon

    config = load_config(config_path)
    logs.set_up(config.logging.level, config.logging.format)
    descriptors.raise_limit()
    for warning in config.warnings:
        logs.LOGGER.warning("%s", warning)
    # The objects so far stay, and events leave no cycles behind.  Python's own rate of garbage collection would
    # take a tenth of the time of an event.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return asyncio.run(
        daemon.run(
            config,
            logs.LogObserver(streams=len(config.own_streams)),
            once=once,
            parent=beginning.parent if supervised else None,
            was_hung_up=lambda: beginning.was_hung_up,
            stdout=stdout_format,
            load=functools.partial(load_config, config_path),
        )
    )


@cli.command()
@config_option
@click.option("--end-to-end", is_flag=True, help="Also send one record to each server and wait for its ack.")
@click.option("--stream", "stream_names", multiple=True, help="Try only this stream; may be repeated.")
@click.option("--failures", is_flag=True, help="Show only what is not ok, and a summary.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON array.")
@report_errors
def check(config_path: Path, end_to_end: bool, stream_names: tuple[str, ...], failures: bool, as_json: bool) -> int:
    """Try the configuration, the state file, each stream and each server, and print one row for each.

    It does not disturb a running daemon, and takes no event out of a queue.

    \b
    Examples:
      fluent-plugin-amp check -c amp.yml --end-to-end
      fluent-plugin-amp check -c amp.yml --failures
    """
    from fluent_plugin_amp import descriptors
    from fluent_plugin_amp.commands import check as job

    config = load_config(config_path)
    descriptors.raise_limit()
    streams = [pick_stream(config, name) for name in stream_names] or None
    rows = asyncio.run(job.check(config, streams=streams, end_to_end=end_to_end))
    if as_json:
        echo_json([row.as_json() for row in rows if not (failures and row.ok)])
        return job.exit_code(rows)
    loaded = job.Row("configuration", "", str(config_path), True, how_many(len(config.streams), "stream"))
    for is_ok, line in job.table([loaded, *rows], failures_only=failures):
        click.echo(f"{_OK if is_ok else _NO}  {line}")
    if failures or len(rows) > job.SUMMARY_FROM:
        click.echo(job.summary(rows))
    for warning in config.warnings:
        click.echo(f"warning: {one_line(warning)}", err=True)
    return job.exit_code(rows)


@cli.command()
@config_option
@click.option("--stream", "stream_name", help="The stream whose tag and transforms to use.  [default: the first]")
@stdout_option
@click.option("--dry-run", is_flag=True, help="Send nothing; count what would be sent, by tag.")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
@report_errors
def replay(
    config_path: Path,
    stream_name: str | None,
    stdout_format: Literal["json", "msgpack"] | None,
    dry_run: bool,
    files: tuple[Any, ...],
) -> int:
    """Send captured events through the pipeline of `run` ("-": standard input).

    A file may have one JSON object a line, a JSON array, an answer of the API (pretty-printed or not), or what a
    consumer printed, with its headers. Anything else is an error at the first line.

    \b
    Examples:
      fluent-plugin-amp replay -c amp.yml --stdout json events.ndjson
      fluent-plugin-amp replay -c amp.yml --dry-run answer.json
    """
    from fluent_plugin_amp.commands import captured
    from fluent_plugin_amp.commands import replay as job
    from fluent_plugin_amp.commands.delivering import Delivering
    from fluent_plugin_amp.commands.dry_run import DryRunSink
    from fluent_plugin_amp.observe import logs
    from fluent_plugin_amp.run.build import make_sink

    if dry_run and stdout_format is not None:
        raise UsageError("--dry-run writes no records: leave --stdout out")
    config = load_config(config_path)
    logs.set_up("warning", config.logging.format)
    stream = pick_stream(config, stream_name)

    async def go() -> job.Replayed:
        observer = logs.LogObserver()
        sink = dry if dry_run else make_sink(config, observer, stdout_format)
        bodies = (body for file in files for body in captured.events(file, file.name))
        delivering = Delivering(config, stream, observer, None, sink=sink, with_combined=True)
        return await job.replay(delivering, bodies)

    dry = DryRunSink()
    replayed = asyncio.run(go())
    counters = replayed.counters
    delivered = f"{counters.delivered - counters.dead_letters} {'to deliver' if dry_run else 'delivered'}"
    letters = how_many(counters.dead_letters, "dead letter")
    click.echo(f"{how_many(replayed.events, 'event')}: {delivered}, {letters}, {counters.dropped} dropped", err=True)
    for tag in sorted(dry.records):
        click.echo(f"{tag}: {how_many(dry.records[tag], 'record')}, {dry.bytes[tag]} bytes")
    return EXIT_OK


@cli.command()
@config_option
@click.option("--stream", "stream_name", help="The stream whose tag and transforms to use.  [default: the first]")
@click.option(
    "--source",
    "source_name",
    metavar="ORGANISATION/SOURCE",
    help="The polled source whose tag and transforms to use, as acme/audit_logs; FILE has a record of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("file", type=click.File("rb"))
@report_errors
def explain(config_path: Path, stream_name: str | None, source_name: str | None, as_json: bool, file: Any) -> int:
    """Show one event after each step, its tag, its time and its bytes ("-": standard input).

    \b
    Examples:
      fluent-plugin-amp explain -c amp.yml event.json
      fluent-plugin-amp explain -c amp.yml --source acme/audit_logs entry.json
    """
    from fluent_plugin_amp.commands import captured, explain_cli
    from fluent_plugin_amp.commands import explain as job
    from fluent_plugin_amp.run.build import make_transform

    config = load_config(config_path)
    body = captured.one_event(file, file.name)
    letters = config.dead_letters
    second = None
    if source_name is not None:
        transform, body, second = explain_cli.of_source(config, source_name, body)
    else:
        transform = make_transform(pick_stream(config, stream_name))
    combines = config.detections is not None or config.incidents is not None
    explained = job.explain(
        transform, body, letters.tag, received_at=second, raw_dead_letters=letters.raw, combines=combines
    )
    if as_json:
        echo_json(explained.as_json())
        return EXIT_OK
    explain_cli.show(explained)
    return EXIT_OK


@cli.group()
@config_option
def state(config_path: Path) -> None:
    """Look at the state file, or make it forget a stream. Both work while `run` uses it."""


state_config_option = click.option(
    "-c",
    "--config",
    "own_config_path",
    type=click.Path(readable=False, path_type=Path),
    help="The same as before the command.",
)


@state.command("show")
@state_config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@report_errors
def show_state(own_config_path: Path | None, as_json: bool) -> int:
    """Show what the file remembers of each stream, the dead letters in it, and the process that uses it.

    \b
    Example:
      fluent-plugin-amp state show -c amp.yml
    """
    from fluent_plugin_amp.commands import state as job

    report = job.show(job.state_path(_state_config(own_config_path)), time.time())
    if as_json:
        echo_json(report.as_json())
        return EXIT_OK
    click.echo(job.heading(report))
    click.echo(table_text(job.table(report)), nl=False)
    if report.kept:
        click.echo("\n" + table_text(job.kept_table(report)), nl=False)
    return EXIT_OK


@state.command("reset")
@state_config_option
@click.option("--stream", "stream_name", required=True, help="The stream to forget, by its name.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@report_errors
def reset_state(own_config_path: Path | None, stream_name: str, yes: bool) -> int:
    """Forget which events of a stream were delivered. If the broker delivers them again, they are sent again.

    The stream's open detections and incidents are forgotten, too. What is still to be sent stays.

    \b
    Example:
      fluent-plugin-amp state reset -c amp.yml --stream emea
    """
    from fluent_plugin_amp.commands import state as job

    path = job.state_path(_state_config(own_config_path))
    if not yes:
        click.confirm(f"Forget what was delivered from {stream_name!r}, in {path}?", abort=True)
    job.reset(path, stream_name)
    click.echo(f"{stream_name}: forgotten; a running daemon follows within a minute", err=True)
    return EXIT_OK


@cli.command()
@report_errors
def schema() -> int:
    """Print the JSON Schema of the configuration.

    An editor with YAML support reads the file that the first line of a configuration names:
    `# yaml-language-server: $schema=fluent-plugin-amp.schema.json`

    \b
    Example:
      fluent-plugin-amp schema > fluent-plugin-amp.schema.json
    """
    from fluent_plugin_amp.config import schema as config_schema

    echo_json(config_schema())
    return EXIT_OK


@cli.command()
@click.option("--events", "count", default=1000, show_default=True, help="Synthetic events to publish.")
@click.option("--keep", is_flag=True, help="Keep the folder with configuration, certificates and logs.")
@report_errors
def demo(count: int, keep: bool) -> int:
    """Run the whole way on this machine: a private RabbitMQ over TLS, this plugin, a Forward receiver.

    \b
    Example:
      fluent-plugin-amp demo
    """
    from fluent_plugin_amp.testing import demo as job
    from fluent_plugin_amp.testing.rabbitmq_node import RabbitMQMissing

    try:
        return job.demo(count, keep=keep)
    except ModuleNotFoundError as exc:
        if exc.name != "trustme":
            raise
        raise DemoIncomplete(str(exc)) from exc
    except RabbitMQMissing as exc:
        raise DemoIncomplete(str(exc)) from exc


@cli.command()
@click.option("--for", "way_name", help="fluentd, fluent-bit, supervised, systemd, kubernetes or compose.")
@click.option(
    "--credentials", type=click.Path(path_type=Path), help="The file that `amp-streams create --save` wrote."
)
@click.option("--devo", help="Devo's address: HOST or HOST:PORT.")
@click.option("--host", help="Host of the Forward server.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the Forward server.  [default: 24224]")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@report_errors
def init(folder: Path, **said: Any) -> int:
    """Write the files for one way of running the plugin into DIR.

    On a terminal it asks for what you leave out. It never overwrites a file.

    \b
    Example:
      fluent-plugin-amp init --for fluent-bit --credentials emea.yml --devo collector-eu.devo.io amp
    """
    from fluent_plugin_amp.commands import init as job

    way, answers = job.ask(folder, **said)
    for path in job.make(way, answers):
        click.echo(f"wrote {path}")
    click.echo("next:")
    for command in job.commands(way, answers):
        click.echo(f"  {command}")
    return EXIT_OK


def _state_config(path: Path | None) -> Config:
    """The configuration that a command of `state`, or `state` itself, was given."""
    group = click.get_current_context().parent
    assert group is not None
    return load_config(path or group.params["config_path"])


cli.add_command(backfill)
cli.add_command(reconcile)
cli.add_command(shape)
cli.add_command(verify)
