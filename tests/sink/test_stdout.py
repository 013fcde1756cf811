"""`sink.stdout`: events on standard output."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import OutputClosed
from fluent_plugin_amp.model import Answer, Chunk, Delivery, Outcome
from fluent_plugin_amp.sink.forward.protocol import entry
from fluent_plugin_amp.sink.stdout import StdoutSink, json_lines, msgpack_maps
from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions
from tests.ledgers import FakeLedger


def chunk(*records: dict[str, Any], tag: str = "edr.cisco.amp.events", behind: FakeLedger | None = None) -> Chunk:
    """A chunk of these records."""
    entries = [entry(1_706_745_599, 7, record) for record in records]
    delivery = Delivery("emea", behind or FakeLedger(), 1, b"")
    return Chunk(f"c{id(entries)}", tag, entries, [delivery] * len(entries))


class Pipe:
    """A pipe as standard output, and the end at which it is read."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self.reader = os.fdopen(reader, "rb")
        self.writer = os.fdopen(writer, "wb", buffering=0)

    def close(self) -> None:
        """Both ends."""
        self.reader.close()
        self.writer.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, closed in the end."""
    pipe = Pipe()
    yield pipe
    pipe.close()


class Running:
    """A sink that runs, and its answers."""

    def __init__(self, sink: StdoutSink) -> None:
        self.sink = sink
        self.answers: list[Answer] = []
        self.conditions = Conditions()
        sink.on_answer = self._answer
        sink.on_change = self.conditions.changed
        self.task = asyncio.create_task(sink.run())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds."""
        await self.conditions.wait_for(condition, DEADLINE_S)

    async def answered(self, count: int) -> list[tuple[Chunk, Outcome]]:
        """Wait for so many answers in all."""
        await self.until(lambda: len(self.answers) >= count)
        return [(answer.chunk, answer.outcome) for answer in self.answers]

    def _answer(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.conditions.changed()


@asynccontextmanager
async def running(output: BinaryIO, stream: Literal["json", "msgpack"] = "json") -> AsyncIterator[Running]:
    """A sink writing to ``output``."""
    running = Running(StdoutSink(stream, output))
    try:
        await running.until(lambda: running.sink.available)
        yield running
    finally:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)


# --- what is written -----------------------------------------------------------------------------


def test_a_json_line_has_these_bytes() -> None:
    """Golden: time and tag in front, then the record."""
    assert json_lines(chunk({"id": 6159258594551267593, "a": [None, True, "ü"]}, {})) == (
        b'{"time":"2024-01-31T23:59:59.000000007Z","tag":"edr.cisco.amp.events",'
        b'"id":6159258594551267593,"a":[null,true,"\xc3\xbc"]}\n'
        b'{"time":"2024-01-31T23:59:59.000000007Z","tag":"edr.cisco.amp.events"}\n'
    )


def test_a_msgpack_map_holds_the_same() -> None:
    """One map after the other."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(msgpack_maps(chunk({"id": 2**64 - 1}, {"id": -(2**63)})))
    time_and_tag = {"time": "2024-01-31T23:59:59.000000007Z", "tag": "edr.cisco.amp.events"}
    assert list(unpacker) == [{**time_and_tag, "id": 2**64 - 1}, {**time_and_tag, "id": -(2**63)}]


@pytest.mark.parametrize("render", [json_lines, msgpack_maps])
def test_the_records_own_time_and_tag_make_way(render: Callable[[Chunk], bytes]) -> None:
    """``time`` and ``tag`` mean the same on every line; the record's own get the first free numeric suffix."""
    rendered = render(chunk({"time": 1, "time_2": 2, "tag": "own", "last": 3}))
    record = json.loads(rendered) if render is json_lines else msgpack.unpackb(rendered)
    assert list(record.items()) == [
        ("time", "2024-01-31T23:59:59.000000007Z"),
        ("tag", "edr.cisco.amp.events"),
        ("time_3", 1),
        ("time_2", 2),
        ("tag_2", "own"),
        ("last", 3),
    ]


@given(
    st.dictionaries(
        st.text(),
        st.text() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    )
)
@example({"tag": None})
@example({"time": "", "time_2": 0})
def test_a_line_is_one_line_and_exact(record: dict[str, Any]) -> None:
    """Whatever the values: one line of JSON with the record in it, behind time and tag."""
    data = json_lines(chunk(record))
    assert data.count(b"\n") == 1
    _, _, *fields = json.loads(data).items()
    assert [value for _, value in fields] == [*record.values()]
    assert {*fields} >= {(name, value) for name, value in record.items() if name not in ("time", "tag")}


# --- how it is written ---------------------------------------------------------------------------


