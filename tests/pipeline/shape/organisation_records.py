"""Records of an organisation, as its sources make them: what Cisco sent, and what changed."""

from __future__ import annotations

from typing import Any

from fluent_plugin_amp.cisco.computers import Computer
from fluent_plugin_amp.cisco.hunting import Seen, Told
from fluent_plugin_amp.organisation import fleet, programs
from fluent_plugin_amp.organisation.hunt_queue import Noted
from fluent_plugin_amp.organisation.hunt_record import record_of

Record = dict[str, Any]

ADA = {"audit_log_user": "ada@example.com", "created_at": "2026-03-02T09:14:31Z"}
GUID = "617dfa0f-b024-49ce-be49-84a1338db9d4"
SHA256 = "E6E53FA8273D50297097D180062F73A4D8AB0BEA03AEA09CC40EE902F65876AB"

AUDIT_LOGS: list[Record] = [
    {
        **ADA,
        "event": "update",
        "audit_log_type": "Policy",
        "audit_log_id": GUID,
        "item": "Protect",
        "old_attributes": {"file_conviction_mode": "Audit", "orbital": None},
        "new_attributes": {"file_conviction_mode": "Quarantine", "orbital": True},
    },
    {
        "event": "create",
        "audit_log_type": "Computer",
        "audit_log_id": GUID,
        "audit_log_user": "0123456789abcdef0123",
        "created_at": "2026-03-02T09:03:00Z",
        "item": "lab-mac-7",
        "old_attributes": {"name": None},
        "new_attributes": {"name": "lab-mac-7", "desc": "", "group_id": 900001},
    },
    {
        "event": "update",
        "audit_log_type": "FetchedFile",
        "created_at": "2026-03-02T09:02:10Z",
        "item": "f_0000aa",
        "old_attributes": {"state": "requested"},
        "new_attributes": {"state": "processing"},
    },
    *(
        {
            **ADA,
            "event": event,
            "audit_log_type": "User",
            "audit_log_id": GUID,
            "item": "ada@example.com",
            "message": "SSO",
            "new_attributes": {"name": "Ada"},
        }
        for event in ("login", "sso_login", "logout", "create", "update", "destroy", "unheard_of")
    ),
    {**ADA, "event": "delete", "audit_log_type": "Group", "audit_log_id": GUID},
    {"event": "login", "audit_log_type": "User", "created_at": "2026-03-02T09:00:00Z"},
    {},
]

COMPUTER: Record = {
    "connector_guid": "1e430eef-6245-4ff3-9977-13055f921de3",
    "hostname": "desk_014",
    "windows_processor_id": "0f1e2d3c4b5a697",
    "active": True,
    "links": {"computer": "https://api.example/v1/computers/1"},
    "connector_version": "8.4.0.30201",
    "operating_system": "Windows 10",
    "os_version": "10.0.19045.4170",
    "internal_ips": ["10.20.0.14", " 169.254.10.9"],
    "external_ip": "203.0.113.14",
    "group_guid": "e9f40123-ca21-466b-8df7-369781c29035",
    "install_date": "2025-11-03T08:00:00Z",
    "is_compromised": False,
    "demo": False,
    "network_addresses": [{"mac": "02:00:5e:10:00:14", "ip": "10.20.0.14"}, {"mac": "02:00:5e:10:00:15", "ip": ""}],
    "policy": {"guid": GUID, "name": "Protect"},
    "groups": [{"guid": "e9f40123-ca21-466b-8df7-369781c29035", "name": "Protect"}],
    "last_seen": "2026-03-02T09:10:00Z",
    "faults": [],
    "isolation": {"available": True, "status": "not_isolated"},
    "orbital": {"status": "not_enabled"},
    "av_update_definitions": {"status": "Definitions Outdated", "updated_at": "2026-02-27T18:05:13+00:00"},
}
MAC: Record = {**COMPUTER, "hostname": "lab’s Mac 7", "operating_system": "OS X 10.14.6"}
COMPUTERS: list[Record] = [
    fleet.record_of("acme", fleet.Change("appeared", [], COMPUTER)),
    fleet.record_of("acme", fleet.Change("changed", ["hostname", "operating_system"], MAC)),
    fleet.record_of("acme", fleet.Change("gone", [], {"connector_guid": GUID, "hostname": "desk_014"})),
    fleet.record_of("acme", fleet.Change("gone", [], {"connector_guid": GUID, "hostname": ""})),
    {"change": "gone"},
]

PROGRAMS: list[Record] = [
    {
        "application": "Mozilla Firefox",
        "version": "41.0",
        "file": {"filename": "firefox.exe", "identity": {"sha256": SHA256}},
        "cves": [
            {"id": "CVE-2015-7204", "link": "https://nvd.example/CVE-2015-7204", "cvss": 6.8},
            {"id": "CVE-2013-0422", "link": "https://nvd.example/CVE-2013-0422", "cvss": 10},
        ],
        "latest_timestamp": 1772439600,
        "latest_date": "2026-03-02T08:20:00+00:00",
        "groups": [{"name": "Protect", "description": "Protect Group", "guid": GUID}],
        "computers_total_count": 1,
        "computers": [
            {
                "connector_guid": GUID,
                "hostname": "desk-014",
                "windows_processor_id": "0f1e2d3c4b5a697",
                "active": True,
                "links": {"computer": "https://api.example/v1/computers/1"},
            }
        ],
    },
    {"application": "Nameless", "cves": []},
]

VULNERABILITIES: list[Record] = [
    programs.record_of("acme", program, change, program.get("computers", []), part=part, parts=2)
    for part, change in ((1, programs.Change("appeared", [])), (2, programs.Change("changed", ["cves"])))
    for program in PROGRAMS
]

ASKED: Record = {
    "event": {
        "stream": "emea",
        "id": 6533241145273614341,
        "event_type": "Threat Detected",
        "event_type_id": 1090519054,
        "detection": "W32.Evil",
        "date": "2026-03-02T09:00:00+00:00",
    },
    "file": {"file_name": "a.exe", "disposition": "Malicious"},
    "computer": {"connector_guid": GUID, "hostname": "desk_014"},
}
SILENT = Computer("3a7492e4-3938-5f7f-8f63-8c517bd80f05", "desk-015", policy="Protect", operating_system="Windows 10")
HUNTS: list[Record] = [
    record_of(
        "acme",
        Noted(SHA256.lower(), 1_772_442_000, asked),
        Seen(computers, is_complete),
        Told(frozenset(), is_complete),
        1_772_442_060.5,
        "console.example",
        hides,
    )
    for asked, computers, is_complete, hides in (
        (ASKED, (SILENT,), True, lambda field: False),
        (ASKED, (), True, lambda field: False),
        ({}, (SILENT,), False, lambda field: True),
    )
]

RECORDS = {
    "audit_logs": AUDIT_LOGS,
    "computers": COMPUTERS,
    "vulnerabilities": VULNERABILITIES,
    "hunts": HUNTS,
}
