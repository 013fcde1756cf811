"""`fluent-plugin-amp backfill`: sends what the cloud recorded in a span of time through the pipeline of `run`.

It is read newest first, and delivered in that order.  What the state file knows is left out.  A
bookmark notes how far the work has come, once a server's ack is recorded.  So the next run with the same words goes
on there, whatever interrupted this one, and at most one page arrives twice; of an audit log, at most a day.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.commands.delivering import Delivering, supervise
from fluent_plugin_amp.commands.history import bookmark
from fluent_plugin_amp.commands.history.alone import alone
from fluent_plugin_amp.commands.history.around import Around
from fluent_plugin_amp.commands.history.past import Past
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, NoProgress
from fluent_plugin_amp.history.batches import Batch
from fluent_plugin_amp.history.span import Bookmark, Span, legs
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.state.store import Store


@dataclass(slots=True)
class Backfill:
    """What was asked for, and the result.

    Args:
        config: as loaded.
        past: what is wanted.
        span: from when to when.
        words: identify an interrupted run: the stream or source, and the times as the user wrote them.
        resend: send what was delivered before, too.
        restart: forget an interrupted run.
    """

    config: Config
    past: Past
    span: Span
    words: tuple[str, ...]
    resend: bool = False
    restart: bool = False

    resumed: Span | None = None
    """What an interrupted run had left."""
    in_cloud: int = 0
    """Records in the span, without those that `drop_event_types` names."""
    known: int = 0
    """How many of these were delivered before."""
    dropped: int = 0
    is_cut: bool = False
    """See `Batch.is_cut`: something may be left, though the work is done."""
    counters: Counters = field(default_factory=Counters)
    """Of what was sent."""
    is_done: bool = False
    _marks: deque[tuple[int, Bookmark]] = field(default_factory=deque)
    """How far the walk has come, once this many of those sent are safe."""

    async def run(self, around: Around) -> None:
        """Work until all is done, or until stopped.

        Raises:
            HistoryInProgress: another process delivers what was recorded of this stream or source.
            NoProgress: no server acknowledged anything for ``forward.pause_after``.
            PluginError: what the API, the state file or the configuration's files give.
        """
        path = self.config.state.path
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(alone(self.config, self.past, around.environ))
            store = None if path is None else _open(path)
            if store is not None:
                stack.callback(store.close)
            file = None if path is None else bookmark.bookmark_file(path, *self.words, str(self.resend))
            api = await stack.enter_async_context(self.past.open_api(around))
            made = Delivering(self.config, self.past.transforms, around.observer, path)
            delivering = await stack.enter_async_context(made)
            self.counters = delivering.counters
            work = self._work(api, delivering, store, file, around)
            try:
                self.is_done = await supervise(work, around.stop, delivering.ends)
            finally:
                # Stopped, or an error of the cloud: what is on its way need not come again.
                if not self.is_done and not any(end.done() for end in delivering.ends):
                    with contextlib.suppress(NoProgress, asyncio.TimeoutError):
                        await asyncio.wait_for(delivering.feed.finish(), self.config.forward.shutdown_timeout)
                    self._save(file, delivering.feed.safe)

    async def _work(
        self, api: CiscoApi, delivering: Delivering, store: Store | None, file: Path | None, around: Around
    ) -> None:
        read = await self.past.reader(api, around.wait)
        mark = None if file is None or self.restart else bookmark.load(file)
        self.resumed = mark.left if mark is not None else None
        feed = delivering.feed
        for leg in legs(self.span, mark):
            async for batch in read(leg, None if self.resend else store):
                await batch.put_into(feed, batch.unknown.candidates)
                self._count(batch)
                if batch.mark is None:  # the cloud keeps no order: nothing can be said of what comes
                    self._marks.clear()
                    if file is not None:
                        bookmark.remove(file)
                else:
                    self._marks.append((feed.fed, batch.mark))
                self._save(file, feed.safe)
                around.on_progress(batch.progress)
        await feed.finish()
        if file is not None:
            bookmark.remove(file)

    @property
    def exit_code(self) -> int:
        """1: the cloud's list was cut."""
        return EXIT_NO if self.is_cut else EXIT_OK

    def _count(self, batch: Batch) -> None:
        self.in_cloud += len(batch.bodies)
        self.known += len(batch.bodies) - len(batch.unknown.candidates)
        self.dropped += batch.dropped
        self.is_cut = self.is_cut or batch.is_cut

    def _save(self, file: Path | None, safe: int) -> None:
        """Note the farthest point up to which everything is safe."""
        reached = None
        while self._marks and self._marks[0][0] <= safe:
            _, reached = self._marks.popleft()
        if reached is not None and file is not None:
            bookmark.save(file, reached)


def _open(path: Path) -> Store:
    """The state file; it is made where no `run` has made one yet."""
    return Store.open(path, create=not path.exists())
