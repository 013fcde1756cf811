"""What passes the decoder can be a record everywhere; what cannot is an invalid event, never another exception."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import datetime, timezone
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import EventNotJson, EventNotObject, EventTooDeep, EventTooManyValues, InvalidEvent
from fluent_plugin_amp.pipeline.decode import (
    COUNTED_BYTES,
    MAX_DEPTH,
    MAX_DIGITS_IN_ALL,
    MAX_VALUES,
    decode,
    event_time,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)


@given(json_objects)
def test_a_json_object_comes_through_unchanged(event: dict[str, Any]) -> None:
    """Every object is decoded as Python's own decoder does it, integers beyond 64 bits included."""
    body = json.dumps(event).encode()
    decoded = decode(body)
    assert decoded == event
    assert repr(decoded) == repr(json.loads(body))  # 1 and 1.0 and True are equal, but not the same


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b'{"a": 1e400}')
@example(b'{"a": -%s}' % (b"9" * 5000))
def test_any_bytes_give_an_object_or_an_invalid_event(body: bytes) -> None:
    """No input makes the decoder raise anything else, so none can stop a stream."""
    with contextlib.suppress(InvalidEvent):
        assert type(decode(body)) is dict


@given(json_objects, st.data())
def test_a_truncated_object_is_not_json(event: dict[str, Any], data: st.DataObject) -> None:
    """A body cut anywhere is refused, not half understood."""
    body = json.dumps(event).encode()
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(EventNotJson):
        decode(body[:cut])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"a": 1} x',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": 01}',
        b'{"a": "\xff"}',
        b'{"\xff": 1}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\n"}',
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_not_json(body: bytes) -> None:
    """Malformed, empty, not UTF-8, not a number that JSON has, half a surrogate pair: refused as not JSON."""
    with pytest.raises(EventNotJson):
        decode(body)


def test_an_empty_body_says_so() -> None:
    """The most frequent fault has plain words."""
    with pytest.raises(EventNotJson, match="the body is empty"):
        decode(b"")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"null", "null"),
        (b"[{}]", "a list"),
        (b'"text"', "a string"),
        (b"true", "a boolean"),
        (b"17", "a number"),
        (b"1.5", "a number"),
    ],
)
def test_not_an_object(body: bytes, kind: str) -> None:
    """JSON that is no object is named for what it is."""
    with pytest.raises(EventNotObject, match=f"the body is {kind}, not an object"):
        decode(body)


def nested(levels: int, *, of: str) -> bytes:
    """An object with ``levels`` levels of containers, itself included."""
    inner = levels - 1
    return (
        ('{"a":' + "[" * inner + "]" * inner) if of == "lists" else '{"a":' * inner + "{}" + "}" * (inner - 1)
    ).encode() + b"}"


@pytest.mark.parametrize("of", ["lists", "maps"])
@pytest.mark.parametrize("padding", [0, COUNTED_BYTES], ids=["short", "long"])
def test_the_depth_limit_is_exact(of: str, padding: int) -> None:
    """So many levels pass, one more is too deep, however deep it goes on and however long the event is."""
    decode(nested(MAX_DEPTH, of=of) + b" " * padding)
    for levels in (MAX_DEPTH + 1, MAX_DEPTH * 5, 100_000):
        with pytest.raises(EventTooDeep):
            decode(nested(levels, of=of) + b" " * padding)


def test_a_wide_event_is_not_deep() -> None:
    """Hundreds of containers side by side pass: it is the depth that counts."""
    event = {"list": [{"n": n} for n in range(MAX_DEPTH * 3)], "text": "[{" * 1000}
    assert decode(json.dumps(event).encode()) == event


# --- time ----------------------------------------------------------------------------------------

ARRIVAL = 1_700_000_000.25


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"timestamp": 1557506167, "timestamp_nanoseconds": 123456789}, (1557506167, 123456789)),
        ({"timestamp": 1557506167}, (1557506167, 0)),
        ({"timestamp": 0, "timestamp_nanoseconds": 999_999_999}, (0, 999_999_999)),
        ({"timestamp": 2**32 - 1}, (2**32 - 1, 0)),
        ({"timestamp": 5, "timestamp_nanoseconds": 1_000_000_000}, (5, 0)),
        ({"timestamp": 5, "timestamp_nanoseconds": "7"}, (5, 0)),
        ({"timestamp": 5, "date": "2019-05-10T16:36:07+00:00"}, (5, 0)),
        ({"date": "2019-05-10T16:36:07+00:00"}, (1557506167, 0)),
        ({"date": "2019-05-10T16:36:07Z"}, (1557506167, 0)),
        ({"date": "2019-05-10T18:36:07.250+02:00"}, (1557506167, 250_000_000)),
        ({"date": "2019-05-10T16:36:07"}, (1557506167, 0)),
        ({"timestamp": None, "date": "2019-05-10T16:36:07Z"}, (1557506167, 0)),
    ],
)
def test_the_time_of_an_event(event: dict[str, Any], expected: tuple[int, int]) -> None:
    """`timestamp` with its nanoseconds, else `date`; a date without a zone is UTC."""
    assert event_time(event, ARRIVAL) == expected


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"timestamp": True},
        {"timestamp": 1.5},
        {"timestamp": "1557506167"},
        {"timestamp": -1},
        {"timestamp": 2**32},
        {"timestamp": 2**80},
        {"date": None},
        {"date": 1557506167},
        {"date": ""},
        {"date": "yesterday"},
        {"date": "1969-12-31T23:59:59.500Z"},
        {"date": "0001-01-01T00:00:00+14:00"},
        {"date": "9999-12-31T23:59:59.999999-14:00"},
    ],
)
def test_without_a_usable_time_the_arrival_counts(event: dict[str, Any]) -> None:
    """Another type, or outside the 32 bits of an EventTime, counts as missing."""
    assert event_time(event, ARRIVAL) == (1_700_000_000, 250_000_000)


