"""Completeness records in a `run`: looks at each hour when it is due, and sends what it found.

`Completing.watch` notes every few seconds how the streams stand.  `Completing.write` asks the cloud about one hour
after the other, each stream by itself: none waits for what holds up another, but those of one API key take turns.  A
record is committed to the state file before it is sent, and the chain advances only when a server
has acknowledged it: whatever interrupts this, the same bytes are sent again.  Where the cloud does not answer, the
hour waits, and its record says later by how much it is delayed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from fluent_plugin_amp import __version__
from fluent_plugin_amp.backoff import Outage, Pace
from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.completeness import journal, presence
from fluent_plugin_amp.completeness.journal import Journal
from fluent_plugin_amp.completeness.presence import Presence
from fluent_plugin_amp.completeness.record import HOUR_S, Figures, Origin
from fluent_plugin_amp.completeness.schedule import LOST_S, SETTLED_S, Due, due
from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.config.models import CompletenessConfig
from fluent_plugin_amp.containment import contained
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Observer, SourceEnded, SourcePolled, SourceTrouble
from fluent_plugin_amp.history.batches import cloud_of
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe.snapshot import Proof, Snapshot, StreamSnapshot
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.run.build import record_transform
from fluent_plugin_amp.run.looking import ListCut, Looks
from fluent_plugin_amp.source.transitions import Reason
from fluent_plugin_amp.state.rows import KeptRows

LINE = "(completeness)"
"""The line of the conductor that the records take."""
SOURCE = "completeness"
"""Under which the state file keeps what is known."""
WATCH_EVERY_S = 15.0
LOOK_EVERY_S = 30.0
CONNECT_S = 30.0
"""After the start, until when a stream that has no connection is looked at all the same."""
CONNECT_STEPS = 100
RETRY_S = 300.0
"""After which a cloud that did not answer is asked again."""
PACE = Pace(RETRY_S, RETRY_S)
CUT_AGAIN = 1 / 24
"""An hour whose list was cut is looked at again after so much of its age: the cloud may never list it whole."""


class Completing:
    """The records of all streams that have an API key.

    Args:
        config: with ``completeness`` and ``state.path``.
        conductor: sends the records.
        kept: the named values of the state file.
        streams: those that are configured now.
        snapshot: returns the figures of the moment.
        stands: returns those of one stream, by name; None: there is none.  It is asked often.
        tell: hears of a cloud that does not answer.
        budgets: what each key may spend of its rate limit, by API and client id; shared with all that use the keys.
        clock: seconds since the epoch.
        options: of `Looks`.
    """

    def __init__(
        self,
        config: Config,
        conductor: Conductor,
        kept: KeptRows,
        streams: Callable[[], Iterable[StreamConfig]],
        snapshot: Callable[[], Snapshot],
        stands: Callable[[str], StreamSnapshot | None],
        tell: Observer,
        budgets: dict[tuple[str, str], Budget],
        *,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        assert config.completeness is not None
        self._settings: CompletenessConfig = config.completeness
        self._config = config
        self._conductor = conductor
        self._kept = kept
        self._streams = streams
        self._snapshot = snapshot
        self._stands = stands
        self._tell = tell
        self._clock = clock
        self._looks = Looks(config, conductor, budgets, clock, **options)
        self._loaded = asyncio.Event()
        self._instance = ""
        self._journals: dict[str, Journal] = {}
        self._presences: dict[str, Presence] = {}
        self._counted: dict[str, Counters] = {}
        self._outages: dict[str, Outage] = {}
        """Of streams whose cloud did not answer."""
        self._retry_at: dict[str, float] = {}
        self._cut: dict[str, dict[int, float]] = {}
        """Of each stream, hours whose list was cut, and when they are looked at again."""
        self._rounds: dict[str, asyncio.Task[None]] = {}
        """Of each stream, the one that is not over."""
        self.proofs: dict[str, Proof] = {}
        """What the records say together, by stream."""
        conductor.open(LINE, record_transform(config, LINE, self._settings.tag))

    @property
    def instance(self) -> str | None:
        """The name that was drawn for the state file; None: it was not read yet."""
        return self._instance or None

    @property
    def streams(self) -> list[StreamConfig]:
        """Those that have records."""
        return [stream for stream in self._streams() if stream.api is not None and cloud_of(stream) is not None]

    # --- how the streams stand -------------------------------------------------------------------

    async def watch(self) -> None:
        """Note it again and again, until cancelled."""
        if not self._loaded.is_set():
            await self.load()
        while True:
            await self.note()
            await asyncio.sleep(WATCH_EVERY_S)

    async def load(self) -> None:
        """Read what was kept; what cannot be read begins anew."""
        kept = await self._kept.load_of(SOURCE)
        self._instance = kept.get("instance", b"").decode("ascii", "replace")
        if not self._instance:
            self._instance = secrets.token_hex(8)
            await self._kept.save(SOURCE, {"instance": self._instance.encode()})
        for name, data in kept.items():
            kind, _, stream = name.partition(":")
            try:
                if kind == "chain":
                    self._journals[stream] = journal.decode(data)
                elif kind == "watch":
                    self._presences[stream] = presence.decode(data)
            except ValueError:
                self._kept.set_aside([(SOURCE, name)])
                if kind == "chain":  # of another instance: two records of one number would look like a forgery
                    self._journals[stream] = replace(Journal.new(self._clock()), instance=secrets.token_hex(8))
        self._loaded.set()

    async def note(self) -> None:
        """Note how the streams stand now."""
        snapshot, now = self._snapshot(), self._clock()
        figures = {stream.name: stream for stream in snapshot.streams}
        changed: dict[str, bytes | None] = {}
        for name in [stream.name for stream in self.streams if stream.name in figures]:
            stream = figures[name]
            counters = stream.counters
            more = counters.since(self._counted.get(name, Counters()))
            self._counted[name] = counters
            known = self._presences.setdefault(name, Presence())
            known.observe(now, trouble_of(stream, is_available=snapshot.is_available), more)
            changed[f"watch:{name}"] = known.encode()
        await self._kept.save(SOURCE, changed)

    # --- records ---------------------------------------------------------------------------------

    async def write(self) -> None:
        """Send the records that are due, until cancelled."""
        await self._loaded.wait()
        await self._until_queues_are_known()
        try:
            while True:
                await self._begin_rounds()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in self._rounds.values():
                task.cancel()
            await asyncio.gather(*self._rounds.values(), return_exceptions=True)

    async def _until_queues_are_known(self) -> None:
        """Wait a while for the streams to connect: what is missing is repaired only if nothing waits in the queue."""
        for _ in range(CONNECT_STEPS):
            stand = [self._stands(stream.name) for stream in self.streams]
            if all(each is not None and each.messages_ready is not None for each in stand):
                return
            await asyncio.sleep(CONNECT_S / CONNECT_STEPS)

    async def _begin_rounds(self) -> None:
        """Begin one of each stream that has none: a chain has one writer.

        One in each turn of the event loop: to see that nothing is due takes 0.3 ms, and there may be hundreds.
        """
        streams = self.streams
        for name in {*self.proofs, *self._outages} - {stream.name for stream in streams}:
            self.proofs.pop(name, None)
            self._cut.pop(name, None)
            if self._outages.pop(name, None) is not None:
                self._tell(SourceEnded(source_of(name)))
        self._rounds = {name: task for name, task in self._rounds.items() if not task.done()}
        for stream in streams:
            if stream.name not in self._rounds:
                self._rounds[stream.name] = asyncio.create_task(self._round(stream))
                await asyncio.sleep(0)

    async def _round(self, stream: StreamConfig) -> None:
        """Send all that is due of one stream; what fails is told, and tried again later."""
        name = stream.name
        if 0.0 < self._retry_at.get(name, 0.0) - self._clock() <= RETRY_S:  # else the clock went back
            return
        with contained(source_of(name), self._tell):
            await self._write_all(stream)
            return
        self._retry_at[name] = self._clock() + RETRY_S

    async def _write_all(self, stream: StreamConfig) -> None:
        name, began = stream.name, self._clock()
        try:
            if name not in self._journals:
                self._journals[name] = Journal.new(began)
                await self._save(name)
            self._prove(name)
            await self._send(name)
            await self._set_back(name)
            await self._look_at_all(stream)
        except PluginError as error:
            outage = self._outages.setdefault(name, Outage(self._clock, lambda: 1.0))
            outage.failed(PACE)
            self._retry_at[name] = self._clock() + RETRY_S
            self._tell(SourceTrouble(source_of(name), error, RETRY_S, outage.attempts))
        else:
            if (over := self._outages.pop(name, None)) is not None:
                took_s = self._clock() - began
                self._tell(SourcePolled(source_of(name), took_s, LOOK_EVERY_S, over.lasted_s))

    async def _set_back(self, name: str) -> None:
        """Begin another chain where what is kept is off: the clock was ahead, or the hours would have no end."""
        known, now = self._journals[name], self._clock()
        if known.is_off(now):
            self._journals[name] = known.anew(now, secrets.token_hex(8))
            self._cut.pop(name, None)
            await self._save(name)
            self._prove(name)

    async def _look_at_all(self, stream: StreamConfig) -> None:
        known, before = self._journals[stream.name], self._cut.get(stream.name, {})
        looks = list(due(known.hours, known.begins, self._clock()))
        cut = self._cut[stream.name] = {each.hour: before[each.hour] for each in looks if each.hour in before}
        for each in looks:
            now, again_at = self._clock(), cut.get(each.hour, 0.0)
            if not each.is_lost and 0 < again_at - now <= CUT_AGAIN * LOST_S:  # else the clock went back
                continue
            cut.pop(each.hour, None)
            try:
                figures = LOST if each.is_lost else await self._look(stream, each)
            except ListCut:
                cut[each.hour] = now + CUT_AGAIN * (now - each.hour - HOUR_S)
                continue
            if figures is None:
                known.note_unchanged(each, self._clock())
            else:
                known.note(self._origin(stream), each, figures, self._clock(), self._key)
            await self._save(stream.name)
            await self._send(stream.name)
        if cut:
            raise CloudAnswerNotUnderstood("GET /v1/events: the list ends before all events that the cloud counts")

    async def _look(self, stream: StreamConfig, at: Due) -> Figures | None:
        name = stream.name
        seen = self._presences.get(name, Presence())
        return await self._looks.look(stream, at, self._journals[name], lambda: self._stands(name), seen)

    async def _send(self, name: str) -> None:
        """Send what is under way, and wait for a server, for as long as it takes."""
        known = self._journals[name]
        if known.under_way is None:
            return
        feed = Feed(self._conductor, LINE, max_held_bytes=self._config.memory_limit)
        await feed.put(known.under_way.body.encode(), received_at=known.under_way.looked_at)
        await feed.finish()
        known.acknowledged(self._clock())
        await self._save(name)
        self._prove(name)

    def _prove(self, name: str) -> None:
        known = self._journals[name]
        until = known.until
        self.proofs[name] = Proof(
            until,
            max(until + HOUR_S + SETTLED_S, known.since),
            sum(looked.missing for looked in known.hours.values()),
            min((hour for hour, looked in known.hours.items() if looked.missing), default=0),
            {hour: looked.word for hour, looked in known.hours.items()},
            self._looks.requests[name],
        )

    async def _save(self, name: str) -> None:
        await self._kept.save(SOURCE, {f"chain:{name}": self._journals[name].encode()})

    @property
    def _key(self) -> bytes | None:
        key = self._settings.key
        return key.get_secret_value().encode() if key is not None else None

    def _origin(self, stream: StreamConfig) -> Origin:
        cloud = cloud_of(stream)
        organisation = stream.organisation or (cloud.name if cloud is not None else None)
        known = self._journals.get(stream.name)
        instance = (known.instance if known is not None else None) or self._instance
        return Origin(stream.name, organisation, __version__, instance)


LOST = Figures(not_known_why="the cloud could not be asked, or listed only a part, within ten days")


def source_of(stream: str) -> str:
    """What asks about a stream, as log and status page call it."""
    return f"completeness of {stream}"


def trouble_of(stream: StreamSnapshot, *, is_available: bool) -> str | None:
    """Why a stream cannot receive or deliver at the moment; None: it can."""
    if not is_available:
        return "no server takes events"
    if not (stream.is_connected or stream.is_resting):
        return "no connection to the broker"
    if stream.state.is_held and stream.reason is Reason.STANDING_BY:
        return "standing by: another process has the queue"
    return "paused" if stream.state.is_held and stream.reason is Reason.PAUSED else None
