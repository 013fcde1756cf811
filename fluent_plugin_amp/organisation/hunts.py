"""The hunts of an organisation: for each hash that waits, who has seen it and raised no event for it.

A hash waits until a server has the record of its hunt.  So a crash repeats a hunt, and skips none.  A hunt that fails
lets the others go first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from fluent_plugin_amp.cisco import hunting
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.errors import HuntsLeftOut, PluginError
from fluent_plugin_amp.organisation.checkpoint import Feed, Kept
from fluent_plugin_amp.organisation.hunt_queue import HuntQueue, Noted
from fluent_plugin_amp.organisation.hunt_record import record_of
from fluent_plugin_amp.text import how_many


class Hunts:
    """One organisation's hunts.

    Args:
        name: of its line, under which the queue is kept.
        organisation: its label.
        api: of the organisation.
        feed: where the records go.
        kept: keeps the queue.
        queue: what waits; it was restored.
        delay_s: between an event and its hunt: other computers' events for the same file are given time.
        hides: whether a field is obfuscated.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        organisation: str,
        api: CiscoApi,
        feed: Feed,
        kept: Kept,
        queue: HuntQueue,
        *,
        delay_s: float,
        hides: Callable[[str], bool] = lambda field: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._organisation = organisation
        self._api = api
        self._feed = feed
        self._kept = kept
        self._queue = queue
        self._delay_s = delay_s
        self._hides = hides
        self._clock = clock
        self._left_out = queue.left_out
        self.odd = 0
        self.listing = None  # it reads no list that is long

    async def poll(self) -> None:
        """Hunt each hash that is due.

        Raises:
            PluginError: what the API gives; NoProgress: a record got lost: the hash still waits.
            HuntsLeftOut: there were more hashes than the queue has room for.
        """
        if rows := self._queue.forget_old(self._clock()):
            await self._kept.save(self._name, rows)
        for noted in self._queue.due(self._clock() - self._delay_s):
            try:
                await self._hunt(noted)
            except PluginError:
                self._queue.put_off(noted.sha256)
                raise
            await self._kept.save(self._name, self._queue.done(noted.sha256))
        left_out, self._left_out = self._queue.left_out - self._left_out, self._queue.left_out
        if left_out:
            raise HuntsLeftOut(f"{how_many(left_out, 'time')} no hunt was noted: too many hashes wait")

    async def _hunt(self, noted: Noted) -> None:
        seen = await hunting.seen(self._api, noted.sha256)
        told = await hunting.told(self._api, noted.sha256)
        console = self._api.cloud.console_host
        record = record_of(self._organisation, noted, seen, told, self._clock(), console, self._hides)
        await self._feed.put(msgspec.json.encode(record), perhaps_again=True)
        await self._feed.finish()
