"""Links from an event into Cisco's console, as Cisco asks of every integration.  Pure.

Cisco's own ``computer.links`` lead to the REST API, which wants a key; these lead to the pages that an analyst
opens.  A link is made only where the event has the value, and where that value was not obfuscated.  Whatever a value
holds, it stays one value of its link: it is percent-encoded, and written as JSON first where the console reads JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
        # What goes before and after the values in each link to the list of events.
        self._of_type = _around_values(events, "tid")
        self._of_detection = _around_values(events, "det_name")
        self._of_group = _around_values(events, "agg")
        self._of_sha256 = _around_values(events, "sha")
        self._of_computer = _around_values(events, "ag")
        self._hidden = frozenset(source for source in SOURCES if is_hidden(source))

    def __call__(self, record: Record) -> dict[str, str]:
        """Links by name; see ``docs/records.md``."""
        links: dict[str, str] = {}
        hidden = self._hidden
        type_id = record.get("event_type_id")
        if type(type_id) is int and "event_type_id" not in hidden:
            links["dashboard_event_type"] = f"{self._dashboard}&event_type={type_id}"
            before, after = self._of_type
            links["events_event_type"] = f"{before}{type_id}{after}"
        detection = None if "detection" in hidden else _short(record.get("detection"))
        if detection is not None:
            before, after = self._of_detection
            links["events_detection"] = f"{before}{_quote_json(detection)}{after}"
        groups = record.get("group_guids")
        if type(groups) is list and "group_guids" not in hidden:
            guids = [guid for guid in groups if type(guid) is str and guid]
            if guids and sum(map(len, guids)) <= MAX_LINKED:
                before, after = self._of_group
                links["events_group"] = f"{before}{'%2C'.join(map(_quote_json, guids))}{after}"
        searched: dict[str, str] = {}  # what a computer's trajectory is searched for, by the end of the link's name
        file = record.get("file")
        if type(file) is dict:
            self._add_file(links, searched, file)
        network = record.get("network_info")
        if type(network) is dict:
            self._add_network(links, searched, network)
        guid = self._connector_guid(record)
        if guid is not None:
            self._add_computer(links, record, guid, searched)
        return links

    def _add_file(self, links: dict[str, str], searched: dict[str, str], file: Record) -> None:
        """Of its hash, and what its hash and its name let search for."""
        identity = file.get("identity")
        if type(identity) is dict and "file.identity.sha256" not in self._hidden:
            sha256 = _short(identity.get("sha256"))
            if sha256 is not None:
                before, after = self._of_sha256
                links["events_sha256"] = f"{before}{_quote_json(sha256)}{after}"
                searched["sha256"] = sha256 = _quote(sha256)
                links["dashboard_sha256"] = f"{self._dashboard}&artifact_type=sha&artifact={sha256}"
                links["file_trajectory"] = f"{self._file}{sha256}"
        if "file.file_name" not in self._hidden:
            file_name = _short(file.get("file_name"))
            if file_name is not None:
                searched["file"] = _quote(file_name)

    def _add_network(self, links: dict[str, str], searched: dict[str, str], network: Record) -> None:
        """Of the address, and what address, URL and domain let search for."""
        if "network_info.remote_ip" not in self._hidden:
            address = _short(network.get("remote_ip"))
            if address is not None:
                searched["ip"] = address = _quote(address)
                links["dashboard_ip"] = f"{self._dashboard}&artifact_type=ip&artifact={address}"
        if "network_info.dirty_url" not in self._hidden:
            url = _short(network.get("dirty_url"))
            if url is not None:
                searched["url"] = _quote(url)
                if domain := _domain_of(url):
                    searched["domain"] = _quote(domain)

    def _add_computer(self, links: dict[str, str], record: Record, guid: str, searched: Mapping[str, str]) -> None:
        """``searched``: percent-encoded."""
        before, after = self._of_computer
        quoted = _quote(guid)
        links["events_computer"] = f"{before}{f'%22{guid}%22' if quoted is guid else _quote_json(guid)}{after}"
        computer = f"{self._computers}{quoted}"
        links["device_trajectory"] = f"{computer}/trajectory2"
        event_id = record.get("id")
        if "id" not in self._hidden:
            if type(event_id) is int:
                links["device_trajectory_event"] = f"{computer}/trajectory2?id={event_id}"
            elif (text := _short(event_id)) is not None:
                links["device_trajectory_event"] = f"{computer}/trajectory2?id={_quote(text)}"
        for name, value in searched.items():
            links[f"device_trajectory_{name}"] = f"{computer}/trajectory?q={value}"

    def _connector_guid(self, record: Record) -> str | None:
        """From either of the two places where Cisco writes it."""
        computer = record.get("computer")
        if type(computer) is dict and "computer.connector_guid" not in self._hidden:
            guid = _short(computer.get("connector_guid"))
            if guid is not None:
                return guid
        return None if "connector_guid" in self._hidden else _short(record.get("connector_guid"))


def _short(value: Any) -> str | None:
    """A text that is not empty, and not longer than a link may be; None for anything else."""
    return value if type(value) is str and 0 < len(value) <= MAX_LINKED else None


def _domain_of(url: str) -> str | None:
    """The name in a URL's authority; None where it has none, or an address, which has a link of its own."""
    try:
        host = urlsplit(url).hostname
    except ValueError:  # brackets that do not close
        return None
    return host if host and "." in host and not is_address(host) else None


def _quote(text: str) -> str:
    """``text`` percent-encoded."""
    return text if (text.isalnum() and text.isascii()) or _is_plain(text) else quote(text, safe="")


def _quote_json(text: str) -> str:
    """``text`` as JSON, percent-encoded."""
    if (text.isalnum() and text.isascii()) or _is_plain(text):
        return f"%22{text}%22"
    return quote(_encode_json(text), safe="")


def _around_values(events: str, name: str) -> tuple[str, str]:
    """What goes before and after the values in a link to all events for which ``name`` is one of them.

    The console's page wants it after the #.
    """
    filters: dict[str, Any] = {"agg": [], "time": "all", "tid": []}
    filters[name] = [0]
    shown = {"filters": filters, "sort_by": "ts", "sort_order": "desc", "name": ""}
    before, after = quote(_encode_json(shown), safe="").split(quote("[0]"))
    return events + before + quote("["), quote("]") + after