@given(
    event=st.fixed_dictionaries(
        {}, optional={"timestamp": json_values, "timestamp_nanoseconds": json_values, "date": json_values}
    ),
    arrival=st.floats(0, 2**32 - 1, exclude_max=True),
)
def test_any_event_has_a_time_that_fits(event: dict[str, Any], arrival: float) -> None:
    """Whatever stands in the fields, the result fits an EventTime."""
    seconds, nanoseconds = event_time(event, arrival)
    assert type(seconds) is type(nanoseconds) is int
    assert 0 <= seconds < 2**32
    assert 0 <= nanoseconds < 10**9


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2106, 2, 7)))
def test_a_date_is_exact_to_the_microsecond(moment: datetime) -> None:
    """No microsecond is lost on the way from ISO 8601."""
    since_epoch = moment - datetime(1970, 1, 1)
    iso = moment.replace(tzinfo=timezone.utc).isoformat(timespec="microseconds")
    expected = since_epoch.days * 86_400 + since_epoch.seconds, since_epoch.microseconds * 1000
    assert event_time({"date": iso}, ARRIVAL) == expected


def test_a_bom_is_nothing() -> None:
    """Some writers put it before JSON; what follows is an event, and before something else it stays no JSON."""
    assert decode(b'\xef\xbb\xbf{"id": 1}') == {"id": 1}
    for body in (b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\xef\xbb{}"):
        with pytest.raises(EventNotJson):
            decode(body)


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 4301, "1e400", "-1e400"])
def test_a_number_that_nothing_can_keep_is_no_json(number: str) -> None:
    """Up to 4,300 digits an integer is exact, and found when it is packed; docs/errors.md says so."""
    with pytest.raises(EventNotJson):
        decode(b'{"a": %b}' % number.encode())
    assert decode(b'{"a": %b}' % (b"9" * 4300))["a"] == 10**4300 - 1


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1", b'""', b'{"a":1}', b'"\\\\"', b'"\\"",2', b'"","",""'])
def test_more_values_than_any_event_has_are_not_made(item: bytes) -> None:
    """Each takes many times its text in memory: what would be too many is refused before it is decoded."""
    with pytest.raises(EventTooManyValues):
        decode(b'{"a":[' + b",".join([item] * (MAX_VALUES + 1)) + b"]}")


@pytest.mark.parametrize("text", [",[{", ',"[', ",\\[", '\\",[', ',\\\\"{'])
def test_texts_are_not_taken_for_values(text: str) -> None:
    """A text may be as long as it likes, and hold what it likes."""
    event = {"command_line": text * MAX_VALUES, "file": {"name": text}}
    body = json.dumps(event).encode()
    assert decode(body) == event


def test_numbers_of_too_many_digits_are_not_made() -> None:
    """The longest that can be read take the longest for each of their digits; in a text they are none."""
    numbers = b",".join([b"7" * 4300] * (MAX_DIGITS_IN_ALL // 4300 + 1))
    with pytest.raises(EventTooManyValues, match="5,000,000 digits"):
        decode(b'{"a":[' + numbers + b"]}")
    assert decode(b'{"a":"' + numbers + b'","b":7}') == {"a": numbers.decode(), "b": 7}


def test_of_too_many_texts_digits_are_not_counted() -> None:
    """No list is made of what stands between millions of quotes: no event has so many."""
    quotes = b'"' * (4 * MAX_VALUES + 2)
    with pytest.raises(EventTooManyValues):
        decode(b'{"a":"' + b"7" * (MAX_DIGITS_IN_ALL + 1) + quotes)


def test_as_many_numbers_as_an_event_may_have_are_not_too_many_digits() -> None:
    """Each of them as long as one of 64 bits can be."""
    numbers = b",".join([b"1" * 20] * (MAX_VALUES - 10))
    assert len(decode(b'{"a":[' + numbers + b"]}")["a"]) == MAX_VALUES - 10


NUMBERS = [
    b"1e308",
    b"-4.9e-324",
    b"1e-400",
    b"-0.0",
    b"1E+5",
    b"0.1",
    b"123456789.012345678901234567890",
    b"-0",
    b"7",
]


def test_numbers_of_a_large_body_are_the_same() -> None:
    """And none takes the decoder long, however it is written: each that is not whole is read by Python."""
    body = b'{"a":[' + b",".join(NUMBERS) + b"]}"
    padded = body + b" " * COUNTED_BYTES
    read = []

    def called(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == "float_of":
            read.append(frame.f_locals["text"])

    profile = sys.getprofile()
    sys.setprofile(called)
    try:
        large = decode(padded)
    finally:
        sys.setprofile(profile)
    assert repr(large) == repr(decode(body))
    assert len(read) == len(NUMBERS) - 2


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1.", b"1e", b"01.5", b"NaN"])
def test_no_number_in_a_large_body_is_no_json_either(number: bytes) -> None:
    """The reason is said in the same words."""
    body = b'{"a":' + number + b"}"
    with pytest.raises(EventNotJson) as small:
        decode(body)
    with pytest.raises(EventNotJson) as large:
        decode(body + b" " * COUNTED_BYTES)
    assert str(large.value).partition(" - at")[0] == str(small.value).partition(" - at")[0]
