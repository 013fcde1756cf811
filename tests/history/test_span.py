"""Times as people write them, and what an interrupted run has left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.history.span import Bookmark, Span, legs, parse_time

NOW = 1_700_000_000.5


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("2h", 1_700_000_000 - 7200),
        ("1.5d", 1_700_000_000 - 129_600),
        ("0s", 1_700_000_000),
        ("2023-11-14", 1_699_920_000),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        (" 2023-11-14 23:13:20+01:00 ", 1_700_000_000),
        ("now", 1_700_000_000),
        ("1w", 1_700_000_000 - 7 * 86_400),
        ("0.5w", 1_700_000_000 - 302_400),
        ("7d ago", 1_700_000_000 - 7 * 86_400),
        ("2h AGO", 1_700_000_000 - 7200),
        ("today", 1_699_920_000),
        ("Yesterday", 1_699_920_000 - 86_400),
        ("1000w", 1_700_000_000 - 7000 * 86_400),
        ("999999999999d", 0),
        ("9" * 400 + "d", 0),
        ("0001-01-01", 0),
    ],
)
def test_times_are_read(text: str, second: int) -> None:
    """So long ago, ISO 8601 in UTC unless it says otherwise, or a word; nothing is before the epoch."""
    assert parse_time(text, NOW) == second


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "7", "1700000000", "-2h", "2023-13-01", "w", "7 ago", "ago", "9999-12-31T23:59:59-23:59x"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A bare number could be anything."""
    with pytest.raises(ValueError, match="is not a time; give one such as 2026-11-20"):
        parse_time(text, NOW)


def test_a_span_is_written_in_utc() -> None:
    """With both ends."""
    assert str(Span(1_700_000_000, 1_700_000_060)) == "2023-11-14 22:13:20Z to 2023-11-14 22:14:20Z"


interruptions = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), max_size=5)


@given(st.integers(1, 40), interruptions, st.booleans())
def test_in_the_end_every_second_was_done_once(
    length: int, interruptions: list[tuple[int, int]], grows: bool
) -> None:
    """However often it is interrupted, and however much later it goes on: no second is left out or done twice."""
    since, until = 100, 100 + length
    mark: Bookmark | None = None
    done: list[int] = []
    for later, work in [*interruptions, (7, 10**6)]:
        if grows:
            until += later
            since += later  # `--since 7d`, said later
        for leg in legs(Span(since, until), mark):
            assert leg.left.since <= leg.left.until
            steps = min(work, leg.floor - leg.down_to)
            work -= steps
            done += range(leg.floor - steps, leg.floor)
            mark = Bookmark(leg.since, leg.until, leg.down_to, leg.floor - steps, leg.offset)
            if work == 0:
                break
    assert len(done) == len(set(done))
    assert set(range(since, until)) <= set(done)
