"""The client against a cloud that answers anything: it ends with an error by name, within its bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluent_plugin_amp import turns
from fluent_plugin_amp.cisco import api as api_module
from fluent_plugin_amp.cisco import transport
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi, CreationInDoubt
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerLost,
    CloudAnswerNotUnderstood,
    CloudRateLimited,
    CloudRefused,
    CloudUnreachable,
)
from fluent_plugin_amp.cisco.history import Json, read
from fluent_plugin_amp.cisco.regions import CLOUDS
from fluent_plugin_amp.cisco.streams import create, event_type_names, find_by_name, update
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.cisco.walk import Walk
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.hostile_answers import bomb, dripping, odd_bodies, reset_as_epoch
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import Connect, Waits, any_json


def page(items: list[object], link: object) -> bytes:
    """The body of a page with a link to the next."""
    return json.dumps({"data": items, "metadata": {"links": {"next": link}}}).encode()


# --- size and time -------------------------------------------------------------------------------


async def test_an_answer_of_millions_of_values_is_refused(api: CiscoApi, cloud: LocalCloud, waits: Waits) -> None:
    """Decoding it would take gigabytes, and half a minute in which no event goes on."""
    cloud.fail(Failure(status=200, body=b'{"data":[' + b"[]," * 1_000_000 + b"[]]}"))
    with pytest.raises(CloudAnswerNotUnderstood, match="more than 1000000 values"):
        await api.groups()
    assert waits.seconds == []


@pytest.mark.parametrize("packed_twice", [True, False])
async def test_a_bomb_is_not_unpacked(api: CiscoApi, cloud: LocalCloud, waits: Waits, packed_twice: bool) -> None:
    """Hundreds of megabytes in some kilobytes take no more memory than the largest answer may."""
    cloud.fail(bomb(300, packed_twice=packed_twice))
    tracemalloc.start()
    try:
        with pytest.raises(CloudAnswerNotUnderstood, match="compressed 2 times" if packed_twice else "too large"):
            await api.groups()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * transport.MAX_ANSWER_BYTES
    assert waits.seconds == []


@pytest.fixture
def two_seconds(monkeypatch: pytest.MonkeyPatch) -> float:
    """The timeout with which a whole answer has two seconds, and each byte of it more."""
    monkeypatch.setattr(transport, "DEADLINE_TIMEOUTS", 0.1)
    return 20.0


async def test_an_answer_that_drips_is_given_up(
    connect: Connect, cloud: LocalCloud, organisation: Organisation, waits: Waits, two_seconds: float
) -> None:
    """Each byte comes in time; the answer as a whole does not, and is not asked for again."""
    cloud.fail(dripping(0.05))
    async with connect(organisation, timeout_s=two_seconds) as api:
        with pytest.raises(CloudUnreachable, match="not there as a whole after 2 s"):
            await api.version()
        assert await api.version() == "v1.2.0"
    assert waits.seconds == []


async def test_a_creation_whose_answer_drips_is_in_doubt(
    connect: Connect, cloud: LocalCloud, organisation: Organisation, two_seconds: float
) -> None:
    """The stream is there, the password is not: that is said with its id."""
    drip = dripping(0.05)
    drip.method = "POST"
    cloud.fail(drip)
    async with connect(organisation, timeout_s=two_seconds) as api:
        with pytest.raises(CloudAnswerLost, match=r"'SIEM' was created \(id 1\), but the answer"):
            await create(api, "SIEM")


async def test_an_answer_of_single_bytes_gives_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is work, however little it brings: events go on after each where it is time to."""
    monkeypatch.setattr(turns, "WORK_S", 0.0)
    monkeypatch.setattr(turns, "REST", 0)
    others = 0

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"7"

    async def count() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    cloud = httpx.MockTransport(lambda _: httpx.Response(200, content=body()))
    async with httpx.AsyncClient(transport=cloud) as client:
        answer = await transport.exchange(client, "GET", "http://cloud/", user="a", password="b")
    counting.cancel()
    assert answer.body == b"7" * 100
    assert others >= 100


async def test_headers_without_end_are_refused(api: CiscoApi, cloud: LocalCloud) -> None:
    """More than 100 KiB of them are no answer."""
    cloud.fail(Failure(status=200, headers={f"x-{number}": "x" * 1000 for number in range(200)}, times=100))
    with pytest.raises(CloudUnreachable, match=r"no answer from 127\.0\.0\.1"):
        await api.version()


