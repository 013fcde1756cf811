"""Sense made of the cloud's answers: bodies, refusals, rate limits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.address import address_of
from fluent_plugin_amp.cisco.answers import EventStream, RateLimit
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerNotUnderstood,
    CloudCredentialsRefused,
    CloudProxyRefused,
    CloudRateLimited,
    CloudReadOnlyKey,
    CloudRefused,
    CloudServerError,
    EventStreamNotFound,
)
from fluent_plugin_amp.cisco.regions import CLOUDS
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.testing.hostile_answers import odd_bodies
from tests.cisco.helpers import any_json, floats_read

CREATED: dict[str, Any] = {
    "id": 6,
    "name": "SIEM",
    "amqp_credentials": {
        "user_name": "6-0123456789abcdef0123",
        "password": "0123456789abcdef0123456789abcdef01234567",
        "queue_name": "event_stream_6",
        "host": "export-streaming.amp.cisco.com",
        "port": "443",
        "proto": "https",
    },
}

# --- bodies --------------------------------------------------------------------------------------


def test_a_created_stream_is_read_with_its_password_and_its_port_as_a_number() -> None:
    """The documented answer: a string port becomes a number, no lists mean everything, the password is hidden."""
    stream = answers.event_stream(CREATED)
    assert (stream.id, stream.name, stream.event_types, stream.group_guids) == (6, "SIEM", None, None)
    assert stream.amqp is not None
    assert stream.amqp.port == 443
    password = CREATED["amqp_credentials"]["password"]
    assert stream.amqp.password == password
    assert password not in repr(stream)


@pytest.mark.parametrize(
    ("item", "types", "guids"),
    [
        ({}, None, None),
        ({"event_types": [2164260880], "group_guids": ["g1", "g2"]}, (2164260880,), ("g1", "g2")),
        ({"event_type": [1], "group_guid": ["g1"]}, (1,), ("g1",)),
        ({"event_types": ["1090519054"]}, (1090519054,), None),
        ({"event_types": [], "group_guids": []}, None, None),
        ({"event_types": None, "group_guids": None}, None, None),
    ],
)
def test_filters_are_read_in_either_spelling(
    item: dict[str, Any], types: tuple[int, ...] | None, guids: tuple[str, ...] | None
) -> None:
    """Plural and singular keys, ids as numbers or texts; absent, null and empty all mean everything."""
    stream = answers.event_stream({"id": "7", "name": "x", **item})
    assert stream == EventStream(7, "x", types, guids)


@pytest.mark.parametrize("item", [{"name": "x"}, {"id": None}, {"id": 6.0}, {"id": True}, {"id": "six"}, {"id": "²"}])
def test_a_stream_without_an_integer_id_is_not_understood(item: dict[str, Any]) -> None:
    """An id is never rounded or guessed."""
    with pytest.raises(CloudAnswerNotUnderstood, match="event stream's id is no integer"):
        answers.event_stream(item)


@pytest.mark.parametrize(
    "amqp",
    [
        None,
        "none",
        {},
        {"user_name": "u"},
        {"user_name": 5, "queue_name": "q"},
        {"user_name": "u", "queue_name": "q" * 256},
    ],
)
def test_credentials_without_user_and_queue_are_none(amqp: object) -> None:
    """Half of the credentials is of no use, and no error of its own."""
    assert answers.event_stream({"id": 1, "amqp_credentials": amqp}).amqp is None


def test_a_long_password_is_kept_whole() -> None:
    """Names are cut, a password never."""
    amqp = {"user_name": "u", "queue_name": "q", "password": "p" * 5000}
    stream = answers.event_stream({"id": 1, "name": "n" * 5000, "amqp_credentials": amqp})
    assert len(stream.name) == answers.MAX_TEXT
    assert stream.amqp is not None
    assert stream.amqp.password == "p" * 5000


def test_what_credentials_leave_out_is_left_open() -> None:
    """A missing host, port or proto is for the caller to fill in."""
    amqp = answers.event_stream({"id": 1, "amqp_credentials": {"user_name": "u", "queue_name": "q"}}).amqp
    assert amqp == answers.AmqpCredentials("u", "q", None, None, "https")


def test_ids_beyond_double_precision_stay_exact() -> None:
    """Integers above 2^53 are read as they are."""
    decoded = answers.envelope(b'{"data": [{"id": 6533241145273614341}]}', "GET /v1/events")
    assert answers.items(decoded, "GET /v1/events")[0]["id"] == 6533241145273614341


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the answer is empty instead of JSON"),
        (b" \n <!DOCTYPE html><html>", r"a web page \(HTML\) instead of JSON"),
        (b"\xff\xfe", "something else instead of JSON"),
        (b"[" * 100_000, "something else instead of JSON"),
        (b"[]", "holds no data"),
        (b'{"version": "v1.2.0"}', "holds no data"),
    ],
)
def test_a_body_that_is_no_envelope_is_not_understood(body: bytes, said: str) -> None:
    """HTML, nothing, garbage and other JSON are told apart, and the request is named."""
    with pytest.raises(CloudAnswerNotUnderstood, match=f"GET /v1/groups: .*{said}"):
        answers.envelope(body, "GET /v1/groups")


@pytest.mark.parametrize(
    ("data", "found"), [([], []), ({}, []), ([{"a": 1}, {}], [{"a": 1}, {}]), ({"a": 1}, [{"a": 1}])]
)
def test_data_may_be_a_list_or_one_object(data: object, found: list[object]) -> None:
    """One object counts as a list of one."""
    assert answers.items({"data": data}, "GET /v1/groups") == found


@pytest.mark.parametrize("data", ["text", 5, None, [1, 2], [None]])
def test_data_of_another_kind_is_not_understood(data: object) -> None:
    """Lists of anything but objects are refused."""
    with pytest.raises(CloudAnswerNotUnderstood, match="not a list of objects"):
        answers.items({"data": data}, "GET /v1/groups")


def test_one_object_is_wanted_where_one_was_asked_for() -> None:
    """Two streams in the answer to a creation are not understood."""
    assert answers.one({"data": [{"id": 1}]}, "GET x") == {"id": 1}
    with pytest.raises(CloudAnswerNotUnderstood, match="2 objects instead of one"):
        answers.one({"data": [{}, {}]}, "GET x")


@pytest.mark.parametrize(
    ("decoded", "link"),
    [
        ({"metadata": {"links": {"next": "https://x/v1/groups?offset=500"}}}, "https://x/v1/groups?offset=500"),
        ({"metadata": {"links": {"self": "…", "prev": "…"}}}, None),
        ({"metadata": {"links": {"next": None}}}, None),
        ({"metadata": {"links": {"next": ""}}}, None),
        ({"metadata": {"links": []}}, None),
        ({"metadata": None}, None),
        ({}, None),
    ],
)
def test_the_last_page_has_no_next(decoded: dict[str, Any], link: str | None) -> None:
    """A ``next`` that is absent, null or empty ends the list; other metadata may be missing."""
    assert answers.next_page(decoded) == link


def test_event_types_and_groups_are_named_things() -> None:
    """A type without a name is kept, a group without a GUID is not understood."""
    assert answers.event_type({"id": 553648225, "name": None}).name == ""
    assert answers.group({"guid": "g", "name": "Audit"}).name == "Audit"
    with pytest.raises(CloudAnswerNotUnderstood, match="without a guid"):
        answers.group({"name": "Audit"})


# --- refusals ------------------------------------------------------------------------------------

NOW_S = 1_800_000_000.0
RATE_HEADERS = ["X-Rate-Limit-Limit", "x-ratelimit-remaining", "X-RateLimit-Reset", "Retry-After"]
UNAUTHORIZED = {"error_code": 401, "description": "Unauthorized", "details": ["Unknown API key or Client ID"]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"version": "v1.2.0", "data": {}, "errors": [UNAUTHORIZED]}, "Unauthorized: Unknown API key or Client ID"),
        ({"errors": "Unauthorized"}, ": Unauthorized"),
        ({"errors": ["a", "b"]}, ": a; b"),
        ({"errors": {"description": "Bad", "details": "worse"}}, ": Bad: worse"),
        ({"errors": [{"error_code": 400, "details": ["one", "two"]}]}, ": one; two"),
        ({"errors": [{"description": "Same", "details": ["Same"]}]}, "400: Same$"),
        ({"error": {"message": "M"}}, ": M"),
        ({"message": "M"}, ": M"),
        ({"errors": []}, "400$"),
        ({"errors": [{"error_code": 400}]}, "400$"),
        ({"errors": [17, None]}, "400$"),
        (
            {"errors": {"name": ["has already been taken", "is too long"]}},
            ": name: has already been taken; is too long$",
        ),
        ({"errors": [{"error_code": 400, "details": [{"field": "name", "message": "M"}]}]}, ": M$"),
        ({"errors": [{"description": "Bad", "details": {"name": ["is taken"]}}]}, ": Bad: name: is taken$"),
        ({"error": True, "message": "M"}, ": M$"),
        ({"title": "Forbidden", "status": 403, "detail": "no"}, ": Forbidden: no$"),
        ("text", ": text"),
        ([], "400$"),
    ],
)
def test_the_clouds_words_are_found_in_every_shape(body: object, words: str) -> None:
    """Lists of objects, lists of texts, a text, one object, or none at all: what is said is quoted."""
    error = answers.refusal(400, json.dumps(body).encode(), asked="GET /v1/groups", key_is_good=True)
    with pytest.raises(CloudRefused, match=words):
        raise error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "502$"),
        (b"<html><head><title>502 Bad\n Gateway</title></head>", "502: 502 Bad Gateway$"),
        (b"<p>Sorry</p>", "502: Sorry$"),
        (b"upstream connect error", "502: upstream connect error$"),
        (b"\xff\xfe\x00", "502: "),
        (b"x" * 10_000, "x…$"),
    ],
)
def test_a_refusal_that_is_no_json_is_quoted_too(body: bytes, words: str) -> None:
    """A page's title, a plain text, or nothing; on one line and not at length."""
    error = answers.refusal(502, body, asked="GET /v1/groups", key_is_good=True)
    with pytest.raises(CloudServerError, match=words):
        raise error
    assert len(str(error)) < 400


