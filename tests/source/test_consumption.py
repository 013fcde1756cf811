"""What a stream consumes of a real RabbitMQ: it begins carefully, gives back what it must, and stands by."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fluent_plugin_amp.facts import (
    MemoryBrake,
    StreamConnected,
    StreamConsuming,
    StreamHeld,
    StreamPaused,
    StreamTrouble,
)
from fluent_plugin_amp.source.flow import (
    Situation,
)
from fluent_plugin_amp.source.transitions import Action, Reason, State
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.source.rig import (
    DEADLINE_S,
    LIMIT_BYTES,
    Rig,
    polled,
    tick_often,
)

if TYPE_CHECKING:
    from tests.conftest import MakeStream


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never waits long."""
    tick_often(monkeypatch)


# --- how it begins -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_one_event_then_all(broker: PrivateRabbitMQ, make_stream: MakeStream, kind: Any) -> None:
    """One event until a server has acked it; then the rest, and the change costs no redelivery."""
    rig = Rig(broker, make_stream(kind=kind))
    bodies = await rig.publish(300)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        await rig.depth(lambda depth: depth == (299, 1, 1))
        assert len(rig.intake.received) == 1
        rig.intake.acks_at_once = True
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.received) == 300)
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert [delivery.body for delivery in rig.intake.received] == bodies
    assert not any(delivery.redelivered for delivery in rig.intake.received)
    assert rig.told(StreamConnected) == [StreamConnected("emea", rig.queue, messages=300, consumers=0)]
    assert rig.told(StreamConsuming) == [StreamConsuming("emea", 100, "a server acked")]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_the_trial_of_each_channel_costs_no_redelivery(
    broker: PrivateRabbitMQ, make_stream: MakeStream, kind: Any
) -> None:
    """The cancel goes out before the ack that would let the next message cross it, however often it is tried."""
    credentials = make_stream(kind=kind)
    rig = Rig(broker, credentials)
    bodies = await rig.publish(300)
    async with rig.running():
        for number in range(15):
            # The trial's event is acked to the broker, and nothing else was delivered when the connection ends.
            await rig.until(lambda number=number: len(rig.intake.received) > number)  # type: ignore[misc]
            rig.intake.available = False
            rig.intake.ack()
            await rig.depth(lambda depth: depth.unacked == 0 and depth.consumers == 0)
            await rig.close_connection()
            rig.intake.available = True
    rig = Rig(broker, credentials, acks_at_once=True, once=True)
    await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    counted = Counter(delivery.body for delivery in rig.intake.received)
    assert set(counted) <= set(bodies)
    assert not any(delivery.redelivered for delivery in rig.intake.received)


async def test_a_trial_does_not_spin_while_other_streams_go_on(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """Acks of others decide nothing while the trial's event is in flight: the stream waited for it in a busy loop."""
    rig = Rig(broker, make_stream())
    looks, spun = 0, asyncio.Event()
    look = rig.stream.flow.next

    def counted(view: Situation) -> Action:
        nonlocal looks
        looks += 1
        if looks > 100:
            spun.set()
        return look(view)

    rig.stream.flow.next = counted  # type: ignore[method-assign]
    await rig.publish(2)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.acked_chunks += 1
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(spun.wait(), 0.5)
        assert len(rig.intake.received) == 1
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.received) == 2)


async def test_nothing_is_taken_while_no_server_is_there(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """The events stay in the queue until a server comes."""
    rig = Rig(broker, make_stream(), acks_at_once=True)
    rig.intake.available = False
    await rig.publish(5)
    async with rig.running():
        await rig.until(lambda: rig.told(StreamHeld))
        assert rig.told(StreamHeld) == [StreamHeld("emea", "no server takes events")]
        await rig.depth(lambda depth: depth == (5, 0, 0))
        rig.intake.available = True
        rig.stream.wake()
        await rig.depth(lambda depth: depth[:2] == (0, 0))


async def test_no_more_than_the_prefetch(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """With a server that does not ack, the broker sends as many as the prefetch, and no more."""
    rig = Rig(broker, make_stream(), prefetch_count=7)
    await rig.publish(50)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.waiting) == 7)
        await rig.depth(lambda depth: depth == (42, 7, 1))
        rig.intake.ack(*rig.intake.waiting[:3])
        await rig.until(lambda: len(rig.intake.waiting) == 7)
        await rig.depth(lambda depth: depth == (39, 7, 1))


