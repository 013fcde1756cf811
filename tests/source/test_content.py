"""Deliveries are read from any cut of the bytes, as pika would read them; what breaks the protocol is told."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import pika.channel
import pika.frame
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pika import spec

from fluent_plugin_amp.errors import BrokerViolation, EventTooLarge
from fluent_plugin_amp.source import content
from fluent_plugin_amp.source.content import FRAME_MAX_BYTES, Message, Reader, delivery_count
from fluent_plugin_amp.testing.hostile_broker import (
    body_frames,
    delivery_frames,
    header_frame,
    heartbeat_frame,
    method_frame,
    raw_frame,
    raw_header_frame,
)

CISCO = spec.BasicProperties(
    content_type="application/octet-stream", delivery_mode=2, headers={"CC": ["a.b.553648147.c"]}
)


class Got(NamedTuple):
    """Everything that a reader gave; by channel, since only there an order is kept."""

    frames: list[bytes]
    messages: list[tuple[int, Message]]
    late: list[tuple[int, int]]
    heard: int
    """How often frames were taken out."""


def reader_on(*channels: int, max_event_bytes: int = 1_000_000) -> Reader:
    """A reader with these channels, the consumer of each named after it."""
    reader = Reader(max_event_bytes)
    for channel in channels:
        reader.open(channel)
        reader.consume(channel, f"tag{channel}")
    return reader


def feed(reader: Reader, *pieces: bytes) -> Got:
    """What comes of these pieces."""
    got = Got([], [], [], 0)
    for piece in pieces:
        read = reader.receive(piece)
        got.frames.extend(read.frames)
        for channel, messages, late in read.delivered:
            got.messages.extend((channel, message) for message in messages)
            got.late.extend((channel, tag) for tag in late)
        got = got._replace(heard=got.heard + read.taken)
    return got._replace(messages=sorted(got.messages), late=sorted(got.late))


def bodies(got: Got) -> list[bytes]:
    """Those of the messages."""
    return [message.body for _, message in got.messages]


# --- golden bytes --------------------------------------------------------------------------------

DELIVER = bytes.fromhex(
    "01 0001 0000001f"  # a method on channel 1, of 31 bytes
    "003c 003c"  # basic.deliver
    "04 74616731"  # consumer tag: tag1
    "0000000000000007 01"  # delivery tag 7, redelivered
    "03 657863"  # exchange: exc
    "08 612e622e3132332e"  # routing key: a.b.123.
    "ce"
)
HEADER = bytes.fromhex(
    "02 0001 0000002c"  # a content header of 44 bytes
    "003c 0000 0000000000000005"  # class basic, weight 0, a body of 5 bytes
    "2000"  # headers only
    "0000001a 10 782d64656c69766572792d636f756e74 6c 0000000000000003"  # x-delivery-count, a long: 3
    "ce"
)
BODY = bytes.fromhex("03 0001 00000005 7b227d5d5b ce")
GOLDEN = Message(7, True, "a.b.123.", 3, b'{"}][')

MESSAGES: dict[str, tuple[bytes, Got]] = {
    "golden": (DELIVER + HEADER + BODY, Got([], [(1, GOLDEN)], [], 1)),
    "as Cisco sends it": (
        delivery_frames("tag1", 1, b"{}", routing_key="a.b.553648147", properties=CISCO),
        Got([], [(1, Message(1, False, "a.b.553648147", 0, b"{}"))], [], 1),
    ),
    "an empty body": (
        delivery_frames("tag1", 1, b""),
        Got([], [(1, Message(1, False, "key", 0, b""))], [], 1),
    ),
    "several frames": (
        delivery_frames("tag1", 1, b"0123456789", frame_max=11),
        Got([], [(1, Message(1, False, "key", 0, b"0123456789"))], [], 1),
    ),
    "an empty frame within": (
        method_frame(spec.Basic.Deliver("tag1", 1, False, "", "k"))
        + header_frame(2)
        + b"".join(raw_frame(3, 1, piece) for piece in (b"", b"a", b"", b"b")),
        Got([], [(1, Message(1, False, "k", 0, b"ab"))], [], 1),
    ),
    "another channel within": (
        method_frame(spec.Basic.Deliver("tag1", 1, False, "", "k"))
        + delivery_frames("tag2", 1, b"two", channel=2)
        + heartbeat_frame()
        + header_frame(3)
        + method_frame(spec.Connection.Blocked("memory"), channel=0)
        + body_frames(b"one"),
        Got(
            [heartbeat_frame(), method_frame(spec.Connection.Blocked("memory"), channel=0)],
            [(1, Message(1, False, "k", 0, b"one")), (2, Message(1, False, "key", 0, b"two"))],
            [],
            1,
        ),
    ),
    "another consumer": (delivery_frames("tag", 4, b"x" * 9, frame_max=12), Got([], [], [(1, 4)], 1)),
    "a consumer of another channel": (delivery_frames("tag2", 4, b""), Got([], [], [(1, 4)], 1)),
    "a routing key that is no text": (
        delivery_frames("tag1", 1, b"x", routing_key="?").replace(b"\1?", b"\1\xff"),
        Got([], [(1, Message(1, False, "�", 0, b"x"))], [], 1),
    ),
    "pika's": (
        method_frame(spec.Basic.QosOk()) + heartbeat_frame(),
        Got([method_frame(spec.Basic.QosOk()), heartbeat_frame()], [], [], 0),
    ),
}


@pytest.fixture(params=MESSAGES.values(), ids=list(MESSAGES))
def case(request: pytest.FixtureRequest) -> tuple[bytes, Got]:
    """Bytes, and what comes of them."""
    found: tuple[bytes, Got] = request.param
    return found


def test_whole(case: tuple[bytes, Got]) -> None:
    """In one piece."""
    data, expected = case
    assert feed(reader_on(1, 2), data) == expected


def test_split_at_each_byte(case: tuple[bytes, Got]) -> None:
    """In two pieces, and in pieces of one byte."""
    data, expected = case
    for at in range(len(data) + 1):
        assert feed(reader_on(1, 2), data[:at], data[at:])[:3] == expected[:3]
    got = feed(reader_on(1, 2), *(data[at : at + 1] for at in range(len(data))))
    assert got[:3] == expected[:3]


def test_with_trailing_bytes(case: tuple[bytes, Got]) -> None:
    """What follows is the next frame's, complete or not."""
    data, expected = case
    more = method_frame(spec.Basic.CancelOk("other"))
    for end in range(1, len(more) + 1):
        reader = reader_on(1, 2)
        got = feed(reader, data + more[:end], more[end:])
        assert got[:3] == ([*expected.frames, more], *expected[1:3])


