"""Publishing to a real broker with pipelined publisher confirms: how events get into a private RabbitMQ fast.

A plain blocking socket; pika only encodes and decodes frames, and of those that are always the same each only
once.  So publishing leaves the processor to the broker and to whoever is being tested.

Invariant: when `publish` returns, the broker has taken responsibility for every message; otherwise it raises.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_WINDOW = 2000
"""Messages on their way without a confirm: enough to keep the broker busy, little enough to keep memory low."""
_BATCH = 100
_BATCH_BYTES = 1 << 20
"""How many messages go into one write, unless a single one is larger."""
_CHANNEL = 1
_STALLED_S = 60.0
_RECV_BYTES = 65536
_CONTENT_TYPE = "application/octet-stream"
# A content header frame: type, channel, length of the payload; then class, weight and size of the body.
_BODY_SIZE_AT = struct.calcsize(">BHI") + struct.calcsize(">HH")


class PublishError(Exception):
    """A message was refused or could not be routed, or the connection ended before all were confirmed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message and where it goes; persistent, with ``headers`` as its AMQP headers.

    Headers that pika cannot make are given as bytes: the table as it goes over the wire, without its length.
    """

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any] | bytes = field(default_factory=dict)


def publish(host: str, port: int, username: str, password: str, messages: Iterable[Message]) -> int:
    """Publish all ``messages``, in order, and wait until the broker confirmed each; returns how many.

    Raises PublishError also when the broker takes nothing and says nothing for a minute.
    """
    sent = 0
    unconfirmed: dict[int, None] = {}
    try:
        with socket.create_connection((host, port), timeout=_STALLED_S) as link:
            broker = _Broker(link, username, password)
            for batch in _batches(messages):
                first, sent = sent + 1, sent + len(batch)
                unconfirmed.update(dict.fromkeys(range(first, sent + 1)))
                broker.send(batch)
                while len(unconfirmed) > _WINDOW - _BATCH:
                    broker.receive_confirm(unconfirmed)
            while unconfirmed:
                broker.receive_confirm(unconfirmed)
            broker.close()
            return sent
    except OSError as exc:
        raise PublishError(f"{sent - len(unconfirmed)} of {sent} messages confirmed, then {exc!r}") from exc


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        if len(batch) == _BATCH or (batch and size + len(message.body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.body)
    if batch:
        yield batch


class _Broker:
    """The client's side of one AMQP 0-9-1 connection with one channel in confirm mode."""

    def __init__(self, link: socket.socket, username: str, password: str) -> None:
        from pika import frame, spec

        self._frame, self._spec = frame, spec
        self._link = link
        self._received = b""
        self._publish_frames: dict[tuple[str, str], bytes] = {}
        self._headers: dict[str, Any] | bytes = {}  # of the message before
        self._header = self._header_frame(self._headers)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(frame.ProtocolHeader().marshal())
        self._expect(spec.Connection.Start)
        properties = {"capabilities": {"authentication_failure_close": True}}
        login = spec.Connection.StartOk(properties, "PLAIN", f"\0{username}\0{password}")
        tune = self._call(login, spec.Connection.Tune, channel=0)
        self._body_max = tune.frame_max - spec.FRAME_HEADER_SIZE - spec.FRAME_END_SIZE
        self._tell(spec.Connection.TuneOk(tune.channel_max, tune.frame_max, heartbeat=0), channel=0)
        self._call(spec.Connection.Open("/"), spec.Connection.OpenOk, channel=0)
        self._call(spec.Channel.Open(), spec.Channel.OpenOk)
        self._call(spec.Confirm.Select(), spec.Confirm.SelectOk)

    def send(self, messages: list[Message]) -> None:
        """Write messages out; an unroutable one is returned by the broker (``mandatory``), see below."""
        self._link.sendall(b"".join(itertools.chain.from_iterable(map(self._encode, messages))))

    def receive_confirm(self, unconfirmed: dict[int, None]) -> None:
        """Wait for the next confirm and take the delivery tags it names out of ``unconfirmed``."""
        confirm = self._expect(self._spec.Basic.Ack)
        if not confirm.multiple:
            del unconfirmed[confirm.delivery_tag]
            return
        for tag in list(itertools.takewhile(confirm.delivery_tag.__ge__, unconfirmed)):
            del unconfirmed[tag]

    def close(self) -> None:
        """Say goodbye and wait for the answer."""
        goodbye = self._spec.Connection.Close(200, "done", 0, 0)
        self._call(goodbye, self._spec.Connection.CloseOk, channel=0)

    def _encode(self, message: Message) -> Iterator[bytes]:
        where = message.exchange, message.routing_key
        if where not in self._publish_frames:
            method = self._spec.Basic.Publish(0, *where, mandatory=True)
            self._publish_frames[where] = self._frame.Method(_CHANNEL, method).marshal()
        yield self._publish_frames[where]
        if message.headers != self._headers:
            self._headers, self._header = message.headers, self._header_frame(message.headers)
        yield self._header[:_BODY_SIZE_AT]
        yield len(message.body).to_bytes(8, "big")
        yield self._header[_BODY_SIZE_AT + 8 :]
        for start in range(0, len(message.body), self._body_max):
            yield self._frame.Body(_CHANNEL, message.body[start : start + self._body_max]).marshal()

    def _header_frame(self, headers: dict[str, Any] | bytes) -> bytes:
        """For an empty body."""
        properties = self._spec.BasicProperties(content_type=_CONTENT_TYPE, delivery_mode=2)
        if not isinstance(headers, bytes):
            properties.headers = headers or None
            return bytes(self._frame.Header(_CHANNEL, 0, properties).marshal())
        kinds = properties.FLAG_CONTENT_TYPE | properties.FLAG_HEADERS | properties.FLAG_DELIVERY_MODE
        content_type, delivery_mode = _CONTENT_TYPE.encode(), b"\2"
        payload = b"".join(
            [
                struct.pack(">HHQH", self._spec.Basic.INDEX, 0, 0, kinds),
                struct.pack(">B", len(content_type)) + content_type,
                struct.pack(">I", len(headers)) + headers,
                delivery_mode,
            ]
        )
        prefix = struct.pack(">BHI", self._spec.FRAME_HEADER, _CHANNEL, len(payload))
        return prefix + payload + bytes([self._spec.FRAME_END])

    def _tell(self, method: Any, channel: int = _CHANNEL) -> None:
        self._link.sendall(self._frame.Method(channel, method).marshal())

    def _call(self, method: Any, answer: type[Any], channel: int = _CHANNEL) -> Any:
        self._tell(method, channel)
        return self._expect(answer)

    def _expect(self, kind: type[Any]) -> Any:
        """The next method, which has to be a ``kind``."""
        while True:
            consumed, frame = self._frame.decode_frame(self._received)
            if frame is None:
                self._receive()
                continue
            self._received = self._received[consumed:]
            method = getattr(frame, "method", None)
            if isinstance(method, kind):
                return method
            if method is not None:
                raise PublishError(f"the broker answered {method!r}")

    def _receive(self) -> None:
        data = self._link.recv(_RECV_BYTES)
        if not data:
            raise ConnectionResetError("the broker closed the connection")
        self._received += data
