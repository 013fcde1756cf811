"""What an organisation of the local Cisco cloud owns: computers, groups, policies, and vulnerable programs.

Answers have the shapes that were recorded of Cisco's cloud.  Computers are ordered by host name whatever the case;
older ones lack the newer fields, a MAC address has an empty IP, an internal IP begins with a blank.  Vulnerabilities
come latest first, with a SHA-256 in either case, a ``cvss`` of 10 or 10.0, and `LISTED` computers of each at most.
Computers are drawn up when they are asked for, so 50,000 of them take some megabytes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar, overload

from fluent_plugin_amp.testing.rest import Request, Response, answer, page, refused

LISTED = 1000
"""Computers that a vulnerability lists at most; the list of its file has them all."""

PRODUCTS = ("windows", "mac", "linux")
SYSTEMS = ("Windows 10", "OS X 10.14.6", "CentOS 7")
ADDRESSES = (("02:00:5e:10:00:20", ""), ("02:00:5e:10:00:14", "10.20.0.14"))
"""MAC and IP."""
VERSIONS = ("8.4.0.30201", "1.24.4.1015", "1.24.1.1020")

PARAMETERS = {
    "computers": (
        *("hostname", "group_guid", "internal_ip", "external_ip"),
        *("last_seen_within", "last_seen_over", "limit", "offset"),
    ),
    "policies": ("product", "name", "limit", "offset"),
    "vulnerabilities": ("group_guid", "start_time", "end_time", "limit", "offset"),
}
"""What a list may be asked for; the cloud refuses everything else."""

_DAY_S = 86400

Item = TypeVar("Item")


def guid_of(kind: str, number: int) -> str:
    """The GUID of the thing of this kind and number: the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def date_of(second: int, zone: str = "Z") -> str:
    """As Cisco writes times."""
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + zone


class Drawn(Sequence[Any], Generic[Item]):
    """A list whose items are drawn up when they are looked at."""

    def __init__(self, items: Sequence[Item], draw: Callable[[Item], Any]) -> None:
        self._items = items
        self._draw = draw

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self._draw(item) for item in self._items[at]]
        return self._draw(self._items[at])


@dataclass(slots=True)
class InventoryComputer:
    """A computer as ``GET /v1/computers`` lists it; change it as you like."""

    guid: str
    hostname: str
    group_guid: str
    policy_guid: str
    product: str
    operating_system: str
    connector_version: str
    last_seen: int
    """Seconds since the epoch."""
    is_older: bool = False
    """Its body lacks what Cisco's cloud did not tell in 2020."""
    more: dict[str, Any] = field(default_factory=dict)
    """Fields that it has besides, or instead."""


@dataclass(slots=True)
class LocalVulnerability:
    """A vulnerable program in one version."""

    application: str
    version: str
    filename: str
    sha256: str
    cves: list[tuple[str, float]]
    """Id and CVSS."""
    computers: list[str]
    """GUIDs, the latest first."""
    latest: int
    """When it was seen last, seconds since the epoch."""


