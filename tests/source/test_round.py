from __future__ import annotations

from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.source.round import Round


def test_it_is_about_what_its_first_look_found() -> None:
    """And not about what a later one does not find any more."""
    made = Round.begin(0.0, 1.0, Counters())
    assert not made.has_all(0)
    made.looked(2)
    made.looked(0)
    assert not made.has_all(0)
    made.acked = 2
    assert made.has_all(0)
    assert not made.has_all(1)


def test_what_a_lost_channel_returned_counts_again() -> None:
    """Ten were acked, and the acks of four of them were lost with the connection: those wait again."""
    made = Round.begin(0.0, 1.0, Counters())
    made.looked(10)
    made.acked = 10
    made.looked(4)
    assert not made.has_all(0)
    made.acked = 14
    assert made.has_all(0)


def test_one_look_does_not_prove_that_a_queue_is_empty() -> None:
    """Its answer may overtake deliveries: it takes several, with nothing acked in between."""
    made = Round.begin(0.0, 1.0, Counters())
    made.looked(10)
    looks = []
    for acked, messages, unacked in (
        (9, 0, 0),
        (9, 0, 0),
        (10, 0, 0),
        (10, 0, 1),
        (10, 0, 0),
        (10, 0, 0),
        (10, 0, 0),
    ):
        made.acked = acked
        looks.append(made.is_empty(messages, unacked))
    assert looks == [False, False, False, False, False, False, True]
    assert not made.is_empty(1, 0)


def test_an_empty_queue_is_done_with_at_once() -> None:
    """There is nothing to wait for."""
    made = Round.begin(0.0, 1.0, Counters())
    made.looked(0)
    assert made.has_all(0)


def test_rounds_begin_at_an_even_pace() -> None:
    """The rest is what the round left of the interval; after a long round there is none."""
    made = Round.begin(100.0, 1.0, Counters())
    assert made.next_in_s(110.0, 60.0) == 50.0
    assert made.next_in_s(161.0, 60.0) == 0.0


def test_what_was_counted_before_is_kept() -> None:
    """Counters go on counting; the round has a copy of how they stood."""
    counters = Counters(received=5, delivered=4, newest_event_at=7)
    made = Round.begin(0.0, 1.0, counters)
    counters.received += 3
    counters.duplicates += 1
    counters.newest_event_at = 9
    assert counters.since(made.before) == Counters(received=3, duplicates=1, newest_event_at=9)


def test_a_round_that_was_over_goes_on_after_trouble() -> None:
    """What comes back with a lost channel is to be delivered in this round."""
    round_ = Round.begin(0.0, 0.0, Counters())
    round_.is_over = True
    round_.looked(1)
    assert not round_.is_over
    assert not round_.has_all(0)