# --- consumers come and go -----------------------------------------------------------------------


def test_after_a_cancel_what_comes_is_late() -> None:
    """Also when it had begun before; what was complete has arrived."""
    reader = reader_on(1)
    two = delivery_frames("tag1", 2, b"two")
    assert bodies(feed(reader, delivery_frames("tag1", 1, b"one") + two[:-3])) == [b"one"]
    reader.consume(1, None)
    assert feed(reader, two[-3:] + delivery_frames("tag1", 3, b"three"))[1:3] == ([], [(1, 2), (1, 3)])


def test_the_next_consumer_gets_its_own() -> None:
    """And nothing that was meant for the one before it, not even a half."""
    reader = reader_on(1)
    late = delivery_frames("tag1", 1, b"late", frame_max=10)
    feed(reader, late[:-5])
    reader.consume(1, "tag1.2")
    got = feed(reader, late[-5:] + delivery_frames("tag1.2", 2, b"x") + delivery_frames("tag1", 3, b"y"))
    assert got[1:3] == ([(1, Message(2, False, "key", 0, b"x"))], [(1, 1), (1, 3)])


def test_a_channel_without_a_consumer() -> None:
    """Nobody asked for it: it goes back."""
    reader = Reader()
    reader.open(1)
    assert feed(reader, delivery_frames("", 1, b"x") + delivery_frames("any", 2, b"x")).late == [(1, 1), (1, 2)]


def test_a_channel_of_the_same_number_begins_anew() -> None:
    """With its own tags and consumer; half a delivery of the one before is forgotten."""
    reader = reader_on(1)
    feed(reader, delivery_frames("tag1", 5, b"x") + method_frame(spec.Basic.Deliver("tag1", 6, False, "", "")))
    reader.close(1)
    reader.open(1)
    assert feed(reader, delivery_frames("tag1", 1, b"x")).late == [(1, 1)]
    reader.consume(1, "tag1")
    assert bodies(feed(reader, delivery_frames("tag1", 2, b"y"))) == [b"y"]


