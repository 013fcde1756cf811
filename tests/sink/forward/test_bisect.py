"""`sink.forward.bisect`: what is made of chunks in doubt."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.bisect import (
    FAILURES_FOR_TRIAL,
    FAILURES_MORE,
    SERVER_AWAY_S,
    STRIKES_TO_REFUSE,
    STRIKES_TO_SPLIT,
    News,
    Suspects,
    Verdict,
)

S = "server"


def suspects() -> Suspects:
    """No suspects yet; halves are called h1, h2, …"""
    numbers = itertools.count(1)
    return Suspects(lambda: f"h{next(numbers)}")


def fail(books: Suspects, chunk: Chunk, server: str = S, now: float = 0.0) -> Verdict:
    """This chunk failed while alone, as a suspect whose turn it was or for the first time."""
    if chunk in books.waiting():
        assert books.try_next() is chunk, "it is another one's turn"
    return books.in_doubt([chunk], server, now)


def on_trial(books: Suspects, chunk: Chunk) -> None:
    """It fails until news is wanted."""
    for _ in range(FAILURES_FOR_TRIAL):
        assert not books.awaits_news
        assert fail(books, chunk) == Verdict()
    assert books.awaits_news


def give(books: Suspects, chunk: Chunk, *, is_probe: bool = False) -> Chunk:
    """Send it as the news that is wanted."""
    assert books.wanted_news() is not None
    books.give_news(chunk, is_probe=is_probe)
    assert books.wanted_news() is None, "it is on its way"
    return chunk


def strike(books: Suspects, news: Chunk) -> Verdict:
    """The news that is wanted is acked."""
    return books.acked(give(books, news), S)


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
    assert books.acked(chunk, S) == Verdict()
    assert len(books) == 0


def test_chunks_in_flight_together_are_not_to_blame(make_chunk: Any) -> None:
    """However often several are lost together, with acks in between."""
    books = suspects()
    chunks = [make_chunk(), make_chunk()]
    for _ in range(10):
        assert books.in_doubt(chunks, S, 0.0) == Verdict()
        assert [books.try_next(), books.try_next()] == chunks
        books.acked(make_chunk(), S)
        assert not books.awaits_news


def test_a_trial_begins_when_all_failed_often_enough(make_chunk: Any) -> None:
    """Since the last ack; then news is wanted, under the tag of the one that failed last, for its server."""
    books = suspects()
    a, b = make_chunk(tag="a"), make_chunk(tag="b")
    books.in_doubt([a, b], S, 0.0)
    for chunk in (a, b) * (FAILURES_FOR_TRIAL - 1) + (a,):
        fail(books, chunk)
        assert not books.awaits_news
    fail(books, b, "another")
    assert books.wanted_news() == News("another", "b", b.bytes, may_be_new=True, may_be_other=False)
    assert books.waiting() == [b, a], "and it will be the next one"


def test_an_ack_puts_off_the_trial(make_chunk: Any) -> None:
    """The server takes something again: each is tried as often once more."""
    books = suspects()
    a, b = make_chunk(), make_chunk()
    books.in_doubt([a, b], S, 0.0)
    for chunk in (a, b) * (FAILURES_FOR_TRIAL - 1) + (a,):
        fail(books, chunk)
    books.acked(make_chunk(), S)
    for chunk in (b, a) * (FAILURES_FOR_TRIAL - 1) + (b,):
        fail(books, chunk)
        assert not books.awaits_news
    fail(books, a)
    assert books.awaits_news


def test_a_server_that_takes_nothing_convicts_nothing(make_chunk: Any) -> None:
    """However often it is tried: every news is lost, too."""
    books = suspects()
    event, many = make_chunk(), make_chunk(100)
    books.in_doubt([event, many], S, 0.0)
    for _ in range(2000):
        if books.awaits_news:
            books.in_doubt([give(books, make_chunk(), is_probe=True)], S, 0.0)
        else:
            assert books.next is not None
            assert fail(books, books.next.chunk) == Verdict()
    assert set(books.waiting()) == {event, many}


def test_news_acked_after_each_failure_convicts(make_chunk: Any) -> None:
    """A single event is refused at its last strike, by that ack, and not by a failure."""
    books = suspects()
    poison = make_chunk()
    on_trial(books, poison)
    for _ in range(STRIKES_TO_REFUSE - 1):
        assert strike(books, make_chunk()) == Verdict()
        assert fail(books, poison) == Verdict()
    assert strike(books, make_chunk()) == Verdict(refused=poison)
    assert len(books) == 0


@pytest.mark.parametrize("flaw", ["another tag", "another server", "not the news", "smaller"])
def test_what_proves_nothing(make_chunk: Any, flaw: str) -> None:
    """Only an ack of what was sent after the failure, under that tag, as large, by the same server is a strike."""
    books = suspects()
    event = make_chunk(entries=[bytes(5000 if flaw == "smaller" else 1)])
    for _ in range(50):
        if not books.awaits_news:
            assert fail(books, event) == Verdict()
            continue
        news = make_chunk(entries=[bytes(4999 if flaw == "smaller" else 1)])
        news.tag = "other" if flaw == "another tag" else event.tag
        if flaw != "not the news":
            give(books, news)
        assert books.acked(news, "healthy" if flaw == "another server" else S) == Verdict()
    assert books.waiting() == [event]


def test_lost_news_ends_the_trial(make_chunk: Any) -> None:
    """All strikes are forgotten: the server may be full now and then."""
    books = suspects()
    event = make_chunk()
    on_trial(books, event)
    for _ in range(20):
        for _ in range(STRIKES_TO_REFUSE - 1):
            assert strike(books, make_chunk()) == Verdict()
            assert fail(books, event) == Verdict()
        probe = give(books, make_chunk(), is_probe=True)
        assert books.in_doubt([probe], S, 0.0) == Verdict()
        while not books.awaits_news:
            assert fail(books, event) == Verdict()
    assert books.waiting() == [event]


@pytest.mark.parametrize("is_acked", [True, False])
def test_news_that_comes_after_the_trial_proves_nothing(make_chunk: Any, ledger: Any, is_acked: bool) -> None:
    """Acked or lost: the accused was returned to the broker meanwhile."""
    books = suspects()
    event, other = make_chunk(), make_chunk(behind=type(ledger)())
    on_trial(books, event)
    news = give(books, other)
    ledger.closed = True
    assert books.shed_requeued(others=1) == [event]
    verdict = books.acked(news, S) if is_acked else books.in_doubt([news], S, 0.0)
    assert verdict == Verdict()
    assert not books.awaits_news
    assert books.waiting() == ([] if is_acked else [news])


def test_an_acked_suspect_ends_its_trial(make_chunk: Any) -> None:
    """The next one begins without strikes."""
    books = suspects()
    event = make_chunk()
    on_trial(books, event)
    strike(books, make_chunk())
    assert books.try_next() is event
    assert books.acked(event, S) == Verdict()
    assert (len(books), books.awaits_news) == (0, False)


def test_news_is_a_new_chunk_or_a_probe(make_chunk: Any) -> None:
    """A new one under the tag; then a probe, which is no suspect when it is lost; then any new one, and so on."""
    books = suspects()
    fail(books, make_chunk())
    kinds: list[tuple[bool, bool]] = []
    for _ in range(4):
        while not books.awaits_news:
            assert books.next is not None
            fail(books, books.next.chunk)
        news = books.wanted_news()
        assert news is not None
        kinds.append((news.may_be_new, news.may_be_other))
        books.in_doubt([give(books, make_chunk(), is_probe=len(kinds) > 1)], S, 0.0)
        assert len(books) == 2, "the new chunk, which was first, is in doubt itself"
    assert kinds == [(True, False), (False, False), (True, True), (False, False)]


def test_a_lost_probe_gives_every_suspect_more_tries(make_chunk: Any) -> None:
    """So the end of an outage is nearly always noticed by an event, and few probes are sent."""
    books = suspects()
    event = make_chunk()
    tries = []
    for _ in range(3):
        count = 0
        while not books.awaits_news:
            fail(books, event)
            count += 1
        tries.append(count)
        books.in_doubt([give(books, make_chunk(), is_probe=True)], S, 0.0)
    assert tries == [FAILURES_FOR_TRIAL, FAILURES_MORE, FAILURES_MORE]


def test_a_chunk_is_split_at_its_second_strike(make_chunk: Any) -> None:
    """In halves with new ids, each entry with its delivery, before all other suspects."""
    books = suspects()
    chunk, other = make_chunk(5, is_dead_letters=True), make_chunk()
    on_trial(books, chunk)
    books.in_doubt([other, make_chunk()], "another", 0.0)
    for _ in range(STRIKES_TO_SPLIT - 1):
        assert strike(books, make_chunk(5)) == Verdict()
        assert fail(books, chunk) == Verdict()
    assert strike(books, make_chunk(5)) == Verdict(split=chunk)
    first, second = books.waiting()[:2]
    assert (first.id, second.id) == ("h2", "h1")
    assert first.entries + second.entries == chunk.entries
    assert first.deliveries + second.deliveries == chunk.deliveries
    assert (len(first.entries), len(first.deliveries)) == (2, 2)
    assert first.is_dead_letters
    assert second.is_dead_letters
    assert {first.tag, second.tag} == {chunk.tag}


def test_the_other_half_bears_the_guilt(make_chunk: Any) -> None:
    """When one half is acked, the other one is split at its next failure; a single event is tried all the same."""
    books = suspects()
    chunk = make_chunk(4)
    on_trial(books, chunk)
    strike(books, make_chunk(4))
    fail(books, chunk)
    assert strike(books, make_chunk(4)) == Verdict(split=chunk)
    clean, guilty = books.waiting()
    assert books.try_next() is clean
    books.acked(clean, S)
    assert fail(books, guilty) == Verdict(split=guilty)
    clean, poison = books.waiting()
    assert books.try_next() is clean
    books.acked(clean, S)
    assert fail(books, poison) == Verdict()
    assert books.waiting() == [poison]


def test_a_trial_waits_a_while_for_its_server(make_chunk: Any) -> None:
    """Then it is over, and the suspect may be tried elsewhere."""
    books = suspects()
    event = make_chunk()
    on_trial(books, event)
    books.look_at_clock(SERVER_AWAY_S - 1)
    assert books.awaits_news
    books.look_at_clock(SERVER_AWAY_S)
    assert not books.awaits_news
    assert books.next is not None


def test_shedding_keeps_the_one_longest_in_doubt(make_chunk: Any, ledger: Any) -> None:
    """Of requeued chunks one stays to find out when a server acks again, unless something else does."""
    books = suspects()
    old, middle, new = make_chunk(), make_chunk(), make_chunk()
    for now, chunk in enumerate((old, middle, new)):
        fail(books, chunk, now=float(now))
    fail(books, old, now=9.0)
    assert books.waiting() == [middle, new, old]
    assert books.shed_requeued(others=0) == []
    ledger.closed = True
    assert books.shed_requeued(others=0) == [middle, new]
    assert books.waiting() == [old]
    assert books.shed_requeued(others=0) == []
    assert books.shed_requeued(others=1) == [old]


def test_shedding_spares_what_was_not_returned(make_chunk: Any, ledger: Any) -> None:
    """And then no other one has to stay besides."""
    books = suspects()
    a, b = make_chunk(), make_chunk(behind=type(ledger)())
    books.in_doubt([a, b], S, 0.0)
    ledger.closed = True
    assert books.shed_requeued(others=0) == [a]
    assert books.waiting() == [b]


def test_shedding_the_accused_ends_its_trial(make_chunk: Any, ledger: Any) -> None:
    """News is wanted no more."""
    books = suspects()
    event = make_chunk()
    on_trial(books, event)
    ledger.closed = True
    assert books.shed_requeued(others=1) == [event]
    assert not books.awaits_news
