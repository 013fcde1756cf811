from __future__ import annotations

import asyncio

import pytest

from fluent_plugin_amp.source.alarm import Alarm
from fluent_plugin_amp.testing.waiting import DEADLINE_S

LONG_S = 600.0


async def test_it_wakes_the_sleeper() -> None:
    """Long before the time is over."""
    alarm = Alarm()
    sleeper = asyncio.create_task(alarm.sleep(LONG_S))
    await asyncio.sleep(0)
    alarm.ring()
    await asyncio.wait_for(sleeper, DEADLINE_S)


async def test_a_ring_before_the_sleep_is_not_lost() -> None:
    """It counts once."""
    alarm = Alarm()
    alarm.ring()
    await asyncio.wait_for(alarm.sleep(LONG_S), DEADLINE_S)
    sleeper = asyncio.create_task(alarm.sleep(LONG_S))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not sleeper.done()
    sleeper.cancel()


async def test_the_time_is_over() -> None:
    """Nobody rang."""
    await asyncio.wait_for(Alarm().sleep(0.01), DEADLINE_S)


async def test_a_cancellation_together_with_a_ring_cancels() -> None:
    """Before Python 3.12 `wait_for` lost it."""
    alarm = Alarm()
    sleeper = asyncio.create_task(alarm.sleep(LONG_S))
    await asyncio.sleep(0)
    alarm.ring()
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper


async def test_rings_do_not_shorten_a_back_off() -> None:
    """All of it is slept, however often it rings."""
    now = 0.0
    alarm = Alarm(lambda: now)
    sleeper = asyncio.create_task(alarm.sleep_on(LONG_S))
    for _ in range(3):
        alarm.ring()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not sleeper.done()
    now = LONG_S
    alarm.ring()
    await asyncio.wait_for(sleeper, DEADLINE_S)


async def test_a_stop_ends_a_back_off() -> None:
    """And none begins afterwards."""
    alarm = Alarm()
    sleeper = asyncio.create_task(alarm.sleep_on(LONG_S))
    await asyncio.sleep(0)
    alarm.stop(LONG_S)
    await asyncio.wait_for(sleeper, DEADLINE_S)
    await asyncio.wait_for(alarm.sleep_on(LONG_S), DEADLINE_S)


async def test_nobody_sleeps_past_the_time_to_have_stopped() -> None:
    """Who is still delivering then is woken, and knows it."""
    now = 0.0
    alarm = Alarm(lambda: now)
    alarm.stop(5.0)
    await alarm.sleep(LONG_S)  # the ring of the stop itself
    assert not alarm.is_stop_overdue
    now = 5.0
    await asyncio.wait_for(alarm.sleep(LONG_S), DEADLINE_S)
    assert alarm.is_stop_overdue
