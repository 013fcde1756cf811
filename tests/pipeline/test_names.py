"""Names for what an event has only GUIDs of."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline import names as module
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.names import (
    MAX_NAME,
    Computer,
    Names,
    Naming,
    computer_of,
    group_of,
    is_made,
    together,
)
from fluent_plugin_amp.pipeline.obfuscate import MASK, Obfuscation, Rule
from fluent_plugin_amp.pipeline.presets import PRESETS
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.transform import Schema, Transform

GUID = "1e430eef-6245-4ff3-9977-13055f921de3"
FINANCE, LAPTOPS = "e9f40123-ca21-466b-8df7-369781c29035", "0f625fb0-8b3c-46b4-ae24-b511dc708ac5"
POLICY = "617dfa0f-b024-49ce-be49-84a1338db9d4"
AS_OF = "2026-03-02T09:10:00Z"


@pytest.fixture
def names() -> Names:
    """An organisation with two groups, a policy and a computer."""
    names = Names("acme")
    names.learn_groups([(FINANCE, "Finance laptops"), (LAPTOPS.upper(), "Laptops")])
    names.learn_policies([(POLICY.upper(), "Protect")])
    names.learn_computer(GUID.upper(), Computer((LAPTOPS,), "Triage", "Windows 10", "8.4.0.30201"))
    names.as_of = AS_OF
    return names


def event(**fields: Any) -> dict[str, Any]:
    """An event of the computer, as most are."""
    return {"id": 1, "connector_guid": GUID, "group_guids": [FINANCE], "computer": {"connector_guid": GUID}} | fields


def test_an_event_gets_the_names_of_what_it_has_guids_of(names: Names) -> None:
    """Groups by its own GUIDs, the rest by its computer; and how old the knowledge is."""
    assert Naming(names)(event()) == {
        "organisation": "acme",
        "groups": ["Finance laptops"],
        "policy": "Triage",
        "operating_system": "Windows 10",
        "connector_version": "8.4.0.30201",
        "as_of": AS_OF,
    }
    assert (names.unknown.groups, names.unknown.computers) == (0, 0)


def test_what_the_event_says_goes_before_what_is_known(names: Names) -> None:
    """Its policy, by name or GUID, and its operating system."""
    naming = Naming(names)
    said = {"policy": {"guid": POLICY, "name": "Audit"}, "operating_system": "Windows 11"}
    made = naming(event(computer=said))
    assert (made["policy"], made["operating_system"]) == ("Audit", "Windows 11")
    assert naming(event(computer={"policy": {"guid": POLICY.upper()}}))["policy"] == "Protect"
    assert naming(event(computer={"policy": {"guid": "?"}, "operating_system": ""}))["policy"] == "Triage"


def test_guids_are_known_in_either_case(names: Names) -> None:
    """As Cisco writes a GUID one way here and another way there."""
    made = Naming(names)(event(connector_guid=GUID.upper(), group_guids=[FINANCE.upper(), LAPTOPS]))
    assert (made["groups"], made["policy"]) == (["Finance laptops", "Laptops"], "Triage")


def test_without_groups_of_its_own_an_event_has_those_of_its_computer(names: Names) -> None:
    """Events of some kinds lack them."""
    record = event(group_guids=[])
    del record["connector_guid"]
    assert Naming(names)(record)["groups"] == ["Laptops"]


def test_what_is_not_known_is_left_out_and_counted(names: Names) -> None:
    """A new group and a new computer; an event that names no computer counts as nothing."""
    naming = Naming(names)
    assert naming(event(connector_guid="new", group_guids=["new", FINANCE])) == {
        "organisation": "acme",
        "groups": ["Finance laptops"],
        "as_of": AS_OF,
    }
    assert (names.unknown.groups, names.unknown.computers) == (1, 1)
    assert naming.of(event(connector_guid="new", group_guids=["new"])) == {"organisation": "acme", "as_of": AS_OF}
    naming({"id": 1})
    assert (names.unknown.groups, names.unknown.computers) == (1, 1)


def test_names_that_were_made_are_made_anew_when_more_is_known(names: Names) -> None:
    """Most events come from a few computers; whatever is done to a record, the next one is as it should be."""
    naming = Naming(names, Obfuscation([Rule("computer", "mask")]).hides)
    for _ in range(2):
        made = naming(event())
        assert made == {"organisation": "acme", "groups": ["Finance laptops"], "as_of": AS_OF}
        made["groups"].append("x")
        made["organisation"] = "y"
    names.learn_groups([(FINANCE, "Money")])
    assert naming(event())["groups"] == ["Money"]
    names.as_of = "2026-03-03T00:00:00Z"
    assert naming(event())["as_of"] == "2026-03-03T00:00:00Z"
    without = Naming(names, Obfuscation([Rule("group_guids", "mask")]).hides)
    assert "groups" not in without(event())
    names.learn_computer(GUID, Computer(policy="Audit"))
    assert without(event())["policy"] == "Audit"
    names.learn_policies([])
    names.forget_computer(GUID)
    assert "policy" not in without(event())


def test_names_that_were_made_are_bounded(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many computers have events."""
    monkeypatch.setattr(module, "MAX_MADE", 1)
    naming = Naming(names)
    names.learn_computer("other", Computer(policy="Audit"))
    assert [naming(event(connector_guid=guid))["policy"] for guid in (GUID, "other", GUID)] == [
        "Triage",
        "Audit",
        "Triage",
    ]


