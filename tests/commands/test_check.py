"""`commands.check`: whatever `run` would be refused, `check` is refused too, and it disturbs nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.commands.check import Row, check, exit_code, summary, table
from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, EXIT_REFUSED, EXIT_UNAVAILABLE
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.state.lock import Lock
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, stream_section

Configure = Callable[..., Config]


@pytest.fixture
async def server() -> AsyncIterator[FakeFluentd]:
    """A server that is well."""
    async with FakeFluentd() as fluentd:
        yield fluentd


@pytest.fixture
def configure(tmp_path: Path, server: FakeFluentd, certificates: Certificates) -> Configure:
    """A configuration of one stream, with other keys of its section, and of its state file."""

    def make(stream: StreamCredentials, *, state: Path | None = None, **keys: Any) -> Config:
        config = configuration(stream_section(stream, certificates, **keys), server)
        config["state"] = {"path": None if state is None else str(state)}
        file = tmp_path / "amp.yml"
        file.write_text(yaml.safe_dump(config))
        file.chmod(0o600)
        return load(file)

    return make


@asynccontextmanager
async def consumer(stream: StreamCredentials, certificates: Certificates, *, exclusive: bool) -> AsyncIterator[None]:
    """Somebody consumes the queue, one event at a time, and acks none."""
    host, _, port = stream.url.rpartition("@")[2].removeprefix("amqp://").partition(":")
    connection = await amqp.connect(amqp.BrokerAddress(host, int(port.rstrip("/")), stream.username, stream.password))
    try:
        channel = await connection.open_channel()
        await channel.consume(stream.queue, 1, lambda messages: None, exclusive=exclusive)
        yield
    finally:
        await connection.close(2.0)


async def only(config: Config, kind: str) -> Row:
    """The row of that kind."""
    (row,) = (row for row in await check(config) if row.kind == kind)
    return row


# --- streams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [0, 3])
async def test_credentials_of_another_stream(
    broker: PrivateRabbitMQ, make_stream: MakeStream, configure: Configure, waiting: int
) -> None:
    """A user may look at any queue: that he may not read it is found out as well."""
    other = make_stream()
    broker.publish(other.queue, bodies(waiting))
    row = await only(configure(make_stream(), queue=other.queue), "stream")
    assert (row.ok, row.error_id, row.exit_code) == (False, "amqp.access-refused", EXIT_REFUSED)


async def test_no_event_is_taken(broker: PrivateRabbitMQ, make_stream: MakeStream, configure: Configure) -> None:
    """A quorum queue with a delivery limit of 1 would lose an event that is requeued twice."""
    stream = make_stream(kind="quorum", delivery_limit=1)
    broker.publish(stream.queue, bodies(3))
    for _ in range(4):
        row = await only(configure(stream), "stream")
        assert row.result == f"{stream.queue}: 3 messages waiting, readable, no consumer attached"
    assert broker.queue_depth(stream.queue) == (3, 0, 0)


async def test_a_queue_that_somebody_has_for_himself(
    make_stream: MakeStream, configure: Configure, certificates: Certificates
) -> None:
    """`run` would be refused; with `exclusive` it would stand by."""
    stream = make_stream()
    async with consumer(stream, certificates, exclusive=True):
        row = await only(configure(stream), "stream")
        assert (row.ok, row.error_id) == (False, "amqp.queue-in-use")
        row = await only(configure(stream, exclusive=True), "stream")
        assert row.result == f"{stream.queue}: readable, another process has it for itself, `run` stands by"


async def test_another_consumer_is_perhaps_the_own_daemon(
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    configure: Configure,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    """It is said so; whoever has the state file is the own daemon."""
    stream = make_stream()
    async with consumer(stream, certificates, exclusive=False):
        row = await only(configure(stream), "stream")
        assert "1 consumer attached: your own daemon if it runs" in row.result
        assert "not tried" not in row.result
        broker.publish(stream.queue, bodies(5))
        row = await only(configure(stream), "stream")
        assert "whether it has the queue for itself was not tried" in row.result
        lock = Lock(tmp_path / "state.db")
        lock.acquire()
        row = await only(configure(stream, state=tmp_path / "state.db"), "stream")
        lock.release()
        assert row.result.endswith("1 consumer attached: your own daemon")


# --- the state file --------------------------------------------------------------------------------------


async def test_the_state_file_has_a_row(make_stream: MakeStream, configure: Configure, tmp_path: Path) -> None:
    """Whether it can be used, and who has it."""
    stream, path = make_stream(), tmp_path / "state.db"
    row = await only(configure(stream, state=path), "state")
    assert row.result == "not there yet, can be made, not in use"
    path.write_bytes(b"garbage" * 1000)
    row = await only(configure(stream, state=path), "state")
    assert (row.ok, row.error_id, row.exit_code) == (False, "state.corrupt", EXIT_UNAVAILABLE)
    path.unlink()
    lock = Lock(path)
    lock.acquire()
    row = await only(configure(stream, state=path), "state")
    lock.release()
    assert row.ok
    assert row.result.endswith(": your own daemon")
    row = await only(configure(stream, state=tmp_path / "missing" / "state.db"), "state")
    assert (row.ok, row.error_id) == (False, "state.unusable")


async def test_only_some_streams(make_stream: MakeStream, configure: Configure) -> None:
    """The others are not asked."""
    assert [row.kind for row in await check(configure(make_stream()), streams=[])] == ["server"]


# --- what is shown ---------------------------------------------------------------------------------------

WELL = Row("stream", "emea", "broker:443", True, "event_stream_1: 0 messages waiting")
ILL = Row("stream", "a long name", "b:443", False, "refused\nthe\x1b[2J user", "amqp.x", "Mend it.", EXIT_REFUSED)


def test_a_row_is_a_line() -> None:
    """In columns, nothing cut off, and nothing of a peer's words moves the cursor."""
    assert table([WELL, ILL]) == [
        (True, "stream emea         broker:443  event_stream_1: 0 messages waiting"),
        (False, "stream a long name  b:443       [amqp.x] refused\\nthe\\x1b[2J user. Mend it."),
    ]
    assert [line for _, line in table([WELL, ILL], failures_only=True)] == [
        "stream a long name  b:443  [amqp.x] refused\\nthe\\x1b[2J user. Mend it."
    ]


def test_a_summary() -> None:
    """How many are well, and what the others have."""
    assert summary([WELL] * 298 + [ILL] * 2) == "298 of 300 ok; 2 amqp.x"
    assert summary([WELL]) == "1 of 1 ok"


def test_the_exit_code_is_the_one_that_failures_share() -> None:
    """1 when they differ."""
    other = Row("server", "a", "a", False, "x", exit_code=EXIT_UNAVAILABLE)
    codes = [exit_code([WELL]), exit_code([WELL, ILL, ILL]), exit_code([ILL, other])]
    assert codes == [EXIT_OK, EXIT_REFUSED, EXIT_NO]