NOT_FOUND = json.dumps({"errors": [{"error_code": 400, "details": ["Event stream not found"]}]}).encode()


@pytest.mark.parametrize(
    ("status", "asked", "key_is_good", "kind"),
    [
        (401, "GET /v1/version", False, CloudCredentialsRefused),
        (403, "GET /v1/version", False, CloudCredentialsRefused),
        (401, "POST /v1/event_streams", False, CloudCredentialsRefused),
        (401, "POST /v1/event_streams", True, CloudReadOnlyKey),
        (403, "POST /v1/event_streams", False, CloudReadOnlyKey),
        (403, "DELETE /v1/event_streams/6", True, CloudReadOnlyKey),
        (400, "DELETE /v1/event_streams/6", True, EventStreamNotFound),
        (404, "GET /v1/event_streams/6", True, EventStreamNotFound),
        (400, "POST /v1/event_streams", True, CloudRefused),
        (404, "GET /v1/version", False, CloudRefused),
        (407, "GET /v1/version", False, CloudProxyRefused),
        (405, "OPTIONS /v1/computers/x/isolation", True, CloudRefused),
        (429, "GET /v1/version", True, CloudRateLimited),
        (301, "GET /v1/version", False, CloudAnswerNotUnderstood),
        (500, "GET /v1/version", True, CloudServerError),
        (503, "PATCH /v1/event_streams/6", True, CloudServerError),
        (418, "GET /v1/version", True, CloudRefused),
    ],
)
def test_each_status_asks_for_its_own_reaction(
    status: int, asked: str, key_is_good: bool, kind: type[PluginError]
) -> None:
    """A wrong key, a read-only key, a missing stream (400 or 404), a proxy, a limit and a fault are told apart."""
    error = answers.refusal(status, NOT_FOUND, asked=asked, key_is_good=key_is_good, location="https://portal/")
    assert type(error) is kind
    assert asked in str(error)
    assert error.remedy


