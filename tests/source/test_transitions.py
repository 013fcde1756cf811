"""The table of the flow: complete, reachable, and safe whatever the order of its events."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from fluent_plugin_amp.source.flow import GUARDS, Flow, Situation
from fluent_plugin_amp.source.transitions import TABLE, Action, Event, Reason, State, Step, step_from
from tests.source.flows import LIMIT_BYTES, PAUSE_AFTER_S, QUIET, SHARE_BYTES, flow_in

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"

TOLD = {Event.CHANNEL_OPENED: Flow.channel_opened, Event.NOT_ALONE: Flow.not_alone}

CLEAR = replace(QUIET, acked=1, unacked=1, unresolved=1, held_bytes=SHARE_BYTES // 2 + 1)
"""Nothing to see but that nothing is in the way."""
SEEN: dict[Event, Situation] = {
    Event.STOP: replace(CLEAR, stop_asked=True),
    Event.ROUND_OVER: replace(CLEAR, round_over=True),
    Event.TOO_OLD: replace(CLEAR, oldest_age_s=PAUSE_AFTER_S),
    Event.OTHERS_CONSUME: replace(CLEAR, others_consume=True),
    Event.NO_ACK_SINCE: replace(CLEAR, sink_in_flight=1),
    Event.NO_SERVER: replace(CLEAR, available=False),
    Event.OVER_MEMORY_LIMIT: replace(CLEAR, held_bytes=SHARE_BYTES + 1, total_held_bytes=LIMIT_BYTES + 1),
    Event.TRIAL_PASSED: replace(CLEAR, acked=9, unresolved=0),
    Event.MEMORY_FREE: replace(CLEAR, held_bytes=SHARE_BYTES // 2),
    Event.CLEAR: CLEAR,
}
"""Situations in which there is one event to be seen, besides `Event.CLEAR`."""

STEPS = [(state, event, step) for state, row in TABLE.items() for event, step in row.items()]


# --- complete ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_each_state_has_a_row_and_is_reached(state: State) -> None:
    """By what a stream can meet, beginning with a new channel."""
    assert state in TABLE
    assert flow_in(state).state is state


def test_each_event_is_told_or_seen_and_leads_somewhere() -> None:
    """Nothing is listed that never happens; what is seen has a guard, what is told has none."""
    assert set(TOLD) | set(SEEN) == set(Event)
    assert set(GUARDS) == set(SEEN)
    assert {event for _, event, _ in STEPS} == set(Event)
    assert {step.reason for _, _, step in STEPS} == {None, *Reason} - {Reason.NOT_CONNECTED}


@pytest.mark.parametrize(("state", "event"), [*product(State, TOLD)])
def test_what_is_told_is_in_the_table_or_our_bug(state: State, event: Event) -> None:
    """A flow never guesses: what cannot happen is rejected, and changes nothing."""
    flow = flow_in(state)
    step = TABLE[state].get(event)
    if step is None:
        with pytest.raises(AssertionError, match=event.value):
            TOLD[event](flow)
        assert flow.state is state
    else:
        TOLD[event](flow)
        assert flow.state is step.state


@pytest.mark.parametrize(("state", "event"), [*product(State, SEEN)])
def test_what_is_seen_leads_where_the_table_says(state: State, event: Event) -> None:
    """An event that is not in the row of a state does not concern it."""
    flow = flow_in(state)
    before = flow.reason
    row = TABLE[state]
    step = row.get(event) or row.get(Event.CLEAR) or Step(state)
    assert flow.next(SEEN[event]) is step.action
    assert (flow.state, flow.reason) == (step.state, step.reason or before)


def test_what_is_not_in_the_table_is_our_bug() -> None:
    """The message says what was told to whom."""
    with pytest.raises(AssertionError, match="a flow that is held was told: trial passed"):
        step_from(State.HELD, Event.TRIAL_PASSED)


# --- safe ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event", "step"), STEPS)
def test_the_stream_is_told_of_each_change_of_its_consumer(state: State, event: Event, step: Step) -> None:
    """It consumes once; it cancels what consumes, unless that is cancelled or gone already."""
    if step.state.consumes:
        assert step.action is Action.CONSUME
        assert not state.consumes
    elif state.consumes and event in SEEN:
        assert step.action in (Action.CANCEL, Action.REQUEUE)
    else:
        assert step.action in (Action.WAIT, Action.REQUEUE)


@pytest.mark.parametrize("state", State)
def test_nothing_is_consumed_with_a_reason_not_to(state: State) -> None:
    """Before a row comes to consuming, it looks whether to stop, and whether there is a server."""
    row = list(TABLE[state])
    for event in row:
        if TABLE[state][event].action is Action.CONSUME:
            assert {Event.STOP, Event.NO_SERVER} <= set(row[: row.index(event)])


@pytest.mark.parametrize("state", [state for state in State if state is not State.PAUSED])
def test_nothing_is_held_too_long(state: State) -> None:
    """Only where everything was requeued there is nothing to requeue.  Afterwards a server must prove itself."""
    step = TABLE[state][Event.TOO_OLD]
    assert step.action is Action.REQUEUE
    assert step.state is (State.STOPPING if state is State.STOPPING else State.PAUSED)
    assert [event for event in TABLE[state] if TABLE[state][event].action is Action.REQUEUE] == [Event.TOO_OLD]


def test_what_stops_is_stopped_for_good() -> None:
    """Whatever comes; and every other state can be stopped."""
    assert {step.state for step in TABLE[State.STOPPING].values()} == {State.STOPPING}
    assert all(TABLE[state][Event.STOP].state is State.STOPPING for state in set(State) - {State.STOPPING})


# --- the picture ---------------------------------------------------------------------------------


def test_the_picture_is_that_of_the_table() -> None:
    """docs/architecture.md draws each change of state, but for the two that its text tells of."""
    drawn = {
        f"{state.name} --> {step.state.name}: {event.value}"
        + ("" if step.action is Action.WAIT else f" / {step.action.value}")
        for state, event, step in STEPS
        if step.state is not state and event not in (Event.STOP, Event.CHANNEL_OPENED)
    }
    text = ARCHITECTURE.read_text()
    (picture,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for line in picture.splitlines()]
    assert lines[0] == "[*] --> HELD"
    assert sorted(lines[1:]) == sorted(drawn)
    stays = {state for state, event, step in STEPS if event is Event.CHANNEL_OPENED and step.state is not State.HELD}
    assert stays == {State.PAUSED, State.STOPPING}
    assert "A new channel leads to HELD; only PAUSED and STOPPING stay." in " ".join(text.split())
    assert "A stop leads to STOPPING from everywhere" in " ".join(text.split())


def test_a_state_is_held_or_consumes_or_ends_or_drains() -> None:
    """No state is two of these; only BRAKED, whose consumer is cancelled until it has delivered, is none."""
    kinds = {state: [state.is_held, state.consumes, state.ends].count(True) for state in State}
    assert {state for state, count in kinds.items() if count != 1} == {State.BRAKED}
    assert kinds[State.BRAKED] == 0
