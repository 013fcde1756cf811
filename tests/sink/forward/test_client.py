"""`sink.forward.client`: chunks in, answers out, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.backoff import Pace
from fluent_plugin_amp.facts import ChunkSplit, InternalError
from fluent_plugin_amp.model import Outcome
from fluent_plugin_amp.sink.forward.bisect import STRIKES_TO_REFUSE, STRIKES_TO_SPLIT
from fluent_plugin_amp.sink.forward.client import ForwardClient, new_chunk_id
from fluent_plugin_amp.sink.forward.dispatch import Dispatcher
from fluent_plugin_amp.sink.forward.link import Link
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, Security, ServerAddress
from fluent_plugin_amp.sink.forward.window import Window
from fluent_plugin_amp.testing import forward, reactions
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port

ACKED, REFUSED, SHED = Outcome.ACKED, Outcome.REFUSED, Outcome.SHED


def events(*numbers: int) -> list[bytes]:
    """Packed events that bear these numbers."""
    return [entry(1_700_000_000, 5, {"n": number}) for number in numbers]


def numbers(server: FakeFluentd) -> list[int]:
    """Of the events that the server took, in order."""
    return [record["n"] for record in server.records if "fluent_plugin_amp" not in record]


# --- every way to a server -----------------------------------------------------------------------


@pytest.mark.parametrize("compress", ["none", "gzip"])
async def test_events_arrive_as_they_were(running: Any, make_chunk: Any, compress: str) -> None:
    """Tag, time and record, compressed or not; the answer names chunk and server."""
    async with FakeFluentd() as server, running(server, compress=compress) as client:
        await client.connected()
        chunk = make_chunk(entries=events(1, 2, 3), tag="edr.cisco.amp.events")
        client.client.send(chunk)
        assert await client.answered(1) == [(chunk.id, ACKED, "a")]
        assert server.violations == []
        (received,) = server.chunks
        assert (received.tag, received.id, received.option["size"]) == ("edr.cisco.amp.events", chunk.id, 3)
        assert received.entries[0] == ((1_700_000_000, 5), {"n": 1})
        assert numbers(server) == [1, 2, 3]
        assert client.client.in_flight == 0


async def test_tls_client_certificate_shared_key_and_user_together(
    running: Any, make_chunk: Any, certificates: Certificates, client_tls: Any
) -> None:
    """Everything that a guarded server may ask for."""
    tls = server_context(certificates.server, client_ca_file=certificates.ca_file)
    security = forward.Security("secret key", {"amp": "secret password"})
    settings = {
        "tls": client_tls(certificates.client),
        "security": Security("amp.example", "secret key", "amp", "secret password"),
        "host": "localhost",
    }
    async with FakeFluentd(tls=tls, security=security) as server, running(server, **settings) as client:
        await client.connected()
        client.client.send(make_chunk(entries=events(1)))
        await client.answered(1)
        assert server.violations == []


async def test_a_unix_socket(running: Any, make_chunk: Any, tmp_path: Path) -> None:
    """As Fluent Bit offers one."""
    path = tmp_path / "fluent.sock"
    async with FakeFluentd(unix_path=path) as server:
        async with running(ServerAddress("a", unix_path=str(path))) as client:
            await client.connected()
            client.client.send(make_chunk(entries=events(1)))
            await client.answered(1)
        assert numbers(server) == [1]


# --- room and order ------------------------------------------------------------------------------


async def test_several_chunks_are_in_flight(running: Any, make_chunk: Any) -> None:
    """Up to max_in_flight without an ack; room comes back with the acks, and on_change tells."""
    async with FakeFluentd() as server, running(server, max_in_flight=3) as client:
        server.reaction = reactions.HoldAck()
        assert client.client.room == 0
        await client.connected()
        assert client.client.room == 3
        for number in range(4):
            client.client.send(make_chunk(entries=events(number)))
        assert (client.client.room, client.client.in_flight) == (0, 4)
        await server.wait_for(lambda: len(server.chunks) == 3)
        changes = client.changes
        server.release()
        await client.answered(3)
        assert client.changes > changes
        await server.wait_for(lambda: len(server.chunks) == 4)
        assert client.client.room == 2
        server.release()
        assert [answer[0] for answer in await client.answered(4)] == server.acks
        assert numbers(server) == [0, 1, 2, 3]


async def test_the_next_chunk_may_be_sent_from_the_answer(running: Any, make_chunk: Any) -> None:
    """Callbacks may call send: nothing is nested, nothing is lost."""
    async with FakeFluentd() as server, running(server, max_in_flight=1) as client:
        await client.connected()
        left = list(range(1, 200))
        depth, deepest = 0, 0

        def answer_and_send(answer: Any) -> None:
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            client.answers.append(answer)
            if left:
                client.client.send(make_chunk(entries=events(left.pop(0))))
            client.conditions.changed()
            depth -= 1

        client.client.on_answer = answer_and_send
        client.client.send(make_chunk(entries=events(0)))
        await client.answered(200)
        assert numbers(server) == list(range(200))
        assert deepest == 1


async def test_chunks_sent_before_a_server_is_there_wait(running: Any, make_chunk: Any) -> None:
    """They are taken, count as in flight, and leave in order."""
    server = FakeFluentd()
    async with running(server) as client:
        for number in range(6):
            client.client.send(make_chunk(entries=events(number)))
        await client.until(lambda: client.troubles() == ["forward.unreachable"])
        assert (client.client.room, client.client.available, client.client.in_flight) == (0, False, 6)
        async with server:
            await client.answered(6)
            assert numbers(server) == list(range(6))


async def test_a_large_chunk_is_written_whole(running: Any, make_chunk: Any) -> None:
    """Far more than the socket takes at once; others wait their turn behind it."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        large = [entry(1, 2, {"n": number, "text": "x" * 1_000_000}) for number in range(8)]
        client.client.send(make_chunk(entries=large))
        client.client.send(make_chunk(entries=events(8)))
        await client.answered(2)
        assert numbers(server) == list(range(9))


