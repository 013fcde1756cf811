"""Dead letters keep the original bytes, whatever they are."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import EventNotJson
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.pipeline.dead_letters import dead_letter, original_body
from fluent_plugin_amp.source.ledger import Ledger

ERROR = EventNotJson("malformed at byte 7")


def letters_of(body: bytes, part_bytes: int) -> list[dict[str, Any]]:
    """The dead letter of a redelivered message with this body."""
    delivery = Delivery("emea", Ledger(), 7, body, redelivered=True, routing_key="a.b.1", received_at=1557506167.25)
    return dead_letter(delivery, ERROR, part_bytes)


def test_a_letter_says_what_and_why() -> None:
    """All fields of a small letter."""
    assert letters_of(b'{"a": ', 1000) == [
        {
            "stream": "emea",
            "error_id": "event.not-json",
            "reason": "malformed at byte 7",
            "received_at": "2019-05-10T16:36:07.250+00:00",
            "redelivered": True,
            "routing_key": "a.b.1",
            "body": '{"a": ',
            "part": 1,
            "parts": 1,
        }
    ]


def test_bytes_that_are_no_text_are_base64() -> None:
    """A body that is not UTF-8 stands in `body_base64`."""
    (letter,) = letters_of(b"\xff\x00", 1000)
    assert letter["body_base64"] == "/wA="
    assert "body" not in letter


def test_an_empty_body_has_a_letter_too() -> None:
    """Nothing is still one part."""
    (letter,) = letters_of(b"", 1000)
    assert (letter["body"], letter["part"], letter["parts"]) == ("", 1, 1)


@pytest.mark.parametrize(("size", "parts"), [(10, 1), (11, 2), (20, 2), (21, 3)])
def test_as_few_parts_as_possible(size: int, parts: int) -> None:
    """A body is cut only where it has to be."""
    for body in (b"x" * size, b"\xff" * size):
        letters = letters_of(body, 10)
        assert [(letter["part"], letter["parts"]) for letter in letters] == [(n + 1, parts) for n in range(parts)]


bodies = st.binary(max_size=300) | st.text().map(str.encode)


@given(body=bodies, part_bytes=st.integers(4, 100), order=st.randoms())
@example(body="𐀀".encode() * 9, part_bytes=5, order=Random(0))
def test_the_parts_join_to_the_original_body(body: bytes, part_bytes: int, order: Random) -> None:
    """For any bytes, any size of the parts and any order of arrival; no part is larger than asked or empty."""
    letters = letters_of(body, part_bytes)
    sizes = [len(original_body([letter])) for letter in letters]
    assert max(sizes) <= part_bytes
    assert not body or min(sizes) > 0
    order.shuffle(letters)
    assert original_body(letters) == body
