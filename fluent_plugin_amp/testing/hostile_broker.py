"""An AMQP broker that lets everybody in, and then sends what a test likes, well-formed or not.

It shakes hands for real, over TCP or TLS on a free port of loopback, and answers every method that the plugin asks
with.  After each consume-ok it runs the test's script with a `Consumer`, which sends any bytes and waits for what the
client says; when the script raises or returns, the connection stays as it is::

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b'{"id":1}'))
        await consumer.heard(spec.Basic.Ack)
        await consumer.send(consumer.delivery(2, b"", body_size=1 << 40))      # announces a tebibyte

    async with HostileBroker(script) as broker:
        ...                                 # connect to broker.port, as any user, and consume any queue
    broker.methods                          # everything that clients said, in order

What it answers may be changed by ``answers``: a method class and what to send when it comes, for instance
``{spec.Channel.Open: lambda method, channel: b""}`` for a channel that never opens.  The functions of the module
build frames; `raw_frame` builds those that no broker should send.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import pika.frame
from pika import spec

if TYPE_CHECKING:
    from typing_extensions import Self

_READ_BYTES = 65_536
_PROTOCOL_HEADER_BYTES = 8
_MethodT = TypeVar("_MethodT")

Script = Callable[["Consumer"], Awaitable[None]]
Answer = Callable[[Any, int], bytes]
"""Given a method and its channel, what to send."""


# --- frames --------------------------------------------------------------------------------------


def method_frame(method: Any, channel: int = 1) -> bytes:
    """A method, as a broker sends it."""
    return bytes(pika.frame.Method(channel, method).marshal())


def header_frame(body_size: int, properties: spec.BasicProperties | None = None, channel: int = 1) -> bytes:
    """A content header that announces a body."""
    return bytes(pika.frame.Header(channel, body_size, properties or spec.BasicProperties()).marshal())


def body_frames(body: bytes, channel: int = 1, *, frame_max: int = spec.FRAME_MAX_SIZE) -> bytes:
    """A body, in as many frames as it takes; none for an empty one."""
    size = frame_max - spec.FRAME_HEADER_SIZE - spec.FRAME_END_SIZE
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(pika.frame.Body(channel, piece).marshal() for piece in pieces)


def heartbeat_frame() -> bytes:
    """A heartbeat."""
    return bytes(pika.frame.Heartbeat().marshal())


def raw_frame(
    kind: int, channel: int, payload: bytes, *, size: int | None = None, end: int = spec.FRAME_END
) -> bytes:
    """A frame of any kind with any payload, of which it may announce another ``size``, and with any last byte."""
    return struct.pack(">BHI", kind, channel, len(payload) if size is None else size) + payload + bytes([end])


def raw_header_frame(body_size: int, table: bytes, channel: int = 1) -> bytes:
    """A content header whose only property is this table of headers, as it goes over the wire without its length."""
    payload = struct.pack(">HHQHI", spec.Basic.INDEX, 0, body_size, spec.BasicProperties.FLAG_HEADERS, len(table))
    return raw_frame(spec.FRAME_HEADER, channel, payload + table)


def delivery_frames(
    consumer_tag: str,
    delivery_tag: int,
    body: bytes,
    *,
    channel: int = 1,
    redelivered: bool = False,
    routing_key: str = "key",
    properties: spec.BasicProperties | None = None,
    body_size: int | None = None,
    frame_max: int = spec.FRAME_MAX_SIZE,
) -> bytes:
    """A whole delivery; its header may announce another ``body_size``."""
    deliver = spec.Basic.Deliver(consumer_tag, delivery_tag, redelivered, "events_api_stream", routing_key)
    return (
        method_frame(deliver, channel)
        + header_frame(len(body) if body_size is None else body_size, properties, channel)
        + body_frames(body, channel, frame_max=frame_max)
    )


# --- the broker ----------------------------------------------------------------------------------


class HostileBroker:
    """A broker for one test; use it with ``async with``.

    Args:
        script: run for each consumer, right after its consume-ok.
        tls: plain TCP without.
        frame_max: offered in ``connection.tune``.
        messages: that every queue is said to hold.
        answers: what to answer instead.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        script: Script | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        frame_max: int = spec.FRAME_MAX_SIZE,
        heartbeat_s: int = 60,
        messages: int = 0,
        answers: Mapping[type[Any], Answer] | None = None,
    ) -> None:
        self.port = 0
        self.connections = 0
        """How many came so far."""
        self.methods: list[Any] = []
        """What clients said, over all connections."""
        self.failures: list[BaseException] = []
        """What scripts raised, apart from a connection that ended."""
        self.frame_max = frame_max
        self._script = script
        self._tls = tls
        self._answers: dict[type[Any], Answer] = {
            spec.Connection.StartOk: lambda _, channel: method_frame(
                spec.Connection.Tune(0, frame_max, heartbeat_s), channel
            ),
            spec.Connection.Open: lambda _, channel: method_frame(spec.Connection.OpenOk(), channel),
            spec.Connection.Close: lambda _, channel: method_frame(spec.Connection.CloseOk(), channel),
            spec.Channel.Open: lambda _, channel: method_frame(spec.Channel.OpenOk(), channel),
            spec.Channel.Close: lambda _, channel: method_frame(spec.Channel.CloseOk(), channel),
            spec.Queue.Declare: lambda declare, channel: method_frame(
                spec.Queue.DeclareOk(declare.queue, messages, 0), channel
            ),
            spec.Basic.Qos: lambda _, channel: method_frame(spec.Basic.QosOk(), channel),
            spec.Basic.Consume: lambda consume, channel: method_frame(
                spec.Basic.ConsumeOk(consume.consumer_tag), channel
            ),
            spec.Basic.Cancel: lambda cancel, channel: method_frame(
                spec.Basic.CancelOk(cancel.consumer_tag), channel
            ),
            **(answers or {}),
        }
        self._server: asyncio.Server | None = None
        self._clients: set[_Client] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for client in list(self._clients):
            await client.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        client = _Client(reader, writer)
        self._clients.add(client)
        try:
            await client.greet()
            async for method, channel in client.said():
                self.methods.append(method)
                client.tell(method)
                answer = self._answers.get(type(method))
                if answer is not None:
                    await client.send(answer(method, channel))
                if self._script is not None and isinstance(method, spec.Basic.Consume):
                    consumer = Consumer(client, channel, method, self.frame_max)
                    client.tasks.append(asyncio.ensure_future(self._run(self._script, consumer)))
                if isinstance(method, spec.Connection.Close):
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._clients.discard(client)
            await client.close()

    async def _run(self, script: Script, consumer: Consumer) -> None:
        try:
            await script(consumer)
        except OSError:
            pass  # the client has gone
        except Exception as exc:
            self.failures.append(exc)