def test_before_anything_is_known_there_is_the_organisation() -> None:
    """And no time of a knowledge that there is not."""
    assert Naming(Names("acme"))(event()) == {"organisation": "acme"}


@pytest.mark.parametrize(
    "record",
    [
        {"connector_guid": [], "group_guids": {}, "computer": []},
        {"connector_guid": {}, "group_guids": [None, 7, [], {}], "computer": {"policy": [], "operating_system": 7}},
        {"connector_guid": 7, "computer": {"connector_guid": [], "policy": {"guid": [], "name": {}}}},
    ],
)
def test_odd_values_name_nothing(names: Names, record: dict[str, Any]) -> None:
    """Whatever stands where a GUID should be."""
    assert Naming(names)(record) == {"organisation": "acme", "as_of": AS_OF}


def test_a_computer_that_went_is_not_known(names: Names) -> None:
    """Its events may still come."""
    names.forget_computer(GUID)
    names.forget_computer(GUID)
    assert "policy" not in Naming(names)(event())


def test_what_is_known_is_bounded(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """In number, and each name in length; a computer that is known may change all the same."""
    monkeypatch.setattr(module, "MAX_KNOWN", 1)
    monkeypatch.setattr(module, "MAX_COMPUTERS", 2)
    names.learn_groups([("a", ""), ("b", "x" * 1000), ("c", "c")])
    assert names.groups == {"b": "x" * MAX_NAME}
    for number in range(4):
        names.learn_computer(f"new {number}", Computer(policy=f"P{number}"))
    names.learn_computer(GUID, Computer(policy="Audit"))
    assert [names.computers[guid].policy for guid in (GUID, "new 0")] == ["Audit", "P0"]
    assert len(names.computers) == 2


def test_computers_that_are_alike_share_what_is_known(names: Names) -> None:
    """Tens of thousands of them have some hundred groups, policies and versions between them."""
    for guid in ("a", "b"):
        names.learn_computer(guid, Computer((FINANCE,), "".join(["Pro", "tect"])))
    assert names.computers["a"] is names.computers["b"]


def test_a_computer_of_the_cloud_tells_what_is_to_be_known() -> None:
    """Newer bodies list several groups, older ones have one."""
    item = {
        "group_guid": FINANCE.upper(),
        "groups": [{"guid": FINANCE, "name": "Finance"}, {"guid": LAPTOPS, "name": "Laptops"}, {"guid": ""}, 7],
        "policy": {"guid": POLICY, "name": "Protect"},
        "operating_system": "Windows 10",
        "connector_version": "8.4.0.30201",
    }
    assert computer_of(item) == Computer((FINANCE, LAPTOPS), "Protect", "Windows 10", "8.4.0.30201")
    assert computer_of({"group_guid": FINANCE}) == Computer((FINANCE,))
    odd = {"group_guid": [], "groups": {}, "policy": 7, "operating_system": {}, "connector_version": ""}
    assert computer_of(odd) == Computer()


def test_names_of_several_events_are_joined() -> None:
    """All groups; of the rest what they agree on; and the oldest knowledge."""
    one = {"organisation": "acme", "groups": ["B"], "policy": "Protect", "as_of": "2026-02-02"}
    other = {"organisation": "acme", "groups": ["A", "B"], "policy": "Audit", "as_of": "2026-02-01"}
    assert together([one, None, other]) == {"organisation": "acme", "groups": ["A", "B"], "as_of": "2026-02-01"}
    assert together([{"organisation": "acme"}]) == {"organisation": "acme"}
    assert together([None]) is None


@pytest.mark.parametrize("odd", [[], {"groups": {}}, {"groups": [7]}, {"as_of": 7}])
def test_what_was_kept_is_looked_at(odd: object) -> None:
    """Whoever wrote it."""
    assert not is_made(odd)
    assert is_made({"groups": ["A"], "as_of": AS_OF})
    assert is_made({})


def test_names_are_a_step_before_the_tag(names: Names) -> None:
    """So a tag may have the group; where none is known it is unknown."""
    transform = Transform("emea", tag="edr.cisco.amp.{group}", names=Naming(names))
    for _ in range(2):
        assert transform(event(), 0.0) == (
            "edr.cisco.amp.finance_laptops",
            event() | {"names": Naming(names)(event())},
        )
    unknown = transform({"id": 1}, 0.0)
    assert unknown is not None
    assert unknown[0] == "edr.cisco.amp.unknown"
    assert [step.name for step in transform.steps(event(), 0.0)] == ["names"]


@pytest.mark.parametrize("odd", [{}, {"names": []}, {"names": {"groups": "Finance"}}, {"names": {"groups": []}}])
def test_a_record_without_names_has_no_group(odd: dict[str, Any]) -> None:
    """For its tag."""
    assert group_of(odd) is None


def test_names_overwrite_nothing(names: Names) -> None:
    """Should Cisco have a field of that name."""
    sent = Transform("emea", names=Naming(names))(event(names="theirs"), 0.0)
    assert sent is not None
    assert (sent[1]["names"], sent[1]["names_2"]["policy"]) == ("theirs", "Triage")


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("group_guids", {"groups"}),
        ("group_guids[]", {"groups"}),
        ("computer.policy.name", {"policy"}),
        ("computer", {"policy", "operating_system", "connector_version"}),
    ],
)
def test_what_a_stream_hides_in_the_event_is_left_out(names: Names, path: str, gone: set[str]) -> None:
    """Whether the rule names the field, a part of it, or what is around it."""
    obfuscation = Obfuscation([Rule(path, "mask")])
    made = Naming(names, obfuscation.hides)(event())
    assert set(Naming(names)(event())) - set(made) == gone


