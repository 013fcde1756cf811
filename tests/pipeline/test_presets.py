"""What a preset hides is hidden wherever an event has it, and nothing else changes."""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline import presets
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.obfuscate import MASK, Method, Obfuscation, Rule, keyed_hash, rules_of
from fluent_plugin_amp.pipeline.presets import (
    MAX_FOUND,
    MAX_LOOKS,
    MAX_PLACES,
    MAX_SEARCHED,
    PRESETS,
    account,
    folded,
    homes,
    replace,
    texts_of,
)
from tests.pipeline.steps import grows_linearly

DOCS = Path(__file__).parents[2] / "docs" / "records.md"
GUID = "0b4883d4-8ecf-4404-9453-13cba0ee7662"


def hiding(*names: Any, method: Method = "mask") -> Obfuscation:
    """These presets."""
    rules = [rule for name in names for rule in rules_of(name, method, b"k")]
    return Obfuscation(rules, rules)


def replaced(text: str, values: dict[str, str]) -> str:
    """A text without these values."""
    made = replace([text], [folded(text)], values)
    assert made is not None
    return made[0]


def event() -> dict[str, Any]:
    """An event that tells everything in several places, anew for each use."""
    return {
        "id": 6533241145273614339,
        "event_type": "Laptop-7 was seen",
        "detection": "Found on LAPTOP-7 by johndoe",
        "event_type_id": 1090519054,
        "detection_id": "LAPTOP-7",
        "connector_guid": GUID,
        "group_guids": [GUID],
        "computer": {
            "connector_guid": GUID,
            "hostname": "Laptop-7",
            "user": "CORP\\johndoe",
            "external_ip": "198.51.100.1",
            "internal_ips": ["10.0.0.1", "10.0.0.12"],
            "network_addresses": [{"ip": "10.0.0.1", "mac": "00:1A:2B:3C:4D:5E"}],
            "links": {"computer": f"https://api/v1/computers/{GUID}"},
        },
        "threat_hunting": {
            "incident_summary": f"Isolate laptop-7 ({GUID.upper()}, 10.0.0.12), ask JohnDoe. Laptop-70?"
        },
        "scan": {"description": "scanned \\\\LAPTOP-7\\C$\\Users\\johndoe\\x; 10.0.0.123 was not"},
        "file": {
            "file_path": "C:\\Users\\johndoe\\AppData\\x.exe",
            "attack_details": {"application": "johndoe.exe", "suspicious_files": ["/home/johndoe/x", ["johndoe"]]},
        },
        "command_line": {"arguments": "ping 10.0.0.1 -n laptop-7.example.com"},
        "something_new": "johndoe@laptop-7",
    }


NAMES = {
    "computer": [GUID, "laptop-7"],
    "addresses": ["198.51.100.1", "10.0.0.1", "10.0.0.12", "00:1a:2b:3c:4d:5e"],
    "user": ["johndoe"],
}
SEARCHED = (
    "detection",
    "connector_guid",
    "computer",
    "threat_hunting",
    "scan",
    "file",
    "command_line",
    "something_new",
)


@pytest.mark.parametrize("method", ["mask", "hash", "drop"])
@pytest.mark.parametrize("name", list(PRESETS))
def test_it_is_nowhere_to_be_found(name: str, method: Method) -> None:
    """In the fields, and as a word in either case in all texts that are searched; the rest is as it was."""
    record = event()
    hiding(name, method=method)(record)
    for text in NAMES[name]:
        left = json.dumps({field: record.get(field) for field in SEARCHED})
        assert not re.search(rf"(?<![a-z0-9]){re.escape(text)}(?![a-z0-9])", left.replace("\\\\", "/"), re.IGNORECASE)
    for field in ("id", "event_type", "detection_id", "group_guids", "event_type_id"):
        assert record[field] == event()[field]


def test_what_stands_in_its_place() -> None:
    """Three asterisks, or the hash of the value in the field."""
    record = event()
    hiding("computer", "user", "addresses")(record)
    assert record["threat_hunting"]["incident_summary"] == "Isolate *** (***, ***), ask ***. Laptop-70?"
    assert record["scan"]["description"] == "scanned \\\\***\\C$\\Users\\***\\x; 10.0.0.123 was not"
    assert record["file"]["attack_details"]["suspicious_files"] == ["/home/***/x", [MASK]]
    assert record["computer"]["internal_ips"] == MASK
    record = event()
    hiding("computer", method="hash")(record)
    assert record["computer"]["hostname"] in record["something_new"]
    assert record["detection"] == f"Found on {keyed_hash(b'k', 'Laptop-7')} by johndoe"


