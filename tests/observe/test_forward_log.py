"""`observe.forward_log` against a scriptable Fluentd."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fluent_plugin_amp.observe.forward_log import MAX_IN_CHUNK, MAX_WAITING, ForwardLog
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.reactions import Close, HoldAck, NoAck
from fluent_plugin_amp.testing.waiting import DEADLINE_S

TAG = "fluent_plugin_amp.log"


@pytest.fixture
def log() -> logging.Logger:
    """A logger that no other test has."""
    logger = logging.Logger("fluent_plugin_amp", logging.INFO)
    logger.propagate = False
    return logger


@contextlib.asynccontextmanager
async def shipping_to(
    server: FakeFluentd, log: logging.Logger, ack_response_timeout_s: float = 60.0
) -> AsyncIterator[ForwardLog]:
    """What is logged goes to ``server`` meanwhile."""
    address = ServerAddress("a", server.host, server.port)
    shipper = ForwardLog(TAG, ForwardSettings((address,), ack_response_timeout_s=ack_response_timeout_s))
    log.addHandler(shipper)
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Watcher(logging.Handler):
    """Remembers what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Part of logging.Handler."""
        self.seen.append(record.getMessage())


def messages(server: FakeFluentd) -> list[str]:
    """What arrived, in order."""
    return [record["message"] for record in server.records]


async def test_a_line_arrives_as_a_record(log: logging.Logger) -> None:
    """With the text that people read, and what machines read beside it."""
    async with FakeFluentd() as server, shipping_to(server, log):
        log.warning("stream %s: gone", "emea", extra={"fields": {"stream": "emea", "error_id": "x.y", "n": 2**63}})
        await server.wait_for(lambda: server.records)
        (chunk,) = server.chunks
        time, record = chunk.entries[0]
        assert chunk.tag == TAG
        assert record.pop("pid").isdigit()
        assert record == {
            "level": "warning",
            "host": socket.gethostname(),
            "message": "stream emea: gone",
            "stream": "emea",
            "error_id": "x.y",
            "n": 2**63,
        }
        assert isinstance(time, tuple)
        assert time[0] > 1_700_000_000
        assert server.violations == []


async def test_a_line_that_looks_like_json_stays_a_line(log: logging.Logger) -> None:
    """Whoever can put JSON into a message does not choose the record's fields."""
    async with FakeFluentd() as server, shipping_to(server, log):
        log.info('{"level": "DEBUG"}')
        await server.wait_for(lambda: server.records)
        assert server.records[0]["message"] == '{"level": "DEBUG"}'
        assert server.records[0]["level"] == "info"


async def test_a_traceback_is_part_of_the_message(log: logging.Logger) -> None:
    """As on standard error."""
    async with FakeFluentd() as server, shipping_to(server, log):
        try:
            raise RuntimeError("a bug")
        except RuntimeError:
            log.exception("crashed")
        await server.wait_for(lambda: server.records)
        assert "RuntimeError: a bug" in messages(server)[0]


async def test_lines_from_other_threads(log: logging.Logger) -> None:
    """They wake the loop."""
    async with FakeFluentd() as server, shipping_to(server, log):
        await asyncio.to_thread(log.info, "from a thread")
        await server.wait_for(lambda: messages(server) == ["from a thread"])


async def test_lines_logged_before_there_is_a_server(log: logging.Logger) -> None:
    """They wait, and arrive in order."""
    server = FakeFluentd()
    async with shipping_to(server, log):
        for number in range(MAX_IN_CHUNK + 5):
            log.info("%d", number)
        async with server:
            await server.wait_for(lambda: len(server.records) == MAX_IN_CHUNK + 5)
            assert messages(server) == [str(number) for number in range(MAX_IN_CHUNK + 5)]
            assert len(server.chunks) == 2


async def test_what_is_too_much_is_left_out_and_told(log: logging.Logger) -> None:
    """The oldest lines make room, and a record says how many they were."""
    server = FakeFluentd()
    async with shipping_to(server, log):
        for number in range(MAX_WAITING + 7):
            log.info("%d", number)
        async with server:
            await server.wait_for(lambda: len(server.records) == MAX_WAITING + 1)
            notice, *others = messages(server)
            assert notice == "left out here: 7 log lines that no server took in time"
            assert server.records[0]["level"] == "warning"
            assert others == [str(number) for number in range(7, MAX_WAITING + 7)]


async def test_a_line_that_cannot_be_sent_is_counted(log: logging.Logger) -> None:
    """An integer beyond 64 bits is none to a server."""
    async with FakeFluentd() as server, shipping_to(server, log):
        log.info("bad", extra={"fields": {"count": 2**64}})
        log.info("good")
        await server.wait_for(lambda: "good" in messages(server))
        assert messages(server) == ["left out here: 1 log line that no server took in time", "good"]


@pytest.mark.parametrize("reaction", [NoAck(), Close()], ids=["never acks", "closes"])
async def test_a_server_in_trouble_makes_no_lines(log: logging.Logger, reaction: Any) -> None:
    """The log's own way reports to nobody, so it cannot feed itself; the line arrives when the server is well."""
    watcher = Watcher()
    package = logging.getLogger("fluent_plugin_amp")
    package.addHandler(watcher)
    log.addHandler(watcher)
    try:
        async with FakeFluentd() as server, shipping_to(server, log, ack_response_timeout_s=0.5):
            server.script(reaction, reaction)
            log.info("the line")
            await server.wait_for(lambda: messages(server) == ["the line"])
            assert watcher.seen == ["the line"]
    finally:
        package.removeHandler(watcher)


async def test_finish_waits_for_the_last_line(log: logging.Logger) -> None:
    """`stopped` arrives."""
    async with FakeFluentd() as server, shipping_to(server, log) as shipper:
        log.info("started")
        await server.wait_for(lambda: server.records)
        log.info("stopped")
        await shipper.finish(5.0)
        assert messages(server) == ["started", "stopped"]


async def test_finish_does_not_wait_for_a_server_that_is_away(log: logging.Logger) -> None:
    """Whatever the timeout."""
    async with shipping_to(FakeFluentd(), log) as shipper:
        log.info("lost")
        await asyncio.wait_for(shipper.finish(3600.0), DEADLINE_S)


async def test_finish_does_not_wait_for_ever(log: logging.Logger) -> None:
    """A server that never acks has the timeout, no longer."""
    async with FakeFluentd() as server, shipping_to(server, log) as shipper:
        server.script(HoldAck())
        log.info("held")
        await server.wait_for(lambda: server.chunks)
        await asyncio.wait_for(shipper.finish(0.05), DEADLINE_S)


async def test_a_line_after_the_loop_is_gone() -> None:
    """It goes nowhere, and does no harm."""

    def make() -> ForwardLog:
        async def within() -> ForwardLog:
            return ForwardLog(TAG, ForwardSettings((ServerAddress("a", port=1),)))

        return asyncio.run(within())

    shipper = await asyncio.to_thread(make)
    record = logging.LogRecord("x", logging.INFO, "", 0, "late", None, None)
    shipper.emit(record)