# --- bounds --------------------------------------------------------------------------------------

BEGUN = method_frame(spec.Basic.Deliver("tag1", 1, False, "exchange", "key"))
VIOLATIONS: dict[str, tuple[bytes, str]] = {
    "no AMQP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of 1,345,270,062 bytes, where 131,072 are agreed on"),
    "a large frame": (raw_frame(1, 0, b"", size=120 * 2**20)[:7], "a frame of 125,829,120 bytes"),
    "a frame just too large": (raw_frame(3, 1, b"", size=FRAME_MAX_BYTES + 1)[:7], "a frame of 131,073 bytes"),
    "no end": (raw_frame(1, 0, b"x", end=0), "a frame without its end"),
    "another type": (raw_frame(7, 0, b""), "a frame of type 7 for channel 0"),
    "another type on a channel": (raw_frame(0, 1, b""), "a frame of type 0 on channel 1"),
    "a heartbeat on a channel": (raw_frame(8, 1, b""), "a frame of type 8 on channel 1"),
    "a content on channel 0": (header_frame(1, channel=0), "a frame of type 2 for channel 0, which is not open"),
    "a closed channel": (method_frame(spec.Basic.QosOk(), 9), "a frame of type 1 for channel 9, which is not open"),
    "a header first": (header_frame(1), "a content header that belongs to no delivery"),
    "a body first": (body_frames(b"x"), "a body that belongs to no content header"),
    "an empty body first": (raw_frame(3, 1, b""), "a body that belongs to no content header"),
    "a body before its header": (BEGUN + body_frames(b"x"), "a body that belongs to no content header"),
    "a second header": (BEGUN + header_frame(2) + header_frame(2), "a content header that belongs to no delivery"),
    "a header after an empty body": (
        BEGUN + header_frame(0) + header_frame(0),
        "a content header that belongs to no",
    ),
    "a delivery within": (BEGUN + BEGUN, "a delivery within a delivery"),
    "a delivery within a body": (BEGUN + header_frame(2) + body_frames(b"x") + BEGUN, "a delivery within a delivery"),
    "a method within": (BEGUN + method_frame(spec.Basic.QosOk()), "a method within a delivery"),
    "a method within a body": (BEGUN + header_frame(2) + method_frame(spec.Basic.QosOk()), "a method within"),
    "a body that is longer": (BEGUN + header_frame(1) + body_frames(b"xy"), "a body that is longer than announced"),
    "a body that is longer in the end": (
        BEGUN + header_frame(3) + body_frames(b"xy") + body_frames(b"xy"),
        "a body that is longer than announced",
    ),
    "a body in too many pieces": (BEGUN + header_frame(1) + 17 * raw_frame(3, 1, b""), "a body in too many pieces"),
    "a body in pieces of a byte": (BEGUN + header_frame(5000) + 40 * body_frames(b"x"), "a body in too many pieces"),
    "a short header": (BEGUN + raw_frame(2, 1, b"\0\x3c\0\0"), "a content header that ends too early"),
    "a header of another class": (
        BEGUN + raw_frame(2, 1, struct.pack(">HHQH", 50, 0, 1, 0)),
        "a content header of class 50",
    ),
    "the same tag": (
        delivery_frames("tag1", 7, b"x") + delivery_frames("tag1", 7, b"x"),
        "delivery tag 7 after 7: it must grow",
    ),
    "a smaller tag": (delivery_frames("tag1", 7, b"") + delivery_frames("tag1", 6, b""), "delivery tag 6 after 7"),
    "a smaller tag of another consumer": (
        delivery_frames("tag1", 7, b"") + delivery_frames("other", 6, b""),
        "delivery tag 6 after 7",
    ),
    "tag 0": (delivery_frames("tag1", 0, b""), "delivery tag 0 after 0"),
    "basic.get-ok": (method_frame(spec.Basic.GetOk(1, False, "", "", 0)), "a content that nobody asked for"),
    "basic.return": (method_frame(spec.Basic.Return(312, "", "", "")), "a content that nobody asked for"),
    **{
        f"a delivery of {size} bytes": (raw_frame(1, 1, BEGUN[7 : 7 + size]), "a delivery that ends too early")
        for size in range(4, len(BEGUN) - 8)
    },
}