def test_the_fields_of_docs_are_those_of_the_code() -> None:
    """One list: the table in docs/records.md has each preset with its fields."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (`.*`) \|$", DOCS.read_text(), re.MULTILINE))
    assert {name: tuple(re.findall("`([^`]+)`", rows[name])) for name in PRESETS} == dict(PRESETS)


def test_a_user_whom_only_a_path_tells() -> None:
    """Few events have `computer.user`; the folder's name is hidden all the same, and then everywhere."""
    record = {"file": {"file_path": "\\\\?\\C:\\Users\\Jane Doe\\x"}, "scan": {"description": "asked jane doe"}}
    hiding("user")(record)
    assert record == {"file": {"file_path": "\\\\?\\C:\\Users\\***\\x"}, "scan": {"description": "asked ***"}}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("C:\\Users\\bob\\x", ["bob"]),
        ("c:/users/Bob", ["Bob"]),
        ("/home/bob/.ssh /Users/eve", ["bob", "eve"]),
        ("C:\\Documents and Settings\\Bob B\\x", ["Bob B"]),
        ("see C:\\Users\\bob for more", ["bob"]),
        ("C:\\Users\\Public\\x C:\\Users\\All Users\\x", []),
        ("users/bob homes/eve /home/", []),
    ],
)
def test_homes(text: str, names: list[str]) -> None:
    """Of Windows, Linux and macOS."""
    assert homes(text) == names


@pytest.mark.parametrize(
    ("user", "name"), [("bob", "bob"), ("D\\bob", "bob"), ("bob@d", "bob"), ("", ""), ("x" * 9999, "x" * 9999)]
)
def test_accounts(user: str, name: str) -> None:
    """Without a domain."""
    assert account(user) == name


