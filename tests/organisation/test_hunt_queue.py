"""Hashes wait for their hunt, and are hunted once in a while; what is kept says the same after a crash."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.organisation.hunt_queue import HuntQueue, Noted

NOW = 1_700_000_000
DAY_S = 86_400.0
A, B, C = "a" * 64, "b" * 64, "c" * 64
EVENT = {"event": {"id": 1}}


def waiting(queue: HuntQueue) -> list[str]:
    """The hashes that wait, in their order."""
    return [noted.sha256 for noted in queue.due(float("inf"))]


def test_a_hash_is_hunted_once_in_every() -> None:
    """Not while it waits, nor within a day of its hunt; then again."""
    queue = HuntQueue(DAY_S)
    assert queue.note(A, EVENT, NOW)
    assert queue.note(A, EVENT, NOW + 1) == {}
    assert queue.due(NOW - 1) == []
    assert queue.due(NOW) == [Noted(A, NOW, EVENT)]
    queue.done(A)
    assert (queue.waiting, queue.note(A, EVENT, NOW + DAY_S - 1)) == (0, {})
    assert queue.note(A, EVENT, NOW + DAY_S)
    queue.done(A)
    assert queue.note(A, EVENT, NOW), "the clock was set back by a day"


def test_what_waits_is_bounded_and_what_is_left_out_is_counted() -> None:
    """Its next event asks again."""
    queue = HuntQueue(DAY_S, max_waiting=1)
    queue.note(A, EVENT, NOW)
    assert queue.note(B, EVENT, NOW) == {}
    assert queue.left_out == 1
    queue.done(A)
    assert queue.note(B, EVENT, NOW)


def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten, in the file, too."""
    queue = HuntQueue(DAY_S, max_remembered=1)
    for sha256 in (A, B):
        queue.note(sha256, EVENT, NOW)
    queue.done(A)
    assert queue.done(B)[A] is None
    assert queue.note(A, EVENT, NOW)


def test_one_that_fails_lets_others_go_first() -> None:
    """It stays."""
    queue = HuntQueue(DAY_S)
    for sha256 in (A, B):
        queue.note(sha256, EVENT, NOW)
    queue.put_off(A)
    assert waiting(queue) == [B, A]


def test_old_ones_are_forgotten() -> None:
    """But not the row of one that waits again."""
    queue = HuntQueue(DAY_S)
    for sha256 in (A, B):
        queue.note(sha256, EVENT, NOW)
        queue.done(sha256)
    assert queue.forget_old(NOW + 1) == {}
    queue.note(A, EVENT, NOW + DAY_S)
    assert queue.forget_old(NOW + DAY_S) == {B: None}
    assert waiting(queue) == [A]


def test_a_new_process_goes_on() -> None:
    """What waited waits, what was hunted is known."""
    first = HuntQueue(DAY_S)
    rows = first.note(B, EVENT, NOW) | first.note(A, EVENT, NOW - 9) | first.note(C, EVENT, NOW)
    rows |= first.done(C)
    second = HuntQueue(DAY_S)
    assert second.restore({name: data for name, data in rows.items() if data}) == []
    assert waiting(second) == [A, B]
    assert second.note(C, EVENT, NOW + 1) == {}


@pytest.mark.parametrize(
    ("name", "data"), [(A, b"?"), (A, b"[-1,null]"), (A, b"[1e99,null]"), ("short", b"[1,null]"), (A, b"[" * 9999)]
)
def test_garbled_rows_are_told(name: str, data: bytes) -> None:
    """And nothing else is lost."""
    queue = HuntQueue(DAY_S)
    (row,) = queue.note(B, EVENT, NOW).values()
    assert row is not None
    restored = HuntQueue(DAY_S)
    assert restored.restore({name: data, B: row}) == [name]
    assert waiting(restored) == [B]
