"""Files of another kind, given with `-c`: one mistake says what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.test_load_mistakes import mistakes

Write = Callable[[str, str], Path]
CONF = Path(__file__).parent.parent.parent / "conf"

COLLECTOR = """
globals: {debug: false, id: not_used, name: cisco, persistence: {type: filesystem}}
outputs: {devo_us_1: {type: devo_platform, config: {address: collector-us.devo.io, port: 443}}}
inputs: {cisco_amp: {id: 1, enabled: true, credentials: {client_id: a, api_key: hunter2}}}
"""
SAVED = (
    "{name: SIEM, id: 6, cloud: eu, url: 'amqps://h:443', username: 6-a, password: hunter2, queue: event_stream_6}"
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (COLLECTOR, "is the configuration of a Devo collector"),
        (SAVED, "holds the credentials of a stream"),
        (
            "version: v1\ndata:\n  id: 6\n  amqp_credentials: {password: hunter2}\n",
            "holds the credentials of a stream",
        ),
        ("url: amqps://u:hunter2@h\nqueue: q\n", "holds one stream"),
        ("- {url: 'amqps://u:hunter2@h', queue: q}\n", "holds a list of streams"),
        ((CONF / "fluent-bit.conf").read_text(), "is a configuration of Fluent Bit"),
        ((CONF / "fluent-bit.yaml").read_text(), "is a configuration of Fluent Bit"),
        ((CONF / "fluentd.conf").read_text(), "is a configuration of Fluentd"),
        ("@include x.conf\n<match **>\n</match>\n", "is a configuration of Fluentd"),
        ("tenants: [{name: a}]", "is a fleet file"),
        ("apiVersion: v1\nkind: Secret\nstringData: {stream.yml: hunter2}", "is a Kubernetes manifest"),
    ],
)
def test_it_is_recognised(text: str, kind: str, write: Write) -> None:
    """And nothing else is said of it; no secret is told."""
    (mistake,) = mistakes(write("c.yml", text))
    assert mistake.startswith(f"c.yml:1: {kind}")
    assert "hunter2" not in mistake


@pytest.mark.parametrize("text", ["- 1", "a: 1", "[SERVICES]", "x", "data: 1"])
def test_nothing_is_guessed(text: str, write: Write) -> None:
    """Anything else has the mistakes that it has."""
    assert not any(" is a " in mistake or " holds " in mistake for mistake in mistakes(write("c.yml", text)))
