"""Combined records are complete and the same whatever crashes, and an event is acked after its part is safe."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.facts import Fact, InternalError
from fluent_plugin_amp.model import Answer, Chunk, Delivery, Outcome, Pending, Record
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.combine.combiner import Combiner
from fluent_plugin_amp.pipeline.combine.detections import Detections
from fluent_plugin_amp.pipeline.combine.incidents import GROUPINGS, Incidents
from fluent_plugin_amp.pipeline.combine.member import COMBINED_TYPES, THREAT_DETECTED, THREAT_QUARANTINED, MemberMaker
from fluent_plugin_amp.pipeline.combine.rows import Rows
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.transform import Transform
from tests.ledgers import FakeLedger

TAGS = {"detection": "detections", "incident": "incidents"}
START = 1_600_000_000


def event(number: int, seconds: int, type_id: int, detection: str, sha256: str, computer: str) -> dict[str, Any]:
    """One event of a detection."""
    return {
        "id": number,
        "timestamp": START + seconds,
        "event_type": f"type {type_id}",
        "event_type_id": type_id,
        "detection_id": detection,
        "computer": {"connector_guid": computer, "n": number},
        "file": {"identity": {"sha256": sha256}},
    }


@dataclass
class Disk:
    """What outlives a crash; what is put there is safe with the next `commit`, all of it at once."""

    rows: dict[tuple[str, str], bytes] = field(default_factory=dict)
    delivered: set[bytes] = field(default_factory=set)
    waiting: list[tuple[Callable[[], None], Callable[[], None]]] = field(default_factory=list)
    aside: list[tuple[str, str]] = field(default_factory=list)
    wants_facts = False

    def put(self, rows: Rows, done: Callable[[], None]) -> None:
        """See `Keeper`."""

        def write() -> None:
            for key, data in rows.items():
                if data is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = data

        self.waiting.append((write, done))

    async def load(self) -> dict[tuple[str, str], bytes]:
        """See `Keeper`."""
        return self.rows

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """See `Keeper`."""
        self.aside += keys

    def contains(self, stream: str, digest: bytes) -> bool:
        """Part of `Delivered`."""
        return digest in self.delivered

    def record(self, deliveries: list[Delivery]) -> Pending:
        """Part of `Delivered`: remember these; pending until the commit."""
        digests, pending = {delivery.digest for delivery in deliveries}, Pending()
        self.waiting.append((lambda: self.delivered.update(digests), pending.is_safe_now))
        return pending

    def commit(self) -> None:
        """One transaction."""
        jobs, self.waiting = self.waiting, []
        for write, _ in jobs:
            write()
        for _, done in jobs:
            done()


class World:
    """A broker's queue, processes that crash, a disk, and a server that keeps what it gets."""

    def __init__(self, events: list[dict[str, Any]], by: tuple[str, ...] = tuple(GROUPINGS)) -> None:
        self.by = by
        self.disk = Disk()
        self.events = events
        self.taken: set[int] = set()  # delivered in this life
        self.acked: set[int] = set()
        self.now = START + 1000.0
        self.got: dict[tuple[str, str, Any], set[bytes]] = {}
        self.order: dict[tuple[str, str], list[Record]] = {}
        self.maker = MemberMaker(None, Links("console"), b"")
        self.told: list[Fact] = []
        self.start()

    def start(self) -> None:
        """A process, with what the last one left."""
        self.taken = set()
        self.unacked_records: list[Delivery] = []
        self.combiner = Combiner(
            Detections(60, 1000),
            Incidents(300, 600, self.by, 1000),
            TAGS,
            self.disk,
            self.disk,
            post=self.post,
            clock=self.time,
            tell=self.told.append,
        )
        self.combiner.restore(self.disk.rows)

    def time(self) -> float:
        """Wall clock."""
        return self.now

    def post(self, delivery: Delivery, tag: str, seconds: int, nanoseconds: int, record: Record) -> None:
        """A combined record arrives at the server, whose ack may take a while."""
        name = record.get("detection_id") if tag == "detections" else record["incident_id"]
        body = msgpack.packb([tag, seconds, nanoseconds, record])
        self.got.setdefault((tag, str(name), record.get("revision")), set()).add(body)
        self.order.setdefault((tag, str(name)), []).append({**record, "revision": None})
        self.unacked_records.append(delivery)

    def deliver(self, count: int) -> None:
        """The server has the next events of the queue."""
        batch = [n for n in range(len(self.events)) if n not in self.acked | self.taken][:count]
        deliveries = []
        for number in batch:
            self.taken.add(number)
            record = self.events[number]
            body = json.dumps(record).encode()
            if self.disk.contains("s", body):
                self.acked.add(number)
                continue
            delivery = Delivery("s", FakeLedger(), number, body, digest=body)
            delivery.member = self.maker(record, record["timestamp"], 0, body)
            deliveries.append(delivery)
        if deliveries:
            self.ack_when_safe([delivery for delivery in deliveries if delivery.member is None])
            self.ack_when_safe([delivery for delivery in deliveries if delivery.member is not None])

    def ack_when_safe(self, deliveries: list[Delivery]) -> None:
        """As the conductor does it."""
        numbers = [delivery.delivery_tag for delivery in deliveries]
        if pending := self.combiner.record(deliveries) if deliveries else None:
            pending.then(lambda: self.acked.update(numbers))
        else:
            self.acked.update(numbers)

    def do(self, action: str, count: int) -> None:
        """One step."""
        if action == "deliver":
            self.deliver(count)
        elif action == "commit":
            self.disk.commit()
        elif action == "ack":
            for delivery in self.unacked_records[:count]:
                delivery.ledger.resolve(delivery.delivery_tag)
            del self.unacked_records[:count]
        elif action == "tick":
            self.now += 30.0 * count
            self.combiner.tick([], [], 0.0)
        else:
            self.disk.waiting.clear()
            self.start()

    def end(self) -> dict[str, Any]:
        """Everything arrives, time passes: the last revision of each detection, and all incidents."""
        while len(self.acked) < len(self.events):
            self.deliver(100)
            self.disk.commit()
        self.now += 10_000
        self.combiner.tick(["s"], ["s"], 0.0)
        self.combiner.tick(["s"], ["s"], 10_000.0)
        self.disk.commit()
        while self.unacked_records or self.disk.waiting:
            self.do("ack", 1000)
            self.disk.commit()
        left = {name.split()[0] for _, name in self.disk.rows}
        assert left <= {"head", "part", "clock"}, left
        return {
            " ".join(name): records[-1] if name[0] == "detections" else sorted(map(str, records))[-1]
            for name, records in self.order.items()
        }


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.sampled_from(sorted(COMBINED_TYPES)),
        st.sampled_from(["d1", "d2", "d3"]),
        st.sampled_from("fg"),
        st.sampled_from("cd"),
    ),
    min_size=1,
    max_size=10,
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["deliver", "deliver", "commit", "ack", "tick", "crash"]), st.integers(1, 3)),
    max_size=40,
)


