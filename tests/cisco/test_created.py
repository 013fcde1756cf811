"""Cisco's own answer to a creation, as a credentials file."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.cisco.created import as_credentials, is_answer
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood

AMQP = {
    "user_name": "6-ab",
    "password": "hunter2",
    "queue_name": "event_stream_6",
    "host": "h.example",
    "port": "443",
}


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ({"data": {"id": 6}}, True),
        ({"amqp_credentials": {}}, True),
        ({"data": []}, False),
        ({"url": "amqps://h", "password": "p"}, False),
        ({}, False),
    ],
)
def test_an_answer_is_told_from_a_file_of_our_own(found: dict[str, Any], answer: bool) -> None:
    """By `data` or `amqp_credentials`, which ours has not."""
    assert is_answer(found) is answer


@pytest.mark.parametrize(
    ("host", "cloud"),
    [
        ("export-streaming.amp.cisco.com", "us"),
        ("Export-Streaming.APJC.amp.cisco.com", "apjc"),
        ("h.example", None),
    ],
)
def test_the_brokers_host_tells_the_cloud(host: str, cloud: str | None) -> None:
    """A private cloud's console and API are not known by it."""
    credentials = as_credentials({"data": {"id": 6, "name": "", "amqp_credentials": {**AMQP, "host": host}}})
    assert credentials.get("cloud") == cloud
    assert credentials["url"] == f"amqps://{host}:443"
    assert credentials["name"] == "event_stream_6"


@pytest.mark.parametrize("missing", ["user_name", "password", "queue_name", "host"])
def test_half_an_answer_is_none(missing: str) -> None:
    """What is missing is said, the rest is not quoted."""
    amqp = {key: value for key, value in AMQP.items() if key != missing}
    with pytest.raises(CloudAnswerNotUnderstood) as caught:
        as_credentials({"id": 6, "amqp_credentials": amqp})
    assert "hunter2" not in str(caught.value)
