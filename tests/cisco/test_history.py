"""The reader of recorded events: filters, the rate limit, and a stream of events out of pages."""

from __future__ import annotations

import json

import msgspec
import pytest

from fluent_plugin_amp.cisco.answers import EventStream, RateLimit
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.history import Json, Recorded, filters_of, pause_s, read, time_left_s, total_between
from fluent_plugin_amp.cisco.walk import Walk
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import Waits, floats_read


def second_of(event: Json, otherwise: int) -> int:
    """By ``timestamp``."""
    second: int = event.get("timestamp", otherwise)
    return second


def test_the_filters_are_the_streams() -> None:
    """From a second earlier on, by every type and group; a stream of everything names none."""
    stream = EventStream(1, "S", event_types=(5, 7), group_guids=("g",))
    assert filters_of(stream, 1_700_000_001) == [
        ("start_date", "2023-11-14T22:13:20+00:00"),
        ("event_type[]", "5"),
        ("event_type[]", "7"),
        ("group_guid[]", "g"),
    ]
    assert [name for name, _ in filters_of(EventStream(1, "S"), 0)] == ["start_date"]


async def test_totals_say_how_many_events_an_hour_has(api: CiscoApi, organisation: Organisation) -> None:
    """From a second before its beginning to a second before its end, without reading any of them."""
    organisation.publish(json.dumps({"id": n, "timestamp": n}).encode() for n in range(1000))
    assert await total_between(api, EventStream(1, "S"), 100, 200) == 100
    assert api.requests == 3


async def test_events_that_happen_meanwhile_make_no_total(api: CiscoApi, organisation: Organisation) -> None:
    """It is tried some times; with an event before each answer there is none."""
    organisation.publish(json.dumps({"id": n, "timestamp": n}).encode() for n in range(1000))
    happen = [[b'{"id": %d, "timestamp": 5000}' % n] for n in range(20)]
    organisation.arriving = iter(happen[:2])
    assert await total_between(api, EventStream(1, "S"), 100, 200) == 100
    organisation.arriving = iter(happen)
    assert await total_between(api, EventStream(1, "S"), 100, 200) is None


async def test_a_cloud_that_tells_no_total_has_none(api: CiscoApi, cloud: LocalCloud) -> None:
    """It is optional."""
    cloud.fail(Failure(status=200, body=b'{"data":[]}', times=9))
    assert await total_between(api, EventStream(1, "S"), 100, 200) is None


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (None, 0.0),
        (RateLimit(3000, 151, 900.0), 0.0),
        (RateLimit(3000, 150, 900.0), 900.0),
        (RateLimit(3000, 0, 900.0), 900.0),
        (RateLimit(None, 0, 900.0), 900.0),
        (RateLimit(None, 1, 900.0), 0.0),
        (RateLimit(3000, None, 900.0), 0.0),
        (RateLimit(3000, 0, None), 0.0),
    ],
)
def test_the_last_twentieth_of_the_rate_limit_is_left_to_others(limit: RateLimit | None, seconds: float) -> None:
    """Until the count starts anew; what the cloud does not tell is not waited for."""
    assert pause_s(limit) == seconds


@pytest.mark.parametrize(
    ("requests", "limit", "seconds"),
    [
        (100, None, 50.0),
        (100, RateLimit(3000, 250, 900.0), 50.0),
        (101, RateLimit(3000, 250, 900.0), 900.5),
        (100 + 2850, RateLimit(3000, 250, 900.0), 2325.0),
        (100 + 2850 + 1, RateLimit(3000, 250, 900.0), 4500.5),
        (3, RateLimit(3000, 0, 900.0), 901.5),
        (100, RateLimit(None, 0, 900.0), 50.0),
    ],
)
def test_the_time_left_counts_the_waits(requests: int, limit: RateLimit | None, seconds: float) -> None:
    """Half a second for each request; what does not fit before the count starts anew comes after."""
    assert time_left_s(requests, 0.5, limit) == pytest.approx(max(seconds, requests * 0.5))


async def test_pages_become_events(api: CiscoApi, organisation: Organisation, waits: Waits) -> None:
    """Later ones first, bodies exact; one without a time stands with its neighbour."""
    organisation.publish(json.dumps({"id": 2**60 + n, "timestamp": n}).encode() for n in range(1200))
    stretches = [stretch async for stretch in read(api, [], Walk(1000), second_of, waits)]
    entries = [entry for stretch in stretches for entry in stretch.entries]
    assert [entry.second for entry in entries] == list(range(1000, -1, -1))
    first = {"id": 2**60 + 1000, "timestamp": 1000}
    assert entries[0].item == Recorded(b'{"id":1152921504606847976,"timestamp":1000}', first)
    assert [stretch.left for stretch in stretches][-1] == 0
    assert stretches[0].left == 700
    assert waits.seconds == []


async def test_an_event_is_decoded_no_further_than_it_is_known_by(
    api: CiscoApi, cloud: LocalCloud, waits: Waits
) -> None:
    """The rest stays in the body, to the byte, and where it is no text it is no obstacle."""
    events = (
        b'{"timestamp": 9, "file": {"name": "\xff"}, "computer": {"connector_guid": "G", "hostname": "x"}}',
        b'{"timestamp":8,"computer":[{}],"event_type_id":"5"}',
    )
    cloud.fail(Failure(status=200, body=b'{"metadata":{}, "data": [' + b" , ".join(events) + b"]}"))
    (stretch,) = [stretch async for stretch in read(api, [], Walk(100), second_of, waits)]
    assert [entry.item.body for entry in stretch.entries] == list(events)
    assert [entry.item.event for entry in stretch.entries] == [
        {"timestamp": 9, "computer": {"connector_guid": "G"}},
        {"timestamp": 8, "computer": [msgspec.Raw(b"{}")], "event_type_id": "5"},
    ]