@pytest.mark.parametrize(
    "body", [b"<title>" * 2_000_000, b"<" * 10_000_000, b'{"errors": "' + b"x" * 5_000_000 + b'"}', b"[" * 5_000_000]
)
def test_a_refusal_is_not_read_at_length(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the page, its beginning is enough."""
    seen: list[int] = []

    def watched(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def reading(text: Any) -> Any:
            seen.append(len(text))
            return read(text)

        return reading

    for name in ("_plain", "_decoded"):
        monkeypatch.setattr(answers, name, watched(getattr(answers, name)))
    assert len(str(answers.refusal(502, body, asked="GET /v1/groups", key_is_good=True))) < 400
    assert max(seen) <= 65_536


@pytest.mark.parametrize("part", ["<", "<title", "<title>", "<TITLE >", "</title", "<a "])
def test_tags_without_an_end_are_read_once(part: str) -> None:
    """A million of them would otherwise take days."""
    assert len(answers._plain(part * 1_000_000)) <= len(part) * 1_000_000


def test_a_redirect_says_where_to() -> None:
    """The host that a redirect leads to shows what is in the way."""
    error = answers.refusal(302, b"", asked="GET /v1/version", key_is_good=False, location="https://portal/login")
    assert "a redirect to https://portal/login" in str(error)


@given(st.binary(max_size=200), st.integers(300, 599), st.booleans())
def test_no_body_is_too_strange_for_a_refusal(body: bytes, status: int, key_is_good: bool) -> None:
    """Whatever comes back, it becomes one of the plugin's errors, on one line."""
    error = answers.refusal(status, body, asked="GET /v1/groups", key_is_good=key_is_good)
    assert isinstance(error, PluginError)
    assert len(str(error).splitlines()) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["errors", "error", "details", "description", "message", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_no_shape_of_errors_is_too_strange(body: object) -> None:
    """Any JSON at all can be the body of a refusal."""
    assert isinstance(
        answers.refusal(400, json.dumps(body).encode(), asked="GET /v1/groups", key_is_good=True), CloudRefused
    )


# --- rate limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        (
            [("X-Rate-Limit-Limit", "3000"), ("X-Rate-Limit-Remaining", "2999"), ("X-Rate-Limit-Reset", "3599")],
            RateLimit(3000, 2999, 3599.0),
        ),
        (
            [
                ("x-ratelimit-limit", "3000"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "12"),
                ("x-ratelimit-resetdate", "2030-01-01T00:00:00Z"),
            ],
            RateLimit(3000, 0, 12.0),
        ),
        ([("Retry-After", "7")], RateLimit(None, None, 7.0)),
        ([("X-Rate-Limit-Reset", "3"), ("Retry-After", "7")], RateLimit(None, None, 3.0)),
        ([("X-Rate-Limit-Remaining", "0")], RateLimit(None, 0, None)),
        ([("X-Rate-Limit-Reset", "soon"), ("X-Rate-Limit-Limit", "-1"), ("Retry-After", "nan")], None),
        ([("Retry-After", "Fri, 01 Jan 2030 00:00:00 GMT")], None),
        ([], None),
    ],
)
def test_the_rate_limit_is_read_in_both_spellings(headers: list[tuple[str, str]], limit: RateLimit | None) -> None:
    """The documented headers and those seen mean the same; nonsense counts as absent."""
    assert answers.rate_limit(headers, NOW_S) == limit


