from __future__ import annotations

import pytest

from fluent_plugin_amp.completeness.record import HOUR_S
from fluent_plugin_amp.completeness.schedule import Due, Looked, due, first_hour, is_over
from tests.completeness.chains import BEGIN

END = BEGIN + HOUR_S
"""Of the first hour."""
DAY_S = 24 * HOUR_S


def ages(hours: dict[int, Looked], age_s: float, begins: int = BEGIN) -> list[Due]:
    """What is due when the first hour is so old."""
    return [each for each in due(hours, begins, END + age_s) if each.hour == BEGIN]


def test_an_hour_is_due_when_it_is_two_hours_old() -> None:
    """And not a second before; the hours before the chain never are."""
    assert ages({}, 2 * HOUR_S - 1) == []
    assert ages({}, 2 * HOUR_S) == [Due(BEGIN, END + 2 * HOUR_S)]
    assert ages({}, 2 * HOUR_S, begins=BEGIN + HOUR_S) == []
    assert list(due({}, BEGIN, BEGIN - 5 * DAY_S)) == []


def test_all_hours_that_are_due_come_oldest_first() -> None:
    """After a day without the API."""
    hours = [each.hour for each in due({BEGIN + HOUR_S: Looked(1, 7200, True)}, BEGIN, END + 5 * HOUR_S)]
    assert hours == [BEGIN, *(BEGIN + number * HOUR_S for number in (2, 3))]


@pytest.mark.parametrize(
    ("looked", "age_s", "since"),
    [
        (Looked(1, 2 * HOUR_S), 6 * HOUR_S - 1, None),
        (Looked(1, 2 * HOUR_S), 6 * HOUR_S, 6 * HOUR_S),
        (Looked(2, 6 * HOUR_S), 6 * HOUR_S, None),
        (Looked(2, 6 * HOUR_S + 5), DAY_S, DAY_S),
        (Looked(2, 2 * HOUR_S), 3 * DAY_S, 6 * HOUR_S),
        (Looked(2, 3 * DAY_S), 8 * DAY_S, 8 * DAY_S),
        (Looked(2, 8 * DAY_S), 9 * DAY_S, None),
        (Looked(1, 2 * HOUR_S, is_clean=True), 6 * HOUR_S, None),
        (Looked(1, 2 * HOUR_S, is_clean=True), DAY_S, DAY_S),
        (Looked(1, DAY_S, is_clean=True), 8 * DAY_S, None),
        (Looked(1, 2 * HOUR_S), 10 * DAY_S, None),
    ],
)
def test_an_hour_is_looked_at_again(looked: Looked, age_s: int, since: int | None) -> None:
    """Not clean: after 6 hours, 24 hours, 8 days, one look for all that were missed; clean: after 24 hours."""
    assert ages({BEGIN: looked}, age_s) == ([] if since is None else [Due(BEGIN, END + since)])


def test_an_hour_that_nobody_looked_at_in_time_is_told_as_lost() -> None:
    """After ten days the cloud is not asked any more."""
    assert ages({}, 10 * DAY_S) == [Due(BEGIN, END + 2 * HOUR_S, is_lost=True)]
    assert not is_over(BEGIN, END + 10 * DAY_S - 1)
    assert is_over(BEGIN, END + 10 * DAY_S)


def test_a_record_says_when_it_is_late() -> None:
    """From an hour on; a revision is never late."""
    first = Due(BEGIN, END)
    assert first.delayed_by(END + HOUR_S, 1) is None
    assert first.delayed_by(END + HOUR_S + 1.5, 1) == HOUR_S + 1
    assert first.delayed_by(END + DAY_S, 2) is None


def test_a_new_chain_begins_a_day_before() -> None:
    """With a whole hour."""
    assert first_hour(BEGIN + 10) == BEGIN - DAY_S


@pytest.mark.parametrize(
    ("looked", "word", "missing"),
    [
        (Looked(1, 0, True, (5, 0, 0, None)), "clean", 0),
        (Looked(2, 0, True, (5, 0, 0, None)), "clean", 0),
        (Looked(2, 0, True, (5, 0, 0, None), was_missing=True), "repaired", 0),
        (Looked(1, 0, False, (5, 3, 0, 3)), "repaired", 0),
        (Looked(1, 0, False, (5, 3, 2, 1)), "missing", 2),
        (Looked(1, 0, False, (5, 0, 2, None)), "not known", 0),
        (Looked(1, 0, False, (None, None, None, None)), "no answer", 0),
        (Looked(), "no answer", 0),
    ],
)
def test_what_an_hour_is_like(looked: Looked, word: str, missing: int) -> None:
    """In one word: what was missing once and was delivered later was repaired."""
    assert (looked.word, looked.missing) == (word, missing)
