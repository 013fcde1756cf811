"""What is obfuscated is gone from the event, wherever the path leads, and nothing else changes."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.pipeline.obfuscate import (
    MASK,
    Method,
    Obfuscation,
    Rule,
    _hash_text,
    is_path,
    keyed_hash,
    mask_delivery,
)

KEY = b"a key"


def event() -> dict[str, Any]:
    """An event with nesting and lists, anew for each use."""
    return {
        "id": 6533241145273614340,
        "computer": {
            "user": "johndoe",
            "active": None,
            "network_addresses": [{"ip": "10.0.0.1", "mac": "m1"}, {"ip": "", "mac": "m2"}, {"mac": "m3"}],
        },
        "group_guids": ["g1", "g2"],
        "tactics": ["TA0002"],
    }


def obfuscated(*rules: tuple[str, Method]) -> dict[str, Any]:
    """The event after these rules."""
    record = event()
    Obfuscation([Rule(path, method, KEY) for path, method in rules])(record)
    return record


def test_mask() -> None:
    """Whatever the value is, three asterisks stand in its place; null says nothing, and stays."""
    record = obfuscated(
        ("computer.user", "mask"), ("computer.active", "mask"), ("id", "mask"), ("group_guids", "mask")
    )
    assert (record["computer"]["user"], record["id"], record["group_guids"]) == (MASK, MASK, MASK)
    assert record["computer"]["active"] is None


def test_hash() -> None:
    """HMAC-SHA-256 of a text's UTF-8, and of another value's JSON."""
    record = obfuscated(("computer.user", "hash"), ("id", "hash"))
    assert record["computer"]["user"] == hmac.new(KEY, b"johndoe", hashlib.sha256).hexdigest()
    assert record["id"] == hmac.new(KEY, b"6533241145273614340", hashlib.sha256).hexdigest()


def test_hash_depends_on_the_key_and_the_value_alone() -> None:
    """The same value has the same hash in any field; another key gives another."""
    one, two = {"a": "x", "b": ["x"]}, {"a": "x"}
    Obfuscation([Rule("a", "hash", KEY), Rule("b[]", "hash", KEY)])(one)
    Obfuscation([Rule("a", "hash", b"another")])(two)
    assert one["a"] == one["b"][0] != two["a"]


def test_hexadecimal_is_equal_in_either_case() -> None:
    """A SHA-256, a GUID, a MAC: the letters' case says nothing. In a name it does."""
    for text in ("AB01" * 16, "0B4883D4-8ECF-4404-9453-13CBA0EE7662", "00:1A:2B:3C:4D:5E"):
        assert keyed_hash(KEY, text) == hmac.new(KEY, text.lower().encode(), hashlib.sha256).hexdigest()
    for text in ("Demo_AMP", "Face Bad", ""):
        assert keyed_hash(KEY, text) == hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def test_long_texts_are_not_kept() -> None:
    """The hashes of a few short ones are."""
    before = _hash_text.cache_info().currsize
    for number in range(20):
        keyed_hash(KEY, str(number) * 1000)
    assert _hash_text.cache_info().currsize == before


def test_drop() -> None:
    """The field goes, the rest stays."""
    record = obfuscated(("computer.user", "drop"), ("group_guids[]", "drop"))
    expected = event()
    del expected["computer"]["user"]
    expected["group_guids"] = []
    assert record == expected


def test_each_item_of_a_list() -> None:
    """`[]` reaches every item that has the field, and the items themselves."""
    record = obfuscated(("computer.network_addresses[].ip", "mask"), ("group_guids[]", "mask"))
    assert [each.get("ip") for each in record["computer"]["network_addresses"]] == [MASK, MASK, None]
    assert [each["mac"] for each in record["computer"]["network_addresses"]] == ["m1", "m2", "m3"]
    assert record["group_guids"] == [MASK, MASK]


