"""Long lists of the cloud, read item by item while they move."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fluent_plugin_amp.cisco import listing
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.listing import MAX_KEY, MAX_PASSES, Listing, guid_of
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import floats_read


def computers(api: CiscoApi, **options: Any) -> Listing:
    """The list of computers, in pages of two."""
    return Listing(api, "/v1/computers", guid_of("connector_guid"), **({"limit": 2} | options))


async def guids(listing: Listing) -> list[str]:
    """Of all computers that come."""
    return [item["connector_guid"] async for item in listing.items()]


def page(*items: object, total: object = None, has_next: bool = False) -> bytes:
    """An answer."""
    links = {"next": "https://cloud/v1/computers?limit=2&offset=2"} if has_next else {}
    return msgspec.json.encode({"metadata": {"links": links, "results": {"total": total}}, "data": items})


async def test_every_item_of_every_page_comes_once(api: CiscoApi, organisation: Organisation) -> None:
    """And those that came are known afterwards."""
    added = organisation.inventory.add_computers(5)
    reading = computers(api)
    assert sorted(await guids(reading)) == sorted(added)
    assert (reading.read, reading.total, reading.is_steady, reading.odd) == (5, 5, True, 0)
    assert added[0] in reading
    assert added[0].upper() not in reading
    assert organisation.requests.used == 3


async def test_filters_and_limit_are_asked_for(api: CiscoApi, organisation: Organisation, cloud: LocalCloud) -> None:
    """On each page."""
    organisation.inventory.add_computers(3, last_seen=1_700_000_000)
    recent = organisation.inventory.add_computers(3)
    assert sorted(await guids(computers(api, query=[("last_seen_within", "1")]))) == sorted(recent)


async def test_a_list_that_moves_is_read_again(api: CiscoApi, organisation: Organisation) -> None:
    """A computer that goes shifts the others to pages that were read: none of them is left out, none comes twice."""
    inventory = organisation.inventory
    added = inventory.add_computers(6)
    inventory.happening = iter([lambda: None, lambda: inventory.computers.pop(added[0])])
    reading = computers(api)
    found = await guids(reading)
    assert sorted(found) == sorted(added)
    assert reading.is_steady


async def test_a_list_that_never_rests_ends(api: CiscoApi, organisation: Organisation) -> None:
    """After some passes: then it is not known whether what did not come is there."""
    inventory = organisation.inventory
    inventory.add_computers(3)
    inventory.happening = iter([lambda: inventory.add_computers(1) for _ in range(100)])
    reading = computers(api)
    found = await guids(reading)
    assert not reading.is_steady
    assert len(set(found)) == len(found)
    assert organisation.requests.used < 2 * MAX_PASSES * len(found)


@pytest.mark.parametrize("has_next", [True, False])
async def test_a_list_that_ends_too_early_is_read_again(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud, has_next: bool
) -> None:
    """An empty page in the middle, or one without a link to the next, is no end: the total tells."""
    added = organisation.inventory.add_computers(5)
    cloud.fail(Failure(path="/v1/computers"))
    cloud.fail(Failure(path="/v1/computers", status=200, body=page(total=5, has_next=has_next)))
    reading = computers(api)
    assert sorted(await guids(reading)) == sorted(added)
    assert reading.is_steady


async def test_a_list_inside_an_object_is_read(api: CiscoApi, organisation: Organisation) -> None:
    """``data`` has other fields beside it."""
    (guid,) = organisation.inventory.add_computers(1)
    for number in range(3):
        organisation.inventory.add_vulnerability(number, [guid])
    reading = Listing(
        api, f"/v1/computers/{guid}/vulnerabilities", guid_of("application"), limit=2, inside="vulnerabilities"
    )
    assert sorted([item["application"] async for item in reading.items()]) == [f"Program {n}" for n in range(3)]


async def test_an_object_without_the_list_has_nothing_in_it(api: CiscoApi, cloud: LocalCloud) -> None:
    """``data`` is empty when there is nothing."""
    cloud.fail(Failure(status=200, body=b'{"data":{}}'))
    assert await guids(computers(api, inside="vulnerabilities")) == []


@pytest.mark.parametrize("item", [7, None, [], {}, {"connector_guid": 1}, {"connector_guid": ""}])
async def test_what_is_no_item_is_counted_and_left_out(api: CiscoApi, cloud: LocalCloud, item: object) -> None:
    """The others come."""
    cloud.fail(Failure(status=200, body=page({"connector_guid": "A"}, item)))
    reading = computers(api)
    assert await guids(reading) == ["A"]
    assert reading.odd == 1
    assert "a" in reading


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty instead of JSON"),
        (b"<html></html>", "a web page"),
        (b"[]", "holds no data"),
        (b"{}", "holds no data"),
        (b'{"data":7}', "data is not a list"),
        (b'{"data":{}}', "data is not a list"),
        (b'{"data":"\xff"}', "data is not a list"),
        (b'{"data":' + b"[" * 100_000, "instead of JSON"),
    ],
)
async def test_what_is_no_list_is_said_so(api: CiscoApi, cloud: LocalCloud, body: bytes, said: str) -> None:
    """Whatever answers."""
    cloud.fail(Failure(status=200, body=body))
    with pytest.raises(CloudAnswerNotUnderstood, match=said):
        await guids(computers(api))


async def test_the_field_of_an_object_must_be_a_list(api: CiscoApi, cloud: LocalCloud) -> None:
    """The error names it."""
    cloud.fail(Failure(status=200, body=b'{"data":{"items":7}}'))
    with pytest.raises(CloudAnswerNotUnderstood, match=r"data\.items is not a list"):
        await guids(computers(api, inside="items"))


async def test_a_byte_order_mark_is_passed_over(api: CiscoApi, cloud: LocalCloud) -> None:
    """As elsewhere."""
    cloud.fail(Failure(status=200, body=b"\xef\xbb\xbf" + page({"connector_guid": "a"})))
    assert await guids(computers(api)) == ["a"]


async def test_pages_of_more_than_was_asked_for_are_an_end_too(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each key takes memory: there may be as many as on the most pages that are read."""
    monkeypatch.setattr(listing, "MAX_PAGES", 3)
    for count in (6, 7):
        cloud.fail(Failure(status=200, body=page(*({"connector_guid": str(number)} for number in range(count)))))
        if count == 6:
            assert len(await guids(computers(api))) == 6
        else:
            with pytest.raises(CloudAnswerNotUnderstood, match="no end after 7 items"):
                await guids(computers(api))


