"""Publishing with confirms: all or an error, whatever the other side does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pika
import pytest

from fluent_plugin_amp.testing.publisher import Message, PublishError, publish
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.rabbitmq_node import ADMIN, ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.conftest import MakeStream


def test_nothing_to_publish_is_no_error(broker: PrivateRabbitMQ) -> None:
    """Connected, nothing sent, closed."""
    assert publish("127.0.0.1", broker.port, "admin", "private", []) == 0


def test_a_wrong_password_is_an_error(broker: PrivateRabbitMQ) -> None:
    """In the broker's words."""
    with pytest.raises(PublishError, match="ACCESS_REFUSED"):
        publish("127.0.0.1", broker.port, "admin", "wrong", [Message("", "queue", b"x")])


def test_a_missing_exchange_is_an_error(broker: PrivateRabbitMQ) -> None:
    """The broker closes the channel, and says why."""
    with pytest.raises(PublishError, match="NOT_FOUND"):
        publish("127.0.0.1", broker.port, "admin", "private", [Message("missing", "key", b"x")])


def test_an_error_in_the_source_of_messages_comes_through(broker: PrivateRabbitMQ) -> None:
    """As it is."""

    def messages() -> Iterator[Message]:
        raise LookupError("no more")
        yield

    with pytest.raises(LookupError, match="no more"):
        publish("127.0.0.1", broker.port, "admin", "private", messages())


def test_a_connection_that_ends_is_an_error() -> None:
    """How many were confirmed is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(8)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(PublishError, match=r"0 of 0 messages confirmed, then .*closed the connection"):
            publish("127.0.0.1", server.getsockname()[1], "admin", "private", [Message("", "queue", b"x")])
        thread.join()


def test_headers_as_bytes(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Also a table that no client library makes; the messages after it have headers of their own."""
    stream = make_stream()
    tables: list[dict[str, Any] | bytes] = [b"\1aT" + b"\xff" * 8, b"\1aI\0\0\0\7", {"a": 8}, {}]
    for table in tables:
        broker.publish_with_headers(stream.queue, b"x", table)
    broker.purge(stream.queue)
    messages = [Message("", stream.queue, b"%d" % number, table) for number, table in enumerate(tables[1:])]
    assert publish("127.0.0.1", broker.port, ADMIN, ADMIN_PASSWORD, messages) == 3
    with pika.BlockingConnection(
        pika.ConnectionParameters(
            port=broker.port, credentials=pika.PlainCredentials(stream.username, stream.password)
        )
    ) as connection:
        got = [connection.channel().basic_get(stream.queue, auto_ack=True) for _ in messages]
    assert [(properties.headers, body) for _, properties, body in got] == [
        ({"a": 7}, b"0"),
        ({"a": 8}, b"1"),
        (None, b"2"),
    ]


def test_an_unreachable_broker_is_an_error() -> None:
    """Also before anything was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PublishError, match="refused"):
        publish("127.0.0.1", port, "admin", "private", [])
