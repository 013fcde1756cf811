"""A stream by its name in Cisco's console: four settings are enough, and what is missing or doubled is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.cisco.regions import CLOUDS
from fluent_plugin_amp.config import load
from fluent_plugin_amp.errors import ConfigError

Write = Callable[[str, str], Path]

SIEM = "event_stream_name: SIEM, password: p"
API = "api: {client_id: id, api_key: hunter2hunter2}"


def mistakes(path: Path) -> list[str]:
    """Every mistake, without the folder and without the number of them."""
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    lines = str(caught.value).splitlines()
    return [line.strip().replace(f"{path.parent}/", "") for line in lines if ".yml:" in line]


def test_four_settings_are_enough(write: Write) -> None:
    """The stream is called as in the console; nothing is known of its broker yet, but that it speaks TLS."""
    config = load(write("c.yml", f"streams: [{{{SIEM}, cloud: eu, {API}}}]"), {})
    (stream,) = config.streams
    assert (stream.name, stream.event_stream_name) == ("SIEM", "SIEM")
    assert (stream.url, stream.username, stream.queue, stream.use_tls) == ("", "", "", True)
    assert stream.cloud is not None
    assert stream.cloud.cloud == CLOUDS["eu"]
    assert stream.console_host == "console.eu.amp.cisco.com"
    assert stream.api is not None
    assert (stream.api.key.client_id, stream.api.key.api_key) == ("id", "hunter2hunter2")
    assert config.warnings == ()
    assert "hunter2" not in repr(config)


def test_what_was_found_completes_it(write: Write) -> None:
    """The rest stays as it is configured."""
    (stream,) = load(write("c.yml", f"streams: [{{{SIEM}, name: emea, cloud: eu, {API}}}]"), {}).streams
    found = stream.found(url="amqps://h:8443", username="6-a", queue="event_stream_6")
    assert (found.name, found.host, found.port, found.username, found.queue) == (
        "emea",
        "h",
        8443,
        "6-a",
        "event_stream_6",
    )
    assert found.password.get_secret_value() == "p"


def test_a_private_cloud_and_files(write: Write) -> None:
    """Files are beside the configuration; the console is on the host of the API unless given."""
    write("keys/emea", "hunter2hunter2\n")
    write("ca.pem", "")
    text = """
    streams:
      - event_stream_name: SIEM
        password: p
        cloud: {api: "amp.example.com:8443", ca_file: ca.pem}
        api: {client_id: id, api_key_file: keys/emea}
        transform: {links: true}
      - {event_stream_name: B, password: p, cloud: {api: "https://h.example.com", console: c.example.com}, api: &a
          {client_id: id, api_key: "${KEY}"}}
    """
    path = write("c.yml", text)
    first, second = load(path, {"KEY": "k"}).streams
    assert first.cloud is not None
    assert first.cloud.cloud is not None
    assert first.cloud.cloud.api_url == "https://amp.example.com:8443"
    assert first.cloud.cloud.ca_file == str(path.parent / "ca.pem")
    assert first.console_host == "amp.example.com"
    assert first.api is not None
    assert first.api.key.api_key == "hunter2hunter2"
    assert second.console_host == "c.example.com"


def test_api_without_a_name_is_for_other_commands(write: Write) -> None:
    """`amp-streams -c` reads it; the stream is consumed as it is configured."""
    (stream,) = load(write("c.yml", f"streams: [{{url: 'amqps://u:p@h', queue: q, {API}}}]"), {}).streams
    assert stream.host == "h"
    assert stream.api is not None


def test_a_key_that_others_can_read_draws_a_warning(write: Write) -> None:
    """As every secret in a file does."""
    path = write("c.yml", f"streams: [{{event_stream_name: S, password: '${{P}}', cloud: eu, {API}}}]")
    path.chmod(0o644)
    assert [warning.split(" ", 1)[1][:14] for warning in load(path, {"P": "p"}).warnings] == ["holds a secret"]


BOTH = "given together with `event_stream_name`, which looks it up: remove one of them"


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (
            SIEM,
            [
                "cloud: must say where to look up `event_stream_name`: us, eu, apjc, or a mapping with `api`",
                "api: missing; `event_stream_name` is looked up with `client_id` and `api_key_file`",
            ],
        ),
        (
            f"{SIEM}, cloud: {{console: c}}, {API}",
            ["cloud: must say where to look up `event_stream_name`: us, eu, apjc, or a mapping with `api`"],
        ),
        (f"{SIEM}, cloud: {{}}, {API}", ["cloud.console: missing; give the console, or the `api`"]),
        (
            f"{SIEM}, cloud: {{api: 'http://h.example.com'}}, {API}",
            ["cloud.api: must be a host, host:port, or an https:// URL without user and path"],
        ),
        (
            f"{SIEM}, cloud: eu, api: {{client_id: id}}",
            ["api.api_key: missing; give it here or as `api_key_file`"],
        ),
        (
            f"{SIEM}, cloud: eu, api: {{client_id: id, api_key: 'a b'}}",
            ["api.api_key: the API key is empty, or holds white space or other than ASCII characters"],
        ),
        (f"{SIEM}, cloud: eu, {API}, url: 'amqps://h', queue: q", [f"url: {BOTH}", f"queue: {BOTH}"]),
        (f"{SIEM}, cloud: eu, {API}, username: u", [f"username: {BOTH}"]),
        (
            f"event_stream_name: S, credentials_file: s.yml, cloud: eu, {API}",
            ["credentials_file: given together with `event_stream_name`: use only one of them"],
        ),
        (f"event_stream_name: '${{NO}}', password: p, cloud: eu, {API}", [
            "event_stream_name: the environment variable NO is not set; a default is written ${NAME:-default}"
        ]),
        (
            f"event_stream_name: S, cloud: eu, {API}",
            ["password: missing; give it here, in `url`, as `password_file`, or through `credentials_file`"],
        ),
    ],
)  # fmt: skip
def test_mistakes(write: Write, stream: str, expected: list[str]) -> None:
    """Each in its own words, and nothing else besides."""
    path = write("c.yml", f"streams: [{{{stream}}}]")
    assert mistakes(path) == [f"c.yml:1: streams[0].{each}" for each in expected]


def test_files_that_are_not_there(write: Write) -> None:
    """The key's, and the CA's."""
    text = (
        f"streams: [{{{SIEM}, cloud: {{api: h.example.com, ca_file: no}}, api: {{client_id: i, api_key_file: no}}}}]"
    )
    key, ca = mistakes(write("c.yml", text))
    assert key.startswith("c.yml:1: streams[0].api.api_key_file: the file cannot be read: No such file")
    assert ca.startswith("c.yml:1: streams[0].cloud.ca_file: no cannot be read: No such file")
