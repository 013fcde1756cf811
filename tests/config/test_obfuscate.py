from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.pipeline.obfuscate import keyed_hash
from fluent_plugin_amp.run.background import log_unmatched
from fluent_plugin_amp.run.build import make_obfuscation, make_transform

Write = Callable[[str, str], Path]

STREAM = {
    "name": "a",
    "url": "amqps://export-streaming.eu.amp.cisco.com",
    "username": "u",
    "password": "p",
    "queue": "q",
}
PRIVATE = {**STREAM, "url": "amqps://amp.example.com"}


def loaded(write: Write, **keys: Any) -> Config:
    """A configuration of one stream, from a file."""
    return load(write("c.json", json.dumps({"streams": [STREAM], **keys})), {})


def refusal(write: Write, **keys: Any) -> str:
    """What is said about it."""
    with pytest.raises(ConfigError) as refused:
        loaded(write, **keys)
    return str(refused.value)


# --- obfuscate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["all", "stream"])
def test_the_key_is_read_from_its_file(write: Write, where: str) -> None:
    """For all streams and for one; the file's line end is no part of the key."""
    write("k", "secret\n")
    transform = {"obfuscate": [{"field": "computer.user", "method": "hash", "key_file": "k"}]}
    keys = {"transform": transform} if where == "all" else {"streams": [{**STREAM, "transform": transform}]}
    obfuscation = make_obfuscation(loaded(write, **keys).streams[0].transform)
    assert obfuscation is not None
    (rule,) = obfuscation.rules
    assert (rule.path, rule.method, rule.key) == ("computer.user", "hash", b"secret")


def test_without_rules_there_is_no_step(write: Write) -> None:
    """The plain path stays plain."""
    assert make_transform(loaded(write).streams[0]).obfuscate is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"field": "a", "method": "hash"}, "`hash` needs `key_file`"),
        ({"field": "a", "method": "hash", "key_file": "none"}, "No such file"),
        ({"field": "a", "method": "hsh"}, "did you mean `hash`?"),
        ({"field": "a..b", "method": "mask"}, "must be a field such as computer.user"),
        ({"method": "mask"}, "missing"),
        ({"field": "a"}, "missing"),
        ({"field": "a", "preset": "user", "method": "mask"}, "given together with `preset`: remove one of them"),
        ({"preset": "usr", "method": "mask"}, "did you mean `user`?"),
        ({"preset": "user", "method": "hash"}, "`hash` needs `key_file`"),
    ],
)
def test_mistakes(write: Write, rule: dict[str, str], words: str) -> None:
    """Each is told with its place."""
    said = refusal(write, transform={"obfuscate": [rule]})
    assert words in said
    assert "transform.obfuscate[0]" in said


def test_a_field_is_given_once(write: Write) -> None:
    """Of two rules for one field, which one holds?"""
    rules = [{"field": "a", "method": "mask"}, {"field": "a", "method": "drop"}]
    assert "has the field `a` twice" in refusal(write, transform={"obfuscate": rules})
    rules = [{"preset": "user", "method": "mask"}, {"preset": "user", "method": "drop"}]
    assert "has the preset `user` twice" in refusal(write, transform={"obfuscate": rules})


def test_a_preset_is_all_of_its_fields(write: Write) -> None:
    """In other texts too; what is said of one of them by itself goes first, wherever it stands."""
    rules = [
        {"preset": "computer", "method": "mask"},
        {"field": "computer.hostname", "method": "hash", "key": "k"},
    ]
    transform = make_transform(loaded(write, transform={"obfuscate": rules, "links": True}).streams[0])
    computer = {"hostname": "laptop", "connector_guid": "g-1", "links": {"computer": "https://x/g-1"}}
    sent = transform({"computer": computer, "connector_guid": "g-1", "scan": {"description": "g-1 Laptop"}}, 0.0)
    assert sent is not None
    record = sent[1]
    assert record["computer"] == {
        "hostname": keyed_hash(b"k", "laptop"),
        "connector_guid": "***",
        "links": "***",
    }
    assert (record["connector_guid"], record["scan"]["description"]) == ("***", "*** ***")
    assert "console_links" not in record


