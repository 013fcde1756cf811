"""The conductor resolves each delivery once, when a server has all of it, and loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import selectors
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import msgpack
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluent_plugin_amp.errors import (
    EventIntegerTooLarge,
    EventNotJson,
    EventProcessingFailed,
    EventRefusedByServer,
    EventTooDeep,
    InvalidEvent,
)
from fluent_plugin_amp.facts import DeadLettered, Fact, InternalError
from fluent_plugin_amp.model import Answer, Chunk, Delivery, EventIdentity, Outcome, Pending, Record
from fluent_plugin_amp.pipeline.asking import Asker
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.conductor import AGAIN_AFTER_S, Conductor
from fluent_plugin_amp.pipeline.dead_letters import original_body
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, Rule
from fluent_plugin_amp.pipeline.tags import tag_safe
from fluent_plugin_amp.pipeline.transform import Transform

DROPPED_TYPE = 7
LETTER_TAG = "dead.letters"


# --- the two ends, played ------------------------------------------------------------------------


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when there is nothing else to do."""

    def __init__(self) -> None:
        super().__init__(_Selector(self))
        self.now = 0.0

    def time(self) -> float:
        """Virtual seconds."""
        return self.now


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self._loop.now += timeout
        return events


class FakeServer:
    """What a Forward server has acked; it refuses poison, and letters when told to."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.letters: dict[tuple[str, int], dict[int, Record]] = defaultdict(dict)
        self.refuses_letters_over: int | None = None

    def refuses(self, chunk: Chunk, entry: bytes) -> bool:
        """Whether this entry closes the connection."""
        if chunk.is_dead_letters:
            return self.refuses_letters_over is not None and len(entry) > self.refuses_letters_over
        return "poison" in msgpack.unpackb(entry)[2]

    def take(self, chunk: Chunk) -> None:
        """Ack all of a chunk."""
        for entry in chunk.entries:
            record = msgpack.unpackb(entry)[2]
            if chunk.is_dead_letters:
                # Parts of one posting have the routing key, which the tests make unique, and the count in common.
                self.letters[record["routing_key"], record["parts"]][record["part"]] = record
            else:
                self.records.append(record)

    def has(self, body: bytes) -> bool:
        """Whether an event arrived, as a record, or whole as a dead letter."""
        try:
            if json.loads(body) in self.records:
                return True
        except ValueError:
            pass
        return any(
            len(parts) == of and original_body(list(parts.values())) == body
            for (_, of), parts in self.letters.items()
        )


class FakeSink:
    """A sink that answers when told to."""

    def __init__(self, server: FakeServer, window: int = 4) -> None:
        self.server = server
        self.window = window
        self.available = True
        self.asks_for_news = False
        """In doubt, it wants one chunk more to tell a poisonous one from a server that takes nothing."""
        self.chunks: list[Chunk] = []
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def room(self) -> int:
        """Chunks it takes."""
        if self.asks_for_news:
            return 1
        return max(0, self.window - len(self.chunks)) if self.available else 0

    @property
    def in_flight(self) -> int:
        """Chunks not answered."""
        return len(self.chunks)

    def send(self, chunk: Chunk) -> None:
        """Take one."""
        assert self.room > 0
        assert chunk.entries
        self.chunks.append(chunk)

    def answer(self, chunk: Chunk) -> None:
        """What the server makes of a chunk; one with an entry that it refuses is halved, like the real sink does."""
        self.chunks.remove(chunk)
        if not any(self.server.refuses(chunk, entry) for entry in chunk.entries):
            self.server.take(chunk)
            self.on_answer(Answer(chunk, Outcome.ACKED, "server"))
        elif len(chunk.entries) == 1:
            self.on_answer(Answer(chunk, Outcome.REFUSED, "server"))
        else:
            middle = len(chunk.entries) // 2
            for part in (slice(middle), slice(middle, None)):
                half = Chunk(
                    chunk.id + "/", chunk.tag, chunk.entries[part], chunk.deliveries[part], chunk.is_dead_letters
                )
                self.chunks.append(half)
        self.on_change()

    def answer_all(self) -> None:
        """Until nothing is in flight."""
        while self.chunks:
            self.answer(self.chunks[0])

    def held(self) -> list[Chunk]:
        """Those that wait."""
        return [*self.chunks]

    def shed(self) -> None:
        """Forget what was requeued, but keep one chunk as a probe."""
        requeued = [chunk for chunk in self.chunks if all(delivery.is_requeued for delivery in chunk.deliveries)]
        if len(requeued) == len(self.chunks):
            requeued = requeued[1:]
        for chunk in requeued:
            self.chunks.remove(chunk)
            self.on_answer(Answer(chunk, Outcome.SHED))

    async def run(self) -> None:
        """Not needed."""


class SlowMemory(DeliveredMemory):
    """Remembers at once, and says so when told to, as a file does when it is committed."""

    wants_facts = True

    def __init__(self) -> None:
        super().__init__()
        self.uncommitted: list[Pending] = []

    def record(self, deliveries: list[Delivery]) -> Pending:  # type: ignore[override]
        """Part of `Delivered`."""
        super().record(deliveries)
        self.uncommitted.append(Pending())
        return self.uncommitted[-1]

    def commit(self) -> None:
        """What was recorded first is safe."""
        if self.uncommitted:
            self.uncommitted.pop(0).is_safe_now()


class Shelf:
    """Keeps letters, unless it is out of order, and is the ledger of those that are posted again."""

    closed = False

    def __init__(self, rig: Rig) -> None:
        self.is_broken = False
        self.letters: dict[int, tuple[Delivery, InvalidEvent]] = {}
        self.posted: set[int] = set()
        self._rig = rig
        self._numbers = count(1)

    def keep(self, delivery: Delivery, error: InvalidEvent, done: Callable[[bool], None]) -> None:
        """Keep one."""
        if not self.is_broken:
            number = next(self._numbers)
            kept = Delivery(delivery.stream, self, number, delivery.body, True, f"key {next(self._rig.numbers)}")
            self.letters[number] = (kept, error)
        done(not self.is_broken)

    def post(self) -> None:
        """Post those that are not under way."""
        for number, letter in list(self.letters.items()):
            if number not in self.posted:
                self.posted.add(number)
                self._rig.conductor.post_kept(*letter)

    def refused(self, delivery: Delivery) -> None:
        """It stays."""
        self.posted.remove(delivery.delivery_tag)

    def resolve(self, delivery_tag: int) -> None:
        """A server has it."""
        delivery, _ = self.letters.pop(delivery_tag)
        assert self._rig.server.has(delivery.body)


class Channel:
    """A channel of one stream: a ledger that checks every resolve against what the server has."""

    def __init__(self, rig: Rig, stream: str) -> None:
        self.closed = False
        self.unacked: dict[int, bytes] = {}
        self.stream = stream
        self._rig = rig
        self._tags = count(1)

    def deliver(self, body: bytes, *, redelivered: bool = False) -> Delivery:
        """The broker delivers a message."""
        tag = next(self._tags)
        self.unacked[tag] = body
        delivery = Delivery(
            self.stream, self, tag, body, redelivered, f"key {next(self._rig.numbers)}", self._rig.loop.time()
        )
        self._rig.conductor.receive(delivery)
        return delivery

    def resolve(self, delivery_tag: int) -> None:
        """The conductor says that the delivery is safe."""
        if self.closed:
            return
        body = self.unacked.pop(delivery_tag)  # a KeyError: resolved twice
        assert self._rig.is_safe(body), f"resolved too early: {body!r}"


class Rig:
    """A conductor between two channels and a sink, with time of its own."""

    def __init__(
        self,
        *,
        window: int = 4,
        limit_bytes: int = 400,
        eager_bytes: int = 400,
        raw_dead_letters: bool = False,
        memory: DeliveredMemory | None = None,
        has_shelf: bool = False,
        combines: bool = False,
    ) -> None:
        self.loop = VirtualTimeLoop()
        self.numbers = count()
        self.facts: list[Fact] = []
        self.heard: list[bool] = []
        """Whether the sink was available, each time when that changed."""
        self.server = FakeServer()
        self.sink = FakeSink(self.server, window)
        self.memory = memory
        self.shelf = Shelf(self)
        self.conductor = Conductor(
            {name: Transform(name, drop_event_types=frozenset({DROPPED_TYPE})) for name in ("a", "b")},
            self.sink,
            lambda seconds, nanoseconds, record: bytes(msgpack.packb([seconds, nanoseconds, record])),
            Batcher(limit_bytes, lambda: f"chunk {next(self.numbers)}"),
            self.facts.append,
            dead_letter_tag=LETTER_TAG,
            dead_letter_part_bytes=64,
            delivered=memory,
            shelf=self.shelf if has_shelf else None,
            eager_bytes=eager_bytes,
            raw_dead_letters=raw_dead_letters,
            combines=combines,
            on_available=lambda: self.heard.append(self.conductor.available),
        )

    def is_safe(self, body: bytes) -> bool:
        """A server has it, or the shelf, or the configuration drops it."""
        is_kept = any(delivery.body == body for delivery, _ in self.shelf.letters.values())
        return is_kept or f'"event_type_id": {DROPPED_TYPE}}}'.encode() in body or self.server.has(body)

    def turn(self, seconds: float = 0.0) -> None:
        """Let the loop do what is due, and the time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def within_loop(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` as a callback of the loop would, and let the loop turn."""

        async def call() -> Any:
            result = function()
            await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(call())

    def deliver(self, channel: Channel, body: bytes, *, redelivered: bool = False) -> Delivery:
        """One message on a channel."""
        delivery: Delivery = self.within_loop(lambda: channel.deliver(body, redelivered=redelivered))
        return delivery

    def answer_all(self) -> None:
        """The server answers until nothing waits for it."""
        while self.sink.chunks:
            self.within_loop(self.sink.answer_all)

    def reopen(self, channel: Channel, *, pause: bool) -> tuple[Channel, list[bytes]]:
        """Close a channel, by a pause or by accident; the new one, and what the broker has back."""
        channel.closed = True
        if pause:
            self.within_loop(self.conductor.forget_requeued)
        return Channel(self, channel.stream), list(channel.unacked.values())

    def assert_empty(self) -> None:
        """Nothing is held, nothing waits."""
        assert self.conductor.idle
        assert self.conductor.total_held_bytes == 0
        for line in self.conductor.lines.values():
            assert line.held_bytes == 0
            assert not line.in_flight


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters of a few bytes."""
    monkeypatch.setattr("fluent_plugin_amp.pipeline.dead_letter_sender.MIN_PART_BYTES", 16)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A rig in which everything is well."""
    rig = Rig()
    yield rig
    rig.loop.close()


def event(number: int, **fields: Any) -> bytes:
    """The body of a good event."""
    return json.dumps({"id": number, **fields}).encode()


# --- one delivery --------------------------------------------------------------------------------


def test_a_delivery_is_resolved_when_its_chunk_is_acked(rig: Rig) -> None:
    """Not when it arrives, not when it is sent."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    assert len(rig.sink.chunks) == 1
    assert list(channel.unacked) == [1]
    rig.answer_all()
    assert not channel.unacked
    assert rig.server.records == [{"id": 1}]
    rig.assert_empty()


def test_the_newest_event_time_is_kept(rig: Rig) -> None:
    """Neither an older event nor one from a clock that is ahead of ours replaces it."""
    channel, counters = Channel(rig, "a"), rig.conductor.lines["a"].counters
    rig.turn(2000.0)
    assert counters.newest_event_at == 0
    for timestamp, newest in ((1000, 1000), (900, 1000), (1001, 1001), (2**31, 1001)):
        rig.deliver(channel, event(timestamp, timestamp=timestamp))
        assert counters.newest_event_at == newest
    assert rig.conductor.lines["b"].counters.newest_event_at == 0


def test_what_it_holds_is_counted_from_arrival_to_ack(rig: Rig) -> None:
    """Body and packed entry count for the stream and in total."""
    channel, body = Channel(rig, "a"), event(1)
    delivery = rig.deliver(channel, body)
    expected = len(body) + rig.sink.chunks[0].bytes
    assert delivery.held_bytes == rig.conductor.held_bytes("a") == rig.conductor.total_held_bytes == expected
    assert rig.conductor.held_bytes("b") == 0
    rig.answer_all()
    rig.assert_empty()


def test_a_dropped_type_is_resolved_at_once(rig: Rig) -> None:
    """Filtered to nothing counts as delivered."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1, event_type_id=DROPPED_TYPE))
    assert not channel.unacked
    assert rig.conductor.lines["a"].counters.dropped == 1
    rig.assert_empty()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"no JSON", EventNotJson),
        (b"", EventNotJson),
        (event(2**64), EventIntegerTooLarge),
        (b'{"a":' * 101 + b"{}" + b"}" * 101, EventTooDeep),
    ],
)
def test_what_cannot_be_a_record_becomes_a_dead_letter(rig: Rig, body: bytes, error: type[Exception]) -> None:
    """The letter holds the original bytes, and the delivery is resolved when the letter is acked."""
    channel = Channel(rig, "a")
    rig.deliver(channel, body)
    assert list(channel.unacked) == [1]
    (fact,) = rig.facts
    assert isinstance(fact, DeadLettered)
    assert (type(fact.error), fact.size) == (error, len(body))
    rig.answer_all()
    assert not channel.unacked
    assert rig.server.has(body)
    assert rig.conductor.lines["a"].counters.dead_letters == 1
    rig.assert_empty()


def test_a_sink_in_doubt_is_given_what_there_is(rig: Rig) -> None:
    """It has one event that no server acks and asks for another: that goes out at once, however small."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1, poison=True))
    rig.sink.available = False
    rig.deliver(channel, event(2))
    assert len(rig.sink.chunks) == 1
    rig.sink.asks_for_news = True
    rig.within_loop(rig.conductor.on_sink_change)
    assert len(rig.sink.chunks) == 2


def test_a_poisonous_event_becomes_a_dead_letter_and_its_neighbours_go_through(rig: Rig) -> None:
    """The sink finds the one event that servers refuse; only that one is a letter."""
    rig.sink.available = False
    channel = Channel(rig, "a")
    for body in (event(1), event(2, poison=True), event(3)):
        rig.deliver(channel, body)
    rig.sink.available = True
    rig.within_loop(rig.conductor.on_sink_change)
    rig.answer_all()
    assert not channel.unacked
    assert rig.server.records == [{"id": 1}, {"id": 3}]
    assert rig.server.has(event(2, poison=True))
    (fact,) = rig.facts
    assert isinstance(fact, DeadLettered)
    assert isinstance(fact.error, EventRefusedByServer)
    rig.assert_empty()


# --- dead letters that have a hard time ----------------------------------------------------------


def test_a_refused_letter_goes_out_again_in_smaller_parts(rig: Rig) -> None:
    """Until the server takes the parts."""
    channel, body = Channel(rig, "a"), b"x" * 200
    rig.server.refuses_letters_over = 250
    rig.deliver(channel, body)
    rig.answer_all()
    assert not channel.unacked
    assert rig.server.has(body)
    rig.assert_empty()


def test_a_letter_that_nobody_takes_keeps_its_delivery_unacked(rig: Rig) -> None:
    """Nothing is dropped: the letter is tried again, ever more slowly, and resolved when it is taken at last."""
    channel, body = Channel(rig, "a"), b"x" * 200
    rig.server.refuses_letters_over = 0
    rig.deliver(channel, body)
    for _ in range(20):
        rig.answer_all()
        rig.turn(61)
        assert list(channel.unacked) == [1]
    rig.server.refuses_letters_over = None
    rig.answer_all()
    rig.turn(61)
    rig.answer_all()
    assert not channel.unacked
    rig.assert_empty()


def test_refused_parts_do_not_multiply(rig: Rig) -> None:
    """Each refused part made a posting of all parts of its own: four became sixteen, sixty-four, …"""
    channel, body = Channel(rig, "a"), b"x" * 256
    rig.server.refuses_letters_over = 0
    rig.deliver(channel, body)
    for _ in range(6):
        rig.answer_all()
        rig.turn(61)
        waiting = sum(len(chunk.entries) for chunk in rig.sink.chunks)
        assert waiting <= 256 / 16


def test_a_letter_sent_again_does_not_count_twice(rig: Rig) -> None:
    """Held are the body and the parts on their way, not those that were refused before."""
    channel, body = Channel(rig, "a"), b"x" * 256
    rig.server.refuses_letters_over = 0
    rig.deliver(channel, body)
    held = []
    for _ in range(8):
        rig.answer_all()
        rig.turn(61)
        held.append(rig.conductor.total_held_bytes)
    assert held[-1] == held[-2] == held[-3]


def test_an_event_that_became_a_letter_no_longer_counts_its_entry(rig: Rig) -> None:
    """The packed form that was refused is gone."""
    channel, body = Channel(rig, "a"), event(1, poison="x" * 30)
    delivery = rig.deliver(channel, body)
    rig.within_loop(lambda: rig.sink.answer(rig.sink.chunks[0]))
    assert delivery.held_bytes == len(body) + sum(chunk.bytes for chunk in rig.sink.chunks)


def test_a_letter_of_which_a_part_was_shed_is_not_delivered(rig: Rig) -> None:
    """The probe, a part of a requeued letter, was acked: that did not make the shed parts safe, but counted so."""
    channel, body = Channel(rig, "a"), bytes(range(200, 256)) * 8
    rig.deliver(channel, body)
    assert len(rig.sink.chunks) > 1
    channel, requeued = rig.reopen(channel, pause=True)
    assert len(rig.sink.chunks) == 1
    rig.deliver(channel, *requeued, redelivered=True)
    rig.answer_all()
    assert not channel.unacked
    assert rig.server.has(body)
    rig.assert_empty()


def test_a_letter_that_waits_for_its_next_try_is_freed_when_returned(rig: Rig) -> None:
    """A pause frees what was held, letters that wait for a timer included; the broker delivers them again."""
    channel, body = Channel(rig, "a"), b"x" * 10
    rig.server.refuses_letters_over = 0
    rig.deliver(channel, body)
    for _ in range(6):
        rig.answer_all()
        rig.turn(61)
    rig.answer_all()
    assert not rig.sink.chunks
    channel, requeued = rig.reopen(channel, pause=True)
    rig.assert_empty()
    rig.turn(1000)
    rig.assert_empty()
    rig.server.refuses_letters_over = None
    rig.deliver(channel, *requeued, redelivered=True)
    rig.answer_all()
    assert not channel.unacked


# --- a shelf for letters -------------------------------------------------------------------------


def refused_letter(rig: Rig) -> Channel:
    """A channel with one delivery whose letter the server refuses, in all sizes, again and again."""
    channel = Channel(rig, "a")
    rig.server.refuses_letters_over = 0
    rig.deliver(channel, b"x" * 200)
    for _ in range(4):
        rig.answer_all()
        rig.turn(61)
    return channel


def test_a_letter_that_nobody_takes_is_kept_and_its_delivery_resolved() -> None:
    """It is safe in the state file, and neither delivered nor forgotten."""
    rig = Rig(has_shelf=True)
    channel = refused_letter(rig)
    assert not channel.unacked
    ((delivery, error),) = rig.shelf.letters.values()
    assert delivery.body == b"x" * 200
    assert isinstance(error, EventNotJson)
    assert rig.conductor.lines["a"].counters.delivered == 0
    rig.assert_empty()
    rig.loop.close()


def test_a_kept_letter_is_known_when_its_delivery_comes_again() -> None:
    """No second letter."""
    rig = Rig(has_shelf=True)
    channel = refused_letter(rig)
    rig.deliver(channel, b"x" * 200, redelivered=True)
    assert not channel.unacked
    assert len(rig.shelf.letters) == 1
    rig.loop.close()


def test_a_kept_letter_is_sent_later_and_then_gone() -> None:
    """Counted as delivered then, and not as another dead letter."""
    rig = Rig(has_shelf=True)
    refused_letter(rig)
    rig.within_loop(rig.shelf.post)
    rig.answer_all()
    assert not rig.shelf.posted
    assert len(rig.shelf.letters) == 1
    rig.assert_empty()
    rig.server.refuses_letters_over = None
    rig.within_loop(rig.shelf.post)
    rig.answer_all()
    assert not rig.shelf.letters
    counters = rig.conductor.lines["a"].counters
    assert (counters.dead_letters, counters.delivered) == (1, 1)
    rig.assert_empty()
    rig.loop.close()


def test_a_kept_letter_of_a_stream_that_is_gone_is_sent_too() -> None:
    """The configuration may have changed since."""
    rig = Rig(has_shelf=True)
    rig.shelf.keep(Delivery("former", rig.shelf, 0, b"no JSON"), EventNotJson("no JSON"), lambda is_kept: None)
    rig.within_loop(rig.shelf.post)
    rig.answer_all()
    assert not rig.shelf.letters
    rig.assert_empty()
    rig.loop.close()


def test_a_letter_that_cannot_be_kept_is_tried_again() -> None:
    """As without a shelf."""
    rig = Rig(has_shelf=True)
    rig.shelf.is_broken = True
    channel = refused_letter(rig)
    assert channel.unacked
    rig.server.refuses_letters_over = None
    rig.turn(61)
    rig.answer_all()
    assert not channel.unacked
    rig.assert_empty()
    rig.loop.close()


# --- a memory that takes its time ----------------------------------------------------------------


def test_a_delivery_is_resolved_when_it_is_remembered() -> None:
    """Not when it is acked: the state file comes before the broker; its body is freed at once."""
    rig = Rig(memory=(memory := SlowMemory()))
    channel = Channel(rig, "a")
    delivery = rig.deliver(channel, event(1))
    rig.answer_all()
    assert list(channel.unacked) == [1]
    assert rig.conductor.total_held_bytes == 0
    assert not delivery.body
    assert not rig.conductor.idle
    memory.commit()
    assert not channel.unacked
    rig.assert_empty()
    rig.loop.close()


def test_what_takes_part_in_combined_records_holds_up_nobody_else() -> None:
    """Its part may take longer to be safe, so it is recorded apart."""
    rig = Rig(memory=(memory := SlowMemory()), combines=True)
    combine = lambda record, *_: record["id"] if record["id"] % 2 else None  # noqa: E731
    rig.conductor.lines["a"].transform = Transform("a", combine=combine)  # type: ignore[arg-type]
    channel = Channel(rig, "a")
    for number in range(4):
        rig.deliver(channel, b'{"id": %d}' % number)
    rig.answer_all()
    while len(memory.uncommitted) > 1:
        memory.commit()
    assert list(channel.unacked.values()) == [b'{"id": 1}', b'{"id": 3}']
    memory.commit()
    assert not channel.unacked
    rig.assert_empty()
    rig.loop.close()


def test_a_copy_that_comes_before_the_commit_waits_for_it() -> None:
    """It is neither sent nor acked early."""
    rig = Rig(memory=(memory := SlowMemory()))
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    rig.answer_all()
    channel, requeued = rig.reopen(channel, pause=True)
    rig.deliver(channel, *requeued, redelivered=True)
    assert not rig.sink.chunks
    assert list(channel.unacked) == [1]
    memory.commit()
    assert not channel.unacked
    rig.assert_empty()
    rig.loop.close()


def test_the_memory_gets_the_facts_that_cisco_sent() -> None:
    """Taken before a transform changes the event, and only if the memory wants them."""
    rig = Rig(memory=SlowMemory())
    fields = {"timestamp": 5, "timestamp_nanoseconds": 6, "event_type_id": 8, "connector_guid": "c"}
    assert rig.deliver(Channel(rig, "a"), event(1, **fields)).facts == EventIdentity(1, 5, 6, 8, "c")
    assert rig.deliver(Channel(rig, "a"), b"no JSON").facts is None
    rig.loop.close()
    rig = Rig()
    assert rig.deliver(Channel(rig, "a"), event(1, **fields)).facts is None
    rig.loop.close()


# --- copies --------------------------------------------------------------------------------------


def test_a_redelivered_event_that_was_delivered_is_not_sent_again(rig: Rig) -> None:
    """It is acked: the server has it."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    channel, requeued = rig.reopen(channel, pause=False)
    rig.answer_all()
    rig.deliver(channel, *requeued, redelivered=True)
    assert not channel.unacked
    assert not rig.sink.chunks
    assert rig.server.records == [{"id": 1}]
    assert rig.conductor.lines["a"].counters.duplicates == 1
    rig.assert_empty()


def test_a_copy_shares_the_outcome_of_the_first_one_in_flight(rig: Rig) -> None:
    """A connection lost meanwhile: the copy waits for the first one's ack, and nothing is sent twice."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    for _ in range(2):
        channel, requeued = rig.reopen(channel, pause=False)
        rig.deliver(channel, *requeued, redelivered=True)
    assert list(channel.unacked) == [1]
    rig.answer_all()
    assert not channel.unacked
    assert rig.server.records == [{"id": 1}]
    rig.assert_empty()


def test_a_copy_shares_the_outcome_of_a_letter(rig: Rig) -> None:
    """Also when the first one becomes a dead letter, and the letter is refused at first."""
    channel, body = Channel(rig, "a"), b"x" * 100
    rig.server.refuses_letters_over = 0
    rig.deliver(channel, body)
    rig.answer_all()
    channel, requeued = rig.reopen(channel, pause=False)
    rig.deliver(channel, *requeued, redelivered=True)
    rig.turn(200)
    rig.server.refuses_letters_over = None
    rig.answer_all()
    rig.turn(200)
    rig.answer_all()
    assert not channel.unacked
    rig.assert_empty()


def test_an_entry_whose_copy_waits_is_not_discarded(rig: Rig) -> None:
    """A pause of one stream discards its own, not what a copy on another stream's open channel shares."""
    rig.sink.available = False
    first = Channel(rig, "a")
    rig.deliver(first, event(1))
    second, requeued = rig.reopen(first, pause=False)
    rig.deliver(second, *requeued, redelivered=True)
    rig.reopen(Channel(rig, "b"), pause=True)
    rig.sink.available = True
    rig.within_loop(rig.conductor.on_sink_change)
    rig.answer_all()
    assert not second.unacked
    rig.assert_empty()


def test_two_equal_events_that_are_no_copies_are_both_sent(rig: Rig) -> None:
    """Only what the broker calls redelivered can be a duplicate."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    rig.deliver(channel, event(1))
    rig.answer_all()
    assert rig.server.records == [{"id": 1}, {"id": 1}]
    assert not channel.unacked
    rig.assert_empty()


def test_of_two_equal_events_one_is_taken_for_a_copy_when_it_is_redelivered(rig: Rig) -> None:
    """The body is all there is to know a copy by: identical events are one where the broker requeued one of them."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    rig.deliver(channel, event(1), redelivered=True)
    rig.deliver(channel, event(1))
    rig.answer_all()
    rig.deliver(channel, event(1), redelivered=True)
    assert rig.server.records == [{"id": 1}, {"id": 1}]
    assert rig.conductor.counters("a").duplicates == 2
    assert not channel.unacked
    rig.assert_empty()


def test_the_same_body_on_another_stream_is_another_event(rig: Rig) -> None:
    """What was delivered is known by stream and body."""
    rig.deliver(Channel(rig, "a"), event(1))
    rig.answer_all()
    rig.deliver(Channel(rig, "b"), event(1), redelivered=True)
    rig.answer_all()
    assert rig.server.records == [{"id": 1}, {"id": 1}]


def test_after_a_pause_everything_is_freed_but_the_probe(rig: Rig) -> None:
    """Batches and chunks of the requeued deliveries go; one chunk stays to show that a server acks again."""
    channel = Channel(rig, "a")
    for number in range(100):
        rig.deliver(channel, event(number, text="x" * 50))
    assert len(rig.sink.chunks) == 4
    channel, requeued = rig.reopen(channel, pause=True)
    assert len(rig.sink.chunks) == 1
    assert rig.conductor.total_held_bytes == sum(delivery.held_bytes for delivery in rig.sink.chunks[0].deliveries)
    for body in requeued:
        rig.deliver(channel, body, redelivered=True)
        rig.answer_all()
    assert not channel.unacked
    assert sorted(record["id"] for record in rig.server.records) == list(range(100))
    rig.assert_empty()


# --- the pump ------------------------------------------------------------------------------------


def test_what_arrives_together_goes_out_in_one_chunk(rig: Rig) -> None:
    """The first chunk leaves in the loop's next turn, with everything of this one."""
    channel = Channel(rig, "a")
    rig.within_loop(lambda: [channel.deliver(event(number)) for number in range(5)])
    assert [len(chunk.entries) for chunk in rig.sink.chunks] == [5]


def test_while_chunks_are_in_flight_small_ones_wait(rig: Rig) -> None:
    """What comes meanwhile leaves together at the next answer, or when it is worth a chunk."""
    channel = Channel(rig, "a")
    for number in range(4):
        rig.deliver(channel, event(number))
    assert [len(chunk.entries) for chunk in rig.sink.chunks] == [1]
    rig.within_loop(lambda: rig.sink.answer(rig.sink.chunks[0]))
    assert [len(chunk.entries) for chunk in rig.sink.chunks] == [3]
    rig.deliver(channel, event(5, text="x" * 400))
    assert [len(chunk.entries) for chunk in rig.sink.chunks] == [3, 1]


def test_nothing_is_sent_without_room(rig: Rig) -> None:
    """Chunks wait in the batcher until the sink takes them."""
    rig.sink.available = False
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    assert not rig.sink.chunks
    rig.sink.available = True
    rig.within_loop(rig.conductor.on_sink_change)
    assert len(rig.sink.chunks) == 1


def test_streams_come_and_go(rig: Rig) -> None:
    """A new one is taken, one that is gone is forgotten, but not before the last answer for it."""
    rig.conductor.open("c", Transform("c", tag="c"))
    channel = Channel(rig, "c")
    rig.deliver(channel, event(1))
    assert rig.sink.chunks[0].tag == "c"
    channel.closed = True
    assert not rig.conductor.close("c")
    rig.answer_all()
    assert rig.conductor.close("c")
    assert set(rig.conductor.lines) == {"a", "b"}
    rig.assert_empty()


def test_another_transform_holds_from_the_next_event_on(rig: Rig) -> None:
    """The stream's figures go on."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    rig.conductor.open("a", Transform("a", tag="other"))
    rig.answer_all()
    rig.deliver(channel, event(2))
    assert [chunk.tag for chunk in rig.sink.chunks] == ["other"]
    assert rig.conductor.lines["a"].counters.received == 2


def test_another_sink_takes_over(rig: Rig) -> None:
    """New chunks go to it, the old one may still answer, and streams hear of it."""
    channel = Channel(rig, "a")
    rig.deliver(channel, event(1))
    other = FakeSink(rig.server)
    rig.within_loop(lambda: rig.conductor.use(other))
    rig.deliver(channel, event(2))
    assert (len(rig.sink.chunks), len(other.chunks)) == (1, 1)
    rig.within_loop(other.answer_all)
    assert list(channel.unacked) == [1]
    rig.answer_all()
    assert not channel.unacked
    rig.assert_empty()


def test_streams_hear_of_servers_that_come_and_go(rig: Rig) -> None:
    """Once for each change."""
    for available in (True, True, False, False, True):
        rig.sink.available = available
        rig.conductor.on_sink_change()
    assert rig.heard == [True, False, True]


# --- a random walk -------------------------------------------------------------------------------

bodies = st.sampled_from(
    ["event", "event", "event", "twin", "large", "poison", "dropped", "no JSON", "bytes", "huge"]
)


class ConductorWalk(RuleBasedStateMachine):
    """Deliveries, answers in any order, refusals, lost channels and pauses of two streams."""

    @initialize(
        window=st.sampled_from([1, 4]),
        limit_bytes=st.sampled_from([60, 400]),
        is_slow=st.booleans(),
        has_shelf=st.booleans(),
    )
    def begin(self, window: int, limit_bytes: int, is_slow: bool, has_shelf: bool) -> None:
        """Two open channels."""
        memory = SlowMemory() if is_slow else None
        self.rig = Rig(window=window, limit_bytes=limit_bytes, eager_bytes=200, memory=memory, has_shelf=has_shelf)
        self.channels = {name: Channel(self.rig, name) for name in ("a", "b")}
        self.queues: dict[str, list[bytes]] = {"a": [], "b": []}
        self.published: list[bytes] = []

    def make(self, kind: str) -> bytes:
        """A body of this kind, unlike any other, but for twins."""
        number = len(self.published)
        match kind:
            case "twin" if self.published:
                return self.published[-1]
            case "large":
                return event(number, text="x" * 150)
            case "poison":
                return event(number, poison="x" * 50)
            case "dropped":
                return event(number, event_type_id=DROPPED_TYPE)
            case "no JSON":
                return b"no JSON %d " % number + "ä€".encode() * 60
            case "bytes":
                return b"\xff%d" % number * 40
            case "huge":
                return event(number, huge=2**70)
        return event(number)

    @rule(stream=st.sampled_from("ab"), kinds=st.lists(bodies, min_size=1, max_size=5))
    def deliver_new(self, stream: str, kinds: list[str]) -> None:
        """Some new messages arrive together."""
        for kind in kinds:
            body = self.make(kind)
            self.published.append(body)
            self.rig.deliver(self.channels[stream], body)

    @rule(stream=st.sampled_from("ab"), most=st.integers(1, 5))
    def redeliver(self, stream: str, most: int) -> None:
        """Some messages that went back arrive again."""
        queue = self.queues[stream]
        for body in queue[:most]:
            self.rig.deliver(self.channels[stream], body, redelivered=True)
        del queue[:most]

    @precondition(lambda self: self.rig.sink.chunks)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The server answers some chunk."""
        chunk = data.draw(st.sampled_from(self.rig.sink.chunks))
        self.rig.within_loop(lambda: self.rig.sink.answer(chunk))

    @rule()
    def commit(self) -> None:
        """A memory that takes its time has some more."""
        if isinstance(self.rig.memory, SlowMemory):
            self.rig.memory.commit()

    @rule()
    def post_kept_letters(self) -> None:
        """The shelf tries again."""
        self.rig.within_loop(self.rig.shelf.post)

    @rule(is_broken=st.booleans())
    def shelf_breaks(self, is_broken: bool) -> None:
        """Or works again."""
        self.rig.shelf.is_broken = is_broken

    @rule(over=st.sampled_from([None, 0, 200]))
    def change_mind_about_letters(self, over: int | None) -> None:
        """The server refuses letters from now on, all or large ones, or takes them."""
        self.rig.server.refuses_letters_over = over

    @rule(available=st.booleans())
    def server_comes_or_goes(self, available: bool) -> None:
        """With what is in flight kept by the sink."""
        self.rig.sink.available = available
        self.rig.within_loop(self.rig.conductor.on_sink_change)

    @rule(stream=st.sampled_from("ab"), pause=st.booleans())
    def close_channel(self, stream: str, pause: bool) -> None:
        """By accident, or by a pause."""
        self.channels[stream], requeued = self.rig.reopen(self.channels[stream], pause=pause)
        self.queues[stream] = requeued + self.queues[stream]

    @rule(seconds=st.sampled_from([0.0, 1.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """Letters that wait are tried again."""
        self.rig.turn(seconds)

    @invariant()
    def held_is_what_is_held(self) -> None:
        """The sum over the streams is the total, and nothing is negative."""
        if hasattr(self, "rig"):
            held = [line.held_bytes for line in self.rig.conductor.lines.values()]
            assert min(held) >= 0
            assert sum(held) == self.rig.conductor.total_held_bytes

    def teardown(self) -> None:
        """With a healthy server everything gets there in the end, and nothing stays behind."""
        if not hasattr(self, "rig"):
            return
        rig = self.rig
        rig.server.refuses_letters_over = None
        rig.sink.available = True
        rig.within_loop(rig.conductor.on_sink_change)
        while any(self.queues.values()) or any(channel.unacked for channel in self.channels.values()):
            for stream in "ab":
                self.redeliver(stream, 5)
            rig.answer_all()
            self.commit()
            rig.turn(61)
            assert rig.loop.now < 36_000, "some delivery is never resolved"
        for _ in range(2):
            rig.answer_all()
            self.post_kept_letters()
            rig.turn(61)
        rig.answer_all()
        while isinstance(rig.memory, SlowMemory) and rig.memory.uncommitted:
            self.commit()
        assert not rig.shelf.letters
        for body in self.published:
            assert rig.is_safe(body), "lost"
        rig.assert_empty()
        rig.loop.close()


TestConductorWalk = ConductorWalk.TestCase
TestConductorWalk.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# --- obfuscation ---------------------------------------------------------------------------------


def letters_in(rig: Rig) -> list[Record]:
    """The records that the sink holds."""
    return [msgpack.unpackb(entry)[2] for chunk in rig.sink.chunks for entry in chunk.entries]


def test_dead_letters_are_masked_where_events_are_obfuscated() -> None:
    """Nothing of the body leaves, not even of one that cannot be read."""
    rig = Rig(limit_bytes=4000)
    rig.conductor.lines["a"].transform = Transform("a", obfuscate=Obfuscation([Rule("computer.user", "mask")]))
    body = b'{"computer": {"user": "johndoe"'
    rig.deliver(Channel(rig, "a"), body)
    assert json.loads(original_body(letters_in(rig))) == {
        "masked": True,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }


def test_dead_letters_of_a_stream_that_hides_nothing_are_whole() -> None:
    """What one stream obfuscates is no reason to mask the letters of another."""
    rig = Rig()
    rig.conductor.lines["a"].transform = Transform("a", obfuscate=Obfuscation([Rule("computer.user", "mask")]))
    rig.deliver(Channel(rig, "b"), b"no json")
    assert original_body(letters_in(rig)) == b"no json"


def test_dead_letters_can_be_had_raw() -> None:
    """With `dead_letters.raw` the original bytes go out all the same."""
    rig = Rig(raw_dead_letters=True)
    rig.conductor.lines["a"].transform = Transform("a", obfuscate=Obfuscation([Rule("computer.user", "mask")]))
    rig.deliver(Channel(rig, "a"), b"no json")
    (letter,) = letters_in(rig)
    assert letter["body"] == "no json"


# --- what nobody foresaw -------------------------------------------------------------------------


def trip(*arguments: Any, **options: Any) -> Any:
    """A step that has a bug; its words hold a value of the event."""
    raise ZeroDivisionError("johndoe")


def internal(rig: Rig) -> list[tuple[str, type[Exception]]]:
    """What was told: where, and what."""
    return [(fact.where, type(fact.error)) for fact in rig.facts if isinstance(fact, InternalError)]


class Trips:
    """A transform that has a bug for some events."""

    ask = None
    combine = None
    obfuscate = None

    def __init__(self, step: Callable[[Record], object]) -> None:
        self._step = step

    def __call__(self, record: Record, received_at: float) -> tuple[str, Record] | None:
        """See `Transform`."""
        if record.get("odd"):
            self._step(record)
        return "tag", record


def test_an_event_that_a_step_trips_over_becomes_a_dead_letter() -> None:
    """With the step and the kind of exception, and no value of the event; the others go on."""
    rig, odd = Rig(limit_bytes=4000), b'{"odd": {"user": "johndoe"}}'
    rig.conductor.lines["a"].transform = Trips(lambda record: tag_safe(NoText()))  # type: ignore[assignment]
    channel = Channel(rig, "a")
    for body in (b'{"id": 1}', odd, b'{"id": 2}'):
        rig.deliver(channel, body)
    rig.answer_all()
    assert channel.unacked == {}
    assert rig.server.records == [{"id": 1}, {"id": 2}]
    (letter,) = (record for parts in rig.server.letters.values() for record in parts.values())
    assert original_body([letter]) == odd
    assert letter["error_id"] == EventProcessingFailed.id == "event.processing-failed"
    assert letter["reason"] == "ZeroDivisionError in pipeline.tags"
    assert internal(rig) == [("event", ZeroDivisionError)]
    rig.assert_empty()


class NoText:
    """Cannot be told as text."""

    def __str__(self) -> str:
        return str(trip())


def test_an_event_whose_part_in_combined_records_fails_is_delivered() -> None:
    """As ever, without a part."""
    rig = Rig(combines=True)
    rig.conductor.lines["a"].transform = Transform("a", combine=trip)  # type: ignore[arg-type]
    channel = Channel(rig, "a")
    delivery = rig.deliver(channel, b'{"id": 1}')
    rig.answer_all()
    assert rig.server.records == [{"id": 1}]
    assert (channel.unacked, delivery.member) == ({}, None)
    assert internal(rig) == [("combining", ZeroDivisionError)]


def test_a_combined_record_that_fails_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever shapes it."""
    rig = Rig(limit_bytes=4000)
    monkeypatch.setattr(Transform, "shape", trip)
    channel = Channel(rig, "a")
    delivery = Delivery("a", channel, 7, b'{"detection_id": "d"}', routing_key="k", is_combined=True)
    channel.unacked[7] = delivery.body
    rig.within_loop(lambda: rig.conductor.post_combined(delivery, "tag", 1, 0, {}))
    rig.answer_all()
    assert channel.unacked == {}
    assert internal(rig) == [("event", ZeroDivisionError)]
    rig.assert_empty()


def test_an_event_that_cannot_even_be_a_dead_letter_stays_unacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs no other event, and is no copy of anything when it comes again."""
    rig = Rig()
    channel = Channel(rig, "a")
    with monkeypatch.context() as patch:
        patch.setattr("fluent_plugin_amp.pipeline.dead_letter_sender.dead_letter", trip)
        rig.deliver(channel, b"no json")
    rig.deliver(channel, b'{"id": 1}')
    rig.answer_all()
    assert list(channel.unacked.values()) == [b"no json"]
    assert internal(rig) == [("dead letter", ZeroDivisionError)]
    rig.assert_empty()
    channel, requeued = rig.reopen(channel, pause=True)
    rig.deliver(channel, *requeued, redelivered=True)
    rig.answer_all()
    assert channel.unacked == {}


def test_a_kept_letter_that_cannot_be_sent_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shelf hears that it was refused, and sends the next one; nothing of it stays here."""
    rig = Rig(has_shelf=True)
    for body in (b"no JSON", b"neither"):
        rig.shelf.keep(Delivery("a", rig.shelf, 0, body), EventNotJson("no JSON"), lambda is_kept: None)
    with monkeypatch.context() as patch:
        patch.setattr("fluent_plugin_amp.pipeline.dead_letter_sender.dead_letter", trip)
        rig.within_loop(rig.shelf.post)
    assert internal(rig) == [("dead letter", ZeroDivisionError)] * 2
    assert not rig.shelf.posted
    rig.assert_empty()
    rig.within_loop(rig.shelf.post)
    rig.answer_all()
    assert not rig.shelf.letters


@pytest.mark.parametrize("method", ["contains", "record"])
def test_a_memory_that_fails_costs_nothing_but_what_it_remembers(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """What servers have is acked, what it cannot tell is sent."""
    rig = Rig(memory=DeliveredMemory())
    channel = Channel(rig, "a")
    with monkeypatch.context() as patch:
        patch.setattr(rig.memory, method, trip)
        rig.deliver(channel, b'{"id": 1}', redelivered=True)
        rig.answer_all()
    assert (channel.unacked, rig.server.records) == ({}, [{"id": 1}])
    assert internal(rig) == [("memory", ZeroDivisionError)]
    rig.assert_empty()


def test_a_memory_that_answers_and_fails_is_answered_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each delivery is resolved once, and nothing counts as waiting."""
    rig = Rig(memory=DeliveredMemory(), limit_bytes=4000)
    channel = Channel(rig, "a")
    record = DeliveredMemory.record

    def answer_and_trip(memory: DeliveredMemory, deliveries: list[Delivery]) -> None:
        record(memory, deliveries[:1])
        trip()

    monkeypatch.setattr(DeliveredMemory, "record", answer_and_trip)
    for number in range(3):
        rig.deliver(channel, b'{"id": %d}' % number)
    rig.answer_all()
    assert channel.unacked == {}
    assert {where for where, _ in internal(rig)} == {"memory"}
    rig.assert_empty()


@pytest.mark.parametrize(("place", "where"), [("send", "chunk"), ("answer", "answer")])
def test_a_chunk_that_fails_on_its_way_goes_back_to_the_broker(
    monkeypatch: pytest.MonkeyPatch, place: str, where: str
) -> None:
    """What it held stays unacked, nothing of it is kept here, and delivered again it is sent again."""
    rig = Rig(limit_bytes=60)
    channel = Channel(rig, "a")
    with monkeypatch.context() as patch:
        if place == "send":
            patch.setattr(rig.sink, "send", trip)
        else:
            patch.setattr(rig.conductor, "_events_acked", trip)
        rig.deliver(channel, b'{"id": 1}')
        rig.answer_all()
    rig.deliver(channel, b'{"id": 2}')
    rig.answer_all()
    assert list(channel.unacked.values()) == [b'{"id": 1}']
    assert internal(rig) == [(where, ZeroDivisionError)]
    rig.assert_empty()
    channel, requeued = rig.reopen(channel, pause=True)
    rig.deliver(channel, *requeued, redelivered=True)
    rig.answer_all()
    assert channel.unacked == {}
    assert {"id": 1} in rig.server.records


def test_a_delivery_that_cannot_be_acked_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that were remembered together."""
    rig = Rig(limit_bytes=4000)
    one, two = Channel(rig, "a"), Channel(rig, "b")
    monkeypatch.setattr(one, "resolve", trip)

    def both() -> None:
        one.deliver(b'{"id": 1}')
        two.deliver(b'{"id": 2}')

    rig.within_loop(both)
    rig.answer_all()
    assert (len(one.unacked), two.unacked) == (1, {})
    assert internal(rig) == [("answer", ZeroDivisionError)]


@pytest.mark.parametrize("place", ["batcher", "sink"])
def test_a_copy_never_waits_for_one_that_is_lost(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A fault while it was batched, or that took its chunk out of the sink's books: it is sent when it returns."""
    rig = Rig()
    channel = Channel(rig, "a")
    if place == "batcher":
        with monkeypatch.context() as patch:
            patch.setattr(Batcher, "add", trip)
            with pytest.raises(ZeroDivisionError):  # the stream's task hears it
                rig.deliver(channel, b'{"id": 1}')
    else:
        rig.deliver(channel, b'{"id": 1}')
        rig.sink.chunks.clear()
    channel, requeued = rig.reopen(channel, pause=place == "sink")
    rig.assert_empty()
    rig.deliver(channel, *requeued, redelivered=True)
    rig.answer_all()
    assert (channel.unacked, rig.server.records) == ({}, [{"id": 1}])


def test_a_kept_letter_whose_chunk_fails_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker delivers it again: the shelf hears that it was not taken, and posts it later."""
    rig = Rig(limit_bytes=4000, has_shelf=True)
    shelf = rig.shelf
    shelf.letters[1] = (Delivery("a", shelf, 1, b"no json", True, "key"), EventNotJson("no"))
    with monkeypatch.context() as patch:
        patch.setattr(rig.sink, "send", trip)
        rig.within_loop(shelf.post)
        rig.turn()
    assert (shelf.posted, internal(rig)) == (set(), [("chunk", ZeroDivisionError)])
    rig.assert_empty()
    rig.within_loop(shelf.post)
    rig.answer_all()
    assert shelf.letters == {}


@pytest.mark.parametrize("place", ["send", "answer"])
def test_a_combined_record_whose_chunk_fails_is_sent_again(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """No broker delivers it again."""
    rig = Rig(limit_bytes=4000)
    channel = Channel(rig, "a")
    delivery = Delivery("a", channel, 7, b'{"detection_id": "d"}', is_combined=True)
    channel.unacked[7] = delivery.body
    with monkeypatch.context() as patch:
        patch.setattr(*((rig.sink, "send", trip) if place == "send" else (rig.conductor, "_events_acked", trip)))
        rig.within_loop(lambda: rig.conductor.post_combined(delivery, "tag", 1, 0, {"detection_id": "d"}))
        rig.answer_all()
    assert list(channel.unacked) == [7]
    rig.assert_empty()
    rig.turn(AGAIN_AFTER_S)
    rig.answer_all()
    assert channel.unacked == {}
    assert rig.server.records[-1] == {"detection_id": "d"}
    rig.assert_empty()


# --- events that ask for a hunt ---------------------------------------------------------------------------------

SHA256 = "a" * 64
MALICIOUS = json.dumps({"id": 2, "file": {"disposition": "Malicious", "identity": {"sha256": SHA256}}}).encode()


class Notes(DeliveredMemory):
    """What asks is safe when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.pending = Pending()

    def record(self, deliveries: list[Delivery]) -> Pending | None:  # type: ignore[override]
        """As `organisation.hunt_notes.HuntNotes`."""
        super().record(deliveries)
        assert len({delivery.ask is None for delivery in deliveries}) == 1, "given apart"
        self.asked += [delivery.ask.sha256 for delivery in deliveries if delivery.ask is not None]
        return self.pending if deliveries[0].ask is not None else None


def test_only_events_that_ask_wait_and_are_looked_at_before_obfuscation() -> None:
    """The others of the same chunk are acked at once."""
    notes = Notes()
    rig = Rig(memory=notes, limit_bytes=4000)
    line = rig.conductor.lines["a"]
    line.transform = replace(
        line.transform,
        ask=Asker("acme/hunts", "a"),
        obfuscate=Obfuscation([Rule("file.identity.sha256", "mask")]),
    )
    channel = Channel(rig, "a")
    for body in (b'{"id": 1}', MALICIOUS, b'{"id": 3}'):
        rig.deliver(channel, body)
    rig.answer_all()
    assert [*channel.unacked.values()] == [MALICIOUS]
    assert notes.asked == [SHA256]
    assert SHA256 not in str(rig.server.records)
    notes.pending.is_safe_now()
    assert channel.unacked == {}


def test_a_fault_of_the_look_costs_the_hunt_only() -> None:
    """The event is delivered, and the fault told."""
    rig = Rig()
    line = rig.conductor.lines["a"]

    def odd(record: Record) -> None:
        raise RuntimeError("odd")

    line.transform = replace(line.transform, ask=odd)  # type: ignore[arg-type]
    channel = Channel(rig, "a")
    rig.deliver(channel, MALICIOUS)
    rig.answer_all()
    assert channel.unacked == {}
    assert [fact.where for fact in rig.facts if isinstance(fact, InternalError)] == ["hunts"]
