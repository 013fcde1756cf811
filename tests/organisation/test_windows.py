"""Windows leave nothing out, and equal entries are neither lost nor doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.organisation.windows import (
    AHEAD_S,
    BACK_S,
    DELAY_S,
    LONGEST_S,
    OVERLAP_S,
    Tally,
    Window,
    next_window,
)


@given(st.lists(st.integers(0, 3 * LONGEST_S), min_size=1, max_size=20))
def test_windows_leave_no_gap_and_reach_back(steps: list[int]) -> None:
    """Whenever they are asked for: each second up to the delay before now is in one, late entries in the next one."""
    start = delivered_to = 1_700_000_000
    now = float(start)
    for step in steps:
        now += step
        while (window := next_window(delivered_to, now)) is not None:
            assert window.since == delivered_to - OVERLAP_S
            assert delivered_to < window.until <= delivered_to + LONGEST_S
            delivered_to = window.until
        assert delivered_to >= now - DELAY_S - 1 or delivered_to == start


def test_a_window_asks_for_a_second_more_and_takes_what_is_its_own() -> None:
    """Whether the cloud includes the bounds does not matter; what has no time is taken."""
    window = Window(100, 200)
    assert window.asked == (99, 200)
    assert [window.has(second) for second in (99, 100, 199, 200, None)] == [False, True, True, False, True]


def test_a_window_can_be_halved_down_to_a_second() -> None:
    """Then it holds what it holds."""
    assert Window(100, 200).halves() == [Window(100, 150), Window(150, 200)]
    assert Window(100, 101).halves() == []


def taken(tally: Tally, *kinds: bytes) -> list[bytes]:
    """A page."""
    return [tally.take(kind, kind) for kind in kinds]


def test_equal_entries_are_numbered_over_all_pages() -> None:
    """Each has bytes of its own, however the pages cut them."""
    tally = Tally()
    assert not tally.moved(4)
    assert taken(tally, b"a", b"b", b"a") == [b"a", b"b", b"a "]
    assert not tally.moved(4)
    assert taken(tally, b"a") == [b"a  "]


def test_a_hundred_thousand_equal_entries_have_bytes_of_their_own_and_no_more_than_they_need() -> None:
    """Of a page that has one entry again and again, the numbers stay short; none is another one's."""
    tally = Tally()
    numbered = taken(tally, *[b"a"] * 100_000)
    assert len(set(numbered)) == 100_000
    assert max(map(len, numbered)) < 20
    assert {each.strip() for each in numbered} == {b"a"}


def test_a_list_that_changed_is_noticed_before_the_page_is_taken() -> None:
    """By the number of entries that the page claims."""
    tally = Tally()
    assert not tally.moved(4)
    assert tally.moved(5)


def test_without_a_number_of_entries_equal_ones_are_told_apart_within_a_page() -> None:
    """A page may begin with what the one before ended with: that is no other entry."""
    tally = Tally()
    assert not tally.moved(None)
    assert taken(tally, b"a", b"a") == [b"a", b"a "]
    assert not tally.moved(None)
    assert taken(tally, b"a") == [b"a"]


def test_fewer_entries_than_the_cloud_claims_are_too_few() -> None:
    """After the last page; where it claims nothing, nothing is missing."""
    tally = Tally()
    assert not tally.is_short
    tally.moved(2)
    assert tally.is_short
    tally.read = 2
    assert not tally.is_short


def test_a_cursor_ahead_of_the_clock_is_set_back_a_week() -> None:
    """The clock was wrong when it moved; up to an hour ahead it may be this one that is wrong."""
    now = 1_700_000_000
    window = next_window(now + AHEAD_S + 1, now)
    assert window is not None
    assert window.since == now - BACK_S - OVERLAP_S
    assert next_window(now + AHEAD_S, now) is None
