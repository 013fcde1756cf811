"""The polled sources that run, each in a task and a fault domain of its own; a reload changes them.

A further source is a section of `config.organisations.OrganisationConfig`, a class in `organisation`, and a row of
`MAKERS`.  What else makes records by itself is a task of `Sources.begin`.

The HTTP client is imported with the first source that is polled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.config import Config, TransformConfig
from fluent_plugin_amp.config.organisations import ComputersConfig, HuntsConfig, OrganisationConfig
from fluent_plugin_amp.containment import contained, keep_running
from fluent_plugin_amp.facts import Observer, SourceEnded
from fluent_plugin_amp.observe.snapshot import SourceSnapshot
from fluent_plugin_amp.organisation.audit_logs import AuditLogs
from fluent_plugin_amp.organisation.checkpoint import Kept
from fluent_plugin_amp.organisation.hunt_notes import HuntNotes
from fluent_plugin_amp.organisation.hunt_queue import HuntQueue
from fluent_plugin_amp.organisation.source import PolledSource, Rounds
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.names import Names
from fluent_plugin_amp.pipeline.shape.records import KINDS
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.run.build import make_obfuscation, make_shape

if TYPE_CHECKING:
    import httpx

    from fluent_plugin_amp.cisco.api import CiscoApi

ANSWER_TIMEOUT_S = 120.0
"""Large pages take the cloud longer than others."""
AGAIN_S = 60.0
"""After which a source that could not be begun, which nobody foresaw, is begun again."""
MAX_OWN_BYTES = 4 << 20
"""Of one source on their way to the servers: an event waits behind no more of it."""
MAX_WAIT_S = 2 * 3600.0
"""For the rate limit, at one request: longer than its window."""

Way = tuple[str | None, str | None]
"""To a cloud: the file of its authorities, and the proxy."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a source is made of."""

    name: str
    """Of its line: ``organisation/source``."""
    organisation: OrganisationConfig
    api: CiscoApi
    feed: Feed
    kept: Kept
    names: Mapping[str, Names]
    """Of organisations whose names are wanted."""
    hunts: HuntQueue | None = None
    """What waits to be hunted."""
    hides: Callable[[str], bool] = lambda field: False
    """Whether a field is obfuscated."""


def _make_computers(parts: Parts) -> Rounds:
    from fluent_plugin_amp.organisation.computers import Computers

    section = parts.organisation.computers
    feed = parts.feed if section is not None else None  # without, only names are wanted
    sweep_s = (section or ComputersConfig()).sweep
    label = parts.organisation.name
    names = parts.names.get(label) or Names(label)
    return Computers(parts.name, parts.api, feed, parts.kept, names, sweep_s=sweep_s)


def _make_vulnerabilities(parts: Parts) -> Rounds:
    from fluent_plugin_amp.organisation.vulnerabilities import Vulnerabilities

    return Vulnerabilities(parts.name, parts.organisation.name, parts.api, parts.feed, parts.kept)


def _make_hunts(parts: Parts) -> Rounds:
    from fluent_plugin_amp.organisation.hunts import Hunts

    section = parts.organisation.hunts
    assert section is not None
    assert parts.hunts is not None
    label, delay_s = parts.organisation.name, section.delay
    return Hunts(
        parts.name, label, parts.api, parts.feed, parts.kept, parts.hunts, delay_s=delay_s, hides=parts.hides
    )


MAKERS: dict[str, Callable[[Parts], Rounds]] = {
    "audit_logs": lambda parts: AuditLogs(parts.name, parts.api, parts.feed, parts.kept),
    "computers": _make_computers,
    "names": _make_computers,
    "vulnerabilities": _make_vulnerabilities,
    "hunts": _make_hunts,
}
"""By the key of its section: what makes its rounds."""


