"""Cisco's words for a broker, as a URL."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco.address import StreamAddress, address_of, amqps_url
from fluent_plugin_amp.cisco.answers import AmqpCredentials, EventStream
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.regions import find_cloud


@pytest.mark.parametrize(
    ("host", "port", "proto", "url"),
    [
        ("export-streaming.amp.cisco.com", "443", "https", "amqps://export-streaming.amp.cisco.com:443"),
        ("h", 5671, "amqps", "amqps://h:5671"),
        ("h", None, "https", "amqps://h:443"),
        ("h", "", "https", "amqps://h:443"),
        ("::1", "443", "https", "amqps://[::1]:443"),
    ],
)
def test_https_with_a_port_in_a_string_is_amqps(host: str, port: str | int | None, proto: str, url: str) -> None:
    """What Cisco calls https is AMQP over TLS; its port may be a string, a number or missing."""
    assert amqps_url(host, port, proto) == url


@pytest.mark.parametrize(("port", "proto"), [("0", "https"), (65536, "https"), ("x", "https"), ("443", "http")])
def test_what_means_no_amqps_is_refused(port: str | int, proto: str) -> None:
    """A port out of range, and a protocol that does not mean TLS, are never guessed."""
    with pytest.raises(ValueError, match=r"no port|not known|invalid literal"):
        amqps_url("h", port, proto)


@pytest.mark.parametrize("host", ["", "a b", "u:p@h", "h/x", "h?x", "h\n", "-h", "x" * 100_000])
def test_what_is_no_host_is_refused(host: str) -> None:
    """Nothing but a name gets into the URL that is saved and connected to."""
    with pytest.raises(ValueError, match="is not a host name"):
        amqps_url(host, 443)


def test_an_address_is_everything_but_the_password() -> None:
    """Host and port as numbers and texts, user and queue; the cloud's own host where Cisco leaves it out."""
    stream = EventStream(6, "SIEM", amqp=AmqpCredentials("6-ab", "event_stream_6", None, None, "https", "secret"))
    assert address_of(stream, find_cloud("eu")) == StreamAddress(
        6,
        "SIEM",
        "amqps://export-streaming.eu.amp.cisco.com:443",
        "export-streaming.eu.amp.cisco.com",
        443,
        "6-ab",
        "event_stream_6",
    )


@pytest.mark.parametrize(
    "amqp", [None, AmqpCredentials("u", "q", "h", 0, "https"), AmqpCredentials("u", "q", "h", 1, "x")]
)
def test_a_stream_without_a_usable_address_is_not_understood(amqp: AmqpCredentials | None) -> None:
    """The stream is named."""
    with pytest.raises(CloudAnswerNotUnderstood, match=r"event stream 'SIEM' \(6\)"):
        address_of(EventStream(6, "SIEM", amqp=amqp), find_cloud("eu"))
