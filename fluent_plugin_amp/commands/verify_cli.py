"""`fluent-plugin-amp verify` as a command line; ``verify`` does the work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from fluent_plugin_amp.commands.console import echo_json, report_errors, table_text
from fluent_plugin_amp.commands.errors import CompletenessFileUnusable
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, UsageError
from fluent_plugin_amp.text import how_many, one_line


@click.command()
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="The key of their HMACs, which are checked with it."
)
@click.option("--since", metavar="TIME", help="The files begin then, and not with the chain: 2026-11-20, 7d, ….")
@click.option("--until", metavar="TIME", help="Every stream has to be covered up to then: 2026-11-21, 4h, ….")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="It has to be there; may be repeated.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Also draw it: one square an hour.")
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
@report_errors
def verify(
    key_file: Path | None,
    since: str | None,
    until: str | None,
    streams: tuple[str, ...],
    html_file: Path | None,
    as_json: bool,
    files: tuple[Any, ...],
) -> int:
    """Check completeness records that a SIEM exported ("-": standard input), one JSON a line.

    A record may stand at the top, under a key, within [time, tag, record], or as text; flattened, too. Other lines
    are passed over. The chain of hashes shows whether a record was changed or taken away in the middle; what was
    taken off the end only --until shows, and a stream that is gone altogether only --stream. Whoever could write
    all records anew is found out with --key-file. No configuration is needed.

    Exit code 1: something is missing, or was altered.

    \b
    Examples:
      fluent-plugin-amp verify completeness.ndjson
      fluent-plugin-amp verify --key-file completeness.key --until 4h --html calendar.html -
    """
    from fluent_plugin_amp.commands import verify as job
    from fluent_plugin_amp.completeness.verify import verify as check
    from fluent_plugin_amp.history.span import parse_time

    now = time.time()
    try:
        first = parse_time(since, now) if since else None
        last = parse_time(until, now) if until else None
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    found = job.Found()
    report = check(found.read(files), key=_key(key_file), since=first, until=last, streams=streams)
    if html_file is not None:
        try:
            html_file.write_text(job.document(report, now), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{html_file} cannot be written: {error.strerror}", remedy="") from error
    if as_json:
        echo_json(job.as_json(report))
        return EXIT_OK if report.is_good else EXIT_NO
    click.echo(table_text(job.table(report)), nl=False)
    click.echo(job.legend(report))
    for problem in report.problems:
        click.echo(one_line(f"{problem.stream}: {problem.where}: {problem.what}"))
    if report.more_problems:
        click.echo(f"… and {report.more_problems} more")
    for note in report.notes:
        click.echo(f"note: {one_line(note)}")
    if found.others:
        click.echo(f"note: passed over: {how_many(found.others, 'line')} without a completeness record")
    click.echo(job.verdict(report))
    return EXIT_OK if report.is_good else EXIT_NO


def _key(path: Path | None) -> bytes | None:
    """The key in the file, read as the plugin reads it."""
    from fluent_plugin_amp.files import MAX_SECRET_BYTES, read_bytes

    if path is None:
        return None
    try:
        key = read_bytes(path, MAX_SECRET_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise CompletenessFileUnusable(f"{path}: {error.strerror}", remedy="Name the file with the key.") from error
    if not key:
        raise CompletenessFileUnusable(f"{path} is empty", remedy="Name the file with the key.")
    return key
