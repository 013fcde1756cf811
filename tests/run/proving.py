"""The part of a run that makes completeness records: a local cloud, a server, a state file, a clock to turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.completeness.record import Record
from fluent_plugin_amp.completeness.verify import Report, verify
from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.observe.snapshot import Snapshot
from fluent_plugin_amp.run.build import make_sink
from fluent_plugin_amp.run.completing import Completing
from fluent_plugin_amp.run.pipeline import Pipeline
from tests.commands.history.history_rig import Rig
from tests.observe.scenes import stream as figures_of

HOUR_S = 3600
BEGIN = 1_699_999_200
"""A whole hour."""
KEY = "a key of sixteen"
TAG = "edr.proof"


async def write_due(completing: Completing) -> None:
    """Have all sent that is due now; a stream whose cloud does not answer waits."""
    await completing._begin_rounds()
    await asyncio.gather(*completing._rounds.values(), return_exceptions=True)


async def no_rest(seconds: float) -> None:
    """Only other tasks have a turn."""
    await asyncio.sleep(0)


class World(Rig):
    """The rig of the history, with a clock, and streams that stand as the test says."""

    now: float = BEGIN
    stands: dict[str, Any]
    budgets: dict[tuple[str, str], Budget]
    sections: Mapping[str, Any] = MappingProxyType({})
    """Of the configuration, besides."""

    def proving(self, **keys: Any) -> Config:
        """A configuration with ``completeness``."""
        self.config()
        section = {"tag": TAG, "key": KEY, **keys}
        file = self.folder / "config.yml"
        document = yaml.safe_load(file.read_text())
        document["completeness"] = section
        document["state"]["remember"] = "30d"
        document |= self.sections
        file.write_text(yaml.safe_dump(document))
        return load(file)

    @contextlib.asynccontextmanager
    async def running(self, **keys: Any) -> AsyncIterator[Completing]:
        """The part of a daemon that proves, with its state file and its way to the server."""
        config = self.proving(**keys)
        sink = make_sink(config, self.facts.append, None)
        pipeline = Pipeline(config, config.streams, sink, self.facts.append, with_state=True)
        assert pipeline.state is not None
        await pipeline.state.start()
        task = asyncio.create_task(sink.run())
        completing = Completing(
            config,
            pipeline.conductor,
            pipeline.state.kept,
            lambda: config.own_streams,
            self.snapshot,
            lambda name: next((each for each in self.snapshot().streams if each.name == name), None),
            self.facts.append,
            self.budgets,
            clock=lambda: self.now,
            wait=self.wait,
            rest=no_rest,
        )
        try:
            await completing.load()
            yield completing
        finally:
            await sink.close(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await pipeline.state.close(5.0)

    def snapshot(self) -> Snapshot:
        """How the stream stands."""
        return Snapshot(self.now, (figures_of(**self.stands),), (), self.is_available, 0, 0, 0, 0)

    is_available = True

    @property
    def records(self) -> list[Record]:
        """That the server has, in the order in which they came."""
        return [record for record in self.fluentd.records if "in_cloud" in record]

    def check(self) -> Report:
        """What `verify` says of them."""
        found = [(str(number), record) for number, record in enumerate(self.records)]
        return verify(found, key=KEY.encode())
