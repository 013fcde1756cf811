"""When a stream consumes, how much, and when it gives back.  Pure.

`transitions.TABLE` says what follows from what; here is what a flow sees, and why.

Theory of operation.  The broker is the buffer, so consuming less is always safe; giving back is not free: a
quorum queue counts every requeue (reject, channel close, lost connection) and deletes a message that was
requeued too often (RabbitMQ 4: 20 times).  Hence three habits:

* Nothing is consumed while no server is there to take it (HELD).
* Every consumption begins with a single event (TRIAL).  Whatever ends it before a server has acked that
  event, a crash of this process included, returns one message and not hundreds.  The consumer is cancelled
  *before* that event is acked: with the prefetch of 1 still used up, the broker has sent nothing that the
  cancel could cross.  Then consumption starts in full (FULL).
  A redelivered event that was delivered before proves nothing by itself, since no server sees it.  But when a server
  acked on the channel before, and owes no answer now, it ends the trial: hundreds of them follow a lost connection,
  and one at a time each of them would take a round trip.
* While a message that was requeued `MANY_REQUEUES` times or more is around, the stream stays at one event at
  a time, and waits long before each new connection.

Returning (closing the channel) frees what was held.  After that the stream stays PAUSED until a server has
proved itself by an ack: the sink keeps one chunk of what it had as the probe for this.

Rounds.  A stream that is polled cancels its consumer when it has what the round is about (ROUND_OVER).  A new channel
begins anew: that of the next round, or one after trouble, since then this round is not over yet.

Standing by.  With ``exclusive`` a stream consumes only while nobody else does: it looks at the queue's consumers
before it consumes, asks for exclusive access, and looks again afterwards,
because a quorum queue grants that to several.  Whoever finds itself not alone then steps back for a random time.

Memory.  The prefetch is the bound.  It is set for events of `EXPECTED_EVENT_BYTES`.  When larger ones bring the
process over its limit, streams above their share are BRAKED: the consumer is cancelled, what is held drains,
and the prefetch is lowered for good, so that this stays rare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fluent_plugin_amp.source.transitions import TABLE, Action, Event, Reason, State, Step, step_from

MANY_REQUEUES = 5
MAX_AUTO_PREFETCH = 500
EXPECTED_EVENT_BYTES = 32 * 1024
"""What `auto` allows for one held event, body and packed form: ten times the usual event."""

REQUEUED_OFTEN_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision is made on.  Times in seconds, sizes in bytes."""

    available: bool
    """A server is connected and not in doubt."""
    sink_in_flight: int
    """Chunks that wait for an answer."""
    acked: int
    """Chunks that servers acked since the start of the process."""
    unacked: int
    """Deliveries of this channel that were not acked to the broker yet."""
    unresolved: int
    """Those of them that are not safe yet."""
    oldest_age_s: float
    """Age of the oldest unacked delivery of this channel; 0 without one."""
    held_bytes: int
    """By this stream, on this channel or an earlier one."""
    total_held_bytes: int
    """By all streams."""
    others_consume: bool = False
    """Exclusive access is asked for, and somebody else has it."""
    stop_asked: bool = False
    round_over: bool = False
    """The stream is polled, and has all that this round is about."""

    @property
    def settled(self) -> bool:
        """A server takes chunks, and owes none an answer."""
        return self.available and not self.sink_in_flight


