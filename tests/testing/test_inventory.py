"""What an organisation of the local Cisco cloud owns, as any HTTP client sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.inventory import LISTED, Inventory, date_of
from fluent_plugin_amp.testing.organisation import Organisation

ALWAYS = {
    *("connector_guid", "hostname", "active", "links", "connector_version", "operating_system", "internal_ips"),
    *("external_ip", "group_guid", "install_date", "network_addresses", "policy", "last_seen", "faults"),
    *("isolation", "orbital"),
}
NEWER = {"os_version", "is_compromised", "demo", "groups"}


@pytest.fixture
def organisation() -> Iterator[Organisation]:
    """One customer, of a cloud over plain HTTP."""
    with LocalCloud() as cloud:
        organisation = cloud.add_organisation("client", "key")
        organisation.inventory.groups["f00d"] = cloud.url  # where `get` asks
        yield organisation


@pytest.fixture
def inventory(organisation: Organisation) -> Inventory:
    """What it owns."""
    return organisation.inventory


def get(organisation: Organisation, path: str, status: int = 200) -> dict[str, Any]:
    """What the API answers."""
    url = organisation.inventory.groups["f00d"]
    response = httpx.get(url + path, auth=("client", "key"))
    assert response.status_code == status
    answer: dict[str, Any] = response.json()
    return answer


def test_computers_come_in_the_order_of_their_names(organisation: Organisation, inventory: Inventory) -> None:
    """Whatever the case of a letter, and page by page, the last without ``next``."""
    guids = inventory.add_computers(3)
    for guid, name in zip(guids, ("b", "A", "C"), strict=True):
        inventory.computers[guid].hostname = name
    answer = get(organisation, "/v1/computers?limit=2")
    assert [one["hostname"] for one in answer["data"]] == ["A", "b"]
    assert "offset=2" in answer["metadata"]["links"]["next"]
    assert answer["metadata"]["results"] == {"total": 3, "current_item_count": 2, "index": 0, "items_per_page": 2}
    assert "next" not in get(organisation, "/v1/computers?limit=2&offset=2")["metadata"]["links"]


def test_older_computers_lack_newer_fields(organisation: Organisation, inventory: Inventory) -> None:
    """Windows has a processor's id, Mac one of the hardware, Linux neither."""
    inventory.add_computers(8)
    computers = {one["hostname"]: one for one in get(organisation, "/v1/computers")["data"]}
    assert set(computers["desk-00000"]) == ALWAYS | {"windows_processor_id"}
    assert set(computers["Lab’s Mac-00001"]) == ALWAYS | NEWER | {"mac_hardware_id"}
    assert set(computers["srv-00002"]) == ALWAYS | NEWER


def test_one_computer_is_an_object(organisation: Organisation, inventory: Inventory) -> None:
    """One that is unknown is not found."""
    (guid,) = inventory.add_computers(1)
    assert get(organisation, f"/v1/computers/{guid}")["data"]["connector_guid"] == guid
    get(organisation, "/v1/computers/6a5f008f-9240-4c59-b73a-982517dc3824", 404)


def test_computers_are_filtered(organisation: Organisation, inventory: Inventory) -> None:
    """By group, by name, and by when they were seen."""
    recent, old = inventory.add_computers(1), inventory.add_computers(1, last_seen=1_700_000_000)
    for query, guids in (
        ("last_seen_within=1", recent),
        ("last_seen_over=1", old),
        (f"group_guid[]={inventory.computers[old[0]].group_guid}", old),
        ("hostname[]=DESK-0000", recent),
    ):
        found = get(organisation, f"/v1/computers?{query}")["data"]
        assert [one["connector_guid"] for one in found] == guids, query


def test_a_guessed_parameter_is_refused(organisation: Organisation) -> None:
    """As Cisco's cloud does it."""
    answer = get(organisation, "/v1/computers?since=1", 400)
    assert answer["errors"][0]["details"] == ["since is not allowed"]


