"""A reload that fails half-way: what ran runs on, and the same changes can be applied again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.facts import Fact, InternalError
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.run import daemon as module
from fluent_plugin_amp.run.daemon import Daemon
from fluent_plugin_amp.run.reload import compare


class FakeFlow:
    """Takes its share."""

    def share(self, share_bytes: int, prefetch_count: int) -> None:
        """Part of `Flow`."""


class FakeStream:
    """Runs until it is stopped."""

    def __init__(self, name: str, queue: str, running: list[tuple[str, str]]) -> None:
        self.settings = self
        self.name = name
        self.flow = FakeFlow()
        self.figure = (name, queue)
        self._running = running
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Part of `Stream`."""
        self._running.append(self.figure)
        await self._stopped.wait()
        self._running.remove(self.figure)

    def stop(self) -> None:
        """Part of `Stream`."""
        self._stopped.set()

    def wake(self) -> None:
        """Part of `Stream`."""


class FakeSink:
    """Takes nothing, and is closed."""

    room = 0
    available = False
    in_flight = 0
    on_answer: Any = None
    on_change: Any = None

    def __init__(self) -> None:
        self.is_running = False
        self.chunks: list[Chunk] = []
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Part of `Sink`."""
        self.is_running = True
        try:
            await self._closed.wait()
        finally:
            self.is_running = False

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Part of `ClosableSink`."""
        self._closed.set()
        return []

    def figures(self) -> tuple[()]:
        """Part of `ClosableSink`."""
        return ()

    def send(self, chunk: Chunk) -> None:
        """Part of `Sink`."""
        self.chunks.append(chunk)

    def held(self) -> list[Chunk]:
        """Part of `Sink`."""
        return self.chunks

    def shed(self) -> None:
        """Part of `Sink`."""


def config(forward: dict[str, Any], **queues: str) -> Config:
    """A stream of each name, with this queue."""
    streams = [
        {"name": name, "url": "amqps://h", "username": "u", "password": "p", "queue": queue, "tag": f"t.{queue}"}
        for name, queue in queues.items()
    ]
    return Config.model_validate({"streams": streams, "forward": forward})


OLD = config({}, stays="1", goes="1", changes="1", tag="1")
NEW = config({"compress": "gzip"}, stays="1", changes="2", tag="1", comes="1")