@pytest.mark.parametrize(("data", "what"), VIOLATIONS.values(), ids=list(VIOLATIONS))
def test_violations(data: bytes, what: str) -> None:
    """Each is told, in one piece and byte by byte, with whatever follows."""
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))], [data + delivery_frames("tag1", 9, b"x")]):
        with pytest.raises(BrokerViolation) as caught:
            feed(reader_on(1, 2), *pieces)
        assert str(caught.value).startswith(what)


@pytest.mark.parametrize("size", [1001, 1 << 40, (1 << 64) - 1])
def test_an_event_that_is_too_large(size: int) -> None:
    """Told when it is announced; one of exactly the limit arrives."""
    assert bodies(feed(reader_on(1, max_event_bytes=1000), delivery_frames("tag1", 1, b"x" * 1000))) == [b"x" * 1000]
    with pytest.raises(EventTooLarge, match=f"^an event of {size:,} bytes, where 1,000 are taken$"):
        feed(reader_on(1, max_event_bytes=1000), BEGUN + header_frame(size))


def test_a_large_event_that_a_quorum_queue_had_returned() -> None:
    """How often is told: the queue may delete it before long."""
    header = header_frame(2000, spec.BasicProperties(headers={"x-delivery-count": 5}))
    with pytest.raises(EventTooLarge, match=r"where 1,000 are taken; a quorum queue had it requeued 5 times so far$"):
        feed(reader_on(1, max_event_bytes=1000), BEGUN + header)


def test_the_frame_size_agreed_on() -> None:
    """Counts from then on, with and without the eight bytes around a frame: brokers differ in that."""
    reader = reader_on(1)
    reader.agree(4096)
    data = BEGUN + header_frame(4096) + raw_frame(3, 1, bytes(4096))
    assert bodies(feed(reader, data)) == [bytes(4096)]
    with pytest.raises(BrokerViolation, match="a frame of 4,097 bytes, where 4,096 are agreed on"):
        feed(reader, raw_frame(3, 1, bytes(4097)))


class Counting(bytes):
    """Bytes that count what is copied out of them."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(key, slice):
            Counting.copied += len(found)
            return Counting(found)
        return found


@pytest.mark.parametrize("read_bytes", [1448, 16_384, 262_144])
def test_a_body_is_copied_a_few_times_however_it_comes(read_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MiB in full frames, cut as networks cut: work grows with its bytes."""

    def whole(held: bytearray) -> Counting:
        Counting.copied += len(held)
        return Counting(held)

    monkeypatch.setattr(content, "bytes", whole, raising=False)
    monkeypatch.setattr(Counting, "copied", 0)
    body = b"0123456789abcdef" * (2 * 2**20)
    data = delivery_frames("tag1", 1, body)
    reader = reader_on(1, max_event_bytes=len(body))
    pieces = (Counting(data[at : at + read_bytes]) for at in range(0, len(data), read_bytes))
    assert bodies(feed(reader, *pieces)) == [body]
    assert Counting.copied < 4 * len(data)


# --- x-delivery-count ----------------------------------------------------------------------------

COUNT = b"\x10x-delivery-count"


def properties(table: bytes, *, length: int | None = None) -> bytes:
    """Flags, and headers in this form."""
    return raw_header_frame(0, table)[19:-1] if length is None else struct.pack(">HI", 1 << 13, length) + table


