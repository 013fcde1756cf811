"""The heartbeat of a `run`: a small record now and then, on the way that events take.

A rule of the SIEM, "no heartbeat for 15 minutes", sees whatever can break on that way, the plugin's own host, too.
While no server acknowledges, one heartbeat waits, and no more are made.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from fluent_plugin_amp import __version__
from fluent_plugin_amp.completeness.record import moment
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.observe.status import Status
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.run.build import record_transform

LINE = "(heartbeat)"
"""The line of the conductor that the records take."""
MAX_FINDINGS = 20
"""In one record; the worst come first."""


class Heartbeat:
    """Sends the records.

    Args:
        config: with ``heartbeat``.
        conductor: sends them.
        status: how everything stands now.
        instance: the name of this plugin's state file; None: it has none, or it was not read yet.
        started_at: seconds since the epoch.
        clock: the same, now.
    """

    def __init__(
        self,
        config: Config,
        conductor: Conductor,
        status: Callable[[], Status],
        instance: Callable[[], str | None],
        *,
        started_at: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        assert config.heartbeat is not None
        self._every_s = config.heartbeat.every
        self._status = status
        self._instance = instance
        self._started_at = started_at
        self._process = secrets.token_hex(8)
        """Tells two plugins apart that have copies of one state file."""
        self._clock = clock
        self._feed = Feed(conductor, LINE, max_held_bytes=config.memory_limit)
        conductor.open(LINE, record_transform(config, LINE, config.heartbeat.tag))

    async def run(self) -> None:
        """Send one after the other, until cancelled."""
        while True:
            await self._feed.put(msgspec.json.encode(self.record()), received_at=self._clock())
            await asyncio.sleep(self._every_s)
            await self._feed.finish()

    def record(self) -> dict[str, Any]:
        """How everything stands now."""
        status, now = self._status(), self._clock()
        return {
            "instance": self._instance(),
            "process": self._process,
            "version": __version__,
            "uptime": int(now - self._started_at),
            "streams": {
                each.snapshot.name: {
                    "state": each.word,
                    "last_event": moment(at) if (at := each.snapshot.counters.newest_event_at) else None,
                    "waiting": each.snapshot.waiting,
                }
                for each in status.streams
            },
            "servers_up": sum(each.snapshot.is_up and not each.snapshot.is_doubtful for each in status.servers),
            "findings": [
                {"id": each.error_id, "who": each.who, "what": each.what}
                for each in sorted(status.findings, key=lambda each: -each.level)[:MAX_FINDINGS]
            ],
        }
