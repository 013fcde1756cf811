"""The state file holds what it was given, forgets what it should, and says plainly why it cannot be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.state import database as database_module
from fluent_plugin_amp.state.errors import StateCorrupt, StateDiskFull, StateTooNew, StateUnusable, StateValueRefused
from fluent_plugin_amp.state.schema import APPLICATION_ID, MIGRATIONS
from fluent_plugin_amp.state.store import STEP_EVENTS, Store
from fluent_plugin_amp.state.values import BLOCK_EVENTS, Block, DeliveredEvent, KeptDeadLetter, split

NO_FACTS = EventIdentity(None, 0, 0, None, None)
LETTER = KeptDeadLetter("a", "event.not-json", "no JSON", "key", True, 1.5, b"\xff\x00")


def digest(number: int) -> bytes:
    """Of event ``number``."""
    return digest_of(b"%d" % number)


def add(store: Store, numbers: Iterable[int], *, at: int = 0, stream: str = "a") -> None:
    """Events that were delivered together."""
    digests = [digest(number) for number in numbers]
    with store.transaction():
        store.add_delivered(split(stream, at, digests, [NO_FACTS] * len(digests)))


def index(store: Store) -> None:
    """In a transaction."""
    with store.transaction():
        store.sort_unindexed()
        while store.index():
            pass


def known(store: Store, numbers: Iterable[int], stream: str = "a") -> list[int]:
    """Those that it contains."""
    return [number for number in numbers if store.contains(stream, digest(number))]


def waiting(store: Store) -> set[tuple[str, bytes]]:
    """What is not indexed."""
    return {(stream, digest) for stream, digests in store.unindexed() for digest in digests}


def prune(store: Store, before: int, now: int) -> int:
    """All steps; how many they were."""
    steps = 0
    after: int | None = 0
    while after is not None:
        with store.transaction():
            after = store.prune(before, now, after)
        steps += 1
    return steps


# --- the file ------------------------------------------------------------------------------------


def test_only_its_owner_may_read_it(path: Path, store: Store) -> None:
    """It holds names of computers; so do the files beside it."""
    add(store, [1])
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_what_was_committed_is_there_when_opened_again(path: Path, store: Store) -> None:
    """Indexed or not."""
    add(store, [1])
    index(store)
    add(store, [2])
    store.close()
    again = Store.open(path)
    assert known(again, [1, 2]) == [1]
    assert waiting(again) == {("a", digest(2))}
    again.close()


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    """Not even the stream, which is made anew by the next one."""
    with pytest.raises(StateUnusable), store.transaction():
        store.add_delivered([Block("new", 0, [digest(1), "no bytes"], [NO_FACTS] * 2)])  # type: ignore[list-item]
    assert store.resets() == {}
    add(store, [2], stream="new")
    index(store)
    assert known(store, [1, 2], "new") == [2]


def test_a_tool_reads_and_writes_beside_the_daemon(path: Path, store: Store) -> None:
    """Each sees what the other committed, and waits its turn."""
    tool = Store.open(path)
    add(store, [1])
    add(tool, [2])
    index(store)
    assert known(tool, [1, 2]) == known(store, [1, 2]) == [1, 2]
    tool.close()


def test_a_tool_does_not_make_the_file(path: Path) -> None:
    """A misspelt path would look like an empty memory."""
    with pytest.raises(StateUnusable, match="does not exist"):
        Store.open(path)
    assert not path.exists()


def test_reading_leaves_the_log_free_to_be_cleared(path: Path, store: Store) -> None:
    """A lookup left half way would let the log grow for ever."""
    add(store, range(10))
    index(store)
    reader = Store.open(path)
    assert known(reader, range(20)) == list(range(10))
    with sqlite3.connect(path) as tool:
        assert tool.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    tool.close()
    reader.close()


# --- versions ------------------------------------------------------------------------------------


def test_a_newer_file_is_left_alone(path: Path, store: Store) -> None:
    """A plugin that was set back cannot know what it holds."""
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StateTooNew, match=f"version {len(MIGRATIONS) + 1}"):
        Store.open(path, create=True)


def test_an_older_file_is_brought_up_to_date(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the daemon, step by step and with what it holds; tools leave that to it."""
    add(store, [1])
    store.close()
    later = (*MIGRATIONS, ("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)"), ("UPDATE more SET x = x + 1",))
    monkeypatch.setattr(database_module, "MIGRATIONS", later)
    with pytest.raises(StateUnusable, match="version"):
        Store.open(path)
    for _ in range(2):
        again = Store.open(path, create=True)
        assert waiting(again) == {("a", digest(1))}
        again.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT x FROM more").fetchall() == [(2,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(later),)
    connection.close()