def test_a_hidden_host_name_is_hidden_in_a_groups_name(names: Names) -> None:
    """As in every other text of the event; and a path may name a name."""
    names.learn_groups([(FINANCE, "only DESK-014")])
    rules = [Rule(path, "mask") for path in PRESETS["computer"]]
    obfuscation = Obfuscation([*rules, Rule("names.connector_version", "drop")], rules)
    transform = Transform("emea", names=Naming(names, obfuscation.hides), obfuscate=obfuscation)
    sent = transform(event(computer={"hostname": "desk-014"}), 0.0)
    assert sent is not None
    assert sent[1]["names"]["groups"] == [f"only {MASK}"]
    assert "connector_version" not in sent[1]["names"]
    assert names.groups[FINANCE] == "only DESK-014"


def test_names_are_flattened(names: Names) -> None:
    """Like all that an event has."""
    sent = Transform("emea", names=Naming(names), flatten=Flattener(lists="index"))(event(), 0.0)
    assert sent is not None
    assert (sent[1]["names_policy"], sent[1]["names_groups_0"]) == ("Triage", "Finance laptops")


@pytest.mark.parametrize("schema", [OcsfShape("emea"), EcsShape("emea")])
def test_names_stand_beside_what_is_shaped(names: Names, schema: Schema) -> None:
    """They are no part of what Cisco sent, and no field that the table lacks; combined records keep theirs, too."""
    transform = Transform("emea", names=Naming(names), add={"tenant": "x"}, schema=schema)
    sent = transform(event(event_type_id=553648143), 0.0)
    assert sent is not None
    assert list(sent[1])[-2:] == ["names", "tenant"]
    assert sent[1]["names"]["policy"] == "Triage"
    assert not [path for what, path in schema.drift.samples if path.startswith("names")]
    combined = transform.shape({"names": {"policy": "Audit"}})
    assert (combined["names"], combined["tenant"]) == ({"policy": "Audit"}, "x")
    assert "names" not in transform.shape({"id": 1})
