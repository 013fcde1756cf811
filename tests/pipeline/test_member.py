"""An event's part in combined records: keys from the original, everything shown from what may be shown."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.member import Member, MemberMaker, moment
from fluent_plugin_amp.pipeline.obfuscate import MASK, Obfuscation, Rule

PAIR: list[dict[str, Any]] = json.loads(Path(__file__).with_name("cisco_pair.json").read_text())
QUARANTINED, DETECTED = PAIR
SHA256 = "a78c29d1fa05c2b23d1dc9b75da8c053399143682fe3779bc466f10e1a997850"


def made(record: dict[str, Any], *rules: Rule, links: Links | None = None) -> Member | None:
    """Its member."""
    return MemberMaker(Obfuscation(rules) if rules else None, links, b"secret")(record, 5, 6, b"digest")


def member(record: dict[str, Any], *rules: Rule) -> Member:
    """Its member, which it has."""
    result = made(record, *rules)
    assert result is not None
    return result


def test_keys_and_values() -> None:
    """The keys of Cisco's own event, and what a record shows of it."""
    each = member(DETECTED)
    assert (each.detection_id, each.sha256) == ("6533241145273614338", SHA256)
    assert (each.computer, each.remote_ip) == (DETECTED["connector_guid"], None)
    assert (each.event_id, each.event_type, each.detection) == (
        DETECTED["id"],
        "Threat Detected",
        "W32.Overdrive.RET",
    )
    assert each.shown == [DETECTED["computer"], DETECTED["file"], {}]
    assert each.is_combined


def test_case_makes_no_difference_to_a_key() -> None:
    """Cisco writes a SHA-256 in either case."""
    record = {**DETECTED, "file": {"identity": {"sha256": SHA256.upper()}}}
    assert member(record).sha256 == SHA256


@pytest.mark.parametrize("record", [{}, {"detection_id": ""}, {"detection_id": 5, "detection": None}, {"id": 1}])
def test_most_events_take_no_part(record: dict[str, Any]) -> None:
    """Without a detection there is nothing to combine."""
    assert made(record) is None


def test_a_detection_without_an_id_is_for_incidents_only() -> None:
    """Cisco names what is to be combined by detection_id: the six types, where they have one."""
    assert not member({"detection": "x", "event_type_id": 1090519054}).is_combined
    assert not member({"detection_id": "x", "event_type_id": 1107296274}).is_combined
    assert not member({"detection_id": "x", "event_type_id": [1]}).is_combined


@pytest.mark.parametrize("method", ["mask", "drop"])
@pytest.mark.parametrize("path", ["file.identity.sha256", "file.identity", "file"])
def test_what_is_hidden_is_a_key_all_the_same(method: Any, path: str) -> None:
    """Hashed with a secret: equal for equal values, and telling nothing else."""
    hidden = [member(record, Rule(path, method)) for record in PAIR]
    assert hidden[0].sha256 == hidden[1].sha256 == hmac.new(b"secret", SHA256.encode(), hashlib.sha256).hexdigest()
    assert SHA256 not in str([(*each, each.shown) for each in hidden])


def test_the_key_of_a_hashed_field_is_its_hash() -> None:
    """So that what an incident lists is found in the events."""
    each = member(DETECTED, Rule("file.identity.sha256", "hash", b"k"))
    assert each.sha256 == hmac.new(b"k", SHA256.encode(), hashlib.sha256).hexdigest()
    assert each.shown[1]["identity"]["sha256"] == each.sha256


@pytest.mark.parametrize("path", ["connector_guid", "computer.connector_guid", "computer"])
def test_the_computer_is_hidden_wherever_it_is_hidden(path: str) -> None:
    """One of the two places of its GUID is enough."""
    assert member(DETECTED, Rule(path, "mask")).computer != DETECTED["connector_guid"]


def test_what_is_shown_is_obfuscated_and_the_event_is_not_touched() -> None:
    """The event goes through its own steps afterwards."""
    before = copy.deepcopy(DETECTED)
    each = member(DETECTED, Rule("computer.user", "mask"), Rule("detection", "mask"), Rule("id", "drop"))
    assert before == DETECTED
    assert each.shown[0]["user"] == each.detection == MASK
    assert each.event_id is None


def test_links_are_made_from_what_may_be_shown() -> None:
    """`console_links` of a detection, like those of an event."""
    rule = Rule("detection", "mask")
    each = made(DETECTED, rule, links=Links("console", Obfuscation([rule]).hides))
    assert each is not None
    links = each.shown[2]
    assert "file_trajectory" in links
    assert "events_detection" not in links


def test_moment() -> None:
    """ISO 8601 with nanoseconds."""
    assert moment(1593079552, 619000000) == "2020-06-25T10:05:52.619000000Z"
