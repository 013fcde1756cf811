from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fluent_plugin_amp.errors import NoProgress
from fluent_plugin_amp.facts import Fact, InternalError
from fluent_plugin_amp.run import running as module
from fluent_plugin_amp.run.running import RunningStreams
from fluent_plugin_amp.source.stream import Stream
from fluent_plugin_amp.testing.waiting import DEADLINE_S


class FakeStream:
    """Runs until it is stopped, and as long afterwards as it is held up."""

    def __init__(self, name: str) -> None:
        self.settings = SimpleNamespace(name=name)
        self.is_running = False
        self.error: Exception | None = None
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Part of Stream."""
        self._stopped.set()

    async def run(self) -> None:
        """Part of Stream."""
        self.is_running = True
        try:
            await self._stopped.wait()
            await self.may_end.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.is_running = False


def streams(*names: str) -> Any:
    """Of these names; `Any`, for they are streams only as far as a fleet knows."""
    return [cast(Stream, FakeStream(name)) for name in names]


def ignore(fact: Fact) -> None:
    """Nobody looks."""


async def turn(times: int = 10) -> None:
    """Let everything happen that is due."""
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams start at once."""
    monkeypatch.setattr(module, "START_STEP_S", 0.0)


async def test_it_runs_until_all_have_ended() -> None:
    """Stopping asks all of them; the last one decides."""
    made, (one, two) = RunningStreams(ignore), streams("a", "b")
    made.add([one, two])
    running = asyncio.create_task(made.run())
    await turn()
    assert one.is_running
    assert two.is_running
    two.may_end.clear()
    made.stop()
    await turn()
    assert not one.is_running
    assert made.streams == [two]
    assert not running.done()
    two.may_end.set()
    await running


async def test_without_streams_it_takes_a_stop() -> None:
    """A shard may have none, and is no reason to end."""
    made = RunningStreams(ignore)
    running = asyncio.create_task(made.run())
    await turn()
    assert not running.done()
    made.stop()
    await running


async def test_with_once_it_ends_with_the_last_stream() -> None:
    """Nobody needs to stop it."""
    made, (one,) = RunningStreams(ignore, once=True), streams("a")
    made.add([one])
    running = asyncio.create_task(made.run())
    await turn()
    one.stop()
    await running


async def test_streams_come_and_go() -> None:
    """Draining waits for one stream; the others go on, and so does the fleet without any."""
    made, (one, two, three) = RunningStreams(ignore), streams("a", "b", "a")
    made.add([one, two])
    running = asyncio.create_task(made.run())
    await turn()
    one.may_end.clear()
    draining = asyncio.create_task(made.drain({"a"}))
    await turn()
    assert not draining.done()
    one.may_end.set()
    await draining
    made.add([three])
    await turn()
    assert made.streams == [two, three]
    await made.drain({"a", "b", "unknown"})
    await turn()
    assert made.streams == []
    assert not running.done()
    made.stop()
    await running


async def test_what_a_stream_raises_ends_it() -> None:
    """For all of them."""
    made, (one, two) = RunningStreams(ignore), streams("a", "b")
    made.add([one, two])
    running = asyncio.create_task(made.run())
    await turn()
    one.error = NoProgress("nothing was acked")
    one.stop()
    with pytest.raises(NoProgress):
        await running
    await made.cancel()
    assert not two.is_running


async def test_what_nobody_foresaw_costs_one_stream() -> None:
    """It is told, and will begin again; the others do not notice, and a stop waits for no pause."""
    told: list[Fact] = []
    made, (one, two) = RunningStreams(told.append), streams("a", "b")
    made.add([one, two])
    running = asyncio.create_task(made.run())
    await turn()
    error = one.error = ZeroDivisionError()
    one.stop()
    await turn()
    assert told == [InternalError("stream", error)]
    assert two.is_running
    assert made.streams == [one, two]
    made.stop()
    await turn()
    assert running.done()


async def test_a_stream_that_comes_too_late() -> None:
    """After a stop, one that a reload brings ends at once."""
    made, (one,) = RunningStreams(ignore), streams("a")
    made.stop()
    made.add([one])
    await asyncio.wait_for(made.run(), DEADLINE_S)


async def test_starts_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, the last one within `START_SPREAD_S`."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(module, "START_STEP_S", 0.5)
    monkeypatch.setattr("fluent_plugin_amp.run.running.asyncio.sleep", sleep)
    made = RunningStreams(ignore)
    made.add(streams("a", "b", "c"))
    made.add(streams(*map(str, range(100))))
    made.stop()
    await made.run()
    assert waits[:3] == [0.0, 0.5, 1.0]
    assert max(waits[3:]) == pytest.approx(module.START_SPREAD_S * 99 / 100)