# --- giving back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_pause_requeues_and_an_ack_resumes(
    broker: PrivateRabbitMQ, make_stream: MakeStream, kind: Any
) -> None:
    """What stayed unacked too long is all in the queue again, until a server acks what it still has."""
    rig = Rig(broker, make_stream(kind=kind), pause_after_s=0.5)
    bodies = await rig.publish(30)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.waiting) == 29)
        await rig.until(lambda: rig.told(StreamPaused))
        await rig.depth(lambda depth: depth == (29, 0, 0))
        assert rig.told(StreamPaused) == [StreamPaused("emea", 0.5, requeued=29)]
        assert (rig.stream.requeued, rig.stream.oldest_unacked_s) == (29, 0.0)
        assert not rig.intake.waiting
        await rig.until(lambda: rig.told(StreamHeld))
        rig.intake.acks_at_once = True
        rig.intake.ack_the_probe()
        await rig.until(lambda: len(rig.intake.received) == 59)
        await rig.depth(lambda depth: depth == (0, 0, 1))
    again = [delivery.body for delivery in rig.intake.received if delivery.redelivered]
    assert sorted(again) == sorted(bodies[1:])
    assert len(rig.told(StreamConnected)) == 1


async def test_acks_behind_a_hole_are_not_lost_in_a_pause(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """What became safe within the ledger's patience is acked before the rest is requeued."""
    rig = Rig(broker, make_stream(), pause_after_s=0.3)
    bodies = await rig.publish(30)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.waiting) == 29)
        rig.intake.ack(*rig.intake.waiting[1:])
        await rig.until(lambda: rig.told(StreamPaused))
        await rig.depth(lambda depth: depth == (1, 0, 0))
        rig.intake.acks_at_once = True
        rig.intake.ack_the_probe()
        await rig.until(lambda: len(rig.intake.received) == 31)
    assert rig.intake.received[-1].body == bodies[1]


