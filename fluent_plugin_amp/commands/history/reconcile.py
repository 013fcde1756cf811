"""`fluent-plugin-amp reconcile`: compares what the cloud has with what was delivered.

Only the state file tells what was delivered.  It cannot tell for events that are older than its memory, or than
itself: they are counted as not known, neither delivered nor missing.  Events that still wait in the queue count as
missing, until `run` has delivered them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.commands.console import new_table
from fluent_plugin_amp.commands.delivering import Delivering, supervise
from fluent_plugin_amp.commands.history.alone import alone
from fluent_plugin_amp.commands.history.around import Around
from fluent_plugin_amp.commands.history.past import LIST_IS_CUT, Past
from fluent_plugin_amp.commands.state import state_path
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK
from fluent_plugin_amp.history.batches import Batch, Progress
from fluent_plugin_amp.history.hours import Hour, Hours, known_since
from fluent_plugin_amp.history.span import Span, legs
from fluent_plugin_amp.observe.units import day_and_time, moment
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.text import how_many

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(slots=True)
class Reconciliation:
    """What was asked for, and the result.

    Args:
        config: as loaded; it must name a state file.
        past: what to look at.
        span: from when to when.
        now: seconds since the epoch.
        repair: deliver what is missing.
    """

    config: Config
    past: Past
    span: Span
    now: float
    repair: bool = False

    found: Hours = field(default_factory=Hours)
    """The figures of what the cloud has."""
    repaired: int = 0
    """Sent and acknowledged.  Where events are alike, some of them were not missing."""
    dead_letters: int = 0
    """How many of these were dead letters."""
    waiting: int | None = None
    """Messages in the stream's queue when it began; None: the broker did not tell."""
    is_done: bool = False

    async def run(self, around: Around) -> None:
        """Compare, and repair if asked to, until done or stopped.

        Raises:
            UsageError: there is no state file; HistoryInProgress: another process repairs the same, or delivers
                what was recorded of it; PluginError: what the API, the file or the servers give.
        """
        path = state_path(self.config)
        async with contextlib.AsyncExitStack() as stack:
            if self.repair:
                stack.enter_context(alone(self.config, self.past, around.environ))
            store = Store.open(path)
            stack.callback(store.close)
            api = await stack.enter_async_context(self.past.open_api(around))
            read = await self.past.reader(api, around.wait)
            self.found.known_since = known_since(store, self.past.name, self.now, self.config.state.remember)
            self.waiting = await self.past.count_waiting()
            delivering = None
            if self.repair:
                made = Delivering(self.config, self.past.transforms, around.observer, path)
                delivering = await stack.enter_async_context(made)
            feed = delivering.feed if delivering is not None else None
            (leg,) = legs(self.span, None)
            found = read(leg, store)
            ends = delivering.ends if delivering is not None else set()
            self.is_done = await supervise(self._work(found, feed, around.on_progress), around.stop, ends)
            if delivering is not None:
                self.repaired = delivering.feed.resolved
                self.dead_letters = delivering.counters.dead_letters

    async def _work(
        self, found: AsyncIterator[Batch], feed: Feed | None, on_progress: Callable[[Progress], None]
    ) -> None:
        async for batch in found:
            to_send = self.found.count(batch)
            if feed is not None:
                await batch.put_into(feed, to_send)
            on_progress(batch.progress)
        if feed is not None:
            await feed.finish()

    # --- what came of it -------------------------------------------------------------------------

    @property
    def total(self) -> Hour:
        """Of all hours."""
        return self.found.total

    @property
    def exit_code(self) -> int:
        """1: something is missing and was not repaired, the cloud's list was cut, or the state file knows nothing."""
        is_missing = (self.total.missing > 0 and not self.repair) or self.found.is_cut
        return EXIT_NO if is_missing or (self.found.known_since is None and self.total.in_cloud > 0) else EXIT_OK

    def notes(self) -> list[str]:
        """What the user must know besides the figures."""
        total, past = self.total, self.past
        notes = []
        if self.found.known_since is None:
            notes.append(
                f"The state file knows of no {past.noun} delivered from {past.name}: nobody can tell what was."
            )
        elif self.span.since < self.found.known_since:
            notes.append(
                f"The state file goes back to {day_and_time(self.found.known_since)}. Earlier {past.noun} that are "
                "not found in it are `not known`: perhaps they were delivered, perhaps not. `backfill` delivers them "
                "in either case."
            )
        if self.found.is_cut:
            notes.append(LIST_IS_CUT)
        if total.missing or self.waiting:
            notes.append(past.note_on_missing(self.waiting))
        if self.found.dropped:
            notes.append(
                f"Left out here: {how_many(self.found.dropped, 'event')} of the types that `drop_event_types` names."
            )
        if self.repair:
            letters = f", {self.dead_letters} of them as dead letters" if self.dead_letters else ""
            notes.append(f"{past.noun.capitalize()} delivered now: {self.repaired}{letters}.")
        return notes

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            self.past.kind: self.past.name,
            "since": moment(self.span.since),
            "until": moment(self.span.until),
            "known_since": None if self.found.known_since is None else moment(self.found.known_since),
            **self.total.as_json(),
            "dropped": self.found.dropped,
            "repaired": self.repaired,
            "waiting_in_queue": self.waiting,
            "hours": [{"hour": moment(start), **hour.as_json()} for start, hour in sorted(self.found.hours.items())],
            "notes": self.notes(),
        }

    def table(self) -> Table:
        """A row for each hour in which something happened."""
        from rich.table import Column

        figures = ("in the cloud", "delivered", "missing", "not known")
        made = new_table("hour (UTC)", *(Column(name, justify="right") for name in figures))
        rows = [(day_and_time(start)[:-4] + "Z", hour) for start, hour in sorted(self.found.hours.items())]
        for name, hour in [*rows, ("total", self.total)]:
            row = (hour.in_cloud, hour.delivered, hour.missing, hour.not_known)
            made.add_row(name, *map(str, row), style="red" if hour.missing else None)
        return made
