"""Long work beside events: the loop is given up for longer than it was taken."""

from __future__ import annotations

import asyncio

import pytest

from fluent_plugin_amp.turns import LONGEST_REST_S, REST, WORK_S, Turns


async def test_work_rests_longer_than_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after each step, and never for long: a step may have waited for something else."""
    now = 0.0
    rests: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        rests.append(seconds)
        now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    work = Turns(clock=lambda: now)
    for step_s in (WORK_S / 2, WORK_S, WORK_S / 2, 3600.0):
        now += step_s
        await work.rest()
    assert rests == [pytest.approx(REST * WORK_S * 1.5), LONGEST_REST_S]