@pytest.mark.parametrize(
    ("addresses", "description"),
    [
        (MAX_FOUND + 1, " ".join(f"10.0.0.{number}" for number in range(MAX_FOUND + 1))),
        (2_000, "10.0.0.99 and more " + "-" * (MAX_LOOKS // 2_000)),
        (64, "10.0.0.9 " * (MAX_PLACES + 1)),
    ],
)
def test_too_many_values_in_texts_hide_all_texts(addresses: int, description: str) -> None:
    """An event with so many addresses in so much text is none of Cisco's: nothing of its texts is shown."""
    record: dict[str, Any] = {
        "computer": {"network_addresses": [{"ip": f"10.0.0.{number}"} for number in range(addresses)]},
        "scan": {"description": description, "n": 1},
        "severity": "High",
    }
    hiding("addresses")(record)
    assert (record["scan"], record["severity"]) == ({"description": MASK, "n": 1}, "High")
    assert all(each["ip"] == MASK for each in record["computer"]["network_addresses"])


@pytest.mark.parametrize("method", ["mask", "hash"])
def test_a_vulnerability_of_a_thousand_computers_keeps_what_it_is_about(method: Any) -> None:
    """All of them are hidden, where they are listed and elsewhere; nothing else is."""
    computers = [
        {
            "connector_guid": str(uuid.UUID(int=number)),
            "hostname": f"desk-{number}",
            "windows_processor_id": f"{number:016x}",
        }
        for number in range(1000)
    ]
    record: dict[str, Any] = {
        "application": "Reader",
        "file": {"filename": "reader.exe", "identity": {"sha256": "ab" * 32}},
        "cves": [
            {"id": f"CVE-2020-{number}", "link": f"https://nvd.example/CVE-2020-{number}"} for number in range(62)
        ],
        "groups": [{"name": "all but desk-7", "description": "of Desk-999"}],
        "computers": [dict(computer) for computer in computers],
    }
    about = {name: copy.deepcopy(record[name]) for name in ("application", "file", "cves")}
    hiding("computer", method=method)(record)
    assert {name: record[name] for name in about} == about

    def hidden(value: str) -> str:
        return keyed_hash(b"k", value) if method == "hash" else MASK

    assert record["groups"] == [{"name": f"all but {hidden('desk-7')}", "description": f"of {hidden('desk-999')}"}]
    assert record["computers"] == [
        {name: hidden(value) for name, value in computer.items()} for computer in computers
    ]


def test_texts_too_long_to_be_searched_are_hidden_whole() -> None:
    """A hash is longer than the word in whose place it stands, and each search takes its time: both are bounded."""
    long = "u " * (MAX_SEARCHED // 2)
    record = {"computer": {"user": "u"}, "scan": {"description": "by u", "list": [long]}, "command_line": long + "x"}
    hiding("user", method="hash")(record)
    assert record["scan"] == {"description": f"by {keyed_hash(b'k', 'u')}", "list": [MASK]}
    assert record["command_line"] == MASK
    whole = {"computer": {"hostname": long + "x"}}
    hiding("computer", method="hash")(whole)
    assert whole["computer"]["hostname"] == keyed_hash(b"k", long + "x")


def test_texts_count_by_their_bytes() -> None:
    """A letter that is not ASCII takes several times as long to fold as one that is."""
    long = "\N{MATHEMATICAL BOLD CAPITAL A}" * (MAX_SEARCHED // 4 - 1)
    record: dict[str, Any] = {"computer": {"user": "u"}, "scan": {"description": long}}
    hiding("user")(record)
    assert record["scan"] == {"description": long}
    record["scan"] = {"description": long + "xxxx", "name": "x"}
    hiding("user")(record)
    assert record["scan"] == {"description": MASK, "name": "x"}


def test_beside_values_too_long_to_be_folded_all_texts_are_hidden_whole() -> None:
    """Megabytes of letters that are not ASCII would hold up other events for seconds."""
    computers = [{"hostname": "é" * 1024 + f"{number:04}"} for number in range(MAX_SEARCHED // 2048 + 1)]
    record: dict[str, Any] = {"computers": computers, "application": "Reader", "file": {"names": ["reader.exe"]}}
    of_few = record | {"computers": [dict(each) for each in computers[:-2]], "file": {"names": ["reader.exe"]}}
    hiding("computer")(of_few)
    assert (of_few["application"], of_few["file"]) == ("Reader", {"names": ["reader.exe"]})
    hiding("computer")(record)
    assert (record["application"], record["file"]) == (MASK, {"names": [MASK]})
    assert {each["hostname"] for each in record["computers"]} == {MASK}


def test_a_letter_that_is_a_sentence_is_left_alone() -> None:
    """Nobody's name is written with it, and it would be eighteen letters to search."""
    assert folded("\ufdfa") == "\ufdfa"


def test_a_long_value_is_found_as_others_are() -> None:
    """However it is written."""
    record = {"computer": {"hostname": "Höst" * 100}, "scan": {"description": "on " + "HO\u0308ST" * 100}}
    hiding("computer")(record)
    assert record["scan"]["description"] == "on ***"


def test_words_that_overlap_are_all_hidden() -> None:
    """The first one, and of those that begin together the longest; what is left of the others tells nothing whole."""
    assert replaced("a b c d-e", {"a b": "1", "b c": "2", "a": "3", "d": "4", "d-e": "5"}) == "1 c 5"


def test_a_short_value_is_found_in_a_long_text() -> None:
    """As a whole word, beside a long one."""
    long = "host" * 100
    assert replaced(f"{long} by johndoe", {"johndoe": "***", long: "+++"}) == "+++ by ***"


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("İbrahim", "İbrahim"),
        ("İbrahim", "İBRAHİM"),
        ("ibrahim", "İbrahim"),
        ("Ilgaz", "ılgaz"),
        ("ΝΙΚΟΣ", "ΝΙΚΟΣ"),
        ("Νίκος", "ΝΊΚΟΣ"),
        ("Özgür", "ÖZGÜR"),
        ("Straße", "STRASSE"),
        ("STRASSE", "straße"),
        ("Strasse", "STRAẞE"),
        ("José", "JOSE\u0301"),
        ("Jose\u0301", "José"),
        ("Việt", "Vie\u0323\u0302t"),
        ("Việt", "Vi\u00ea\u0323t"),
        ("Vi\u00ea\u0323t", "Vie\u0323\u0302t"),
        ("김민준", "\u1100\u1175\u11b7\u1106\u1175\u11ab\u110c\u116e\u11ab"),
        ("I\u0307brahim", "ibrahim"),
        ("ibrahim", "I\u0307brahim"),
        ("ﬁnn", "Finn"),
        ("\u0645\u062d\u0645\u0651\u064e\u062f", "\u0645\u062d\u0645\u064e\u0651\u062f"),
        ("john", "ＪＯＨＮ"),
        ("バナナ", "ﾊﾞﾅﾅ"),
        ("ß" * 200, "SS" * 200),
        ("john", "jo\u200dhn"),
        ("jo\u00adhn", "JO\U000e0041\ufe0fHN"),
        ("\u2066ibrahim", "I\u200d\u0307brahim"),
        ("john", "𝐣𝐨𝐡𝐧"),
        ("john doe", "JOHN\u00a0DOE"),
    ],
)
@pytest.mark.parametrize("text", [r"C:\Users\{}\a", "by {}.Α.Β", "{}", "\u200d{}\u200d™"])
def test_a_name_is_found_however_it_is_written(user: str, written: str, text: str) -> None:
    """In either case: ß in capitals is SS, İ in small letters two characters. An accent may be one of its own.

    Of two accents either may come first: keyboards for Vietnamese write ê and the dot below it.  What nobody sees
    makes no other name, within it or around it.
    """
    record = {"computer": {"user": user}, "scan": {"description": text.format(written)}}
    hiding("user")(record)
    assert record["scan"]["description"] == text.format(MASK)


@pytest.mark.parametrize(
    "other",
    ["José", "jose\u0301", "josés", "Joseß", "Josef", "がjose゙", "éjose", "e\u0301jose", "ệjose", "ᾧjose"],
)
def test_another_name_is_not_touched(other: str) -> None:
    """An accent makes another letter; and what stands around a name in other alphabets stays as it is."""
    record = {"computer": {"user": "Jose"}, "scan": {"description": f"Größe ﬁ {other} İ"}}
    hiding("user")(record)
    assert record["scan"]["description"] == f"Größe ﬁ {other} İ"


def test_what_stands_around_a_name_stays() -> None:
    """Though letters before it are more or fewer when they are looked for."""
    text = "ẞ İ I\u0307 ﬁ e\u0301 STRASSE ß, Straße! ﬁ"
    assert replaced(text, {"strasse": "***"}) == "ẞ İ I\u0307 ﬁ e\u0301 *** ß, ***! ﬁ"


def test_characters_of_all_alphabets_take_no_memory_without_end() -> None:
    """Those of rare alphabets are not kept, and no name is missed for that."""
    assert replaced("by \U00010400Å", {folded("\U00010428å"): "***"}) == "by ***"
    assert max(presets._FOLDS) < 2**16


def test_only_texts_are_searched() -> None:
    """Numbers hide nothing, wherever they are."""
    assert list(texts_of({"a": 1, "b": [2, {"c": None, "d": "text"}]})) == [({"c": None, "d": "text"}, "d", "text")]


@pytest.mark.parametrize("value", ["", "-", "...", " ", "\u200d", "\u3164"])
def test_what_tells_nothing_is_not_looked_for(value: str) -> None:
    """A dash for a missing name."""
    record = {"computer": {"user": value}, "scan": {"description": "a - b ... c"}}
    hiding("user")(record)
    assert record["scan"]["description"] == "a - b ... c"


def test_fields_of_presets_are_not_told_as_unmatched() -> None:
    """Few events have all of them."""
    obfuscation = hiding("computer", "addresses")
    obfuscation({"id": 1})
    assert obfuscation.unmatched() == []


def test_combined_records_hide_the_same() -> None:
    """What a detection shows is searched too."""
    made = MemberMaker(hiding("computer", "user", "addresses"), None, b"")(event(), 1, 0, b"d")
    assert made is not None
    assert made.detection == "Found on *** by ***"
    assert "johndoe" not in json.dumps(made.shown)


@given(
    st.dictionaries(st.text("ab1-.", min_size=1, max_size=4), st.just("***"), max_size=4),
    st.text("ab1-. _", max_size=20),
)
def test_nothing_is_left_and_nothing_else_is_touched(values: dict[str, str], text: str) -> None:
    """A value that is a word of its own is gone; what has none of them is the same."""
    found = [value for value in values if re.search(rf"(?<![a-z0-9]){re.escape(value)}(?![a-z0-9])", text)]
    made = replaced(text, values)
    assert (made != text) == bool(found)
    for value in found:
        assert not re.search(rf"(?<![a-z0-9*]){re.escape(value)}(?![a-z0-9*])", made) or set(value) <= set("-.")


@pytest.mark.parametrize(
    "text",
    ["johndoe ", "x", "\\users\\", "/home/x", "johndoe@", "users\\a b ", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"],
)
def test_the_work_grows_with_the_bytes(text: str) -> None:
    """Of one text, and of many."""

    def one(size: int) -> Callable[[], object]:
        record = {"computer": {"user": "johndoe", "hostname": text * size}, "x": text * size}
        return lambda: hiding("user", "computer")(record)

    def many(size: int) -> Callable[[], object]:
        record = {"computer": {"user": "johndoe"}, "x": [{"y": [text]} for _ in range(size)]}
        return lambda: hiding("user", "computer", "addresses")(record)

    assert grows_linearly(one, 10_000)
    assert grows_linearly(many, 200)


def test_what_is_polled_hides_its_computers() -> None:
    """A computer's record, and a vulnerable program's list of them."""
    obfuscation = hiding("computer")
    computer = {
        "connector_guid": "guid-1",
        "hostname": "desk-014",
        "windows_processor_id": "0f1e2d3c",
        "mac_hardware_id": "2053ffd4",
        "links": {"computer": "https://cloud/v1/computers/guid-1"},
    }
    changed = {"change": "changed", "computer": dict(computer)}
    vulnerable = {"application": "Firefox", "computers": [dict(computer), {"hostname": "lab-7", "active": True}]}
    for record in (changed, vulnerable):
        obfuscation(record)
        text = str(record)
        assert not [value for value in ("guid-1", "desk-014", "0f1e2d3c", "lab-7") if value in text]
    assert vulnerable["application"] == "Firefox"
    assert changed["change"] == "changed"


def test_the_audit_log_hides_the_names_of_computers() -> None:
    """What they were called before and are called now, and the item where it is one of these."""
    record = {
        "audit_log_type": "Computer",
        "item": "Laptop-7",
        "old_attributes": {"hostname": "Laptop-7", "group": "Finance"},
        "new_attributes": {"hostname": "Laptop-8"},
    }
    hiding("computer")(record)
    assert record == {
        "audit_log_type": "Computer",
        "item": MASK,
        "old_attributes": {"hostname": MASK, "group": "Finance"},
        "new_attributes": {"hostname": MASK},
    }


@pytest.mark.parametrize("method", ["mask", "hash", "drop"])
@pytest.mark.parametrize(("preset", "type_"), [("computer", "Computer"), ("user", "User")])
def test_the_audit_log_hides_what_an_entry_is_about(preset: str, type_: str, method: Method) -> None:
    """Without a host name among the attributes, too; entries about anything else stay as they are."""

    def entry(type_: str) -> dict[str, Any]:
        names = {"old_attributes": {"name": "desk-7"}, "new_attributes": {"name": "desk-8", "group_id": 9}}
        return {"audit_log_type": type_, "audit_log_id": GUID, "item": "desk-8", "message": "was DESK-7", **names}

    record = entry(type_)
    hiding(preset, method=method)(record)
    assert not [value for value in (GUID, "desk-7", "desk-8") if value in str(record).lower()]
    assert (record["audit_log_type"], record["new_attributes"]["group_id"]) == (type_, 9)
    other = entry("Policy")
    hiding(preset, method=method)(other)
    assert other == entry("Policy")


def test_what_an_entry_is_about_is_hidden_though_its_type_is_masked() -> None:
    """In whichever order the rules stand."""
    record = {"audit_log_type": "Computer", "item": "desk-8"}
    rules = rules_of("computer", "mask")
    Obfuscation([Rule("audit_log_type", "mask"), *rules], rules)(record)
    assert record == {"audit_log_type": MASK, "item": MASK}


def test_the_audit_log_hides_who_acted() -> None:
    """The account, too, as that of a computer's user."""
    record = {"audit_log_type": "Policy", "audit_log_user": "ada@example.com", "item": "Protect", "message": "by Ada"}
    hiding("user")(record)
    assert record == {"audit_log_type": "Policy", "audit_log_user": MASK, "item": "Protect", "message": "by ***"}
