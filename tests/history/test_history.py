"""`backfill` and `reconcile` as processes, with a cloud whose list moves; a large one: `python -m tests.history`."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, EXIT_REFUSED
from fluent_plugin_amp.testing.cloud import Failure, error_body
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.history.world import STREAM, World, history, world

EVENTS = 3000
SPAN = ("--since", "3h", "--until", "30m")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    """Cloud, receiver, configuration."""
    with world(tmp_path) as made:
        yield made


def test_gaps_are_found_filled_and_gone(made: World) -> None:
    """Ids rounded, events happening all the time: a long gap and single events are found, and just they are sent."""
    now = time.time()
    bodies = history(EVENTS, until=now - 3600)
    gap = {body for number, body in enumerate(bodies) if 1000 <= number < 1400 or number % 97 == 0}
    made.organisation.events.rounded_ids = True
    made.organisation.publish(bodies)
    made.remember((body for body in bodies if body not in gap), delivered_at=now - 9000)
    new = EventGenerator(seed=8, start_s=now)
    made.organisation.arriving = (list(new.bodies(30)) for _ in itertools.count())

    before = made.run("reconcile", *SPAN, "--json")
    assert (before.code, before.json["missing"]) == (EXIT_NO, len(gap)), before.log
    assert (before.json["in_cloud"], before.json["delivered"]) == (EVENTS, EVENTS - len(gap))
    assert sum(hour["missing"] for hour in before.json["hours"]) == len(gap)
    filled = made.run("backfill", "--stream", STREAM, *SPAN)
    assert filled.code == EXIT_OK, filled.log
    assert f"{len(gap)} delivered, 0 dead letters, {EVENTS - len(gap)} delivered before" in filled.log
    assert made.arrived() == made.as_shown(gap)
    after = made.run("reconcile", *SPAN)
    assert after.code == EXIT_OK, after.log
    total = next(line for line in after.output.splitlines() if line.startswith("total"))
    assert total.split() == ["total", str(EVENTS), str(EVENTS), "0", "0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_goes_on(made: World, number: signal.Signals) -> None:
    """Ctrl-C and kill -9: the same command again delivers the rest, and reads no more than that."""
    bodies = history(EVENTS, until=time.time() - 3600)
    made.organisation.publish(bodies)
    is_killed = threading.Event()

    def hold() -> Iterator[list[bytes]]:
        yield from [[]] * 4
        is_killed.wait(DEADLINE_S)

    made.organisation.arriving = hold()
    with closing(made.start("backfill", *SPAN)) as running:
        running.until(lambda: made.arrived().total() >= 500)
        running.until(lambda: any(made.folder.glob("state.db.backfill-*")))
        running.process.send_signal(number)
        if number != signal.SIGKILL:
            running.until(lambda: "stopping" in running.log)
        is_killed.set()
        ended = running.end()
    assert ended.code == (-signal.SIGKILL if number == signal.SIGKILL else 130), ended.log
    assert number == signal.SIGKILL or "Run the same command again: it goes on from there." in ended.log
    first = made.arrived().total()
    assert 500 <= first < EVENTS
    again = made.run("backfill", *SPAN)
    assert again.code == EXIT_OK, again.log
    assert "went on with what an interrupted run had left" in again.log
    arrived = made.arrived()
    assert arrived.keys() == made.as_shown(bodies).keys()
    assert arrived.total() == EVENTS or number == signal.SIGKILL


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    """The first one waits for what is on its way, for `shutdown_timeout`; the second does not."""
    with world(tmp_path, ack_delay_s=2 * DEADLINE_S) as made:
        made.organisation.publish(history(10, until=time.time() - 3600))
        with closing(made.start("backfill", *SPAN)) as running:
            running.until(lambda: made.arrived().total() == 10)
            running.process.send_signal(signal.SIGTERM)
            running.until(lambda: "press again to end at once" in running.log)
            running.process.send_signal(signal.SIGINT)
            ended = running.end(10.0)
    assert (ended.code, "then stopped" in ended.log) == (128 + signal.SIGINT, False), ended.log


def test_the_cloud_refuses(made: World) -> None:
    """A key that is turned away: the exit code says so, the key is not shown."""
    made.cloud.fail(Failure(status=401, body=error_body(401, "Unauthorized", "Unknown API key or Client ID")))
    refused = made.run("backfill", *SPAN)
    assert refused.code == EXIT_REFUSED, refused.log
    assert "[cloud.credentials-refused]" in refused.log
    assert made.organisation.api_key not in refused.log