def test_an_inline_key_is_a_secret(write: Write) -> None:
    """It is in no text of the configuration, and a file that others can read draws a warning."""
    path = write(
        "c.json",
        json.dumps(
            {
                "streams": [{**STREAM, "password": "${P}"}],
                "transform": {"obfuscate": [{"field": "a", "method": "hash", "key": "topsecret"}]},
            }
        ),
    )
    path.chmod(0o644)
    config = load(path, {"P": "p"})
    assert "topsecret" not in repr(config)
    assert any("holds a secret" in warning for warning in config.warnings)


def test_unmatched_paths_are_logged(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """A field that no event had is named, with its stream."""
    transform = make_transform(
        loaded(write, transform={"obfuscate": [{"field": "computer.usr", "method": "mask"}]}).streams[0]
    )
    transform({"computer": {"user": "x"}}, 0.0)
    for _ in range(2):
        log_unmatched([transform])
    assert [record.getMessage() for record in caplog.records] == [
        "stream a: no event had the field computer.usr of transform.obfuscate"
    ]


# --- links --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "console"),
    [
        (STREAM, "console.eu.amp.cisco.com"),
        ({**STREAM, "cloud": "apjc"}, "console.apjc.amp.cisco.com"),
        ({**PRIVATE, "cloud": {"console": "amp.example.com:8443"}}, "amp.example.com:8443"),
    ],
)
def test_the_console_of_a_stream(write: Write, stream: dict[str, Any], console: str) -> None:
    """By the broker's host, by name, or given."""
    made = loaded(write, streams=[stream], transform={"links": True}).streams[0]
    assert made.console_host == console
    sent = make_transform(made)({"event_type_id": 1}, 0.0)
    assert sent is not None
    assert sent[1]["console_links"]["dashboard_event_type"].startswith(f"https://{console}/")


def test_a_console_that_is_not_known_matters_for_links_only(write: Write) -> None:
    """With links it is a mistake, without them nothing is said."""
    assert loaded(write, streams=[PRIVATE]).streams[0].console_host is None
    assert "`a` has `links`, but no `cloud`" in refusal(write, streams=[PRIVATE], transform={"links": True})


@pytest.mark.parametrize(
    "cloud", ["mars", 7, {"console": "https://h"}, {"console": ""}, {}, {"console": "h", "x": 1}]
)
def test_a_cloud_that_is_none(write: Write, cloud: Any) -> None:
    """Neither a name nor a mapping with a host."""
    assert "streams[0].cloud" in refusal(write, streams=[{**STREAM, "cloud": cloud}])


@pytest.mark.parametrize(
    ("saved", "api", "console"),
    [
        ("us", "us", "console.amp.cisco.com"),
        ({"api": "https://h", "console": "c", "ca_file": "f"}, "https://h", "c"),
        ({"console": "c"}, None, "c"),
    ],
)
def test_the_cloud_of_a_credentials_file(write: Write, saved: Any, api: str | None, console: str) -> None:
    """What `amp-streams create --save` wrote tells API and console; what the stream says itself goes first."""
    write("saved.json", json.dumps({**STREAM, "cloud": saved}))
    stream = {"credentials_file": "saved.json"}
    config = loaded(write, streams=[stream]).streams[0]
    assert config.console_host == console
    assert config.cloud is not None
    assert (config.cloud.api, config.cloud.ca_file) == (api, None)
    own = loaded(write, streams=[{**stream, "cloud": "eu"}]).streams[0]
    assert own.console_host == "console.eu.amp.cisco.com"


# --- dead letters -------------------------------------------------------------------------------------------


def test_dead_letters_are_masked_unless_told_otherwise(write: Write) -> None:
    """`dead_letters.raw` is off by default."""
    assert loaded(write).dead_letters.raw is False
    assert loaded(write, dead_letters={"raw": True}).dead_letters.raw is True
