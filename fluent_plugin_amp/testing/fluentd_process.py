"""`FakeFluentd` as a process of its own: the receiver of demos, benchmarks and chaos runs.

``python -m fluent_plugin_amp.testing.fluentd`` acknowledges at once and counts; it looks into the events only
when asked to record them.  What it recorded was written to the file *before* its ack, so a file holds at least
what was acknowledged, however the process ended.

On standard output: with ``--print-port`` first the port, on a line of its own, once it listens; then a report,
one line of JSON, at each SIGUSR1 and at the end (SIGTERM, SIGINT, or the end of standard input with
``--until-eof``)::

    {"connections": 1, "chunks": 12, "repeated_chunks": 0, "events": 9000, "bytes": 12345678,
     "first_at": 1593079552.6, "last_at": 1593079553.1, "violations": []}
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from fluent_plugin_amp.testing.certificates import KeyPair, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import EventTime, Message, Security, Violation, make_unpacker
from fluent_plugin_amp.testing.reactions import Ack

NO_ID = "-"
"""Stands for the id of a record that has none, such as a probe."""

_ID_IN_BODY = re.compile(r'"id": ?(\d+)')
Encode = Callable[[Message, Any, dict[str, Any]], bytes]
"""The message that carried an event, the event's time and its record, to a line."""


def main(arguments: list[str] | None = None) -> None:
    """Run until told to end."""
    asyncio.run(_run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fluent_plugin_amp.testing.fluentd",
        description="A Forward server that acknowledges, counts and records.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0, the default: a free one")
    parser.add_argument("--unix-path", type=Path, help="listen on this Unix socket instead")
    parser.add_argument("--print-port", action="store_true", help="print the port as the first line")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    parser.add_argument("--ack-delay", type=float, default=0.0, metavar="SECONDS", help="acknowledge so much later")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help='append each event as a line {"tag": …, "time": [seconds, nanoseconds], "record": {…}}',
    )
    parser.add_argument(
        "--ids",
        type=Path,
        metavar="FILE",
        help="append each event as a line: id (- without one; of a dead letter the one in its body), tag, its time "
        "and its arrival in ns, chunk, by tabs",
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate, PEM: listen with TLS")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key")
    parser.add_argument("--client-ca", type=Path, metavar="FILE", help="demand client certificates of this authority")
    parser.add_argument("--shared-key", help="demand this key")
    parser.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD", help="demand one of these")
    return parser


async def _run(options: argparse.Namespace) -> None:
    recorders = [
        _record_into(path, encode)
        for path, encode in ((options.record, _json_line), (options.ids, id_line))
        if path is not None
    ]

    def record(message: Message) -> None:
        for recorder in recorders:
            recorder(message)

    server = FakeFluentd(
        host=options.host,
        port=options.port,
        unix_path=options.unix_path,
        tls=server_context(KeyPair(options.tls_cert, options.tls_key), client_ca_file=options.client_ca)
        if options.tls_cert
        else None,
        security=Security(options.shared_key, dict(user.split(":", 1) for user in options.user))
        if options.shared_key is not None
        else None,
        keep=False,
        on_message=record,
    )
    server.reaction = Ack(delay_s=options.ack_delay)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, _report, server)
    if options.until_eof:
        loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else ended.set())
    await server.start()
    if options.print_port:
        print(server.port, flush=True)
    await ended.wait()
    await server.stop()
    _report(server)


def _report(server: FakeFluentd) -> None:
    print(msgspec.json.encode(asdict(server.counts)).decode(), flush=True)


def _record_into(path: Path, encode: Encode) -> Callable[[Message], None]:
    """A recorder that has written each event, past our own buffers, when it returns."""
    file = path.open("ab", buffering=0)

    def record(message: Message) -> None:
        try:
            lines = [encode(message, *entry) for entry in entries(message)]
        except (ValueError, TypeError, AttributeError) as exc:
            raise Violation(f"an entry that cannot be recorded: {exc!r}") from exc
        file.write(b"".join(lines))

    return record


def entries(message: Message) -> Iterator[Any]:
    """Time and record of each event, decoded without the checks that would take longer than the decoding."""
    if isinstance(message.entries, list):
        return iter(message.entries)
    unpacker = make_unpacker()
    unpacker.feed(message.entries)
    return iter(unpacker)


def _json_line(message: Message, time_: Any, record: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"tag": message.tag, "time": time_, "record": record}) + b"\n"


def _id_of(record: dict[str, Any]) -> object:
    body = record.get("body")
    if "error_id" in record and isinstance(body, str) and (found := _ID_IN_BODY.search(body)):
        return found[1]
    return record.get("id", NO_ID)


def id_line(message: Message, time_: Any, record: dict[str, Any]) -> bytes:
    """What ``--ids`` appends for one event."""
    at_ns = (
        time_.seconds * 1_000_000_000 + time_.nanoseconds if isinstance(time_, EventTime) else time_ * 1_000_000_000
    )
    return f"{_id_of(record)}\t{message.tag}\t{at_ns}\t{time.time_ns()}\t{message.chunk}\n".encode()
