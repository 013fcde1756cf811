"""Waits until isolations are in the states that were asked for; the journal is told what is seen meanwhile.

The cloud only accepts an isolation, or its end: a computer hears of it when it is online.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.amp_respond.actions import is_its_own
from fluent_plugin_amp.amp_respond.entries import Json
from fluent_plugin_amp.amp_respond.errors import JournalInUse
from fluent_plugin_amp.amp_respond.journal import Journal, line
from fluent_plugin_amp.amp_respond.results import Result
from fluent_plugin_amp.cisco import isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.errors import PluginError

FIRST_LOOK_S, LOOK_S = 2.0, 30.0
"""The pause before a look at the states: the first one, and the longest."""

JOURNAL_TAKEN = "another amp-respond has the journal"


async def wait_for_states(
    screen: Screen, api: CiscoApi, journal: Journal, results: Sequence[Result], wait_s: float
) -> None:
    """Look at the states until all are as they were wanted, or the time is over; write down what was seen.

    Where another process has the journal, it is written at the next look; the state is told all the same.
    """
    deadline, pause_s = time.monotonic() + wait_s, FIRST_LOOK_S
    unwritten: dict[str, Json] = {}
    while True:
        try:
            await _look_again(api, results, unwritten)
        finally:
            _write_down(journal, results, unwritten)
        left_s = deadline - time.monotonic()
        pending = [result for result in results if not result.is_reached and result.error is None]
        if left_s <= 0 or not (pending or unwritten):
            break
        await screen.wait(min(pause_s, left_s), f"{len(pending)} pending" if pending else JOURNAL_TAKEN)
        pause_s = min(LOOK_S, pause_s * 2)
    if unwritten:
        screen.note(f"{JOURNAL_TAKEN}: the states are not in it")


async def _look_again(api: CiscoApi, results: Sequence[Result], unwritten: dict[str, Json]) -> None:
    """Ask for the state of each isolation that is not reached yet.

    The journal's line of each that changed goes into ``unwritten``, by entry.
    """
    for result in results:
        computer = result.action.computer
        if computer is None or result.is_reached or result.error is not None:
            continue
        try:
            state = (await isolation.status(api, computer.guid)).status
        except PluginError as error:
            if not is_its_own(error):
                raise
            result.error = error  # removed since; the others are still looked at
            continue
        if state != result.state:
            result.state = state
            unwritten[result.entry] = line(result.entry, "seen", state=state)


def _write_down(journal: Journal, results: Sequence[Result], unwritten: dict[str, Json]) -> None:
    """Write what was seen, and empty ``unwritten``, unless another process has the journal."""
    if not unwritten:
        return
    try:
        with journal.writing():
            journal.append(*unwritten.values())
    except JournalInUse:
        return
    except PluginError as error:
        for result in results:
            if result.entry in unwritten:
                result.error = result.error or error
    unwritten.clear()