class Consumer:
    """A client's consumer, for a script."""

    def __init__(self, client: _Client, channel: int, method: spec.Basic.Consume, frame_max: int) -> None:
        self.channel = channel
        self.tag: str = method.consumer_tag
        self.queue: str = method.queue
        self._client = client
        self._frame_max = frame_max
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        client.listeners.append(self._said)

    async def send(self, *frames: bytes) -> None:
        """Send all of them in one write.

        Raises:
            OSError: the client has gone.
        """
        await self._client.send(b"".join(frames))

    def delivery(self, delivery_tag: int, body: bytes, **options: Any) -> bytes:
        """A delivery to this consumer, see `delivery_frames`."""
        options = {"channel": self.channel, "frame_max": self._frame_max} | options
        return delivery_frames(self.tag, delivery_tag, body, **options)

    async def heard(self, kind: type[_MethodT]) -> _MethodT:
        """The next method of this kind that the client says on this connection, after the consume.

        Raises:
            ConnectionError: the client has gone.
        """
        while (method := await self._said.get()) is not None:
            if isinstance(method, kind):
                return method
        raise ConnectionResetError(f"the client has gone without a {kind.__name__}")

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        await self._client.gone.wait()

    def reset(self) -> None:
        """Cut the connection."""
        self._client.abort()


class _Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.gone = asyncio.Event()
        self.tasks: list[asyncio.Future[None]] = []
        self.listeners: list[asyncio.Queue[Any]] = []
        """What the client says goes to these; None at the end."""
        self._reader, self._writer = reader, writer

    async def greet(self) -> None:
        """Until the client is to log in."""
        await self._reader.readexactly(_PROTOCOL_HEADER_BYTES)
        await self.send(method_frame(spec.Connection.Start(server_properties={}, mechanisms="PLAIN"), channel=0))

    async def said(self) -> Any:
        """Method after method, with its channel, until the client has gone."""
        data = b""
        while more := await self._reader.read(_READ_BYTES):
            data += more
            while (decoded := pika.frame.decode_frame(data))[1] is not None:
                data = data[decoded[0] :]
                method = getattr(decoded[1], "method", None)
                if method is not None:
                    yield method, decoded[1].channel_number

    def tell(self, method: Any) -> None:
        """The scripts hear of it."""
        for listener in self.listeners:
            listener.put_nowait(method)

    async def send(self, data: bytes) -> None:
        """Send, as fast as the client takes it."""
        self._writer.write(data)
        await self._writer.drain()

    def abort(self) -> None:
        """Cut it."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End it, and the scripts that use it."""
        self.gone.set()
        self.tell(None)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await _end(self.tasks)


async def _end(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Give them a turn to see that the client has gone, then cancel what still runs."""
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