def test_computers_come_and_go_while_they_are_read(organisation: Organisation, inventory: Inventory) -> None:
    """What happens before a page moves the list."""
    inventory.add_computers(2)
    inventory.happening = iter([lambda: None, lambda: inventory.add_computers(1)])
    totals = [get(organisation, "/v1/computers?limit=1")["metadata"]["results"]["total"] for _ in range(3)]
    assert totals == [2, 3, 3]


def test_a_group_in_another_has_ancestry(organisation: Organisation, inventory: Inventory) -> None:
    """The nearest group first; others have none."""
    above, below = list(inventory.groups)[:2]
    inventory.parents[below] = above
    groups = {one["guid"]: one for one in get(organisation, "/v1/groups")["data"]}
    assert groups[below]["ancestry"] == [{"name": inventory.groups[above], "guid": above}]
    assert "ancestry" not in groups[above]
    assert groups[above]["source"] is None


def test_policies_of_one_name_are_told_apart_by_product(organisation: Organisation) -> None:
    """There is one for each."""
    found = get(organisation, "/v1/policies")["data"]
    assert {one["name"] for one in found} == {"Protect"}
    assert len(found) == 3
    assert len(get(organisation, "/v1/policies?product[]=mac")["data"]) == 1


def test_a_vulnerability_lists_some_of_its_computers(organisation: Organisation, inventory: Inventory) -> None:
    """The list of its file has all of them, whatever the case of the SHA-256."""
    found = inventory.add_vulnerability(1, inventory.add_computers(LISTED + 2))
    (shown,) = get(organisation, "/v1/vulnerabilities?limit=50")["data"]
    assert (shown["computers_total_count"], len(shown["computers"])) == (LISTED + 2, LISTED)
    assert shown["file"]["identity"]["sha256"] == found.sha256 == found.sha256.upper()
    assert len(shown["groups"]) == len(inventory.groups)
    answer = get(organisation, f"/v1/vulnerabilities/{found.sha256.lower()}/computers?limit=500&offset=1000")
    assert [set(one) - {"windows_processor_id"} for one in answer["data"]] == [
        {"connector_guid", "hostname", "active", "links", "group_guid"}
    ] * 2
    get(organisation, f"/v1/vulnerabilities/{'0' * 64}/computers", 404)


def test_vulnerabilities_are_the_latest_first_and_filtered(organisation: Organisation, inventory: Inventory) -> None:
    """From the start on, up to the end."""
    guids = inventory.add_computers(2)
    for number in range(3):
        inventory.add_vulnerability(number, guids[number % 2 :], latest=1_700_000_000 + number)
    group = inventory.computers[guids[0]].group_guid
    for query, numbers in (
        ("", [2, 1, 0]),
        (f"start_time={date_of(1_700_000_001)}", [2, 1]),
        (f"end_time={date_of(1_700_000_001)}", [0]),
        (f"group_guid[]={group}", [2, 0]),
    ):
        found = get(organisation, f"/v1/vulnerabilities?{query}")["data"]
        assert [one["application"] for one in found] == [f"Program {number}" for number in numbers], query


def test_the_vulnerabilities_of_one_computer_are_inside_an_object(
    organisation: Organisation, inventory: Inventory
) -> None:
    """A paged list all the same."""
    guid, other = inventory.add_computers(2)
    for number in range(3):
        inventory.add_vulnerability(number, [guid, other] if number else [other])
    answer = get(organisation, f"/v1/computers/{guid}/vulnerabilities?limit=1")
    assert answer["data"]["connector_guid"] == guid
    assert [one["application"] for one in answer["data"]["vulnerabilities"]] == ["Program 1"]
    assert answer["metadata"]["results"]["total"] == 2


def test_many_computers_are_cheap(inventory: Inventory) -> None:
    """50,000 of them are made, and a page of them is found."""
    inventory.add_computers(50_000)
    found = inventory.find_computers(lambda name: [], "http://cloud")
    assert len(found) == 50_000
    assert found[0]["hostname"] == "desk-00000"
    assert [one["hostname"] for one in found[-2:]] == ["srv-49994", "srv-49997"]
