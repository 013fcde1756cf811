"""When a stream consumes, how much, and when it gives back.  Pure: one state table, `Flow.next`.

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

::

    HELD ──a server is there──▶ TRIAL ──acked──▶ HELD, proven ──▶ FULL
     ▲                            │                                │ memory over the limit
     │◀──── pause_after is over: return everything ────────────────┤
     │                                                             ▼
     └────────────── enough was acked ◀──────────────────────── BRAKED

Returning (closing the channel) frees what was held.  After that the stream stays HELD until a server has
proved itself by an ack: the sink keeps one chunk of what it had as the probe for this.

Standing by.  With ``exclusive`` a stream consumes only while nobody else does: it looks at the queue's consumers
before it consumes (STANDBY is HELD with that reason), asks for exclusive access, and looks again afterwards,
because a quorum queue grants that to several.  Whoever finds itself not alone then steps back for a random time.

Memory.  The prefetch is the bound; it is set for events of `EXPECTED_EVENT_BYTES`.  When larger ones bring the
process over its limit, streams above their share are BRAKED: the consumer is cancelled, what is held drains,
and the prefetch is lowered for good, so that this stays rare.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

MANY_REQUEUES = 5
MAX_AUTO_PREFETCH = 500
EXPECTED_EVENT_BYTES = 32 * 1024
"""What `auto` allows for one held event, body and packed form: ten times the usual event."""

REQUEUED_OFTEN_RETRY_S = 60.0

# Why a stream is HELD, until something outside changes.
STANDING_BY = "standing by: another consumer has the queue"
NO_SERVER = "no server takes events"
PAUSED = "paused: no server has acked since"
MEMORY_LIMIT = "memory limit"


class State(enum.Enum):
    """Of one stream, while its channel is open."""

    HELD = "held"
    TRIAL = "trial"
    FULL = "full"
    BRAKED = "braked"
    STOPPING = "stopping"


class Action(enum.Enum):
    """What the shell is to do."""

    WAIT = "wait"
    CONSUME = "consume"
    """``basic.qos`` and ``basic.consume`` with `Flow.prefetch_count`."""
    CANCEL = "cancel"
    """``basic.cancel``, then send the acks that wait."""
    REQUEUE = "requeue"
    """Close the channel, which returns every unacked message, and open a new one."""


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
        self.state = State.HELD
        self.full_prefetch_count = prefetch_count
        self.reason = "not connected"
        """Why it does what it does: for the operator."""
        self._pause_after_s = pause_after_s
        self._share_bytes = share_bytes
        self._memory_limit_bytes = memory_limit_bytes
        self._proven = False  # a server acked since this channel was opened
        self._acked_when_paused: int | None = None
        self._trial_began_acked: int | None = None
        self._earlier_trial_began_acked: int | None = None
        self._requeues = 0  # of the most often requeued delivery that is not safe yet
        self._largest_bytes = 0
        self._stopping = False

    # --- what happened ---------------------------------------------------------------------------

    def channel_opened(self) -> None:
        """A new channel: nothing is consumed on it yet."""
        self.state = State.HELD
        self._proven = False

    def delivered(self, size_bytes: int, requeues: int) -> None:
        """A delivery arrived that holds ``size_bytes``; the broker says it was requeued ``requeues`` times."""
        if size_bytes > self._largest_bytes:
            self._largest_bytes = size_bytes
        if requeues > self._requeues:
            self._requeues = requeues

    def not_alone(self) -> None:
        """Exclusive access was not granted, or not to us alone: the consumer is cancelled, stand by."""
        self.state = State.STOPPING if self._stopping else State.HELD

    def share(self, share_bytes: int, prefetch_count: int) -> None:
        """Streams came or went: a new share of the memory limit, and no more than this prefetch from now on."""
        self._share_bytes = share_bytes
        self.full_prefetch_count = min(self.full_prefetch_count, prefetch_count)

    def stop(self) -> None:
        """Consume no more; what is held may still be delivered."""
        self._stopping = True

    def start(self) -> None:
        """Consume, also after `stop`."""
        self._stopping = False

    # --- what follows ----------------------------------------------------------------------------

    @property
    def prefetch_count(self) -> int:
        """For the consume asked for last."""
        return self.full_prefetch_count if self.state is State.FULL else 1

    def holds_acks(self, view: Situation) -> bool:
        """Whether acks to the broker wait: those of a trial that is decided, for the cancel."""
        if self.state is not State.TRIAL or self._requeued_often:
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

    @property
    def _requeued_often(self) -> bool:
        return self._requeues >= MANY_REQUEUES

    def next(self, view: Situation) -> Action:
        """The state table: the next act, and the state that it leads to."""
        if view.unresolved == 0:
            self._requeues = 0
        match self.state:
            case State.HELD:
                return self._from_held(view)
            case State.TRIAL:
                return self._from_trial(view)
            case State.FULL:
                return self._from_full(view)
            case State.BRAKED:
                return self._from_braked(view)
            case State.STOPPING:
                return self._give_back(view) if self._too_old(view) else Action.WAIT

    def _from_held(self, view: Situation) -> Action:
        if self._stopping:
            self.state = State.STOPPING
            return Action.WAIT
        if self._too_old(view):
            return self._give_back(view)
        if view.others_consume:
            return self._wait(STANDING_BY)
        if self._acked_when_paused is not None:
            if view.acked == self._acked_when_paused and view.sink_in_flight:
                return self._wait(PAUSED)
            self._acked_when_paused = None
        if not view.available:
            return self._wait(NO_SERVER)
        if view.total_held_bytes > self._memory_limit_bytes and view.held_bytes > self._share_bytes:
            return self._wait(MEMORY_LIMIT)
        if self._proven:
            self.state = State.FULL
            self.reason = "a server acked"
        else:
            self.state = State.TRIAL
            self._earlier_trial_began_acked, self._trial_began_acked = self._trial_began_acked, view.acked
            self.reason = "begins with a single event"
        return Action.CONSUME

    def _from_trial(self, view: Situation) -> Action:
        if self._stopping:
            self.state = State.STOPPING
            return Action.CANCEL
        if self._too_old(view):
            return self._give_back(view)
        if self.holds_acks(view) and view.unacked and not view.unresolved:
            self._proven = True
            self.state = State.HELD
            return Action.CANCEL
        return Action.WAIT

    def _from_full(self, view: Situation) -> Action:
        if self._stopping:
            self.state = State.STOPPING
            return Action.CANCEL
        if self._too_old(view):
            return self._give_back(view)
        if view.total_held_bytes > self._memory_limit_bytes and view.held_bytes > self._share_bytes:
            self.state = State.BRAKED
            self.full_prefetch_count = max(
                1, min(self.full_prefetch_count - 1, self._share_bytes // 2 // max(1, self._largest_bytes))
            )
            self.reason = MEMORY_LIMIT
            return Action.CANCEL
        return Action.WAIT

    def _from_braked(self, view: Situation) -> Action:
        if self._stopping:
            self.state = State.STOPPING
            return Action.WAIT
        if self._too_old(view):
            return self._give_back(view)
        if view.held_bytes <= self._share_bytes // 2 and view.available:
            self.state = State.FULL
            self.reason = "memory is free again"
            return Action.CONSUME
        return Action.WAIT

    def _too_old(self, view: Situation) -> bool:
        return view.oldest_age_s >= self._pause_after_s

    def _give_back(self, view: Situation) -> Action:
        self.state = State.STOPPING if self._stopping else State.HELD
        self.reason = "paused: the oldest delivery stayed unacked too long"
        self._proven = False
        self._acked_when_paused = view.acked
        self._trial_began_acked = None  # what was acked before the pause proves nothing
        return Action.REQUEUE

    def _wait(self, reason: str) -> Action:
        self.reason = reason
        return Action.WAIT
