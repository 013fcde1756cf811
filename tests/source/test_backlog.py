from __future__ import annotations

import pytest

from fluent_plugin_amp.source.backlog import TREND_LEAST_S, TREND_S, Backlog

NOW = 1_700_000_000.0
HOUR_S = 3600.0


def test_nothing_is_known_before_the_first_look() -> None:
    """Neither how many wait, nor since when, nor where it goes."""
    backlog = Backlog()
    assert backlog.messages() is None
    assert backlog.oldest_age_s(0, NOW) is None
    assert backlog.growth_per_s is None


def test_an_empty_queue_has_no_age() -> None:
    """However old the newest event is."""
    backlog = Backlog()
    backlog.looked(0, NOW)
    assert backlog.oldest_age_s(NOW - HOUR_S, NOW) == 0.0


def test_the_age_is_that_of_the_newest_event_received() -> None:
    """What still waits came after it."""
    backlog = Backlog()
    backlog.looked(10, NOW)
    assert backlog.oldest_age_s(NOW - HOUR_S, NOW) == HOUR_S


def test_what_waits_came_after_the_queue_was_empty() -> None:
    """A stream without events for a month, and then one that waits a minute: that is a minute, not a month."""
    backlog = Backlog()
    backlog.looked(0, NOW)
    backlog.looked(1, NOW + 60)
    assert backlog.oldest_age_s(NOW - 30 * 24 * HOUR_S, NOW + 60) == 60


def test_of_a_queue_that_gave_nothing_yet_only_the_looking_is_known() -> None:
    """It waits for at least as long as this process has been looking at it."""
    backlog = Backlog()
    backlog.looked(5, NOW)
    assert backlog.oldest_age_s(0, NOW + 7) == 7


def test_an_age_is_never_negative() -> None:
    """The event came while the clock was ahead."""
    backlog = Backlog()
    backlog.looked(5, NOW)
    assert backlog.oldest_age_s(NOW + 9, NOW) == 0.0


@pytest.mark.parametrize(("messages", "growth_per_s"), [(160, 2.0), (100, 0.0), (40, -2.0)])
def test_the_trend(messages: int, growth_per_s: float) -> None:
    """Messages a second between the first look and the last one."""
    backlog = Backlog()
    backlog.looked(100, NOW)
    backlog.looked(messages, NOW + 30)
    assert backlog.growth_per_s == growth_per_s


def test_the_trend_forgets() -> None:
    """Only the last minute counts."""
    backlog = Backlog()
    backlog.looked(1_000_000, NOW)
    backlog.looked(10, NOW + TREND_S + 1)
    backlog.looked(20, NOW + TREND_S + 11)
    assert backlog.growth_per_s == 1.0


def test_two_looks_in_a_row_are_no_trend() -> None:
    """A burst between them would be taken for a flood."""
    backlog = Backlog()
    backlog.looked(0, NOW)
    backlog.looked(100, NOW + TREND_LEAST_S / 2)
    assert backlog.growth_per_s is None


def test_without_a_connection_nothing_is_known() -> None:
    """But when the queue was seen empty, that still holds for what is found afterwards."""
    backlog = Backlog()
    backlog.looked(0, NOW)
    backlog.lost()
    assert (backlog.messages(), backlog.growth_per_s, backlog.oldest_age_s(0, NOW)) == (None, None, None)
    backlog.looked(3, NOW + 9)
    assert backlog.oldest_age_s(NOW - HOUR_S, NOW + 9) == 9


def test_what_was_received_since_the_look_waits_no_more() -> None:
    """The depth of a while ago is not the depth of now; when all of it has come, nothing is old."""
    backlog = Backlog()
    backlog.looked(100, NOW, received=1000)
    assert backlog.messages(received=1040) == 60
    assert backlog.oldest_age_s(NOW - HOUR_S, NOW + 60, received=1040) == HOUR_S + 60
    assert backlog.messages(received=1100) == 0
    assert backlog.oldest_age_s(NOW - HOUR_S, NOW + 60, received=1100) == 0.0
    assert backlog.messages(received=1200) == 0, "others came meanwhile, and are gone as well"
    backlog.looked(7, NOW + 90, received=1200)
    assert backlog.messages(received=1200) == 7


def test_where_the_queue_went_before_the_turn_is_forgotten() -> None:
    """It grew while nothing was taken from it: that is no growth any more."""
    backlog = Backlog()
    backlog.looked(0, NOW)
    backlog.looked(3000, NOW + 50)
    backlog.turned()
    assert backlog.growth_per_s is None
    backlog.looked(3000, NOW + 51)
    backlog.looked(2000, NOW + 56)
    assert backlog.growth_per_s == -200
