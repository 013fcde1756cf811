"""What the fuzzer makes of good bytes: repeatable, and never the same in the end."""

from __future__ import annotations

from random import Random

from fluent_plugin_amp.testing.hostile_broker import heartbeat_frame, raw_frame
from tests.fuzz.events import GarbageEvents, properties
from tests.fuzz.mutate import mangle, mutate, split_frames

FRAMES = [heartbeat_frame(), raw_frame(1, 1, b"method"), raw_frame(3, 1, b"body" * 100)]


def test_frames_are_told_apart() -> None:
    """Whole frames and the rest, wherever the bytes are cut."""
    data = b"".join(FRAMES)
    for end in range(len(data) + 1):
        frames, rest = split_frames(data[:end])
        assert b"".join(frames) + rest == data[:end]
        assert frames == FRAMES[: len(frames)]


def test_a_seed_repeats_it() -> None:
    """The same seed: the same bytes, events and properties."""

    def play(seed: int) -> list[object]:
        random = Random(seed)
        events = GarbageEvents(random)
        return [
            *(mutate(random, FRAMES[2]) for _ in range(20)),
            *(mangle(random, FRAMES, 0.5, FRAMES) for _ in range(20)),
            *(events.body() for _ in range(50)),
            *(properties(random, broken=True) for _ in range(50)),
        ]

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_nothing_is_spoilt_without_a_chance() -> None:
    """A relay with chance 0 forwards what it gets."""
    assert mangle(Random(1), FRAMES, 0.0) == FRAMES
