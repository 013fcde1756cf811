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