class Sources:
    """The tasks of the sources, by the names of their lines.

    Args:
        config: in force.
        conductor: gets a line for each source.
        kept: the state file's small values.
        names: of organisations, learnt by their computers.
        tell: hears how the rounds go, and of what nobody foresaw.
        hunts: what waits to be hunted.
        budgets: by API and client id: all that use a key in this process share what it is granted, but for hunts.
    """

    def __init__(
        self,
        config: Config,
        conductor: Conductor,
        kept: Kept,
        names: Mapping[str, Names],
        tell: Observer,
        hunts: HuntNotes | None = None,
        budgets: dict[tuple[str, str], Budget] | None = None,
    ) -> None:
        self.polled: dict[str, PolledSource] = {}
        self.budgets = {} if budgets is None else budgets
        self.hunt_budgets: dict[tuple[str, str], Budget] = {}
        """Hunts have a share of their own."""
        self._spending: dict[str, tuple[str, Budget]] = {}  # organisation and budget of a source
        self._config = config
        self._conductor = conductor
        self._kept = kept
        self._names = names
        self._tell = tell
        self._hunts = hunts
        self._tasks: dict[str, tuple[asyncio.Task[None], Feed]] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        """Of sources that could not be begun."""
        self._gone: set[str] = set()
        """Lines of sources that are configured no more, and of which something was on its way."""
        self._clients: dict[Way, tuple[httpx.AsyncClient, contextlib.AsyncExitStack]] = {}

    def start(self) -> None:
        """Poll all sources of the configuration."""
        for organisation in self._config.own_organisations:
            self._begin_organisation(organisation)

    async def follow(self, config: Config) -> None:
        """Go on as ``config`` says: an organisation that changed begins anew, from where its sources were.

        What nobody foresaw is told, and keeps no other source from being begun.
        """
        before, self._config = self._config, config
        old = {each.name: each for each in before.own_organisations}
        new = {each.name: each for each in config.own_organisations}
        is_other = before.transform != config.transform or before.dead_letters != config.dead_letters
        self._gone |= _lines(before) - _lines(config)
        self._gone -= _lines(config)
        changed = [name for name in {*old, *new} if is_other or old.get(name) != new.get(name)]
        for name in changed:
            if name in old:
                with contained("source", self._tell):
                    await self.end(*(old[name].line(source) for source in old[name].sources))
        for name in changed:
            if name in new:
                self._begin_organisation(new[name])
        for line in [*self._gone]:
            if line not in self._conductor.lines or self._conductor.close(line):
                self._gone.discard(line)
                self._spending.pop(line, None)
        await self._close_clients({*self._clients} - {_way_of(each) for each in new.values()})

    def begin(self, name: str, transform: Transform, make: Callable[[Feed], Callable[[], Awaitable[None]]]) -> None:
        """Run a task that makes records by itself.

        Args:
            name: of its line in the conductor, and of what it keeps; not that of a stream.
            transform: what is done with its records.
            make: given its feed, returns the function to run; it runs until cancelled.
        """
        self._conductor.open(name, transform)
        limit = self._config.memory_limit
        feed = Feed(self._conductor, name, max_held_bytes=limit, max_own_bytes=min(MAX_OWN_BYTES, limit // 8))
        task = asyncio.create_task(keep_running("source", make(feed), self._tell), name=f"source {name}")
        self._tasks[name] = task, feed

    async def end(self, *names: str) -> None:
        """End these; what of theirs is not acknowledged is forgotten, and made again at their next beginning."""
        ended = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task, feed in ended:
            task.cancel()
            feed.closed = True
        await asyncio.gather(*(task for task, _ in ended), return_exceptions=True)
        for name in names:
            if name in self._later:
                self._later.pop(name).cancel()
            if self.polled.pop(name, None) is not None:
                self._tell(SourceEnded(name))
        self._conductor.forget_requeued()

    def stop(self) -> None:
        """Ask for nothing more; what was handed in may still be delivered."""
        for task, _ in self._tasks.values():
            task.cancel()
        for timer in self._later.values():
            timer.cancel()

    async def close(self) -> None:
        """End all tasks and connections."""
        self.stop()
        await asyncio.gather(*(task for task, _ in self._tasks.values()), return_exceptions=True)
        await self._close_clients({*self._clients})

    def figures(self) -> tuple[SourceSnapshot, ...]:
        """How the polled sources stand now."""
        return tuple(
            SourceSnapshot.of(polled, self._conductor.lines[name], budget, self._names.get(label))
            for name, polled in self.polled.items()
            for label, budget in [self._spending[name]]
        )

    # --- within ----------------------------------------------------------------------------------

    def _begin_organisation(self, organisation: OrganisationConfig) -> None:
        for source in organisation.sources:
            self._begin_source(organisation, source)

    def _begin_source(self, organisation: OrganisationConfig, source: str) -> None:
        name, section = organisation.line(source), organisation.section(source)
        with contained("source", self._tell):
            if isinstance(section, HuntsConfig):
                budget = budget_of(organisation, self.hunt_budgets, section.rate_limit_share)
            else:
                budget = budget_of(organisation, self.budgets, organisation.rate_limit_share)
            transform = make_source_transform(source, section.tag, organisation, self._config.transform)
            self._spending[name] = organisation.name, budget
            self.begin(name, transform, partial(self._polling, organisation, source, budget))
            return
        loop = asyncio.get_running_loop()
        self._later[name] = loop.call_later(AGAIN_S, self._begin_source, organisation, source)

    def _polling(
        self, organisation: OrganisationConfig, source: str, budget: Budget, feed: Feed
    ) -> Callable[[], Awaitable[None]]:
        name, section = organisation.line(source), organisation.section(source)
        polled = self.polled[name] = PolledSource(name, poll_interval_s=section.poll_interval, tell=self._tell)
        cloud = organisation.cloud.cloud
        assert cloud is not None

        async def run() -> None:
            from fluent_plugin_amp.cisco.api import CiscoApi

            queue = None
            if source == "hunts" and self._hunts is not None:
                queue = await self._hunts.restore(name)
            obfuscation = make_obfuscation(self._config.transform)
            hides = obfuscation.hides if obfuscation is not None else lambda field: False
            http = await self._client(organisation)
            api = CiscoApi(cloud, organisation.api.key, http, wait=polled.wait, max_wait_s=MAX_WAIT_S, budget=budget)
            parts = Parts(name, organisation, api, feed, self._kept, self._names, queue, hides)
            await polled.run(MAKERS[source](parts))

        return run

    async def _client(self, organisation: OrganisationConfig) -> httpx.AsyncClient:
        """The HTTP client of all organisations that are reached in the same way."""
        from fluent_plugin_amp.run.lookup import misconfigured, open_http

        way = ca_file, proxy = _way_of(organisation)
        if way not in self._clients:
            stack = contextlib.AsyncExitStack()
            http = await stack.enter_async_context(
                open_http(misconfigured, ca_file=ca_file, proxy=proxy, timeout_s=ANSWER_TIMEOUT_S)
            )
            self._clients[way] = http, stack
        return self._clients[way][0]

    async def _close_clients(self, ways: set[Way]) -> None:
        for way in ways:
            _, stack = self._clients.pop(way)
            await stack.aclose()


def _lines(config: Config) -> set[str]:
    """Of all polled sources."""
    return {each.line(source) for each in config.own_organisations for source in each.sources}


def _way_of(organisation: OrganisationConfig) -> Way:
    from fluent_plugin_amp.run.lookup import http_proxy

    ca_file = organisation.cloud.ca_file
    return str(ca_file) if ca_file is not None else None, http_proxy(organisation.proxy)


def budget_of(organisation: OrganisationConfig, budgets: dict[tuple[str, str], Budget], share: float) -> Budget:
    """What its key may spend, of these budgets; it is ``share`` from now on."""
    cloud = organisation.cloud.cloud
    assert cloud is not None
    budget = budgets.setdefault((cloud.api_url, organisation.api.client_id), Budget(share))
    budget.share = share
    return budget


def make_source_transform(
    source: str, tag: str, organisation: OrganisationConfig, all_: TransformConfig
) -> Transform:
    """What is done with the records of one of an organisation's sources: what concerns events only is left out."""
    flatten = all_.flatten
    name = organisation.line(source)
    return Transform(
        stream=name,
        tag=tag,
        obfuscate=make_obfuscation(all_),
        add=organisation.add,
        pulling_id=all_.pulling_id,
        schema=make_shape(all_.shape, name, source) if source in KINDS else None,
        ids_as_texts=all_.ids == "text",
        flatten=Flattener(flatten.separator, flatten.lists, flatten.depth) if flatten is not None else None,
        serialize=all_.serialize,
    )
