"""Entries: what was to be done, what became of it, and what takes it back."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.amp_respond.entries import INVERSE, UNKNOWN, Action, Entry, Ref, entries, parse, who_left

DESK, SOC = (
    Ref("1e430eef-6245-4ff3-9977-13055f921de3", "desk-014"),
    Ref("807b32de", "SOC list", "application_blocking"),
)
PROTECT, TRIAGE = Ref("e9f40123", "Protect"), Ref("0f625fb0", "Triage")
ACTIONS = (
    Action("isolate", DESK),
    Action("release", DESK),
    Action("block", sha256="95bb", list=SOC),
    Action("unblock", sha256="95bb", list=SOC, description="case 76"),
    Action("move", DESK, from_group=PROTECT, to_group=TRIAGE),
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.kind)
def test_an_action_comes_back_from_the_journal(action: Action) -> None:
    """As it was; and the inverse of its inverse is itself."""
    assert Action.of(action.as_json()) == action
    assert action.inverse.inverse == action
    assert action.inverse.kind == INVERSE[action.kind]


def test_a_move_goes_back_where_it_came_from() -> None:
    """From and to change places."""
    inverse = ACTIONS[-1].inverse
    assert (inverse.from_group, inverse.to_group) == (TRIAGE, PROTECT)


def test_only_a_computer_hears_of_an_isolation_later() -> None:
    """Its begin and its end are waited for; lists and groups are the cloud's own."""
    assert [action.kind for action in ACTIONS if action.is_of_isolation] == ["isolate", "release"]


def test_an_entry_without_an_answer_is_unknown() -> None:
    """The last state counts, and a state that came after shipping makes it a new one to ship."""
    asked = {"entry": "1", "phase": "asked", "at": "2026-11-28T11:24:06Z", **ACTIONS[0].as_json()}
    answered = {"entry": "1", "phase": "answered", "outcome": "done", "state": "pending_start", "looked_up": True}
    (entry,) = entries([asked])
    assert (entry.outcome, entry.state) == (UNKNOWN, "")
    (entry,) = entries([asked, answered, {"entry": "1", "phase": "shipped"}])
    assert (entry.outcome, entry.state, entry.is_shipped) == ("done", "pending_start", True)
    seen = {"entry": "1", "phase": "seen", "state": "isolated"}
    (entry,) = entries([asked, answered, {"entry": "1", "phase": "shipped"}, seen])
    assert (entry.state, entry.is_shipped) == ("isolated", False)
    assert entry.as_json() == {
        "entry": "1",
        "at": "2026-11-28T11:24:06Z",
        "action": "isolate",
        "computer": {"guid": DESK.guid, "name": "desk-014"},
        "outcome": "done",
        "answered_at": None,
        "looked_up": True,
        "state": "isolated",
    }


def test_what_is_asked_twice_under_one_id_is_the_first() -> None:
    """Somebody copied a line."""
    asked = {"entry": "1", "phase": "asked", **ACTIONS[0].as_json()}
    (entry,) = entries([asked, {**asked, "action": "release"}])
    assert entry.action.kind == "isolate"


def test_what_an_action_is_called() -> None:
    """As it is shown before it is done."""
    assert [str(action) for action in ACTIONS[1:]] == [
        f"release desk-014 ({DESK.guid})",
        "block 95bb on SOC list",
        "unblock 95bb on SOC list",
        f"move desk-014 ({DESK.guid}) to Triage",
    ]
    assert str(Action.of({"action": "block", "sha256": "95bb", "list": 7})) == "block 95bb on ?"


def test_lines_that_are_none_are_counted() -> None:
    """Whatever somebody wrote into the file; lines about entries that were never asked are passed over."""
    lines, broken = parse(b'[]\n{"entry": 7}\nnot JSON\n\xff\n' + b"[" * 100_000 + b'\n\n{"entry":"1"}\n')
    assert (lines, broken) == ([{"entry": "1"}], 5)
    stray = [{"entry": "1", "phase": "answered"}, {"entry": "2", "phase": "asked", "action": "erase"}]
    assert entries([*lines, *stray]) == []
    asked = {"entry": "1", "phase": "asked", "at": "2026", **ACTIONS[0].as_json()}
    (entry,) = entries([asked, {"entry": "1", "phase": "later"}])
    assert (entry.at, entry.action, entry.before) == ("2026", ACTIONS[0], "")
    assert Entry("1", {**asked, "before": "isolated"}).before == "isolated"


@pytest.mark.parametrize("action", [[], {}, None, 7, "format the disk"])
def test_an_action_that_is_none_is_no_entry(action: object) -> None:
    """Of whatever type it is."""
    assert entries([{"entry": "00c0ffee", "phase": "asked", "action": action}]) == []


def test_an_action_and_its_inverse_change_the_same() -> None:
    """Of one computer or file of one cloud; a move is no isolation."""
    targets = [Entry("1", {"cloud": "eu", **action.as_json()}).target for action in ACTIONS]
    isolated, released, blocked, unblocked, moved = targets
    assert isolated == released
    assert blocked == unblocked
    assert moved not in (isolated, blocked)
    assert Entry("1", {"cloud": "us", **ACTIONS[0].as_json()}).target != isolated


@pytest.mark.parametrize("outcome", ["done", "in doubt", UNKNOWN, "refused", "not done", "already"])
def test_who_left_a_group(outcome: str) -> None:
    """Since that time, and perhaps; who was moved back is there again, unless nobody knows."""
    there = Action("move", DESK, from_group=PROTECT, to_group=TRIAGE)
    is_gone = outcome in ("done", "in doubt", UNKNOWN)

    def entry(action: Action, outcome: str, at: str = "2026-11-28T11:24:06Z") -> Entry:
        return Entry("1", {"at": at, **action.as_json()}, outcome)

    left = [entry(there, outcome)]
    assert who_left(left, PROTECT.guid.upper(), "2026-11-28T11:14:06") == ({DESK.guid} if is_gone else set())
    assert who_left(left, PROTECT.guid, "2026-11-28T11:34:06") == set()
    assert who_left(left, TRIAGE.guid, "2026-11-28T11:14:06") == set()
    left[0].answered["at"] = "2026-11-28T11:44:06Z"
    assert bool(who_left(left, PROTECT.guid, "2026-11-28T11:34:06")) is is_gone
    back = [entry(there, "done"), entry(there.inverse, outcome), entry(ACTIONS[0], "done")]
    assert bool(who_left(back, PROTECT.guid, "2026-11-28T11:14:06")) is (outcome != "done")


def test_a_later_look_counts() -> None:
    """How it stood before is what was seen last; nothing else of the entry changes by it."""
    asked = {"entry": "1", "phase": "asked", "before": "e9f40123", "group_was_empty": True, **ACTIONS[-1].as_json()}
    looked = {"entry": "1", "phase": "looked", "before": "e9f40123", "group_was_empty": False, "at": "later"}
    assert entries([asked, looked]) == [Entry("1", {**asked, "group_was_empty": False})]
