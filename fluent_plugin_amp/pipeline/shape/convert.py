"""What the tables call converters: from a value that Cisco sent to one that a schema takes.  Pure.

Each takes whatever there is and never raises.  None: the schema does not take this value; it goes to unmapped.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from fluent_plugin_amp.hosts import is_address

CACHED = 1024
"""Addresses and paths that are known again: a computer has many events."""
CACHED_LENGTH = 256
"""Longer texts are not kept."""

_MAX_SECONDS = 2**32 - 1
_MAX_INTEGER = 2**31 - 1

_is_moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII).fullmatch
_is_mac = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}").fullmatch
_is_hostname = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
).fullmatch
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
    """Of a second, as whole milliseconds, which are added to ``time``."""
    if type(value) is int and 0 <= value < 1_000_000_000 and not value % 1_000_000:
        return value // 1_000_000
    return None


def any_nanoseconds(value: Any) -> int | None:
    """Of a second."""
    return value if type(value) is int and 0 <= value < 1_000_000_000 else None


def moment(value: Any) -> int | None:
    """ISO 8601 in UTC, as combined records have it, to milliseconds since the epoch."""
    if type(value) is not str or not _is_moment(value):
        return None
    try:
        seconds = datetime.fromisoformat(value[:19]).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    return int(seconds) * 1000 + int(value[20:23])


def moment_text(value: Any) -> str | None:
    """The same, as it is."""
    return value if moment(value) is not None else None


# --- addresses, names, hashes --------------------------------------------------------------------


def ip(value: Any) -> str | None:
    """An address, IPv4 or IPv6."""
    return _ip(value) if type(value) is str and len(value) <= CACHED_LENGTH else None


@lru_cache(CACHED)
def _ip(value: str) -> str | None:
    return value if is_address(value) else None


def mac(value: Any) -> str | None:
    """``AA:BB:CC:DD:EE:FF``."""
    return _mac(value) if type(value) is str and len(value) == 17 else None


@lru_cache(CACHED)
def _mac(value: str) -> str | None:
    return value.upper().replace("-", ":") if _is_mac(value) else None


def dashed_mac(value: Any) -> str | None:
    """``AA-BB-CC-DD-EE-FF``."""
    return _dashed_mac(value) if type(value) is str and len(value) == 17 else None


@lru_cache(CACHED)
def _dashed_mac(value: str) -> str | None:
    return value.upper().replace(":", "-") if _is_mac(value) else None


def ascii_hostname(value: Any) -> str | None:
    """A host's name as DNS takes it."""
    return value if type(value) is str and len(value) <= CACHED_LENGTH and _is_hostname(value) else None


def _lower_hash(value: Any, digits: int) -> str | None:
    if type(value) is not str or len(value) != digits:
        return None
    try:
        unhexlify(value)  # a quarter of the time of a regular expression
    except ValueError:
        return None
    return value.lower()


def _hash(value: Any, digits: int, algorithm_id: int, algorithm: str) -> dict[str, Any] | None:
    made = _lower_hash(value, digits)
    return {"algorithm_id": algorithm_id, "algorithm": algorithm, "value": made} if made is not None else None


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


def orbital(value: str) -> str | None:
    """The application that an event is about, if that is Orbital: its type's name begins so."""
    return "Orbital" if value.startswith("Orbital") else None


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


def hunt_severity(event: dict[str, Any]) -> Any:
    """What a hunt's own report says; it is the event's where that has none."""
    hunt = event["threat_hunting"]
    return hunt.get("severity") if type(hunt) is dict else None


_SYSTEMS = (
    ("windows", 100, "Windows"),
    ("os x", 300, "macOS"),
    ("osx", 300, "macOS"),
    ("mac", 300, "macOS"),
    ("android", 201, "Android"),
    *((word, 200, "Linux") for word in ("linux", "centos", "red hat", "ubuntu", "debian", "suse")),
    ("ios", 301, "iOS"),
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


# --- of ECS, and of the types that Elastic's package gives its own fields ----------------------------


def lower_hash_256(value: Any) -> str | None:
    """A SHA-256 in lower case."""
    return _lower_hash(value, 64)


def lower_hash_1(value: Any) -> str | None:
    """A SHA-1 in lower case."""
    return _lower_hash(value, 40)


def lower_hash_5(value: Any) -> str | None:
    """An MD5 in lower case."""
    return _lower_hash(value, 32)


def iso_seconds(value: Any) -> str | None:
    """Seconds since the epoch as ISO 8601."""
    if type(value) is not int or not 0 <= value <= _MAX_SECONDS:
        return None
    return f"{second(value)}Z"


def second(value: int) -> str:
    """Seconds since the epoch as ISO 8601, without a zone."""
    return f"{_minute(value // 60)}:{value % 60:02}"


@lru_cache(CACHED)
def _minute(value: int) -> str:
    """Minutes since the epoch: events of one minute come together."""
    return datetime.fromtimestamp(value * 60, timezone.utc).isoformat()[:16]


_ECS_SEVERITIES = {"low": 21, "medium": 47, "high": 73, "critical": 99}


def ecs_severity(value: Any) -> int | None:
    """As Elastic Security counts."""
    return _ECS_SEVERITIES.get(value.lower()) if type(value) is str else None


_ECS_SYSTEMS = {100: "windows", 200: "linux", 201: "android", 300: "macos", 301: "ios"}


def ecs_system(value: Any) -> dict[str, Any] | None:
    """Its name, and the family that the name tells."""
    system = operating_system(value)
    if system is None:
        return None
    family = _ECS_SYSTEMS.get(system["type_id"])
    return {"full": value, "type": family} if family else {"full": value}


def ecs_direction(value: Any) -> str | None:
    """Of a connection, seen from the computer."""
    made = direction(value)
    return None if made is None else "egress" if made["direction_id"] == 2 else "ingress"


_SCALARS = frozenset((str, int, float, bool))


def scalar(value: Any) -> Any:
    """A text, a number, true or false."""
    return value if type(value) in _SCALARS else None


def scalars(value: Any) -> Any:
    """A list of these."""
    if type(value) is not list:
        return None
    for item in value:
        if type(item) not in _SCALARS:
            return None
    return value


def long(value: Any) -> int | None:
    """A number of 64 bits."""
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def seconds(value: Any) -> int | None:
    """Seconds since the epoch."""
    return value if type(value) is int and 0 <= value <= _MAX_SECONDS else None


def objects(value: Any) -> Any:
    """An object, or a list of objects."""
    if type(value) is dict:
        return value
    if type(value) is not list:
        return None
    for item in value:  # a third of the time of `all`
        if type(item) is not dict:
            return None
    return value


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    each.__name__: each
    for each in (
        *(text, lower_text, id_text, integer, port, milliseconds, nanoseconds, any_nanoseconds, moment, moment_text),
        *(ip, mac, ascii_hostname, sha256, sha1, md5, path, last_name, orbital, user),
        *(severity, operating_system, direction, malware_classes),
        *(lower_hash_256, lower_hash_1, lower_hash_5, iso_seconds, ecs_severity, ecs_system, ecs_direction),
        *(scalar, long, objects, seconds, scalars),
    )
}
