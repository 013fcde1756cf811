"""What nobody foresaw costs what it met: a task begins again, the loop goes on, other observers hear."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.containment import (
    RAN_LONG_AFTER_S,
    RESTART_CAP_S,
    all_of,
    callback_handler,
    contained,
    keep_running,
)
from fluent_plugin_amp.errors import NoProgress
from fluent_plugin_amp.facts import Fact, InternalError, StreamCaughtUp
from fluent_plugin_amp.testing.waiting import DEADLINE_S


class Job:
    """Fails as often as told, then returns; each try may take a while."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def __call__(self) -> None:
        """One try."""
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two tries, which take no time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("fluent_plugin_amp.containment.asyncio.sleep", sleep)
    return found


async def test_a_task_that_fails_is_told_and_begun_again(waits: list[float]) -> None:
    """With pauses that grow; when it returns, that is its end."""
    told: list[Fact] = []
    errors = [ZeroDivisionError("a"), KeyError("b"), RecursionError("c")]
    job = Job(*errors)
    await keep_running("notifier", job, told.append, jitter=lambda: 0.0)
    assert job.tries == 4
    assert told == [InternalError("notifier", error) for error in errors]
    assert waits == [1.0, 2.0, 4.0]


async def test_pauses_have_a_limit(waits: list[float]) -> None:
    """A task that never comes to its senses costs next to nothing."""
    await keep_running("x", Job(*(ZeroDivisionError() for _ in range(60))), lambda fact: None, jitter=lambda: 0.0)
    assert max(waits) == waits[-1] == RESTART_CAP_S


async def test_a_task_that_ran_for_long_begins_its_pauses_anew(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failure a day is not an outage."""
    loop = asyncio.get_running_loop()
    time, later = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: time() + later[0])

    class LongJob(Job):
        async def __call__(self) -> None:
            later[0] += RAN_LONG_AFTER_S
            await super().__call__()

    await keep_running("x", LongJob(*(ZeroDivisionError() for _ in range(3))), lambda fact: None, jitter=lambda: 0.0)
    assert waits == [1.0, 1.0, 1.0]


async def test_once_it_is_stopped_nothing_begins_again() -> None:
    """A pause that has begun ends, and none begins."""
    stopped, told = asyncio.Event(), list[Fact]()
    job = Job(*(ZeroDivisionError() for _ in range(3)))
    task = asyncio.create_task(keep_running("stream", job, told.append, stopped=stopped, first_s=300.0))
    while not told:  # noqa: ASYNC110, each turn may be the one
        await asyncio.sleep(0)
    stopped.set()
    await asyncio.wait_for(task, DEADLINE_S)
    await keep_running("stream", job, told.append, stopped=stopped, first_s=300.0)
    assert (job.tries, len(told)) == (2, 2)


async def test_a_pause_over_which_nothing_is_stopped_ends_too() -> None:
    """And the task begins again."""
    job = Job(ZeroDivisionError())
    await keep_running("stream", job, lambda fact: None, stopped=asyncio.Event(), first_s=0.001)
    assert job.tries == 2


async def test_what_is_no_failure_is_raised() -> None:
    """And a cancellation, too."""
    with pytest.raises(NoProgress):
        await keep_running("sink", Job(NoProgress("x")), pytest.fail, ends_with=(NoProgress,))  # type: ignore[arg-type]
    task = asyncio.create_task(keep_running("x", asyncio.Event().wait, pytest.fail))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_fails_on_the_way_out_keeps_nothing_from_being_done() -> None:
    """It is told."""
    told: list[Fact] = []
    error = ZeroDivisionError()
    with contained("combining", told.append):
        raise error
    assert told == [InternalError("combining", error)]


def test_an_observer_that_fails_costs_its_own_view() -> None:
    """The others hear the fact, and of the failure; one that always fails ends in no circle."""
    told: list[Fact] = []

    def broken(fact: Fact) -> None:
        raise ZeroDivisionError

    fact = StreamCaughtUp("emea")
    all_of(broken, told.append)(fact)
    failure, heard = told
    assert heard is fact
    assert isinstance(failure, InternalError)
    assert (failure.where, type(failure.error)) == ("observer", ZeroDivisionError)


async def test_a_callback_that_fails_is_told_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not ours is left to asyncio."""
    told: list[Fact] = []
    loop = asyncio.get_running_loop()
    left: list[dict[str, Any]] = []
    monkeypatch.setattr(loop, "default_exception_handler", left.append)
    loop.set_exception_handler(callback_handler(told.append))

    def of_somebody_else() -> None:
        raise ZeroDivisionError

    def of_ours() -> None:
        backoff_s(None, 0.0)  # type: ignore[arg-type]

    loop.call_soon(of_somebody_else)
    loop.call_soon(of_ours)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [type(context["exception"]) for context in left] == [ZeroDivisionError]
    (fact,) = told
    assert isinstance(fact, InternalError)
    assert (fact.where, type(fact.error)) == ("callback", TypeError)
