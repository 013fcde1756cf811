"""`sink.forward.dispatch`: the whole client without a socket, against servers that are full, down or choosy."""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.errors import WrongAck
from fluent_plugin_amp.model import Chunk, Delivery, Outcome
from fluent_plugin_amp.sink.forward.bisect import SERVER_AWAY_S
from fluent_plugin_amp.sink.forward.dispatch import Dispatcher, Write
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress

PROBE = b"probe"


def dispatcher(*servers: str | ServerAddress, max_in_flight: int = 4) -> Dispatcher:
    """A dispatcher with these servers, none connected; halves are called h1, h2, …"""
    addresses = tuple(ServerAddress(each) if isinstance(each, str) else each for each in servers)
    numbers = itertools.count(1)
    settings = ForwardSettings(addresses, max_in_flight=max_in_flight)
    return Dispatcher(
        settings, lambda: f"h{next(numbers)}", lambda tag, size: Chunk("probe", tag, [PROBE.ljust(size)], [])
    )


def written(books: Dispatcher, now: float = 0.0) -> list[Write]:
    """Everything that can be written now."""
    writes = []
    while (write := books.next_write(now)) is not None:
        writes.append(write)
    return writes


def answers(books: Dispatcher) -> list[tuple[str, Outcome]]:
    """The answers so far, taken out, by chunk id."""
    taken = [(answer.chunk.id, answer.outcome) for answer in books.answers]
    books.answers.clear()
    return taken


# --- one case at a time --------------------------------------------------------------------------


def test_chunks_are_written_when_a_server_has_room(make_chunk: Any) -> None:
    """Up to max_in_flight of them; the next one when one was acked."""
    books = dispatcher("a", max_in_flight=2)
    chunks = [make_chunk() for _ in range(3)]
    assert books.room == 0
    for chunk in chunks:
        books.submit(chunk)
    assert written(books) == []
    assert not books.is_up("a")
    books.connected("a")
    assert books.is_up("a")
    assert written(books) == [Write("a", chunks[0]), Write("a", chunks[1])]
    assert books.deadline("a") is not None
    assert (books.room, books.in_flight, books.written, len(books.window("a"))) == (0, 3, 2, 2)
    books.acked("a", chunks[0].id)
    assert written(books) == [Write("a", chunks[2])]
    for chunk in chunks[1:]:
        books.acked("a", chunk.id)
    assert answers(books) == [(chunk.id, Outcome.ACKED) for chunk in chunks]
    assert (books.room, books.in_flight, books.written) == (2, 0, 0)
    assert books.deadline("a") is None


def test_room_counts_what_servers_in_use_take(make_chunk: Any) -> None:
    """Of all connected servers, without those that want to drain first, and without the standby."""
    books = dispatcher("a", "b", ServerAddress("s", standby=True))
    assert (books.room, books.available) == (0, False)
    books.connected("s")
    assert (books.room, books.available) == (4, True)
    books.connected("a")
    books.connected("b")
    assert books.room == 8
    books.set_writable("b", False)
    assert books.room == 4
    books.submit(make_chunk())
    assert books.room == 3
    assert [write.server for write in written(books)] == ["a"]
    books.set_writable("b", True)
    assert books.room == 7


def test_a_lost_chunk_goes_to_another_server_under_the_same_id(make_chunk: Any) -> None:
    """And it is the same chunk."""
    books = dispatcher("a", "b")
    books.connected("a")
    chunk = make_chunk(3)
    books.submit(chunk)
    assert written(books) == [Write("a", chunk)]
    books.connected("b")
    assert books.lost("a", 1.0) == 1
    books.connected("a")
    assert written(books) == [Write("b", chunk)]
    books.acked("b", chunk.id)
    assert answers(books) == [(chunk.id, Outcome.ACKED)]


