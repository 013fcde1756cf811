"""Rounds that compare what the cloud lists with what is known; what differs is told.

What is known is loaded before the first round; and again after records got lost, since they were noted as told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fluent_plugin_amp.cisco.listing import Listing
from fluent_plugin_amp.errors import NoProgress


class Compared:
    """The base class of such rounds (`source.Rounds`): it has `_load` and `_round`."""

    def __init__(self) -> None:
        self.odd = 0
        """Items of the lists that are not what they should be, each time they were read."""
        self.listing: Listing | None = None
        """What is being read: how far it is."""
        self.odd_rows: list[str] = []
        """What was kept, and cannot be read."""
        self._is_loaded = False

    async def poll(self) -> None:
        """One round.

        Raises:
            PluginError: what the API gives; what was found by then is told, and known.
            NoProgress: what was told got lost; it will be found, and told, again.
        """
        if not self._is_loaded:
            await self._load()
            self._is_loaded = True
        try:
            await self._round()
        except NoProgress:
            self._is_loaded = False
            raise

    async def _load(self) -> None:
        """Take up what was kept, in the place of what is known."""
        raise NotImplementedError

    async def _round(self) -> None:
        """Compare, and tell; errors as in `poll`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _reading(self, listing: Listing) -> Iterator[Listing]:
        """Within the block it is the list that is being read."""
        self.listing = listing
        try:
            yield listing
        finally:
            self.listing = None
            self.odd += listing.odd
