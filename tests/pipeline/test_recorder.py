"""What servers have is remembered, and resolved once that is safe."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.facts import Fact, InternalError
from fluent_plugin_amp.model import Delivery, Pending
from fluent_plugin_amp.pipeline.lines import Lines
from fluent_plugin_amp.pipeline.recorder import Recorder
from fluent_plugin_amp.pipeline.transform import Transform


class ScriptedLedger:
    """Notes what is resolved; some tags are too much for it."""

    closed = False

    def __init__(self, *refused: int) -> None:
        self.refused = refused
        self.resolved: list[int] = []

    def resolve(self, delivery_tag: int) -> None:
        """Once for each."""
        if delivery_tag in self.refused:
            raise ZeroDivisionError
        assert delivery_tag not in self.resolved
        self.resolved.append(delivery_tag)


class Memory:
    """Answers each record with the next of ``answers``."""

    wants_facts = False

    def __init__(self, *answers: Pending | Exception | None) -> None:
        self.answers = list(answers)
        self.recorded: list[list[int]] = []

    def contains(self, stream: str, digest: bytes) -> bool:
        """Not asked here."""
        return False

    def record(self, deliveries: list[Delivery]) -> Pending | None:
        """Part of `Delivered`."""
        self.recorded.append([delivery.delivery_tag for delivery in deliveries])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Rig:
    """A recorder, and what it tells."""

    def __init__(self, memory: Memory, *, combines: bool = False, refused: tuple[int, ...] = ()) -> None:
        self.facts: list[Fact] = []
        self.ledger = ScriptedLedger(*refused)
        self.lines = Lines({"a": Transform("a")})
        self.recorder = Recorder(self.lines, memory, self.facts.append, combines=combines)

    def finish(self, *tags: int, members: tuple[int, ...] = ()) -> None:
        """Servers have these."""
        for tag in tags:
            delivery = Delivery("a", self.ledger, tag, b"body", member=tag if tag in members else None)
            self.recorder.finished(delivery)
            assert not delivery.body
        self.recorder.record()


def test_what_is_safe_at_once_is_resolved_at_once() -> None:
    """All of a chunk is one call of the memory."""
    memory = Memory(None)
    rig = Rig(memory)
    rig.finish(1, 2, 3)
    assert (memory.recorded, rig.ledger.resolved) == ([[1, 2, 3]], [1, 2, 3])
    assert not rig.recorder


def test_what_is_pending_is_resolved_when_it_is_safe() -> None:
    """Until then the recorder is not idle; what is safe first is resolved first."""
    first, second = Pending(), Pending()
    rig = Rig(Memory(first, second))
    rig.finish(1)
    rig.finish(2)
    assert rig.ledger.resolved == []
    second.is_safe_now()
    assert (rig.ledger.resolved, bool(rig.recorder)) == ([2], True)
    first.is_safe_now()
    assert (rig.ledger.resolved, bool(rig.recorder)) == ([2, 1], False)


@pytest.mark.parametrize("combines", [False, True])
def test_what_takes_part_in_combined_records_is_recorded_apart(combines: bool) -> None:
    """The others are resolved although its part is not safe yet."""
    memory = Memory(None, Pending())
    rig = Rig(memory, combines=combines)
    rig.finish(1, 2, 3, members=(2,) if combines else ())
    assert memory.recorded == ([[1, 3], [2]] if combines else [[1, 2, 3]])
    assert rig.ledger.resolved == ([1, 3] if combines else [1, 2, 3])


def test_nothing_is_recorded_when_nothing_is_finished() -> None:
    """The memory is not troubled."""
    memory = Memory()
    Rig(memory, combines=True).finish()
    assert memory.recorded == []


def test_a_memory_that_fails_holds_nobody_up() -> None:
    """Servers have the events."""
    error = ZeroDivisionError()
    rig = Rig(Memory(error))
    rig.finish(1)
    assert (rig.ledger.resolved, rig.facts) == ([1], [InternalError("memory", error)])


def test_a_delivery_that_fails_stays_unacked_alone() -> None:
    """It is told, and the others are resolved."""
    rig = Rig(Memory(None), refused=(2,))
    rig.finish(1, 2, 3)
    assert rig.ledger.resolved == [1, 3]
    assert [type(fact) for fact in rig.facts] == [InternalError]
