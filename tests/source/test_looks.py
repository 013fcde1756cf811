"""What the looks at a queue tell together; what each of them means is tested with its part."""

from __future__ import annotations

from fluent_plugin_amp.source.looks import Looks
from fluent_plugin_amp.source.starvation import LOOKS


def looks_at(messages: int, consumers: int, *, consumes: bool) -> Looks:
    """One look at a queue."""
    looks = Looks()
    looks.use("queue")
    looks.looked(messages, consumers, 100.0, received=0, consumes=consumes)
    return looks


def test_a_queue_is_seen_empty_only_where_nobody_else_may_hold_something() -> None:
    """A consumer of this stream's own holds what it knows of; any other one may have unacked messages."""
    assert looks_at(0, 0, consumes=False).saw_empty
    assert looks_at(0, 1, consumes=True).saw_empty
    assert not looks_at(0, 1, consumes=False).saw_empty
    assert not looks_at(0, 2, consumes=True).saw_empty
    assert not looks_at(1, 0, consumes=False).saw_empty


def test_after_an_ack_the_queue_may_hold_something_again() -> None:
    """Where one event was, others may follow."""
    looks = looks_at(0, 1, consumes=True)
    looks.acked(1)
    assert not looks.saw_empty


def test_a_look_is_one_for_the_backlog() -> None:
    """What was received since waits no more."""
    assert looks_at(5, 0, consumes=False).backlog.messages(received=2) == 3


def test_what_vanished_is_told_when_the_next_channel_opens() -> None:
    """Of what was there at a look, less what was acked since; of another queue nothing is expected."""
    for queue, missing in (("queue", 2), ("another", 0)):
        looks = looks_at(5, 1, consumes=True)
        looks.is_forgotten(5, 1, unacked=0, consumes=True, progress_at=0.0)
        looks.acked(2)
        looks.left(0, consumed=True)
        looks.use(queue)
        assert looks.opened(1, 0) == missing


def test_each_channel_starves_anew() -> None:
    """What an earlier consumer did not get says nothing of this one."""

    def is_forgotten() -> bool:
        return looks.is_forgotten(5, 1, unacked=0, consumes=True, progress_at=1.0)

    looks = looks_at(5, 1, consumes=True)
    before = [is_forgotten() for _ in range(LOOKS)]
    looks.opened(5, 0)
    assert not is_forgotten()
    assert [is_forgotten() for _ in range(LOOKS)] == [*before[1:], True]


def test_other_consumers_are_known_while_there_are_looks() -> None:
    """A lost connection leaves nothing known."""
    looks = looks_at(0, 3, consumes=True)
    assert looks.others == 2
    looks.lost()
    assert (looks.others, looks.backlog.messages()) == (0, None)
