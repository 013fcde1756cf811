"""`sink.forward.window`: what is in flight on one connection."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import WrongAck
from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.window import Window


def test_a_trusted_window_takes_max_in_flight(make_chunk: Any) -> None:
    """Room shrinks with each chunk and comes back with each ack, in any order."""
    window = Window(3, 60.0)
    chunks = [make_chunk() for _ in range(3)]
    for left, chunk in zip((2, 1, 0), chunks, strict=True):
        window.register(chunk, 0.0)
        assert window.room == left
    assert window.ack(chunks[1].id) is chunks[1]
    assert window.ack(chunks[0].id) is chunks[0]
    assert window.room == 2
    assert window.chunks() == [chunks[2]]


def test_an_unknown_ack_is_a_wrong_ack(make_chunk: Any) -> None:
    """An ack for a chunk that was never sent here, or before the connection was lost, is not believed."""
    window = Window(4, 60.0)
    chunk = make_chunk()
    window.register(chunk, 0.0)
    with pytest.raises(WrongAck):
        window.ack("never sent")
    window.lost()
    with pytest.raises(WrongAck):
        window.ack(chunk.id)


def test_a_repeated_ack_is_ignored(make_chunk: Any) -> None:
    """A server may say it twice; the chunk is answered once."""
    window = Window(4, 60.0)
    chunk: Chunk = make_chunk()
    window.register(chunk, 0.0)
    assert window.ack(chunk.id) is chunk
    assert window.ack(chunk.id) is None


def test_the_deadline_is_the_oldest_chunks(make_chunk: Any) -> None:
    """It moves on as the oldest is acked, and there is none when nothing is in flight."""
    window = Window(4, 60.0)
    assert window.deadline is None
    first, second = make_chunk(), make_chunk()
    window.register(first, 100.0)
    window.register(second, 130.0)
    assert window.deadline == 160.0
    window.ack(first.id)
    assert window.deadline == 190.0
    window.lost()
    assert window.deadline is None


def test_after_a_loss_one_chunk_probes_until_an_ack(make_chunk: Any) -> None:
    """Chunks in doubt make the server untrusted: one chunk at a time, until one is acked."""
    window = Window(4, 60.0)
    chunks = [make_chunk(), make_chunk()]
    for chunk in chunks:
        window.register(chunk, 0.0)
    assert window.lost() == chunks
    assert not window.trusted
    assert window.room == 1
    window.register(chunks[0], 0.0)
    assert window.room == 0
    window.ack(chunks[0].id)
    assert window.trusted
    assert window.room == 4


def test_a_loss_with_nothing_in_flight_casts_no_doubt() -> None:
    """A server that restarts while idle is trusted at once."""
    window = Window(4, 60.0)
    assert window.lost() == []
    assert window.trusted


def test_a_chunk_that_travels_alone_closes_the_window(make_chunk: Any) -> None:
    """Nothing follows a suspect until its ack."""
    window = Window(4, 60.0)
    suspect = make_chunk()
    window.register(suspect, 0.0, alone=True)
    assert window.room == 0
    window.ack(suspect.id)
    assert window.room == 4


@given(st.lists(st.sampled_from(["register", "ack first", "ack last", "ack old", "lose"]), max_size=60))
def test_a_chunk_leaves_once_and_in_flight_is_bounded(steps: list[str]) -> None:
    """Over any walk: acked or lost, never both, never more in flight than allowed."""
    window = Window(3, 60.0)
    inside: list[Chunk] = []
    acked: list[Chunk] = []
    for number, step in enumerate(steps):
        if step == "register" and window.room:
            chunk = Chunk(f"c{number}", "t", [b""], [])
            window.register(chunk, float(number))
            inside.append(chunk)
        elif step in ("ack first", "ack last") and inside:
            chunk = inside.pop(0 if step == "ack first" else -1)
            assert window.ack(chunk.id) is chunk
            acked.append(chunk)
        elif step == "ack old" and acked:
            assert window.ack(acked[-1].id) is None
        elif step == "lose":
            assert window.lost() == inside
            inside, acked = [], []
        assert window.chunks() == inside
        assert len(window) == len(inside) <= 3
        assert window.room >= 0


def test_figures_for_the_operator(make_chunk: Any) -> None:
    """The oldest chunk in flight, the one acked last, and how many were lost."""
    window = Window(4, 60.0)
    assert (window.oldest_sent_at, window.acked_sent_at, window.retries) == (None, None, 0)
    for number in range(3):
        window.register(make_chunk(chunk_id=f"c{number}"), now=10.0 + number)
    window.ack("c1")
    assert (window.oldest_sent_at, window.acked_sent_at) == (10.0, 11.0)
    window.lost()
    assert (window.oldest_sent_at, window.retries) == (None, 2)
