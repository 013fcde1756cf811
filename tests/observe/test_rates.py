from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.observe.rates import MINUTE_S, MINUTES, RATE_OVER_S, History


def test_minutes_are_counted() -> None:
    """Each whole minute, with what came in it."""
    history = History(100, 0.0)
    for second, total in ((20, 103), (40, 104), (60, 110), (100, 111), (125, 120)):
        history.sample(total, float(second))
    assert list(history.minutes) == [10, 10]


def test_a_minute_without_a_sample_is_empty() -> None:
    """What was counted meanwhile is found in the first minute that ended."""
    history = History(0, 0.0)
    history.sample(60, 3 * MINUTE_S)
    assert list(history.minutes) == [60, 0, 0]


def test_an_hour_is_kept() -> None:
    """Older minutes are forgotten."""
    history = History(0, 0.0)
    for minute in range(1, MINUTES + 10):
        history.sample(minute, minute * MINUTE_S)
    assert list(history.minutes) == [1] * MINUTES


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 1000)), max_size=15))
def test_nothing_is_counted_twice_or_lost(steps: list[tuple[int, int]]) -> None:
    """At the end of a minute, the minutes together are the total; there is one for each that is over."""
    history, now, total = History(7, 0.0), 0, 7
    for step_s, more in steps:
        now, total = now + step_s, total + more
        history.sample(total, float(now))
        assert len(history.minutes) == now // MINUTE_S
        assert sum(history.minutes) <= total - 7
    history.sample(total, (now // MINUTE_S + 1) * MINUTE_S)
    assert sum(history.minutes) == total - 7


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    """A burst an hour ago is not a rate; a pause shows soon."""
    history = History(0, 0.0)
    for second in range(0, 60, 2):
        history.sample(1000, float(second + 2))
    assert history.rate == 0.0
    for second in range(60, 100, 2):
        history.sample(1000 + 5 * (second - 58), float(second + 2))
    assert history.rate == pytest.approx(5.0)


def test_the_rate_of_the_first_seconds() -> None:
    """Nothing yet, then what there is."""
    history = History(50, 10.0)
    assert history.rate == 0.0
    history.sample(60, 12.0)
    assert history.rate == 5.0


def test_samples_are_bounded() -> None:
    """However often it is sampled, only those of the last while are kept."""
    history = History(0, 0.0)
    for tick in range(10_000):
        history.sample(tick, tick * 0.5)
    assert len(history._recent) <= RATE_OVER_S / 0.5 + 3