@settings(max_examples=300)
@given(EVENTS, STEPS, st.data())
def test_any_order_and_any_crashes_give_the_same_records(
    given_events: list[tuple[int, int, str, str, str]], steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    """The last revision of each detection and the set of incidents are the same, and repeats are byte-identical."""
    events = [event(number, *each) for number, each in enumerate(given_events, 1)]
    calm = World(sorted(events, key=lambda each: each["timestamp"]))
    # As far out of order as the lateness allows: the incidents' clock is the events'.
    delays = data.draw(st.lists(st.integers(0, 599), min_size=len(events), max_size=len(events)))
    order = sorted(range(len(events)), key=lambda n: (events[n]["timestamp"] + delays[n], n))
    rough = World([events[n] for n in order])
    for step in steps:
        rough.do(*step)
    assert rough.end() == calm.end()
    for world in (calm, rough):
        assert all(len(bodies) == 1 for bodies in world.got.values())


@settings(max_examples=100)
@given(EVENTS, STEPS, st.data())
def test_a_computer_may_be_away_for_hours_whatever_crashes(
    given_events: list[tuple[int, int, str, str, str]], steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Lateness is that of a computer's events among each other: a restart knows how late it is for each."""
    events = [event(number, *each) for number, each in enumerate(given_events, 1)]
    calm = World(sorted(events, key=lambda each: each["timestamp"]), ("computer",))
    away = {"c": 0, "d": data.draw(st.integers(-20_000, 20_000))}
    delays = data.draw(st.lists(st.integers(0, 599), min_size=len(events), max_size=len(events)))
    order = sorted(
        range(len(events)),
        key=lambda n: (events[n]["timestamp"] + delays[n] + away[events[n]["computer"]["connector_guid"]], n),
    )
    rough = World([events[n] for n in order], ("computer",))
    for step in steps:
        rough.do(*step)
    assert rough.end() == calm.end()
    assert all(len(bodies) == 1 for bodies in rough.got.values())


def test_an_event_is_acked_when_its_part_is_safe() -> None:
    """Neither its part alone nor its memory alone is enough; an event without a part waits for its memory only."""
    world = World([event(1, 0, THREAT_DETECTED, "d", "f", "c")])
    world.deliver(1)
    assert world.acked == set()
    (_, kept), (_, remembered) = world.disk.waiting
    remembered()
    assert world.acked == set()
    kept()
    assert world.acked == {0}
    world.disk.waiting.clear()
    world.ack_when_safe([Delivery("s", FakeLedger(), 1, b"", digest=b"x")])
    assert len(world.disk.waiting) == 1
    assert world.acked == {0}
    world.disk.commit()
    assert world.acked == {0, 1}


def test_a_record_is_sent_after_it_is_safe() -> None:
    """A crash must not leave a record at the server that nobody knows of."""
    world = World([event(1, 0, THREAT_DETECTED, "d", "f", "c"), event(2, 0, THREAT_QUARANTINED, "d", "f", "c")])
    world.deliver(2)
    assert world.got == {}
    world.disk.commit()
    assert [tag for tag, *_ in world.got] == ["detections"]


def test_rows_of_one_time_are_neighbours() -> None:
    """Sorted by name, rows of a kind are in the order of their events, so a commit writes few pages of the file."""
    events = [event(number, number, THREAT_DETECTED, f"D{number}", f"{number:064}", "C") for number in range(400)]
    world = World(events, by=("sha256",))
    world.deliver(400)
    world.disk.commit()
    for kind in ("part", "place"):
        names = sorted(name for _, name in world.disk.rows if name.startswith(f"{kind} "))
        assert [int(name.split()[1], 16) for name in names] == [START + number for number in range(400)]


def test_a_stream_that_is_forgotten_leaves_nothing_open() -> None:
    """Neither in memory nor in what is kept; what was made before is sent, and the same events begin anew."""
    opened = event(1, 0, THREAT_DETECTED, "D", "a" * 64, "C")
    settled = [event(2, 0, kind, "E", "b" * 64, "C") | {"id": kind} for kind in (THREAT_DETECTED, THREAT_QUARANTINED)]
    world = World([opened, *settled])
    world.deliver(3)
    world.disk.commit()
    assert (world.combiner.detections_open, world.combiner.incidents_open) == (1, 5)
    world.combiner.forget("s")
    world.disk.commit()
    assert (world.combiner.detections_open, world.combiner.incidents_open) == (0, 0)
    assert {name for _, name in world.disk.rows} == {f"unsent {START:08x} detection e/1"}
    world.now += 10_000
    world.combiner.tick(["s"], ["s"], 0.0)
    world.combiner.tick(["s"], ["s"], 10_000.0)
    world.disk.commit()
    assert {tag for tag, _, _ in world.got} == {"detections"}
    assert {name for _, name, _ in world.got} == {"e"}
    world.disk.delivered.clear()
    world.taken, world.acked = set(), set()
    world.deliver(1)
    assert world.combiner.detections_open == 1


def test_an_idle_stream_closes_its_incidents() -> None:
    """After window and lateness in which it was consumed and brought nothing; not while it was away."""
    world = World([event(1, 0, THREAT_DETECTED, "d", "f", "c")])
    world.deliver(1)
    world.disk.commit()
    for idle, monotonic_s in ((["s"], 0.0), ([], 500.0), (["s"], 600.0), (["s"], 1499.0)):
        world.combiner.tick(idle, idle, monotonic_s)
        world.disk.commit()
    assert not [tag for tag, *_ in world.got if tag == "incidents"]
    world.combiner.tick(["s"], ["s"], 1500.0)
    world.disk.commit()
    assert len([tag for tag, *_ in world.got if tag == "incidents"]) == 3


# --- rows of an earlier version ------------------------------------------------------------------


def earlier_rows() -> dict[tuple[str, str], bytes]:
    """What an earlier version kept of the `EARLIER` events: names without seconds, members without names.

    A detection is settled, and its record unsent; two are open, and so are incidents.
    """
    written = json.loads(Path(__file__).with_name("earlier_rows.json").read_text())
    return {(stream, name): base64.b64decode(data) for stream, name, data in written}


EARLIER = [
    *(event(n, n, kind, "E", "b" * 64, "C") for n, kind in enumerate((THREAT_DETECTED, THREAT_QUARANTINED))),
    *(event(n, n, THREAT_DETECTED, f"D{n}", "a" * 64, f"C{n}") for n in range(2, 4)),
]
LATER = [event(n, n, THREAT_QUARANTINED, f"D{n - 8}", "a" * 64, f"C{n - 8}") for n in range(10, 12)]


def test_what_an_earlier_version_kept_is_taken_over() -> None:
    """Its detections, incidents and unsent records become the same records as those of one process, and no row of it
    is left.
    """
    expected = World([*EARLIER, *LATER])
    world = World([*EARLIER, *LATER])
    world.disk.rows = earlier_rows()
    world.disk.delivered = {json.dumps(each).encode() for each in EARLIER}
    world.do("crash", 1)
    assert (world.combiner.detections_open, world.combiner.incidents_open) == (2, 8)
    world.disk.commit()
    assert world.disk.aside == []
    assert not earlier_rows().keys() & world.disk.rows.keys() - {
        ("s", name) for name in ("clock", "head d2", "head d3", "head e")
    }
    assert len(world.disk.rows) == len(earlier_rows())
    assert [key[:2] for key in world.got] == [("detections", "e")]
    world.do("crash", 1)
    assert world.end() == expected.end()
    assert world.disk.aside == []


def test_rows_of_an_earlier_version_that_do_not_fit_are_set_aside_under_their_own_names() -> None:
    """A part without its head is not renamed, or it would stay for ever."""
    world = World(EARLIER)
    world.disk.rows = earlier_rows()
    del world.disk.rows["s", "head d2"]
    world.do("crash", 1)
    world.disk.commit()
    assert [(key[1].split()[0], key in world.disk.rows) for key in world.disk.aside] == [("part", True)]
    assert len(world.disk.rows) == len(earlier_rows()) - 1


# --- garbled rows --------------------------------------------------------------------------------


def kept_by_a_crash() -> World:
    """A world whose disk has rows of every kind; its process is gone."""
    settled = [event(n, n, kind, "E", "b" * 64, "C") for n, kind in enumerate((THREAT_DETECTED, THREAT_QUARANTINED))]
    world = World([*settled, *(event(n, n, THREAT_DETECTED, f"D{n}", "a" * 64, f"C{n}") for n in range(2, 12))])
    world.deliver(100)
    world.disk.commit()
    assert {name.split()[0] for _, name in world.disk.rows} == {"head", "part", "place", "clock", "unsent"}
    return world


@pytest.mark.parametrize(
    "garbage", [b"", b"garbage", b"null", b"[]", b"{}", b"\xc1", b"\x92\xcb\x7f\xf8" + b"\0" * 7]
)
def test_rows_that_say_nothing_are_set_aside(garbage: bytes) -> None:
    """All of them; and what comes is combined and sent as ever."""
    world = kept_by_a_crash()
    rows = world.disk.rows
    for key in rows:
        rows[key] = garbage
    world.do("crash", 1)
    assert sorted(world.disk.aside) == sorted(rows)
    assert (world.combiner.detections_open, world.combiner.incidents_open) == (0, 0)
    rows.clear()
    world.disk.delivered.clear()
    world.acked.clear()
    world.got.clear()
    world.end()
    assert {tag for tag, *_ in world.got} == {"detections", "incidents"}


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_in_rows_costs_those_rows(seed: int) -> None:
    """Bytes changed, cut, or exchanged between rows: every event is acked in the end."""
    rng = random.Random(seed)
    world = kept_by_a_crash()
    rows = world.disk.rows
    keys = list(rows)
    for _ in range(rng.choice([1, 5, 40])):
        key = rng.choice(keys)
        data = bytearray(rows[key])
        kind = rng.randrange(4)
        if kind == 0:
            data[rng.randrange(len(data) or 1) :] = b""
        elif kind == 1 and data:
            data[rng.randrange(len(data))] = rng.choice(b'0123456789-"[{}]e\xff\x00')
        elif kind == 2:
            data[:] = rows[rng.choice(keys)]
        else:
            data[:0] = rng.randbytes(3)
        rows[key] = bytes(data)
    world.do("crash", 1)
    for key in world.disk.aside:
        del rows[key]
    world.end()
    assert len(world.acked) == len(world.events)


def test_a_part_without_its_head_and_a_head_without_parts_are_set_aside() -> None:
    """They cannot be made a record of; others are restored."""
    world = kept_by_a_crash()
    rows = world.disk.rows
    gone = [
        ("s", "head d2"),
        next(key for key, data in rows.items() if key[1].startswith("part") and b'"d3"' in data),
    ]
    for key in gone:
        del rows[key]
    world.do("crash", 1)
    left = {name for _, name in world.disk.aside}
    assert "head d3" in left
    assert len(left) == 2
    assert world.combiner.detections_open == 8


def test_a_record_of_a_kind_that_is_no_longer_wanted_stays_where_it_is() -> None:
    """It is not garbled; who wants detections again gets it."""
    world = kept_by_a_crash()
    combiner = Combiner(
        None, Incidents(1, 1, ("computer",), 9), {"incident": "i"}, world.disk, world.disk, post=world.post
    )
    world.got.clear()
    combiner.restore(world.disk.rows)
    assert world.disk.aside == []
    assert world.got == {}


@dataclass
class FailsOnce(Disk):
    """The first `record` is too much for it."""

    has_failed = False

    def record(self, deliveries: list[Delivery]) -> Pending:
        """See `Disk`."""
        if not self.has_failed:
            self.has_failed = True
            raise ZeroDivisionError
        return super().record(deliveries)


def test_a_memory_that_fails_once_holds_up_nothing_that_came_before_the_start() -> None:
    """What servers had before the kept rows were read is safe all the same, as it is later on (`Recorder`)."""
    facts: list[Fact] = []
    disk = FailsOnce()
    combiner = Combiner(Detections(60, 1000), None, TAGS, disk, disk, post=lambda *record: None, tell=facts.append)
    maker = MemberMaker(None, Links("console"), b"")
    safe: list[int] = []
    for number in range(3):
        member = maker(event(number, 0, THREAT_DETECTED, "d", "a" * 64, "c"), START, 0, bytes(16))
        delivery = Delivery("s", FakeLedger(), number, b"", digest=bytes([number]), member=member)
        pending = combiner.record([delivery])
        assert pending is not None
        pending.then(partial(safe.append, number))
    combiner.restore({})
    disk.commit()
    assert safe == [0, 1, 2]
    (fact,) = facts
    assert isinstance(fact, InternalError)
    assert fact.where == "memory"


# --- with the conductor --------------------------------------------------------------------------


class Sink:
    """Takes chunks; answers when told to."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self.room = 100
        self.available = True
        self.in_flight = 0

    def send(self, chunk: Chunk) -> None:
        """Take one."""
        self.chunks.append(chunk)

    def held(self) -> list[Chunk]:
        """Those that wait."""
        return [*self.chunks]

    def shed(self) -> None:
        """Nothing to forget."""

    async def run(self) -> None:
        """Not needed."""

    def answer(self, outcome: Outcome) -> list[tuple[str, Record]]:
        """Answer all; the records that were in them."""
        chunks, self.chunks = self.chunks, []
        for chunk in chunks:
            self.on_answer(Answer(chunk, outcome, "server"))
        return [(chunk.tag, msgpack.unpackb(entry)[2]) for chunk in chunks for entry in chunk.entries]


def conductor(sink: Sink, **options: Any) -> Conductor:
    """A conductor that makes detections."""

    def post(*combined: Any) -> None:
        made.post_combined(*combined)

    made = Conductor(
        {"s": Transform("s", combine=MemberMaker(None, None, b""), **options)},
        sink,
        lambda *entry: bytes(msgpack.packb(entry)),
        Batcher(100_000, lambda: "id"),
        lambda fact: None,
        dead_letter_tag="letters",
        dead_letter_part_bytes=100_000,
        delivered=Combiner(Detections(60, 10), None, TAGS, DeliveredMemory(), post=post),
        combines=True,
    )
    return made


def receive(made: Conductor, ledger: FakeLedger, *events: dict[str, Any]) -> None:
    """The broker delivers these."""
    for number, each in enumerate(events, 1):
        made.receive(Delivery("s", ledger, number, json.dumps(each).encode()))


PAIR = [event(1, 0, THREAT_DETECTED, "d", "f", "c"), event(2, 1, THREAT_QUARANTINED, "d", "f", "c")]


async def test_a_combined_record_goes_the_way_of_events() -> None:
    """Sent when servers have its events, in the form of the events, counted as none, and leaving nothing behind."""
    sink, ledger = Sink(), FakeLedger()
    made = conductor(sink, flatten=Flattener(), add={"tenant": "acme"})
    receive(made, ledger, *PAIR)
    made.pump()
    assert len(sink.answer(Outcome.ACKED)) == 2
    assert ledger.resolved == [1, 2]
    made.pump()
    ((tag, record),) = sink.answer(Outcome.ACKED)
    assert (tag, record["detection_id"], record["computer_connector_guid"]) == ("detections", "d", "c")
    assert record["tenant"] == "acme"
    assert (made.lines["s"].counters.delivered, made.lines["s"].counters.received) == (2, 2)
    assert (made.total_held_bytes, made.idle) == (0, True)


async def test_serialized_combined_records() -> None:
    """The whole record is one text, like an event's."""
    sink = Sink()
    made = conductor(sink, serialize="message")
    receive(made, FakeLedger(), *PAIR)
    for _ in range(2):
        made.pump()
        ((_, record), *_) = sink.answer(Outcome.ACKED)
    assert json.loads(record["message"])["status"] == "quarantined"


async def test_a_combined_record_that_is_refused_becomes_a_dead_letter() -> None:
    """Like any other; and that may be acked."""
    sink = Sink()
    made = conductor(sink)
    receive(made, FakeLedger(), *PAIR)
    made.pump()
    sink.answer(Outcome.ACKED)
    made.pump()
    sink.answer(Outcome.REFUSED)
    made.pump()
    ((tag, letter),) = sink.answer(Outcome.ACKED)
    assert (tag, json.loads(letter["body"])["detection_id"]) == ("letters", "d")
    assert (made.total_held_bytes, made.idle) == (0, True)


async def test_a_combined_record_that_cannot_be_packed_becomes_a_dead_letter() -> None:
    """An integer beyond 64 bits in what it shows."""
    sink = Sink()
    made = conductor(sink)
    receive(made, FakeLedger(), *({**each, "computer": {"x": 2**70}} for each in PAIR))
    for _ in range(2):
        made.pump()
        letters = sink.answer(Outcome.ACKED)
    assert letters
    assert {tag for tag, _ in letters} == {"letters"}
    assert made.idle


@pytest.mark.parametrize("place", ["Detections.add", "Incidents.add", "Incidents.places", "Combiner._emissions"])
def test_what_fails_costs_an_event_its_part_only(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The event is remembered and acked as ever, and those that come later have their parts."""
    kind, method = place.split(".")
    error = ZeroDivisionError()
    world = World([event(1, 0, THREAT_DETECTED, "d", "f", "c"), event(2, 400, THREAT_DETECTED, "e", "g", "c")])

    def trip(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr({"Detections": Detections, "Incidents": Incidents, "Combiner": Combiner}[kind], method, trip)
        world.deliver(1)
        world.disk.commit()
    assert InternalError("combining", error) in world.told
    assert world.acked == {0}
    assert len(world.disk.delivered) == 1
    world.told.clear()
    assert "detections e" in world.end()
    assert world.told == []
