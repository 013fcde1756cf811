"""The states of a flow, and the one table that leads from each to the next.  Pure.

`flow.Flow` finds out which event there is; this table says what follows.  docs/architecture.md has its picture.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class State(enum.Enum):
    """Of the flow of one stream."""

    HELD = "held"
    """There is no consumer; `Flow.reason` says what is waited for."""
    TRIAL = "trial"
    """A consumer takes one event at a time."""
    PROVEN = "proven"
    """Like HELD, but the trial on this channel has passed."""
    FULL = "full"
    """A consumer takes as many as it may."""
    BRAKED = "braked"
    """The consumer is cancelled until less memory is held."""
    PAUSED = "paused"
    """Like HELD, but everything was requeued, and no server has acked since."""
    ROUND_OVER = "round over"
    """The stream is polled: what is held is still delivered, then it disconnects until the next round."""
    STOPPING = "stopping"
    """What is held is still delivered; nothing is consumed any more."""

    @property
    def is_held(self) -> bool:
        """It would consume, and something outside keeps it from that."""
        return self in (State.HELD, State.PROVEN, State.PAUSED)

    @property
    def consumes(self) -> bool:
        """There is a consumer."""
        return self in (State.TRIAL, State.FULL)

    @property
    def ends(self) -> bool:
        """This channel has no consumer any more, and gets none."""
        return self in (State.ROUND_OVER, State.STOPPING)


class Event(enum.Enum):
    """What leads from one state to another.  The values name them in the picture."""

    # The stream tells of these.
    CHANNEL_OPENED = "channel opened"
    NOT_ALONE = "not alone"
    """Exclusive access was not granted, or not to us only.  The consumer is cancelled by now."""

    # The flow sees these in a `flow.Situation`, see `flow.GUARDS`.
    STOP = "stop"
    ROUND_OVER = "round over"
    TOO_OLD = "too old"
    OTHERS_CONSUME = "others consume"
    NO_ACK_SINCE = "no ack since"
    NO_SERVER = "no server"
    OVER_MEMORY_LIMIT = "over memory limit"
    TRIAL_PASSED = "trial passed"
    MEMORY_FREE = "memory free"
    CLEAR = "clear"


class Action(enum.Enum):
    """What the stream is to do."""

    WAIT = "wait"
    CONSUME = "consume"
    """``basic.qos`` and ``basic.consume`` with `Flow.prefetch_count`."""
    CANCEL = "cancel"
    """``basic.cancel``, then send the acks that wait."""
    REQUEUE = "requeue"
    """Close the channel, which returns every unacked message, and open a new one."""


class Reason(enum.Enum):
    """Why a flow does what it does.  The value is what operators read."""

    NOT_CONNECTED = "not connected"
    STANDING_BY = "standing by: another consumer has the queue"
    NO_SERVER = "no server takes events"
    MEMORY_LIMIT = "memory limit"
    PAUSED = "paused: no server has acked since"
    TOO_OLD = "paused: the oldest delivery stayed unacked too long"
    TRIAL = "begins with a single event"
    SERVER_ACKED = "a server acked"
    MEMORY_FREE = "memory is free again"


class Step(NamedTuple):
    """What an event leads to."""

    state: State
    action: Action = Action.WAIT
    reason: Reason | None = None
    """None: it stays as it is."""


TABLE: Mapping[State, Mapping[Event, Step]] = MappingProxyType(
    {
        State.HELD: {
            Event.CHANNEL_OPENED: Step(State.HELD),
            Event.STOP: Step(State.STOPPING),
            Event.ROUND_OVER: Step(State.ROUND_OVER),
            Event.TOO_OLD: Step(State.PAUSED, Action.REQUEUE, Reason.TOO_OLD),
            Event.OTHERS_CONSUME: Step(State.HELD, reason=Reason.STANDING_BY),
            Event.NO_SERVER: Step(State.HELD, reason=Reason.NO_SERVER),
            Event.OVER_MEMORY_LIMIT: Step(State.HELD, reason=Reason.MEMORY_LIMIT),
            Event.CLEAR: Step(State.TRIAL, Action.CONSUME, Reason.TRIAL),
        },
        State.TRIAL: {
            Event.CHANNEL_OPENED: Step(State.HELD),
            Event.NOT_ALONE: Step(State.HELD),
            Event.STOP: Step(State.STOPPING, Action.CANCEL),
            Event.ROUND_OVER: Step(State.ROUND_OVER, Action.CANCEL),
            Event.TOO_OLD: Step(State.PAUSED, Action.REQUEUE, Reason.TOO_OLD),
            Event.TRIAL_PASSED: Step(State.PROVEN, Action.CANCEL),
        },
        State.PROVEN: {
            Event.CHANNEL_OPENED: Step(State.HELD),
            Event.STOP: Step(State.STOPPING),
            Event.ROUND_OVER: Step(State.ROUND_OVER),
            Event.TOO_OLD: Step(State.PAUSED, Action.REQUEUE, Reason.TOO_OLD),
            Event.OTHERS_CONSUME: Step(State.PROVEN, reason=Reason.STANDING_BY),
            Event.NO_SERVER: Step(State.PROVEN, reason=Reason.NO_SERVER),
            Event.OVER_MEMORY_LIMIT: Step(State.PROVEN, reason=Reason.MEMORY_LIMIT),
            Event.CLEAR: Step(State.FULL, Action.CONSUME, Reason.SERVER_ACKED),
        },
        State.FULL: {
            Event.CHANNEL_OPENED: Step(State.HELD),
            Event.NOT_ALONE: Step(State.PROVEN),
            Event.STOP: Step(State.STOPPING, Action.CANCEL),
            Event.ROUND_OVER: Step(State.ROUND_OVER, Action.CANCEL),
            Event.TOO_OLD: Step(State.PAUSED, Action.REQUEUE, Reason.TOO_OLD),
            Event.OVER_MEMORY_LIMIT: Step(State.BRAKED, Action.CANCEL, Reason.MEMORY_LIMIT),
        },
        State.BRAKED: {
            Event.CHANNEL_OPENED: Step(State.HELD),
            Event.STOP: Step(State.STOPPING),
            Event.ROUND_OVER: Step(State.ROUND_OVER),
            Event.TOO_OLD: Step(State.PAUSED, Action.REQUEUE, Reason.TOO_OLD),
            Event.NO_SERVER: Step(State.BRAKED),
            Event.MEMORY_FREE: Step(State.FULL, Action.CONSUME, Reason.MEMORY_FREE),
        },
        State.PAUSED: {
            Event.CHANNEL_OPENED: Step(State.PAUSED),
            Event.STOP: Step(State.STOPPING),
            # No ROUND_OVER: the round is about what was requeued, too.
            Event.OTHERS_CONSUME: Step(State.PAUSED, reason=Reason.STANDING_BY),
            Event.NO_ACK_SINCE: Step(State.PAUSED, reason=Reason.PAUSED),
            Event.NO_SERVER: Step(State.HELD, reason=Reason.NO_SERVER),
            Event.OVER_MEMORY_LIMIT: Step(State.HELD, reason=Reason.MEMORY_LIMIT),
            Event.CLEAR: Step(State.TRIAL, Action.CONSUME, Reason.TRIAL),
        },
        State.ROUND_OVER: {
            Event.CHANNEL_OPENED: Step(State.HELD),
            Event.STOP: Step(State.STOPPING),
            Event.TOO_OLD: Step(State.PAUSED, Action.REQUEUE, Reason.TOO_OLD),
        },
        State.STOPPING: {
            Event.CHANNEL_OPENED: Step(State.STOPPING),
            Event.TOO_OLD: Step(State.STOPPING, Action.REQUEUE, Reason.TOO_OLD),
        },
    }
)
"""State → event → what follows.

A row is read from the top: of several events in one `flow.Situation` the first one counts.  A situation with none of
them leaves everything as it is.
"""


def step_from(state: State, event: Event) -> Step:
    """What follows.  Raises AssertionError for what cannot happen in this state."""
    step = TABLE[state].get(event)
    if step is None:
        raise AssertionError(f"a flow that is {state.value} was told: {event.value}")
    return step