def test_chunks_in_doubt_go_alone_and_before_new_ones(make_chunk: Any) -> None:
    """One at a time until all are acked; then the window opens again."""
    books = dispatcher("a")
    books.connected("a")
    old = [make_chunk() for _ in range(3)]
    for chunk in old:
        books.submit(chunk)
    assert len(written(books)) == 3
    assert books.lost("a", 1.0) == 3
    new = [make_chunk() for _ in range(2)]
    for chunk in new:
        books.submit(chunk)
    books.connected("a")
    for chunk in old:
        assert (books.room, books.is_doubtful("a")) == (0, chunk is old[0])
        assert written(books) == [Write("a", chunk)]
        books.acked("a", chunk.id)
    assert written(books) == [Write("a", chunk) for chunk in new]


def test_availability_returns_with_the_ack(make_chunk: Any) -> None:
    """Not with the connection: not while a probe is in flight."""
    books = dispatcher("a")
    books.connected("a")
    assert books.available
    chunk = make_chunk()
    books.submit(chunk)
    written(books)
    books.lost("a", 1.0)
    assert not books.available
    books.connected("a")
    assert not books.available
    assert books.is_doubtful("a")
    written(books)
    assert not books.available
    books.acked("a", chunk.id)
    assert books.available
    assert not books.is_doubtful("a")


def test_a_restart_while_idle_casts_no_doubt() -> None:
    """Connected again is available again."""
    books = dispatcher("a")
    books.connected("a")
    assert books.lost("a", 1.0) == 0
    assert not books.available
    books.connected("a")
    assert (books.available, books.room, books.is_doubtful("a")) == (True, 4, False)


def test_a_wrong_ack_answers_nothing(make_chunk: Any) -> None:
    """It is raised to the shell; the chunk stays in flight until the connection is cut."""
    books = dispatcher("a", "b")
    books.connected("a")
    books.connected("b")
    chunk = make_chunk()
    books.submit(chunk)
    written(books)
    with pytest.raises(WrongAck):
        books.acked("b", chunk.id)
    books.acked("a", chunk.id)
    books.acked("a", chunk.id)
    assert answers(books) == [(chunk.id, Outcome.ACKED)]


def test_shedding_leaves_a_probe(make_chunk: Any, ledger: Any) -> None:
    """Returned chunks are forgotten, but the one longest in doubt; after the ack of that, none is shed any more."""
    books = dispatcher("a")
    books.connected("a")
    chunks = [make_chunk() for _ in range(3)]
    for chunk in chunks:
        books.submit(chunk)
    written(books)
    books.lost("a", 1.0)
    books.shed()
    assert answers(books) == [], "their channel is open"
    ledger.closed = True
    books.shed()
    assert answers(books) == [(chunk.id, Outcome.SHED) for chunk in chunks[1:]]
    assert books.held() == [chunks[0]]
    books.connected("a")
    assert written(books) == [Write("a", chunks[0])]


def test_returned_chunks_in_flight_are_shed_when_they_get_in_doubt(make_chunk: Any, ledger: Any) -> None:
    """A server that hangs holds them until its timeout; then all but one are forgotten."""
    books = dispatcher("a")
    books.connected("a")
    chunks = [make_chunk() for _ in range(4)]
    for chunk in chunks:
        books.submit(chunk)
    written(books)
    ledger.closed = True
    books.shed()
    assert answers(books) == [], "they may still be acked"
    books.lost("a", 60.0)
    assert answers(books) == [(chunk.id, Outcome.SHED) for chunk in chunks[1:]]
    assert books.held() == [chunks[0]]


def test_an_ack_ends_the_shedding(make_chunk: Any, ledger: Any) -> None:
    """What gets in doubt later is kept, whatever became of its channel: it is sent again soon."""
    books = dispatcher("a")
    books.connected("a")
    chunks = [make_chunk() for _ in range(3)]
    for chunk in chunks:
        books.submit(chunk)
    written(books)
    ledger.closed = True
    books.shed()
    books.acked("a", chunks[0].id)
    books.lost("a", 60.0)
    assert answers(books) == [(chunks[0].id, Outcome.ACKED)]
    assert books.held() == chunks[1:]


