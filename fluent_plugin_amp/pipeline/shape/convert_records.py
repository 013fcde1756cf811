"""Converters of what only the records of an organisation have, such as audit logs and computers.  Pure.

Each takes whatever there is and never raises, as those of ``convert`` and ``convert_lists`` do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from fluent_plugin_amp.pipeline.shape.convert import CACHED_LENGTH, id_text, text
from fluent_plugin_amp.pipeline.shape.convert_lists import Made, cvss_score, of_each

_is_date = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_is_email = re.compile(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*").fullmatch
_MAX_SECONDS = 2**32 - 1


def date(value: Any) -> int | None:
    """ISO 8601 with a zone, to milliseconds since the epoch."""
    if type(value) is not str or not _is_date(value):
        return None
    try:
        seconds = int(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * 1000 if 0 <= seconds <= _MAX_SECONDS else None


def email(value: Any) -> str | None:
    """An address, and not the id of an API client."""
    return value if type(value) is str and len(value) <= CACHED_LENGTH and _is_email(value) else None


def an_object(value: Any) -> dict[str, Any] | None:
    """An object."""
    return value if type(value) is dict and value else None


_ENTITIES = {"Computer": (1, "Device"), "User": (2, "User"), "Group": (3, "Group"), "Policy": (5, "Policy")}
_OTHER_ENTITIES = frozenset(("Unknown", "Device", "Organization", "Email", "Network Zone", "Other"))
"""Names that OCSF has numbers for, and Cisco perhaps another meaning."""


def entity_type(value: Any) -> dict[str, Any] | None:
    """Number and name of the thing's type; a text without a number of its own is kept beside 99."""
    if type(value) is not str or not value or value in _OTHER_ENTITIES:
        return None
    number, name = _ENTITIES.get(value, (99, value))
    return {"type_id": number, "type": name}


# --- lists ---------------------------------------------------------------------------------------


def named_groups(value: Any) -> Made:
    """A list of groups, each with GUID and name."""
    if type(value) is not list:
        return [], False
    made = []
    whole = True
    for item in _dicts(value):
        group = {}
        for name, there in item.items():
            if name in ("guid", "name") and text(there) is not None:
                group["uid" if name == "guid" else "name"] = there
            elif there is not None and there != "":
                whole = False
        if group:
            made.append(group)
    return made, whole and len(made) == len(value)


def scored_cves(value: Any) -> Made:
    """CVEs with page and score, a vulnerability each."""
    if type(value) is not list:
        return [], False
    made = []
    whole = True
    for item in _dicts(value):
        cve: dict[str, Any] = {}
        for name, there in item.items():
            if name == "id" and text(there) is not None:
                cve["uid"] = there
            elif name == "link" and text(there) is not None:
                cve["references"] = [there]
            elif name == "cvss" and (number := cvss_score(there)) is not None:
                cve["cvss"] = [{"base_score": number, "version": "Unknown"}]
            elif there is not None and there != "":
                whole = False
        if "uid" in cve:
            made.append({"cve": cve})
    return made, whole and len(made) == len(value)


def resources(value: Any) -> Made:
    """A list of computers; what OCSF has no place for is their data."""
    if type(value) is not list:
        return [], False
    made = []
    for item in _dicts(value):
        data = {**item}
        resource: dict[str, Any] = {"type": "Computer"}
        for name, attribute in (("connector_guid", "uid"), ("hostname", "name")):
            if text(item.get(name)) is not None:
                resource[attribute] = data.pop(name)
        if len(resource) > 1:
            made.append({**resource, "data": data} if data else resource)
    return made, len(made) == len(value)


def related_event(value: Any) -> dict[str, Any] | None:
    """The id of one event."""
    uid = id_text(value)
    return {"uid": uid} if uid is not None else None


def cve_ids(value: Any) -> Made:
    """The numbers of CVEs."""
    return of_each(value, "id", text)


def cve_links(value: Any) -> Made:
    """The pages of CVEs."""
    return of_each(value, "link", text)


def hostnames(value: Any) -> Made:
    """The names of computers."""
    return of_each(value, "hostname", text)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if type(item) is dict) if type(value) is list else iter(())


# --- scores --------------------------------------------------------------------------------------


def highest_score(value: Any) -> float | None:
    """The highest CVSS score of a list of CVEs."""
    return max(
        (number for item in _dicts(value) if (number := cvss_score(item.get("cvss"))) is not None), default=None
    )


_BANDS = ((9.0, 5, "Critical", 99), (7.0, 4, "High", 73), (4.0, 3, "Medium", 47), (0.1, 2, "Low", 21))
"""The bands of CVSS 3: at least this score."""


def worst_score(value: Any) -> dict[str, Any] | None:
    """Severity, as CVSS 3 names the highest score."""
    highest = highest_score(value)
    for least, number, name, _ in _BANDS:
        if highest is not None and highest >= least:
            return {"severity_id": number, "severity": name}
    return None


def ecs_worst_score(value: Any) -> int | None:
    """The same, as Elastic Security counts."""
    highest = highest_score(value)
    return next((number for least, _, _, number in _BANDS if highest is not None and highest >= least), None)


VALUES: dict[str, Callable[[Any], Any]] = {
    each.__name__: each
    for each in (date, email, an_object, entity_type, related_event, highest_score, worst_score, ecs_worst_score)
}
LISTS: dict[str, Callable[[Any], Made]] = {
    each.__name__: each for each in (named_groups, scored_cves, resources, cve_ids, cve_links, hostnames)
}
