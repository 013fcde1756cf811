"""The flow consumes only when it is safe to, begins with one event, and gives back rarely."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluent_plugin_amp.source.flow import (
    EXPECTED_EVENT_BYTES,
    MANY_REQUEUES,
    MAX_AUTO_PREFETCH,
    REQUEUED_OFTEN_RETRY_S,
    Flow,
    Situation,
    auto_prefetch_count,
)
from fluent_plugin_amp.source.transitions import Action, Reason, State
from tests.source.flows import LIMIT_BYTES, PAUSE_AFTER_S, QUIET, SHARE_BYTES, flow_in, new_flow

# --- what it does, and why -----------------------------------------------------------------------


def test_nothing_is_consumed_while_no_server_is_there() -> None:
    """Without a server the broker keeps the events."""
    flow = new_flow()
    assert flow.next(replace(QUIET, available=False)) is Action.WAIT
    assert (flow.state, flow.reason) == (State.HELD, Reason.NO_SERVER)


def test_consumption_begins_with_a_single_event() -> None:
    """The first consume on a channel has a prefetch of 1, whatever is configured."""
    flow = new_flow(prefetch_count=500)
    assert flow.next(QUIET) is Action.CONSUME
    assert (flow.state, flow.prefetch_count) == (State.TRIAL, 1)


def test_the_trial_is_cancelled_before_its_event_is_acked() -> None:
    """Once a server has acked, the ack to the broker is held until the cancel is written."""
    flow = new_flow()
    flow.next(QUIET)
    decided = replace(QUIET, acked=1, unacked=1, unresolved=0)
    assert flow.holds_acks(decided)
    assert flow.next(decided) is Action.CANCEL
    assert not flow.holds_acks(decided)


def test_full_follows_the_trial_with_the_configured_prefetch() -> None:
    """After the trial the stream consumes with all it may."""
    assert flow_in(State.FULL, prefetch_count=321).prefetch_count == 321


def test_each_consumption_says_why_now() -> None:
    """The operator is told what a stream waits for, and what it was that let it begin."""
    flow = new_flow()
    reasons = []
    for view in (
        replace(QUIET, available=False),
        QUIET,
        replace(QUIET, acked=1, unacked=1),
        replace(QUIET, acked=1),
        replace(QUIET, held_bytes=SHARE_BYTES + 1, total_held_bytes=LIMIT_BYTES + 1),
        QUIET,
    ):
        if flow.next(view) is not Action.CANCEL or flow.state is State.BRAKED:
            reasons.append(flow.reason)
    assert reasons == [
        Reason.NO_SERVER,
        Reason.TRIAL,
        Reason.SERVER_ACKED,
        Reason.MEMORY_LIMIT,
        Reason.MEMORY_FREE,
    ]


def test_a_duplicate_in_the_trial_proves_nothing() -> None:
    """An event that was acked without a server, as a duplicate is, keeps the trial going, one event at a time."""
    flow = new_flow()
    flow.next(QUIET)
    assert not flow.holds_acks(QUIET)
    assert flow.next(replace(QUIET, unacked=1)) is Action.WAIT
    assert flow.state is State.TRIAL


def test_a_duplicate_ends_the_trial_after_a_channel_that_went_well() -> None:
    """Of 500 that a lost connection requeued each took a round trip, while nothing new was delivered: seconds."""
    flow = flow_in(State.FULL)
    flow.channel_opened()
    after = replace(QUIET, acked=1)
    assert flow.next(after) is Action.CONSUME
    duplicate = replace(after, unacked=1)
    assert not flow.holds_acks(replace(duplicate, sink_in_flight=1))
    assert flow.next(replace(duplicate, available=False)) is Action.WAIT
    assert flow.next(replace(duplicate, sink_in_flight=1)) is Action.WAIT
    assert flow.holds_acks(duplicate)
    assert flow.next(duplicate) is Action.CANCEL
    assert flow.next(after) is Action.CONSUME
    assert flow.state is State.FULL
    flow.channel_opened()  # and lost again before any server acked
    assert flow.next(after) is Action.CONSUME
    assert not flow.holds_acks(duplicate)
    assert flow.next(duplicate) is Action.WAIT


def test_a_duplicate_does_not_end_the_trial_after_a_pause() -> None:
    """What a server acked before it went silent proves nothing."""
    flow = flow_in(State.FULL)
    assert flow.next(replace(QUIET, acked=5, unacked=3, unresolved=3, oldest_age_s=PAUSE_AFTER_S)) is Action.REQUEUE
    flow.channel_opened()
    assert flow.next(replace(QUIET, acked=5)) is Action.CONSUME
    assert flow.next(replace(QUIET, acked=5, unacked=1)) is Action.WAIT


def test_another_streams_ack_does_not_end_the_trial_of_an_event_in_flight() -> None:
    """The trial ends when its own event is safe and a server has acked since it began."""
    flow = new_flow()
    flow.next(QUIET)
    assert flow.next(replace(QUIET, acked=7, unacked=1, unresolved=1)) is Action.WAIT
    assert flow.next(replace(QUIET, acked=7, unacked=1)) is Action.CANCEL


def test_each_channel_has_a_trial_of_its_own() -> None:
    """After a lost connection consumption begins with one event again."""
    flow = flow_in(State.FULL)
    flow.channel_opened()
    assert flow.next(replace(QUIET, acked=1)) is Action.CONSUME
    assert flow.state is State.TRIAL


@pytest.mark.parametrize("began", [State.TRIAL, State.FULL, State.BRAKED, State.ROUND_OVER])
def test_what_stays_unacked_too_long_is_requeued(began: State) -> None:
    """At `pause_after` everything goes back to the broker, from every state that holds deliveries."""
    flow = flow_in(began)
    old = replace(QUIET, unacked=3, unresolved=3, oldest_age_s=PAUSE_AFTER_S, held_bytes=900)
    assert flow.next(old) is Action.REQUEUE
    assert flow.state is State.PAUSED


def test_what_a_standby_still_holds_is_requeued_too() -> None:
    """Who was not alone keeps what came meanwhile, but no longer than anybody else."""
    flow = flow_in(State.FULL)
    flow.not_alone()
    assert flow.state is State.PROVEN
    held = replace(QUIET, unacked=1, unresolved=1, oldest_age_s=PAUSE_AFTER_S, others_consume=True)
    assert flow.next(held) is Action.REQUEUE
    assert flow.next(replace(QUIET, acked=1, others_consume=True)) is Action.WAIT


def test_after_a_pause_the_probe_must_be_acked_first() -> None:
    """Nothing is consumed after a pause until a server acked something, although it looks available."""
    flow = flow_in(State.FULL)
    flow.next(replace(QUIET, acked=1, unacked=3, unresolved=3, oldest_age_s=PAUSE_AFTER_S))
    flow.channel_opened()
    assert flow.next(replace(QUIET, acked=1, sink_in_flight=1)) is Action.WAIT
    assert flow.reason is Reason.PAUSED
    assert flow.next(replace(QUIET, acked=2, sink_in_flight=1)) is Action.CONSUME
    assert flow.state is State.TRIAL


def test_after_a_pause_without_a_probe_an_available_server_is_tried() -> None:
    """With nothing in flight no ack can come, so the trial itself is the probe."""
    flow = flow_in(State.FULL)
    flow.next(replace(QUIET, acked=1, unacked=3, unresolved=3, oldest_age_s=PAUSE_AFTER_S))
    flow.channel_opened()
    assert flow.next(replace(QUIET, acked=1, sink_in_flight=0)) is Action.CONSUME
    assert flow.state is State.TRIAL


def test_large_events_lower_the_prefetch_for_good() -> None:
    """Over the limit the consumer is cancelled, and goes on at half the share with as many as fit into half of it."""
    flow = flow_in(State.FULL, prefetch_count=100)
    flow.delivered(100, requeues=0)
    over = replace(QUIET, acked=1, unacked=60, unresolved=60, held_bytes=2000, total_held_bytes=LIMIT_BYTES + 1)
    assert flow.next(replace(over, total_held_bytes=LIMIT_BYTES)) is Action.WAIT
    assert flow.next(over) is Action.CANCEL
    assert (flow.state, flow.full_prefetch_count) == (State.BRAKED, SHARE_BYTES // 2 // 100)
    assert flow.next(replace(over, held_bytes=501)) is Action.WAIT
    assert flow.next(replace(over, held_bytes=500)) is Action.CONSUME
    assert (flow.state, flow.prefetch_count) == (State.FULL, 5)


@pytest.mark.parametrize(
    ("prefetch_count", "largest_bytes", "lowered_to"), [(100, 10, 50), (20, 10, 19), (20, SHARE_BYTES * 3, 1)]
)
def test_the_brake_lowers_the_prefetch_by_one_at_least_and_to_one_at_most(
    prefetch_count: int, largest_bytes: int, lowered_to: int
) -> None:
    """However small or large the events are, each use of the brake makes the next one less likely."""
    flow = flow_in(State.FULL, prefetch_count)
    flow.delivered(largest_bytes, requeues=0)
    flow.next(replace(QUIET, held_bytes=2000, total_held_bytes=LIMIT_BYTES + 1))
    assert flow.full_prefetch_count == lowered_to


def test_the_brake_without_an_event_in_sight_lowers_too() -> None:
    """What is held may stem from an earlier channel."""
    flow = flow_in(State.FULL, prefetch_count=100)
    flow.next(replace(QUIET, held_bytes=2000, total_held_bytes=LIMIT_BYTES + 1))
    assert flow.full_prefetch_count == 99


def test_consumption_does_not_begin_over_the_limit() -> None:
    """What an earlier channel left in flight counts; within its share, or within the limit, a stream may begin."""
    flow = new_flow()
    full = replace(QUIET, held_bytes=SHARE_BYTES + 1, total_held_bytes=LIMIT_BYTES + 1)
    assert flow.next(full) is Action.WAIT
    assert flow.reason is Reason.MEMORY_LIMIT
    assert flow.next(replace(full, total_held_bytes=LIMIT_BYTES)) is Action.CONSUME
    assert new_flow().next(replace(full, held_bytes=SHARE_BYTES)) is Action.CONSUME


def test_a_stream_within_its_share_is_not_braked() -> None:
    """Another stream's large events are not this one's trouble."""
    flow = flow_in(State.FULL)
    over = replace(QUIET, acked=1, unacked=1, unresolved=1, held_bytes=SHARE_BYTES, total_held_bytes=LIMIT_BYTES * 9)
    assert flow.next(over) is Action.WAIT
    assert flow.state is State.FULL


def test_braked_does_not_consume_while_no_server_is_there() -> None:
    """Memory that became free is no reason to consume for a server that went away meanwhile."""
    flow = flow_in(State.FULL)
    flow.delivered(100, requeues=0)
    flow.next(replace(QUIET, held_bytes=2000, total_held_bytes=LIMIT_BYTES + 1))
    assert flow.next(replace(QUIET, available=False)) is Action.WAIT
    assert flow.state is State.BRAKED
    assert flow.next(QUIET) is Action.CONSUME


@pytest.mark.parametrize("returns", [MANY_REQUEUES, MANY_REQUEUES + 14])
def test_a_message_requeued_often_keeps_the_stream_at_one_event(returns: int) -> None:
    """From the fifth return on the trial goes on event by event, and a reconnect waits a minute."""
    flow = new_flow()
    flow.next(QUIET)
    flow.delivered(10, requeues=returns)
    assert flow.next(replace(QUIET, acked=1, unacked=1, unresolved=1)) is Action.WAIT
    assert flow.least_retry_s == REQUEUED_OFTEN_RETRY_S
    assert not flow.holds_acks(replace(QUIET, acked=1))


def test_when_the_often_requeued_message_is_safe_the_stream_goes_on() -> None:
    """Once it is acked the next message decides the trial as usual."""
    flow = new_flow()
    flow.next(QUIET)
    flow.delivered(10, requeues=MANY_REQUEUES)
    assert flow.next(replace(QUIET, acked=1)) is Action.WAIT
    assert flow.least_retry_s == 0.0
    flow.delivered(10, requeues=MANY_REQUEUES - 1)
    assert flow.next(replace(QUIET, acked=2, unacked=1)) is Action.CANCEL


@pytest.mark.parametrize("end", ["stop_asked", "round_over"])
def test_the_end_cancels_a_consumer_and_nothing_else(end: str) -> None:
    """Where there is a consumer it is cancelled; then the flow only waits for what is held."""
    view = replace(QUIET, unacked=1, unresolved=1, **{end: True})
    for state in (State.HELD, State.TRIAL, State.PROVEN, State.FULL, State.BRAKED):
        flow = flow_in(state)
        assert flow.next(view) is (Action.CANCEL if state.consumes else Action.WAIT)
        assert flow.state.ends
        assert flow.next(view) is Action.WAIT


def test_auto_prefetch_fits_a_streams_share() -> None:
    """As many usual events as the share holds, at least one and at most 500."""
    assert auto_prefetch_count(EXPECTED_EVENT_BYTES * 7) == 7
    assert auto_prefetch_count(10) == 1
    assert auto_prefetch_count(2**40) == MAX_AUTO_PREFETCH


# --- arbitrary views -----------------------------------------------------------------------------

views = st.builds(
    Situation,
    available=st.booleans(),
    sink_in_flight=st.integers(0, 2),
    acked=st.integers(0, 3),
    unacked=st.integers(0, 2),
    unresolved=st.integers(0, 2),
    oldest_age_s=st.sampled_from([0.0, 1.0, PAUSE_AFTER_S - 1, PAUSE_AFTER_S, 1e6]),
    held_bytes=st.sampled_from([0, SHARE_BYTES // 2, SHARE_BYTES, SHARE_BYTES + 1, LIMIT_BYTES * 2]),
    total_held_bytes=st.sampled_from([0, LIMIT_BYTES, LIMIT_BYTES + 1]),
    others_consume=st.booleans(),
    round_over=st.booleans(),
)
happenings = st.one_of(
    views,
    st.tuples(st.just("delivered"), st.sampled_from([0, 10, 10**9]), st.sampled_from([0, MANY_REQUEUES])),
    st.just("channel_opened"),
    st.just("not_alone"),
    st.just("stop"),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([False, True]), st.lists(happenings, max_size=40))
def test_no_view_leads_to_a_forbidden_act(consuming: bool, walk: list[object]) -> None:
    """Whatever it is shown: no consume without a server or after stop, no second consumer, nothing kept too long."""
    flow = flow_in(State.FULL if consuming else State.HELD)
    proven = consuming
    stopped = False
    for happening in walk:
        match happening:
            case Situation() as view:
                act = flow.next(replace(view, stop_asked=stopped))
                assert flow.prefetch_count >= 1
                match act:
                    case Action.CONSUME:
                        assert view.available
                        assert not stopped
                        assert not (view.others_consume and flow.state is State.TRIAL)
                        assert not consuming, "a second consumer on the channel"
                        assert flow.state in (State.TRIAL, State.FULL)
                        assert flow.state is State.TRIAL or proven, "in full without a trial on this channel"
                        assert flow.state is State.FULL or flow.prefetch_count == 1
                        consuming = True
                    case Action.CANCEL:
                        assert consuming
                        consuming = False
                        proven = True
                    case Action.REQUEUE:
                        assert view.oldest_age_s >= PAUSE_AFTER_S
                        consuming = proven = False
                    case Action.WAIT:
                        assert not (consuming and view.oldest_age_s >= PAUSE_AFTER_S), "kept for too long"
            case ("delivered", int(size), int(returns)):
                flow.delivered(size, returns)
            case "channel_opened":
                flow.channel_opened()
                consuming = proven = False
            case "not_alone" if consuming:
                flow.not_alone()
                consuming = False
            case "stop":
                stopped = True


# --- a walk through a world ----------------------------------------------------------------------


@dataclass
class Message:
    """One message of the world."""

    size_bytes: int = 10
    requeues: int = 0
    arrived_at: float = 0.0
    safe: bool = False


@dataclass
class World:
    """A broker's queue, a channel, a sink, and the time; does what the flow says, as the shell would."""

    flow: Flow
    ready: list[Message] = field(default_factory=list)
    unacked: list[Message] = field(default_factory=list)
    prefetch_count: int = 0
    available: bool = True
    probes: int = 0
    acked: int = 0
    now: float = 0.0
    stopped: bool = False
    round_over: bool = False
    others_consume: bool = False
    acked_on_channel: bool = False
    requeued_at: list[float] = field(default_factory=list)
    acked_when_requeued: int | None = None
    acked_at_trials: list[int] = field(default_factory=list)
    all: list[Message] = field(init=False)
    done: list[Message] = field(default_factory=list)
    """Acked to the broker, which forgets them."""

    def __post_init__(self) -> None:
        self.all = list(self.ready)

    @property
    def unsafe(self) -> list[Message]:
        """Held by the sink."""
        return [message for message in self.unacked if not message.safe]

    def view(self) -> Situation:
        """As the shell would see it."""
        held = sum(message.size_bytes for message in self.unsafe)
        age = self.now - self.unacked[0].arrived_at if self.unacked else 0.0
        return Situation(
            self.available,
            len(self.unsafe) + self.probes,
            self.acked,
            len(self.unacked),
            len(self.unsafe),
            age,
            held,
            held,
            self.others_consume,
            self.stopped,
            self.round_over,
        )

    def requeue(self) -> None:
        """The channel is gone: the broker counts a return of everything unacked."""
        for message in self.unacked:
            message.requeues += 1
            message.safe = False
        self.ready = self.unacked + self.ready
        self.unacked = []
        self.prefetch_count = 0
        self.acked_on_channel = False
        self.round_over = False
        self.flow.channel_opened()

    def settle(self) -> None:
        """Follow the flow until it waits."""
        for _ in range(10):
            act = self.flow.next(self.view())
            if act is Action.WAIT:
                return
            self.do(act)
            self.send_acks()
        pytest.fail("the flow never comes to rest")

    def do(self, act: Action) -> None:
        """One act, with what must hold."""
        match act:
            case Action.CONSUME:
                assert self.prefetch_count == 0, "a second consumer"
                assert self.available
                assert not self.stopped
                assert not self.others_consume or self.flow.state is State.FULL
                assert self.acked_when_requeued != self.acked or not self.probes, (
                    "consumed before the probe came back"
                )
                self.acked_when_requeued = None
                self.prefetch_count = self.flow.prefetch_count
                if self.flow.state is State.TRIAL:
                    self.acked_at_trials.append(self.acked)
            case Action.CANCEL:
                if self.flow.state is State.PROVEN:
                    assert self.acked_on_channel or self.acked > self.acked_at_trials[-2]
                    assert len(self.unacked) == self.prefetch_count == 1, "the cancel could cross a delivery"
                self.prefetch_count = 0
            case Action.REQUEUE:
                if self.requeued_at:
                    assert self.now - self.requeued_at[-1] >= PAUSE_AFTER_S, "messages are cycled"
                self.requeued_at.append(self.now)
                self.probes = 1 if self.unsafe else 0
                self.acked_when_requeued = self.acked
                self.requeue()

    def send_acks(self) -> None:
        """What the shell does in the loop's next turn."""
        if not self.flow.holds_acks(self.view()):
            self.done += [message for message in self.unacked if message.safe]
            self.unacked = [message for message in self.unacked if not message.safe]

    def assert_nothing_is_lost(self) -> None:
        """Each message is in one place: in the queue, with us, or done, which takes a server that has it."""
        assert sorted(map(id, self.all)) == sorted(map(id, [*self.ready, *self.unacked, *self.done]))
        assert all(message.safe for message in self.done)
        assert self.flow.state.consumes == (self.prefetch_count > 0)

    def deliver(self) -> None:
        """The broker sends what the prefetch allows."""
        while self.ready and len(self.unacked) < self.prefetch_count:
            message = self.ready.pop(0)
            message.arrived_at = self.now
            self.unacked.append(message)
            self.flow.delivered(message.size_bytes, message.requeues)


