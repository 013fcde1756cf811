"""Notes the hunts that delivered events ask for, before the events are acked: a crash repeats a hunt, and skips none.

A `model.Delivered` around another one.  An event that asks is remembered as delivered after its hunt is noted.  So
until then the broker delivers it again after a crash, and it asks again.  Hunts are noted when it is known what was
kept: events that ask wait for that, and while the state file is in trouble.  All others go on.  Whatever fails here
costs a hunt, and is told; the event is acked as ever.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from fluent_plugin_amp.containment import contained
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.model import Delivered, Delivery, Pending
from fluent_plugin_amp.organisation.hunt_queue import HuntQueue
from fluent_plugin_amp.pipeline.asking import Ask


class Keeper(Protocol):
    """Keeps rows through a crash; `state.rows.KeptRows`."""

    def put(self, rows: dict[tuple[str, str], bytes | None], done: Callable[[], None]) -> None:
        """Keep these, by source and name; ``done`` is called when they are committed."""

    async def load_of(self, source: str) -> dict[str, bytes]:
        """What is kept of a source, by name, as soon as it can be had."""

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """Nobody can make anything of these rows."""


class HuntNotes:
    """The queues of all hunts.

    Args:
        delivered: remembers events.
        keeper: keeps what waits.
        tell: hears of what nobody foresaw.
        clock: seconds since the epoch.
    """

    def __init__(
        self, delivered: Delivered, keeper: Keeper, tell: Observer, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.queues: dict[str, HuntQueue] = {}
        """By the names of their lines."""
        self.wants_facts = delivered.wants_facts
        self._delivered = delivered
        self._keeper = keeper
        self._tell = tell
        self._clock = clock
        self._unknown: dict[str, Pending] = {}
        """Lines of which it is not known yet what was kept, and who waits for that."""
        self._has_new = asyncio.Event()

    def follow(self, wanted: Mapping[str, float]) -> None:
        """Have a queue for each of these lines, and no other: after so many seconds each hunts a hash again."""
        for line in self.queues.keys() - wanted.keys():
            del self.queues[line]
            self._known_now(line)
        for line, every_s in wanted.items():
            if line not in self.queues:
                self.queues[line] = HuntQueue(every_s)
                self._unknown[line] = Pending()
            self.queues[line].every_s = every_s
        self._has_new.set()

    async def run(self) -> None:
        """Take up what was kept of each line, until cancelled; whether anything is hunted or not."""
        while True:
            self._has_new.clear()
            for line in [*self._unknown]:
                await self.restore(line)
            await self._has_new.wait()

    async def restore(self, line: str) -> HuntQueue:
        """The queue of a line, once it has what was kept; for the last moments of a removed one, another."""
        if line in self._unknown:
            # What cannot be read stays where it is, and events wait for nothing.
            with contained("hunts", self._tell):
                kept = await self._keeper.load_of(line)
                if line in self._unknown:  # nobody else was faster, and it was not removed
                    garbled = self.queues[line].restore(kept)
                    if garbled:
                        self._keeper.set_aside([(line, name) for name in garbled])
            self._known_now(line)
        return self.queues.get(line) or HuntQueue(math.inf)

    def contains(self, stream: str, digest: bytes) -> bool:
        """See `model.Delivered`."""
        return self._delivered.contains(stream, digest)

    def record(self, deliveries: list[Delivery]) -> Pending | None:
        """See `model.Delivered`; what asks is remembered, and safe, after its hunt is noted."""
        if deliveries[0].ask is None:  # those that ask are given apart
            return self._delivered.record(deliveries)
        for delivery in deliveries:
            if (unknown := self._unknown.get(delivery.ask.line)) is not None:
                return _after(unknown, partial(self.record, deliveries))
        noted = None
        with contained("hunts", self._tell):
            noted = self._note([delivery.ask for delivery in deliveries])
        remember = partial(self._remember, deliveries)
        return remember() if noted is None else _after(noted, remember)

    def _note(self, asks: list[Ask]) -> Pending | None:
        rows: dict[tuple[str, str], bytes | None] = {}
        now = self._clock()
        for ask in asks:
            queue = self.queues.get(ask.line)
            if queue is not None and queue.needs(ask.sha256, now):  # None: configured no more
                noted = queue.note(ask.sha256, ask.event, now)
                rows |= {(ask.line, name): data for name, data in noted.items()}
        if not rows:
            return None
        pending = Pending()
        self._keeper.put(rows, pending.is_safe_now)
        return pending

    def _remember(self, deliveries: list[Delivery]) -> Pending | None:
        with contained("memory", self._tell):  # servers have them: nothing holds them up
            return self._delivered.record(deliveries)
        return None

    def _known_now(self, line: str) -> None:
        if (unknown := self._unknown.pop(line, None)) is not None:
            unknown.is_safe_now()


def _after(first: Pending, call: Callable[[], Pending | None]) -> Pending:
    """Safe when what ``call`` gives is safe; it is called when the ``first`` is safe."""
    last = Pending()

    def go_on() -> None:
        pending = call()
        if pending is None:
            last.is_safe_now()
        else:
            pending.then(last.is_safe_now)

    first.then(go_on)
    return last