async def test_an_id_of_thousands_of_digits_costs_no_other_event(
    api: CiscoApi, cloud: LocalCloud, waits: Waits
) -> None:
    """The event itself is one without an id; its body is as it came."""
    events = b'{"timestamp":9,"id":' + b"7" * 5000 + b"}", b'{"timestamp":8,"id":8}'
    cloud.fail(Failure(status=200, body=b'{"metadata":{},"data":[' + b",".join(events) + b"]}"))
    (stretch,) = [stretch async for stretch in read(api, [], Walk(100), second_of, waits)]
    assert [entry.item.body for entry in stretch.entries] == list(events)
    assert [entry.item.event for entry in stretch.entries] == [
        {"timestamp": 9, "id": None},
        {"timestamp": 8, "id": 8},
    ]


@pytest.mark.parametrize("data", [b"[1]", b'[{"timestamp": 1}, null]', b"[{]", b"7"])
async def test_what_is_no_event_is_refused(api: CiscoApi, cloud: LocalCloud, waits: Waits, data: bytes) -> None:
    """By name."""
    cloud.fail(Failure(status=200, body=b'{"metadata":{},"data":' + data + b"}"))
    with pytest.raises(CloudAnswerNotUnderstood):
        async for _ in read(api, [], Walk(100), second_of, waits):
            pass


async def test_an_event_without_a_time_stands_with_its_neighbour(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation, waits: Waits
) -> None:
    """It does not look as if the cloud kept no order."""
    page = {"data": [{"timestamp": 9}, {"id": 1}, {"timestamp": 8}], "metadata": {}}
    cloud.fail(Failure(status=200, body=json.dumps(page).encode()))
    (stretch,) = [stretch async for stretch in read(api, [], Walk(100), second_of, waits)]
    assert [entry.second for entry in stretch.entries] == [9, 9, 8]
    assert stretch.is_sorted
    assert (stretch.left, stretch.left_s) == (0, 0.0)


async def test_an_event_without_a_time_at_the_top_is_no_older_than_the_next(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation, waits: Waits
) -> None:
    """So it is passed over like its neighbour, and the list keeps its order."""
    page = {"data": [{"id": 1}, {"id": 2}, {"timestamp": 300}, {"timestamp": 99}], "metadata": {}}
    cloud.fail(Failure(status=200, body=json.dumps(page).encode()))
    (stretch,) = [stretch async for stretch in read(api, [], Walk(100), second_of, waits)]
    assert [entry.second for entry in stretch.entries] == [99]
    assert stretch.is_sorted


async def test_a_cloud_that_repeats_itself_is_refused(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation, waits: Waits
) -> None:
    """The same page for every offset ends in an error."""
    page = {
        "data": [{"timestamp": n} for n in range(9, 0, -1)],
        "metadata": {"links": {"next": "https://x/?offset=1"}},
    }
    cloud.fail(Failure(status=200, body=json.dumps(page).encode(), times=1000))
    with pytest.raises(CloudAnswerNotUnderstood, match="the same events come again"):
        async for _ in read(api, [], Walk(100), second_of, waits):
            pass
    assert len(cloud.requests) < 30


async def test_numbers_of_an_event_are_read_by_python(api: CiscoApi, cloud: LocalCloud, waits: Waits) -> None:
    """Also where they stand in the place of an id: msgspec itself takes long for some."""
    cloud.fail(Failure(status=200, body=b'{"data":[{"id":[1e308],"timestamp":5}]}'))
    with floats_read() as read_by_python:
        async for _ in read(api, [], Walk(10), second_of, waits):
            pass
    assert read_by_python == ["1e308"]


@pytest.mark.parametrize("name", [rb"\ud800.exe", b"\xed\xa0\x80.exe"])
async def test_a_broken_name_costs_no_page(api: CiscoApi, cloud: LocalCloud, waits: Waits, name: bytes) -> None:
    """Whoever names a file may put half a surrogate pair into the name."""
    event = b'{"id":%d,"timestamp":5,"file":{"file_name":"%s"}}'
    cloud.fail(Failure(status=200, body=b'{"data":[%s,%s]}' % (event % (1, name), event % (2, b"a.exe"))))
    stretches = [stretch async for stretch in read(api, [], Walk(10), second_of, waits)]
    assert [entry.item.event["id"] for stretch in stretches for entry in stretch.entries] == [1, 2]


async def test_a_broken_id_costs_no_page(api: CiscoApi, cloud: LocalCloud, waits: Waits) -> None:
    """It is mended, and fits no event that was delivered."""
    cloud.fail(Failure(status=200, body=b'{"data":[{"id":"\xff","timestamp":5}]}'))
    (stretch,) = [stretch async for stretch in read(api, [], Walk(10), second_of, waits)]
    assert [entry.item.event["id"] for entry in stretch.entries] == ["\ufffd"]
