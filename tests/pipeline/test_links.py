"""Links lead into the console of the right cloud, and whatever a value holds stays one value."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.regions import CLOUDS
from fluent_plugin_amp.pipeline.links import MAX_LINKED, SOURCES, Links

CONSOLE = "console.eu.amp.cisco.com"
GUID = "0b4883d4-8ecf-4404-9453-13cba0ee7662"
SHA256 = "a78c29d1fa05c2b23d1dc9b75da8c053399143682fe3779bc466f10e1a997850"
URL = "http://user@Bad.example.com:8080/a?b=c#d"


def event(**fields: Any) -> dict[str, Any]:
    """An event that has everything a link is made from."""
    return {
        "id": 6533241145273614339,
        "event_type_id": 1090519054,
        "detection": "W32.Overdrive.RET",
        "connector_guid": GUID,
        "group_guids": ["g1", "g2"],
        "computer": {"connector_guid": GUID},
        "file": {"file_name": "a b.exe", "identity": {"sha256": SHA256}},
        "network_info": {"remote_ip": "2001:db8::1", "dirty_url": URL},
        **fields,
    }


def shown(url: str) -> dict[str, Any]:
    """The filters of a link to the list of events."""
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", CONSOLE, "/dashboard/overview")
    place, _, fragment = parts.fragment.rpartition("/")
    assert place == "/events/show"
    filters: dict[str, Any] = json.loads(unquote(fragment))["filters"]
    return filters


def test_each_link() -> None:
    """Word for word, for an event that has every value."""
    made = Links(CONSOLE)(event())
    base = f"https://{CONSOLE}"
    events = {name: shown(made.pop(name)) for name in list(made) if name.startswith("events_")}
    assert made == {
        "dashboard_event_type": f"{base}/dashboard?duration=720&event_type=1090519054",
        "dashboard_sha256": f"{base}/dashboard?duration=720&artifact_type=sha&artifact={SHA256}",
        "dashboard_ip": f"{base}/dashboard?duration=720&artifact_type=ip&artifact=2001%3Adb8%3A%3A1",
        "file_trajectory": f"{base}/file/trajectory/{SHA256}",
        "device_trajectory": f"{base}/computers/{GUID}/trajectory2",
        "device_trajectory_event": f"{base}/computers/{GUID}/trajectory2?id=6533241145273614339",
        "device_trajectory_sha256": f"{base}/computers/{GUID}/trajectory?q={SHA256}",
        "device_trajectory_ip": f"{base}/computers/{GUID}/trajectory?q=2001%3Adb8%3A%3A1",
        "device_trajectory_file": f"{base}/computers/{GUID}/trajectory?q=a%20b.exe",
        "device_trajectory_url": f"{base}/computers/{GUID}/trajectory?q="
        "http%3A%2F%2Fuser%40Bad.example.com%3A8080%2Fa%3Fb%3Dc%23d",
        "device_trajectory_domain": f"{base}/computers/{GUID}/trajectory?q=bad.example.com",
    }
    every = {"agg": [], "time": "all", "tid": []}
    assert events == {
        "events_event_type": {**every, "tid": [1090519054]},
        "events_detection": {**every, "det_name": ["W32.Overdrive.RET"]},
        "events_group": {**every, "agg": ["g1", "g2"]},
        "events_sha256": {**every, "sha": [SHA256]},
        "events_computer": {**every, "ag": [GUID]},
    }


@pytest.mark.parametrize("console", [*(cloud.console_host for cloud in CLOUDS.values()), "amp.example.com:8443"])
def test_every_link_leads_to_the_cloud_given(console: str) -> None:
    """A private cloud's own host, with its port, as well as Cisco's."""
    assert {urlsplit(url).netloc for url in Links(console)(event()).values()} == {console}


@pytest.mark.parametrize("bad", [None, "", [], {}, 7, [None], {"identity": None}, {"identity": {"sha256": ""}}])
def test_no_link_without_a_value(bad: Any) -> None:
    """What is missing, empty or of another type makes no link, and stops nothing."""
    fields = ("detection", "connector_guid", "group_guids", "computer", "file", "network_info")
    assert Links(CONSOLE)(event(**dict.fromkeys(fields, bad), id=None, event_type_id=None)) == {}


def test_either_place_of_the_connector_guid_will_do() -> None:
    """Older bodies have it within `computer` only, others beside it."""
    assert "device_trajectory" in Links(CONSOLE)(event(connector_guid=None))
    assert "device_trajectory" in Links(CONSOLE)(event(computer=None))


@pytest.mark.parametrize("source", SOURCES)
def test_no_link_from_an_obfuscated_value(source: str) -> None:
    """A link would give away what the event hides, or search for its mask."""
    record = event(connector_guid="beside", computer={"connector_guid": "within"})
    value: Any = record
    for name in source.split("."):
        value = value[name]
    texts = value if isinstance(value, list) else [str(value)]
    if source == "connector_guid":
        del record["computer"]  # that place goes first
    every = unquote(" ".join(Links(CONSOLE)(record).values()))
    assert any(text in every for text in texts)
    left = unquote(" ".join(Links(CONSOLE, lambda path: path == source)(record).values()))
    assert not any(text in left for text in texts)


@given(st.text(min_size=1))
def test_any_text_stays_one_value(text: str) -> None:
    """Quotes, slashes, #, &, % and all else: the page gets the value, and nothing besides."""
    made = Links(CONSOLE)(event(detection=text, file={"identity": {"sha256": text}}, id=text, network_info=None))
    assert shown(made["events_detection"])["det_name"] == [text]
    assert shown(made["events_sha256"])["sha"] == [text]
    assert parse_qs(urlsplit(made["dashboard_sha256"]).query, keep_blank_values=True)["artifact"] == [text]
    assert unquote(urlsplit(made["file_trajectory"]).path.removeprefix("/file/trajectory/")) == text
    assert parse_qs(urlsplit(made["device_trajectory_event"]).query, keep_blank_values=True) == {"id": [text]}


@pytest.mark.parametrize(
    "url",
    [
        "a",
        "http:///path",
        "http://192.0.2.7/x",
        "http://[2001:db8::1]/",
        "http://[::1",
        "http://x]/",
        "//localhost/x",
    ],
)
def test_a_url_without_a_domain(url: str) -> None:
    """It can be searched for itself; an address has a link of its own."""
    made = Links(CONSOLE)(event(network_info={"dirty_url": url}))
    assert "device_trajectory_url" in made
    assert "device_trajectory_domain" not in made


def test_what_no_browser_takes_is_in_no_link() -> None:
    """A link is no place for a megabyte: of an event with long values the links were six times as long."""
    long = "http://example.com/" + "x" * MAX_LINKED
    values = {
        "id": long,
        "detection": long,
        "connector_guid": long,
        "group_guids": [long[:1000]] * 3,
        "computer": {"connector_guid": long},
        "file": {"file_name": long, "identity": {"sha256": long}},
        "network_info": {"dirty_url": long, "remote_ip": long},
    }
    assert Links(CONSOLE)(values) == {}
    assert all("example.com" not in each for each in Links(CONSOLE)({**values, "connector_guid": "g"}).values())


@given(st.text(min_size=1))
def test_any_url_makes_links_or_none(text: str) -> None:
    """Whatever an event calls a URL."""
    made = Links(CONSOLE)(event(network_info={"dirty_url": text}, file={"file_name": text}))
    for name in ("device_trajectory_url", "device_trajectory_file"):
        assert parse_qs(urlsplit(made[name]).query, keep_blank_values=True) == {"q": [text]}