@pytest.mark.parametrize(
    ("path", "fitting"),
    [
        ("x", ["secret-host", ["secret-host", 7]]),
        ("x.y[]", [{"y": ["secret-host"]}]),
        ("x[].y", [[7, {"y": "secret-host"}]]),
    ],
)
def test_values_are_searched_that_have_the_shape_of_the_path(path: str, fitting: list[Any]) -> None:
    """A text there, or each of a list, is hidden in other texts too; where the shape is another one, nothing is."""
    for value in (*fitting, 7, None, {"y": "secret-host"}):
        record = {"x": value, "note": "seen on secret-host"}
        Obfuscation((), [Rule(path, "mask")])(record)
        assert ("secret-host" not in str(record["note"])) is (value in fitting)


@pytest.mark.parametrize("path", ["nothing", "id.x", "id[]", "computer[].user", "tactics[].name", "group_guids.x"])
def test_a_path_that_does_not_fit_changes_nothing(path: str) -> None:
    """A field that is missing, or of another shape in this event, is no error."""
    for method in ("mask", "hash", "drop"):
        assert obfuscated((path, method)) == event()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=15,
)


@given(
    st.dictionaries(st.sampled_from("abc"), JSON, max_size=3),
    st.lists(st.sampled_from(["a", "b", "a.b", "a[]", "a[].b", "a.b[].c", "b[][]", "c.a.b"]), min_size=1, max_size=3),
    st.sampled_from(["mask", "hash", "drop"]),
)
def test_twice_is_as_good_as_once_for_what_is_left(record: dict[str, Any], paths: list[str], method: Method) -> None:
    """Any event, any path: nothing fails, and fields that no path names are the same."""
    before = copy.deepcopy(record)
    Obfuscation([Rule(path, method, KEY) for path in paths])(record)
    named = {path[0] for path in paths}
    assert {name: value for name, value in record.items() if name not in named} == {
        name: value for name, value in before.items() if name not in named
    }
    for path in {"a", "b"} & set(paths):
        assert path not in record or before[path] is None or record[path] != before[path]


@pytest.mark.parametrize("source", ["file.identity.sha256", "file", "file.identity", "network_info.remote_ip"])
def test_what_lies_within_a_hidden_field_is_hidden(source: str) -> None:
    """A rule on the whole, or on a part, hides the field as others use it."""
    obfuscation = Obfuscation([Rule("file.identity", "mask"), Rule("network_info", "drop")])
    assert obfuscation.hides(source)
    assert not obfuscation.hides("computer.connector_guid")


def test_a_path_that_matches_nothing_is_told_once() -> None:
    """A typo would let something out in the clear, so it is told; but not where no event came."""
    obfuscation = Obfuscation([Rule("computer.user", "mask"), Rule("computer.usr", "mask")])
    assert obfuscation.unmatched() == []
    obfuscation(event())
    assert obfuscation.unmatched() == ["computer.usr"]
    obfuscation({})
    assert obfuscation.unmatched() == ["computer.user"]
    obfuscation({})
    assert obfuscation.unmatched() == []


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "[]", "a[", "a]", "a[0]", "a[]b", "a b", "a.[]"])
def test_what_is_no_path(text: str) -> None:
    """Only names, dots, and [] behind a name."""
    assert not is_path(text)
    assert is_path("computer.network_addresses[].ip")


def test_a_dead_letter_keeps_hash_and_length() -> None:
    """Nothing of the body and of the routing key is left."""
    body = b'{"computer": {"user": "johndoe"'
    delivery = Delivery("emea", None, 1, body, routing_key="guid.0b4883d4.1")  # type: ignore[arg-type]
    mask_delivery(delivery)
    assert json.loads(delivery.body) == {
        "masked": True,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }
    assert delivery.routing_key == MASK


def test_a_key_is_in_no_repr() -> None:
    """Secrets appear in no traceback."""
    assert "a key" not in repr(Rule("a", "hash", KEY))