@pytest.mark.parametrize(
    "location", ["", "http://[", "http://x:99999999/", "//", "http://x/" + "y" * 70_000, "\x00", "http://\xff", "::"]
)
async def test_no_redirect_is_too_strange(api: CiscoApi, cloud: LocalCloud, location: str) -> None:
    """Wherever it leads: it is not followed, and said in some words."""
    cloud.fail(Failure(status=302, headers={"location": location}, times=100))
    with pytest.raises((CloudAnswerNotUnderstood, CloudUnreachable)) as caught:
        await api.version()
    assert len(str(caught.value)) < 500
    assert {path for _, path in cloud.requests} == {"/v1/version"}


async def test_a_redirect_does_not_show_the_key(api: CiscoApi, cloud: LocalCloud, organisation: Organisation) -> None:
    """Though it holds it."""
    cloud.fail(Failure(status=302, headers={"location": f"https://evil.example/?key={organisation.api_key}"}))
    with pytest.raises(CloudAnswerNotUnderstood, match=r"evil\.example/\?key=\*\*\*"):
        await api.version()


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", odd_bodies())
@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_no_body_is_too_strange(
    connect: Connect, cloud: LocalCloud, organisation: Organisation, name: str, status: int
) -> None:
    """Whatever is asked for: a value, or an error by name; never one of Python's."""
    cloud.fail(Failure(times=1000, status=status, body=odd_bodies()[name], headers={"content-type": "image/png"}))

    async def recorded() -> None:
        async for _ in read(api, [], Walk(100), lambda event, otherwise: otherwise, Waits()):
            pass

    async with connect(organisation) as api:
        for ask in (
            api.version,
            api.may_write,
            api.event_types,
            api.groups,
            api.event_streams,
            recorded,
            lambda: api.event_stream(1),
            lambda: api.create_event_stream("SIEM"),
            lambda: api.update_event_stream(1, {"name": "x"}),
            lambda: api.delete_event_stream(1),
            lambda: find_by_name(api, "S"),
        ):
            with contextlib.suppress(PluginError):
                await ask()
    assert organisation.streams == {}


_headers = st.lists(
    st.tuples(
        st.sampled_from(["X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "Retry-After"]),
        st.sampled_from(["0", "3000", "1800000000", "-1", "nan", "soon"]) | st.text(max_size=8),
    ),
    max_size=3,
)
_answers = st.builds(
    HttpAnswer,
    st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 407, 409, 429, 500, 503, 599]),
    _headers,
    any_json.map(lambda answer: json.dumps(answer).encode()) | st.binary(max_size=40),
)
ASK: dict[str, Callable[[CiscoApi], Awaitable[object]]] = {
    "version": lambda api: api.version(),
    "may write": lambda api: api.may_write(),
    "event types": event_type_names,
    "groups": lambda api: api.groups(),
    "find": lambda api: find_by_name(api, "1"),
    "page": lambda api: api.event_page([], offset=0, limit=500),
    "create": lambda api: create(api, "SIEM"),
    "update": lambda api: update(api, EventStream(1, "SIEM"), name="SOC", event_types=[1]),
    "delete": lambda api: api.delete_event_stream(1),
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(ASK)), st.lists(_answers, min_size=1, max_size=5))
def test_no_sequence_of_answers_is_too_strange(ask: str, come: list[HttpAnswer]) -> None:
    """Any status, headers and JSON, one after the other and then again: a value, or an error by name."""
    asked = 0

    async def exchange(*arguments: object, **options: object) -> HttpAnswer:
        nonlocal asked
        asked += 1
        return come[(asked - 1) % len(come)]

    async def go() -> None:
        api = CiscoApi(CLOUDS["eu"], ApiKey("id", "key"), cast(Any, None), wait=Waits(), max_wait_s=60)
        with contextlib.suppress(PluginError):
            await ASK[ask](api)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(api_module, "exchange", exchange)
        asyncio.run(go())
    assert asked < 100


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "POST"])
async def test_errors_in_a_200_are_no_success(api: CiscoApi, cloud: LocalCloud, method: str) -> None:
    """With the cloud's words, whatever was asked for."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "GET": api.groups,
        "PATCH": lambda: api.update_event_stream(1, {"name": "x"}),
        "DELETE": lambda: api.delete_event_stream(1),
        "POST": lambda: api.create_event_stream("SIEM"),
    }
    body = b'{"version": "v1.2.0", "data": {}, "errors": {"base": ["Maintenance until noon"]}}'
    cloud.fail(Failure(method, status=200, body=body))
    with pytest.raises(CloudRefused, match=rf"{method} .* was answered with errors: base: Maintenance until noon"):
        await asked[method]()


@pytest.mark.parametrize("body", [b"", b"\r\n"])
async def test_a_creation_that_is_answered_with_nothing_is_in_doubt(
    api: CiscoApi, cloud: LocalCloud, body: bytes
) -> None:
    """204, or 200 and no body: the streams are looked at, as after a lost answer."""
    cloud.fail(Failure("POST", works=True, status=204 if not body else 201, body=body))
    with pytest.raises(CreationInDoubt, match="the answer is empty"):
        await api.create_event_stream("SIEM")
    cloud.fail(Failure("POST", works=True, status=200, body=body))
    with pytest.raises(CloudAnswerLost, match=r"'SOC' was created \(id 2\)"):
        await create(api, "SOC")


# --- pages ---------------------------------------------------------------------------------------


async def test_a_list_without_end_is_refused(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ever new groups under ever new links."""
    monkeypatch.setattr(api_module, "MAX_PAGES", 5)
    for number in range(10):
        cloud.fail(Failure(status=200, body=page([{"guid": f"{number}"}], f"https://x/v1/groups?offset={number}")))
    with pytest.raises(CloudAnswerNotUnderstood, match="no end after 6 pages"):
        await api.groups()
    assert len(cloud.requests) == 6


