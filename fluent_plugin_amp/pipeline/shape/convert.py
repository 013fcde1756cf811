"""What the tables call converters: from a value that Cisco sent to one that a schema takes.  Pure.

Each takes whatever there is and never raises.  None: the schema does not take this value; it goes to unmapped.  Those
in `LISTS` give a list, and whether it holds all that the value does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

CACHED = 4096
"""Addresses, paths and users that are known again: a computer has many events."""
CACHED_LENGTH = 256
"""Longer texts are not kept."""

_MAX_SECONDS = 2**32 - 1
_MAX_INTEGER = 2**31 - 1

_is_hexadecimal = re.compile(r"[0-9a-fA-F]+").fullmatch
_is_moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII).fullmatch
_is_mac = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}").fullmatch
_is_hostname = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
).fullmatch
_technique = re.compile(r"(T\d+)(\.\d+)?").fullmatch
_is_tactic = re.compile(r"TA\d+").fullmatch
_is_drive = re.compile(r"/[A-Za-z]:").match

# --- texts and numbers ---------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """A text that is not empty."""
    return value if type(value) is str and value else None


def lower_text(value: Any) -> str | None:
    """A text in lower case."""
    return value.lower() if type(value) is str and value else None


def id_text(value: Any) -> str | None:
    """An id as text: those of Cisco exceed what other readers of JSON keep exact."""
    if type(value) is int:
        return str(value) if -_MAX_ID < value < _MAX_ID else None
    return value if type(value) is str and value else None


_MAX_ID = 10**30
"""Longer numbers are no ids; Python refuses to write those of some thousand digits."""


def integer(value: Any) -> int | None:
    """A number of 32 bits that counts."""
    return value if type(value) is int and 0 <= value <= _MAX_INTEGER else None


def port(value: Any) -> int | None:
    """Of TCP or UDP."""
    return value if type(value) is int and 0 <= value <= 65535 else None


def milliseconds(value: Any) -> int | None:
    """Seconds since the epoch as milliseconds."""
    return value * 1000 if type(value) is int and 0 <= value <= _MAX_SECONDS else None


def nanoseconds(value: Any) -> int | None:
    """Of a second, as whole milliseconds."""
    if type(value) is int and 0 <= value < 1_000_000_000 and not value % 1_000_000:
        return value // 1_000_000
    return None


def moment(value: Any) -> int | None:
    """ISO 8601 in UTC, as combined records have it, to milliseconds since the epoch."""
    if type(value) is not str or not _is_moment(value):
        return None
    try:
        seconds = datetime.fromisoformat(value[:19]).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    return int(seconds) * 1000 + int(value[20:23])


# --- addresses, names, hashes --------------------------------------------------------------------


def ip(value: Any) -> str | None:
    """An address, IPv4 or IPv6."""
    return _ip(value) if type(value) is str and len(value) <= CACHED_LENGTH else None


@lru_cache(CACHED)
def _ip(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return None
    return value


def mac(value: Any) -> str | None:
    """``AA:BB:CC:DD:EE:FF``."""
    if type(value) is str and _is_mac(value):
        return value.upper().replace("-", ":")
    return None


def ascii_hostname(value: Any) -> str | None:
    """A host's name as DNS takes it."""
    return value if type(value) is str and len(value) <= CACHED_LENGTH and _is_hostname(value) else None


def _hash(value: Any, digits: int, algorithm_id: int, algorithm: str) -> dict[str, Any] | None:
    if type(value) is str and len(value) == digits and _is_hexadecimal(value):
        return {"algorithm_id": algorithm_id, "algorithm": algorithm, "value": value.lower()}
    return None


def sha256(value: Any) -> dict[str, Any] | None:
    """A fingerprint."""
    return _hash(value, 64, 3, "SHA-256")


def sha1(value: Any) -> dict[str, Any] | None:
    """A fingerprint."""
    return _hash(value, 40, 2, "SHA-1")


def md5(value: Any) -> dict[str, Any] | None:
    """A fingerprint."""
    return _hash(value, 32, 1, "MD5")


def path(value: Any) -> str | None:
    r"""A file's path as its computer writes it: ``\\?\C:\a``, ``/C:/a`` and ``file:///C%3A/a`` become ``C:\a``."""
    if type(value) is not str or not value:
        return None
    return _path(value) if len(value) <= CACHED_LENGTH else value


