"""The back-off is one bounded function of the attempt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.backoff import backoff_s, outage_cap_s

jitters = st.floats(min_value=0.0, max_value=1.0)


def test_doubles_from_the_first_wait_up_to_the_cap() -> None:
    """Without jitter the waits are first, 2 first, 4 first, … and then the cap."""
    waits = [backoff_s(attempt, 0.0, first_s=0.2, cap_s=1.0) for attempt in range(1, 6)]
    assert waits == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_an_endless_outage_does_not_overflow() -> None:
    """However many attempts were made, the wait is the cap."""
    assert backoff_s(10**9, 0.0, first_s=0.2, cap_s=30.0) == 30.0


@given(attempt=st.integers(min_value=1, max_value=10_000), jitter=jitters)
def test_jitter_takes_off_half_at_most(attempt: int, jitter: float) -> None:
    """A wait lies between half of the full wait and the full wait, whatever the jitter."""
    full = backoff_s(attempt, 0.0)
    assert full / 2 <= backoff_s(attempt, jitter) <= full <= 30.0


@given(attempt=st.integers(min_value=1, max_value=10_000), jitter=jitters)
def test_never_waits_less_after_one_more_failure(attempt: int, jitter: float) -> None:
    """With the same jitter a later attempt waits at least as long."""
    assert backoff_s(attempt, jitter) <= backoff_s(attempt + 1, jitter)


@given(away_s=st.floats(min_value=20.0, max_value=300.0), jitter=jitters)
def test_an_outage_lasts_a_tenth_longer_than_the_peer_was_away(away_s: float, jitter: float) -> None:
    """A broker that took 16 s to start was once found 16 s later: ten seconds on, waits had grown to 30 s."""
    attempt, now = 0, 0.0
    while now < away_s:
        attempt += 1
        now += backoff_s(attempt, jitter, cap_s=outage_cap_s(now))
    assert now - away_s <= away_s / 10
