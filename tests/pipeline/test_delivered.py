"""The memory of what was delivered knows an event by its bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.delivered import DIGEST_BYTES, DeliveredMemory, digest_of


@given(st.lists(st.binary(max_size=20), unique=True, max_size=20))
def test_different_bodies_have_different_digests(bodies: list[bytes]) -> None:
    """The whole body counts, and every digest has one length."""
    digests = {digest_of(body) for body in bodies}
    assert len(digests) == len(bodies)
    assert all(len(digest) == DIGEST_BYTES for digest in digests)


def test_the_oldest_is_forgotten_first() -> None:
    """The memory is bounded, and what was delivered last is known."""
    memory = DeliveredMemory(limit=2)
    for body in (b"a", b"b", b"c"):
        memory.remember(digest_of(body))
    assert [digest_of(body) in memory for body in (b"a", b"b", b"c")] == [False, True, True]


def test_what_is_delivered_again_is_young_again() -> None:
    """An event delivered a second time is among the last delivered."""
    memory = DeliveredMemory(limit=2)
    for body in (b"a", b"b", b"a", b"c"):
        memory.remember(digest_of(body))
    assert [digest_of(body) in memory for body in (b"a", b"b", b"c")] == [True, False, True]
