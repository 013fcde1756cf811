"""`sink.forward.bisect`: what is made of chunks in doubt."""

from __future__ import annotations

import itertools
from typing import Any

from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.bisect import PATIENCE_S, Suspects, Verdict

S = "server"


def suspects() -> Suspects:
    """No suspects yet; halves are called h1, h2, …"""
    numbers = itertools.count(1)
    return Suspects(lambda: f"h{next(numbers)}")


def fail(books: Suspects, chunk: Chunk, server: str = S, now: float = 0.0, others: int = 0) -> Verdict:
    """This chunk failed while alone, as a suspect whose turn it was or for the first time."""
    if chunk in books.waiting():
        assert books.try_next() is chunk, "it is another one's turn"
    books.in_doubt([chunk], server, now)
    return books.failed_alone(now, others=others)


def test_chunks_in_doubt_are_tried_in_turn(make_chunk: Any) -> None:
    """The oldest first; one that failed goes behind the others."""
    books = suspects()
    a, b, c = make_chunk(2), make_chunk(2), make_chunk(2)
    books.in_doubt([a, b, c], S, 0.0)
    assert books.waiting() == [a, b, c]
    assert fail(books, a) == Verdict()
    assert books.waiting() == [b, c, a]


def test_an_ack_clears_a_suspect(make_chunk: Any) -> None:
    """Nothing is left of it."""
    books = suspects()
    chunk = make_chunk()
    books.in_doubt([chunk], S, 0.0)
    assert books.try_next() is chunk
    assert len(books) == 1
    assert books.next is None
    books.acked(chunk.id, S)
    assert len(books) == 0


def test_chunks_in_flight_together_are_not_struck(make_chunk: Any) -> None:
    """However often several are lost together, with acks in between, none is to blame."""
    books = suspects()
    chunks = [make_chunk(), make_chunk()]
    for _ in range(10):
        books.in_doubt(chunks, S, 0.0)
        assert [books.try_next(), books.try_next()] == chunks
        books.acked("another", S)


def test_the_second_strike_splits_a_chunk(make_chunk: Any) -> None:
    """In halves with new ids, each entry with its delivery, before all other suspects."""
    books = suspects()
    chunk, other = make_chunk(5, is_dead_letters=True), make_chunk()
    fail(books, chunk)
    books.acked("another", S)
    books.in_doubt([other, make_chunk()], S, 0.0)
    assert fail(books, chunk) == Verdict(split=chunk)
    first, second = books.waiting()[:2]
    assert (first.id, second.id) == ("h2", "h1")
    assert first.entries + second.entries == chunk.entries
    assert first.deliveries + second.deliveries == chunk.deliveries
    assert (len(first.entries), len(first.deliveries)) == (2, 2)
    assert first.is_dead_letters
    assert second.is_dead_letters
    assert {first.tag, second.tag} == {chunk.tag}


def test_the_third_strike_refuses_a_single_event(make_chunk: Any) -> None:
    """Three failures with an ack between each two of them."""
    books = suspects()
    poison = make_chunk()
    for _ in range(2):
        assert fail(books, poison) == Verdict()
        books.acked("another", S)
    assert fail(books, poison) == Verdict(refused=poison)
    assert len(books) == 0


def test_failures_without_an_ack_in_between_are_one_strike(make_chunk: Any) -> None:
    """A server that is down or full convicts nothing, however often it is tried in that time."""
    books = suspects()
    chunk = make_chunk()
    for outage in range(2):
        for _ in range(50):
            assert fail(books, chunk, others=1) == Verdict(), f"outage {outage}"
        books.acked("another", S)
    assert fail(books, chunk, others=1) == Verdict(refused=chunk), "a third time, after two proofs"


def test_acks_of_another_server_prove_nothing(make_chunk: Any) -> None:
    """A server that takes nothing convicts nothing while its neighbour is busy acking."""
    books = suspects()
    chunk = make_chunk()
    for _ in range(20):
        assert fail(books, chunk, "full") == Verdict()
        books.acked("another", "healthy")


def test_two_refusals_need_an_ack_in_between(make_chunk: Any) -> None:
    """And the second one another failure after that ack."""
    books = suspects()
    a, b = make_chunk(), make_chunk()
    books.in_doubt([a, b], S, 0.0)
    for _ in range(2):
        fail(books, a)
        fail(books, b)
        books.acked("another", S)
    assert fail(books, a) == Verdict(refused=a)
    assert fail(books, b) == Verdict()
    books.acked("the dead letter of a", S)
    assert fail(books, b) == Verdict(refused=b)


