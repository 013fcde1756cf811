"""Of a stream one job at a time delivers what happened in the past, with a state file or without one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fluent_plugin_amp.commands.history.alone import alone
from fluent_plugin_amp.commands.history.backfill import Backfill
from fluent_plugin_amp.commands.history.past import EventsPast
from fluent_plugin_amp.commands.history.reconcile import Reconciliation
from fluent_plugin_amp.errors import EXIT_UNAVAILABLE, HistoryInProgress
from fluent_plugin_amp.state.errors import StateUnusable
from tests.commands.history.history_rig import NOW, Rig, events, ids_of


@pytest.mark.parametrize("jobs", ["backfill, backfill", "reconcile, reconcile", "reconcile, backfill"])
async def test_the_second_of_two_at_once_is_refused(rig: Rig, jobs: str) -> None:
    """Every event is sent once."""
    bodies = events(1500)
    rig.organisation.publish(bodies)
    rig.remember(bodies[:1])
    made: list[Backfill | Reconciliation] = [
        rig.backfill(NOW - 1500) if name == "backfill" else rig.reconcile(NOW - 1500, repair=True)
        for name in jobs.split(", ")
    ]
    outcomes = await asyncio.gather(*map(rig.run, made), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), HistoryInProgress]
    assert "process " in str(outcomes[1])
    assert rig.arrived() == ids_of(bodies[1:])
    await rig.run(made[1])
    assert rig.arrived() == ids_of(bodies[1:])


async def test_without_a_state_file_too(rig: Rig, tmp_path: Path) -> None:
    """The lock stands where the user's session keeps such things; its name tells no password."""
    rig.organisation.publish(events(600))
    config = rig.config(state={})
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "session")}
    (tmp_path / "session").mkdir()
    made = [rig.backfill(NOW - 600, config=config) for _ in range(2)]
    outcomes = await asyncio.gather(*(rig.run(job, environ=environ) for job in made), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), HistoryInProgress]
    assert rig.arrived() == ids_of(events(600))
    assert len(list((tmp_path / "session").iterdir())) == 1


async def test_looking_needs_no_lock(rig: Rig) -> None:
    """`reconcile` without --repair sends nothing."""
    rig.organisation.publish(events(10))
    rig.remember(events(10))
    config = rig.config()
    with alone(config, EventsPast(config.streams[0]), {}):
        await rig.run(rig.reconcile(NOW - 10))
        with pytest.raises(HistoryInProgress) as caught:
            await rig.run(rig.reconcile(NOW - 10, repair=True))
    assert caught.value.exit_code == EXIT_UNAVAILABLE


async def test_another_stream_is_not_held_up(rig: Rig) -> None:
    """A lock is of one stream."""
    config = rig.config()
    other = rig.config(name="us").streams[0]
    with alone(config, EventsPast(config.streams[0]), {}), alone(config, EventsPast(other), {}):
        pass


async def test_a_symbolic_link_in_its_place_is_not_followed(rig: Rig, tmp_path: Path) -> None:
    """A folder of temporary files is everybody's."""
    config = rig.config(state={})
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with alone(config, EventsPast(config.streams[0]), environ):
        (lock,) = tmp_path.glob("fluent-plugin-amp-*.lock")  # noqa: ASYNC240
    lock.unlink()
    dear = tmp_path / "dear"
    dear.write_text("dear")
    lock.symlink_to(dear)
    with pytest.raises(StateUnusable, match="symbolic link"), alone(config, EventsPast(config.streams[0]), environ):
        pass
    assert dear.read_text() == "dear"