STEPS = [
    "make_stream",
    "make_transform",
    "conductor.open",
    "conductor.close",
    "conductor.use",
    "conductor.forget_requeued",
    "_fleet.drain",
    "_fleet.add",
    "sink.close",
    "share_of",
]
"""What `Daemon.apply` calls."""


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("step", STEPS)
async def test_an_exception_anywhere(step: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first, second or third call of any step: streams that stay go on, and the next try converges.

    One that is begun anew goes on too, as it was or as it is to be, unless nothing can be started at all.
    """
    running: list[tuple[str, str]] = []
    monkeypatch.setattr(
        module, "make_stream", lambda stream, *_, **__: FakeStream(stream.name, stream.queue, running)
    )
    monkeypatch.setattr("fluent_plugin_amp.run.running.START_SPREAD_S", 0.0)
    first = FakeSink()
    daemon = Daemon(OLD, first, lambda fact: None)
    task = asyncio.create_task(daemon.run())
    await until(lambda: len(running) == 4 and first.is_running)

    holder: Any = {"conductor": daemon.conductor, "_fleet": daemon._fleet, "sink": first}
    owner, _, name = step.rpartition(".")
    target = holder[owner] if owner else module
    original = getattr(target, name)
    calls = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times:
            raise ZeroDivisionError
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, failing)
    second, third = FakeSink(), FakeSink()
    changes = compare(OLD, NEW)
    try:
        await daemon.apply(changes, second)
    except ZeroDivisionError:
        assert step != "sink.close"
        assert not task.done()
        go_on = {"stays", "tag"} if step == "_fleet.add" else {"stays", "tag", "changes"}
        await until(lambda: go_on <= {name for name, _ in running})
        monkeypatch.setattr(target, name, original)
        await daemon.apply(changes, third)
    expected = [("changes", "2"), ("comes", "1"), ("stays", "1"), ("tag", "1")]
    await until(lambda: sorted(running) == expected)
    assert {*daemon.streams} == {*daemon.conductor.lines} == {name for name, _ in expected}
    assert daemon.config is changes.config
    await until(lambda: daemon.sink.is_running)  # type: ignore[attr-defined]
    assert not first.is_running
    daemon.stop()
    await task


class SinkThatCannotClose(FakeSink):
    """And runs on."""

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Part of `ClosableSink`."""
        raise ZeroDivisionError


async def test_an_old_sink_that_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and ends all the same: the new one runs, and has what the old one did not get rid of."""
    monkeypatch.setattr(module, "make_stream", lambda stream, *_, **__: FakeStream(stream.name, stream.queue, []))
    old, new = config({}, stays="1"), config({"compress": "gzip"}, stays="1")
    facts: list[Fact] = []
    first, second = SinkThatCannotClose(), FakeSink()
    daemon = Daemon(old, first, facts.append)
    task = asyncio.create_task(daemon.run())
    await until(lambda: first.is_running)
    held = Chunk("id", "tag", [], [])
    first.send(held)
    await daemon.apply(compare(old, new), second)
    await until(lambda: second.is_running and not first.is_running)
    assert (daemon.sink, second.chunks) == (second, [held])
    assert [(type(fact), fact.where) for fact in facts if isinstance(fact, InternalError)] == [
        (InternalError, "sink")
    ]
    daemon.stop()
    await task


async def test_a_reload_turns_hunts_on_and_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For events of streams that did not change, too."""
    monkeypatch.setattr(module, "make_stream", lambda stream, *_, **__: FakeStream(stream.name, stream.queue, []))

    def with_hunts(hunts: dict[str, Any] | None) -> Config:
        api = {"api": {"client_id": "c", "api_key": "k"}}
        acme = {"name": "acme", "cloud": {"api": "https://127.0.0.1:9"}, "proxy": "direct", "hunts": hunts, **api}
        stream = {"name": "s", "url": "amqps://h", "username": "u", "password": "p", "queue": "q"}
        keys = {"organisations": [acme], "state": {"path": str(tmp_path / "state.db")}}
        return Config.model_validate({"streams": [{**stream, "organisation": "acme"}], **keys})

    off, on = with_hunts(None), with_hunts({})
    sink = FakeSink()
    daemon = Daemon(off, sink, lambda fact: None, with_state=True)
    assert daemon.state is not None
    await daemon.state.start()
    task = asyncio.create_task(daemon.run())
    await until(lambda: sink.is_running)
    assert daemon.conductor.lines["s"].transform.ask is None
    await daemon.apply(compare(off, on), None)
    assert daemon.conductor.lines["s"].transform.ask is not None
    assert daemon.sources is not None
    assert [*daemon.sources.polled] == ["acme/hunts"]
    await daemon.apply(compare(on, off), None)
    assert daemon.conductor.lines["s"].transform.ask is None
    assert daemon.sources.polled == {}
    daemon.stop()
    await task
    await daemon.state.close(5.0)


async def test_a_reload_brings_the_first_organisation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Until then there is nothing that polls; afterwards its key's budget is the one that others share, too."""
    monkeypatch.setattr(module, "make_stream", lambda stream, *_, **__: FakeStream(stream.name, stream.queue, []))

    def with_organisations(*organisations: dict[str, Any]) -> Config:
        stream = {"name": "s", "url": "amqps://h", "username": "u", "password": "p", "queue": "q"}
        keys = {"organisations": [*organisations], "state": {"path": str(tmp_path / "state.db")}}
        return Config.model_validate({"streams": [stream], **keys})

    api = {"cloud": {"api": "https://127.0.0.1:9"}, "proxy": "direct", "api": {"client_id": "c", "api_key": "k"}}
    off, on = with_organisations(), with_organisations({"name": "acme", "audit_logs": {}, **api})
    sink = FakeSink()
    daemon = Daemon(off, sink, lambda fact: None, with_state=True)
    assert daemon.state is not None
    await daemon.state.start()
    task = asyncio.create_task(daemon.run())
    await until(lambda: sink.is_running)
    assert daemon.sources is None
    await daemon.apply(compare(off, on), None)
    assert daemon.sources is not None
    assert [*daemon.sources.polled] == ["acme/audit_logs"]
    assert [*daemon.budgets] == [("https://127.0.0.1:9", "c")]
    daemon.stop()
    await task
    await daemon.state.close(5.0)


async def until(condition: Any) -> None:
    """The loop turns until it holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come true")