@pytest.mark.parametrize(
    ("name", "value", "reset_s"),
    [
        ("X-Rate-Limit-Reset", "1800000042", 42.0),
        ("X-Rate-Limit-Reset", "1799999000", 0.0),
        ("X-Rate-Limit-Reset", "1800000042000", None),
        ("X-Rate-Limit-Reset", "1e300", None),
        ("X-Rate-Limit-Reset", "-5", None),
        ("X-Rate-Limit-Reset", "inf", None),
        ("X-Rate-Limit-Reset", "9" * 5000, None),
        ("Retry-After", "Fri, 15 Jan 2027 08:00:42 GMT", 42.0),
        ("Retry-After", "Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Retry-After", "Sat, 16 Jan 2027 08:00:01 GMT", None),
        ("Retry-After", "Fri, 32 Jan 2027 08:00:42 GMT", None),
    ],
)
def test_a_reset_is_never_far_away(name: str, value: str, reset_s: float | None) -> None:
    """A time since the epoch and a date are what they are, seconds from now; nothing means to wait for years."""
    limit = answers.rate_limit([("X-Rate-Limit-Remaining", "0"), (name, value)], NOW_S)
    assert limit == RateLimit(None, 0, reset_s)


@given(st.lists(st.tuples(st.sampled_from(RATE_HEADERS), st.text(max_size=30)), max_size=6), st.floats(0, 2e9))
def test_no_header_is_too_strange_for_a_rate_limit(headers: list[tuple[str, str]], now_s: float) -> None:
    """Whatever the headers say: nothing, or numbers within bounds."""
    limit = answers.rate_limit(headers, now_s)
    if limit is not None:
        assert all(0 <= (count or 0) <= answers.MAX_COUNT for count in (limit.limit, limit.remaining))
        assert 0 <= (limit.reset_s or 0) <= answers.MAX_RESET_S


