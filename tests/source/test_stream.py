"""A stream against a real RabbitMQ: it comes back from everything, and ends when it is to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pika import spec

from fluent_plugin_amp import backoff
from fluent_plugin_amp.cisco.errors import CloudUnreachable, EventStreamNotFound
from fluent_plugin_amp.errors import (
    BrokerConnectionLost,
    BrokerCredentialsRefused,
    BrokerUnreachable,
    BrokerViolation,
    ConsumerCancelled,
    EventTooLarge,
    InternalFault,
    NoProgress,
    QueueNotFound,
)
from fluent_plugin_amp.facts import (
    DeliveryRequeuedOften,
    EventsVanished,
    InternalError,
    StreamConnected,
    StreamPaused,
    StreamPolled,
    StreamTrouble,
)
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.source import amqp, consumption, retry
from fluent_plugin_amp.source import stream as stream_module
from fluent_plugin_amp.source.content import Reader
from fluent_plugin_amp.source.flow import (
    MANY_REQUEUES,
    REQUEUED_OFTEN_RETRY_S,
    Flow,
)
from fluent_plugin_amp.source.round import Round
from fluent_plugin_amp.source.settings import Location, StreamSettings
from fluent_plugin_amp.source.starvation import LOOKS
from fluent_plugin_amp.source.stream import Stream
from fluent_plugin_amp.source.transitions import State
from fluent_plugin_amp.testing.erlang import erlang_binary
from fluent_plugin_amp.testing.hostile_broker import Consumer, HostileBroker, Script, method_frame
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from tests.source.rig import (
    DEADLINE_S,
    LIMIT_BYTES,
    Rig,
    ScriptedIntake,
    Whereabouts,
    location_of,
    polled,
    tick_often,
)

if TYPE_CHECKING:
    from tests.conftest import MakeStream


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that looks at its deliveries more often than it needs to, and never waits long."""
    tick_often(monkeypatch)
    monkeypatch.setattr(backoff, "outage_cap_s", lambda outage_s: 0.2)