@pytest.mark.parametrize(
    ("table", "count"),
    [
        (COUNT + b"l" + (7).to_bytes(8, "big"), 7),
        (COUNT + b"L" + (7).to_bytes(8, "big"), 7),
        (COUNT + b"I\0\0\0\7", 7),
        (COUNT + b"i\xff\xff\xff\xff", 2**32 - 1),
        (COUNT + b"u\xff\xff", 2**16 - 1),
        (COUNT + b"s\0\7", 7),
        (COUNT + b"U\0\7", 7),
        (COUNT + b"b\7", 7),
        (COUNT + b"B\xff", 255),
        (COUNT + b"l" + b"\xff" * 8, 0),
        (COUNT + b"b\xff", 0),
        (COUNT + b"t\1", 0),
        (COUNT + b"V", 0),
        (COUNT + b"S\0\0\0\1" + b"7", 0),
        (COUNT + b"d" + bytes(8), 0),
        (COUNT + b"?" + bytes(8), 0),
        (COUNT + b"l\0", 0),
        (COUNT, 0),
        (b"\1aS\0\0\0\x11" + COUNT + COUNT + b"b\7", 7),
        (b"\1aF\0\0\0\x13" + COUNT + b"b\1" + COUNT + b"b\7", 7),
        (b"\1aS\0\0\0\x11" + COUNT, 0),
        (b"\2CCA\0\0\0\2V" + b"V" + COUNT + b"b\7", 7),
        (b"\1aT" + (1593079552000000).to_bytes(8, "big") + COUNT + b"b\7", 7),
        (b"\1aD" + bytes(5) + b"\1bf" + bytes(4) + b"\1cV" + COUNT + b"b\7", 7),
        (b"\1aZ" + COUNT + b"b\7", 0),
        (b"\1aS\xff\xff\xff\xff" + COUNT + b"b\7", 0),
        (b"\xff" + COUNT + b"b\7", 0),
        (b"", 0),
    ],
)
def test_the_delivery_count(table: bytes, count: int) -> None:
    """A natural number of any integer type; whatever else stands there, and however broken the table is: 0."""
    assert delivery_count(properties(table)) == count
    data = BEGUN + raw_header_frame(1, table) + body_frames(b"x")
    assert feed(reader_on(1), data).messages == [(1, Message(1, False, "key", count, b"x"))]


def test_the_delivery_count_behind_other_properties() -> None:
    """The types of the content stand before the headers."""
    made = spec.BasicProperties(
        content_type="application/octet-stream",
        content_encoding="identity",
        headers={"CC": ["a"], "x-delivery-count": 7},
        message_id="x-delivery-count",
    )
    data = BEGUN + header_frame(0, made)
    assert feed(reader_on(1), data).messages[0][1].requeues == 7
    without = spec.BasicProperties(content_type="\x10x-delivery-count", message_id="x-delivery-count")
    assert feed(reader_on(1), BEGUN + header_frame(0, without)).messages[0][1].requeues == 0


