"""What has changed of an organisation's computers."""

from __future__ import annotations

import gc
import itertools
import zlib
from typing import Any

import msgspec
import pytest

from fluent_plugin_amp.organisation import fleet as module
from fluent_plugin_amp.organisation.fleet import NEWCOMERS, OTHER, Change, Fleet, newcomers, record_of
from fluent_plugin_amp.pipeline.names import Computer, Names
from fluent_plugin_amp.testing.inventory import Inventory

GUID = "1e430eef-6245-4ff3-9977-13055f921de3"


def computer(**fields: Any) -> dict[str, Any]:
    """A computer as the cloud tells it."""
    return {
        "connector_guid": GUID,
        "hostname": "desk-014",
        "connector_version": "8.4.0",
        "group_guid": "finance",
        "policy": {"guid": "p", "name": "Protect"},
        "internal_ips": ["10.0.0.1", "10.0.0.2"],
        "last_seen": "2026-03-02T09:10:00Z",
        "av_update_definitions": {"status": "Up", "updated_at": "2026-03-02"},
    } | fields


def new_fleet() -> Fleet:
    """A fleet of which nothing is known."""
    return Fleet(Names("acme"))


@pytest.fixture
def fleet() -> Fleet:
    """A fleet of that computer."""
    fleet = new_fleet()
    fleet.take(computer())
    return fleet


def test_a_computer_appears_once() -> None:
    """And is known by its GUID in either case."""
    fleet = new_fleet()
    assert fleet.take(computer()) == Change("appeared", [], computer())
    assert fleet.take(computer()) is None
    assert len(fleet) == 1
    assert list(fleet.guids()) == [GUID]


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({"policy": {"guid": "q", "name": "Audit"}}, ["policy"]),
        ({"policy": {"guid": "q", "name": "Audit"}, "group_guid": "sales"}, ["group_guid", "policy"]),
        ({"os_version": "10.0"}, ["os_version"]),
        ({"connector_version": None}, ["connector_version"]),
        ({"av_update_definitions": {"status": "Outdated"}}, ["av_update_definitions"]),
    ],
)
def test_a_change_names_its_fields(fleet: Fleet, fields: dict[str, Any], changed: list[str]) -> None:
    """Also those that are new, or gone."""
    told = fleet.take(computer(**fields))
    assert told is not None
    assert (told.change, sorted(told.changed), told.computer) == ("changed", changed, computer(**fields))
    assert fleet.take(computer(**fields)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"last_seen": "2026-03-03T09:10:00Z"},
        {"av_update_definitions": {"status": "Up", "updated_at": "2026-03-03"}},
        {"internal_ips": ["10.0.0.2", "10.0.0.1"]},
        {"os_version": None},
    ],
)
def test_what_is_no_change(fleet: Fleet, fields: dict[str, Any]) -> None:
    """That it was seen again, and the order of a list."""
    assert fleet.take(computer(**fields)) is None


def test_a_computer_goes_once(fleet: Fleet) -> None:
    """Told with its GUID and its host name; when it comes back, it appears."""
    gone = Change("gone", [], {"connector_guid": GUID, "hostname": "desk-014"})
    assert fleet.lose(GUID.upper()) == gone
    assert fleet.lose(GUID) is None
    appeared = fleet.take(computer())
    assert appeared is not None
    assert appeared.change == "appeared"


def test_names_learn_of_each_change(fleet: Fleet) -> None:
    """What events need of a computer."""
    assert fleet.names.computers[GUID] == Computer(("finance",), "Protect", None, "8.4.0")
    fleet.take(computer(connector_version="8.5.0"))
    assert fleet.names.computers[GUID].connector_version == "8.5.0"
    fleet.lose(GUID)
    assert fleet.names.computers == {}


def kept(rows: dict[str, bytes | None]) -> dict[str, bytes]:
    """What is left when these were written."""
    return {name: data for name, data in rows.items() if data is not None}


def restore(fleet: Fleet, rows: dict[str, bytes]) -> list[str]:
    """Take up these; the names of those of which nothing can be made."""
    return [name for name in fleet.restore(rows) if name is not None]