def test_a_chunk_with_a_twin_that_waits_is_not_shed(make_chunk: Any, ledger: Any) -> None:
    """A redelivered copy on an open channel shares its outcome."""
    books = dispatcher("a")
    chunk, other = make_chunk(), make_chunk()
    open_ledger = type(ledger)()
    chunk.deliveries[0].twins += (Delivery("emea", open_ledger, 1, b""),)
    books.submit(chunk)
    books.submit(other)
    ledger.closed = True
    books.shed()
    assert answers(books) == [(other.id, Outcome.SHED)]
    assert books.held() == [chunk]


def test_chunks_that_never_left_are_shed_but_one(make_chunk: Any, ledger: Any) -> None:
    """Also those that no server ever took."""
    books = dispatcher("a")
    chunks = [make_chunk() for _ in range(3)]
    for chunk in chunks:
        books.submit(chunk)
    ledger.closed = True
    books.shed()
    assert [chunk_id for chunk_id, _ in answers(books)] == [chunk.id for chunk in chunks[1:]]
    assert books.held() == [chunks[0]]


# --- a small world -------------------------------------------------------------------------------


@dataclass
class Channel:
    """The ledger of an AMQP channel, as far as the sink looks at it."""

    closed: bool = False

    def resolve(self, delivery_tag: int) -> None:
        """Part of model.Ledger."""


@dataclass
class Server:
    """A Forward server: acks what it likes, closes on what it does not."""

    name: str
    is_up: bool = True
    is_full: bool = False
    is_connected: bool = False
    inbox: deque[Chunk] = field(default_factory=deque)


