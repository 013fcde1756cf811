"""Letters that nobody takes are kept in the file, and sent later until a server has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.errors import EventNotJson, EventRefusedByServer, InvalidEvent
from fluent_plugin_amp.facts import Fact, KeptLettersSent, LetterKept
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.state import dead_letters as letters_module
from fluent_plugin_amp.state.dead_letters import KeptDeadLetters
from fluent_plugin_amp.state.errors import StateDiskFull
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import KeptDeadLetter
from fluent_plugin_amp.testing.waiting import DEADLINE_S


class Channel:
    """The ledger of a delivery; the shelf never touches it."""

    closed = False

    def resolve(self, delivery_tag: int) -> None:
        """Resolving is the conductor's business."""
        raise AssertionError


class Rig:
    """A state file, and servers that take what they are told to take."""

    def __init__(self, path: Path) -> None:
        self.facts: list[Fact] = []
        self.file = StateFile(path, 1000.0, self.facts.append, post=self.post, is_available=lambda: self.is_available)
        self.is_available = True
        self.refused: set[bytes] = set()
        self.posted: list[tuple[Delivery, InvalidEvent]] = []
        self.answers = True

    @property
    def letters(self) -> KeptDeadLetters:
        """What is tested."""
        return self.file.dead_letters

    @property
    def bodies(self) -> list[bytes]:
        """Of what was posted."""
        return [delivery.body for delivery, _ in self.posted]

    def post(self, delivery: Delivery, error: InvalidEvent) -> None:
        """The conductor's part."""
        self.posted.append((delivery, error))
        if self.answers:
            self.answer(delivery)

    def answer(self, delivery: Delivery) -> None:
        """The server's part."""
        if delivery.body in self.refused:
            self.letters.refused(delivery)
        else:
            delivery.ledger.resolve(delivery.delivery_tag)

    async def keep(self, body: bytes, error: InvalidEvent | None = None) -> bool:
        """Keep one; whether it worked."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        delivery = Delivery("a", Channel(), 5, body, True, "key", 1.5)
        self.letters.keep(delivery, error or EventNotJson("no JSON"), kept.set_result)
        return await asyncio.wait_for(kept, DEADLINE_S)

    def in_file(self) -> list[tuple[bytes, int]]:
        """Body and tries of each letter in the file."""
        tool = Store.open(self.file.path)
        rows = tool._connection.execute("SELECT body, tries FROM letters ORDER BY number").fetchall()
        tool.close()
        return rows

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds follow each other quickly."""
    monkeypatch.setattr(letters_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(letters_module, "LONGEST_WAIT_S", 0.04)


@pytest.fixture
async def rig(path: Path) -> AsyncIterator[Rig]:
    """A state file in use."""
    rig = Rig(path)
    await rig.file.start()
    yield rig
    await rig.file.close(DEADLINE_S)


async def test_a_kept_letter_is_in_the_file(rig: Rig) -> None:
    """When it is told so, and counted."""
    rig.is_available = False
    assert await rig.keep(b"\xff\x00")
    assert rig.in_file() == [(b"\xff\x00", 0)]
    assert rig.letters.count == 1
    (fact,) = [fact for fact in rig.facts if isinstance(fact, LetterKept)]
    assert (fact.stream, fact.size, fact.letters) == ("a", 2, 1)


async def test_it_is_sent_as_it_was(rig: Rig) -> None:
    """With its error, its routing key and the time when it arrived."""
    error = EventRefusedByServer("server refuses this event")
    assert await rig.keep(b"poison", error)
    await rig.until(lambda: rig.posted)
    ((delivery, posted_error),) = rig.posted
    assert (delivery.stream, delivery.body, delivery.routing_key) == ("a", b"poison", "key")
    assert (delivery.received_at, delivery.redelivered) == (1.5, True)
    assert type(posted_error) is EventRefusedByServer
    assert str(posted_error) == str(error)


async def test_it_is_gone_when_a_server_has_it(rig: Rig) -> None:
    """And only then."""
    rig.answers = False
    assert await rig.keep(b"x")
    await rig.until(lambda: rig.posted)
    await asyncio.sleep(0.03)
    assert rig.in_file() == [(b"x", 0)]
    assert rig.bodies == [b"x"]
    rig.answer(rig.posted[0][0])
    await rig.until(lambda: rig.in_file() == [])
    await rig.until(lambda: KeptLettersSent(1, 0) in rig.facts)
    assert rig.letters.count == 0


async def test_letters_are_sent_after_a_restart(rig: Rig, path: Path) -> None:
    """The process may end before a server takes them."""
    rig.is_available = False
    for body in (b"1", b"2", b"3"):
        assert await rig.keep(body)
    await rig.file.close(DEADLINE_S)
    again = Rig(path)
    await again.file.start()
    await again.until(lambda: again.in_file() == [])
    assert again.bodies == [b"1", b"2", b"3"]
    await again.until(lambda: KeptLettersSent(3, 0) in again.facts)
    await again.file.close(DEADLINE_S)


async def test_an_error_of_another_version_is_no_obstacle(path: Path) -> None:
    """The letter is sent with its reason, under the name of all such errors."""
    store = Store.open(path, create=True)
    with store.transaction():
        store.add_letter(KeptDeadLetter("gone", "event.unheard-of", "a reason", "", False, 0.0, b"x"))
    store.close()
    rig = Rig(path)
    await rig.file.start()
    await rig.until(lambda: rig.posted)
    ((delivery, error),) = rig.posted
    assert (delivery.stream, type(error), str(error)) == ("gone", InvalidEvent, "a reason")
    await rig.file.close(DEADLINE_S)


async def test_letters_wait_for_a_server(rig: Rig) -> None:
    """One that comes wakes them."""
    rig.is_available = False
    assert await rig.keep(b"x")
    await asyncio.sleep(0.05)
    assert not rig.posted
    rig.is_available = True
    rig.letters.wake()
    await rig.until(lambda: rig.in_file() == [])


async def test_a_hopeless_letter_does_not_hold_up_the_others(rig: Rig) -> None:
    """It goes to the end of the line, and is tried again and again."""
    rig.is_available = False
    rig.refused = {b"1"}
    for body in (b"1", b"2", b"3"):
        assert await rig.keep(body)
    rig.is_available = True
    rig.letters.wake()
    await rig.until(lambda: len(rig.posted) == 6)
    assert rig.bodies == [b"1", b"2", b"3", b"1", b"1", b"1"]
    assert [body for body, _ in rig.in_file()] == [b"1"]
    rig.refused = set()
    await rig.until(lambda: rig.in_file() == [])


async def test_a_server_that_refuses_all_is_not_pestered(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round ends with the first refusal, and the rounds come ever more slowly."""
    waits: list[float] = []

    def backoff(attempt: int, jitter: float, *, first_s: float, cap_s: float) -> float:
        waits.append(backoff_s(attempt, jitter, first_s=1.0, cap_s=10.0))
        return 0.001

    monkeypatch.setattr(letters_module, "backoff_s", backoff)
    rig.refused = {b"1", b"2", b"3"}
    for body in sorted(rig.refused):
        assert await rig.keep(body)
    await rig.until(lambda: len(waits) >= 6)
    assert waits[:6] == [1, 2, 4, 8, 10, 10]
    assert len(rig.posted) - len(waits) <= 1


async def test_what_cannot_be_kept_is_told(rig: Rig) -> None:
    """Its delivery stays unacked then."""
    rig.file.writer._fail(StateDiskFull("full"), 1000.0)
    assert not await rig.keep(b"x")
    assert rig.letters.count == 0
    assert not [fact for fact in rig.facts if isinstance(fact, LetterKept)]


async def test_a_letter_sent_in_trouble_is_removed_late(rig: Rig) -> None:
    """It is not sent again once the file is back."""
    rig.answers = False
    assert await rig.keep(b"x")
    await rig.until(lambda: rig.posted)
    rig.file.writer.suspect(StateDiskFull("full"))
    await rig.until(lambda: rig.file.error is not None)
    rig.answers = True
    rig.answer(rig.posted[0][0])
    await rig.until(lambda: rig.file.error is None)
    await rig.until(lambda: rig.in_file() == [])
    assert rig.bodies == [b"x"]
