"""A plan: rows of a table become objects, defaults, and what is left."""

from __future__ import annotations

from typing import Any

from fluent_plugin_amp.pipeline.shape.engine import Default, Field, Plan, Rows
from fluent_plugin_amp.pipeline.shape.rules import MAX_REPEATED_CHARACTERS, MISFITS, UNKNOWN

FIELDS = [
    Field("id", "uid", "id_text"),
    Field("known"),
    Field("kept", kept="scalar"),
    Field("name", "device.name", "text", "scalar"),
    Field("computer.name", "device.name", "text"),
    Field("computer.user", "device.user.*", "user"),
    Field("computer.os", "device.os.*", "operating_system"),
    Field("computer.other_os", "device.os.*", "operating_system"),
    Field("computer.ips", "device.ips[+]", "ips", "scalars"),
    Field("computer.ip", "device.ips[+]", "ip"),
    Field("path", "file.path", "path + original"),
    Field("file.md5", "file.hashes[+]", "md5"),
    Field("parent.name", "parent.file.name", "text"),
    Field("parent.pid", "parent.pid", "integer"),
    Field("cves", "cves[+]", "cves"),
    Field("both", "one.a", "text"),
    Field("both", "other[].b", "text"),
    Field("groups", "items[+]", "groups"),
    Field("package", "items[+].packages[].name", "text"),
]


def plan(**more: Any) -> Plan:
    """With these rows."""
    rows: dict[str, Any] = {"constants": {}, "defaults": (), "required": {}, "always": ()}
    return Plan(Rows(FIELDS, **{**rows, **more}))


def made(event: dict[str, Any], **more: Any) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The record, what is left, and what was dropped."""
    record: dict[str, Any] = {}
    _, left, dropped = plan(**more)(event, record)
    return record, left, dropped


def test_where_fields_go() -> None:
    """Each by its row: into objects and lists, kept as well, or left."""
    event = {
        "id": 7,
        "known": 1,
        "kept": "k",
        "name": "n",
        "computer": {"name": "other", "user": "ada@b", "os": "Linux", "other_os": "Linux", "ips": ["192.0.2.7"]},
        "path": "/C:/a",
        "file": {"md5": "a" * 32},
        "cves": [{"cve": "C1"}],
        "both": "x",
    }
    record, left, dropped = made(event)
    assert record == {
        "uid": "7",
        "device": {
            "name": "n",
            "user": {"name": "ada", "domain": "b"},
            "os": {"name": "Linux", "type_id": 200, "type": "Linux"},
            "ips": ["192.0.2.7"],
        },
        "file": {"path": "C:\\a", "hashes": [{"algorithm_id": 1, "algorithm": "MD5", "value": "a" * 32}]},
        "cves": ["C1"],
        "one": {"a": "x"},
        "other": [{"b": "x"}],
    }
    kept = {"known": 1, "kept": "k", "name": "n", "computer": {"name": "other", "ips": ["192.0.2.7"]}}
    assert left == {**kept, "path": "/C:/a", "cves": [{"cve": "C1"}]}
    assert dropped == []


def test_an_event_that_says_nothing() -> None:
    """Nothing is made of it, and nothing is left."""
    assert made({"id": None, "computer": {}, "new": ""}) == ({}, {}, [])


def test_misfits_and_fields_without_a_row() -> None:
    """Both are told, in objects of their own."""
    objects, left, _ = plan()({"kept": [1], "new": {"a": 1}}, {})
    assert (objects[MISFITS], objects[UNKNOWN], left) == ({"kept": [1]}, ["new"], {"new": {"a": 1}})


def test_constants_and_defaults() -> None:
    """Constants where an object has anything else; a default is the first that there is."""
    more = {
        "constants": {"device.type": "Unknown"},
        "defaults": [
            Default("device.ip", ["device.ips[].ip"]),
            Default("file.name", ["no.such", "file.hashes[].no", "file.path by last_name", "= nameless"]),
            Default("title", ["device.name", "= untitled"]),
        ],
        "always": ["file"],
    }
    assert made({}, **more)[0] == {"file": {"name": "nameless"}}
    record, _, _ = made({"name": "n", "path": "/a/b"}, **more)
    assert record == {"device": {"type": "Unknown", "name": "n"}, "file": {"path": "/a/b", "name": "b"}}
    for made_of, title in (({"name": "n"}, "n"), ({}, "untitled")):
        each = plan(**more)
        record = {}
        objects, _, _ = each(made_of, record)
        assert each.complete_record()(record, objects)
        assert record["title"] == title
    assert plan().complete_record()({}, [])


def test_a_default_does_not_replace_a_value() -> None:
    """Nor are there objects in items where no row leads to one."""
    one = Plan(Rows([Field("id", "device.uid", "id_text")], {}, [Default("device.uid", ["= none"])], {}, ("device",)))
    for event, uid in (({"id": 7}, "7"), ({}, "none")):
        record: dict[str, Any] = {}
        one(event, record)
        assert record == {"device": {"uid": uid}}


def test_a_default_out_of_a_list() -> None:
    """The first item that has the attribute gives it."""
    more = {"defaults": [Default("file.name", ["file.hashes[].name", "file.hashes[].value"])]}
    record, _, _ = made({"path": "/a", "file": {"md5": "a" * 32}}, **more)
    assert record["file"]["name"] == "a" * 32


def test_an_object_that_lacks_what_is_required() -> None:
    """It is dropped, with what is in it; what it was made from is given back."""
    each = plan(required={"parent": ("pid",)})
    event = {"id": 7, "parent": {"name": "b.exe"}}
    record: dict[str, Any] = {}
    objects, left, dropped = each(event, record)
    assert (record, dropped) == ({"uid": "7"}, ["parent"])
    for _ in range(2):  # what is in it is found out once
        each.forget(objects, dropped)
        each.give_back(event, left, dropped)
    assert objects[each.number("parent.file")] == objects[each.number("parent")] == {}
    assert left == {"parent": {"name": "b.exe"}}
    each.forget(objects, ["device"])
    assert objects[each.number("device.ips[+]")] == []
    each.give_back({"computer": "no object"}, left, ["device"])
    assert left == {"parent": {"name": "b.exe"}}
    assert made({"parent": {"name": "b.exe", "pid": 7}}, required={"parent": ("pid",)})[2] == []


def test_an_object_in_each_item() -> None:
    """All items share it; without any, or if it is long, it is dropped."""
    more = {"constants": {"items[+].packages[].type": "x"}}
    record, _, _ = made({"groups": ["a", "b"], "package": "p"}, **more)
    packages = [{"type": "x", "name": "p"}]
    assert record["items"] == [{"uid": "a", "packages": packages}, {"uid": "b", "packages": packages}]
    assert made({"package": "p"})[2] == ["items[+].packages[]"]
    assert made({"groups": ["a"], "package": "p" * (MAX_REPEATED_CHARACTERS + 1)})[2] == ["items[+].packages[]"]
    assert made({"groups": ["a"]}) == ({"items": [{"uid": "a"}]}, {}, [])


def test_what_a_plan_knows() -> None:
    """The objects to which a row leads."""
    assert plan().knows("device.ips[+]")
    assert not plan().knows("device.hashes[+]")