# --- trouble on the way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reaction", "error_id"),
    [
        (reactions.Close(), "forward.connection-lost"),
        (reactions.Close(reset=True), "forward.connection-lost"),
        (reactions.CloseMidChunk(), "forward.connection-lost"),
        (reactions.NoAck(), "forward.ack-timeout"),
        (reactions.Ack(delay_s=2.0), "forward.ack-timeout"),
        (reactions.WrongAck(), "forward.wrong-ack"),
        (reactions.Answer(b"\xc1"), "forward.protocol-violation"),
    ],
    ids=str,
)
async def test_a_chunk_without_its_ack_is_sent_again_under_its_id(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch, reaction: reactions.Reaction, error_id: str
) -> None:
    """On a new connection, whatever went wrong on the first; answered once."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.link.REFUSED_PACE", Pace(0.2, 60.0))
    # Only silence is to run into it: an ack that a busy machine delays would, too.
    timeout_s = 1.0 if error_id == "forward.ack-timeout" else 60.0
    async with FakeFluentd() as server, running(server, ack_response_timeout_s=timeout_s) as client:
        await client.connected()
        server.script(reaction)
        chunk = make_chunk(entries=events(1, 2))
        client.client.send(chunk)
        assert await client.answered(1) == [(chunk.id, ACKED, "a")]
        assert client.troubles() == [error_id]
        assert {received.id for received in server.chunks} == {chunk.id}
        assert server.counts.connections == 2
        assert server.violations == []
        assert client.client.available


async def test_an_ack_said_twice_is_answered_once(running: Any, make_chunk: Any) -> None:
    """And the connection stays."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        server.script(reactions.Ack(times=3))
        first, second = make_chunk(entries=events(1)), make_chunk(entries=events(2))
        client.client.send(first)
        await client.answered(1)
        client.client.send(second)
        assert await client.answered(2) == [(first.id, ACKED, "a"), (second.id, ACKED, "a")]
        assert server.counts.connections == 1


async def test_chunks_in_doubt_go_to_the_other_server(running: Any, make_chunk: Any) -> None:
    """Failover keeps ids; what the first server may have taken too is recognisable by them."""
    async with FakeFluentd() as first, FakeFluentd() as second, running(first, second) as client:
        first.reaction = second.reaction = reactions.HoldAck()
        await client.until(lambda: client.client.room == 8)
        chunks = [make_chunk(entries=events(number)) for number in range(8)]
        for chunk in chunks:
            client.client.send(chunk)
        await first.wait_for(lambda: len(first.chunks) == 4)
        await second.wait_for(lambda: len(second.chunks) == 4)
        second.reaction = reactions.Ack()
        second.release()
        await first.stop()
        answers = await client.answered(8)
        assert {answer[0] for answer in answers} == {chunk.id for chunk in chunks}
        assert {answer[2] for answer in answers} == {"b"}
        assert {chunk.id for chunk in second.chunks} == {chunk.id for chunk in chunks}


