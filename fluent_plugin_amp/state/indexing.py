"""Indexes what was added to the state file, as jobs of the writer, with commits in between."""

from __future__ import annotations

from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.writer import Writer

INDEX_EVENTS = 16_384
"""The more events at once, the fewer pages of the index each one costs."""


class Indexing:
    """Indexes in steps.  Trouble with the file ends it; the next `begin` takes what is left."""

    def __init__(self, writer: Writer) -> None:
        self.is_running = False
        self._writer = writer
        self._is_left = False

    def begin(self) -> None:
        """Index everything that was added so far.  Call it only while nothing is running."""
        self.is_running = self._is_left = True
        self._writer.put(Store.sort_unindexed, self._go_on)

    def _go_on(self, error: PluginError | None) -> None:
        if error is None and self._is_left:
            self._writer.put(self._step, self._go_on)
        else:
            self.is_running = False

    def _step(self, store: Store) -> None:
        """Index some more, in the thread."""
        self._is_left = store.index()
