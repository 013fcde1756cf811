"""What went from a queue without an ack is noticed; what was acked, or may be with somebody else, is not."""

from __future__ import annotations

from fluent_plugin_amp.source.vanished import Vanished


def test_nothing_is_expected_before_anything_was_seen() -> None:
    """The first look finds what it finds."""
    assert Vanished().opened(messages=0, consumers=0) == 0


def test_what_was_unacked_must_be_there_again() -> None:
    """With one delivery, all that is known of is that one."""
    vanished = Vanished()
    vanished.opened(messages=0, consumers=0)
    vanished.left(1, consumed=True)
    assert vanished.opened(messages=0, consumers=0) == 1
    vanished.left(0, consumed=True)
    assert vanished.opened(messages=0, consumers=0) == 0


def test_what_waits_behind_counts_too() -> None:
    """Of what was in the queue and with us, all that was not acked is expected."""
    vanished = Vanished()
    vanished.looked(messages=90, unacked=10, others=0)
    vanished.acked(30)
    vanished.left(10, consumed=True)
    assert vanished.opened(messages=69, consumers=0) == 1


def test_what_came_meanwhile_hides_what_is_missing() -> None:
    """More than expected is no surprise."""
    vanished = Vanished()
    vanished.looked(messages=0, unacked=2, others=0)
    vanished.acked(5)
    vanished.left(0, consumed=True)
    assert vanished.opened(messages=100, consumers=0) == 0


def test_others_may_have_taken_it() -> None:
    """Nothing is told while there is another consumer, or where there was one."""
    vanished = Vanished()
    vanished.looked(messages=90, unacked=10, others=1)
    vanished.left(0, consumed=True)
    assert vanished.opened(messages=0, consumers=0) == 0
    vanished.left(10, consumed=True)
    assert vanished.opened(messages=0, consumers=1) == 0


def test_what_a_cancelled_consumer_holds_may_not_be_back_yet() -> None:
    """The broker may not know that its channel is gone, and shows no consumer."""
    vanished = Vanished()
    vanished.looked(messages=5, unacked=10, others=0)
    vanished.left(10, consumed=False)
    assert vanished.opened(messages=0, consumers=0) == 0