# --- what it does not take -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_an_event_that_is_too_large_stays_in_the_queue(
    broker: PrivateRabbitMQ, make_stream: MakeStream, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is behind it; when the limit is raised all of them arrive."""
    monkeypatch.setattr(retry, "COMES_AGAIN_PACE", backoff.Pace(0.05, 3600.0))
    credentials = make_stream(kind=kind, delivery_limit=20 if kind == "quorum" else None)
    bodies = [b"first", b"large" * 1000, b"behind"]
    await asyncio.to_thread(broker.publish, credentials.queue, bodies)
    rig = Rig(broker, credentials, acks_at_once=True, max_event_bytes=1000)
    async with rig.running():
        await rig.until(lambda: len(rig.told(StreamTrouble)) == 5)
    errors = [trouble.error for trouble in rig.told(StreamTrouble)]
    assert {type(error) for error in errors} == {EventTooLarge}
    assert str(errors[0]) == "an event of 5,000 bytes, where 1,000 are taken"
    if kind == "quorum":
        assert str(errors[4]).endswith("; a quorum queue had it requeued 4 times so far")
    taken = {delivery.body for delivery in rig.intake.received}
    # a quorum queue lets what is behind a requeued message pass it
    assert taken == {b"first"} if kind == "classic" else taken <= {b"first", b"behind"}
    again = Rig(broker, credentials, acks_at_once=True, once=True, max_event_bytes=5000)
    await asyncio.wait_for(again.stream.run(), DEADLINE_S)
    assert taken | {delivery.body for delivery in again.intake.received} == set(bodies)


async def test_an_event_that_is_too_large_is_asked_for_at_most_once_a_minute(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """Said with the trouble; and nobody waits for it with ``once``."""
    credentials = make_stream()
    await asyncio.to_thread(broker.publish, credentials.queue, [b"x" * 2000])
    rig = Rig(broker, credentials, max_event_bytes=1000)
    async with rig.running():
        await rig.until(lambda: rig.told(StreamTrouble))
    assert rig.told(StreamTrouble)[0].retry_in_s >= 60.0
    once = Rig(broker, credentials, max_event_bytes=1000, once=True)
    with pytest.raises(EventTooLarge):
        await asyncio.wait_for(once.stream.run(), DEADLINE_S)


@contextlib.asynccontextmanager
async def hostile(script: Script, **options: Any) -> AsyncIterator[tuple[HostileBroker, Rig]]:
    """A stream of a broker that sends what the script says."""
    async with HostileBroker(script, messages=1, **options) as broker:
        credentials = StreamCredentials("queue", "user", "secret", "", "")
        rig = Rig(cast(PrivateRabbitMQ, broker), credentials)
        async with rig.running():
            yield broker, rig
    assert not broker.failures


async def test_what_a_queue_deletes_at_its_delivery_limit_is_told(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """The broker says nothing, and the event never comes again."""
    rig = Rig(broker, make_stream(kind="quorum", delivery_limit=2))
    await rig.publish(1)
    async with rig.running():
        for times in range(1, 4):
            await rig.until(lambda times=times: len(rig.intake.received) == times)  # type: ignore[misc]
            assert rig.told(EventsVanished) == []
            await rig.close_connection()
        await rig.until(lambda: rig.told(EventsVanished))
    assert rig.told(EventsVanished) == [EventsVanished("emea", 1)]
    await rig.depth(lambda depth: depth == (0, 0, 0))


async def test_after_a_violation_it_begins_with_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was consumed before; a repeated delivery tag is a violation like any other."""
    monkeypatch.setattr(retry, "COMES_AGAIN_PACE", backoff.Pace(0.05, 3600.0))

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b"one"))
        await consumer.heard(spec.Basic.Consume)  # in full, which this broker answers with the same again
        await consumer.send(consumer.delivery(1, b"one"))

    async with hostile(script) as (broker, rig):
        rig.intake.acks_at_once = True
        await rig.until(lambda: len(rig.told(StreamTrouble)) == 2)
        prefetched = [method.prefetch_count for method in broker.methods if isinstance(method, spec.Basic.Qos)]
        assert prefetched[:4] == [1, 100, 1, 100]
    assert {type(trouble.error) for trouble in rig.told(StreamTrouble)} == {BrokerViolation}


async def test_more_deliveries_than_were_asked_for() -> None:
    """Memory is bounded by the prefetch, so a broker that does not keep to it is not believed; none is taken."""

    async def script(consumer: Consumer) -> None:
        await consumer.send(*(consumer.delivery(tag, b"x") for tag in range(1, 1001)))
        await consumer.gone()

    async with hostile(script) as (_, rig):
        await rig.until(lambda: rig.told(StreamTrouble))
    (trouble,) = rig.told(StreamTrouble)
    assert str(trouble.error) == "more deliveries than the 1 that were asked for"
    assert trouble.retry_in_s >= 60.0
    assert rig.intake.received == []


