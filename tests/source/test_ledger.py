"""The ledger acks every delivery once, on its channel, and only when it is safe."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluent_plugin_amp.source.ledger import HOLE_PATIENCE_S, Ack, Ledger


def ledger_with(deliveries: int) -> Ledger:
    """A ledger to which tags 1 … ``deliveries`` came, at the time of their number."""
    ledger = Ledger()
    for tag in range(1, deliveries + 1):
        ledger.deliver(tag, now=float(tag))
    return ledger


def test_a_contiguous_run_takes_one_ack() -> None:
    """What is resolved from the oldest on is acked by a single `multiple`, in whatever order it was resolved."""
    ledger = ledger_with(5)
    for tag in (3, 1, 2):
        ledger.resolve(tag)
    assert ledger.due(10.0) == [Ack(3, multiple=True)]
    assert (ledger.unacked, ledger.unresolved) == (2, 2)


def test_nothing_resolved_means_no_ack() -> None:
    """Never ack on arrival."""
    assert ledger_with(3).due(1e9) == []


def test_behind_a_hole_an_ack_waits_and_then_goes_alone() -> None:
    """Tags behind an unresolved one wait for the patience, then are acked one by one in the order of the tags."""
    ledger = ledger_with(4)
    ledger.resolve(4)
    ledger.resolve(2)
    assert ledger.due(10.0) == []
    assert ledger.due(10.0 + HOLE_PATIENCE_S / 2) == []
    assert ledger.due(10.0 + HOLE_PATIENCE_S) == [Ack(2, multiple=False), Ack(4, multiple=False)]
    assert ledger.due(99.0) == []


def test_a_hole_that_closes_in_time_costs_one_ack() -> None:
    """When the oldest is resolved within the patience, everything goes in one `multiple`."""
    ledger = ledger_with(4)
    for tag in (2, 3, 4):
        ledger.resolve(tag)
    assert ledger.due(10.0) == []
    ledger.resolve(1)
    assert ledger.due(10.1) == [Ack(4, multiple=True)]


def test_multiple_never_names_a_tag_that_was_acked_alone() -> None:
    """RabbitMQ closes the channel (406) when `multiple` names a tag that is acked already."""
    ledger = ledger_with(3)
    ledger.resolve(3)
    ledger.due(10.0)
    assert ledger.due(11.0) == [Ack(3, multiple=False)]
    ledger.resolve(1)
    ledger.resolve(2)
    assert ledger.due(11.0) == [Ack(2, multiple=True)]


def test_without_patience_everything_safe_is_acked() -> None:
    """Before the channel is closed nothing that is safe is left for a redelivery."""
    ledger = ledger_with(6)
    for tag in (6, 1, 4):
        ledger.resolve(tag)
    assert ledger.due(10.0, hole_patience_s=0.0) == [
        Ack(1, multiple=True),
        Ack(4, multiple=False),
        Ack(6, multiple=False),
    ]


def test_a_second_resolve_is_a_bug_and_says_so() -> None:
    """Resolving twice, or what was never delivered, crashes loudly instead of acking a stranger."""
    ledger = ledger_with(1)
    ledger.resolve(1)
    with pytest.raises(AssertionError, match="tag 1 "):
        ledger.resolve(1)
    with pytest.raises(AssertionError, match="tag 2 "):
        ledger.resolve(2)


def test_a_closed_ledger_forgets() -> None:
    """After the channel closed nothing is acked any more, and late answers are ignored."""
    ledger = ledger_with(3)
    ledger.resolve(1)
    assert ledger.close() == 3
    ledger.resolve(2)
    assert ledger.due(1e9) == []
    assert (ledger.unacked, ledger.unresolved, ledger.oldest_at()) == (0, 0, None)


def test_the_oldest_is_the_oldest_unacked() -> None:
    """Resolving does not make a delivery younger; acking makes the next one the oldest."""
    ledger = ledger_with(3)
    ledger.resolve(1)
    assert ledger.oldest_at() == 1.0
    ledger.due(5.0)
    assert ledger.oldest_at() == 2.0


class LedgerWalk(RuleBasedStateMachine):
    """A random walk beside a model of the broker's view of one channel."""

    @initialize()
    def open(self) -> None:
        """A new channel."""
        self.wakes = 0
        self.ledger = Ledger(self.on_resolved, self.on_acked)
        self.arrivals: list[float] = []
        self.now = 0.0
        self.last_tag = 0
        self.unacked: dict[int, float] = {}  # as the broker sees it → arrival
        self.resolved: set[int] = set()
        self.seen_behind_hole: dict[int, float] = {}
        self.wake_expected = 0

    def on_resolved(self) -> None:
        """Counted."""
        self.wakes += 1

    def on_acked(self, arrivals: list[float], now: float) -> None:
        """Remembered."""
        assert now == self.now
        assert arrivals == sorted(arrivals)
        self.arrivals += arrivals

    @precondition(lambda self: not self.ledger.closed)
    @rule(count=st.integers(1, 6))
    def deliver(self, count: int) -> None:
        """Some messages arrive."""
        for _ in range(count):
            self.last_tag += 1
            self.unacked[self.last_tag] = self.now
            self.ledger.deliver(self.last_tag, self.now)

    @precondition(lambda self: any(tag not in self.resolved for tag in self.unacked))
    @rule(data=st.data(), most=st.booleans())
    def resolve(self, data: st.DataObject, most: bool) -> None:
        """One delivery, or all but a random one, become safe."""
        waiting = [tag for tag in self.unacked if tag not in self.resolved]
        chosen = data.draw(st.sampled_from(waiting))
        for tag in [tag for tag in waiting if tag != chosen] if most else [chosen]:
            if not self.resolved - self.claimed():
                self.wake_expected = self.wakes + 1
            self.ledger.resolve(tag)
            self.resolved.add(tag)
            assert self.wakes == self.wake_expected

    def claimed(self) -> set[int]:
        """Resolved tags that a `due` has seen since."""
        return set(self.seen_behind_hole)

    @rule(elapsed_s=st.sampled_from([0.0, 0.3, 0.7, 1.0, 5.0]))
    def due(self, elapsed_s: float) -> None:
        """The acks as the broker would take them."""
        self.now += elapsed_s
        oldest_unresolved = min((tag for tag in self.unacked if tag not in self.resolved), default=self.last_tag + 1)
        acks = self.ledger.due(self.now)
        assert sum(ack.multiple for ack in acks) <= 1
        for tag, multiple in acks:
            assert tag in self.unacked, "406: unknown delivery tag"
            covered = {t for t in self.unacked if t <= tag} if multiple else {tag}
            assert covered <= self.resolved, "acked before it was safe"
            if not multiple:
                assert self.now - self.seen_behind_hole[tag] >= HOLE_PATIENCE_S, "impatient"
            for t in covered:
                self.arrivals.remove(self.unacked.pop(t))
                self.resolved.discard(t)
                self.seen_behind_hole.pop(t, None)
        assert not self.arrivals, "told of what is not acked"
        for tag in self.resolved:
            assert tag > oldest_unresolved, "a contiguous run was left"
            since = self.seen_behind_hole.setdefault(tag, self.now)
            assert self.now - since < HOLE_PATIENCE_S, "waited longer than the patience"

    @precondition(lambda self: self.last_tag > 20)
    @rule()
    def close(self) -> None:
        """The channel dies; late answers follow."""
        late = [tag for tag in self.unacked if tag not in self.resolved]
        assert self.ledger.close() == len(self.unacked)
        for tag in late:
            self.ledger.resolve(tag)
        self.unacked.clear()
        self.resolved.clear()
        self.seen_behind_hole.clear()

    @invariant()
    def counts_agree(self) -> None:
        """The ledger and the broker see the same."""
        if self.last_tag or self.ledger.closed:
            assert self.ledger.unacked == len(self.unacked)
            assert self.ledger.unresolved == len(self.unacked) - len(self.resolved)
            assert self.ledger.oldest_at() == next(iter(self.unacked.values()), None)


TestLedgerWalk = LedgerWalk.TestCase
TestLedgerWalk.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
