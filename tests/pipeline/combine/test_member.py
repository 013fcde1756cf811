"""An event's part in combined records: keys from the original, everything shown from what may be shown."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.pipeline.combine import member as module
from fluent_plugin_amp.pipeline.combine.member import MAX_TEXT, Member, MemberMaker, moment
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.names import Computer, Names, Naming
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


@pytest.mark.parametrize("value", [None, [], {}, True, [[1]], "x" * (MAX_TEXT + 1), 10**2000])
def test_a_value_of_another_type_counts_as_missing(value: Any) -> None:
    """Whatever an event holds in these fields, its member has an order, and stays small."""
    each = member(dict.fromkeys(("id", "event_type", "severity"), value) | {"detection": "x", "detection_id": value})
    assert (each.event_id, each.event_type, each.severity, each.detection_id) == (None, None, None, None)
    assert each.order < member({**DETECTED, "id": 1}).order


@pytest.mark.parametrize(
    ("value", "shown"), [(2**64, str(2**64)), (-(2**63), -(2**63)), (1.5, 1.5), ("x", "x"), (0, 0), ("", "")]
)
def test_numbers_and_texts_are_shown(value: Any, shown: Any) -> None:
    """A number beyond 64 bits as a text, since no record can hold it."""
    assert member({"detection": "x", "id": value}).event_id == shown


def test_huge_details_are_left_out() -> None:
    """Very many detections wait: what one of them shows is bounded."""
    noise = "".join(hashlib.sha512(str(number).encode()).hexdigest() for number in range(2000))
    each = member({**DETECTED, "computer": {"x": noise}})
    assert each.is_combined
    assert each.shown == [None, None, {}]


@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
@pytest.mark.parametrize(
    ("path", "name"),
    [("file.identity.sha256", "sha256"), ("connector_guid", "computer"), ("network_info.remote_ip", "remote_ip")],
)
def test_the_key_is_the_hash_that_the_event_shows_in_either_case(
    path: str, name: str, case: Callable[[str], str]
) -> None:
    """Cisco writes hexadecimal in either; events and records show the same hash, and belong together."""
    value = {"sha256": SHA256, "computer": DETECTED["connector_guid"], "remote_ip": "2001:db8::1a"}[name]
    record: dict[str, Any] = {"detection": "x"}
    *outer, last = path.split(".")
    inside = record
    for step in outer:
        inside = inside.setdefault(step, {})
    inside[last] = case(value)
    rule = Rule(path, "hash", b"k")
    key = getattr(member(record, rule), name)
    Obfuscation([rule])(record)
    assert key == inside[last] == hmac.new(b"k", value.encode(), hashlib.sha256).hexdigest()


def test_the_key_of_a_text_is_the_hash_that_the_event_shows() -> None:
    """Case counts where a text is no hexadecimal, in the event as in the key."""
    rule = Rule("detection_id", "hash", b"k")
    record = {"detection_id": "XYZ"}
    key = member(record, rule).detection_id
    Obfuscation([rule])(record)
    assert key == record["detection_id"]


def test_moment() -> None:
    """ISO 8601 with nanoseconds."""
    assert moment(1593079552, 619000000) == "2020-06-25T10:05:52.619000000Z"


def naming(*rules: Rule) -> MemberMaker:
    """Makes members with names, of an organisation whose group has the name of the computer."""
    names = Names("acme")
    names.learn_groups([(DETECTED["group_guids"][0], DETECTED["computer"]["hostname"])])
    names.learn_computer(DETECTED["connector_guid"], Computer(policy="Protect"))
    obfuscation = Obfuscation(rules, rules)
    return MemberMaker(obfuscation if rules else None, None, b"secret", Naming(names, obfuscation.hides))


@pytest.mark.parametrize("event_type_id", [1090519054, 1])
def test_a_member_has_the_names_of_its_event(event_type_id: int) -> None:
    """Whether it belongs to a detection or not; equal names are one object, and nothing is counted twice."""
    maker = naming()
    one, other = (maker(DETECTED | {"event_type_id": event_type_id}, 5, 6, digest) for digest in (b"1", b"2"))
    assert one is not None
    assert other is not None
    assert one.names == {"organisation": "acme", "groups": [DETECTED["computer"]["hostname"]], "policy": "Protect"}
    assert one.names is other.names
    assert one.is_whole
    assert not one._replace(names={"groups": [7]}).is_whole


@pytest.mark.parametrize("event_type_id", [1090519054, 1])
def test_a_members_names_hide_what_its_event_hides(event_type_id: int) -> None:
    """A host name stands in the name of a group, too."""
    one = naming(Rule("computer.hostname", "mask"))(DETECTED | {"event_type_id": event_type_id}, 5, 6, b"1")
    assert one is not None
    assert one.names == {"organisation": "acme", "groups": [MASK], "policy": "Protect"}
    gone = naming(Rule("names", "drop"))(DETECTED, 5, 6, b"1")
    assert gone is not None
    assert gone.names is None


def test_names_that_are_shared_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like all that a maker knows again."""
    monkeypatch.setattr(module, "MAX_NAMES", 1)
    maker = naming()
    for number in range(3):
        made = maker(DETECTED | {"connector_guid": str(number)}, 5, 6, b"1")
        assert made is not None
        assert made.names is not None
