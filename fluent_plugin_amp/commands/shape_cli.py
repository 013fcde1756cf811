"""`fluent-plugin-amp shape` as a command line; ``shape`` does the work."""

from __future__ import annotations

from typing import Any, Literal

import click

from fluent_plugin_amp.commands.console import report_errors, table_text
from fluent_plugin_amp.errors import EXIT_OK


@click.command()
@click.option("--to", "schema", type=click.Choice(["ocsf", "ecs"]), default="ocsf", show_default=True)
@click.option("--version", help="Version of OCSF.  [default: 1.6.0]")
@click.option(
    "--kind",
    type=click.Choice(["events", "audit_logs", "computers", "vulnerabilities", "hunts"]),
    default="events",
    show_default=True,
    help="What the files hold: events of a stream, or records of a source of an organisation.",
)
@click.option("--records", is_flag=True, help="Print the records themselves, a line of JSON each.")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
@report_errors
def shape(
    schema: Literal["ocsf", "ecs"], version: str | None, kind: str, records: bool, files: tuple[Any, ...]
) -> int:
    """Show where the fields of captured events go in a public schema, and what has no place ("-": standard input).

    It reads the same files as `replay`, and needs no configuration.

    \b
    Examples:
      fluent-plugin-amp shape events.ndjson
      fluent-plugin-amp shape --to ecs --records events.ndjson
      fluent-plugin-amp shape --kind computers computers.ndjson
    """
    from fluent_plugin_amp.commands import captured
    from fluent_plugin_amp.commands import shape as job

    made = job.schema_of(schema, version, kind)
    bodies = (body for file in files for body in captured.events(file, file.name))
    if records:
        for record in job.records(made, bodies):
            click.echo(record)
        return EXIT_OK
    review = job.review(made, bodies)
    for table in job.tables(review):
        click.echo(table_text(table))
    click.echo(review.summary)
    return EXIT_OK
