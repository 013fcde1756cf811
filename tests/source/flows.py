"""Flows in each of their states, and situations that lead from one to the next."""

from __future__ import annotations

from dataclasses import replace

from fluent_plugin_amp.source.flow import Flow, Situation
from fluent_plugin_amp.source.transitions import State

PAUSE_AFTER_S = 600.0
SHARE_BYTES = 1000
LIMIT_BYTES = 4000

QUIET = Situation(
    available=True,
    sink_in_flight=0,
    acked=0,
    unacked=0,
    unresolved=0,
    oldest_age_s=0.0,
    held_bytes=0,
    total_held_bytes=0,
)
"""A healthy moment in which nothing happens."""

ACKED = replace(QUIET, acked=1, unacked=1)
"""A server has acked the trial's event."""
TOO_LARGE = replace(QUIET, acked=1, held_bytes=SHARE_BYTES + 1, total_held_bytes=LIMIT_BYTES + 1)
TOO_OLD = replace(QUIET, acked=1, unacked=1, unresolved=1, oldest_age_s=PAUSE_AFTER_S)

WAYS: dict[State, tuple[Situation, ...]] = {
    State.HELD: (),
    State.TRIAL: (QUIET,),
    State.PROVEN: (QUIET, ACKED),
    State.FULL: (QUIET, ACKED, QUIET),
    State.BRAKED: (QUIET, ACKED, QUIET, TOO_LARGE),
    State.PAUSED: (TOO_OLD,),
    State.ROUND_OVER: (replace(QUIET, round_over=True),),
    State.STOPPING: (replace(QUIET, stop_asked=True),),
}
"""What to show a new flow, so that it gets into a state."""


def new_flow(prefetch_count: int = 100) -> Flow:
    """A flow whose channel has just been opened."""
    flow = Flow(
        prefetch_count=prefetch_count,
        pause_after_s=PAUSE_AFTER_S,
        share_bytes=SHARE_BYTES,
        memory_limit_bytes=LIMIT_BYTES,
    )
    flow.channel_opened()
    return flow


def flow_in(state: State, prefetch_count: int = 100) -> Flow:
    """A flow that got into this state in the way that leads there."""
    flow = new_flow(prefetch_count)
    for view in WAYS[state]:
        flow.next(view)
    return flow