def test_a_migration_that_fails_leaves_the_version_before_it(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a transaction."""
    store.close()
    monkeypatch.setattr(database_module, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (x)", "NONSENSE")))
    with pytest.raises(StateUnusable):
        Store.open(path, create=True)
    monkeypatch.undo()
    Store.open(path).close()


def test_another_program_s_database_is_not_touched(path: Path) -> None:
    """The wrong path must not cost anybody data."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StateCorrupt, match="another program"):
        Store.open(path, create=True)
    assert path.read_bytes() == before


def test_the_file_says_whose_it_is(path: Path, store: Store) -> None:
    """In its header, so that it is known again."""
    store.close()
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")


# --- what is wrong with it -----------------------------------------------------------------------


def test_garbage_is_corrupt(path: Path) -> None:
    """Not a database at all."""
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(StateCorrupt):
        Store.open(path, create=True)


def test_damage_is_found(path: Path, store: Store) -> None:
    """When it is read, or when it is looked for."""
    add(store, range(2000))
    index(store)
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))
    damaged = Store.open(path)
    with pytest.raises(StateCorrupt):
        damaged.check_integrity()
    with pytest.raises(StateUnusable):
        known(damaged, range(2000))
    damaged.close()


def test_a_sound_file_passes_the_check(store: Store) -> None:
    """Nothing is found where there is nothing."""
    add(store, range(1000))
    index(store)
    store.check_integrity()


@pytest.mark.parametrize("place", ["missing/state.db", "."])
def test_a_place_where_there_can_be_no_file(tmp_path: Path, place: str) -> None:
    """The message names the file."""
    with pytest.raises(StateUnusable, match=str(tmp_path)):
        Store.open(tmp_path / place, create=True)


def test_a_full_file_takes_nothing_and_loses_nothing(store: Store) -> None:
    """SQLite's own limit stands for the disk's."""
    add(store, [1])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateDiskFull):
        add(store, range(2, 10_000))
    assert waiting(store) == {("a", digest(1))}
    store._connection.execute("PRAGMA max_page_count = 1000000")
    add(store, [2])
    assert waiting(store) == {("a", digest(1)), ("a", digest(2))}


@pytest.mark.parametrize("value", [2**63, -(2**70), [], "\ud800"])
def test_a_value_that_sqlite_does_not_take_is_no_trouble_with_the_file(store: Store, value: Any) -> None:
    """It must not be tried again for ever: the error is one of its own."""
    with pytest.raises(StateValueRefused):
        store.remove_letter(value)


# --- what was delivered --------------------------------------------------------------------------


def test_an_event_is_known_by_stream_and_digest(store: Store) -> None:
    """The same digest of another stream is another event."""
    add(store, [1], stream="a")
    add(store, [2], stream="b")
    index(store)
    assert known(store, [1, 2], "a") == [1]
    assert known(store, [1, 2], "b") == [2]
    assert known(store, [1, 2], "unheard of") == []


