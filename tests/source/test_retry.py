from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import (
    BrokerCredentialsRefused,
    BrokerUnreachable,
    BrokerViolation,
    EventTooLarge,
    InternalFault,
    PluginError,
    TooManyFiles,
)
from fluent_plugin_amp.source.retry import (
    FAULT_RETRY_CAP_S,
    FAULT_RETRY_FIRST_S,
    LONG_RETRY_CAP_S,
    QUICK_RETRY_CAP_S,
    REFUSED_RETRY_CAP_S,
    REFUSED_RETRY_FIRST_S,
    STEADY_AFTER_S,
    Retry,
)

AWAY = BrokerUnreachable("x")
REFUSED = BrokerCredentialsRefused("x")


def delays(error: PluginError, seconds: float, jitter: float = 0.0) -> list[float]:
    """Those of an outage of so many seconds, in which every try fails at once."""
    retry, now, found = Retry(), 100.0, list[float]()
    while now < 100.0 + seconds:
        found.append(retry.delay_s(error, now, progress_at=99.0, connected_at=None, jitter=jitter))
        now += found[-1]
    return found


def test_quick_at_first_then_slow() -> None:
    """A restart of a broker is over before anybody notices; an outage of an hour costs few tries."""
    found = delays(AWAY, 3600)
    assert max(found[:12]) == QUICK_RETRY_CAP_S
    assert found[-1] == LONG_RETRY_CAP_S
    assert all(later >= earlier for earlier, later in itertools.pairwise(found))
    assert len(found) < 160


@pytest.mark.parametrize("error", [REFUSED, TooManyFiles("x")])
def test_a_refusal_is_asked_about_rarely(error: PluginError) -> None:
    """From the beginning on: time does not mend it, nor does it bring a file descriptor."""
    found = delays(error, 3600)
    assert found[0] == REFUSED_RETRY_FIRST_S
    assert found[-1] == REFUSED_RETRY_CAP_S
    assert all(later >= earlier for earlier, later in itertools.pairwise(found))


@pytest.mark.parametrize("error", [EventTooLarge("x"), BrokerViolation("x")])
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_what_comes_again_just_so_is_asked_for_at_most_once_a_minute(error: PluginError, jitter: float) -> None:
    """Ever more rarely: the 20 returns after which a quorum queue deletes a message take eight hours."""
    found = delays(error, 24 * 3600, jitter)
    assert found[0] >= 60.0
    assert all(later >= earlier for earlier, later in itertools.pairwise(found))
    assert sum(found[:20]) > 8 * 3600


@given(st.floats(0, 1))
def test_jitter_takes_off_up_to_half(jitter: float) -> None:
    """So that many streams do not come back in step."""
    assert delays(AWAY, 0.001, jitter)[0] == pytest.approx(delays(AWAY, 0.001)[0] * (1 - jitter / 2))


@pytest.mark.parametrize(
    ("progress_at", "connected_at", "is_anew"),
    [
        (99.0, None, False),
        (99.0, 200.0, False),
        (150.0, None, True),
        (99.0, 200.0 - STEADY_AFTER_S - 1, True),
    ],
    ids=["nothing went well", "a short connection", "something was acked", "a long connection"],
)
def test_when_the_back_off_begins_anew(progress_at: float, connected_at: float | None, is_anew: bool) -> None:
    """When things went well in between: something was acked, or a connection lasted."""
    retry = Retry()
    first = retry.delay_s(AWAY, 100.0, progress_at=99.0, connected_at=None, jitter=0.0)
    retry.delay_s(AWAY, 101.0, progress_at=99.0, connected_at=None, jitter=0.0)
    later = retry.delay_s(AWAY, 200.0, progress_at=progress_at, connected_at=connected_at, jitter=0.0)
    assert (later == first) is is_anew


def test_a_fault_of_our_own_is_tried_rarely() -> None:
    """Each try may requeue messages, and a quorum queue deletes what was requeued too often: 20 take over an hour."""
    found = delays(InternalFault("x"), 7200)
    assert found[0] == FAULT_RETRY_FIRST_S
    assert max(found) == FAULT_RETRY_CAP_S
    assert sum(found[:20]) > 3600