@pytest.fixture(params=["pipe", "non-blocking pipe", "file", "terminal", "socket"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Something that standard output may be, and where it is read."""
    match request.param:
        case "file":
            writer, reader = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY), os.open(tmp_path / "out", 0)
        case "terminal":
            reader, writer = pty.openpty()
        case "socket":
            writer, reader = (end.detach() for end in socket.socketpair())
        case _:
            reader, writer = os.pipe()
            os.set_blocking(writer, request.param == "pipe")
    with os.fdopen(writer, "wb") as output, os.fdopen(reader, "rb") as input_:
        yield output, input_


async def test_chunks_are_written_in_order_and_acked(ends: tuple[BinaryIO, BinaryIO]) -> None:
    """To whatever standard output may be."""
    output, reader = ends
    async with running(output) as stdout:
        chunks = [chunk({"n": number}, {"n": -number}) for number in range(5)]
        for each in chunks:
            stdout.sink.send(each)
        assert await stdout.answered(5) == [(each, Outcome.ACKED) for each in chunks]
        assert (stdout.sink.in_flight, stdout.sink.available) == (0, True)
    numbers = [json.loads(reader.readline())["n"] for _ in range(10)]
    assert numbers == [0, 0, 1, -1, 2, -2, 3, -3, 4, -4]


@pytest.mark.parametrize("is_blocking", [True, False])
async def test_a_full_pipe_holds_nothing_up_but_itself(pipe: Pipe, is_blocking: bool) -> None:
    """The loop goes on, room shrinks to nothing, and the ack comes when the reader has read."""
    os.set_blocking(pipe.writer.fileno(), is_blocking)
    async with running(pipe.writer) as stdout:
        large = chunk({"text": "x" * 1_000_000})
        small = chunk({"n": 1})
        assert stdout.sink.room == 2
        stdout.sink.send(large)
        stdout.sink.send(small)
        assert (stdout.sink.room, stdout.sink.in_flight) == (0, 2)
        line = await asyncio.to_thread(pipe.reader.readline)
        assert len(json.loads(line)["text"]) == 1_000_000
        assert await stdout.answered(2) == [(large, Outcome.ACKED), (small, Outcome.ACKED)]
        assert stdout.sink.room == 2


async def test_a_reader_that_goes_away_ends_it(pipe: Pipe) -> None:
    """What was not written is not answered."""
    async with running(pipe.writer) as stdout:
        stdout.sink.send(chunk({"text": "x" * 1_000_000}))
        stdout.sink.send(chunk({"n": 1}))
        await asyncio.to_thread(pipe.reader.read, 100)
        pipe.reader.close()
        with pytest.raises(OutputClosed):
            await stdout.task
        assert stdout.answers == []
        assert (stdout.sink.room, stdout.sink.available, stdout.sink.in_flight) == (0, False, 2)


async def test_a_reader_that_goes_away_while_idle_is_noticed(pipe: Pipe) -> None:
    """Without waiting for the next event."""
    async with running(pipe.writer) as stdout:
        pipe.reader.close()
        with pytest.raises(OutputClosed, match="reader"):
            await asyncio.wait_for(stdout.task, DEADLINE_S)


async def test_a_disk_that_is_full_ends_it() -> None:
    """With the system's words for it."""
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0) as full:
        async with running(full) as stdout:
            stdout.sink.send(chunk({"n": 1}))
            with pytest.raises(OutputClosed, match="No space left"):
                await stdout.task


async def test_nothing_is_taken_before_it_runs(pipe: Pipe) -> None:
    """What is sent all the same is written when it does."""
    sink = StdoutSink("msgpack", pipe.writer)
    assert (sink.room, sink.available) == (0, False)
    early = chunk({"n": 1})
    sink.send(early)
    assert sink.in_flight == 1
    stdout = Running(sink)
    assert await stdout.answered(1) == [(early, Outcome.ACKED)]
    assert msgpack.unpackb(os.read(pipe.reader.fileno(), 1000))["n"] == 1
    assert await sink.close(1.0) == []
    await stdout.task


async def test_returned_chunks_are_shed_and_one_probes(pipe: Pipe) -> None:
    """The one being written stays, and so does what was not requeued."""
    async with running(pipe.writer) as stdout:
        gone = FakeLedger()
        written = chunk({"text": "x" * 1_000_000}, behind=gone)
        requeued, other = chunk({"n": 1}, behind=gone), chunk({"n": 2})
        for each in (written, requeued, other):
            stdout.sink.send(each)
        stdout.sink.shed()
        assert stdout.answers == []
        gone.closed = True
        stdout.sink.shed()
        assert [(answer.chunk, answer.outcome) for answer in stdout.answers] == [(requeued, Outcome.SHED)]
        await asyncio.to_thread(pipe.reader.readline)
        assert (await stdout.answered(3))[1:] == [(written, Outcome.ACKED), (other, Outcome.ACKED)]


async def test_closing_waits_for_the_chunk_being_written(pipe: Pipe) -> None:
    """Not for those behind it, and not longer than told."""
    async with running(pipe.writer) as stdout:
        first, second = chunk({"text": "x" * 1_000_000}), chunk({"n": 1})
        stdout.sink.send(first)
        stdout.sink.send(second)
        closing = asyncio.ensure_future(stdout.sink.close(10.0))
        await asyncio.to_thread(pipe.reader.readline)
        assert await closing == [second]
        await stdout.task
        assert [answer.chunk for answer in stdout.answers] == [first]


async def test_a_blocked_pipe_does_not_keep_it_from_closing(pipe: Pipe) -> None:
    """The chunk being written is handed back unanswered."""
    async with running(pipe.writer) as stdout:
        stuck = chunk({"text": "x" * 1_000_000})
        stdout.sink.send(stuck)
        assert await stdout.sink.close(0.05) == [stuck]
        await stdout.task
        pipe.reader.close()  # lets the thread go