def auto_prefetch_count(share_bytes: int) -> int:
    """The prefetch that keeps usual events within a stream's share of the memory limit."""
    return max(1, min(MAX_AUTO_PREFETCH, share_bytes // EXPECTED_EVENT_BYTES))


class Flow:
    """The flow of one stream over all its connections.

    Args:
        prefetch_count: to start with.
        pause_after_s: age of the oldest unacked delivery at which everything is requeued.
        share_bytes: of the memory limit, guaranteed to this stream.
        memory_limit_bytes: for all streams together.
    """

    def __init__(
        self, *, prefetch_count: int, pause_after_s: float, share_bytes: int, memory_limit_bytes: int
    ) -> None:
        self.full_prefetch_count = prefetch_count
        self._state = State.HELD
        self._reason = Reason.NOT_CONNECTED
        self._pause_after_s = pause_after_s
        self._share_bytes = share_bytes
        self._memory_limit_bytes = memory_limit_bytes
        self._acked_when_paused = 0
        self._trial_began_acked: int | None = None
        self._earlier_trial_began_acked: int | None = None
        self._requeues = 0  # of the most often requeued delivery that is not safe yet
        self._largest_bytes = 0

    @property
    def state(self) -> State:
        """Where in `transitions.TABLE` it is."""
        return self._state

    @property
    def reason(self) -> Reason:
        """Why it does what it does: for the operator."""
        return self._reason

    # --- what happened ---------------------------------------------------------------------------

    def channel_opened(self) -> None:
        """A new channel: nothing is consumed on it yet."""
        self._follow(step_from(self._state, Event.CHANNEL_OPENED))

    def not_alone(self) -> None:
        """Exclusive access was not granted, or not to us alone: the consumer is cancelled, stand by."""
        self._follow(step_from(self._state, Event.NOT_ALONE))

    def delivered(self, size_bytes: int, requeues: int) -> None:
        """A delivery arrived that holds ``size_bytes``; the broker says it was requeued ``requeues`` times."""
        if size_bytes > self._largest_bytes:
            self._largest_bytes = size_bytes
        if requeues > self._requeues:
            self._requeues = requeues

    def share(self, share_bytes: int, prefetch_count: int) -> None:
        """Streams came or went: a new share of the memory limit, and no more than this prefetch from now on."""
        self._share_bytes = share_bytes
        self.full_prefetch_count = min(self.full_prefetch_count, prefetch_count)

    # --- what follows ----------------------------------------------------------------------------

    def next(self, view: Situation) -> Action:
        """The next act, and the state that it leads to."""
        if view.unresolved == 0:
            self._requeues = 0
        for event, step in TABLE[self._state].items():
            is_seen = GUARDS.get(event)
            if is_seen is not None and is_seen(self, view):
                if step.state is not self._state:
                    self._enter(step.state, view)
                self._follow(step)
                return step.action
        return Action.WAIT

    @property
    def prefetch_count(self) -> int:
        """For the consume asked for last."""
        return self.full_prefetch_count if self._state is State.FULL else 1

    def holds_acks(self, view: Situation) -> bool:
        """Whether acks to the broker wait: those of a trial that is decided, for the cancel."""
        if self._state is not State.TRIAL or self._requeued_often:
            return False
        began = self._trial_began_acked
        if began is not None and view.acked > began:
            return True
        earlier = self._earlier_trial_began_acked
        return view.settled and earlier is not None and view.acked > earlier

    @property
    def least_retry_s(self) -> float:
        """No new connection before that: messages that were requeued often must not be cycled."""
        return REQUEUED_OFTEN_RETRY_S if self._requeued_often else 0.0

    def _follow(self, step: Step) -> None:
        self._state = step.state
        self._reason = step.reason or self._reason

    def _enter(self, state: State, view: Situation) -> None:
        """Note what the guards of this state go by."""
        match state:
            case State.TRIAL:
                self._earlier_trial_began_acked, self._trial_began_acked = self._trial_began_acked, view.acked
            case State.BRAKED:
                fit = self._share_bytes // 2 // max(1, self._largest_bytes)
                self.full_prefetch_count = max(1, min(self.full_prefetch_count - 1, fit))
            case State.PAUSED:
                self._acked_when_paused = view.acked
                self._trial_began_acked = None  # what was acked before the pause proves nothing

    # --- the guards ------------------------------------------------------------------------------

    @property
    def _requeued_often(self) -> bool:
        return self._requeues >= MANY_REQUEUES

    def _is_too_old(self, view: Situation) -> bool:
        return view.oldest_age_s >= self._pause_after_s

    def _has_no_ack_since(self, view: Situation) -> bool:
        return view.acked == self._acked_when_paused and view.sink_in_flight > 0

    def _is_over_memory_limit(self, view: Situation) -> bool:
        return view.total_held_bytes > self._memory_limit_bytes and view.held_bytes > self._share_bytes

    def _has_passed_trial(self, view: Situation) -> bool:
        return self.holds_acks(view) and view.unacked > 0 and view.unresolved == 0

    def _is_memory_free(self, view: Situation) -> bool:
        return view.held_bytes <= self._share_bytes // 2


GUARDS: Mapping[Event, Callable[[Flow, Situation], bool]] = MappingProxyType(
    {
        Event.STOP: lambda _, view: view.stop_asked,
        Event.ROUND_OVER: lambda _, view: view.round_over,
        Event.TOO_OLD: Flow._is_too_old,
        Event.OTHERS_CONSUME: lambda _, view: view.others_consume,
        Event.NO_ACK_SINCE: Flow._has_no_ack_since,
        Event.NO_SERVER: lambda _, view: not view.available,
        Event.OVER_MEMORY_LIMIT: Flow._is_over_memory_limit,
        Event.TRIAL_PASSED: Flow._has_passed_trial,
        Event.MEMORY_FREE: Flow._is_memory_free,
        Event.CLEAR: lambda _, view: True,
    }
)
"""Whether a flow sees an event in a situation."""
