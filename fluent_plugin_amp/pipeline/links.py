"""Links from an event into Cisco's console, as Cisco asks of every integration.  Pure.

Cisco's own ``computer.links`` lead to the REST API, which wants a key; these lead to the pages that an analyst
opens.  A link is made only where the event has the value, and where that value was not obfuscated.  Whatever a value
holds, it stays one value of its link: it is percent-encoded, and written as JSON first where the console reads JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from fluent_plugin_amp.model import Record

FIELD = "console_links"

SOURCES = (
    "id",
    "event_type_id",
    "detection",
    "connector_guid",
    "group_guids",
    "computer.connector_guid",
    "file.identity.sha256",
    "network_info.remote_ip",
)
"""The fields that links are made from."""

_DAYS_30_IN_HOURS = 720
_encode_json = msgspec.json.Encoder().encode


class Links:
    """Makes the links of one event.

    Args:
        console: the console's host, or ``host:port``.
        is_hidden: whether this one of the `SOURCES` is obfuscated.
    """

    def __init__(self, console: str, is_hidden: Callable[[str], bool] = lambda source: False) -> None:
        base = f"https://{console}"
        self._dashboard = f"{base}/dashboard?duration={_DAYS_30_IN_HOURS}"
        self._events = f"{base}/dashboard/overview#/events/show/"
        self._file = f"{base}/file/trajectory/"
        self._computers = f"{base}/computers/"
        self._hidden = frozenset(source for source in SOURCES if is_hidden(source))

    def __call__(self, record: Record) -> dict[str, str]:
        """Links by name; see ``docs/records.md``."""
        links: dict[str, str] = {}
        hidden = self._hidden
        type_id = record.get("event_type_id")
        if type(type_id) is int and "event_type_id" not in hidden:
            links["dashboard_event_type"] = f"{self._dashboard}&event_type={type_id}"
            links["events_event_type"] = self._events + _filter("tid", type_id)
        detection = record.get("detection")
        if type(detection) is str and detection and "detection" not in hidden:
            links["events_detection"] = self._events + _filter("det_name", detection)
        groups = record.get("group_guids")
        if type(groups) is list and "group_guids" not in hidden:
            guids = tuple(guid for guid in groups if type(guid) is str and guid)
            if guids:
                links["events_group"] = self._events + _filter("agg", *guids)
        sha256 = None if "file.identity.sha256" in hidden else sha256_of(record)
        if sha256 is not None:
            links["dashboard_sha256"] = f"{self._dashboard}&artifact_type=sha&artifact={_quote(sha256)}"
            links["events_sha256"] = self._events + _filter("sha", sha256)
            links["file_trajectory"] = self._file + _quote(sha256)
        address = None if "network_info.remote_ip" in hidden else remote_ip_of(record)
        if address is not None:
            links["dashboard_ip"] = f"{self._dashboard}&artifact_type=ip&artifact={_quote(address)}"
        guid = self._connector_guid(record)
        if guid is not None:
            self._add_computer(links, record, guid, sha256, address)
        return links

    def _add_computer(
        self, links: dict[str, str], record: Record, guid: str, sha256: str | None, address: str | None
    ) -> None:
        computer = self._computers + _quote(guid)
        links["events_computer"] = self._events + _filter("ag", guid)
        links["device_trajectory"] = f"{computer}/trajectory2"
        event_id = record.get("id")
        if type(event_id) in (int, str) and event_id != "" and "id" not in self._hidden:
            links["device_trajectory_event"] = f"{computer}/trajectory2?id={_quote(str(event_id))}"
        if sha256 is not None:
            links["device_trajectory_sha256"] = f"{computer}/trajectory?q={_quote(sha256)}"
        if address is not None:
            links["device_trajectory_ip"] = f"{computer}/trajectory?q={_quote(address)}"

    def _connector_guid(self, record: Record) -> str | None:
        """From either of the two places where Cisco writes it."""
        if "computer.connector_guid" not in self._hidden:
            guid = text_at(record, "computer", "connector_guid")
            if guid is not None:
                return guid
        return None if "connector_guid" in self._hidden else text_at(record, "connector_guid")


def text_at(record: Record, *path: str) -> str | None:
    """The text at a path; None where there is none, or an empty one."""
    value: Any = record
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value if type(value) is str and value else None


def sha256_of(record: Record) -> str | None:
    """The SHA-256 of the event's file."""
    return text_at(record, "file", "identity", "sha256")


def remote_ip_of(record: Record) -> str | None:
    """The address that a computer was connected with."""
    return text_at(record, "network_info", "remote_ip")


@lru_cache(maxsize=1024)
def _quote(text: str) -> str:
    return quote(text, safe="")


@lru_cache(maxsize=1024)
def _filter(name: str, *values: str | int) -> str:
    """The list of all events for which ``name`` is one of the values, as the console's page wants it after the #."""
    filters: dict[str, Any] = {"agg": [], "time": "all", "tid": []}
    filters[name] = list(values)
    shown = {"filters": filters, "sort_by": "ts", "sort_order": "desc", "name": ""}
    return quote(_encode_json(shown), safe="")