class Inventory:
    """What one organisation owns.

    Args:
        groups: gives GUID and name of each.
        clock: seconds since the epoch.
    """

    def __init__(self, groups: Callable[[], dict[str, str]], clock: Callable[[], float] = time.time) -> None:
        self._groups = groups
        self.parents: dict[str, str] = {}
        """GUIDs of the group that a group is in."""
        self.policies = {guid_of("policy", number): ("Protect", product) for number, product in enumerate(PRODUCTS)}
        """GUID, name and product: several have one name."""
        self.computers: dict[str, InventoryComputer] = {}
        self.vulnerabilities: list[LocalVulnerability] = []
        self.happening: Iterator[Callable[[], object]] = iter(())
        """What happens before each answer to ``GET /v1/computers``: lists move while they are read."""
        self._clock = clock
        self._numbers = iter(range(1 << 30))

    @property
    def groups(self) -> dict[str, str]:
        """GUID and name of each."""
        return self._groups()

    # --- what happens ----------------------------------------------------------------------------

    def add_computers(self, count: int, *, last_seen: int | None = None, guids: Sequence[str] = ()) -> list[str]:
        """So many computers come, seen at ``last_seen`` (now); the first ones get these GUIDs.  Returns all GUIDs."""
        groups, policies = list(self.groups), list(self.policies)
        now = int(self._clock())
        added = []
        for place in range(count):
            number = next(self._numbers)
            kind = number % len(PRODUCTS)
            guid = guids[place] if place < len(guids) else guid_of("computer", number)
            self.computers[guid] = InventoryComputer(
                guid,
                f"{('desk', 'Lab’s Mac', 'srv')[kind]}-{number:05}",
                groups[number % len(groups)],
                policies[kind],
                PRODUCTS[kind],
                SYSTEMS[kind],
                VERSIONS[kind],
                now if last_seen is None else last_seen,
                is_older=number % 7 == 0,
            )
            added.append(guid)
        return added

    def add_vulnerability(
        self,
        number: int,
        computers: Sequence[str],
        *,
        cves: Sequence[tuple[str, float]] = (),
        latest: int | None = None,
    ) -> LocalVulnerability:
        """A vulnerable program is found on these computers, at ``latest`` (now)."""
        sha256 = uuid.uuid5(uuid.NAMESPACE_OID, f"file {number}").hex * 2
        found = LocalVulnerability(
            f"Program {number}",
            f"1.7.0:update_{number}",
            f"program{number}.exe",
            sha256.upper() if number % 2 else sha256,
            list(cves) or [(f"CVE-2026-{number:04}", 10 if number % 2 else 10.0)],
            list(computers),
            int(self._clock()) if latest is None else latest,
        )
        self.vulnerabilities.append(found)
        return found

    # --- what the API shows ----------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        """What the API answers to a request for something that is owned, but for groups."""
        base_url = request.base_url
        _, name, *below = request.path.strip("/").split("/")
        if wrong := next((key for key, _ in request.query if key.removesuffix("[]") not in PARAMETERS[name]), None):
            return refused(400, "Bad Request", f"{wrong} is not allowed")
        found: Sequence[object] | None = None
        match name, *below:
            case ["computers"]:
                found = self.find_computers(request.values, base_url)
            case ["policies"]:
                found = self.find_policies(request.values)
            case ["vulnerabilities"]:
                found = self.find_vulnerabilities(request.values, base_url)
            case ["vulnerabilities", sha256, "computers"]:
                found = self.find_affected(sha256, base_url)
            case ["computers", guid, *of_it] if guid in self.computers:
                computer = self._computer(self.computers[guid], base_url)
                if not of_it:
                    return answer(200, computer, {"links": {"self": base_url + request.path}})
                if of_it == ["vulnerabilities"]:
                    about = {key: computer[key] for key in ("connector_guid", "hostname", "active", "links")}
                    programs = [self._program(one) for one in self.vulnerabilities if guid in one.computers]
                    return page(request, programs, inside=("vulnerabilities", about))
        return refused(404, "Not Found", f"{name} not found") if found is None else page(request, found)

    def group(self, guid: str) -> dict[str, Any]:
        """As in ``GET /v1/groups``; only a group in another one has ``ancestry``."""
        shown: dict[str, Any] = {
            "name": self.groups[guid],
            "description": f"{self.groups[guid]} Group",
            "guid": guid,
            "source": None,
        }
        ancestry, above = [], self.parents.get(guid)
        while above is not None:
            ancestry.append({"name": self.groups[above], "guid": above})
            above = self.parents.get(above)
        return shown | {"ancestry": ancestry} if ancestry else shown

    def find_computers(self, values: Callable[[str], list[str]], base_url: str) -> Sequence[dict[str, Any]]:
        """The computers that are asked for, in the order of their host names."""
        if happens := next(self.happening, None):
            happens()
        found: list[InventoryComputer] = list(self.computers.values())
        now = self._clock()
        for days in values("last_seen_within"):
            found = [one for one in found if one.last_seen >= now - int(days) * _DAY_S]
        for days in values("last_seen_over"):
            found = [one for one in found if one.last_seen < now - int(days) * _DAY_S]
        if guids := values("group_guid"):
            found = [one for one in found if one.group_guid in guids]
        if names := [name.lower() for name in values("hostname")]:
            found = [one for one in found if any(name in one.hostname.lower() for name in names)]
        found.sort(key=lambda one: (one.hostname.lower(), one.guid))
        return Drawn(found, lambda one: self._computer(one, base_url))

    def find_policies(self, values: Callable[[str], list[str]]) -> Sequence[dict[str, Any]]:
        """The policies that are asked for."""
        products, names = values("product"), values("name")
        return [
            {
                "name": name,
                "description": "",
                "guid": guid,
                "product": product,
                "default": False,
                "serial_number": 111,
            }
            for guid, (name, product) in self.policies.items()
            if (not products or product in products) and (not names or name in names)
        ]

    def find_vulnerabilities(self, values: Callable[[str], list[str]], base_url: str) -> Sequence[dict[str, Any]]:
        """The vulnerabilities that are asked for, the latest first."""
        found = list(self.vulnerabilities)
        for text in values("start_time"):
            found = [one for one in found if one.latest >= _second(text)]
        for text in values("end_time"):
            found = [one for one in found if one.latest < _second(text)]
        if guids := set(values("group_guid")):
            found = [one for one in found if guids & {self.computers[guid].group_guid for guid in one.computers}]
        found.sort(key=lambda one: -one.latest)
        return Drawn(found, lambda one: self._vulnerability(one, base_url))

    def find_affected(self, sha256: str, base_url: str) -> Sequence[dict[str, Any]] | None:
        """All computers with a file; None: it is not vulnerable."""
        guids = [
            guid for one in self.vulnerabilities if one.sha256.lower() == sha256.lower() for guid in one.computers
        ]
        if not guids:
            return None
        return Drawn(list(dict.fromkeys(guids)), lambda guid: self._affected(guid, base_url, has_group=True))

    def _computer(self, one: InventoryComputer, base_url: str) -> dict[str, Any]:
        policy = {"guid": one.policy_guid, "name": self.policies[one.policy_guid][0]}
        shown: dict[str, Any] = {
            "connector_guid": one.guid,
            "hostname": one.hostname,
            "active": True,
            "links": self._links(one, base_url),
            "connector_version": one.connector_version,
            "operating_system": one.operating_system,
            "internal_ips": ["10.20.0.14", " 169.254.10.9"] if one.is_older else ["10.20.0.14"],
            "external_ip": "203.0.113.14",
            "group_guid": one.group_guid,
            "install_date": "2025-11-03T08:00:00Z",
            "network_addresses": [{"mac": mac, "ip": ip} for mac, ip in ADDRESSES],
            "policy": policy,
            "last_seen": date_of(one.last_seen),
            "faults": [],
            "isolation": {"available": True, "status": "not_isolated"},
            "orbital": {"status": "not_enabled"},
        }
        if one.product == "windows":
            shown["windows_processor_id"] = "0000000000000000" if one.is_older else "0f1e2d3c4b5a697"
        elif one.product == "mac":
            shown["mac_hardware_id"] = guid_of("hardware", 0)
        if not one.is_older:
            groups = [{"guid": one.group_guid, "name": self.groups[one.group_guid]}]
            shown |= {"os_version": "10.0.19045.4170", "is_compromised": False, "demo": False, "groups": groups}
        return shown | one.more

    def _links(self, one: InventoryComputer, base_url: str) -> dict[str, str]:
        computer = f"{base_url}/v1/computers/{one.guid}"
        group = f"{base_url}/v1/groups/{one.group_guid}"
        return {"computer": computer, "trajectory": f"{computer}/trajectory", "group": group}

    def _program(self, one: LocalVulnerability) -> dict[str, Any]:
        link = "https://web.nvd.nist.gov/view/vuln/detail?vulnId="
        return {
            "application": one.application,
            "version": one.version,
            "file": {"filename": one.filename, "identity": {"sha256": one.sha256}},
            "cves": [{"id": cve, "link": f"{link}{cve}", "cvss": cvss} for cve, cvss in one.cves],
            "latest_timestamp": one.latest,
            "latest_date": date_of(one.latest, "+00:00"),
        }

    def _vulnerability(self, one: LocalVulnerability, base_url: str) -> dict[str, Any]:
        groups = dict.fromkeys(self.computers[guid].group_guid for guid in one.computers)
        return self._program(one) | {
            "groups": [{name: self.group(guid)[name] for name in ("name", "description", "guid")} for guid in groups],
            "computers_total_count": len(one.computers),
            "computers": [self._affected(guid, base_url) for guid in one.computers[:LISTED]],
        }

    def _affected(self, guid: str, base_url: str, *, has_group: bool = False) -> dict[str, Any]:
        one = self.computers[guid]
        shown = {
            "connector_guid": guid,
            "hostname": one.hostname,
            "active": True,
            "links": self._links(one, base_url),
        }
        if one.product == "windows":
            shown["windows_processor_id"] = "0f1e2d3c4b5a697"
        return shown | {"group_guid": one.group_guid} if has_group else shown


def _second(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
