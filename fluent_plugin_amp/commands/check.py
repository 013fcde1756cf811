"""`fluent-plugin-amp check` tries everything that `run` would use, and gives one row for each.

It does not disturb a daemon that runs with the same configuration, and takes no event out of a queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.commands.console import shared_code
from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.config.models import CompletenessConfig
from fluent_plugin_amp.config.organisations import OrganisationConfig
from fluent_plugin_amp.errors import EXIT_OK, PluginError, QueueInUse
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.organisation.entries import moment_of
from fluent_plugin_amp.run.build import forward_settings, make_locate
from fluent_plugin_amp.sink.forward.check import check as check_server
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.source.check import Checked
from fluent_plugin_amp.source.check import check as check_queue
from fluent_plugin_amp.text import host_and_port, how_many, one_line

if TYPE_CHECKING:
    from fluent_plugin_amp.cisco.api import CiscoApi

CHECK_TAG = "fluent_plugin_amp.check"
MAX_AT_ONCE = 20
HOUR_S = 3600
SUMMARY_FROM = 10
"""Rows; from this many on a summary follows them."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was tried, and the result."""

    kind: str
    """``state``, ``completeness``, ``stream``, ``source`` or ``server``."""
    name: str
    peer: str
    ok: bool
    result: str
    error_id: str = ""
    remedy: str = ""
    exit_code: int = EXIT_OK
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


async def check(
    config: Config, *, streams: Sequence[StreamConfig] | None = None, end_to_end: bool = False
) -> list[Row]:
    """Try the state file, then all streams, polled sources and servers, several at a time.  Rows come in that order.

    Of completeness records it says of which streams there are any.

    Args:
        config: as loaded.
        streams: only these are tried; None: all.
        end_to_end: send one record tagged `CHECK_TAG` to each server, too, and wait for the ack.
    """
    settings = forward_settings(config)
    limit = asyncio.Semaphore(MAX_AT_ONCE)
    daemon: list[str] = []  # the process that has the state file
    rows = []
    if config.state.path is not None:
        rows.append(await _row("state", "file", str(config.state.path), _try_state(config.state.path, daemon)))
    if config.completeness is not None and streams is None:
        rows.append(Row("completeness", "", "", True, _proved(config, config.completeness)))

    async def limited(kind: str, name: str, peer: str, attempt: Awaitable[str]) -> Row:
        async with limit:
            return await _row(kind, name, peer, attempt)

    rows += await asyncio.gather(
        *(
            limited("stream", stream.name, _peer(stream), _try_stream(stream, runs=bool(daemon)))
            for stream in (config.streams if streams is None else streams)
        ),
        *(
            limited("source", each.line(source), each.cloud.api or "", _try_source(each, source))
            for each in (config.organisations if streams is None else ())
            for source in each.sources
        ),
        *(
            limited("server", server.name, server.name, _try_server(server, settings, end_to_end))
            for server in settings.servers
        ),
    )
    return rows


def table(rows: Sequence[Row], *, failures_only: bool = False) -> list[tuple[bool, str]]:
    """A line in columns for each row, without ``ok`` or ``no``; and before it whether the row is ok."""
    shown = [row for row in rows if not (failures_only and row.ok)]
    whats = [f"{row.kind} {row.name}".rstrip() for row in shown]
    what_width = max(map(len, whats), default=0)
    peer_width = max((len(row.peer) for row in shown), default=0)
    return [
        (row.ok, one_line(f"{what:{what_width}}  {row.peer:{peer_width}}  {_outcome(row)}"))
        for what, row in zip(whats, shown, strict=True)
    ]


def summary(rows: Sequence[Row]) -> str:
    """How many are ok, and the errors of the others: ``298 of 300 ok; 2 amqp.unreachable``."""
    failures = Counter(row.error_id for row in rows if not row.ok)
    counts = "".join(f"; {count} {error_id}" for error_id, count in failures.most_common())
    return f"{len(rows) - failures.total()} of {len(rows)} ok{counts}"


def exit_code(rows: Sequence[Row]) -> int:
    """The exit code of the command."""
    return shared_code(row.exit_code for row in rows if not row.ok)


async def _row(kind: str, name: str, peer: str, attempt: Awaitable[str]) -> Row:
    began = time.monotonic()
    try:
        result = await attempt
    except PluginError as error:
        failed = (str(error), error.id, error.remedy, error.exit_code)
        return Row(kind, name, peer, False, *failed, time.monotonic() - began)
    return Row(kind, name, peer, True, result, seconds=time.monotonic() - began)


def _peer(stream: StreamConfig) -> str:
    """The address that is asked first."""
    if stream.event_stream_name is None:
        return host_and_port(stream.host, stream.port)
    return stream.cloud.api or "" if stream.cloud is not None else ""


def _outcome(row: Row) -> str:
    return row.result if row.ok else f"[{row.error_id}] {row.result}. {row.remedy}".rstrip()