class World:
    """A dispatcher, its servers, and a feeder that does what the conductor does."""

    def __init__(self, servers: Iterable[str], poison: set[bytes], max_in_flight: int = 3) -> None:
        self.servers = {name: Server(name) for name in servers}
        self.books = dispatcher(*self.servers, max_in_flight=max_in_flight)
        self.poison = poison
        self.now = 0.0
        self.numbers = itertools.count()
        self.ids = itertools.count()
        self.submitted: list[bytes] = []
        self.outcomes: dict[Outcome, list[bytes]] = {outcome: [] for outcome in Outcome}
        self.acked_by_server: Counter[bytes] = Counter()
        self.splits = 0
        self.probes_lost = 0
        self.full_tags: set[str] = set()
        self.channel = Channel()

    def feed(self, size: int, poisonous: frozenset[int] = frozenset()) -> None:
        """Submit a chunk of new entries, those at the given places poisonous."""
        entries = [b"%d" % next(self.numbers) for _ in range(size)]
        self.poison.update(entry for place, entry in enumerate(entries) if place in poisonous)
        self.submit(entries)

    def submit(self, entries: list[bytes], *, is_dead_letters: bool = False, tag: str = "t") -> None:
        """Give the dispatcher a chunk."""
        self.submitted += entries
        deliveries = [Delivery("s", self.channel, 0, entry) for entry in entries]
        self.books.submit(Chunk(f"c{next(self.ids)}", tag, entries, deliveries, is_dead_letters))
        self.act()

    def act(self) -> None:
        """What the shell does after each event; a refused event becomes a dead letter, which is no poison."""
        for write in written(self.books, self.now):
            server = self.servers[write.server]
            assert server.is_connected
            server.inbox.append(write.chunk)
        self.splits += len(self.books.splits)
        self.books.splits.clear()
        while self.books.answers:
            answer = self.books.answers.popleft()
            for entry, delivery in zip(answer.chunk.entries, answer.chunk.deliveries, strict=True):
                assert delivery.body == entry, "each entry keeps its delivery"
                assert answer.outcome is not Outcome.SHED or delivery.ledger.closed
            self.outcomes[answer.outcome] += answer.chunk.entries
            if answer.outcome is Outcome.REFUSED and not answer.chunk.is_dead_letters:
                (entry,) = answer.chunk.entries
                self.submit([b"dead letter of " + entry], is_dead_letters=True)
        self.check()

    def pause(self) -> None:
        """The source returns everything and begins anew on another channel."""
        self.channel.closed = True
        self.channel = Channel()
        held = self.books.in_flight
        self.books.shed()
        assert self.books.in_flight or not held, "one chunk stays as a probe"
        self.act()

    def check(self) -> None:
        """The invariants, at any time."""
        held = [entry for chunk in self.books.held() for entry in chunk.entries]
        answered = [entry for entries in self.outcomes.values() for entry in entries]
        assert sorted(held + answered) == sorted(self.submitted), "each entry is held or answered, once"
        assert self.books.in_flight == len(self.books.held())
        for server in self.servers.values():
            assert len(server.inbox) <= 3
            assert server.is_connected or not server.inbox
        assert not set(self.outcomes[Outcome.ACKED]) - set(self.acked_by_server)

    def step(self, server: Server, seconds: float = 0.1) -> bool:
        """Let one server do the next thing that it would do; False when there is nothing to do."""
        self.now += seconds
        if not server.is_up:
            moved = server.is_connected
            if moved:
                self.lose(server)
        elif not server.is_connected:
            server.is_connected = moved = True
            self.books.connected(server.name)
        elif server.inbox:
            moved = True
            chunk = server.inbox[0]
            if server.is_full or chunk.tag in self.full_tags or self.poison.intersection(chunk.entries):
                self.probes_lost += chunk.id == "probe"
                self.lose(server)
            else:
                server.inbox.popleft()
                self.acked_by_server.update(map(bytes.rstrip, chunk.entries))
                self.books.acked(server.name, chunk.id)
        else:
            moved = False
        self.act()
        return moved

    def lose(self, server: Server) -> None:
        """The connection ends, with whatever was in flight."""
        server.is_connected = False
        in_doubt = self.books.lost(server.name, self.now)
        assert in_doubt == sum(chunk.id != "probe" for chunk in server.inbox)
        server.inbox.clear()

    def recover(self, *, feeds: int, seconds: float = 0.1) -> None:
        """All servers are well; new chunks come when they are asked for, and all is answered in the end."""
        for server in self.servers.values():
            server.is_up, server.is_full = True, False
        for _ in range(20_000):
            if feeds and self.books.room and not self.books.available:
                feeds -= 1
                self.feed(1)
            moved = [self.step(server, seconds) for server in self.servers.values()]
            if not any(moved):
                break
        assert self.books.held() == []

    def refused_events(self) -> set[bytes]:
        """Events that became dead letters."""
        return {entry for entry in self.outcomes[Outcome.REFUSED] if not entry.startswith(b"dead")}


sizes_and_poison = st.lists(
    st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.frozensets(st.integers(0, 20), max_size=3))),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(chunks=sizes_and_poison, names=st.sampled_from(["a", "ab"]))
def test_poison_is_isolated_and_nothing_else_is(chunks: list[tuple[int, frozenset[int]]], names: str) -> None:
    """Servers that are well ack every good event and have every poisonous one refused, each once."""
    world = World(names, set())
    for size, poisonous in chunks:
        world.feed(size, poisonous)
    world.recover(feeds=1000)
    assert world.refused_events() == world.poison
    assert sorted(world.outcomes[Outcome.ACKED]) == sorted(set(world.submitted) - world.poison)
    probes = world.acked_by_server.pop(PROBE, 0)
    assert max(world.acked_by_server.values(), default=1) == 1, "closing at once, nothing had to be sent twice"
    assert probes <= 8 * len(world.poison)


