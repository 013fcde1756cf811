"""A source that is polled: asks again and again, each round a fault domain of its own.

A round that fails with an error of the cloud or of the way to it is begun again, later each time.  Whatever nobody
foresaw ends the task, which is begun anew from outside (`containment.keep_running`).
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Protocol

from fluent_plugin_amp.backoff import Outage, Pace
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Observer, SourcePolled, SourceTrouble, SourceWaits

if TYPE_CHECKING:
    from fluent_plugin_amp.cisco.listing import Listing

PACE = Pace(5.0, 300.0)
"""Between rounds that fail."""


class Rounds(Protocol):
    """What is polled: an audit log, computers, …"""

    odd: int
    """Entries that are not what they should be, as often as they were read."""

    @property
    def listing(self) -> Listing | None:
        """The long list that is being read; None: none is."""

    async def poll(self) -> None:
        """One round.

        Raises:
            PluginError: it could not be done.
        """


class PolledSource:
    """Runs the rounds of one source.

    Args:
        name: of its line: ``organisation/source``.
        poll_interval_s: from the beginning of a round to the next one.
        tell: hears how the rounds go.
    """

    def __init__(self, name: str, *, poll_interval_s: float, tell: Observer) -> None:
        self.name = name
        self.poll_interval_s = poll_interval_s
        self.polled_at: float | None = None
        """End of the last round that was done, in seconds since the epoch."""
        self.waits_until: float | None = None
        """It waits for the rate limit until then, in seconds since the epoch."""
        self.rounds: Rounds | None = None
        """None: it has not begun."""
        self._tell = tell

    async def run(self, rounds: Rounds) -> None:
        """Until cancelled."""
        self.rounds = rounds
        loop = asyncio.get_running_loop()
        outage = Outage(loop.time, random.random)
        while True:
            began = loop.time()
            try:
                await rounds.poll()
            except PluginError as error:
                pause_s = outage.failed(PACE)
                self._tell(SourceTrouble(self.name, error, pause_s, outage.attempts))
            else:
                took_s = loop.time() - began
                pause_s = max(0.0, self.poll_interval_s - took_s)
                self.polled_at = time.time()
                self._tell(SourcePolled(self.name, took_s, pause_s, outage.lasted_s))
                outage.over()
            await asyncio.sleep(pause_s)

    async def wait(self, seconds: float, why: str) -> None:
        """The `cisco.api.Wait` of its requests."""
        self.waits_until = time.time() + seconds
        self._tell(SourceWaits(self.name, seconds, why))
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waits_until = None