async def test_a_list_that_is_too_large_as_a_whole_is_refused(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each page is not."""
    monkeypatch.setattr(api_module, "MAX_LIST_BYTES", 1000)
    for number in range(10):
        item = {"guid": f"{number}", "name": "x" * 300}
        cloud.fail(Failure(status=200, body=page([item], f"https://x/v1/groups?offset={number}")))
    with pytest.raises(CloudAnswerNotUnderstood, match="no end after 3 pages"):
        await api.groups()


@pytest.mark.parametrize("link", ["http://[", "https://x/?a=" + "b" * 5000, "https://x℀y/?offset=1"])
async def test_a_link_that_is_none_is_refused(api: CiscoApi, cloud: LocalCloud, link: str) -> None:
    """No URL, or one longer than any request should be."""
    cloud.fail(Failure(status=200, body=page([{"guid": "a"}], link)))
    with pytest.raises(CloudAnswerNotUnderstood, match="the link to the next page is not a URL"):
        await api.groups()
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("link", [7, {}, [], True])
async def test_a_link_of_another_kind_is_none(api: CiscoApi, cloud: LocalCloud, link: object) -> None:
    """The list ends there."""
    cloud.fail(Failure(status=200, body=page([{"guid": "a"}], link)))
    assert [group.id for group in await api.groups()] == ["a"]


def second_of(event: Json, otherwise: int) -> int:
    """By ``timestamp``."""
    second: int = event.get("timestamp", otherwise)
    return second


@pytest.mark.parametrize("count", [0, 1, 14, 500, 501, 2000])
async def test_recorded_events_end_though_every_page_has_a_next(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation, waits: Waits, count: int
) -> None:
    """On the last page, and on the empty one behind it, too: each event comes once, and then it is over."""
    organisation.next_on_the_last_page = True
    organisation.publish(json.dumps({"id": number, "timestamp": number}).encode() for number in range(count))
    stretches = [stretch async for stretch in read(api, [], Walk(3000), second_of, waits)]
    assert sum(len(stretch.entries) for stretch in stretches) == count
    assert len(cloud.requests) <= 40


async def test_a_total_beyond_all_bounds_is_none(api: CiscoApi, cloud: LocalCloud, waits: Waits) -> None:
    """What is left is not reckoned with it."""
    body = b'{"data": [{"id": 1}], "metadata": {"results": {"total": 1' + b"0" * 400 + b"}}}"
    cloud.fail(Failure(status=200, body=body))
    (stretch,) = [stretch async for stretch in read(api, [], Walk(1000), second_of, waits)]
    assert (len(stretch.entries), stretch.left) == (1, 0)


# --- the rate limit ------------------------------------------------------------------------------


async def test_a_reset_that_is_a_time_is_no_wait_for_fifty_years(
    api: CiscoApi, cloud: LocalCloud, waits: Waits
) -> None:
    """Since the epoch: the seconds until then are waited."""
    cloud.fail(reset_as_epoch(30))
    await api.version()
    (waited,) = waits.seconds
    assert 0 < waited <= 30


@pytest.mark.parametrize("reset", ["1800000000000000", "-1", "nan", "1e308", "soon"])
async def test_a_reset_that_is_none_is_not_waited_for(
    connect: Connect, cloud: LocalCloud, organisation: Organisation, waits: Waits, reset: str
) -> None:
    """The client's own pauses stand in, up to the most that may be waited."""
    cloud.fail(Failure(status=429, headers={"x-ratelimit-reset": reset, "retry-after": reset}, times=1000))
    async with connect(organisation, max_wait_s=60) as api:
        with pytest.raises(CloudRateLimited, match="allowed: 60 s"):
            await api.version()
    assert waits.seconds == [1.0, 2.0, 4.0, 8.0, 16.0]