def test_what_is_kept_is_taken_up_again(fleet: Fleet) -> None:
    """With names; and only what changed is written again."""
    rows = kept(dict(fleet.rows()))
    assert dict(fleet.rows()) == {}
    again = new_fleet()
    assert restore(again, {}) == restore(again, rows) == []
    assert dict(again.rows()) == {}
    assert again.take(computer()) is None
    assert again.names.computers == fleet.names.computers
    told = again.take(computer(hostname="desk-015"))
    assert told is not None
    assert told.changed == ["hostname"]
    assert again.lose(GUID) is not None
    (row,) = dict(again.rows()).items()
    assert (row[0] in rows, row[1]) == (True, None)


def test_what_was_kept_in_other_buckets_is_kept_in_its_own_from_then_on(fleet: Fleet) -> None:
    """A version that divides otherwise takes it up, and leaves no second copy that grows old."""
    rows = kept(dict(fleet.rows()))
    (name,) = (name for name in rows if name.startswith("bucket "))
    again = new_fleet()
    assert restore(again, {"fields": rows["fields"], "bucket 0f": rows[name]}) == []
    assert dict(again.rows()) == {"bucket 0f": None, name: rows[name]}
    assert dict(again.rows()) == {}
    assert again.take(computer()) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        zlib.compress(b"?"),
        zlib.compress(b"\x90")[:-1],
        zlib.compress(msgspec.msgpack.encode([("guid", 7, "", Computer())])),
        zlib.compress(bytes(1000)),
    ],
)
def test_what_was_kept_and_is_garbled_is_told(fleet: Fleet, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its computers appear again; the others do not."""
    monkeypatch.setattr(module, "MAX_BUCKET_BYTES", 500)
    rows = kept(dict(fleet.rows()))
    again = new_fleet()
    assert restore(again, rows | {"bucket xx": data, "delivered_to": b"?"}) == ["bucket xx"]
    assert again.take(computer()) is None


def test_without_the_names_of_fields_changes_are_told_all_the_same(fleet: Fleet) -> None:
    """The fields are called other."""
    rows = kept(dict(fleet.rows()))
    again = new_fleet()
    assert restore(again, rows | {"fields": b"?"}) == ["fields"]
    told = again.take({"connector_guid": GUID})
    assert told is not None
    assert told.change == "changed"
    assert OTHER in told.changed


def test_fields_beyond_what_is_told_apart_are_other(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their change is noticed."""
    monkeypatch.setattr(module, "MAX_FIELDS", len(computer()))
    told = fleet.take(computer(**{f"new {number}": number for number in range(3)}))
    assert told is not None
    assert set(told.changed) <= {"new 0", OTHER}
    assert OTHER in told.changed


def test_what_is_known_of_a_computer_is_small_whatever_it_has(fleet: Fleet) -> None:
    """Fields without end are no reason to keep digests without end; that one of them changed shows all the same."""
    fields = {f"field {number}": number for number in range(10_000)}
    assert fleet.take(computer(**fields)) is not None
    (row,) = (data for name, data in dict(fleet.rows()).items() if data and name != "fields")
    assert len(zlib.decompress(row)) < 2 * module.MAX_FIELDS * module.FIELD_BYTES
    fields["field 9999"] = 0
    changed = fleet.take(computer(**fields))
    assert changed is not None
    assert changed.changed == [OTHER]


def test_a_record_says_what_changed() -> None:
    """Beside the computer as the cloud told it."""
    assert record_of("acme", Change("changed", ["policy"], {"hostname": "x"})) == {
        "organisation": "acme",
        "change": "changed",
        "changed": ["policy"],
        "computer": {"hostname": "x"},
    }
    assert "changed" not in record_of("acme", Change("gone", [], {}))


def test_many_computers_are_kept_in_small_parts() -> None:
    """Some 200 bytes each; a change of one writes one part."""
    inventory = Inventory(lambda: {"g": "Group"})
    inventory.add_computers(2_000)
    shown = inventory.find_computers(lambda name: [], "http://cloud")
    fleet = new_fleet()
    for at in range(0, 2_000, 500):
        for one in shown[at : at + 500]:
            fleet.take(one)
    rows = kept(dict(fleet.rows()))
    assert len(fleet) == len(fleet.names.computers) == 2_000
    assert sum(map(len, rows.values())) < 400_000
    changed = fleet.take(shown[0] | {"connector_version": "9"})
    assert changed is not None
    assert changed.changed == ["connector_version"]
    assert len(dict(fleet.rows())) == 1


def test_what_was_kept_is_taken_up_in_small_parts() -> None:
    """Events go on between two of them."""
    fleet = new_fleet()
    for number in range(2_000):
        fleet.take(computer(connector_guid=f"guid {number}"))
    rows = kept(dict(fleet.rows()))
    again = new_fleet()
    sizes = [0, *(len(again) for _ in again.restore(rows))]
    assert sizes[-1] == 2_000
    assert max(after - before for before, after in itertools.pairwise(sizes)) < 40


def test_newcomers_are_known_by_guid_and_name_only(fleet: Fleet) -> None:
    """Those of whom more is known stay as they are; of the others nothing is kept as names for events."""
    new = computer(connector_guid="NEW", hostname="desk-015")
    changes = [Change("appeared", [], new), Change("appeared", [], computer()), Change("changed", [], computer())]
    data = newcomers(changes)
    assert data is not None
    assert newcomers(changes[2:]) is None
    rows = kept(dict(fleet.rows())) | {f"{NEWCOMERS}0": data, f"{NEWCOMERS}1": b"?"}
    again = new_fleet()
    assert restore(again, rows) == [f"{NEWCOMERS}1"]
    assert again.names.computers.keys() == {GUID}
    assert again.take(computer()) is None
    once_more = new_fleet()
    restore(once_more, rows | kept(dict(again.rows())))  # as it stands after a checkpoint
    assert once_more.names.computers.keys() == {GUID}
    assert once_more.lose("new") == Change("gone", [], {"connector_guid": "new", "hostname": "desk-015"})
    appeared = again.take(new)
    assert appeared == Change("appeared", [], new, is_kept=True)
    assert newcomers([appeared]) is None


def test_the_garbage_collector_has_no_more_to_look_at(fleet: Fleet) -> None:
    """Of half a million computers it would look at each, and hold up events for a quarter of a second."""
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1000):
        fleet.take(computer(connector_guid=f"guid {number}"))
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_there_is_room_for_so_many(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are known changes are told; the others are counted."""
    monkeypatch.setattr(module, "MAX_COMPUTERS", 1)
    assert fleet.take(computer(connector_guid="another")) is None
    assert (fleet.left_out, len(fleet), list(fleet.guids())) == (1, 1, [GUID])
    assert fleet.take(computer(hostname="desk-015")) is not None
    assert fleet.lose(GUID) is not None
    assert len(fleet) == 0
    assert fleet.take(computer(connector_guid="another")) is not None


@pytest.mark.parametrize("levels", [1, 7, 8, 900])
def test_however_deep_a_field_nests_its_change_is_told(levels: int) -> None:
    """And no deeper than Cisco's fields do, the order of its lists counts for nothing."""

    def nested(*items: int) -> dict[str, Any]:
        value: Any = list(items)
        for _ in range(levels - 1):
            value = [value]
        return computer(nested=value)

    fleet = new_fleet()
    assert fleet.take(nested(1, 2)) is not None
    assert fleet.take(nested(1, 2)) is None
    assert (fleet.take(nested(2, 1)) is None) == (levels <= 8)
    assert fleet.take(nested(1, 3)) == Change("changed", ["nested"], nested(1, 3))


def test_a_bucket_that_grows_too_large_is_only_known(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state file keeps no such row: all others are kept."""
    monkeypatch.setattr(module, "MAX_PACKED_BYTES", 10)
    (name, data), *_ = [row for row in fleet.rows() if row[0] != "fields"]
    assert (name.startswith("bucket "), data) == (True, None)
    assert fleet.take(computer()) is None