def _proved(config: Config, section: CompletenessConfig) -> str:
    """Of which streams there are completeness records; `load` refuses what keeps them from being made."""
    count = sum(stream.api is not None for stream in config.streams)
    seal = "no key: anybody could write them anew" if section.key is None else "with an HMAC"
    return f"records of {count} of {how_many(len(config.streams), 'stream')} (those that have `api`), {seal}"


async def _try_state(path: Path, daemon: list[str]) -> str:
    """Look at the state file.  The process that uses it is added to ``daemon``."""
    from fluent_plugin_amp.state.check import check as check_state

    checked = await asyncio.to_thread(check_state, path)
    size = "not there yet, can be made" if checked.size_bytes is None else f"{units.size(checked.size_bytes)}, sound"
    if checked.holder is None:
        return f"{size}, not in use"
    daemon.append(checked.holder)
    return f"{size}, in use by {checked.holder}: your own daemon"


async def _try_stream(stream: StreamConfig, *, runs: bool) -> str:
    """Log in, look at the queue, and see whether the user may read it.  ``runs``: our own daemon reads it now."""
    location = await make_locate(stream)()
    broker = location.broker
    way = "" if stream.event_stream_name is None else f"looked up: {host_and_port(broker.host, broker.port)}, "
    if broker.proxy is not None:
        way += f"through proxy {broker.proxy}, "
    try:
        checked = await check_queue(broker, location.queue, try_to_share=not runs)
    except QueueInUse:
        if not stream.exclusive:
            raise
        return f"{way}{location.queue}: readable, another process has it for itself, `run` stands by"
    waiting = how_many(checked.queue.messages, "message")
    return f"{way}{location.queue}: {waiting} waiting, readable, {_consumers(checked, runs=runs)}"


def _consumers(checked: Checked, *, runs: bool) -> str:
    """Who else reads the queue.  The broker tells only how many do."""
    count = checked.queue.consumers
    match count, runs:
        case 0, _:
            return "no consumer attached"
        case 1, True:
            return "1 consumer attached: your own daemon"
        case 1, False:
            text = "1 consumer attached: your own daemon if it runs, else a program that splits the stream"
        case _, True:
            return f"{count} consumers attached: your own daemon, and others that split the stream with it"
        case _:
            return f"{count} consumers attached: all but your own daemon, if it runs, split the stream"
    if not checked.tried_to_share:
        text += "; whether it has the queue for itself was not tried, since that would take an event"
    return text


async def _try_source(organisation: OrganisationConfig, source: str) -> str:
    """Ask for a page of it."""
    from fluent_plugin_amp.run.lookup import open_api

    cloud = organisation.cloud.cloud
    assert cloud is not None
    async with open_api(cloud, organisation.api.key, organisation.proxy, max_wait_s=0.0) as api:
        found = await PROBES[source](api)
        left = api.rate_limit.remaining if api.rate_limit is not None else None
    return f"{found}, {'unknown requests' if left is None else how_many(left, 'request')} left in this hour"


async def _try_audit_logs(api: CiscoApi) -> str:
    now = int(time.time())
    async for page in api.audit_log_pages(moment_of(now - HOUR_S), moment_of(now)):
        return f"{how_many(len(page.items) if page.total is None else page.total, 'entry')} in the last hour"
    return "no entry in the last hour"


async def _try_activity(api: CiscoApi) -> str:
    await api.envelope("/v1/computers/activity", (("q", "0" * 64), ("limit", "1")))
    return "searches what computers have seen"


async def _try_computers(api: CiscoApi) -> str:
    return await _count(api, "/v1/computers", "computer")


async def _try_vulnerabilities(api: CiscoApi) -> str:
    return await _count(api, "/v1/vulnerabilities", "vulnerable program")


async def _count(api: CiscoApi, path: str, noun: str) -> str:
    """How many there are, as the cloud tells with the first of them."""
    total = answers.total(await api.envelope(path, (("limit", "1"),)))
    return f"an unknown number of {noun}s" if total is None else how_many(total, noun)


PROBES = {
    "audit_logs": _try_audit_logs,
    "computers": _try_computers,
    "names": _try_computers,
    "vulnerabilities": _try_vulnerabilities,
    "hunts": _try_activity,
}
"""By the key of its section: how a polled source is tried."""


async def _try_server(server: ServerAddress, settings: ForwardSettings, end_to_end: bool) -> str:
    chunk = None
    if end_to_end:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        record = {"message": "fluent-plugin-amp check", "server": server.name}
        chunk = Chunk(new_chunk_id(), CHECK_TAG, [entry(seconds, nanoseconds, record)], [])
    checked = await check_server(server, settings, chunk)
    if checked.acked_s is None:
        return f"connected in {units.milliseconds(checked.connected_s)}"
    return f"connected, one record acknowledged in {units.milliseconds(checked.acked_s)}"
