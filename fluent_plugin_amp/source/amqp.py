"""pika's callbacks as awaitables, and its exceptions as ours.  Beside it only `reasons` and `transport` import it.

Four habits of AMQP clients decide what this shell looks like:

* The reply to a method never comes when the channel dies first, so every wait races the channel's ``closed``.
* A consumer can be cancelled by the broker (queue deleted) while channel and connection stay open; that ends
  ``closed`` too, since a channel without its consumer is of no use to a stream.
* pika opens, and closes, without a deadline over the whole; name resolution has none at all.  Ours has one.
* An exception in a callback would end the connection looking like a network fault.  The callback for messages is
  guarded, and what it raised is handed to whoever waits for ``closed``: it is our bug.

Messages do not come from pika: `content` takes them out of what arrives, and pika is told of consumers, acks and
rejects only.  Messages that are read together are handed on together, when reading is done: parsing frames and
working on events in turn takes a third more processor time than one after the other, since each drives the other's
code and data out of the caches.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pika
import pika.exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from fluent_plugin_amp import __version__
from fluent_plugin_amp.errors import (
    BrokerChannelClosed,
    BrokerConnectionLost,
    BrokerUnreachable,
    ConsumerCancelled,
)
from fluent_plugin_amp.proxy import Proxy
from fluent_plugin_amp.source.content import MAX_EVENT_BYTES, Delivered, Message, Reader
from fluent_plugin_amp.source.reasons import closed_because, not_opened_because
from fluent_plugin_amp.source.transport import IoServices
from fluent_plugin_amp.source.tunnel import Tunnel
from fluent_plugin_amp.text import host_and_port

# pika logs a traceback for every failed connection; what happened is reported as a fact instead.
logging.getLogger("pika").setLevel(logging.CRITICAL)

ADDRESSES_TRIED = 3
"""Addresses of one name that may keep silent, each for its part of the time, before the time is over."""

REPLY_TIMEOUT_S = 60.0
"""For the reply to a method; a broker that beats its heart and answers nothing would hold up a stream for ever."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a stream's queue is, and who reads it."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    vhost: str = "/"
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    """For SNI and the check of the certificate; None: ``host``."""
    heartbeat_s: float = 60.0
    connect_timeout_s: float = 20.0
    proxy: Proxy | None = None
    """On the way there; None: there is none."""

    def __str__(self) -> str:
        return host_and_port(self.host, self.port) + (f" through proxy {self.proxy}" if self.proxy else "")

    @property
    def tunnel(self) -> Tunnel | None:
        """The way through the proxy, with its part of the time; the rest is for TLS and AMQP."""
        if self.proxy is None:
            return None
        return Tunnel(
            self.proxy, self.host, self.port, self.connect_timeout_s / ADDRESSES_TRIED, self.connect_timeout_s / 2
        )


class Queue(NamedTuple):
    """What a passive declare tells."""

    messages: int
    """Ready, that is not delivered to anybody."""
    consumers: int


class Connection:
    """An open connection.  ``closed`` becomes the reason when it ends."""

    def __init__(self, connection: AsyncioConnection, closed: asyncio.Future[Exception], inbox: Inbox) -> None:
        self._connection = connection
        self._inbox = inbox
        self.closed = closed

    async def open_channel(self) -> Channel:
        """A new channel.

        Raises:
            PluginError: the connection ended first.
        """
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            channel = Channel(self._connection.channel(on_open_callback=_setter(opened)), self._inbox)
        except pika.exceptions.AMQPError as exc:
            raise await _why_closed(self.closed, exc) from exc
        await channel.first(opened)
        return channel

    async def close(self, timeout_s: float) -> None:
        """Close in order, so that acks written before are sent; cut the connection after ``timeout_s``."""
        if self._connection.is_open:
            self._connection.close()
        await asyncio.wait({self.closed}, timeout=timeout_s)
        if not self.closed.done():
            # A frozen broker never answers: pika has no public way to let go of it.
            self._connection._terminate_stream(BrokerConnectionLost("no answer to close"))
            await asyncio.wait({self.closed}, timeout=1.0)


class Inbox:
    """Where a connection's deliveries go: the channels that are open, and the reader that tells of deliveries."""

    def __init__(self, max_event_bytes: int) -> None:
        self.reader = Reader(max_event_bytes)
        self.channels: dict[int, Channel] = {}
        self.consumers = itertools.count(1)
        """Consumer tags are told apart by these."""
        self.violation: Exception | None = None

    def put(self, delivered: Delivered) -> None:
        """What arrived for one channel."""
        self.channels[delivered.channel].arrived(delivered)

    def violated(self, error: Exception) -> None:
        """Why the connection is closed at once: a violation, or a fault of our own."""
        self.violation = error

    def why_closed(self, reason: BaseException) -> Exception:
        """Why channel or connection ended, by what pika says."""
        return self.violation or closed_because(reason)