@settings(deadline=None)
@given(data=st.data(), names=st.sampled_from(["a", "ab"]))
def test_whatever_happens_each_entry_is_answered_once(data: st.DataObject, names: str) -> None:
    """Over any walk of servers down, full and back, with poison and pauses: nothing lost, nothing answered twice."""
    world = World(names, set())
    for _ in range(data.draw(st.integers(0, 60))):
        server = world.servers[data.draw(st.sampled_from(names))]
        match data.draw(st.sampled_from(["feed", "step", "step", "step", "up", "full", "wait", "pause"])):
            case "feed":
                world.feed(data.draw(st.integers(1, 6)), data.draw(st.frozensets(st.integers(0, 30), max_size=2)))
            case "step":
                world.step(server)
            case "up":
                server.is_up = not server.is_up
            case "full":
                server.is_full = not server.is_full
            case "wait":
                world.now += data.draw(st.sampled_from([1.0, 30.0, SERVER_AWAY_S]))
            case "pause":
                world.pause()
    world.recover(feeds=1000)
    assert world.refused_events() | set(world.outcomes[Outcome.SHED]) >= world.poison
    assert set(world.acked_by_server).isdisjoint(world.poison)


@settings(deadline=None)
@given(
    chunks=st.lists(st.integers(1, 8), min_size=1, max_size=8),
    names=st.sampled_from(["a", "ab"]),
    is_full=st.booleans(),
    tries=st.integers(0, 300),
    seed=st.integers(0, 10**6),
)
def test_an_outage_makes_no_dead_letters(chunks: list[int], names: str, is_full: bool, tries: int, seed: int) -> None:
    """Servers that refuse everything for a while, twice: all is acked in the end."""
    world = World(names, set())
    order = random.Random(seed)
    for _ in range(2):
        for server in world.servers.values():
            server.is_full, server.is_up = is_full, is_full
        for size in chunks:
            world.feed(size)
        for _ in range(tries):
            world.step(world.servers[order.choice(names)], seconds=0.01)
        world.recover(feeds=0)
    assert world.outcomes[Outcome.REFUSED] == []
    assert sorted(world.outcomes[Outcome.ACKED]) == sorted(world.submitted)


def test_a_full_server_beside_a_healthy_one_makes_no_dead_letters() -> None:
    """What the one refuses the other takes, however often that happens."""
    world = World("ab", set())
    world.servers["b"].is_full = True
    order = random.Random(1)
    for _ in range(3000):
        if world.books.room:
            world.feed(1)
        world.step(world.servers[order.choice("abbb")], seconds=0.01)
    assert len(world.outcomes[Outcome.ACKED]) > 100
    assert world.outcomes[Outcome.REFUSED] == []


@pytest.mark.parametrize("names", ["a", "ab"])
@pytest.mark.parametrize("size", [1, 7])
def test_a_server_full_for_hours_costs_no_event(names: str, size: int) -> None:
    """Nothing is acked, so nothing is refused or split, and few probes are tried; later all is delivered."""
    world = World(names, set())
    for server in world.servers.values():
        server.is_full = True
    for _ in range(20):
        world.feed(size)
    tries = 0
    for number in range(2000):
        tries += world.step(world.servers[names[number % len(names)]], seconds=10.0)
    assert world.refused_events() == set()
    assert world.splits == 0
    assert world.probes_lost < tries / 10
    assert any(world.books.takes_nothing(name) for name in names)
    world.recover(feeds=0)
    assert world.refused_events() == set()
    assert sorted(world.outcomes[Outcome.ACKED]) == sorted(world.submitted)
    assert not any(world.books.takes_nothing(name) for name in names)


@pytest.mark.parametrize("refused", [0.3, 0.5, 0.7, 0.9])
def test_a_buffer_full_now_and_then_costs_no_event(refused: float) -> None:
    """A server that is overloaded takes some chunks and refuses others, whatever is in them."""
    world = World("a", set())
    order = random.Random(1)
    for _ in range(4000):
        world.servers["a"].is_full = order.random() < refused
        if world.books.room and len(world.books.held()) < 5:
            world.feed(3)
        world.step(world.servers["a"])
    assert world.refused_events() == set()


