"""The memory of what was delivered knows an event by stream and bytes, and stays small."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.delivered import (
    DIGEST_BYTES,
    LEAST_REMEMBERED,
    REMEMBERED_EVENTS,
    DeliveredMemory,
    digest_of,
    identity_of,
)
from tests.ledgers import FakeLedger


def delivery(body: bytes, stream: str = "a") -> Delivery:
    """A delivery with its digest."""
    return Delivery(stream, FakeLedger(), 1, body, digest=digest_of(body))


def record(memory: DeliveredMemory, *deliveries: Delivery) -> None:
    """Record these."""
    memory.record(list(deliveries))


@given(st.lists(st.binary(max_size=20), unique=True, max_size=20))
def test_different_bodies_have_different_digests(bodies: list[bytes]) -> None:
    """The whole body counts, and every digest has one length."""
    digests = {digest_of(body) for body in bodies}
    assert len(digests) == len(bodies)
    assert all(len(digest) == DIGEST_BYTES for digest in digests)


def test_an_event_is_known_by_its_stream_too() -> None:
    """The same body on another stream is another event."""
    memory = DeliveredMemory()
    record(memory, delivery(b"x", "a"))
    assert memory.contains("a", digest_of(b"x"))
    assert not memory.contains("b", digest_of(b"x"))


@given(st.integers(1, 5), st.lists(st.integers(0, 9), max_size=60))
def test_the_last_ones_are_known_and_not_many_more(limit: int, numbers: list[int]) -> None:
    """At least the last ``limit`` different events of a stream, at most twice as many."""
    memory = DeliveredMemory(limit)
    for number in numbers:
        record(memory, delivery(b"%d" % number))
    latest = list(dict.fromkeys(reversed(numbers)))
    known = [number for number in range(10) if memory.contains("a", digest_of(b"%d" % number))]
    assert set(latest[:limit]) <= set(known) <= set(latest)
    assert len(known) <= 2 * limit


def test_a_busy_stream_does_not_make_a_quiet_one_forget() -> None:
    """The bound is one for each stream."""
    memory = DeliveredMemory(limit=2)
    record(memory, delivery(b"quiet", "b"))
    record(memory, *(delivery(b"%d" % number) for number in range(100)))
    assert memory.contains("b", digest_of(b"quiet"))


@pytest.mark.parametrize(("streams", "limit"), [(0, REMEMBERED_EVENTS), (1, REMEMBERED_EVENTS), (50, 2000)])
def test_many_streams_share_one_bound(streams: int, limit: int) -> None:
    """So that hundreds of streams do not take hundreds of megabytes."""
    memory = DeliveredMemory.shared_by(streams)
    record(memory, *(delivery(b"%d" % number) for number in range(limit + 1)))
    assert memory.contains("a", digest_of(b"0"))
    record(memory, *(delivery(b"more %d" % number) for number in range(limit)))
    assert not memory.contains("a", digest_of(b"0"))


def test_each_stream_remembers_something() -> None:
    """However many there are."""
    memory = DeliveredMemory.shared_by(10**6)
    record(memory, *(delivery(b"%d" % number) for number in range(LEAST_REMEMBERED)))
    assert memory.contains("a", digest_of(b"0"))


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        (
            {"id": 6533241145273614340, "event_type_id": 2164260880, "connector_guid": "0b48"},
            (6533241145273614340, 5, 6, 2164260880, "0b48", None),
        ),
        ({"id": 2**80}, (2**80, 5, 6, None, None, None)),
        ({"id": True, "event_type_id": True, "connector_guid": 7}, (None, 5, 6, None, None, None)),
        ({"id": [1], "event_type_id": 1.5, "connector_guid": "x" * 65}, (None, 5, 6, None, None, None)),
        ({"id": float("inf"), "event_type_id": "", "detection_id": {}}, (None, 5, 6, None, None, None)),
        ({"id": "9" * 65, "computer": {"connector_guid": []}}, (None, 5, 6, None, None, None)),
        ({"id": "no number", "event_type_id": "no number"}, ("no number", 5, 6, None, None, None)),
        ({"id": "٣", "computer": "c"}, ("٣", 5, 6, None, None, None)),
        ({}, (None, 5, 6, None, None, None)),
    ],
)
def test_facts_are_taken_where_they_are_what_cisco_documents(event: dict[str, Any], facts: tuple[Any, ...]) -> None:
    """Anything else counts as missing: it could not be compared with the cloud."""
    assert identity_of(event, 5, 6) == facts


ONE_EVENT: list[dict[str, Any]] = [
    {"id": 6533241145273614336, "event_type_id": 553648143, "connector_guid": "0b48-ab", "detection_id": "65332"},
    {"id": "6533241145273614336", "event_type_id": "553648143", "computer": {"connector_guid": "0B48-AB"}}
    | {"connector_guid": ""}
    | {"detection_id": 65332},
    {"id": 6533241145273614336.0, "event_type_id": 553648143.0, "connector_guid": None, "detection_id": "65332"}
    | {"computer": {"connector_guid": "0b48-ab"}},
]


@pytest.mark.parametrize("event", ONE_EVENT, ids=["stream", "texts", "floats"])
def test_an_event_has_the_same_facts_in_every_form(event: dict[str, Any]) -> None:
    """A number may be a text, or have an exponent; the GUID may stand at the top, or with the computer."""
    assert identity_of(event, 5, 6) == EventIdentity(6533241145273614336, 5, 6, 553648143, "0b48-ab", 65332)