@lru_cache(CACHED)
def _path(value: str) -> str:
    plain = value
    if plain.startswith("\\\\?\\"):
        plain = plain[4:]
    if plain[:8].lower() == "file:///":
        plain = unquote(plain[7:])
    if _is_drive(plain):
        plain = plain[1:].replace("/", "\\")
    return plain or value


def last_name(value: str) -> str | None:
    """The file's name at the end of its path."""
    return re.split(r"[\\/]", value)[-1] or None


def user(value: Any) -> dict[str, str] | None:
    r"""``DOMAIN\name`` and ``name@domain``, taken apart."""
    if type(value) is not str or not value or value == "Not Available":
        return None
    domain, backslash, name = value.partition("\\")
    if not backslash:
        name, _, domain = value.partition("@")
    if not name:
        return {"name": value}
    return {"name": name, "domain": domain} if domain else {"name": value}


# --- words ---------------------------------------------------------------------------------------

SEVERITIES = {"low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}


def severity(value: Any) -> dict[str, Any] | None:
    """Number and name; a text that is not Cisco's is kept beside 99."""
    if type(value) is not str or not value:
        return None
    number, name = SEVERITIES.get(value.lower(), (99, value))
    return {"severity_id": number, "severity": name}


_SYSTEMS = (
    ("windows", 100, "Windows"),
    ("osx", 300, "macOS"),
    ("mac", 300, "macOS"),
    ("android", 201, "Android"),
    ("ios", 301, "iOS"),
    ("linux", 200, "Linux"),
)


def operating_system(value: Any) -> dict[str, Any] | None:
    """Its name, and the family that the name tells."""
    if type(value) is not str or not value:
        return None
    lower = value[:CACHED_LENGTH].lower()
    for word, number, family in _SYSTEMS:
        if word in lower:
            return {"name": value, "type_id": number, "type": family}
    return {"name": value, "type_id": 0, "type": "Unknown"}


def direction(value: Any) -> dict[str, Any] | None:
    """Of a connection: what Cisco's text begins with."""
    if type(value) is not str:
        return None
    lower = value[:CACHED_LENGTH].lower()
    if lower.startswith(("out", "egress")):
        return {"direction_id": 2, "direction": "Outbound"}
    if lower.startswith(("in", "ingress")):
        return {"direction_id": 1, "direction": "Inbound"}
    return None


_MALWARE = (
    ("ransom", 10, "Ransomware"),
    ("rootkit", 15, "Rootkit"),
    ("webshell", 20, "Webshell"),
    ("backdoor", 2, "Backdoor"),
    ("downloader", 6, "Downloader"),
    ("dropper", 7, "Dropper"),
    ("keylog", 9, "Keylogger"),
    ("spyware", 17, "Spyware"),
    ("adware", 1, "Adware"),
    ("trojan", 18, "Trojan"),
    ("worm", 22, "Worm"),
    ("virus", 19, "Virus"),
)


def malware_classes(value: Any) -> dict[str, Any] | None:
    """What a detection's name says of the malware."""
    if type(value) is not str or not value:
        return None
    lower = value[:CACHED_LENGTH].lower()
    for word, number, name in _MALWARE:
        if word in lower:
            return {"classification_ids": [number], "classifications": [name]}
    return {"classification_ids": [0], "classifications": ["Unknown"]}


# --- lists: what was made, and whether that is all -----------------------------------------------

Made = tuple[list[Any], bool]
_NOTHING: Made = ([], False)


def interfaces(value: Any) -> Made:
    """``{ip, mac}`` each."""
    if type(value) is not list:
        return _NOTHING
    made = []
    whole = True
    for item in value:
        if type(item) is not dict:
            whole = False
            continue
        interface: dict[str, Any] = {}
        for name, there in item.items():
            if name == "ip":
                good = ip(there)
            elif name == "mac":
                good = mac(there)
            else:
                good = None
            if good is not None:
                interface[name] = good
            elif there is not None and there != "":
                whole = False
        if interface:
            interface["type_id"] = 0
            interface["type"] = "Unknown"
            made.append(interface)
    return made, whole


def addresses(value: Any) -> Made:
    """A list of addresses."""
    if type(value) is not list:
        return _NOTHING
    made = [{"ip": item, "type_id": 0, "type": "Unknown"} for item in value if ip(item) is not None]
    return made, len(made) == len(value)


def groups(value: Any) -> Made:
    """A list of GUIDs."""
    if type(value) is not list:
        return _NOTHING
    made = [{"uid": item} for item in value if type(item) is str and item]
    return made, len(made) == len(value)


def texts(value: Any) -> Made:
    """A list of texts."""
    if type(value) is not list:
        return _NOTHING
    made = [item for item in value if type(item) is str and item]
    return made, len(made) == len(value)


def related_events(value: Any) -> Made:
    """A list of ids."""
    if type(value) is not list:
        return _NOTHING
    made = [{"uid": uid} for item in value if (uid := id_text(item)) is not None]
    return made, len(made) == len(value)


def tactics(value: Any) -> Made:
    """Tactics of MITRE ATT&CK, an attack each: ids, or objects."""
    return _attacks(value, lambda uid: _is_tactic(uid) is not None, _tactic)


def techniques(value: Any) -> Made:
    """Techniques of MITRE ATT&CK, an attack each: ids, or objects."""
    return _attacks(value, lambda uid: _technique(uid) is not None, _technique_or_sub)


def _attacks(value: Any, is_id: Callable[[str], bool], attack: Callable[[dict[str, Any]], Any]) -> Made:
    if type(value) is not list:
        return _NOTHING
    made = []
    whole = True
    for item in value:
        described: dict[str, Any] = {}
        if type(item) is str and any(map(str.isalnum, item)):
            described["uid" if is_id(item) else "name"] = item
        elif type(item) is dict:
            for name, there in item.items():
                if name == "external_id" and type(there) is str and is_id(there):
                    described["uid"] = there
                elif name == "name" and type(there) is str and there:
                    described["name"] = there
                elif name == "mitre_url" and type(there) is str and there:
                    described["src_url"] = there
                elif there is not None and there != "":
                    whole = False
        else:
            whole = False
        if "uid" in described or "name" in described:
            if "uid" in described and "name" in described:
                described["name"] = described["name"].removeprefix(f"{described['uid']}: ") or described["name"]
            made.append(attack(described))
        elif described:
            whole = False
    return made, whole


def _tactic(described: dict[str, Any]) -> Any:
    return {"tactic": described}


def _technique_or_sub(described: dict[str, Any]) -> Any:
    uid = described.get("uid", "")
    if "." in uid:
        return {"technique": {"uid": uid.partition(".")[0]}, "sub_technique": described}
    return {"technique": described}


def vulnerabilities(value: Any) -> Made:
    """CVEs; the first one names the program, for all of them."""
    if type(value) is not list:
        return _NOTHING
    made = []
    whole = True
    package: dict[str, str] = {}
    for item in value:
        if type(item) is not dict:
            whole = False
            continue
        cve: dict[str, Any] = {}
        for name, there in item.items():
            if name == "cve" and type(there) is str and there:
                cve["uid"] = there
            elif name == "url" and type(there) is str and there:
                cve["references"] = [there]
            elif name == "score" and (score := _score(there)) is not None:
                cve["cvss"] = [{"base_score": score, "version": "Unknown"}]
            elif name in ("name", "version") and type(there) is str and there:
                if package.setdefault(name, there) != there:
                    whole = False
            elif there is not None and there != "":
                whole = False
        if "uid" in cve:
            made.append({"cve": cve})
        else:
            whole = False
    if "name" in package and "version" in package:
        packages: Any = [package]
        for vulnerability in made:
            vulnerability["affected_packages"] = packages
    elif package:
        whole = False
    return made, whole


def _score(value: Any) -> float | None:
    if type(value) is str and len(value) <= 8:
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if type(value) in (int, float) and 0 <= value <= 10 else None


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    each.__name__: each
    for each in (
        *(text, lower_text, id_text, integer, port, milliseconds, nanoseconds, moment),
        *(ip, mac, ascii_hostname, sha256, sha1, md5, path, last_name, user),
        *(severity, operating_system, direction, malware_classes),
    )
}
LISTS: dict[str, Callable[[Any], Made]] = {
    each.__name__: each
    for each in (interfaces, addresses, groups, texts, related_events, tactics, techniques, vulnerabilities)
}
