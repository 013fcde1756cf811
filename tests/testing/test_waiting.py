"""Waiting for conditions: at once, after a change, in vain, and with an error of their own."""

from __future__ import annotations

import asyncio

import pytest

from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions


async def test_what_holds_already_is_not_waited_for() -> None:
    """No change is needed."""
    await Conditions().wait_for(lambda: True, timeout_s=0)


async def test_each_waiter_returns_at_the_change_that_fulfils_its_condition() -> None:
    """And not at an earlier one."""
    conditions, values = Conditions(), list[int]()
    first = asyncio.create_task(conditions.wait_for(lambda: len(values) >= 1, DEADLINE_S))
    second = asyncio.create_task(conditions.wait_for(lambda: len(values) >= 2, DEADLINE_S))
    await asyncio.sleep(0)
    values.append(1)
    conditions.changed()
    await first
    assert not second.done()
    values.append(2)
    conditions.changed()
    await second


async def test_a_waiter_in_vain_times_out_and_is_forgotten() -> None:
    """Its condition is not asked any more."""
    conditions, asked = Conditions(), list[int]()
    with pytest.raises(asyncio.TimeoutError):
        await conditions.wait_for(lambda: asked.append(1), timeout_s=0.001)
    before = len(asked)
    conditions.changed()
    assert len(asked) == before


async def test_an_error_in_a_condition_belongs_to_its_waiter() -> None:
    """Neither who reports the change nor another waiter sees it."""
    conditions, values = Conditions(), list[int]()
    broken = asyncio.create_task(conditions.wait_for(lambda: bool(values) and values[1], DEADLINE_S))
    sound = asyncio.create_task(conditions.wait_for(lambda: values, DEADLINE_S))
    await asyncio.sleep(0)
    values.append(1)
    conditions.changed()
    await sound
    with pytest.raises(IndexError):
        await broken
