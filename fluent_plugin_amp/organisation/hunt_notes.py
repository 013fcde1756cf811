"""Notes the hunts that delivered events ask for, before the events are acked: a crash repeats a hunt, and skips none.

A `model.Delivered` around another one.  The row of a hunt and the event as delivered are put in the same turn of the
loop, so one transaction takes both.  While the state file is in trouble, the acks of the events that ask wait; all
others go on.  Whatever fails here costs a hunt, and is told; the event is acked as ever.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial, reduce
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
        self._early: dict[str, list[Pending]] = {}
        """Who asked before it was known what was kept, by line."""

    def follow(self, wanted: Mapping[str, float]) -> None:
        """Have a queue for each of these lines, and no other: after so many seconds each hunts a hash again."""
        for line in self.queues.keys() - wanted.keys():
            del self.queues[line]
            self._end_early(line)
        for line, every_s in wanted.items():
            self.queues.setdefault(line, HuntQueue(every_s)).every_s = every_s

    async def restore(self, line: str) -> HuntQueue:
        """The queue of a line, once it has what was kept; for the last moments of a removed one, another."""
        queue = self.queues.get(line) or HuntQueue(math.inf)
        if not queue.is_restored:
            kept = await self._keeper.load_of(line)
            more, garbled = queue.restore(kept, self._clock())
            if garbled:
                self._keeper.set_aside([(line, name) for name in garbled])
            self._keeper.put({(line, name): data for name, data in more.items()}, partial(self._end_early, line))
        return queue

    def contains(self, stream: str, digest: bytes) -> bool:
        """See `model.Delivered`."""
        return self._delivered.contains(stream, digest)

    def record(self, deliveries: list[Delivery]) -> Pending | None:
        """See `model.Delivered`; what asks is safe when its hunt is noted, too."""
        if deliveries[0].ask is None:  # those that ask are given apart
            return self._delivered.record(deliveries)
        kept = None
        with contained("hunts", self._tell):
            kept = self._note(deliveries)
        return Pending.both(kept, self._delivered.record(deliveries))

    def _note(self, deliveries: list[Delivery]) -> Pending | None:
        rows: dict[tuple[str, str], bytes | None] = {}
        pending: list[Pending] = []
        now = self._clock()
        asks: list[Ask] = [delivery.ask for delivery in deliveries]
        for ask in asks:
            line, queue = ask.line, self.queues.get(ask.line)
            if queue is None or not queue.needs(ask.sha256, now):  # None: configured no more
                continue
            noted = queue.note(ask.sha256, ask.event, now)
            if queue.is_restored:
                rows |= {(line, name): data for name, data in noted.items()}
            elif noted:
                pending.append(Pending())
                self._early.setdefault(line, []).append(pending[-1])
        if rows:
            pending.append(Pending())
            self._keeper.put(rows, pending[-1].is_safe_now)
        return reduce(Pending.both, pending, None)

    def _end_early(self, line: str) -> None:
        for pending in self._early.pop(line, ()):
            pending.is_safe_now()
