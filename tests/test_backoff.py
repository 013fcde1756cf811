"""The back-off is one bounded function of the attempt; an outage counts the attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.backoff import Outage, Pace, backoff_s

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


@pytest.mark.parametrize("pace", [None, Pace(1.0, 8.0)])
def test_jitter_takes_off_up_to_half_of_an_outages_waits(pace: Pace | None) -> None:
    """So that many streams do not come back in step."""
    whole, half = (Outage(lambda: 0.0, lambda jitter=jitter: jitter) for jitter in (0.0, 1.0))  # type: ignore[misc]
    for _ in range(10):
        assert half.failed(pace) == whole.failed(pace) / 2


class Peer:
    """One that is away, and an outage that tries it again after each wait, without jitter."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.outage = Outage(lambda: self.now, lambda: 0.0)

    def fail_for(self, seconds: float, pace: Pace | None = None) -> list[float]:
        """The waits."""
        end, waits = self.now + seconds, list[float]()
        while self.now < end:
            waits.append(self.outage.failed(pace))
            self.now += waits[-1]
        return waits


def test_a_peer_is_tried_often_at_first_and_seldom_later() -> None:
    """A restart is over before anybody notices; an outage of an hour costs few tries."""
    waits = Peer().fail_for(3600.0)
    assert waits[:4] == [0.2, 0.4, 0.8, 1.0]
    assert sum(wait for wait in waits if wait <= 1.0) >= 10.0
    assert waits == sorted(waits)
    assert waits[-1] == 30.0
    assert len(waits) < 160


def test_an_outage_knows_how_often_it_was_tried_and_since_when() -> None:
    """Both are 0 without one, and before the first failure."""
    peer = Peer()
    assert (peer.outage.attempts, peer.outage.lasted_s) == (0, 0.0)
    waits = peer.fail_for(60.0)
    assert peer.outage.attempts == len(waits)
    assert peer.outage.lasted_s == pytest.approx(sum(waits))
    peer.outage.over()
    assert (peer.outage.attempts, peer.outage.lasted_s) == (0, 0.0)


def test_the_next_outage_begins_anew() -> None:
    """With the first wait, and from then on, however long the one before lasted."""
    peer = Peer()
    assert peer.fail_for(400.0)[-1] == 30.0
    peer.outage.over()
    peer.now += 1.0
    assert peer.fail_for(1.0)[0] == 0.2
    assert peer.outage.lasted_s < 2.0


def test_a_pace_is_kept_from_the_beginning_on() -> None:
    """What time does not mend is tried rarely, and ever more rarely up to a limit."""
    assert Peer().fail_for(40.0, Pace(2.0, 12.0)) == [2.0, 4.0, 8.0, 12.0, 12.0, 12.0]


@given(away_s=st.floats(min_value=20.0, max_value=300.0), jitter=jitters)
def test_an_outage_lasts_a_tenth_longer_than_the_peer_was_away(away_s: float, jitter: float) -> None:
    """A broker that took 16 s to start was once found 16 s later: ten seconds on, waits had grown to 30 s."""
    now = 0.0
    outage = Outage(lambda: now, lambda: jitter)
    while now < away_s:
        now += outage.failed()
    assert now - away_s <= away_s / 10
