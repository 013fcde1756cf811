"""Clouds by name, host and URL."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco.regions import CLOUDS, Cloud, find_cloud


@pytest.mark.parametrize(
    ("name", "infix"), [("us", ""), ("eu", ".eu"), ("apjc", ".apjc"), (" EU ", ".eu"), ("Apjc", ".apjc")]
)
def test_the_public_clouds_are_known_by_name(name: str, infix: str) -> None:
    """A region, in any case, means its three hosts as Cisco publishes them."""
    cloud = find_cloud(name)
    assert cloud.api_url == f"https://api{infix}.amp.cisco.com"
    assert cloud.broker_host == f"export-streaming{infix}.amp.cisco.com"
    assert cloud.console_host == f"console{infix}.amp.cisco.com"
    assert cloud.is_public


@pytest.mark.parametrize(
    "host", ["api.eu.amp.cisco.com", "https://api.eu.amp.cisco.com/", "https://API.eu.amp.cisco.com:443/v1"]
)
def test_a_public_cloud_given_by_its_host_is_that_cloud(host: str) -> None:
    """The host of a public API brings the right broker and console with it."""
    assert find_cloud(host) == CLOUDS["eu"]
    assert find_cloud(host).as_setting() == "eu"


@pytest.mark.parametrize(
    ("text", "api_url", "host"),
    [
        ("amp.example.com", "https://amp.example.com", "amp.example.com"),
        ("amp.example.com:8443", "https://amp.example.com:8443", "amp.example.com"),
        ("https://AMP.example.com:8443/", "https://amp.example.com:8443", "amp.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1"),
        ("http://localhost:8080", "http://localhost:8080", "localhost"),
        ("https://[::1]:8443", "https://[::1]:8443", "::1"),
        ("localhost", "https://localhost", "localhost"),
        ("https://appliance", "https://appliance", "appliance"),
    ],
)
def test_a_private_cloud_is_known_by_its_host(text: str, api_url: str, host: str) -> None:
    """Any host, with a port or not, is a private cloud whose parts are all on that host."""
    cloud = find_cloud(text, ca_file="ca.pem")
    assert (cloud.api_url, cloud.broker_host, cloud.console_host) == (api_url, host, host)
    assert cloud.as_setting() == {"api": api_url, "console": host, "ca_file": "ca.pem"}
    assert not cloud.is_public


def test_a_private_cloud_may_have_its_console_elsewhere() -> None:
    """The console's host can be told apart from the API's."""
    assert find_cloud("amp.example.com", console="console.example.com").console_host == "console.example.com"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither a region"),
        ("emea", "neither a region"),
        ("amp example.com", "neither a region"),
        ("https://user:secret@amp.example.com", "user or password"),
        ("https://user:secret/x@amp.example.com", "user or password"),
        ("https://user:secret@amp\u2100.example.com", "user or password"),
        ("https://[::1", "nor a host"),
        ("http://amp.example.com", "in the clear"),
        ("ftp://amp.example.com", "over https"),
        ("https://amp.example.com/console", "without a path"),
        ("amp.example.com:https", "the port"),
        ("a..example.com", "not a host name"),
        ("amp$.example.com", "not a host name"),
    ],
)
def test_what_is_no_cloud_is_refused(text: str, reason: str) -> None:
    """A typo, a path, user info, or http to another machine is a ValueError that says why, without secrets."""
    with pytest.raises(ValueError, match=reason) as caught:
        find_cloud(text)
    assert "secret" not in str(caught.value)


def test_a_cloud_with_its_own_ca_is_written_out() -> None:
    """A public cloud behind a TLS-inspecting proxy keeps its CA in the configuration."""
    setting = find_cloud("us", ca_file="/etc/proxy.pem").as_setting()
    assert setting == {
        "api": "https://api.amp.cisco.com",
        "console": "console.amp.cisco.com",
        "ca_file": "/etc/proxy.pem",
    }
    assert isinstance(find_cloud("us"), Cloud)
