"""The back-off is one bounded function of the attempt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.backoff import backoff_s

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