@settings(deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_table_is_fatal(before: bytes, after: bytes) -> None:
    """Whatever bytes stand around the name."""
    assert delivery_count(before + COUNT + after) >= 0
    assert delivery_count(properties(before + COUNT + after, length=len(after))) >= 0


# --- beside pika ---------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.just(Decimal("1.5"))
    | st.just(datetime(2026, 1, 2, tzinfo=timezone.utc)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
all_properties = st.builds(
    spec.BasicProperties,
    content_type=st.none() | st.text(max_size=30),
    content_encoding=st.none() | st.text(max_size=30),
    headers=st.none()
    | st.dictionaries(st.sampled_from(["x-delivery-count", "CC", "a"]) | st.text(max_size=10), values, max_size=4),
    delivery_mode=st.none() | st.sampled_from([1, 2]),
    priority=st.none() | st.integers(0, 255),
    message_id=st.none() | st.just("x-delivery-count"),
)
BODY_BYTES = 30
"""In one frame, of those made here."""


@st.composite
def frames_of_channel(draw: Callable[..., Any], channel: int) -> list[bytes]:
    """Well-formed frames of one channel, in order."""
    frames: list[bytes] = []
    tag = 0
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            methods: list[Any] = [spec.Basic.QosOk(), spec.Channel.Flow(True), spec.Basic.Cancel("x")]
            frames.append(method_frame(draw(st.sampled_from(methods)), channel))
            continue
        tag += draw(st.integers(1, 2**40))
        body = draw(st.binary(max_size=3 * BODY_BYTES))
        consumer = draw(st.sampled_from([f"tag{channel}", "other"]))
        key = draw(st.text(max_size=20))
        frames.append(method_frame(spec.Basic.Deliver(consumer, tag, draw(st.booleans()), "exchange", key), channel))
        frames.append(header_frame(len(body), draw(all_properties), channel))
        frames += [body_frames(body[at : at + BODY_BYTES], channel) for at in range(0, len(body), BODY_BYTES)]
    return frames


@st.composite
def streams(draw: Callable[..., Any]) -> list[bytes]:
    """Well-formed frames of two channels and of the connection, in any order that keeps each one's."""
    others = [heartbeat_frame(), method_frame(spec.Connection.Blocked("memory"), 0)]
    queues = [*(draw(frames_of_channel(channel)) for channel in (1, 2)), draw(st.lists(st.sampled_from(others)))]
    frames = []
    while any(queues):
        frames.append(draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    return frames


def as_pika_reads(data: bytes) -> tuple[list[tuple[int, Message]], list[tuple[int, int]], list[str]]:
    """Messages, what is not for our consumers, and the other frames; by pika alone."""
    messages: list[tuple[int, Message]] = []
    late: list[tuple[int, int]] = []
    others: list[str] = []
    assemblers = {channel: pika.channel.ContentFrameAssembler() for channel in (1, 2)}
    while data:
        consumed, frame = pika.frame.decode_frame(data)
        assert frame is not None
        data = data[consumed:]
        number = frame.channel_number
        is_method = isinstance(frame, pika.frame.Method) and not isinstance(frame.method, spec.Basic.Deliver)
        if is_method or isinstance(frame, pika.frame.Heartbeat):
            others.append(repr(frame))
        elif (whole := assemblers[number].process(frame)) is not None:
            deliver, header, body = whole
            method = deliver.method
            if method.consumer_tag != f"tag{number}":
                late.append((number, method.delivery_tag))
                continue
            count = (header.properties.headers or {}).get("x-delivery-count", 0)
            returns = count if type(count) is int and count >= 0 else 0
            key = method.routing_key
            messages.append((number, Message(method.delivery_tag, method.redelivered, key, returns, body)))
    return messages, late, others


def of_channel(channel: int, found: Sequence[tuple[int, Any]]) -> list[Any]:
    """One channel's."""
    return [value for number, value in found if number == channel]


GENEROUS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The strategies are slow to begin with on a busy machine."""


@GENEROUS
@given(streams(), st.lists(st.integers(1, 60), max_size=20))
def test_ours_and_pika_read_what_pika_alone_would(frames: list[bytes], cuts: list[int]) -> None:
    """The same messages for each channel, in order; the same other frames, in order; whatever the cuts."""
    data, pieces = b"".join(frames), []
    rest = data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    got = feed(reader_on(1, 2), *pieces, rest)
    messages, late, others = as_pika_reads(data)
    for channel in (1, 2):
        assert of_channel(channel, got.messages) == of_channel(channel, messages)
        assert of_channel(channel, got.late) == of_channel(channel, late)
    assert as_pika_reads(b"".join(got.frames)) == ([], [], others)


# --- garbage -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_garbage_gives_nothing_but_violations(pieces: list[bytes]) -> None:
    """Whatever comes, and however it is cut."""
    with contextlib.suppress(BrokerViolation, EventTooLarge):
        feed(reader_on(1), *pieces)


raw_frames = st.builds(
    raw_frame,
    st.sampled_from([1, 2, 3, 8]) | st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3]),
    st.binary(max_size=40)
    | st.builds(bytes.__add__, st.just(BEGUN[7:20]), st.binary(max_size=40))
    | st.builds(bytes.__add__, st.just(HEADER[7:19]), st.binary(max_size=40)),
    size=st.none() | st.integers(0, 50),
    end=st.just(0xCE) | st.integers(0, 255),
)


@GENEROUS
@given(streams(), st.lists(st.tuples(st.integers(0, 40), raw_frames), max_size=4), st.integers(1, 200))
def test_broken_frames_give_nothing_but_violations(
    frames: list[bytes], broken: list[tuple[int, bytes]], cut: int
) -> None:
    """Within frames that are well-formed."""
    for at, frame in broken:
        frames.insert(at, frame)
    data = b"".join(frames)
    with contextlib.suppress(BrokerViolation, EventTooLarge):
        feed(reader_on(1, 2), *(data[start : start + cut] for start in range(0, len(data), cut)))