class Channel:
    """A channel, with at most one consumer.  ``closed`` becomes the reason when either ends."""

    def __init__(self, channel: Any, inbox: Inbox) -> None:
        self._channel = channel
        self._number: int = channel.channel_number
        self._inbox = inbox
        self._consumer_tag: str | None = None
        self._on_messages: Callable[[list[Message]], None]
        self._arrived: list[Message] = []
        inbox.channels[self._number] = self
        inbox.reader.open(self._number)
        self.closed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        channel.add_on_close_callback(self._on_close)
        channel.add_on_cancel_callback(self._on_cancel)

    async def declare_passive(self, queue: str) -> Queue:
        """Look at the queue, declared durable, without creating it."""
        ok = await self._call(
            lambda callback: self._channel.queue_declare(queue, passive=True, durable=True, callback=callback)
        )
        return Queue(ok.method.message_count, ok.method.consumer_count)

    async def check_may_read(self, queue: str) -> None:
        """Return when the user may read the queue; no event is taken.  The channel is of no more use afterwards.

        Asks to consume with an argument of the wrong type: RabbitMQ looks at the user's permission first, at the
        arguments then, and at the queue last.

        Raises:
            BrokerAccessRefused: the user may not.
        """
        await self._call(lambda callback: self._channel.basic_qos(prefetch_count=1, callback=callback))
        try:
            await self._call(
                lambda callback: self._channel.basic_consume(
                    queue, lambda *delivery: None, arguments={"x-priority": "none"}, callback=callback
                )
            )
        except BrokerChannelClosed as error:
            if not str(error).startswith("406 "):
                raise

    async def consume(
        self,
        queue: str,
        prefetch_count: int,
        on_messages: Callable[[list[Message]], None],
        *,
        exclusive: bool = False,
    ) -> None:
        """``basic.qos``, then ``basic.consume`` with manual acks.

        ``on_messages`` gets what arrived together, in the loop's next turn, before anybody who waits for a reply or
        for the end is told of one that came with it.
        """
        await self._call(lambda callback: self._channel.basic_qos(prefetch_count=prefetch_count, callback=callback))
        self._on_messages = on_messages
        self._consumer_tag = f"fluent-plugin-amp-{next(self._inbox.consumers)}"
        self._take(self._consumer_tag)
        await self._call(
            lambda callback: self._channel.basic_consume(
                queue,
                _never,
                auto_ack=False,
                exclusive=exclusive,
                consumer_tag=self._consumer_tag,
                callback=callback,
            )
        )

    def arrived(self, delivered: Delivered) -> None:
        """See `Inbox`."""
        if delivered.messages:
            if not self._arrived:
                asyncio.get_running_loop().call_soon(self._hand_on)
            self._arrived += delivered.messages
        for delivery_tag in delivered.late:
            if self._channel.is_open:
                self._channel.basic_reject(delivery_tag, requeue=True)

    async def cancel(self) -> None:
        """``basic.cancel``.  Deliveries stay unacked and can be acked; late ones go back to the queue."""
        if self._consumer_tag is not None:
            tag, self._consumer_tag = self._consumer_tag, None
            self._take(None)
            await self._call(lambda callback: self._channel.basic_cancel(tag, callback=callback))

    def ack(self, delivery_tag: int, *, multiple: bool) -> None:
        """``basic.ack``; without effect on a channel that is not open any more."""
        if self._channel.is_open:
            self._channel.basic_ack(delivery_tag, multiple)

    def fail(self, exc: Exception) -> None:
        """Whoever works on what it brings cannot go on: that is its end, with this reason."""
        if not self.closed.done():
            self.closed.set_result(exc)

    def consumer_forgotten(self) -> None:
        """The broker delivers nothing although it should: of no more use."""
        self.fail(ConsumerCancelled("messages wait, and the broker delivers none of them"))

    async def barrier(self) -> None:
        """Return when the broker has handled every ack sent before: acks themselves have no reply."""
        await self._call(lambda callback: self._channel.basic_qos(prefetch_count=1, callback=callback))

    async def close(self, timeout_s: float) -> None:
        """Close; the broker returns what is unacked."""
        if self._channel.is_open:
            self._channel.close()
        await asyncio.wait({self.closed}, timeout=timeout_s)

    async def first(self, reply: asyncio.Future[Any]) -> Any:
        """The reply, or the reason why it cannot come any more, raised."""
        waiting: set[asyncio.Future[Any]] = {reply, self.closed}
        await asyncio.wait(waiting, timeout=REPLY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return reply.result()
        if self.closed.done():
            raise self.closed.result()
        raise BrokerConnectionLost(f"no answer within {REPLY_TIMEOUT_S:g} s")

    async def _call(self, method: Callable[[Callable[[Any], None]], Any]) -> Any:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            method(_setter(reply))
        except pika.exceptions.AMQPError as exc:
            raise await _why_closed(self.closed, exc) from exc
        return await self.first(reply)

    def _take(self, consumer_tag: str | None) -> None:
        if self._inbox.channels.get(self._number) is self:  # it may have closed meanwhile
            self._inbox.reader.consume(self._number, consumer_tag)

    def _hand_on(self) -> None:
        messages, self._arrived = self._arrived, []
        try:
            self._on_messages(messages)
        except BaseException as exc:
            if not self.closed.done():
                self.closed.set_result(exc)

    def _on_close(self, _channel: Any, reason: BaseException) -> None:
        self._inbox.reader.close(self._number)
        del self._inbox.channels[self._number]
        self.fail(self._inbox.why_closed(reason))

    def _on_cancel(self, _method_frame: Any) -> None:
        self.fail(ConsumerCancelled("the broker cancelled the consumer"))


async def connect(broker: BrokerAddress, max_event_bytes: int = MAX_EVENT_BYTES) -> Connection:
    """Connect, within ``broker.connect_timeout_s`` for everything from the name to AMQP's open-ok.

    A delivery that is larger than ``max_event_bytes`` ends the connection.

    Raises:
        BrokerUnreachable, BrokerCertificateRefused, BrokerNotTls, BrokerCredentialsRefused, BrokerAccessRefused,
        BrokerViolation, BrokerProxyFailed, BrokerProxyRefused
    """
    loop = asyncio.get_running_loop()
    inbox = Inbox(max_event_bytes)
    opened: asyncio.Future[AsyncioConnection] = loop.create_future()
    closed: asyncio.Future[Exception] = loop.create_future()
    first_stop = broker.proxy or broker
    parameters = pika.ConnectionParameters(
        host=first_stop.host,
        port=first_stop.port,
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(broker.username, broker.password),
        ssl_options=pika.SSLOptions(broker.tls, broker.server_name or broker.host) if broker.tls else None,
        heartbeat=max(1, round(broker.heartbeat_s)),
        socket_timeout=None if broker.proxy else broker.connect_timeout_s / ADDRESSES_TRIED,  # a tunnel has its own
        stack_timeout=broker.connect_timeout_s + 1.0,  # only for attempts that were given up, see below
        tcp_options={"TCP_KEEPIDLE": 60},
        client_properties={"product": "fluent-plugin-amp", "version": __version__},
    )

    def on_open_error(_connection: Any, reason: BaseException) -> None:
        opened.set_exception(not_opened_because(broker, reason, inbox.violation))

    def on_closed(_connection: Any, reason: BaseException) -> None:
        closed.set_result(inbox.why_closed(reason))

    def on_open(connection: AsyncioConnection) -> None:
        inbox.reader.agree(connection.params.frame_max)
        opened.set_result(connection)

    # pika cannot give up while it shakes hands without an AssertionError in the event loop.  So an attempt that
    # nobody waits for any more is left to pika's own timeouts, and a connection that comes too late is closed.
    services = IoServices(inbox.reader, inbox.put, inbox.violated, broker.tunnel)
    AsyncioConnection(parameters, on_open, on_open_error, on_closed, custom_ioloop=services)
    try:
        await asyncio.wait({opened}, timeout=broker.connect_timeout_s)
    except asyncio.CancelledError:
        opened.add_done_callback(_close_late)
        raise
    if not opened.done():
        opened.add_done_callback(_close_late)
        raise BrokerUnreachable(f"{broker}: no connection within {broker.connect_timeout_s:g} s")
    return Connection(opened.result(), closed, inbox)


def _close_late(opened: asyncio.Future[AsyncioConnection]) -> None:
    if opened.exception() is None:
        opened.result().close()


def _never(*_: object) -> None:
    """What pika would call with a message: it sees none."""


def _setter(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    """A callback that gives its argument to ``future``, unless somebody was quicker."""

    def set_result(value: Any) -> None:
        if not future.done():
            future.set_result(value)

    return set_result


async def _why_closed(closed: asyncio.Future[Any], refusal: pika.exceptions.AMQPError) -> BaseException:
    """Why pika refuses a call: the connection or channel has ended, or is about to, and the reason is on its way."""
    await asyncio.wait({closed}, timeout=1.0)
    reason: BaseException = closed.result() if closed.done() else closed_because(refusal)
    return reason