def test_another_tag_proves_nothing() -> None:
    """A server may have another way, and another buffer, for dead letters: what is acked there convicts no event."""
    world = World("a", set())
    world.full_tags.add("t")
    for number in range(20):
        world.feed(1)
        world.submit([b"letter %d" % number], is_dead_letters=True, tag="letters")
        for _ in range(30):
            world.step(world.servers["a"])
    assert world.refused_events() == set()
    assert len(world.outcomes[Outcome.ACKED]) > 0, "the other way is used meanwhile"
    world.full_tags.clear()
    world.recover(feeds=0)
    assert sorted(world.outcomes[Outcome.ACKED]) == sorted(world.submitted)


def test_an_outage_does_not_grind_chunks_to_dust() -> None:
    """An hour of refusals, tried every 30 s after the first minute, leaves most of each chunk together."""
    world = World("a", set())
    for _ in range(3):
        world.feed(1000)
    world.servers["a"].is_full = True
    for _ in range(2 * (60 + 120)):  # a connection and a refusal each
        world.step(world.servers["a"])
    assert world.splits <= 100
    assert max(len(chunk.entries) for chunk in world.books.held()) >= 250


def test_one_poisonous_event_of_a_thousand_is_found_in_few_tries() -> None:
    """log2(n) halvings at two or three tries each; each good event is delivered once."""
    world = World("a", set())
    world.feed(1000, frozenset({617}))
    tries = 0
    while world.books.in_flight:
        if world.books.room and not world.books.available:
            world.feed(1)
        tries += world.step(world.servers["a"])
    assert tries < 100
    assert len(world.outcomes[Outcome.REFUSED]) == 1
    assert world.splits == 10


@pytest.mark.parametrize("names", ["a", "ab"])
def test_only_poison_and_an_idle_source_ends_by_probes(names: str) -> None:
    """A poisonous event with nothing else to send becomes a dead letter after a few tries, on real proof."""
    world = World(names, set())
    world.feed(1, frozenset({0}))
    tries = 0
    while world.books.in_flight:
        tries += sum(world.step(server) for server in world.servers.values())
        assert tries < 50
    assert world.refused_events() == world.poison
    assert world.acked_by_server[PROBE] == 4
    assert world.books.available


def test_poison_in_a_flow_needs_no_probe() -> None:
    """Events that come meanwhile are the proof."""
    world = World("a", set())
    world.feed(1, frozenset({0}))
    while world.books.in_flight:
        if world.books.room and not world.books.available:
            world.feed(1)
        world.step(world.servers["a"])
    assert world.refused_events() == world.poison
    assert world.acked_by_server[PROBE] == 0


def test_many_poisonous_events_are_refused_without_end_of_tries() -> None:
    """Poison that is taken for news is no news; what it takes grows with their number and not with its square."""
    world = World("a", set())
    for _ in range(40):
        world.feed(1, frozenset({0}))
    tries = 0
    while world.books.in_flight:
        tries += world.step(world.servers["a"])
        assert tries < 40 * 30
    assert world.refused_events() == world.poison


def test_a_trial_does_not_wait_for_a_server_that_is_gone() -> None:
    """After a while the other one is tried, which takes what the first refused."""
    world = World("ab", set())
    world.feed(1)
    a, b = world.servers["a"], world.servers["b"]
    a.is_full = b.is_full = True
    while not world.books._suspects.awaits_news:
        world.step(a)
        world.step(b)
    for server in world.servers.values():
        server.is_full = False
    gone = world.servers[world.books._suspects.wanted_news().server]  # type: ignore[union-attr]
    other = b if gone is a else a
    gone.is_up = False
    world.step(gone)
    for _ in range(10):
        world.step(other, seconds=SERVER_AWAY_S / 5)
    assert world.books.held() == []
    assert world.outcomes[Outcome.REFUSED] == []
