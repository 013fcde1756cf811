from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fluent_plugin_amp.completeness.reading import MAX_LEVELS, find_records
from fluent_plugin_amp.completeness.record import Record, is_hash_right, seal
from fluent_plugin_amp.pipeline.flatten import Flattener
from tests.completeness.chains import two_days

RECORDS = two_days()
WITH_GAP = next(record for record in RECORDS if record["gaps"])
FIRST = RECORDS[0]


def without_nulls(record: Record) -> Record:
    """As some SIEMs export it."""
    return {name: value for name, value in record.items() if value is not None}


def _with_times(record: Record, joint: str, end: str) -> Any:
    """Each time in it is written in another way."""
    return json.loads(re.sub(r"T(\d\d:\d\d:\d\d)Z", rf"{joint}\g<1>{end}", json.dumps(record)))


FORMS: dict[str, Any] = {
    "at the top": lambda record: record,
    "beside fields of the SIEM": lambda record: {"eventdate": 5, "tag": "x", **record, "host": "a"},
    "under a key": lambda record: {"ts": 1.5, "record": record},
    "time, tag, record": lambda record: [1.5, "edr.cisco.amp.completeness", record],
    "time and metadata, record": lambda record: [[1.5, {}], record],
    "as text under a key": lambda record: {"message": json.dumps(record)},
    "as text of a text": lambda record: {"log": json.dumps({"message": json.dumps(record)})},
    "as indented text": lambda record: {"message": " " + json.dumps(record, indent=1)},
    "without nulls": without_nulls,
    "nulls as empty texts": lambda record: {name: "" if each is None else each for name, each in record.items()},
    "integers as texts": lambda record: {
        name: str(each) if type(each) is int else each for name, each in record.items()
    },
    "nulls and integers as texts": lambda record: {
        name: "null" if each is None and name in ("repaired", "queue_depth") else each
        for name, each in record.items()
    },
    "nulls as texts": lambda record: {name: "null" if each is None else each for name, each in record.items()},
    "integers as texts of floats": lambda record: {
        name: f"{each}.0" if type(each) is int else each for name, each in record.items()
    },
    "times with fractions": lambda record: _with_times(record, "T", ".000Z"),
    "times with an offset": lambda record: _with_times(record, "T", "+00:00"),
    "times in words": lambda record: _with_times(record, " ", " UTC"),
    "a list of one without its brackets": lambda record: {
        **record,
        "gaps": record["gaps"][0] if record["gaps"] else [],
    },
    "fields in another order": lambda record: dict(reversed(record.items())),
    "integers as floats": lambda record: {
        name: float(each) if type(each) is int else each for name, each in record.items()
    },
    "plugin and gaps as texts": lambda record: {
        **record,
        "plugin": json.dumps(record["plugin"]),
        "gaps": json.dumps(record["gaps"]),
    },
    "gaps as texts in a list": lambda record: {**record, "gaps": list(map(json.dumps, record["gaps"]))},
    "flattened": Flattener("_"),
    "flattened by points": Flattener("."),
    "flattened, lists as text": Flattener("_", "json"),
    "flattened, lists numbered": Flattener("_", "index"),
    "flattened, lists numbered, items kept": lambda record: {
        **{name: each for name, each in record.items() if name != "gaps"},
        **{f"gaps_{number}": gap for number, gap in enumerate(record["gaps"])},
        **({} if record["gaps"] else {"gaps": []}),
    },
    "flattened under a key": lambda record: Flattener("_", "json")({"message": record}),
    "flattened and as text": lambda record: {"message": json.dumps(Flattener("_", "json")(record))},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("record", [FIRST, WITH_GAP], ids=["no gap", "a gap"])
def test_a_record_is_found_in_whatever_form_it_left_the_siem(form: str, record: Record) -> None:
    """And is the same again: its hash fits."""
    (found,) = find_records(json.loads(json.dumps(FORMS[form](record))))
    assert found == record
    assert is_hash_right(found)


def test_all_records_of_an_array_are_found() -> None:
    """An export may be one line."""
    assert list(find_records(RECORDS)) == RECORDS


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        "{no json",
        "[" * 5000,
        {"event_type": "Threat Detected", "hash": "x"},
        {"sequence": 1, "hour": "x", "stream": "y"},
        [],
    ],
)
def test_anything_else_is_none(value: Any) -> None:
    """Events beside the records, for instance."""
    assert list(find_records(value)) == []


def test_it_looks_so_deep_and_no_deeper() -> None:
    """Lines may nest as they like."""
    value: Any = FIRST
    for _ in range(MAX_LEVELS):
        value = [value]
    assert list(find_records(value)) == [FIRST]
    assert list(find_records([value])) == []


def test_the_names_that_people_gave_are_left_alone() -> None:
    """A stream may have any."""
    for name in ("null", "2025-11-28 10:00:00"):
        named = seal({**FIRST, "stream": name, "organisation": name}, None)
        (found,) = find_records(named)
        assert found == named


@pytest.mark.parametrize(
    ("name", "value"),
    [("plugin", "x"), ("gaps", "x"), ("gaps", [5]), ("gaps", [{}] * 101), ("in_cloud", "many"), ("in_cloud", 1.5)],
)
def test_what_is_no_value_of_its_kind_stays(name: str, value: Any) -> None:
    """Then the hash does not fit."""
    (found,) = find_records({**FIRST, name: value})
    assert not is_hash_right(found)