async def test_a_broker_that_beats_its_heart_and_answers_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue may hang, half a delivery sent, while its connection lives: it is told, and connected anew."""
    monkeypatch.setattr(amqp, "REPLY_TIMEOUT_S", 0.1)
    consumed = asyncio.Event()

    async def script(consumer: Consumer) -> None:
        consumed.set()
        await consumer.send(consumer.delivery(1, b"half", body_size=1000))
        await consumer.gone()

    def declared(declare: spec.Queue.Declare, channel: int) -> bytes:
        return b"" if consumed.is_set() else method_frame(spec.Queue.DeclareOk(declare.queue, 1, 0), channel)

    async with hostile(script, answers={spec.Queue.Declare: declared}) as (_, rig):
        await asyncio.wait_for(consumed.wait(), DEADLINE_S)
        await rig.stream.look()
        await rig.until(lambda: rig.told(StreamTrouble))
    assert isinstance(rig.told(StreamTrouble)[0].error, BrokerConnectionLost)


# --- trouble -------------------------------------------------------------------------------------


async def test_it_comes_back_after_a_forced_close(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """What was unacked comes again, redelivered, and nothing else does."""
    rig = Rig(broker, make_stream())
    bodies = await rig.publish(50)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.received) == 50)
        rig.intake.ack(*rig.intake.waiting[:10])
        await rig.depth(lambda depth: depth.unacked == 39)
        await rig.close_connection()
        rig.intake.acks_at_once = True
        await rig.until(lambda: len(rig.intake.received) == 89)
        await rig.depth(lambda depth: depth == (0, 0, 1))
    again = [delivery.body for delivery in rig.intake.received if delivery.redelivered]
    assert sorted(again) == sorted(bodies[11:])
    (trouble,) = rig.told(StreamTrouble)
    assert isinstance(trouble.error, BrokerConnectionLost)
    assert trouble.retry_in_s < 1


async def test_it_comes_back_after_a_restart(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """However long the broker is away."""
    rig = Rig(broker, make_stream(), acks_at_once=True)
    await rig.publish(5)
    async with rig.running():
        await rig.depth(lambda depth: depth == (0, 0, 1))
        await asyncio.to_thread(broker.restart)
        await rig.publish(5)
        await rig.depth(lambda depth: depth == (0, 0, 1))
        assert len(rig.intake.received) == 10
    assert rig.told(StreamTrouble)


async def test_a_deleted_queue_is_noticed(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """It does not look like an idle one."""
    rig = Rig(broker, make_stream(), acks_at_once=True)
    async with rig.running():
        await rig.depth(lambda depth: depth.consumers == 1)
        await asyncio.to_thread(broker.delete_queue, rig.queue)
        await rig.until(lambda: len(rig.told(StreamTrouble)) >= 2)
    first, second, *_ = rig.told(StreamTrouble)
    assert isinstance(first.error, ConsumerCancelled)
    assert isinstance(second.error, QueueNotFound)


async def test_a_forgotten_consumer_is_noticed(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """RabbitMQ 3.10 kept silent when a quorum queue was deleted and declared at once: the stream stood for ever."""
    rig = Rig(broker, make_stream(), acks_at_once=True)
    name = f"rabbit_misc:r({erlang_binary('/')}, queue, {erlang_binary(rig.queue)})"
    forget = f"""
        {{ok, Queue}} = rabbit_amqqueue:lookup({name}),
        [Consumer] = rabbit_amqqueue:consumers(Queue),
        Cancel = {{basic_cancel, element(1, Consumer), element(2, Consumer), undefined, {erlang_binary("test")}}},
        gen_server2:call(amqqueue:get_pid(Queue), Cancel, infinity)
    """
    await rig.publish(5)
    async with rig.running():
        await rig.depth(lambda depth: depth == (0, 0, 1))
        await asyncio.to_thread(broker.evaluate, forget)
        await rig.publish(5)
        assert await rig.depth(lambda depth: True) == (5, 0, 0)
        for _ in range(LOOKS + 1):
            await rig.stream.look()
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert isinstance(rig.told(StreamTrouble)[0].error, ConsumerCancelled)


async def test_what_nobody_foresaw_costs_the_channel_and_is_tried_again(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything goes back to the queue, the stream waits for long, and goes on when the trouble is over."""
    delays: list[float] = []

    def no_delay(*_: object, first_s: float, **__: object) -> float:
        delays.append(first_s)
        return 0.0

    monkeypatch.setattr(backoff, "backoff_s", no_delay)
    rig = Rig(broker, make_stream(), acks_at_once=True)
    bodies = await rig.publish(3)
    receive, error = rig.intake.receive, ZeroDivisionError()

    def trip(delivery: Delivery) -> None:
        rig.intake.receive = receive  # type: ignore[method-assign]
        raise error

    rig.intake.receive = trip  # type: ignore[method-assign]
    async with rig.running():
        await rig.until(lambda: len(rig.intake.received) == 3)
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert rig.told(InternalError) == [InternalError("stream", error)]
    assert isinstance(rig.told(StreamTrouble)[0].error, InternalFault)
    assert delays == [retry.FAULT_PACE.first_s]
    assert [delivery.body for delivery in rig.intake.received] == bodies