async def test_large_events_brake(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Over the memory limit it takes no more, lowers the prefetch for good, and loses nothing."""
    rig = Rig(broker, make_stream(kind="quorum"), prefetch_count=50)
    bodies = await rig.publish(60, size_bytes=50_000)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: rig.told(MemoryBrake))
        (brake,) = rig.told(MemoryBrake)
        assert brake.prefetch_count == LIMIT_BYTES // 2 // len(bodies[10])
        assert LIMIT_BYTES < brake.held_bytes <= 50 * len(bodies[10])
        while len({delivery.body for delivery in rig.intake.received}) < 60 or rig.intake.waiting:
            before = len(rig.intake.received)
            rig.intake.ack()
            if len({delivery.body for delivery in rig.intake.received}) < 60:
                await rig.until(lambda before=before: len(rig.intake.received) > before)  # type: ignore[misc]
        await rig.depth(lambda depth: depth[:2] == (0, 0))
    after = [fact for fact in rig.told(StreamConsuming) if fact.prefetch_count == brake.prefetch_count]
    assert [fact.reason for fact in after] == ["memory is free again"]
    assert len(rig.told(MemoryBrake)) == 1


# --- standing by ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_standby_takes_over(broker: PrivateRabbitMQ, make_stream: MakeStream, kind: Any) -> None:
    """Of two exclusive streams one consumes; the other one does when the first has stopped."""
    credentials = make_stream(kind=kind)
    # Chance keeps two that step back at the same moment from doing so for ever.
    first, second = (
        Rig(broker, credentials, acks_at_once=True, exclusive=True, jitter=random.random) for _ in range(2)
    )
    async with second.running(), first.running():
        bodies = await first.publish(20)

        def settled() -> bool:
            flows = [rig.stream.flow for rig in (first, second)]
            is_standing_by = Reason.STANDING_BY in {flow.reason for flow in flows}
            return is_standing_by and {flow.state.consumes for flow in flows} == {True, False}

        async def settle() -> None:  # until then the queue may change hands
            while not settled():
                await first.depth(lambda depth: depth.consumers <= 1)

        await asyncio.wait_for(settle(), DEADLINE_S)
        await first.depth(lambda depth: depth == (0, 0, 1))
        active, standby = (first, second) if first.stream.flow.state.consumes else (second, first)
        active.stream.stop()
        before = len(standby.intake.received)
        await standby.publish(20)
        await standby.until(lambda: len(standby.intake.received) == before + 20)
        await standby.depth(lambda depth: depth == (0, 0, 1))
    received = Counter(delivery.body for rig in (first, second) for delivery in rig.intake.received)
    assert set(received) == set(bodies)
    assert min(received.values()) >= 2


# --- whether it gets everything ------------------------------------------------------------------


async def test_a_quiet_stream_gets_everything_once_its_queue_was_seen_empty(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """Also after a new connection, on which no server acked anything yet; not while there is none."""
    rig = Rig(broker, make_stream())
    stream = rig.stream
    assert not stream.gets_everything
    async with rig.running():
        await rig.depth(lambda depth: depth == (0, 0, 1))
        assert stream.gets_everything
        await rig.publish(2)
        await rig.until(lambda: rig.intake.received)
        assert not stream.gets_everything  # there may be more behind it
        rig.intake.acks_at_once = True
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.received) == 2)
        await rig.depth(lambda depth: depth == (0, 0, 1))
        assert stream.gets_everything
        await rig.close_connection()
        assert not stream.gets_everything
        await rig.until(lambda: len(rig.told(StreamConnected)) == 2)
        await rig.depth(lambda depth: depth == (0, 0, 1))
        assert stream.gets_everything
        assert stream.flow.state is State.TRIAL


async def test_what_an_unfinished_consumer_holds_is_not_nothing(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """A queue is not empty while the broker waits for the acks of somebody that it does not know to be gone."""
    credentials = make_stream()
    rig, other = Rig(broker, credentials), Rig(broker, credentials)
    await rig.publish(1)
    async with other.running():
        await other.depth(lambda depth: depth == (0, 1, 1))
        async with rig.running():
            await rig.depth(lambda depth: depth == (0, 1, 2))
            assert not rig.stream.gets_everything


async def test_a_polled_stream_gets_everything_once_it_found_nothing(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """Not after a round that brought events, more may be waiting by now; and not while it is in trouble."""
    rig = Rig(broker, make_stream(), acks_at_once=True, poll_interval_s=0.3)
    await rig.publish(1)
    async with rig.running():
        await polled(rig, 1)
        assert not rig.stream.gets_everything
        await polled(rig, 2)
        assert rig.stream.gets_everything
        await asyncio.to_thread(broker.delete_queue, rig.queue)
        await rig.until(lambda: rig.told(StreamTrouble))
        assert not rig.stream.gets_everything


async def test_other_consumers_are_counted(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """They get their part of the events; the stream's own consumer is none of them."""
    first, second = Rig(broker, credentials := make_stream(), acks_at_once=True), Rig(broker, credentials)
    async with first.running():
        await first.depth(lambda depth: depth.consumers == 1)
        await first.stream.look()
        assert first.stream.others == 0
        async with second.running():
            await first.depth(lambda depth: depth.consumers == 2)
            await first.stream.look()
            assert first.stream.others == 1
        await first.stream.look()
        assert first.stream.others == 0


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_an_exclusive_stream_waits_for_one_that_is_not(
    broker: PrivateRabbitMQ, make_stream: MakeStream, kind: Any
) -> None:
    """The way from one process to two: the second one, exclusive, stands by until the first one has stopped."""
    credentials = make_stream(kind=kind)
    first = Rig(broker, credentials, acks_at_once=True)
    second = Rig(broker, credentials, acks_at_once=True, exclusive=True)
    async with first.running():
        await first.publish(20)
        await first.until(lambda: len(first.intake.received) == 20)
        async with second.running():
            await second.until(lambda: second.stream.flow.reason is Reason.STANDING_BY)
            await first.publish(20)
            await first.until(lambda: len(first.intake.received) == 40)
            assert not second.intake.received
            first.stream.stop()
            await second.publish(20)
            await second.until(lambda: len(second.intake.received) == 20)