def test_a_digest_that_begins_like_another_is_not_taken_for_it(store: Store) -> None:
    """The index holds half of it; the other half is compared too."""
    with store.transaction():
        store.add_delivered([Block("a", 0, [b"12345678abcdefgh"], [NO_FACTS])])
    index(store)
    assert store.contains("a", b"12345678abcdefgh")
    assert not store.contains("a", b"12345678abcdefgi")


@pytest.mark.parametrize("count", [1, BLOCK_EVENTS - 1, BLOCK_EVENTS, BLOCK_EVENTS + 1, 3 * BLOCK_EVENTS])
def test_every_event_of_a_block_is_found(store: Store, count: int) -> None:
    """The first and the last included."""
    add(store, range(count))
    assert len(waiting(store)) == count
    index(store)
    assert not waiting(store)
    assert known(store, range(count + 1)) == list(range(count))


@pytest.mark.parametrize("event_id", [None, 0, 6533241145273614340, 2**64 - 1, -(2**63)])
def test_facts_come_back(store: Store, event_id: int | None) -> None:
    """As they were given."""
    facts = EventIdentity(event_id, 1700000000, 999_999_999, 2164260880, "0b4883d4")
    with store.transaction():
        store.add_delivered([Block("a", 0, [digest(1), digest(2)], [facts, NO_FACTS])])
    (event,) = store.delivered_between("a", 1700000000, 1700000000)
    assert event == DeliveredEvent(digest(1), facts)


def test_integers_beyond_64_bits_become_text(store: Store) -> None:
    """JSON has them; an id is still comparable, a type is none."""
    with store.transaction():
        facts = [EventIdentity(2**70, 1, 0, 2**70, None, 2**70), EventIdentity(5, 2, 0, 7, None, 8)]
        store.add_delivered([Block("a", 0, [digest(1), digest(2)], facts)])
    first, second = store.delivered_between("a", 0, 9)
    assert first.facts == (str(2**70), 1, 0, None, None, str(2**70))
    assert second.facts == (5, 2, 0, 7, None, 8)


def test_facts_of_an_earlier_version_can_be_read(store: Store) -> None:
    """They have no detection."""
    with store.transaction():
        store.add_delivered([Block("a", 0, [digest(1)], [NO_FACTS])])
        store._execute("UPDATE delivered SET facts = ?", (msgspec.msgpack.encode([(7, 0, 6, 5, "guid")]),))
    assert store.set_garbled_aside(all_of_it=True) == {}
    (event,) = store.delivered_between("a", 0, 9)
    assert event.facts == EventIdentity(7, 0, 6, 5, "guid", None)


def test_a_span_of_time_has_both_its_ends(store: Store) -> None:
    """And nothing of other streams, or of the rest of a block."""
    for stream in "ab":
        for start in (0, 10, 20):
            with store.transaction():
                numbers = range(start, start + 10)
                digests = [digest(number) for number in numbers]
                store.add_delivered(
                    [Block(stream, 0, digests, [EventIdentity(None, number, 0, None, None) for number in numbers])]
                )
    assert [event.facts.seconds for event in store.delivered_between("a", 5, 12)] == list(range(5, 13))
    assert store.delivered_between("a", 30, 99) == []


def test_a_span_of_time_is_found_by_an_index(store: Store) -> None:
    """Millions of events are no obstacle."""
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    assert store.delivered_between("a", 1, 2) == []
    store._connection.set_trace_callback(None)
    plan = store._execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert "delivered_by_time (stream=? AND last_at>?)" in plan[0][3]


def test_the_oldest_delivery_is_that_of_the_stream(store: Store) -> None:
    """By the time of delivery, whenever the event happened; a stream of which nothing is remembered has none."""
    add(store, [1], at=300, stream="a")
    add(store, [2], at=200, stream="a")
    add(store, [3], at=100, stream="b")
    assert (store.oldest_at("a"), store.oldest_at("b"), store.oldest_at("c")) == (200, 100, None)