async def test_acks_that_cannot_be_sent_cost_the_channel(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent in a callback, whose failure the stream hears of."""
    monkeypatch.setattr(backoff, "backoff_s", lambda *_, **__: 0.0)
    rig = Rig(broker, make_stream(), acks_at_once=True)
    await rig.publish(3)
    ack, error = amqp.Channel.ack, ZeroDivisionError()

    def trip(channel: amqp.Channel, delivery_tag: int, *, multiple: bool) -> None:
        monkeypatch.setattr(amqp.Channel, "ack", ack)
        raise error

    monkeypatch.setattr(amqp.Channel, "ack", trip)
    async with rig.running():
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert InternalError("stream", error) in rig.facts


async def test_with_once_a_fault_of_our_own_is_raised(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Nobody waits for what may never end; the queue keeps everything."""
    rig = Rig(broker, make_stream(), once=True)
    await rig.publish(1)

    def trip(delivery: Delivery) -> None:
        raise ZeroDivisionError

    rig.intake.receive = trip  # type: ignore[method-assign]
    with pytest.raises(InternalFault, match="ZeroDivisionError"):
        await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    await rig.depth(lambda depth: depth == (1, 0, 0))


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_hundred_reconnects_without_a_server_lose_nothing(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """A quorum queue deletes what was requeued too often; without a server nothing is taken, and none requeued."""
    monkeypatch.setattr(backoff, "backoff_s", lambda *arguments, **options: 0.0)
    rig = Rig(broker, make_stream(kind=kind, delivery_limit=3 if kind == "quorum" else None))
    rig.intake.available = False
    bodies = await rig.publish(20)
    async with rig.running():
        for number in range(100):
            await rig.until(lambda number=number: len(rig.told(StreamConnected)) > number)  # type: ignore[misc]
            await rig.close_connection()
        rig.intake.available = rig.intake.acks_at_once = True
        await rig.until(lambda: len(rig.intake.received) == 20)
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert [delivery.body for delivery in rig.intake.received] == bodies
    assert not any(delivery.redelivered for delivery in rig.intake.received)


async def test_a_connection_lost_in_the_trial_returns_one_message(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """And from the fifth time on the next connection waits for a minute, and it is said why."""
    rig = Rig(broker, make_stream(kind="quorum", delivery_limit=20))
    bodies = await rig.publish(10)
    async with rig.running():
        for number in range(MANY_REQUEUES + 1):
            await rig.until(lambda number=number: len(rig.intake.received) > number)  # type: ignore[misc]
            await rig.close_connection()
        assert [delivery.body for delivery in rig.intake.received] == bodies[:1] * (MANY_REQUEUES + 1)
    *before, last = rig.told(StreamTrouble)
    assert all(trouble.retry_in_s <= 0.2 for trouble in before)
    assert last.retry_in_s == REQUEUED_OFTEN_RETRY_S
    assert rig.told(DeliveryRequeuedOften) == [DeliveryRequeuedOften("emea", MANY_REQUEUES)]
    await rig.depth(lambda depth: depth.ready == 10)


# --- where it is ---------------------------------------------------------------------------------


async def test_trouble_with_finding_it_is_trouble_like_any_other(
    broker: PrivateRabbitMQ, make_stream: MakeStream
) -> None:
    """Tried again, slowly after a refusal, until the stream is found; then not asked for again."""
    credentials = make_stream()
    where = Whereabouts(
        CloudUnreachable("no connection"), EventStreamNotFound("none"), location_of(broker, credentials)
    )
    rig = Rig(broker, credentials, acks_at_once=True, locate=where)
    await rig.publish(5)
    async with rig.running():
        await rig.depth(lambda depth: depth == (0, 0, 1))
        await rig.close_connection()
        await rig.publish(5)
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert where.asked == 3
    first, second, third = rig.told(StreamTrouble)
    assert [type(each.error) for each in (first, second, third)] == [
        CloudUnreachable,
        EventStreamNotFound,
        BrokerConnectionLost,
    ]
    assert second.retry_in_s > first.retry_in_s


@pytest.mark.parametrize("gone", ["queue", "user"])
async def test_a_stream_that_was_made_again_is_found_again(
    broker: PrivateRabbitMQ, make_stream: MakeStream, gone: str
) -> None:
    """A queue that is not there, or a user who is refused, is asked for anew."""
    old, new = make_stream(), make_stream()
    stale = location_of(broker, old)
    if gone == "queue":
        await asyncio.to_thread(broker.delete_queue, old.queue)
    else:
        stale = replace(stale, broker=replace(stale.broker, username="nobody"))
    where = Whereabouts(stale, location_of(broker, new))
    rig = Rig(broker, new, acks_at_once=True, locate=where)
    await rig.publish(5)
    async with rig.running():
        await rig.depth(lambda depth: depth == (0, 0, 1))
    assert where.asked == 2
    (trouble,) = rig.told(StreamTrouble)
    assert isinstance(trouble.error, QueueNotFound if gone == "queue" else BrokerCredentialsRefused)
    assert [fact.queue for fact in rig.told(StreamConnected)] == [new.queue]


async def test_once_a_stream_that_is_not_there_is_raised(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """With ``once`` what the cloud refuses is not tried again."""
    rig = Rig(broker, make_stream(), locate=Whereabouts(EventStreamNotFound("none")), once=True)
    with pytest.raises(EventStreamNotFound):
        await asyncio.wait_for(rig.stream.run(), DEADLINE_S)


# --- the end -------------------------------------------------------------------------------------


async def test_stop_drains_and_acks(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """It consumes no more, waits for what it holds, and the broker has every ack when `run` returns."""
    rig = Rig(broker, make_stream(), prefetch_count=10)
    await rig.publish(50)
    async with rig.running() as task:
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.waiting) == 10)
        rig.stream.stop()
        await rig.depth(lambda depth: depth == (39, 10, 0))
        assert not task.done()
        rig.intake.ack()
        await asyncio.wait_for(task, DEADLINE_S)
        depth = await asyncio.to_thread(broker.queue_depth, rig.queue)
    assert depth == (39, 0, 0)
    assert len(rig.intake.received) == 11


async def test_stop_does_not_wait_for_ever(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """After the shutdown timeout it leaves; what is safe is acked, holes or not, the rest is in the queue again."""
    rig = Rig(broker, make_stream(), prefetch_count=10, shutdown_timeout_s=0.2)
    await rig.publish(11)
    task = asyncio.create_task(rig.stream.run())
    await rig.until(lambda: rig.intake.received)
    rig.intake.ack()
    await rig.until(lambda: len(rig.intake.waiting) == 10)
    rig.stream.stop()
    rig.intake.ack(*rig.intake.waiting[1::2])
    await asyncio.wait_for(task, DEADLINE_S)
    await rig.depth(lambda depth: depth == (5, 0, 0))


async def test_stop_while_a_connection_is_awaited() -> None:
    """There is nothing to drain, so nothing to wait for, although the peer keeps silent."""
    arrived, stopped = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await stopped.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    silent = amqp.BrokerAddress("127.0.0.1", port, "user", "secret", connect_timeout_s=600.0)
    settings = StreamSettings(
        name="emea",
        locate=Whereabouts(Location(silent, "event_stream_1")),
        memory_limit_bytes=LIMIT_BYTES,
        max_event_bytes=LIMIT_BYTES,
        shutdown_timeout_s=DEADLINE_S,
        pause_after_s=600.0,
    )
    flow = Flow(prefetch_count=1, pause_after_s=600.0, share_bytes=1, memory_limit_bytes=1)
    stream = Stream(settings, flow, ScriptedIntake(), lambda fact: None)
    task = asyncio.create_task(stream.run())
    await asyncio.wait_for(arrived.wait(), DEADLINE_S)
    stream.stop()
    await asyncio.wait_for(task, DEADLINE_S)
    stopped.set()
    server.close()


async def test_stop_with_a_frozen_broker(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that does not answer to the cancel holds up the end no longer than the shutdown timeout."""
    monkeypatch.setattr(stream_module, "CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(consumption, "CLOSE_TIMEOUT_S", 0.2)
    rig = Rig(broker, make_stream(), shutdown_timeout_s=0.2)
    await rig.publish(5)
    task = asyncio.create_task(rig.stream.run())
    await rig.until(lambda: rig.intake.received)
    rig.intake.ack()
    await rig.until(lambda: len(rig.intake.waiting) == 4)
    broker.freeze()
    rig.stream.stop()
    await asyncio.wait_for(task, DEADLINE_S)
    broker.thaw()
    await rig.depth(lambda depth: depth == (4, 0, 0))


async def test_a_cancelled_run_is_cancelled(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Cancelling is not stopping: it ends at once, with everything unacked in the queue again."""
    rig = Rig(broker, make_stream())
    await rig.publish(5)
    task = asyncio.create_task(rig.stream.run())
    await rig.until(lambda: rig.intake.received)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await rig.depth(lambda depth: depth == (5, 0, 0))


# --- once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 30])
async def test_once_ends_when_the_queue_is_done(broker: PrivateRabbitMQ, make_stream: MakeStream, count: int) -> None:
    """What was there at the start is delivered and acked, then `run` returns by itself."""
    rig = Rig(broker, make_stream(), acks_at_once=True, once=True)
    bodies = await rig.publish(count)
    await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    assert [delivery.body for delivery in rig.intake.received] == bodies
    await rig.depth(lambda depth: depth == (0, 0, 0))


async def test_once_survives_a_lost_connection(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """What was there at the start is delivered, also what came back meanwhile."""
    rig = Rig(broker, make_stream(), once=True)
    bodies = await rig.publish(30)
    async with rig.running() as task:
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: len(rig.intake.waiting) == 29)
        await rig.close_connection()
        rig.intake.acks_at_once = True
        await asyncio.wait_for(task, DEADLINE_S)
    assert {delivery.body for delivery in rig.intake.received} == set(bodies)
    await rig.depth(lambda depth: depth == (0, 0, 0))


async def test_once_raises_a_refusal(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """A wrong password is not retried."""
    rig = Rig(broker, replace(make_stream(), password="wrong"), once=True)
    with pytest.raises(BrokerCredentialsRefused):
        await asyncio.wait_for(rig.stream.run(), DEADLINE_S)


async def test_once_raises_when_no_server_takes_anything(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """After `pause_after` without progress, and the queue is as it was."""
    rig = Rig(broker, make_stream(), once=True, pause_after_s=0.3)
    rig.intake.available = False
    await rig.publish(3)
    with pytest.raises(NoProgress, match="no server takes events"):
        await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    await rig.depth(lambda depth: depth == (3, 0, 0))


@pytest.mark.parametrize(
    ("is_held", "said"),
    [(True, "no server has acknowledged all of 1 event"), (False, "a server has 1 event; the state file is to note")],
)
async def test_once_raises_when_an_event_is_never_safe(
    broker: PrivateRabbitMQ, make_stream: MakeStream, is_held: bool, said: str
) -> None:
    """It says what the event waits for.  The event goes back, and the end is no success."""
    rig = Rig(broker, make_stream(), once=True, pause_after_s=0.3)
    if not is_held:  # a server has it
        rig.intake.held_bytes = lambda stream: 0  # type: ignore[method-assign]
    await rig.publish(3)
    with pytest.raises(NoProgress, match=said):
        await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    await rig.depth(lambda depth: depth == (3, 0, 0))


async def test_once_raises_when_the_broker_stays_away(
    broker: PrivateRabbitMQ, make_stream: MakeStream, free_port: int
) -> None:
    """Tried again until `pause_after` is over, and then the last error is raised."""
    credentials = make_stream()
    away = amqp.BrokerAddress("127.0.0.1", free_port, credentials.username, credentials.password)
    rig = Rig(broker, credentials, once=True, pause_after_s=0.5)
    rig.stream.settings = replace(rig.stream.settings, locate=Whereabouts(Location(away, rig.queue)))
    with pytest.raises(BrokerUnreachable):
        await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    assert rig.told(StreamTrouble)


# --- polled --------------------------------------------------------------------------------------

POLL_S = 0.3
LATER_S = 600.0


async def test_a_round_brings_what_is_in_the_queue(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Connect, deliver, disconnect; what it brought, how long it took, and when the next one begins."""
    rig = Rig(broker, make_stream(), acks_at_once=True, poll_interval_s=LATER_S)
    bodies = await rig.publish(30)
    async with rig.running():
        (told,) = await polled(rig, 1)
        assert [delivery.body for delivery in rig.intake.received] == bodies
        assert (told.counted.received, told.counted.delivered) == (30, 30)
        assert told.next_in_s == pytest.approx(LATER_S - told.took_s)
        assert (rig.stream.connected, rig.stream.resting) == (False, True)
        await rig.depth(lambda depth: depth == (0, 0, 0))
        await rig.publish(5)
        await rig.depth(lambda depth: depth == (5, 0, 0))
    assert rig.told(StreamTrouble) == []
    assert len(rig.told(StreamPolled)) == 1


async def test_round_after_round(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """Each has a connection of its own, what came meanwhile, and one time of its own for all its events."""
    rig = Rig(broker, make_stream(), acks_at_once=True, poll_interval_s=POLL_S)
    async with rig.running():
        for number in range(3):
            await rig.publish(20)
            await rig.until(lambda number=number: len(rig.intake.received) == 20 * (number + 1))  # type: ignore[misc]
            rounds = len(rig.told(StreamPolled))
            await polled(rig, rounds + 1)
    pulls: dict[float, list[float]] = {}
    for delivery in rig.intake.received:
        pulls.setdefault(delivery.pulled_at, []).append(delivery.received_at)
    assert 3 <= len(pulls) <= len(rig.told(StreamConnected))
    assert all(pulled_at <= min(received_at) for pulled_at, received_at in pulls.items())
    assert sum(told.counted.received for told in rig.told(StreamPolled)) == 60
    assert all(told.is_poll for told in rig.told(StreamConnected))


async def test_what_comes_during_a_round_is_the_next_ones(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """A round ends, however many events come."""
    rig = Rig(broker, make_stream(), prefetch_count=1, poll_interval_s=LATER_S)
    await rig.publish(2)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        await rig.publish(5000)  # one at a time, a round trip each: many times as long as the round takes to end
        rig.intake.acks_at_once = True
        rig.intake.ack()
        (told,) = await polled(rig, 1)
    assert 2 <= told.counted.received < 5002


async def test_a_stop_ends_a_rest(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """At once: nothing is held."""
    rig = Rig(broker, make_stream(), acks_at_once=True, poll_interval_s=LATER_S)
    task = asyncio.create_task(rig.stream.run())
    await polled(rig, 1)
    rig.stream.stop()
    await asyncio.wait_for(task, DEADLINE_S)
    assert len(rig.told(StreamConnected)) == 1


async def test_once_is_one_round(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """There is no next one, and its line says so by saying nothing of it."""
    rig = Rig(broker, make_stream(), acks_at_once=True, once=True, poll_interval_s=POLL_S)
    await rig.publish(10)
    await asyncio.wait_for(rig.stream.run(), DEADLINE_S)
    (told,) = rig.told(StreamPolled)
    assert (told.counted.delivered, told.next_in_s) == (10, None)


async def test_trouble_does_not_end_a_round(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """It is tried again as ever, and what was in the queue is delivered before the rest."""
    rig = Rig(broker, make_stream(), poll_interval_s=LATER_S)
    bodies = await rig.publish(10)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        await rig.close_connection()
        assert not rig.told(StreamPolled)
        rig.intake.acks_at_once = True
        await polled(rig, 1)
        assert {delivery.body for delivery in rig.intake.received} == set(bodies)
        await rig.depth(lambda depth: depth == (0, 0, 0))
    assert len(rig.told(StreamConnected)) == 2


async def test_a_pause_does_not_end_a_round(broker: PrivateRabbitMQ, make_stream: MakeStream) -> None:
    """What was requeued is delivered when a server acks again, in the same round."""
    rig = Rig(broker, make_stream(), pause_after_s=0.4, poll_interval_s=LATER_S)
    await rig.publish(10)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.until(lambda: rig.told(StreamPaused))
        await rig.depth(lambda depth: depth == (9, 0, 0))
        assert not rig.told(StreamPolled)
        rig.intake.acks_at_once = True
        rig.intake.ack_the_probe()
        assert (await polled(rig, 1))[0].requeued == 9
        await rig.depth(lambda depth: depth == (0, 0, 0))


async def test_a_pause_while_a_round_ends(
    broker: PrivateRabbitMQ, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came after the last event that the round was about is requeued; then the round goes on, and ends."""
    rig = Rig(broker, make_stream(), pause_after_s=0.4, poll_interval_s=LATER_S)
    has_all = Round.has_all

    def has_the_first(round_: Round, unacked: int) -> bool:
        return has_all(round_, unacked) or (len(rig.intake.waiting) == round_.acked == 1)

    monkeypatch.setattr(Round, "has_all", has_the_first)
    await rig.publish(2)
    async with rig.running():
        await rig.until(lambda: rig.intake.received)
        rig.intake.ack()
        await rig.depth(lambda depth: depth == (0, 1, 0))
        assert rig.stream.flow.state is State.ROUND_OVER
        await rig.until(lambda: rig.told(StreamPaused))
        assert not rig.told(StreamPolled)
        rig.intake.acks_at_once = True
        rig.intake.ack_the_probe()
        await polled(rig, 1)
        await rig.depth(lambda depth: depth == (0, 0, 0))


@pytest.mark.parametrize("step", [(amqp.Inbox, "put"), (Reader, "receive")], ids=["taken", "read"])
async def test_a_fault_of_our_own_while_a_delivery_arrives_is_not_the_brokers(
    step: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as our own, costs this connection, and is tried as rarely as every fault of ours."""
    owner, name = step
    original, error = getattr(owner, name), MemoryError("no more")

    def trip(self: Any, given: Any) -> Any:
        if isinstance(given, bytes) and b"poison" not in given:
            return original(self, given)
        raise error

    monkeypatch.setattr(owner, name, trip)

    async def script(consumer: Consumer) -> None:
        await consumer.send(consumer.delivery(1, b"poison"))

    async with hostile(script) as (_, rig):
        await rig.until(lambda: rig.told(StreamTrouble))
    (trouble,) = rig.told(StreamTrouble)
    assert isinstance(trouble.error, InternalFault)
    assert trouble.retry_in_s >= retry.FAULT_PACE.first_s / 2
    assert rig.told(InternalError) == [InternalError("stream", error)]


@pytest.mark.parametrize(
    ("events", "steady_after_s", "attempts"),
    [(0, 60.0, [1, 2, 3]), (1, 60.0, [1, 1, 1]), (0, 0.0, [1, 1, 1])],
    ids=["short connections", "something was acked", "long connections"],
)
async def test_when_an_outage_is_over(
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    monkeypatch: pytest.MonkeyPatch,
    events: int,
    steady_after_s: float,
    attempts: list[int],
) -> None:
    """When something was acked, or a connection lasted; a connection alone ends none, and says how long it is."""
    monkeypatch.setattr(stream_module, "STEADY_AFTER_S", steady_after_s)
    rig = Rig(broker, make_stream(), acks_at_once=True)
    async with rig.running():
        for number in range(1, 4):
            await rig.until(lambda number=number: len(rig.told(StreamConnected)) == number)  # type: ignore[misc]
            await rig.publish(events)
            await rig.depth(lambda depth: depth == (0, 0, 1))
            await rig.close_connection()
        await rig.until(lambda: len(rig.told(StreamConnected)) == 4)
    assert [trouble.attempts for trouble in rig.told(StreamTrouble)] == attempts
    first, *later = rig.told(StreamConnected)
    assert first.outage_s == 0.0
    assert all(connected.outage_s > 0.0 for connected in later)
