"""`proxy`: which are read, which are refused and in what words, and which one a stream has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluent_plugin_amp.config.access import Given, find_access
from fluent_plugin_amp.config.load import load
from fluent_plugin_amp.config.proxy import MAX_SOCKS_CHARS, environment_proxy, parse_proxy
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.proxy import Proxy
from tests.config.conftest import Write

STREAM = "{name: %s, url: amqps://broker.example, username: u, password: p, queue: q%s}"
PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("http", "proxy.example", 3128)),
        ("http://proxy.example/", Proxy("http", "proxy.example", 80)),
        ("http://me:p%40ss%3A@proxy.example:3128", Proxy("http", "proxy.example", 3128, "me", "p@ss:")),
        ("http://[::1]:3128", Proxy("http", "::1", 3128)),
        ("socks5://proxy.example", Proxy("socks5", "proxy.example", 1080)),
        ("socks5h://me:hunter2@10.0.0.1:9", Proxy("socks5", "10.0.0.1", 9, "me", PASSWORD)),
    ],
)
def test_what_is_read(text: str, proxy: Proxy) -> None:
    """Scheme, address, user and password, percent-decoded; and the same again from its URL."""
    assert parse_proxy(text) == proxy
    assert parse_proxy(proxy.url) == proxy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://me:hunter2@proxy:1", "must be http://host:port or socks5://host:port"),
        ("ftp://me:hunter2@proxy:1", "must be http://host:port or socks5://host:port"),
        ("http://me:hunter2@", "names no valid host and port"),
        ("http://me:hunter2@proxy:0", "names no valid host and port"),
        ("http://me:hunter2@a..b:1", "names no valid host and port"),
        ("http://me:hunter2@proxy:port", "has no valid host and port"),
        ("http://me:hunter2\udcff@proxy:1", "is not UTF-8"),
        ("http://me:hunter2/x@proxy:1", "has no valid host and port"),
        ("http://me:x@proxy:1/hunter2", "has something behind host and port"),
        ("http://:hunter2@proxy:1", "has a password and no user"),
        ("http://m%3Ae:hunter2@proxy:1", "a user with a colon"),
        ("socks5://hunter2@proxy:1", f"1 to {MAX_SOCKS_CHARS} ASCII"),
        ("socks5://me:hunter2ä@proxy:1", f"1 to {MAX_SOCKS_CHARS} ASCII"),
        (f"socks5://me:hunter2{'x' * MAX_SOCKS_CHARS}@proxy:1", f"1 to {MAX_SOCKS_CHARS} ASCII"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    """The mistake is named, and no part of the URL is."""
    with pytest.raises(ValueError, match=words) as caught:
        parse_proxy(text)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTP_PROXY": "http://proxy:1"}, None),
        ({"HTTPS_PROXY": "http://proxy:1"}, "proxy:1"),
        ({"HTTPS_PROXY": "proxy:1"}, "proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "https_proxy": "http://other:2"}, "other:2"),
        ({"ALL_PROXY": "socks5://proxy:1"}, "proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "localhost, .Example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "broker.example.com:443"}, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "broker.example.com:5671,ker.example.com,,."}, "proxy:1"),
    ],
)
def test_the_environments_proxy(environ: dict[str, str], proxy: str | None) -> None:
    """HTTPS_PROXY, else ALL_PROXY, unless NO_PROXY names the host or a domain that it is in."""
    found = environment_proxy("Broker.example.com", 443, environ)
    assert (str(found) if found else None) == proxy


def test_a_variable_that_is_no_proxy_is_named() -> None:
    """Without its value."""
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY must be http") as caught:
        environment_proxy("broker.example", 443, {"HTTPS_PROXY": "https://me:hunter2@proxy:1"})
    assert PASSWORD not in str(caught.value)


def test_a_stream_has_its_own_proxy_or_that_of_all(write: Write) -> None:
    """`direct` and `environment` are words of their own; null and nothing leave it to the top level."""
    keys = {"a": "", "b": ", proxy: null", "c": ", proxy: direct", "d": ", proxy: 'socks5://other:1'"}
    streams = ", ".join(STREAM % item for item in keys.items())
    config = load(write("amp.yml", f"proxy: environment\nstreams: [{streams}]\n"), {})
    assert [stream.proxy for stream in config.streams] == [
        "environment",
        "environment",
        "direct",
        Proxy("socks5", "other", 1),
    ]


def test_mistakes_are_reported_with_their_places(write: Write) -> None:
    """At the top level and in a stream, without the value; what is no text too."""
    file = write("amp.yml", "proxy: me:hunter2@proxy:1\nstreams: [" + STREAM % ("a", ", proxy: 3128") + "]\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert f"{file}:1: proxy: must be http://host:port, socks5://host:port, `env" in str(caught.value)
    assert f"{file}:2: streams[0].proxy: must be a text" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_proxys_password_is_a_secret(write: Write) -> None:
    """It may come from a variable; no repr shows it; a file that holds one and is open to all draws a warning."""
    streams = "\nstreams: [" + (STREAM % ("a", "")).replace("password: p", "password: '${P}'") + "]\n"
    file = write("amp.yml", "proxy: http://me:${P}@proxy:1" + streams)
    file.chmod(0o644)
    config = load(file, {"P": PASSWORD})
    assert config.streams[0].proxy == Proxy("http", "proxy", 1, "me", PASSWORD)
    assert PASSWORD not in repr(config)
    assert config.warnings == ()
    file = write("amp.yml", "proxy: http://me:hunter2@proxy:1" + streams)
    file.chmod(0o644)
    assert "holds a secret" in "".join(load(file, {"P": PASSWORD}).warnings)


@pytest.mark.parametrize(
    ("top", "own", "proxy"),
    [
        ("null", "null", None),
        ("http://proxy:1", "null", Proxy("http", "proxy", 1)),
        ("http://proxy:1", "direct", "direct"),
        ("null", "http://me:${P}@proxy:1", Proxy("http", "proxy", 1, "me", PASSWORD)),
    ],
)
def test_the_proxy_of_a_stream_is_that_of_its_cloud(write: Write, top: str, own: str, proxy: object) -> None:
    """``amp-streams -c`` takes it with the key, from a stream that may still be unfinished."""
    text = f"proxy: {top}\nstreams: [{{name: a, api: {{client_id: i, api_key: k}}, proxy: '{own}'}}]\n"
    given = Given(config_file=write("amp.yml", text.replace("'null'", "null")))
    assert find_access(given, {"P": PASSWORD}).proxy == proxy


@pytest.mark.parametrize(("own", "words"), [("'ftp://me:hunter2@x'", "must be http"), ("'${UNSET}'", "UNSET")])
def test_a_mistake_in_the_proxy_of_a_cloud(write: Write, own: str, words: str) -> None:
    """It is reported with its place, and without its value."""
    file: Path = write("amp.yml", f"streams: [{{name: a, api: {{client_id: i, api_key: k}}, proxy: {own}}}]\n")
    with pytest.raises(ConfigError, match=words) as caught:
        find_access(Given(config_file=file), {})
    assert "streams[0].proxy" in str(caught.value)
    assert PASSWORD not in str(caught.value)
