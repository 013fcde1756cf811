"""Links from an event into Cisco's console, as Cisco asks of every integration.  Pure.

Cisco's own ``computer.links`` lead to the REST API, which wants a key; these lead to the pages that an analyst
opens.  A link is made only where the event has the value, and where that value was not obfuscated.  Whatever a value
holds, it stays one value of its link: it is percent-encoded, and written as JSON first where the console reads JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from fluent_plugin_amp.hosts import is_address
from fluent_plugin_amp.model import Record

FIELD = "console_links"

SOURCES = (
    "id",
    "event_type_id",
    "detection",
    "connector_guid",
    "group_guids",
    "computer.connector_guid",
    "file.file_name",
    "file.identity.sha256",
    "network_info.dirty_url",
    "network_info.remote_ip",
)
"""The fields that links are made from."""

MAX_LINKED = 2048
"""Characters of the values in a link: no browser takes much more.  Longer ones get no link: all links of a long value
would be many times as large as the event."""

_DAYS_30_IN_HOURS = 720
_SHA256 = ("file", "identity", "sha256")
_REMOTE_IP = ("network_info", "remote_ip")
_encode_json = msgspec.json.Encoder().encode
_is_plain = re.compile(r"[A-Za-z0-9_.~-]+", re.ASCII).fullmatch  # percent-encoding leaves these as they are


class Links:
    """Makes the links of one event.

    Args:
        console: the console's host, or ``host:port``.
        is_hidden: whether this one of the `SOURCES` is obfuscated.
    """

    def __init__(self, console: str, is_hidden: Callable[[str], bool] = lambda source: False) -> None:
        base = f"https://{console}"
        self._dashboard = f"{base}/dashboard?duration={_DAYS_30_IN_HOURS}"
        events = f"{base}/dashboard/overview#/events/show/"
        self._file = f"{base}/file/trajectory/"
        self._computers = f"{base}/computers/"
        self._lists = {name: _around_values(events, name) for name in ("tid", "det_name", "agg", "sha", "ag")}
        self._hidden = frozenset(source for source in SOURCES if is_hidden(source))

    def __call__(self, record: Record) -> dict[str, str]:
        """Links by name; see ``docs/records.md``."""
        links: dict[str, str] = {}
        hidden = self._hidden
        type_id = record.get("event_type_id")
        if type(type_id) is int and "event_type_id" not in hidden:
            links["dashboard_event_type"] = f"{self._dashboard}&event_type={type_id}"
            links["events_event_type"] = self._list_of("tid", str(type_id))
        detection = None if "detection" in hidden else _short(record, "detection")
        if detection is not None:
            links["events_detection"] = self._list_of("det_name", _quote_json(detection))
        groups = record.get("group_guids")
        if type(groups) is list and "group_guids" not in hidden:
            guids = [guid for guid in groups if type(guid) is str and guid]
            if guids and sum(map(len, guids)) <= MAX_LINKED:
                links["events_group"] = self._list_of("agg", "%2C".join(map(_quote_json, guids)))
        sha256 = None if "file.identity.sha256" in hidden else _short(record, *_SHA256)
        if sha256 is not None:
            links["events_sha256"] = self._list_of("sha", _quote_json(sha256))
            sha256 = _quote(sha256)
            links["dashboard_sha256"] = f"{self._dashboard}&artifact_type=sha&artifact={sha256}"
            links["file_trajectory"] = self._file + sha256
        address = None if "network_info.remote_ip" in hidden else _short(record, *_REMOTE_IP)
        if address is not None:
            address = _quote(address)
            links["dashboard_ip"] = f"{self._dashboard}&artifact_type=ip&artifact={address}"
        guid = self._connector_guid(record)
        if guid is not None:
            self._add_computer(links, record, guid, {"sha256": sha256, "ip": address, **dict(self._searched(record))})
        return links

    def _add_computer(
        self, links: dict[str, str], record: Record, guid: str, searched: Mapping[str, str | None]
    ) -> None:
        """``searched``: what a computer's trajectory is searched for, percent-encoded, by the link's name."""
        computer = self._computers + _quote(guid)
        links["events_computer"] = self._list_of("ag", _quote_json(guid))
        links["device_trajectory"] = f"{computer}/trajectory2"
        event_id = record.get("id")
        if (type(event_id) is int or _short(record, "id") is not None) and "id" not in self._hidden:
            links["device_trajectory_event"] = f"{computer}/trajectory2?id={_quote(str(event_id))}"
        for name, value in searched.items():
            if value is not None:
                links[f"device_trajectory_{name}"] = f"{computer}/trajectory?q={value}"

    def _searched(self, record: Record) -> Iterator[tuple[str, str]]:
        """A file's name, a URL and its domain, percent-encoded."""
        if "file.file_name" not in self._hidden:
            file_name = _short(record, "file", "file_name")
            if file_name is not None:
                yield "file", _quote(file_name)
        if "network_info.dirty_url" not in self._hidden:
            url = _short(record, "network_info", "dirty_url")
            if url is not None:
                yield "url", _quote(url)
                if domain := _domain_of(url):
                    yield "domain", _quote(domain)

    def _list_of(self, name: str, values: str) -> str:
        """A link to the list of events; ``values`` are JSON, percent-encoded, with commas between them."""
        before, after = self._lists[name]
        return f"{before}{values}{after}"

    def _connector_guid(self, record: Record) -> str | None:
        """From either of the two places where Cisco writes it."""
        if "computer.connector_guid" not in self._hidden:
            guid = _short(record, "computer", "connector_guid")
            if guid is not None:
                return guid
        return None if "connector_guid" in self._hidden else _short(record, "connector_guid")


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
    return text_at(record, *_SHA256)


def remote_ip_of(record: Record) -> str | None:
    """The address that a computer was connected with."""
    return text_at(record, *_REMOTE_IP)


def _short(record: Record, *path: str) -> str | None:
    """The same as `text_at`; None too where it is longer than a link may be."""
    value = text_at(record, *path)
    return value if value is not None and len(value) <= MAX_LINKED else None


def _domain_of(url: str) -> str | None:
    """The name in a URL's authority; None where it has none, or an address, which has a link of its own."""
    try:
        host = urlsplit(url).hostname
    except ValueError:  # brackets that do not close
        return None
    return host if host and "." in host and not is_address(host) else None


def _quote(text: str) -> str:
    """``text`` percent-encoded."""
    return text if _is_plain(text) else quote(text, safe="")


def _quote_json(text: str) -> str:
    """``text`` as JSON, percent-encoded."""
    return f"%22{text}%22" if _is_plain(text) else quote(_encode_json(text), safe="")


def _around_values(events: str, name: str) -> tuple[str, str]:
    """What goes before and after the values in a link to all events for which ``name`` is one of them.

    The console's page wants it after the #.
    """
    filters: dict[str, Any] = {"agg": [], "time": "all", "tid": []}
    filters[name] = [0]
    shown = {"filters": filters, "sort_by": "ts", "sort_order": "desc", "name": ""}
    before, after = quote(_encode_json(shown), safe="").split(quote("[0]"))
    return events + before + quote("["), quote("]") + after
