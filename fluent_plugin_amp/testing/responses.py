"""What can be done about a threat in the local Cisco cloud: isolate a computer, block a file, move a computer, look.

Computers take their time: `LocalComputer.looks` answers to ``GET …/isolation`` pass before a state is reached, for
ever while it is offline.  An isolation that begins or ends is an event of the organisation.  A moved computer keeps
its policy until it was looked at.  Nothing is here before a test adds it: what is asked for then is left to others.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fluent_plugin_amp.testing.rest import Request, Response, answer, page, refused

ISOLATED, RELEASED = 553648202, 553648204
"""Event types: Endpoint Isolation Start Success, and Stop Success."""
LIST_TYPES = ("simple_custom_detections", "application_blocking", "allowed_applications")
_NEXT = {"pending_start": "isolated", "pending_stop": "not_isolated"}

Json = dict[str, Any]


@dataclass(slots=True)
class LocalComputer:
    """A computer with its connector."""

    guid: str
    hostname: str
    group_guid: str
    policy: str = "Protect"
    operating_system: str = "Windows 10"
    available: bool = True
    """Its policy lets it be isolated."""
    offline: bool = False
    looks: int = 1
    status: str = "not_isolated"
    comment: str | None = None
    unlock_code: str = "S3cretCode"
    last_seen: str = "2026-03-02T09:10:00Z"
    looked: int = 0
    trajectory: list[Json] = field(default_factory=list)
    """What ``GET …/trajectory`` tells, newest first."""


@dataclass(slots=True)
class LocalList:
    """A list of files, with SHA-256 and description of each."""

    guid: str
    name: str
    type: str
    policies: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


class Responses:
    """Computers, lists and findings of one organisation.

    Args:
        groups: GUID and name of each.
        happen: lets an event happen.
    """

    def __init__(self, groups: dict[str, str], happen: Callable[[Json], object]) -> None:
        self.computers: dict[str, LocalComputer] = {}
        self.lists: dict[str, LocalList] = {}
        self.seen: dict[str, list[str]] = {}
        """GUIDs of the computers that have seen a file, an address or a name (lower case)."""
        self.vulnerabilities: list[Json] = []
        """As the API tells them, the latest first."""
        self._groups = groups
        self._happen = happen

    def add_computer(
        self, hostname: str, guid: str | None = None, group: str = "Protect", **more: Any
    ) -> LocalComputer:
        """A computer comes, into the group of this name."""
        group_guid = next(one for one, name in self._groups.items() if name == group)
        computer = LocalComputer(
            guid or guid_of("computer", hostname, len(self.computers)), hostname, group_guid, **more
        )
        self.computers[computer.guid] = computer
        return computer

    def add_list(self, name: str, type_: str = "simple_custom_detections", *policies: str) -> LocalList:
        """A list is made; ``policies`` use it."""
        made = LocalList(guid_of("list", name, len(self.lists)), name, type_, policies)
        self.lists[made.guid] = made
        return made

    def see(self, what: str, *computers: LocalComputer, executed: bool = False) -> None:
        """Computers see a file; and run it."""
        for computer in computers:
            self.seen.setdefault(what.lower(), []).append(computer.guid)
            file = {"disposition": "Unknown", "file_name": "a.exe", "identity": {"sha256": what.lower()}}
            kind = "Executed by" if executed else "Created by"
            computer.trajectory.append({"timestamp": 1772438000, "event_type": kind, "file": file})

    # --- the API ---------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response | None:
        """What the API answers; None: it is not about anything here."""
        match request.method, request.path.strip("/").split("/")[1:]:
            case "GET", ["computers"] if self.computers:
                return page(request, [self._described(one, request) for one in self._wanted(request)])
            case "GET", ["computers", "activity"] if self.computers:
                guids = self.seen.get("".join(request.values("q")).lower(), [])
                brief = ("connector_guid", "hostname", "active", "links")
                found = [self._described(self.computers[guid], request) for guid in dict.fromkeys(guids)]
                return page(request, [{key: one[key] for key in brief} for one in found])
            case method, ["computers", guid, *rest] if self.computers:
                computer = self.computers.get(guid.lower())
                if computer is None:
                    return refused(404, "Not Found", "computer not found")
                return self._computer(request, method, computer, rest)
            case method, ["file_lists", *rest]:
                return self._lists(request, method, rest)
            case "GET", ["vulnerabilities"] if self.vulnerabilities:
                return page(request, self.vulnerabilities)
            case "GET", ["vulnerabilities", sha256, "computers"] if self.vulnerabilities:
                found = [one for one in self.vulnerabilities if _sha256(one) == sha256.lower()]
                return page(request, [computer for one in found for computer in one["computers"]])
        return None

    def _wanted(self, request: Request) -> Sequence[LocalComputer]:
        """In the order of host names; ``hostname[]`` finds parts of names, whatever the case."""
        names, groups = [name.lower() for name in request.values("hostname")], request.values("group_guid")
        found = [
            one
            for one in self.computers.values()
            if (not names or any(name in one.hostname.lower() for name in names))
            and (not groups or one.group_guid in groups)
        ]
        return sorted(found, key=lambda one: (one.hostname.lower(), one.guid))

    def _computer(self, request: Request, method: str, computer: LocalComputer, rest: list[str]) -> Response:
        match method, rest:
            case "GET", []:
                described = answer(200, self._described(computer, request))
                computer.policy = self._groups[computer.group_guid]
                return described
            case "PATCH", []:
                group_guid = _body(request).get("group_guid")
                if group_guid not in self._groups:
                    return refused(400, "Bad Request", "group_guid does not exist")
                computer.group_guid = group_guid
                described_ = self._described(computer, request)
                del described_["last_seen"]
                return answer(202, described_)
            case "GET", ["trajectory"]:
                about = {"computer": self._described(computer, request), "events": computer.trajectory}
                return answer(200, about)
            case "OPTIONS", ["isolation"]:
                if not computer.available:
                    return Response(405, None)
                return Response(204, None, {"allow": "OPTIONS, GET, PUT"})
            case _, ["isolation"]:
                return self._isolation(request, method, computer)
        return refused(404, "Not Found", f"No route matches {request.path}")

    def _isolation(self, request: Request, method: str, computer: LocalComputer) -> Response:
        if method == "PUT":
            if not computer.available:
                return refused(405, "Method Not Allowed", "isolation is not enabled in the policy")
            if computer.status in ("isolated", "pending_start"):
                return refused(409, "Conflict", "already isolated")
            self._begin(computer, "pending_start", request)
        elif method == "DELETE":
            if computer.status in ("not_isolated", "pending_stop"):
                return refused(409, "Conflict", "not isolated")
            self._begin(computer, "pending_stop", request)
        elif computer.status in _NEXT and not computer.offline:
            computer.looked += 1
            if computer.looked > computer.looks:
                computer.status = _NEXT[computer.status]
                self._tell(computer)
        told = {"available": computer.available, "status": computer.status, "unlock_code": computer.unlock_code}
        return answer(200, {**told, "comment": computer.comment})

    def _begin(self, computer: LocalComputer, status: str, request: Request) -> None:
        computer.status, computer.looked, computer.comment = status, 0, _body(request).get("comment")

    def _tell(self, computer: LocalComputer) -> None:
        started = computer.status == "isolated"
        now = time.time_ns()
        event = {
            "id": now,
            "timestamp": now // 10**9,
            "timestamp_nanoseconds": now % 10**9,
            "event_type_id": ISOLATED if started else RELEASED,
            "event_type": f"Endpoint Isolation {'Start' if started else 'Stop'} Success",
            "connector_guid": computer.guid,
            "group_guids": [computer.group_guid],
            "computer": {"connector_guid": computer.guid, "hostname": computer.hostname},
        }
        self._happen(event)

    def _lists(self, request: Request, method: str, rest: list[str]) -> Response:
        match method, rest:
            case "GET", [type_] if type_ in LIST_TYPES:
                names = request.values("name")
                found = [one for one in self.lists.values() if one.type == type_ and (not names or one.name in names)]
                return page(request, [{"name": one.name, "guid": one.guid, "type": one.type} for one in found])
            case "GET", [guid, "files"] if guid in self.lists:
                found_ = self.lists[guid]
                policies = [{"name": name, "guid": guid_of("policy", name)} for name in found_.policies]
                about = {"name": found_.name, "guid": guid, "policies": policies}
                source = "Created by entering SHA-256 via Public api."
                files = [
                    {"sha256": sha256, "source": source, **({"description": why} if why else {})}
                    for sha256, why in found_.files.items()
                ]
                return page(request, files, inside=("items", about))
            case _, [guid, "files", sha256] if guid in self.lists:
                return self._file(request, method, self.lists[guid], sha256.lower())
        return refused(404, "Not Found", "file list not found")

    def _file(self, request: Request, method: str, within: LocalList, sha256: str) -> Response:
        if method == "POST":
            if sha256 in within.files:
                return refused(409, "Conflict", "Validation failed: SHA-256 has already been taken")
            within.files[sha256] = _body(request).get("description", "")
            return answer(201, {"sha256": sha256, "description": within.files[sha256]})
        if method == "DELETE" and within.files.pop(sha256, None) is not None:
            return answer(200, {})
        return refused(404, "Not Found", f"Imn File List Item not found for given sha256: {sha256}")

    def _described(self, computer: LocalComputer, request: Request) -> Json:
        base = request.base_url
        links = {
            "computer": f"{base}/v1/computers/{computer.guid}",
            "trajectory": f"{base}/v1/computers/{computer.guid}/trajectory",
            "group": f"{base}/v1/groups/{computer.group_guid}",
        }
        return {
            "connector_guid": computer.guid,
            "hostname": computer.hostname,
            "active": True,
            "links": links,
            "connector_version": "8.4.0.30201",
            "operating_system": computer.operating_system,
            "internal_ips": ["10.20.0.14"],
            "external_ip": "203.0.113.14",
            "group_guid": computer.group_guid,
            "policy": {"guid": guid_of("policy", computer.policy), "name": computer.policy},
            "last_seen": computer.last_seen,
            "isolation": {"available": computer.available, "status": computer.status},
        }


def guid_of(*words: object) -> str:
    """The GUID of a thing: the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, words))))


def _body(request: Request) -> Json:
    body = json.loads(request.body or b"{}")
    return body if isinstance(body, dict) else {}


def _sha256(vulnerability: Json) -> str:
    return str(vulnerability["file"]["identity"]["sha256"]).lower()
