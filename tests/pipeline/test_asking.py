"""Which events ask for a hunt: those of malicious files, or of the types that are configured."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.asking import MAX_TEXT, Asker

SHA256 = "95BBBAD491F16A026A56A4EE18C99D53384B0BEE5AB0FB9D2ED39CCD8692A0BA"
GUID = "6a5f008f-9240-4c59-b73a-982517dc3824"


def event(**more: Any) -> dict[str, Any]:
    """A detection of a malicious file."""
    return {
        "id": 7,
        "event_type": "Threat Detected",
        "event_type_id": 1090519054,
        "detection": "W32.Evil",
        "connector_guid": GUID,
        "computer": {"connector_guid": GUID, "hostname": "desk-1"},
        "file": {"disposition": "Malicious", "file_name": "a.exe", "identity": {"sha256": SHA256}},
        **more,
    }


def test_a_malicious_file_asks() -> None:
    """Its hash in lower case, the event, its computer."""
    ask = Asker("acme/hunts", "s")(event())
    assert ask is not None
    assert (ask.line, ask.sha256) == ("acme/hunts", SHA256.lower())
    assert ask.event == {
        "event": {
            "stream": "s",
            "id": 7,
            "event_type": "Threat Detected",
            "event_type_id": 1090519054,
            "detection": "W32.Evil",
        },
        "file": {"file_name": "a.exe", "disposition": "Malicious"},
        "computer": {"connector_guid": GUID, "hostname": "desk-1"},
    }


@pytest.mark.parametrize(
    "more",
    [
        {"file": None},
        {"file": {"disposition": "Clean", "identity": {"sha256": SHA256}}},
        {"file": {"disposition": ["Malicious"], "identity": {"sha256": SHA256}}},
        {"file": {"disposition": "Malicious"}},
        {"file": {"disposition": "Malicious", "identity": {"sha256": 7}}},
        {"file": {"disposition": "Malicious", "identity": {"sha256": SHA256 + "\n"}}},
        {"file": {"disposition": "Malicious", "identity": {"md5": "0" * 32}}},
    ],
)
def test_what_does_not_ask(more: dict[str, Any]) -> None:
    """No file, one that is not malicious, one whose hash is none."""
    assert Asker("acme/hunts", "s")(event(**more)) is None


def test_types_that_are_configured_ask_whatever_the_disposition() -> None:
    """But for clean: that would find every computer."""
    asker = Asker("acme/hunts", "s", frozenset({1090519054}))
    unknown = {"disposition": "Unknown", "identity": {"sha256": SHA256}}
    assert asker(event(file=unknown)) is not None
    assert asker(event(file=unknown | {"disposition": "Clean"})) is None
    assert asker(event(event_type_id=1)) is None
    assert asker(event(event_type_id=[1090519054])) is None


def test_odd_fields_are_left_out_and_long_ones_are_cut() -> None:
    """What is noted is small, whatever an event holds."""
    ask = Asker("acme/hunts", "s")(event(id={"a": 1}, detection="x" * 9999, computer=[GUID], event_type=""))
    assert ask is not None
    assert ask.event["computer"] == {"connector_guid": GUID}
    assert ask.event["event"] == {"stream": "s", "event_type_id": 1090519054, "detection": "x" * MAX_TEXT}
