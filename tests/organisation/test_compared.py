"""Rounds that compare: what is known is loaded when it has to be."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco.errors import CloudUnreachable
from fluent_plugin_amp.errors import NoProgress, PluginError
from fluent_plugin_amp.organisation.compared import Compared


class Counted(Compared):
    """Counts loads; each round ends as the test says."""

    def __init__(self, *ends: PluginError | None) -> None:
        super().__init__()
        self.loads = 0
        self._ends = iter(ends)

    async def _load(self) -> None:
        self.loads += 1

    async def _round(self) -> None:
        if (error := next(self._ends)) is not None:
            raise error


async def test_it_is_loaded_before_the_first_round_and_after_records_got_lost() -> None:
    """Another trouble leaves what is known as it is."""
    rounds = Counted(None, CloudUnreachable("away"), NoProgress("lost"), None)
    loads = []
    for error in (None, CloudUnreachable, NoProgress, None):
        if error is None:
            await rounds.poll()
        else:
            with pytest.raises(error):
                await rounds.poll()
        loads.append(rounds.loads)
    assert loads == [1, 1, 1, 2]
