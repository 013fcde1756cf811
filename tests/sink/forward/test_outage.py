"""`sink.forward.outage`: when to try again, and what to tell."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.errors import (
    HandshakeRefused,
    PluginError,
    ServerCertificateRefused,
    ServerConnectionLost,
    ServerUnreachable,
)
from fluent_plugin_amp.sink.forward.outage import REPEAT_S, Outage

GONE = ServerUnreachable("connection refused")
LOST = ServerConnectionLost("closed")


def fail_for(outage: Outage, seconds: float, error: PluginError = GONE) -> tuple[list[float], int]:
    """Fail and wait, again and again: the delays, and how often it was told."""
    now, delays, told = 1000.0, [], 0
    while now < 1000.0 + seconds:
        delay_s, tell = outage.failed(error, now, jitter=0.0)
        delays.append(delay_s)
        told += tell
        now += delay_s
    return delays, told


def test_a_server_is_visited_often_at_first_and_seldom_later() -> None:
    """At most a second apart in the first ten, then growing to 30 s."""
    delays, _ = fail_for(Outage(), 400.0)
    assert delays[:4] == [0.2, 0.4, 0.8, 1.0]
    assert sum(delay for delay in delays if delay <= 1.0) >= 10.0
    assert max(delays) == 30.0


@pytest.mark.parametrize("error", [HandshakeRefused("no"), ServerCertificateRefused("no")])
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_refusal_is_retried_slowly_from_the_start(error: PluginError, jitter: float) -> None:
    """Between 10 and 60 s, whatever the jitter."""
    outage = Outage()
    delays = [outage.failed(error, 1000.0, jitter)[0] for _ in range(5)]
    assert all(10.0 <= delay <= 60.0 for delay in delays)


def test_an_outage_is_told_when_it_begins_and_once_a_minute() -> None:
    """Not on each retry."""
    delays, told = fail_for(Outage(), 10 * REPEAT_S)
    assert len(delays) > 20
    assert 5 <= told <= 11


def test_a_new_kind_of_trouble_is_told() -> None:
    """The error's id counts, not its words."""
    outage = Outage()
    assert outage.failed(GONE, 0.0, 0.0)[1]
    assert not outage.failed(ServerUnreachable("no route"), 0.1, 0.0)[1]
    assert outage.failed(LOST, 0.2, 0.0)[1]


def test_a_connection_is_told_once() -> None:
    """The first time, and again after trouble."""
    outage = Outage()
    assert not outage.is_settled
    assert outage.connected(is_doubtful=False)
    assert not outage.settled()
    assert outage.failed(LOST, 0.0, 0.0)[1]
    assert not outage.is_settled
    assert outage.connected(is_doubtful=False)
    assert not outage.settled()
    assert outage.is_settled


def test_a_server_that_accepts_and_closes_is_not_told_each_time() -> None:
    """Its first connection and that it was lost are told, then nothing until it settles."""
    outage = Outage()
    told = []
    for number in range(50):
        told.append(outage.connected(is_doubtful=False))
        told.append(outage.failed(LOST, number * 0.1, 0.0)[1])
    assert sum(told) == 2
    assert outage.settled()


def test_accepting_a_connection_does_not_reset_the_back_off() -> None:
    """Only an ack, or standing for a while, does."""
    outage = Outage()
    for number in range(10):
        outage.connected(is_doubtful=True)
        outage.failed(LOST, number * 2.0, 0.0)
    assert outage.failed(LOST, 300.0, 0.0)[0] == 30.0
    outage.settled()
    assert outage.failed(LOST, 31.0, 0.0)[0] == 0.2


def test_a_doubtful_server_is_told_when_it_acks() -> None:
    """Connected alone does not count while chunks are in doubt."""
    outage = Outage()
    outage.failed(LOST, 0.0, 0.0)
    assert not outage.connected(is_doubtful=True)
    assert outage.settled()


def test_a_blip_is_told_once_a_minute() -> None:
    """A server that acks and closes, again and again, is told seldom; one that stays away is told."""
    outage = Outage()
    told = 0
    for second in range(180):
        told += outage.failed(LOST, float(second), 0.0)[1]
        told += outage.connected(is_doubtful=False)
        told += outage.settled()
    assert told == 3 * 2
    attempts = [outage.failed(LOST, 179.5, 0.0)[1] for _ in range(10)]
    assert attempts == [False] * 3 + [True] + [False] * 6