async def test_a_hanging_server_is_left_for_the_other(running: Any, make_chunk: Any) -> None:
    """Its chunks go elsewhere at the ack timeout, and come back to it only after an ack."""
    async with FakeFluentd() as first, FakeFluentd() as second:
        first.reaction = reactions.NoAck()
        async with running(first, second, ack_response_timeout_s=1.0, max_in_flight=2) as client:
            await client.until(lambda: client.client.room == 4)
            for number in range(4):
                client.client.send(make_chunk(entries=events(number)))
            assert {answer[2] for answer in await client.answered(4)} == {"b"}
            assert client.troubles("a") == ["forward.ack-timeout"]
            assert sorted(numbers(second)) == [0, 1, 2, 3]


async def test_chunks_are_shared_by_weight(running: Any, make_chunk: Any) -> None:
    """And the standby gets nothing until the others are gone."""
    async with FakeFluentd() as light, FakeFluentd() as heavy, FakeFluentd() as standby:
        addresses = (
            ServerAddress("light", port=light.port, weight=1),
            ServerAddress("heavy", port=heavy.port, weight=3),
            ServerAddress("standby", port=standby.port, standby=True),
        )
        async with running(*addresses, max_in_flight=50) as client:
            await client.until(lambda: client.client.room == 100)
            for number in range(40):
                client.client.send(make_chunk(entries=events(number)))
            await client.answered(40)
            assert (len(light.acks), len(heavy.acks), len(standby.acks)) == (10, 30, 0)
            await light.stop()
            await heavy.stop()
            await client.until(lambda: client.client.room == 50)
            client.client.send(make_chunk(entries=events(40)))
            await client.answered(41)
            assert numbers(standby) == [40]


async def test_a_poisonous_event_is_isolated(running: Any, make_chunk: Any) -> None:
    """It is refused alone; every other event arrives once; a new chunk is taken as the proof."""
    async with FakeFluentd() as server, running(server) as client:
        server.poison = lambda entry: entry.record.get("n") == 5
        await client.connected()
        fresh = iter(range(100, 200))

        def offer() -> None:
            if client.client.room and not client.client.available:
                client.client.send(make_chunk(entries=events(next(fresh))))

        client.client.on_change = offer
        chunk = make_chunk(entries=events(*range(8)))
        client.client.send(chunk)
        await client.until(lambda: client.client.in_flight == 0)
        (refused,) = [answer.chunk for answer in client.answers if answer.outcome is REFUSED]
        assert refused.entries == events(5)
        assert refused.deliveries == [chunk.deliveries[5]]
        assert sorted(number for number in numbers(server) if number < 100) == [0, 1, 2, 3, 4, 6, 7]
        assert server.counts.repeated_chunks == 0
        splits = [(fact.events, fact.error.id) for fact in client.facts if isinstance(fact, ChunkSplit)]
        assert splits == [(size, "forward.connection-lost") for size in (8, 4, 2)]


async def test_a_poisonous_event_that_comes_alone_is_isolated_with_probes(running: Any, make_chunk: Any) -> None:
    """With nothing else to send, records of our own under its tag are the proof; nobody is answered for them."""
    async with FakeFluentd() as server, running(server) as client:
        server.poison = lambda entry: entry.record.get("n") == 5
        await client.connected()
        chunk = make_chunk(entries=events(*range(8)))
        client.client.send(chunk)
        await client.until(lambda: client.client.in_flight == 0)
        (refused,) = [answer.chunk for answer in client.answers if answer.outcome is REFUSED]
        assert refused.deliveries == [chunk.deliveries[5]]
        assert sum(len(answer.chunk.entries) for answer in client.answers) == 8
        probes = [received for received in server.chunks if "fluent_plugin_amp" in received.entries[0].record]
        assert {received.tag for received in probes} == {chunk.tag}
        assert len(probes) == STRIKES_TO_SPLIT + STRIKES_TO_REFUSE
        assert "forward.takes-nothing" not in client.troubles()