# --- any JSON at all -----------------------------------------------------------------------------


@given(any_json)
def test_no_answer_is_too_strange_to_read(answer: object) -> None:
    """Every reader of an answer makes values of it, or says by name that it is not understood."""
    body = json.dumps(answer).encode()
    with contextlib.suppress(CloudAnswerNotUnderstood):
        decoded = answers.envelope(body, "GET /v1/x")
        assert isinstance(answers.next_page(decoded), str | None)
        assert 0 <= (answers.total(decoded) or 0) <= answers.MAX_COUNT
        for item in answers.items(decoded, "GET /v1/x"):
            for read in (answers.event_type, answers.group, answers.event_stream):
                with contextlib.suppress(CloudAnswerNotUnderstood):
                    read(item)
            with contextlib.suppress(CloudAnswerNotUnderstood):
                address_of(answers.event_stream(item), CLOUDS["eu"])
    assert answers.hidden_refusal(body, asked="GET /v1/x") is None or "errors" in json.dumps(answer)


@pytest.mark.parametrize("name", odd_bodies())
def test_odd_bodies_are_read_or_not_understood(name: str) -> None:
    """NaN, 5000 digits, 100,000 levels, half a surrogate: named, and the body is not quoted."""
    body = odd_bodies()[name]
    with contextlib.suppress(CloudAnswerNotUnderstood):
        for item in answers.items(answers.envelope(body, "GET /v1/x"), "GET /v1/x"):
            for read in (answers.event_type, answers.group, answers.event_stream):
                with contextlib.suppress(CloudAnswerNotUnderstood):
                    read(item)


def test_a_byte_order_mark_is_no_mistake() -> None:
    """Some proxies write one in front of JSON."""
    assert answers.envelope(b'\xef\xbb\xbf{"data": []}', "GET /v1/x") == {"data": []}


def test_errors_without_data_are_a_refusal_whatever_the_status() -> None:
    """200 with ``errors`` is no success; with data it is one, and so is an event that has a field of this name."""
    error = answers.hidden_refusal(b'{"data": {}, "errors": {"name": ["is not yours"]}}', asked="PATCH /v1/x")
    assert isinstance(error, CloudRefused)
    assert str(error) == "PATCH /v1/x was answered with errors: name: is not yours"
    for body in (
        b'{"data": [{"errors": 1}]}',
        b'{"data": [1], "errors": ["x"]}',
        b'{"errors": []}',
        b'"errors"',
        b'"errors',
    ):
        assert answers.hidden_refusal(body, asked="GET /v1/x") is None


@pytest.mark.parametrize("name", ["\ud800", "\ud800\udc00"])
def test_half_a_surrogate_pair_is_no_name(name: str) -> None:
    """JSON can hold it, and Python's text as well, but it has no bytes: no fault of ours."""
    made = answers.event_stream({"id": 1, "name": "a", "amqp_credentials": {"user_name": name, "queue_name": "q"}})
    assert made.amqp is None


def test_numbers_of_an_answer_are_read_by_python() -> None:
    """msgspec itself takes long for some: a page of them would hold everything up."""
    with floats_read() as read:
        assert answers.envelope(b'{"data":[1e308,7]}', "GET /v1/x") == {"data": [1e308, 7]}
    assert read == ["1e308"]


def test_a_page_with_a_file_of_that_name_is_not_decoded_to_be_refused() -> None:
    """It may have megabytes, and is decoded piece by piece later on."""
    with floats_read() as read:
        page = b'{"data":[{"file_name":"errors","x":[1e308%s]}]}' % (b",1e308" * 20)
        assert answers.hidden_refusal(page, asked="GET /v1/x") is None
    assert read == []
