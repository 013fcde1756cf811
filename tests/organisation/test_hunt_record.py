"""The record of a hunt: who has seen the file and said nothing, and how complete that is."""

from __future__ import annotations

from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.hunting import Seen, Told
from fluent_plugin_amp.organisation.hunt_queue import Noted
from fluent_plugin_amp.organisation.hunt_record import MAX_COMPUTERS, record_of

SHA256 = "a" * 64
NOTED = Noted(
    SHA256,
    1_700_000_000,
    {"event": {"stream": "s", "id": 7}, "file": {"file_name": "a.exe"}, "computer": {"connector_guid": "ASKED"}},
)
CONSOLE = "console.example.com"


def test_those_that_said_nothing_are_listed() -> None:
    """Not the one that told, nor the one whose event asked and is not in the cloud's list yet."""
    seen = Seen(tuple(Computer(guid, f"desk-{guid}") for guid in ("silent", "told", "asked")), is_complete=True)
    record = record_of("acme", NOTED, seen, Told(frozenset({"told"}), is_complete=True), 1_700_000_060.5, CONSOLE)
    assert record == {
        "hunt_id": record["hunt_id"],
        "organisation": "acme",
        "priority": "high",
        "asked_at": "2023-11-14T22:13:20Z",
        "hunted_at": "2023-11-14T22:14:20Z",
        "file": {"file_name": "a.exe", "identity": {"sha256": SHA256}},
        "event": {"stream": "s", "id": 7},
        "computer": {"connector_guid": "ASKED"},
        "computers": [
            {
                "connector_guid": "silent",
                "hostname": "desk-silent",
                "links": {"trajectory": f"https://{CONSOLE}/computers/silent/trajectory?q={SHA256}"},
            }
        ],
        "computers_seen": 3,
        "computers_silent": 1,
        "is_complete": True,
        "limits": [],
        "links": {"file_trajectory": f"https://{CONSOLE}/file/trajectory/{SHA256}"},
    }


def test_a_repeated_hunt_has_the_same_id() -> None:
    """Another organisation's has not."""
    nobody, none = Seen((), is_complete=True), Told(frozenset(), is_complete=True)
    first, again, other = (
        record_of(name, NOTED, nobody, none, now, CONSOLE)["hunt_id"]
        for name, now in (("acme", 1e9), ("acme", 2e9), ("b", 1e9))
    )
    assert first == again != other


def test_nobody_was_silent() -> None:
    """The record says so, with a low priority."""
    record = record_of("acme", NOTED, Seen((), True), Told(frozenset(), True), 1e9, CONSOLE)
    assert (record["priority"], record["computers"], record["is_complete"]) == ("low", [], True)


def test_what_is_not_complete_says_why() -> None:
    """The search, the events, the list."""
    seen = Seen(tuple(Computer(f"{number:04}", "") for number in range(MAX_COMPUTERS + 1)), is_complete=False)
    record = record_of("acme", NOTED, seen, Told(frozenset(), is_complete=False), 1e9, CONSOLE)
    assert not record["is_complete"]
    assert len(record["limits"]) == 3
    assert (len(record["computers"]), record["computers_silent"]) == (MAX_COMPUTERS, MAX_COMPUTERS + 1)


def test_no_link_has_what_is_obfuscated() -> None:
    """The hash, the connector."""
    seen = Seen((Computer("silent", "desk"),), is_complete=True)
    told = Told(frozenset(), is_complete=True)
    without_hash = record_of("acme", NOTED, seen, told, 1e9, CONSOLE, "file.identity.sha256".__eq__)
    without_guid = record_of("acme", NOTED, seen, told, 1e9, CONSOLE, "computers[].connector_guid".__eq__)
    assert "links" not in without_hash
    assert "links" not in without_hash["computers"][0]
    assert "links" in without_guid
    assert "links" not in without_guid["computers"][0]