async def test_a_full_buffer_is_the_servers_trouble_and_no_events(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty good events and nothing new: none is refused or split, and the trouble is that the server takes none."""
    monkeypatch.setattr("fluent_plugin_amp.backoff.backoff_s", lambda *_, **__: 0.01)
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        server.reaction = reactions.Close()
        for number in range(20):
            client.client.send(make_chunk(entries=events(number)))
        await client.until(lambda: "forward.takes-nothing" in client.troubles())
        server.reaction = reactions.Ack()
        await client.until(lambda: client.client.in_flight == 0)
        assert {answer.outcome for answer in client.answers} == {ACKED}
        assert sorted(numbers(server)) == list(range(20))
        assert not [fact for fact in client.facts if isinstance(fact, ChunkSplit)]


async def test_a_disk_that_has_room_for_something_small_is_full(running: Any, make_chunk: Any) -> None:
    """What is sent to see whether the server takes anything is as large as the event: none is given up."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        server.poison = lambda entry: len(str(entry.record)) > 4000
        chunk = make_chunk(entries=[entry(0, 0, {"n": 1, "padding": "x" * 5000})])
        client.client.send(chunk)
        await client.until(lambda: "forward.takes-nothing" in client.troubles())
        server.poison = None
        await client.until(lambda: client.client.in_flight == 0)
        assert [(answer.chunk, answer.outcome) for answer in client.answers] == [(chunk, ACKED)]


async def test_a_server_that_refuses_everything_makes_no_dead_letters(running: Any, make_chunk: Any) -> None:
    """A full buffer that closes on each chunk: all of it arrives when there is space again."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        server.reaction = reactions.Close()
        for start in range(0, 12, 3):
            client.client.send(make_chunk(entries=events(*range(start, start + 3))))
        await server.wait_for(lambda: server.counts.connections > 6)
        assert not client.client.available
        server.reaction = reactions.Ack()
        await client.until(lambda: client.client.in_flight == 0)
        assert {answer.outcome for answer in client.answers} == {ACKED}
        assert sorted(numbers(server)) == list(range(12))


# --- shedding, closing ---------------------------------------------------------------------------


async def test_returned_chunks_are_shed_and_one_probes(running: Any, make_chunk: Any, ledger: Any) -> None:
    """The probe's ack makes the server available again."""
    async with FakeFluentd() as server, running(server, ack_response_timeout_s=0.2) as client:
        await client.connected()
        server.reaction = reactions.NoAck()
        chunks = [make_chunk(entries=events(number)) for number in range(3)]
        for chunk in chunks:
            client.client.send(chunk)
        ledger.closed = True
        client.client.shed()
        assert await client.answered(2) == [(chunk.id, SHED, "") for chunk in chunks[1:]]
        assert client.client.in_flight == 1
        server.reaction = reactions.Ack()
        assert (await client.answered(3))[2] == (chunks[0].id, ACKED, "a")
        assert client.client.available


async def test_closing_waits_for_acks_and_hands_back_the_rest(running: Any, make_chunk: Any) -> None:
    """What was written may still be acked in the time given; what was not is requeued; run ends."""
    async with FakeFluentd() as server, running(server, max_in_flight=2) as client:
        await client.connected()
        server.reaction = reactions.HoldAck()
        chunks = [make_chunk(entries=events(number)) for number in range(3)]
        for chunk in chunks:
            client.client.send(chunk)
        await server.wait_for(lambda: len(server.chunks) == 2)
        closing = asyncio.ensure_future(client.client.close(10.0))
        await asyncio.sleep(0)
        assert (client.client.room, client.client.available) == (0, False)
        server.release()
        assert await closing == [chunks[2]]
        assert [answer.chunk for answer in client.answers] == chunks[:2]
        await client.task
        await server.wait_for(lambda: server.connections == 0)
        assert client.troubles() == []


async def test_closing_does_not_wait_longer_than_told(running: Any, make_chunk: Any) -> None:
    """A server that does not answer keeps nobody."""
    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        server.reaction = reactions.NoAck()
        chunk = make_chunk(entries=events(1))
        client.client.send(chunk)
        assert await client.client.close(0.05) == [chunk]
        await client.task
        await server.wait_for(lambda: server.connections == 0)


async def test_closing_without_a_server_returns_at_once(running: Any, make_chunk: Any) -> None:
    """Nothing was written, so there is nothing to wait for."""
    async with running(ServerAddress("a", port=free_port())) as client:
        chunk = make_chunk()
        client.client.send(chunk)
        assert await client.client.close(60.0) == [chunk]
        await client.task


async def test_a_cancelled_run_leaves_no_connection(running: Any) -> None:
    """Cancelling is what the daemon does in an emergency."""
    async with FakeFluentd() as server:
        async with running(server) as client:
            await client.connected()
        await server.wait_for(lambda: server.connections == 0)
        assert not client.client.available


@pytest.mark.parametrize("faulty", [(Dispatcher, "_take"), (Link, "write"), (Window, "ack")])
async def test_a_fault_in_the_books_leaves_nothing_in_flight_for_ever(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch, faulty: tuple[type, str]
) -> None:
    """What is in them is sent again over another connection, or is gone; and what comes later is answered."""
    monkeypatch.setattr("fluent_plugin_amp.sink.forward.link.REFUSED_PACE", Pace(0.1, 60.0))
    kind, name = faulty
    works = getattr(kind, name)

    def fails_once(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(kind, name, works)
        works(*arguments, **options)
        raise ZeroDivisionError

    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        monkeypatch.setattr(kind, name, fails_once)
        client.client.send(make_chunk())
        await client.until(lambda: any(isinstance(fact, InternalError) for fact in client.facts))
        await client.until(lambda: client.client.available and not client.client.in_flight)
        client.client.send(make_chunk(chunk_id="later"))
        await client.until(lambda: "later" in [answer.chunk.id for answer in client.answers])
        assert client.client.in_flight == 0
        assert not client.task.done()


async def test_a_fault_while_an_end_is_booked_keeps_no_server_away(
    running: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is connected again, and what was in flight is sent again."""
    works = Dispatcher.lost

    def fails_once(*arguments: Any) -> int:
        monkeypatch.setattr(Dispatcher, "lost", works)
        raise ZeroDivisionError

    async with FakeFluentd() as server, running(server) as client:
        await client.connected()
        monkeypatch.setattr(Dispatcher, "lost", fails_once)
        server.script(reactions.Close(reset=True))
        client.client.send(make_chunk())
        assert await client.answered(1) == [("c1", ACKED, "a")]
        assert [fact.where for fact in client.facts if isinstance(fact, InternalError)] == ["sink"]


async def test_a_bug_in_a_link_ends_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a connection an error that is none of ours is raised, not retried."""

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fluent_plugin_amp.sink.forward.link.Link.keep_connected", broken)
    client = ForwardClient(ForwardSettings((ServerAddress("a"),)), lambda fact: None)
    with pytest.raises(ZeroDivisionError):
        await client.run()


def test_chunk_ids_are_base64_of_16_bytes() -> None:
    """As both servers' own clients make them."""
    ids = {new_chunk_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(each) for each in ids} == {24}


# --- what an operator sees -----------------------------------------------------------------------


async def test_figures_of_its_servers(running: Any, make_chunk: Any) -> None:
    """Connected or not, what is in flight and for how long, the latency of the last ack, and what was sent again."""
    async with FakeFluentd() as server:
        server.script(reactions.Ack(), reactions.HoldAck())
        async with running(server, ServerAddress("away", port=free_port(), standby=True)) as client:
            await client.connected()
            assert [figures.is_up for figures in client.client.figures()] == [True, False]
            client.client.send(make_chunk())
            await client.answered(1)
            client.client.send(make_chunk())
            await server.wait_for(lambda: len(server.chunks) == 2)
            up, away = client.client.figures()
            assert (up.in_flight, up.retries, up.is_doubtful, up.is_standby) == (1, 0, False, False)
            assert up.ack_latency_s is not None
            assert up.ack_latency_s > 0
            assert up.owes_ack_s > 0
            assert (away.in_flight, away.owes_ack_s, away.ack_latency_s, away.is_standby) == (0, 0.0, None, True)
            server.drop_connections()
            await client.until(lambda: client.client.figures()[0].retries == 1)
