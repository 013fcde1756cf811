"""`fluent-plugin-amp explain`: the transforms of a polled source (``--source``), and the steps as text."""

from __future__ import annotations

import contextlib

import click
import msgspec

from fluent_plugin_amp.commands.console import echo_json
from fluent_plugin_amp.commands.explain import Explained
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.organisation.entries import body_of, second_of
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.run.sources import make_source_transform


def of_source(config: Config, name: str, body: bytes) -> tuple[Transform, bytes, int | None]:
    """Transforms, body, and time in seconds since the epoch; None: `run` takes the time at which it finds the record.

    What is secret in an entry of the audit log is masked before anything else.

    Raises:
        UsageError: no source of the configuration has this name.
    """
    lines = {each.line(source): (each, source) for each in config.own_organisations for source in each.sources}
    if name not in lines:
        there = f"there are: {', '.join(lines)}" if lines else "none is configured"
        raise UsageError(f"no source is named {name!r}; {there}")
    organisation, source = lines[name]
    second = None
    if source == "audit_logs":
        # What is no entry becomes a dead letter, and is shown as one.
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            record = msgspec.json.decode(body, type=dict)
            second = second_of(record)
            _, body = body_of(record)
    transform = make_source_transform(source, organisation.section(source).tag, organisation, config.transform)
    return transform, body, second


def show(explained: Explained) -> None:
    """Print it for people."""
    click.echo(f"body: {explained.body_bytes} bytes, digest {explained.digest}")
    for name, record in explained.steps:
        click.echo(f"\n--- {name}")
        if record is None:
            click.echo("the event is dropped: acknowledged to the broker, not sent")
        else:
            echo_json(record)
    for what, path in explained.drift:
        click.echo(f"\nnot in the table of `shape`: {what} {path}")
    if explained.dead_letter is not None:
        click.echo("\n--- dead letter")
        echo_json(explained.dead_letter)
    if explained.tag is not None:
        click.echo(f"\ntag:  {explained.tag}")
    if explained.entry is not None:
        click.echo(f"time: {explained.time}")
        click.echo(f"entry: {len(explained.entry)} bytes of msgpack, {explained.entry[:24].hex(' ')} …")