# --- forgetting ----------------------------------------------------------------------------------


def test_what_is_too_old_is_forgotten(store: Store) -> None:
    """Indexed or not; what is younger stays."""
    add(store, [1], at=100)
    index(store)
    add(store, [2], at=100)
    add(store, [3], at=200)
    prune(store, before=200, now=300)
    assert waiting(store) == {("a", digest(3))}
    index(store)
    assert known(store, [1, 2, 3]) == [3]


def test_forgetting_goes_in_small_steps(store: Store) -> None:
    """Each about `STEP_EVENTS`, however the events came, so that commits can go in between."""
    for start in range(0, 3 * STEP_EVENTS, 500):
        add(store, range(start, start + 500), at=100)
    index(store)
    assert prune(store, before=200, now=300) == 4
    assert known(store, range(3 * STEP_EVENTS)) == []


def test_a_young_file_costs_one_short_look(store: Store) -> None:
    """Nothing is searched through where nothing is old."""
    for number in range(50):
        add(store, [number], at=100)
    assert prune(store, before=50, now=200) == 1


def test_an_event_delivered_again_stays_known(store: Store) -> None:
    """Forgetting the first time does not forget the second."""
    add(store, [1, 2], at=100)
    index(store)
    add(store, [1], at=200)
    index(store)
    prune(store, before=200, now=300)
    assert known(store, [1, 2]) == [1]


def test_a_clock_that_was_wrong_keeps_nothing_for_ever(store: Store) -> None:
    """Events from the future stay until their time, and do not hold up those behind them."""
    for start in range(0, 2 * STEP_EVENTS, 100):
        add(store, range(start, start + 100), at=10_000)
    add(store, [-1], at=100)
    add(store, [-2], at=250)
    index(store)
    prune(store, before=200, now=300)
    assert known(store, [0, -1, -2]) == [0, -2]
    prune(store, before=10_001, now=10_002)
    assert known(store, range(-2, 2 * STEP_EVENTS)) == []


def test_after_everything_was_forgotten_new_events_are_still_indexed(store: Store) -> None:
    """Numbers of blocks were given again, and those blocks taken for indexed."""
    for number in range(5):
        add(store, [number], at=100)
    index(store)
    prune(store, before=200, now=300)
    index(store)
    add(store, [7], at=300)
    assert waiting(store) == {("a", digest(7))}
    index(store)
    assert known(store, [7]) == [7]


def test_one_stream_is_forgotten_at_a_time(store: Store) -> None:
    """In steps, and who keeps a copy in memory can tell."""
    count = STEP_EVENTS + 500
    add(store, range(count), stream="a")
    add(store, range(5), stream="b")
    index(store)
    add(store, [-1], stream="a")
    before = store.resets()
    steps = 0
    while True:
        with store.transaction():
            if not store.forget("a"):
                break
        steps += 1
    assert steps == 2
    assert known(store, range(-1, count), "a") == []
    assert not waiting(store)
    assert known(store, range(5), "b") == list(range(5))
    after = store.resets()
    assert after["a"] > before["a"]
    assert after["b"] == before["b"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("ab"), st.lists(st.integers(0, 30), min_size=1, max_size=5)),
            st.tuples(st.just("index")),
            st.tuples(st.just("prune"), st.integers(0, 10)),
            st.tuples(st.just("reopen")),
        ),
        max_size=30,
    )
)
def test_it_knows_what_a_plain_list_knows(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[object, ...]]
) -> None:
    """After any sequence of moves; what is not indexed is listed as such."""
    path = tmp_path_factory.mktemp("walk") / "state.db"
    store = Store.open(path, create=True)
    delivered: list[tuple[int, str, int]] = []
    for now, move in enumerate(moves):
        match move:
            case ("add", str(stream), list(numbers)):
                add(store, numbers, at=now, stream=stream)
                delivered += [(now, stream, number) for number in numbers]
            case ("index",):
                index(store)
                assert not waiting(store)
            case ("prune", int(age)):
                prune(store, before=now - age, now=now)
                delivered = [each for each in delivered if each[0] >= now - age]
            case ("reopen",):
                store.close()
                store = Store.open(path)
        unindexed = waiting(store)
        for stream in "ab":
            expected = {number for _, name, number in delivered if name == stream}
            found = set(known(store, range(31), stream))
            assert found | {number for number in range(31) if (stream, digest(number)) in unindexed} == expected
        assert sum(row.events for row in store.summary(now)) == len(delivered)
    store.close()


