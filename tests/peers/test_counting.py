"""`tests.peers.counting`: what the loss table of `make peers` says is what happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.peers.counting import Tally, tally

FIRST_ID = 6_533_241_145_273_614_338
PUBLISHED = {number: FIRST_ID + number for number in range(5)}


def arrivals(*numbers: int) -> list[tuple[int, object]]:
    """Events as they were published."""
    return [(number, PUBLISHED[number]) for number in numbers]


def test_everything_once_is_no_loss() -> None:
    """In whatever order."""
    assert tally(PUBLISHED, arrivals(4, 2, 0, 1, 3), []) == Tally(lost=0, doubled=0, left=0, changed=0)


def test_what_is_nowhere_is_lost() -> None:
    """Neither arrived nor at the broker."""
    assert tally(PUBLISHED, arrivals(0, 1), [4]) == Tally(lost=2, doubled=0, left=1, changed=0)


def test_an_event_that_came_three_times_is_one_doubled_event() -> None:
    """What is counted are events, not arrivals."""
    assert tally(PUBLISHED, arrivals(0, 1, 2, 3, 4, 1, 1, 2), []) == Tally(lost=0, doubled=2, left=0, changed=0)


def test_what_arrived_and_is_at_the_broker_too_is_not_left() -> None:
    """It was delivered, and would come again."""
    assert tally(PUBLISHED, arrivals(0, 1, 2, 3), [3, 4]) == Tally(lost=0, doubled=0, left=1, changed=0)


@pytest.mark.parametrize("id_", [float(FIRST_ID), str(FIRST_ID), FIRST_ID + 62, None])
def test_an_id_that_is_not_the_same_is_changed(id_: object) -> None:
    """Rounded, made text or missing; a float counts even where it has the same value."""
    arrived = [(0, id_), (0, id_), *arrivals(1, 2, 3, 4)]
    assert tally(PUBLISHED, arrived, []) == Tally(lost=0, doubled=1, left=0, changed=1)


@pytest.mark.parametrize(("arrived", "at_broker"), [([(7, 1)], []), ([], [7])])
def test_an_event_that_was_never_published_is_a_mistake_of_the_rig(
    arrived: list[tuple[int, object]], at_broker: list[int]
) -> None:
    """Then no figure can be believed."""
    with pytest.raises(ValueError, match="never published"):
        tally(PUBLISHED, arrived, at_broker)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=50))
def test_every_event_has_one_place(fates: list[tuple[int, bool]]) -> None:
    """Arrived, left and lost add up to what was published, and doubled are some of the arrived."""
    published = dict(enumerate(range(len(fates))))
    arrived = [(number, number) for number, (times, _) in enumerate(fates) for _ in range(times)]
    at_broker = [number for number, (_, is_there) in enumerate(fates) if is_there]
    found = tally(published, arrived, at_broker)
    assert found.lost + found.left + len(dict(arrived)) == len(fates)
    assert found.lost == sum(times == 0 and not is_there for times, is_there in fates)
    assert found.doubled == sum(times > 1 for times, _ in fates)
