"""Chunks to play with, deliveries behind them, and a client that runs."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fluent_plugin_amp.facts import Fact, ServerTrouble
from fluent_plugin_amp.model import Answer, Chunk, Delivery, Outcome
from fluent_plugin_amp.sink.forward.client import ForwardClient
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.testing.certificates import Certificates, KeyPair, make_certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.waiting import DEADLINE_S, Conditions
from fluent_plugin_amp.tls import trusting
from tests.ledgers import FakeLedger

ChunkMaker = Callable[..., Chunk]


@pytest.fixture
def ledger() -> FakeLedger:
    """The ledger behind the deliveries of ``make_chunk``."""
    return FakeLedger()


@pytest.fixture
def make_chunk(ledger: FakeLedger) -> ChunkMaker:
    """Make a chunk of ``n`` entries, or of those given; ids are c1, c2, … unless told."""
    numbers = itertools.count(1)

    def make(
        n: int = 1,
        *,
        entries: list[bytes] | None = None,
        chunk_id: str | None = None,
        tag: str = "edr.cisco.amp.events",
        is_dead_letters: bool = False,
        behind: FakeLedger = ledger,
    ) -> Chunk:
        number = next(numbers)
        made = entries or [b"\x92\xd7\x00" + bytes(8) + b"\x81\xa1n" + bytes([i % 128]) for i in range(n)]
        deliveries = [Delivery("emea", behind, number * 1000 + i, b"") for i in range(len(made))]
        return Chunk(chunk_id or f"c{number}", tag, made, deliveries, is_dead_letters)

    return make


class RunningClient:
    """A ForwardClient that runs, and everything that it told."""

    def __init__(self, settings: ForwardSettings) -> None:
        self.answers: list[Answer] = []
        self.facts: list[Fact] = []
        self.changes = 0
        self.conditions = Conditions()
        self.client = ForwardClient(settings, self._observe, jitter=lambda: 1.0)
        self.client.on_answer = self._answer
        self.client.on_change = self._change
        self.task = asyncio.create_task(self.client.run())
        self.task.add_done_callback(lambda task: self.conditions.changed())

    async def until(self, condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
        """Wait until ``condition`` holds; raises what ended the client, or TimeoutError."""
        await self.conditions.wait_for(lambda: self.task.done() or condition(), timeout_s)
        if self.task.done() and not condition():
            self.task.result()
            raise AssertionError("the client ended")

    async def connected(self) -> None:
        """Wait until chunks can be sent."""
        await self.until(lambda: self.client.available)

    async def answered(self, count: int) -> list[tuple[str, Outcome, str]]:
        """Wait for so many answers in all: chunk id, outcome and server of each."""
        await self.until(lambda: len(self.answers) >= count)
        return [(answer.chunk.id, answer.outcome, answer.server) for answer in self.answers]

    def troubles(self, server: str | None = None) -> list[str]:
        """Error ids of the troubles told so far, of one server or of all."""
        return [
            fact.error.id for fact in self.facts if isinstance(fact, ServerTrouble) and server in (None, fact.server)
        ]

    def _answer(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.conditions.changed()

    def _observe(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.conditions.changed()

    def _change(self) -> None:
        self.changes += 1
        self.conditions.changed()


@asynccontextmanager
async def _running(
    *servers: FakeFluentd | ServerAddress, host: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[RunningClient]:
    addresses = tuple(
        each if isinstance(each, ServerAddress) else ServerAddress("abc"[place], host, each.port)
        for place, each in enumerate(servers)
    )
    running = RunningClient(ForwardSettings(addresses, **settings))
    try:
        yield running
    finally:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)


@pytest.fixture
def running() -> Any:
    """``async with running(server, …, option=…) as running``: a client of these servers, named a, b, c."""
    return _running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority and its certificates."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def client_tls(certificates: Certificates) -> Callable[..., ssl.SSLContext]:
    """Make a client's TLS context that trusts our authority and may show a certificate."""

    def make(pair: KeyPair | None = None) -> ssl.SSLContext:
        context = trusting(certificates.ca_file)
        if pair is not None:
            context.load_cert_chain(pair.cert_file, pair.key_file)
        return context

    return make