# --- dead letters --------------------------------------------------------------------------------


def test_a_letter_comes_back_whole(store: Store) -> None:
    """With its original bytes."""
    with store.transaction():
        store.add_letter(LETTER)
    letter = store.next_letter()
    assert letter is not None
    assert letter.number > 0
    assert (letter.stream, letter.body, letter.reason, letter.received_at) == ("a", b"\xff\x00", "no JSON", 1.5)


def test_letters_take_turns(store: Store) -> None:
    """The one tried least often is next, of those the oldest."""
    with store.transaction():
        for _ in range(3):
            store.add_letter(LETTER)
    order = []
    for _ in range(5):
        letter = store.next_letter()
        assert letter is not None
        order.append(letter.number)
        with store.transaction():
            store.letter_refused(letter.number)
    assert order == [1, 2, 3, 1, 2]
    with store.transaction():
        store.remove_letter(3)
    assert store.count_letters() == 2
    letter = store.next_letter()
    assert letter is not None
    assert letter.number == 1


def test_without_letters_there_is_no_next(store: Store) -> None:
    """None, that is."""
    assert store.next_letter() is None


# --- combined records ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 15, 16, 17, 256, 257, 600])
def test_any_number_of_rows_is_put_and_removed(store: Store, count: int) -> None:
    """Exactly those, however they are divided into statements."""
    rows = {("a", f"{number}"): b"%d" % number for number in range(count)}
    with store.transaction():
        store.put_rows("combined", {**rows, ("b", "0"): b"stays"})
    assert store.rows("combined") == {**rows, ("b", "0"): b"stays"}
    with store.transaction():
        store.put_rows("combined", {**dict.fromkeys(rows), ("c", "0"): b"new"})
    assert store.rows("combined") == {("b", "0"): b"stays", ("c", "0"): b"new"}


def test_many_rows_are_few_statements(store: Store) -> None:
    """Each statement waits for the interpreter, which a busy loop has; and none of them looks at every row."""
    first = {("a", f"{number}"): b"" for number in range(200)}
    second = {("a", f"{number}"): b"" for number in range(200, 400)}
    with store.transaction():
        store.put_rows("combined", first)
    ran: list[str] = []
    store._connection.set_trace_callback(ran.append)
    store.put_rows("combined", {**second, **dict.fromkeys(first)})
    store._connection.set_trace_callback(None)
    assert [statement.split()[0] for statement in ran] == ["INSERT", "DELETE"]
    plan = [row[-1] for row in store._execute(f"EXPLAIN QUERY PLAN {ran[1]}").fetchall()]
    assert any(step.startswith("SEARCH") and "combined" in step for step in plan)


# --- for the operator ----------------------------------------------------------------------------


def test_the_summary_counts_by_stream(store: Store) -> None:
    """Events, oldest and newest delivery, the last hour and day, and letters, also of streams without events."""
    now = 1_000_000
    add(store, [1], at=now - 90_000, stream="b")
    add(store, [2, 3], at=now - 4000, stream="b")
    add(store, [4, 5, 6], at=now, stream="b")
    with store.transaction():
        store.add_letter(LETTER)
    assert store.summary(now) == [
        ("a", 0, None, None, 0, 0, 1),
        ("b", 6, now - 90_000, now, 3, 5, 0),
    ]
