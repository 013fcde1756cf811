from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from fluent_plugin_amp.completeness.record import (
    FIELDS,
    HOUR_S,
    Figures,
    Gap,
    Link,
    body_of,
    canonical,
    compose,
    fewer,
    is_hash_right,
    is_hmac_right,
    moment,
    seal,
    second_of,
)
from tests.completeness.chains import BEGIN, EMEA, KEY, clean, two_days


def test_a_record_has_every_field_in_its_place() -> None:
    """What an analyst reads."""
    gaps = (Gap(BEGIN + 60, BEGIN + 120, "no server"),)
    figures = Figures(in_cloud=10, missing=2, not_known=1, repaired=2, newest_event=BEGIN + 5, gaps=gaps)
    record = compose(
        EMEA, BEGIN, 1, figures, looked_at=BEGIN + 10801.9, delayed_by=7200, after=Link(4, "abc"), key=None
    )
    assert list(record) == list(FIELDS)
    assert record == {
        "format": 1,
        "stream": "emea",
        "organisation": "acme",
        "hour": "2025-11-28T00:00:00Z",
        "revision": 1,
        "looked_at": "2025-11-28T03:00:01Z",
        "delayed_by": 7200,
        "in_cloud": 10,
        "delivered": 7,
        "missing": 2,
        "repaired": 2,
        "not_known": 1,
        "not_known_why": None,
        "dropped": None,
        "dead_letters": None,
        "duplicates": None,
        "newest_event": "2025-11-28T00:00:05Z",
        "queue_depth": None,
        "other_consumers": None,
        "gaps": [{"from": "2025-11-28T00:01:00Z", "to": "2025-11-28T00:02:00Z", "why": "no server"}],
        "plugin": {"version": "0.1.0", "instance": "b1946ac9"},
        "sequence": 5,
        "previous": "abc",
        "hash": record["hash"],
        "hmac": None,
    }


def test_hash_and_hmac_are_what_anybody_can_compute() -> None:
    """Python's own JSON, SHA-256 and HMAC are enough to check a record, names of other alphabets included."""
    origin = EMEA.__class__('ümlaut "日本"\n', None, "0.1.0", "b1946ac9")
    record = compose(origin, BEGIN, 1, clean(), looked_at=BEGIN, delayed_by=None, after=Link(), key=KEY)
    rest = {name: value for name, value in record.items() if name not in ("hash", "hmac")}
    said = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical(record) == said
    assert record["hash"] == hashlib.sha256(said).hexdigest()
    assert record["hmac"] == hmac.new(KEY, said, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("hash", "hmac")])
def test_no_field_changes_unseen(name: str) -> None:
    """Neither to another value nor away."""
    record = two_days()[1]
    assert is_hash_right(record)
    assert is_hmac_right(record, KEY)
    for value in ("other", None):
        if record[name] != value:
            changed = {**record, name: value}
            assert not is_hash_right(changed)
            assert not is_hmac_right(changed, KEY)


def test_an_hmac_needs_the_key() -> None:
    """Another key, no HMAC, and what is no text are refused."""
    record = two_days()[0]
    assert not is_hmac_right(record, b"another key of 16")
    assert not is_hmac_right({**record, "hmac": None}, KEY)
    assert not is_hmac_right({**record, "hmac": 5}, KEY)
    assert not is_hmac_right({**record, "hmac": "ü"}, KEY)
    assert seal(record, None)["hmac"] is None


def test_the_same_record_has_the_same_bytes() -> None:
    """However often it is sent."""
    assert list(map(body_of, two_days())) == list(map(body_of, two_days()))


def test_figures_that_nobody_knows_are_null() -> None:
    """And then the hour is not clean."""
    assert Figures().delivered is None
    assert not Figures().is_clean
    assert Figures(in_cloud=3, missing=0, not_known=0).is_clean
    assert not Figures(in_cloud=3, missing=0, not_known=1).is_clean
    assert Figures(in_cloud=3, missing=1, not_known=0, repaired=0).what_counts == (3, 1, 0, None)


def test_of_many_gaps_the_closest_become_one() -> None:
    """The whole time that they span is still told; different reasons are."""
    gaps = [Gap(0, 10, "a"), Gap(100, 110, "b"), Gap(112, 120, "b"), Gap(121, 122, "c")]
    assert fewer(gaps, 4) == gaps
    assert fewer(gaps, 3) == [Gap(0, 10, "a"), Gap(100, 110, "b"), Gap(112, 122, "several, in short order")]
    assert fewer(gaps, 2) == [Gap(0, 10, "a"), Gap(100, 122, "several, in short order")]
    assert fewer([Gap(0, 10, "a"), Gap(11, 12, "a")], 1) == [Gap(0, 12, "a")]


def test_moments_are_read_as_they_are_written() -> None:
    """And nothing else is one."""
    assert second_of(moment(BEGIN + HOUR_S)) == BEGIN + HOUR_S
    for text in (None, 5, "", "2025-11-28 00:00:00Z", "2025-13-28T00:00:00Z", "2025-11-28T00:00:00+00"):
        assert second_of(text) is None


def test_the_page_shows_a_record_that_is_whole() -> None:
    """As the plugin writes it; its hash can be computed by anybody."""
    page = (Path(__file__).parents[2] / "docs/completeness.md").read_text("utf-8")
    shown = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    assert shown == two_days()[9]
    assert is_hash_right(shown)
    assert is_hmac_right(shown, KEY)