class FlowWalk(RuleBasedStateMachine):
    """Random events around a flow."""

    @initialize(
        prefetch_count=st.sampled_from([1, 3, 50]),
        sizes=st.lists(st.sampled_from([10, 10, 900, LIMIT_BYTES + 1]), min_size=15, max_size=25),
    )
    def begin(self, prefetch_count: int, sizes: list[int]) -> None:
        """A queue with some messages, a few of them large."""
        self.world = World(new_flow(prefetch_count), ready=[Message(size) for size in sizes])
        self.world.settle()

    @rule()
    def broker_delivers(self) -> None:
        """Messages arrive."""
        self.world.deliver()
        self.world.settle()

    @precondition(lambda self: self.world.unsafe)
    @rule(data=st.data(), after_acks=st.booleans())
    def server_acks(self, data: st.DataObject, after_acks: bool) -> None:
        """One event becomes safe; the acks may go out before or after the stream's task looks."""
        world = self.world
        data.draw(st.sampled_from(world.unsafe)).safe = True
        world.acked += 1
        world.acked_on_channel = True
        if after_acks:
            world.send_acks()
        world.settle()
        world.send_acks()
        world.settle()

    @rule()
    def other_stream_acks(self) -> None:
        """A server acked a chunk of somebody else, or the probe."""
        self.world.acked += 1
        self.world.probes = 0
        self.world.acked_on_channel = True
        self.world.settle()

    @precondition(lambda self: self.world.unsafe)
    @rule()
    def duplicate_is_dropped(self) -> None:
        """An event becomes safe without a server."""
        self.world.unsafe[0].safe = True
        self.world.send_acks()
        self.world.settle()

    @rule()
    def server_comes_or_goes(self) -> None:
        """The sink becomes available, or ceases to be."""
        self.world.available = not self.world.available
        self.world.settle()

    @rule(elapsed_s=st.sampled_from([1.0, PAUSE_AFTER_S / 2, PAUSE_AFTER_S]))
    def time_passes(self, elapsed_s: float) -> None:
        """The stream looks at the age of what it holds."""
        self.world.now += elapsed_s
        self.world.settle()
        if self.world.unacked:
            assert self.world.now - self.world.unacked[0].arrived_at < PAUSE_AFTER_S

    @rule()
    def connection_is_lost(self) -> None:
        """Everything unacked goes back."""
        world = self.world
        in_trial = world.flow.state is State.TRIAL
        assert not in_trial or len(world.unacked) <= 1, "a trial risks more than one message"
        world.requeue()
        world.settle()

    @precondition(lambda self: self.world.flow.state.consumes)
    @rule()
    def turns_out_not_to_be_alone(self) -> None:
        """Somebody else consumes, too: the stream steps back, and keeps what came meanwhile."""
        world = self.world
        world.prefetch_count = 0
        world.others_consume = True
        world.flow.not_alone()
        world.settle()

    @precondition(lambda self: self.world.others_consume)
    @rule()
    def others_leave(self) -> None:
        """The queue is free."""
        self.world.others_consume = False
        self.world.settle()

    @rule()
    def round_is_over(self) -> None:
        """The stream has what this round is about; something may still be held."""
        world = self.world
        world.round_over = True
        world.settle()
        assert world.prefetch_count == 0

    @precondition(lambda self: self.world.flow.state is State.ROUND_OVER and not self.world.unacked)
    @rule()
    def next_round_begins(self) -> None:
        """With a channel of its own."""
        self.world.requeue()
        self.world.settle()

    @precondition(lambda self: not self.world.ready)
    @rule()
    def stop(self) -> None:
        """The end: nothing is consumed any more."""
        self.world.stopped = True
        self.world.settle()
        assert self.world.prefetch_count == 0

    @invariant()
    def nothing_is_lost(self) -> None:
        """What was not delivered is not acked; what is left goes back; and only who lives consumes."""
        if hasattr(self, "world"):
            self.world.assert_nothing_is_lost()

    def teardown(self) -> None:
        """With a healthy server everything is delivered in the end, unless it was stopped: no state is a trap."""
        world = getattr(self, "world", None)
        if world is None or world.stopped:
            return
        world.available, world.probes, world.others_consume = True, 0, False
        if world.flow.state is State.ROUND_OVER:
            world.requeue()
        world.round_over = False
        for _ in range(200):
            world.settle()
            world.deliver()
            for message in world.unsafe:
                message.safe = True
                world.acked += 1
                world.acked_on_channel = True
            world.settle()
            world.send_acks()
        assert not world.ready
        assert not world.unacked


TestFlowWalk = FlowWalk.TestCase
TestFlowWalk.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_a_smaller_share_brakes_earlier_and_lowers_the_prefetch() -> None:
    """Streams came: what is guaranteed to this one is less; when they go, its prefetch stays where it is."""
    flow = Flow(prefetch_count=500, pause_after_s=600.0, share_bytes=1000, memory_limit_bytes=1000)
    flow.share(100, 3)
    assert flow.full_prefetch_count == 3
    flow.share(1000, 500)
    assert flow.full_prefetch_count == 3


def test_it_consumes_again_after_a_round() -> None:
    """The end of a round is not the end: the next one begins carefully, with a channel of its own."""
    flow = flow_in(State.FULL)
    assert flow.next(replace(QUIET, round_over=True)) is Action.CANCEL
    assert flow.state is State.ROUND_OVER
    flow.channel_opened()
    assert flow.next(QUIET) is Action.CONSUME
    assert (flow.state, flow.prefetch_count) == (State.TRIAL, 1)
