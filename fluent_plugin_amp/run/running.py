"""The streams that run, each in a task of its own; they come and go while others go on.

Invariants: `run` returns when every stream has ended, and none is to come; what one of them raises is raised there.
A stream is known by its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from fluent_plugin_amp.containment import keep_running
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.source.stream import Stream

START_SPREAD_S = 3.0
"""Many streams start spread over this time."""
START_STEP_S = 0.02


@dataclass(slots=True, eq=False)
class _Running:
    """A stream, and whether it was stopped."""

    stream: Stream
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        self.stream.stop()
        self.stopped.set()


class RunningStreams:
    """The tasks of the streams, by name.

    Args:
        tell: hears of what nobody foresaw.
        once: streams end by themselves, and with the last one so does `run`; otherwise it takes `stop`.
    """

    def __init__(self, tell: Observer, *, once: bool = False) -> None:
        self._tell = tell
        self._once = once
        self._is_stopped = False
        self._tasks: dict[asyncio.Task[None], _Running] = {}
        self._changed = asyncio.Event()

    @property
    def streams(self) -> list[Stream]:
        """Those that run, or are about to, in the order in which they were added."""
        return [running.stream for task, running in self._tasks.items() if not task.done()]

    def add(self, streams: Iterable[Stream]) -> None:
        """Have these run as well; they start one after the other, within `START_SPREAD_S`."""
        added = list(streams)
        for number, stream in enumerate(added):
            late_s = number * min(START_STEP_S, START_SPREAD_S / len(added))
            running = _Running(stream)
            task = asyncio.create_task(self._start_late(running, late_s), name=f"stream {stream.settings.name}")
            self._tasks[task] = running
            if self._is_stopped:
                running.stop()
        self._changed.set()

    async def drain(self, names: Collection[str]) -> None:
        """Stop these, and return when what they held is delivered or given back."""
        leaving = {task: each for task, each in self._tasks.items() if each.stream.settings.name in names}
        for running in leaving.values():
            running.stop()
        if leaving:
            await asyncio.wait(leaving)

    def stop(self) -> None:
        """Stop all of them."""
        self._is_stopped = True
        self._changed.set()
        for running in self._tasks.values():
            running.stop()

    async def run(self) -> None:
        """Until all have ended.

        Raises:
            PluginError: what a stream raised, with ``once``.
        """
        while self._tasks or not (self._is_stopped or self._once):
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({*self._tasks, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            for task in [task for task in self._tasks if task.done()]:
                del self._tasks[task]
                task.result()

    async def cancel(self) -> None:
        """Whatever still runs ends now."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start_late(self, running: _Running, late_s: float) -> None:
        await asyncio.sleep(late_s)
        await keep_running(
            "stream", running.stream.run, self._tell, ends_with=(PluginError,), stopped=running.stopped
        )