async def test_an_empty_page_is_the_last(api: CiscoApi, cloud: LocalCloud) -> None:
    """Even with a link to the next."""
    cloud.fail(Failure(status=200, body=page({"connector_guid": "a"}, has_next=True)))
    cloud.fail(Failure(status=200, body=page(has_next=True)))
    assert await guids(computers(api)) == ["a"]


async def test_pages_without_end_are_refused(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although each has something new."""
    monkeypatch.setattr(listing, "MAX_PAGES", 3)
    for guid in "abcd":
        cloud.fail(Failure(status=200, body=page({"connector_guid": guid}, has_next=True)))
    with pytest.raises(CloudAnswerNotUnderstood, match="no end after 3 pages"):
        await guids(computers(api))


async def test_a_page_that_comes_twice_ends_the_list(api: CiscoApi, cloud: LocalCloud) -> None:
    """The cloud passes over the offset: all others would be asked for in vain."""
    cloud.fail(Failure(times=9, status=200, body=page({"connector_guid": "a"}, has_next=True)))
    with pytest.raises(CloudAnswerNotUnderstood, match="the same page came twice"):
        await guids(computers(api))
    assert len(cloud.requests) == 2


@pytest.mark.parametrize(
    ("body", "is_whole"),
    [
        (page({"connector_guid": "a"}, total=1), True),
        (page({"connector_guid": "a"}), True),
        (page({"connector_guid": "a"}, total=2), False),
        (page({"connector_guid": "a"}, 7, total=2), False),
    ],
    ids=["all", "untold", "cut", "odd"],
)
async def test_nothing_is_decided_by_a_list_that_is_cut(
    api: CiscoApi, cloud: LocalCloud, body: bytes, is_whole: bool
) -> None:
    """Who does not come may be there."""
    cloud.fail(Failure(times=9, status=200, body=body))
    if is_whole:
        assert await computers(api).whole() == [{"connector_guid": "a"}]
    else:
        with pytest.raises(CloudAnswerNotUnderstood, match="the list is cut"):
            await computers(api).whole()


async def test_numbers_take_python_no_time(api: CiscoApi, cloud: LocalCloud) -> None:
    """A page of 1e308 would hold everything up for seconds: each number that is not whole is read by Python."""
    cloud.fail(Failure(status=200, body=b'{"data":[{"connector_guid":"a","x":[1e308,1]}],"metadata":[-2e-308]}'))
    with floats_read() as read:
        assert await guids(computers(api)) == ["a"]
    assert read == ["-2e-308", "1e308"]


@pytest.mark.parametrize("name", [rb"\ud800", b"\xff"])
async def test_a_broken_name_costs_neither_page_nor_item(api: CiscoApi, cloud: LocalCloud, name: bytes) -> None:
    """It is half a character, or no UTF-8."""
    body = b'{"data":[{"connector_guid":"a","hostname":"%s"},{"connector_guid":"b"}]}' % name
    cloud.fail(Failure(status=200, body=body))
    reading = computers(api)
    assert [item.get("hostname") async for item in reading.items()] == ["\ufffd", None]
    assert reading.odd == 0


async def test_an_item_that_is_too_large_is_there_and_not_given(api: CiscoApi, cloud: LocalCloud) -> None:
    """Whoever keeps many of them is safe, and takes it for no item that is gone."""
    cloud.fail(Failure(status=200, body=page({"connector_guid": "A"}, {"connector_guid": "b", "x": "x" * 100})))
    reading = computers(api, max_item_bytes=100)
    assert await guids(reading) == ["A"]
    assert (reading.odd, "b" in reading) == (1, True)


@pytest.mark.parametrize(
    ("value", "key"),
    [("A" * MAX_KEY, "a" * MAX_KEY), ("a" * (MAX_KEY + 1), None), ("", None), (7, None), (None, None)],
)
def test_what_is_no_key_is_odd(value: object, key: str | None) -> None:
    """Half a million made-up keys of any length would fill the memory of whoever compares lists."""
    assert guid_of("guid")({"guid": value}) == key
