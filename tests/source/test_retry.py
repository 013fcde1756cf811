from __future__ import annotations

import pytest

from fluent_plugin_amp.backoff import Outage
from fluent_plugin_amp.errors import (
    BrokerCredentialsRefused,
    BrokerUnreachable,
    BrokerViolation,
    EventTooLarge,
    InternalFault,
    PluginError,
    TooManyFiles,
)
from fluent_plugin_amp.source.retry import pace_of


def waits(error: PluginError, seconds: float, jitter: float = 0.0) -> list[float]:
    """Those of an outage of so many seconds, in which every try fails at once."""
    now, found = 0.0, list[float]()
    outage = Outage(lambda: now, lambda: jitter)
    while now < seconds:
        found.append(outage.failed(pace_of(error)))
        now += found[-1]
    assert found == sorted(found)
    return found


def test_time_mends_most_troubles() -> None:
    """They have no pace of their own: quick at first, then slow."""
    assert pace_of(BrokerUnreachable("x")) is None


@pytest.mark.parametrize("error", [BrokerCredentialsRefused("x"), TooManyFiles("x")])
def test_a_refusal_is_asked_about_rarely(error: PluginError) -> None:
    """From the beginning on: time does not mend it, and frees no file descriptor."""
    found = waits(error, 3600)
    assert (found[0], found[-1]) == (1.0, 300.0)


@pytest.mark.parametrize("error", [EventTooLarge("x"), BrokerViolation("x")])
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_what_comes_again_just_so_is_asked_for_at_most_once_a_minute(error: PluginError, jitter: float) -> None:
    """Ever more rarely: the 20 returns after which a quorum queue deletes a message take eight hours."""
    found = waits(error, 24 * 3600, jitter)
    assert found[0] >= 60.0
    assert sum(found[:20]) > 8 * 3600


def test_a_fault_of_our_own_is_tried_rarely() -> None:
    """Each try may requeue messages, and a quorum queue deletes what was requeued too often: 20 take over an hour."""
    found = waits(InternalFault("x"), 7200)
    assert (found[0], found[-1]) == (10.0, 300.0)
    assert sum(found[:20]) > 3600
