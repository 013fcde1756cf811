"""A feed knows how many of the first records are safe, and waits for servers without losing sight of what is lost."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import NoProgress
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.pipeline import feed as feed_module
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.testing.waiting import DEADLINE_S


class FakeConductor:
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[Delivery] = []
        self.total_held_bytes = 0
        self.lost = False
        self.held = 0

    def held_bytes(self, stream: str) -> int:
        """As `Conductor.held_bytes`."""
        return self.held

    def receive(self, delivery: Delivery) -> None:
        """As `Conductor.receive`."""
        self.received.append(delivery)

    def has_nothing_of(self, stream: str) -> bool:
        """As `Conductor.has_nothing_of`."""
        return self.lost


def feed_of(conductor: FakeConductor | None, patience_s: float | None = None, max_held_bytes: int = 100) -> Feed:
    """A feed of one line."""
    return Feed(cast(Conductor, conductor), "emea", max_held_bytes=max_held_bytes, patience_s=patience_s)


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed without patience looks again at once."""
    monkeypatch.setattr(feed_module, "LOOK_EVERY_S", 0.001)


@given(st.permutations(range(1, 12)))
def test_safe_is_what_has_no_gap_before_it(order: list[int]) -> None:
    """One that is resolved behind another that is not counts for nothing yet."""
    feed = feed_of(None, patience_s=1.0)
    resolved: set[int] = set()
    for tag in order:
        feed.resolve(tag)
        resolved.add(tag)
        assert feed.safe == next(number for number in range(12) if number + 1 not in resolved)
    assert (feed.resolved, feed.safe) == (11, 11)


def test_a_record_carries_its_own_time_and_whether_it_may_be_known() -> None:
    """Where a record has no time of its own in its fields, it is told by whoever hands it in."""
    conductor = FakeConductor()
    asyncio.run(feed_of(conductor).put(b"{}", received_at=1_700_000_000.0, perhaps_again=True))
    (delivery,) = conductor.received
    assert (delivery.received_at, delivery.redelivered, delivery.stream) == (1_700_000_000.0, True, "emea")


def test_without_patience_it_waits_for_memory_that_others_hold(looks_often: None) -> None:
    """Nothing of its own is on its way, so no ack of its own can wake it."""

    async def scenario() -> None:
        conductor = FakeConductor()
        conductor.total_held_bytes = 101
        putting = asyncio.create_task(feed_of(conductor).put(b"{}"))
        await asyncio.sleep(0.01)
        assert not conductor.received
        conductor.total_held_bytes = 100
        await asyncio.wait_for(putting, DEADLINE_S)
        assert len(conductor.received) == 1

    asyncio.run(scenario())


def test_what_is_polled_holds_a_part_of_the_memory_only(looks_often: None) -> None:
    """Events do not wait behind all that a source could hand in."""

    async def scenario() -> None:
        conductor = FakeConductor()
        conductor.held = 51
        feed = Feed(cast(Conductor, conductor), "acme/computers", max_held_bytes=100, max_own_bytes=50)
        putting = asyncio.create_task(feed.put(b"{}"))
        await asyncio.sleep(0.01)
        assert not conductor.received
        conductor.held = 50
        await asyncio.wait_for(putting, DEADLINE_S)
        assert len(conductor.received) == 1

    asyncio.run(scenario())


def test_without_patience_a_server_may_be_away_for_ever_but_a_record_may_not_be_lost(looks_often: None) -> None:
    """As long as the conductor has the record it is waited for; once a fault has lost it, nobody will resolve it."""

    async def scenario() -> None:
        conductor = FakeConductor()
        feed = feed_of(conductor)
        await feed.put(b"{}")
        finishing = asyncio.create_task(feed.finish())
        await asyncio.sleep(0.02)
        assert not finishing.done()
        conductor.lost = True
        with pytest.raises(NoProgress, match="lost"):
            await asyncio.wait_for(finishing, DEADLINE_S)

    asyncio.run(scenario())


def test_what_was_lost_is_told_once_and_then_waited_for_no_more(looks_often: None) -> None:
    """Who is told makes those records again: one fault does not hold up all that follow."""

    async def scenario() -> None:
        conductor = FakeConductor()
        feed = feed_of(conductor)
        await feed.put(b"{}")
        await feed.put(b"{}")
        feed.resolve(2)
        conductor.lost = True
        with pytest.raises(NoProgress, match="lost"):
            await feed.finish()
        await feed.put(b"{}")
        finishing = asyncio.create_task(feed.finish())
        await asyncio.sleep(0)
        feed.resolve(1)  # it was not lost after all
        await asyncio.sleep(0)
        assert not finishing.done()
        feed.resolve(3)
        await asyncio.wait_for(finishing, DEADLINE_S)
        assert (feed.fed, feed.resolved, feed.safe) == (3, 3, 3)

    asyncio.run(scenario())


def test_with_patience_a_command_gives_up() -> None:
    """Somebody waits for a command, and is told that no server acknowledges."""

    async def scenario() -> None:
        feed = feed_of(FakeConductor(), patience_s=0.01)
        await feed.put(b"{}")
        with pytest.raises(NoProgress, match=r"0\.01 s"):
            await feed.finish()

    asyncio.run(scenario())