def test_a_lone_chunk_is_split_without_proof(make_chunk: Any) -> None:
    """Its halves are all that can bring one."""
    books = suspects()
    chunk = make_chunk(4)
    assert fail(books, chunk) == Verdict()
    assert fail(books, chunk) == Verdict(split=chunk)


def test_in_a_stalemate_the_smallest_chunk_is_split_one_at_a_time(make_chunk: Any) -> None:
    """Not before every suspect failed twice since the last ack, and only one of them."""
    books = suspects()
    large, small, single = make_chunk(100), make_chunk(4), make_chunk()
    books.in_doubt([large, small, single], S, 0.0)
    verdicts = [fail(books, chunk) for chunk in (large, small, single) * 2]
    assert verdicts == [Verdict()] * 5 + [Verdict(split=small)]
    assert not books.ask_for_news


def test_an_outage_splits_few_chunks(make_chunk: Any) -> None:
    """Far fewer than one for each failed try: an hour of refusals does not grind everything to dust."""
    books = suspects()
    books.in_doubt([make_chunk(1000) for _ in range(4)], S, 0.0)
    splits = 0
    for _ in range(100):
        assert books.next is not None
        verdict = fail(books, books.next.chunk)
        assert verdict.refused is None
        splits += verdict.split is not None
    assert splits <= 30


def test_single_events_in_a_stalemate_ask_for_news(make_chunk: Any) -> None:
    """Once each of them failed twice since the last ack, whether it waits or is tried once more."""
    books = suspects()
    assert not books.ask_for_news
    a, b = make_chunk(), make_chunk()
    books.in_doubt([a, b], S, 0.0)
    for chunk in (a, b, a):
        fail(books, chunk)
        assert not books.ask_for_news
    fail(books, b)
    assert books.ask_for_news
    books.try_next()
    assert books.ask_for_news
    books.in_doubt([a, make_chunk()], S, 0.0)
    assert not books.ask_for_news, "one more suspect, not tried yet"
    books.acked("another", S)
    assert not books.ask_for_news


def test_the_only_event_is_refused_when_patience_ends(make_chunk: Any) -> None:
    """With nothing else to prove anything, after a while; not when another chunk is still to be answered."""
    books = suspects()
    event = make_chunk()
    for now in (0.0, 1.0, 2.0, PATIENCE_S - 1):
        assert fail(books, event, now=now) == Verdict()
    assert fail(books, event, now=PATIENCE_S, others=1) == Verdict()
    assert fail(books, event, now=PATIENCE_S) == Verdict(refused=event)


def test_patience_takes_three_failures(make_chunk: Any) -> None:
    """A server that hangs for a minute each time is asked three times."""
    books = suspects()
    event = make_chunk()
    assert fail(books, event, now=0.0) == Verdict()
    assert fail(books, event, now=2 * PATIENCE_S) == Verdict()
    assert fail(books, event, now=4 * PATIENCE_S) == Verdict(refused=event)


def test_impatience_costs_one_event_until_the_next_ack(make_chunk: Any) -> None:
    """A full server never turns more than one event into a dead letter; dead letters it may refuse again."""
    books = suspects()
    events = [make_chunk() for _ in range(10)]
    books.in_doubt(events, S, 0.0)
    refused = []

    def refuse_all(since: float) -> None:
        for number in range(100):
            assert books.next is not None
            verdict = fail(books, books.next.chunk, now=since + number * 30.0)
            refused.extend([verdict.refused] if verdict.refused else [])

    refuse_all(since=0.0)
    assert refused == [events[0]]
    letter = make_chunk(is_dead_letters=True)
    fail(books, letter, now=3000.0)
    refuse_all(since=3000.0)
    assert refused == [events[0], letter]


def test_shedding_keeps_the_one_longest_in_doubt(make_chunk: Any, ledger: Any) -> None:
    """Of returned chunks one stays as a probe, unless something else does."""
    books = suspects()
    old, middle, new = make_chunk(), make_chunk(), make_chunk()
    for now, chunk in enumerate((old, middle, new)):
        fail(books, chunk, now=float(now))
    fail(books, old, now=9.0)
    assert books.waiting() == [middle, new, old]
    assert books.shed_returned(others=0) == []
    ledger.closed = True
    assert books.shed_returned(others=0) == [middle, new]
    assert books.waiting() == [old]
    assert books.shed_returned(others=0) == []
    assert books.shed_returned(others=1) == [old]


def test_shedding_spares_what_was_not_returned(make_chunk: Any, ledger: Any) -> None:
    """And then no probe has to stay besides."""
    books = suspects()
    a, b = make_chunk(), make_chunk(behind=type(ledger)())
    books.in_doubt([a, b], S, 0.0)
    ledger.closed = True
    assert books.shed_returned(others=0) == [a]
    assert books.waiting() == [b]
