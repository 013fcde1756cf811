"""The share of a rate limit: never more than it, never the last fifth, and again after the reset."""

from __future__ import annotations

from fluent_plugin_amp.cisco.answers import RateLimit
from fluent_plugin_amp.cisco.budget import ASSUMED_WINDOW_S, Budget


def spend(budget: Budget, now: float, remaining: int, reset_s: float, limit: int = 100) -> None:
    """One request and its answer."""
    budget.spend(now)
    budget.told(RateLimit(limit, remaining, reset_s), now)


def test_a_share_of_the_window_may_be_used() -> None:
    """After so many requests the next one waits for the reset; then all begins anew."""
    budget = Budget(0.5)
    for number in range(50):
        assert budget.pause_s(float(number)) == 0.0
        spend(budget, float(number), 99 - number, 600.0 - number)
    assert budget.pause_s(50.0) == 550.0
    assert budget.pause_s(600.0) == 0.0
    spend(budget, 600.0, 99, 600.0)
    assert (budget.used, budget.pause_s(601.0)) == (1, 0.0)


def test_the_last_fifth_is_left_to_people() -> None:
    """Whoever used the rest: a console, a script, another process."""
    budget = Budget(0.8)
    spend(budget, 0.0, 21, 600.0)
    assert budget.pause_s(1.0) == 0.0
    spend(budget, 1.0, 20, 599.0)
    assert budget.pause_s(2.0) == 598.0


def test_a_new_window_is_known_by_its_later_reset() -> None:
    """The reset is told in whole seconds, so a second more is no new window."""
    budget = Budget(0.5)
    for number in range(3):
        spend(budget, float(number), 90, 601.0 - number + number % 2)
    assert budget.used == 3
    spend(budget, 4.0, 99, 1200.0)
    assert budget.used == 1


def test_a_cloud_that_tells_nothing_is_taken_for_cisco() -> None:
    """3000 requests an hour."""
    budget = Budget(0.5)
    for _ in range(1500):
        assert budget.pause_s(10.0) == 0.0
        budget.spend(10.0)
        budget.told(None, 10.0)
    assert budget.pause_s(10.0) == ASSUMED_WINDOW_S
    budget.told(RateLimit(None, None, None), 10.0)
    assert budget.pause_s(11.0) == ASSUMED_WINDOW_S - 1.0


def test_what_is_left_is_what_the_cloud_told() -> None:
    """Not known before the first answer."""
    budget = Budget(0.5)
    assert budget.left is None
    budget.told(RateLimit(3000, 2900, 60.0), 10.0)
    assert budget.left == 2900
