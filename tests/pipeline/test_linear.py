"""The work for an event grows with its bytes, and for a stream with its events: counted in lines that run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from fluent_plugin_amp.errors import EventNotJson
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.pipeline import flatten
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.dead_letters import dead_letter
from fluent_plugin_amp.pipeline.decode import MAX_DEPTH, decode
from fluent_plugin_amp.pipeline.flatten import Flattener, ListMode
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, Rule
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.transform import Schema, Transform
from tests.pipeline.steps import grows_linearly

Event = Callable[[int], dict[str, Any]]


def colliding(size: int) -> dict[str, Any]:
    """`size` fields (a power of two) that all come to some few names: a `_` in a name is one between two."""
    return {"": 1, "_": 1} if size == 2 else {"": colliding(size // 2), "_": colliding(size // 2)}


def taken_suffixes(size: int) -> dict[str, Any]:
    """The suffixes are taken by other fields."""
    return {**{f"a_b_{number}": number for number in range(2, size)}, "a_b": 0, "a": {"b": 1}}


def wide(size: int) -> dict[str, Any]:
    """Many fields and items."""
    return {"a": {str(number): [number] for number in range(size)}, "l": [{"x": {"y": n}} for n in range(size)]}


EVENTS: list[Event] = [colliding, taken_suffixes, wide]


@pytest.mark.parametrize("lists", ["keep", "json", "index"])
@pytest.mark.parametrize("separator", ["_", ""])
@pytest.mark.parametrize("make", EVENTS)
def test_flattening(make: Event, separator: str, lists: ListMode) -> None:
    """Whatever names collide: the search for a free one does not begin anew each time (155 kB took 40 s)."""

    def work(size: int) -> Callable[[], object]:
        record = make(size)
        return lambda: Flattener(separator, lists)(record)

    assert grows_linearly(work, 512)


def test_a_long_name_before_many_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the names grow by is bounded: beyond that, what lies deeper stays nested, and nothing is lost."""
    monkeypatch.setattr(flatten, "MAX_ADDED_CHARACTERS", 10_000)
    record = {"k" * 900: {str(number): number for number in range(10)}, "l" * 900: {str(n): n for n in range(10)}}
    flat = Flattener()(record)
    assert len(flat) == 11
    assert flat["l" * 900] == record["l" * 900]
    listed = Flattener(lists="index")({"k" * 900: list(range(12)), "m": [1, 2]})
    assert listed == {"k" * 900: list(range(12)), "m_0": 1, "m_1": 2}


def test_an_event_cannot_multiply_under_flatten() -> None:
    """200 kB with a name of 100,000 characters before 10,000 fields would be a gigabyte."""
    record = {"k" * 100_000: {str(number): 0 for number in range(10_000)}}
    assert sum(map(len, Flattener()(record))) <= flatten.MAX_ADDED_CHARACTERS + 200_000


def long_lists(size: int) -> dict[str, Any]:
    """Every list that a schema looks into, each item another."""
    tactics = [{"external_id": f"TA{number}", "name": f"n{number}"} for number in range(size)]
    techniques = [{"external_id": f"T{number}.1", "name": f"n{number}"} for number in range(size)]
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(size)]
    return {
        "event_type_id": 1107296273,
        "tactics": tactics,
        "techniques": techniques,
        "threat_hunting": {"tactics": tactics, "techniques": techniques},
        "computer": {"network_addresses": [{"ip": each} for each in addresses], "internal_ips": addresses},
        "vulnerabilities": [{"cve": f"CVE-{number}"} for number in range(size)],
        "group_guids": addresses,
    }


@pytest.mark.parametrize("shape", [OcsfShape("emea"), EcsShape("emea")], ids=["ocsf", "ecs"])
def test_shaping(shape: Schema) -> None:
    """No list is compared with another item by item: of 50,000 each that would take many minutes."""
    assert grows_linearly(lambda size: partial(shape, long_lists(size), 0.0), 512)
    shape(long_lists(50_000), 0.0)


@pytest.mark.parametrize("shape", [OcsfShape("emea"), EcsShape("emea")], ids=["ocsf", "ecs"])
def test_an_event_cannot_multiply_under_shape(shape: Schema) -> None:
    """A program with a name of 100,000 characters, beside 2,000 CVEs: packed it was 200 MB, and growing squarely."""
    cves = [{"name": "n" * 100_000, "version": "1", "cve": "CVE-0"}, *[{"cve": "CVE-1"}] * 2000]
    event = {"event_type_id": 1107296274, "vulnerabilities": cves}
    record = shape(event, 0.0)
    assert len(msgspec.msgpack.encode(record)) < 3 * len(msgspec.msgpack.encode(event))
    assert "n" * 100_000 in str(record)  # and yet it is not lost


@pytest.mark.parametrize(
    "body",
    [
        lambda size: b"[" * (MAX_DEPTH - 2) + b"1," * size + b"1" + b"]" * (MAX_DEPTH - 2),
        lambda size: b"[" + b"[]," * size + b"[]]",
        lambda size: b"[" + b'{"a":{"b":{}}},' * size + b"{}]",
    ],
)
def test_looking_at_the_depth(body: Callable[[int], bytes]) -> None:
    """Each map and list is looked at once."""
    assert grows_linearly(lambda size: lambda: decode(b'{"a":' + body(size) + b"}"), 5000)


def test_many_boms() -> None:
    """One is nothing, more are no JSON: they are not taken off one by one."""
    with pytest.raises(EventNotJson):
        decode(b"\xef\xbb\xbf" * 50_000 + b"{}")


def test_obfuscating_lists_in_lists() -> None:
    """A path with several `[]` visits each item once for each rule."""
    obfuscate = Obfuscation([Rule("a[][].b", "mask"), Rule("a[][].c", "hash", b"k"), Rule("a[][]", "drop")])
    assert grows_linearly(lambda size: lambda: obfuscate({"a": [[{"b": 1, "c": "x"}] * 10] * size}), 200)


def test_dead_letters() -> None:
    """Cut into parts once, at the edges of characters."""
    body = '"\N{SNOWMAN}\N{PILE OF POO}'.encode()

    def letters(size: int) -> Callable[[], object]:
        delivery = Delivery("s", None, 1, body * size)  # type: ignore[arg-type]
        return lambda: dead_letter(delivery, EventNotJson("x"), 16 * 1024)

    assert grows_linearly(letters, 10_000)


def test_links_and_members() -> None:
    """Group GUIDs are the one list that links are made from."""
    links = Links("console")
    assert grows_linearly(lambda size: lambda: links({"group_guids": ["g g"] * size}), 500)
    make = MemberMaker(Obfuscation([Rule("file.identity", "hash", b"k")]), links, b"s")
    record = {"detection_id": "d", "event_type_id": 1090519054}
    assert grows_linearly(lambda size: lambda: make({**record, "file": {"x": [[1]] * size}}, 1, 2, b"d"), 500)


def test_static_fields_whose_names_are_taken() -> None:
    """A static field beside as many others of its name as an event can hold."""
    transform = Transform("s", add={"a": 1}, pulling_id=True, serialize="m")

    def event(size: int) -> Callable[[], object]:
        record = msgspec.json.decode(
            msgspec.json.encode({"a": 1, **{f"a_{number}": number for number in range(2, size)}})
        )
        return lambda: transform(record, 1.0)

    assert grows_linearly(event, 500)
