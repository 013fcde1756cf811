"""Answers in pieces."""

from __future__ import annotations

import msgspec
import pytest

from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.pieces import MAX_SAID, envelope, items, items_or_one, one_object

ASKED = "GET /v1/events"


def test_the_data_is_left_as_it_came() -> None:
    """Behind a byte order mark, too."""
    found = envelope(b'\xef\xbb\xbf{"version": "v1", "metadata": {"a": 1}, "data": [ 1, {"b" : 2}]}', ASKED)
    assert found.about == {"metadata": {"a": 1}}
    assert [bytes(item) for item in items(found.data, ASKED)] == [b"1", b'{"b" : 2}']


@pytest.mark.parametrize(
    ("body", "said"),
    [
        *((b"", "empty"), (b"<html>", "a web page"), (b"{]", "something else")),
        *((b"[]", "no data"), (b"{}", "no data")),
        (b'{"dat": "' + b"x" * MAX_SAID + b'"}', "no data"),
        (b'\xef\xbb\xbf["' + b"x" * MAX_SAID + b'"]', "no data"),
        (b'{"data": "' + b"x" * MAX_SAID, "something else"),
        (b"<html>" + b"x" * MAX_SAID, "a web page"),
    ],
    ids=lambda each: each[:12] if isinstance(each, bytes) else each,
)
def test_what_is_no_envelope_is_said_so(body: bytes, said: str) -> None:
    """The error says what it is instead, and which request it answers."""
    with pytest.raises(CloudAnswerNotUnderstood, match=f"{ASKED}: .*{said}"):
        envelope(body, ASKED)


@pytest.mark.parametrize("data", [b"7", b"{}", b"null"])
def test_what_is_no_list_is_said_so(data: bytes) -> None:
    """In ``data`` itself, or in a field of it."""
    with pytest.raises(CloudAnswerNotUnderstood, match=f"{ASKED}: data is not a list"):
        items(msgspec.Raw(data), ASKED)
    with pytest.raises(CloudAnswerNotUnderstood, match=rf"{ASKED}: data\.list is not a list"):
        items(msgspec.Raw(b'{"list":' + data + b"}"), ASKED, "list")


def test_a_list_may_stand_in_a_field() -> None:
    """Where the field is not there, the list is empty."""
    assert items(msgspec.Raw(b'{"list":[1]}'), ASKED, "list") == [msgspec.Raw(b"1")]
    assert items(msgspec.Raw(b"{}"), ASKED, "list") == []


@pytest.mark.parametrize(
    ("data", "found"), [(b"[{},2]", [b"{}", b"2"]), (b'{"a":1}', [b'{"a":1}']), (b"{ }", []), (b"[]", [])]
)
def test_one_object_is_a_list_of_one(data: bytes, found: list[bytes]) -> None:
    """An empty one is none."""
    assert [bytes(item) for item in items_or_one(msgspec.Raw(data), ASKED)] == found


def test_an_item_is_decoded_by_itself() -> None:
    """As an object, or it is told that it is none."""
    assert one_object(msgspec.Raw(b'{"a":[1,0.5]}'), ASKED) == {"a": [1, 0.5]}
    for item in (b"7", b"[]", b"null", b'"a"'):
        with pytest.raises(CloudAnswerNotUnderstood, match=f"{ASKED}: data is not a list of objects"):
            one_object(msgspec.Raw(item), ASKED)
