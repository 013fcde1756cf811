from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fluent_plugin_amp.config import (
    Config,
    ForwardConfig,
    SecurityConfig,
    ServerConfig,
    StreamConfig,
    TransformConfig,
)

STREAM = {"name": "a", "url": "amqps://h", "username": "u", "password": "p", "queue": "q"}


def config(**keys: Any) -> Config:
    """A configuration with one stream, unless others are given."""
    return Config.model_validate({"streams": [STREAM], **keys})


def refusals(model: type[Any], **keys: Any) -> dict[str, str]:
    """What the model refuses: the path of each key, and the words."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate(keys)
    return {".".join(map(str, error["loc"])): error["msg"] for error in refused.value.errors()}


def test_defaults() -> None:
    """A stream is all that is needed; the rest has the defaults of the reference."""
    made = config()
    assert made.forward == ForwardConfig()
    assert [server.label for server in made.forward.servers] == ["127.0.0.1:24224"]
    assert (made.forward.ack_response_timeout, made.forward.pause_after) == (60.0, 600.0)
    assert (made.forward.chunk_limit_size, made.memory_limit) == (1024 * 1024, 64 * 1024 * 1024)
    assert made.transform == TransformConfig()
    assert made.streams[0].tag == "edr.cisco.amp.events"
    assert (made.streams[0].heartbeat, made.streams[0].prefetch_count) == (60.0, "auto")
    assert made.streams[0].tls.verify is True
    assert made.warnings == ()


def test_frozen() -> None:
    """A configuration never changes once it is made."""
    with pytest.raises(ValidationError, match="frozen"):
        config().memory_limit = 1


def test_address_of_a_stream() -> None:
    """Host, port, virtual host and use of TLS follow from the url."""
    tls = StreamConfig.model_validate({**STREAM, "url": "amqps://broker:5671/v%2Fw"})
    assert (tls.host, tls.port, tls.vhost, tls.use_tls) == ("broker", 5671, "v/w", True)
    plain = StreamConfig.model_validate({**STREAM, "url": "amqp://broker"})
    assert (plain.port, plain.vhost, plain.use_tls) == (5672, "/", False)


def test_null_is_the_default() -> None:
    """A section whose keys are all commented out is no mistake, nor is a null where null has no meaning."""
    made = config(forward=None, transform=None, logging={"level": None}, memory_limit=None)
    assert made == config()
    assert "streams" in refusals(Config, streams=None)


def test_null_can_switch_off() -> None:
    """Where null has a meaning it is kept: a stream turns off what is on for all."""
    made = config(
        streams=[{**STREAM, "transform": {"flatten": None}}, {**STREAM, "name": "b"}], transform={"flatten": {}}
    )
    assert made.streams[0].transform.flatten is None
    assert made.streams[1].transform.flatten is not None


def test_transform_of_a_stream_overrides_single_keys() -> None:
    """A stream carries the global transform with its own keys in their place."""
    made = config(
        transform={"pulling_id": True, "serialize": "message", "drop_event_types": [1003]},
        streams=[{**STREAM, "transform": {"serialize": "json", "pulling_id": False}}, {**STREAM, "name": "b"}],
    )
    first, second = made.streams
    assert (first.transform.serialize, first.transform.pulling_id) == ("json", False)
    assert first.transform.drop_event_types == (1003,)
    assert (second.transform.serialize, second.transform.pulling_id) == ("message", True)


def test_add_of_a_stream_goes_over_the_global_one() -> None:
    """Static fields of all levels come together, the stream's own first, under both names."""
    made = config(
        transform={"add": {"site": "hq", "env": "prod"}},
        streams=[
            {**STREAM, "add": {"site": "lab"}},
            {**STREAM, "name": "b", "add": {"x": 1}, "transform": {"add": {"y": 2}}},
        ],
    )
    assert made.streams[0].add == made.streams[0].transform.add == {"site": "lab", "env": "prod"}
    assert made.streams[1].add == made.streams[1].transform.add == {"y": 2, "x": 1}
    assert made.transform.add == {"site": "hq", "env": "prod"}


def test_event_types_by_name_alias_and_id() -> None:
    """Names in any case, older names and ids all come to ids."""
    names = ["policy UPDATE", "Retrospective Detection", "Rootkit Detection", 1003, "1004", 99]
    assert config(transform={"drop_event_types": names}).transform.drop_event_types == (
        553648130,
        553648147,
        1090519081,
        1003,
        1004,
        99,
    )


def test_event_types_that_are_none() -> None:
    """Unknown, ambiguous and abbreviated names, and `all`, are refused each for itself, with candidates."""
    wrong = ["Polcy Update", "Threat Det", True, -1, "Rootkit", "all"]
    words = refusals(TransformConfig, drop_event_types=wrong)
    assert (
        "only the beginning of a name; meant perhaps: Rootkit Detection (1090519081)" in words["drop_event_types.4"]
    )
    assert "`all` is no event type" in words["drop_event_types.5"]
    assert "Policy Update (553648130)" in words["drop_event_types.0"]
    assert "Threat Detected (1090519054)" in words["drop_event_types.1"]
    assert "Threat Detection (553648222)" in words["drop_event_types.1"]
    assert words["drop_event_types.2"] == words["drop_event_types.3"]
    assert "must be the name or the id" in words["drop_event_types.2"]


@pytest.mark.parametrize("tag", ["{stream}", "amp.{event_type}.{event_type_id}.{severity}", "a.b-c_d"])
def test_tags(tag: str) -> None:
    """A tag may hold the four placeholders."""
    assert StreamConfig.model_validate({**STREAM, "tag": tag}).tag == tag


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("", "at least 1"),
        ("a b", "white space"),
        ("a.*", "without"),
        ("{severty}", "{group} and no other"),
        ("{}", "and no other"),
        ("{", "{ }"),
        ("a}", "{ }"),
    ],
)
def test_tags_that_are_none(tag: str, words: str) -> None:
    """Unknown placeholders, stray braces, white space and wildcards are refused."""
    assert words in refusals(StreamConfig, **{**STREAM, "tag": tag})["tag"]


def test_dead_letters_have_a_fixed_tag() -> None:
    """No placeholder: what cannot be decoded has no fields."""
    assert (
        "without white space, { }"
        in refusals(Config, streams=[STREAM], dead_letters={"tag": "x.{stream}"})["dead_letters.tag"]
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"a": float("nan")}, ".nan or .inf"),
        ({"a": [float("inf")]}, ".nan or .inf"),
        ({"a": {"b": 2**64}}, "integers outside"),
        ({"a": -(2**63) - 1}, "integers outside"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": [[[]] * 2] * 2, "": 1}, "at least 1"),
    ],
)
def test_static_fields_that_no_server_keeps(fields: dict[str, Any], words: str) -> None:
    """What msgpack or a server cannot carry is refused before the first event."""
    assert any(words in text for text in refusals(TransformConfig, add=fields).values())


def test_static_fields_have_bounded_depth() -> None:
    """32 levels are kept, 33 are not."""
    value: Any = 1
    for _ in range(31):
        value = {"a": value}
    assert TransformConfig(add={"a": value}).add == {"a": value}
    assert "deeper than 32" in refusals(TransformConfig, add={"a": {"a": value}})["add"]


def test_tls_on_a_plain_url() -> None:
    """Somebody who sets up TLS and writes amqp:// would send the password in the clear."""
    keys = {**STREAM, "url": "amqp://h", "tls": {"server_name": "x"}}
    assert "write amqps://" in refusals(StreamConfig, **keys)["tls"]


def test_a_key_needs_its_certificate() -> None:
    """`key_file` alone is a mistake, `cert_file` alone may hold both."""
    assert "without `cert_file`" in refusals(ForwardConfig, tls={"key_file": "k.pem"})["tls.key_file"]
    tls = ForwardConfig.model_validate({"tls": {"cert_file": "c.pem"}}).tls
    assert tls is not None
    assert tls.cert_file == Path("c.pem")


def test_forward_tls_is_off_unless_given() -> None:
    """null is plain, {} is TLS with all defaults."""
    assert ForwardConfig.model_validate({"tls": None}).tls is None
    assert ForwardConfig.model_validate({"tls": {}}).tls is not None


@pytest.mark.parametrize(
    ("keys", "label"),
    [
        ({}, "127.0.0.1:24224"),
        ({"host": "fluentd", "port": "5"}, "fluentd:5"),
        ({"host": "::1"}, "[::1]:24224"),
        ({"host": "[::1]"}, "[::1]:24224"),
        ({"unix_path": "/run/f.sock"}, "/run/f.sock"),
    ],
)
def test_labels(keys: dict[str, Any], label: str) -> None:
    """A server's label is its address."""
    assert ServerConfig.model_validate(keys).label == label


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        ({"host": "a:1"}, "host", "`port` is a key of its own"),
        ({"host": "tcp://a"}, "host", "must be a host name"),
        ({"host": ""}, "host", "must be a host name"),
        ({"port": 0}, "port", "at least 1"),
        ({"port": 65536}, "port", "at most 65535"),
        ({"port": True}, "port", "whole number"),
        ({"unix_path": "/x", "port": 5}, "port", "one address"),
        ({"unix_path": "/x", "host": "h"}, "host", "one address"),
        ({"unix_path": "/" + "x" * 107}, "unix_path", "107 bytes"),
        ({"weight": 0}, "weight", "at least 1"),
    ],
)
def test_servers_that_are_none(keys: dict[str, Any], key: str, words: str) -> None:
    """A server has one address, and numbers in their range."""
    assert words in refusals(ServerConfig, **keys)[key]


def test_servers_together() -> None:
    """No server twice, and not all on standby."""
    assert "127.0.0.1:24224 twice" in refusals(ForwardConfig, servers=[{}, {"weight": 1}])["servers"]
    assert "all `standby`" in refusals(ForwardConfig, servers=[{"standby": True}])["servers"]
    assert "at least 1" in refusals(ForwardConfig, servers=[])["servers"]


def test_security() -> None:
    """The handshake needs a key, which may be empty; a user and a password come together."""
    made = SecurityConfig.model_validate({"shared_key": ""})
    assert (made.self_hostname, made.shared_key.get_secret_value()) == (socket.gethostname(), "")
    assert "shared_key" in refusals(SecurityConfig)
    assert "missing for `username`" in refusals(SecurityConfig, shared_key="k", username="u")["password"]
    assert "without `username`" in refusals(SecurityConfig, shared_key="k", password="p")["password"]


def test_stream_names_are_unique() -> None:
    """Two streams of one name could not be told apart in logs and metrics."""
    assert "two streams named `a`" in refusals(Config, streams=[STREAM, STREAM])["streams"]


def test_a_url_never_holds_a_secret() -> None:
    """`load` moves user and password out of the url; the model takes no other."""
    words = refusals(StreamConfig, **{**STREAM, "url": "amqps://u:hunter2@h"})
    assert "hunter2" not in words["url"]


def test_secrets_stay_out_of_texts() -> None:
    """Neither repr nor JSON of a configuration, nor the text of a refusal, holds a secret."""
    forward = {"security": {"shared_key": "hunter2", "username": "u", "password": "hunter2"}}
    made = config(streams=[{**STREAM, "password": "hunter2"}], forward=forward)
    assert "hunter2" not in repr(made) + str(made) + made.model_dump_json()
    with pytest.raises(ValidationError) as refused:
        StreamConfig.model_validate({**STREAM, "heartbeat": "hunter2", "pasword": "hunter2", "password": ["hunter2"]})
    assert "hunter2" not in str(refused.value)


def test_warnings_are_carried() -> None:
    """A copy with warnings is the same configuration."""
    made = config().loaded(["a", "b"])
    assert made.warnings == ("a", "b")
    assert config().warnings == ()


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:24280", ("127.0.0.1", 24280)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8080", ("::1", 8080)),
        (None, None),
    ],
)
def test_the_address_of_the_endpoints(listen: str | None, address: tuple[str, int] | None) -> None:
    """`listen` is host and port; null turns the endpoints off, leaving it out does not."""
    assert config(observe={"listen": listen}).observe.address == address
    assert config(observe={}).observe.address == ("127.0.0.1", 24280)


@pytest.mark.parametrize("listen", ["24280", ":24280", "h", "h:", "h:0", "h:65536", "::1:80", "a b:1", "h:x"])
def test_addresses_of_endpoints_that_are_none(listen: Any) -> None:
    """A port without a host, a bare IPv6 address, and whatever else cannot be listened on."""
    assert "must be" in refusals(Config, streams=[STREAM], observe={"listen": listen})["observe.listen"]


def test_the_tag_of_the_log() -> None:
    """The log stays on standard error unless it has a tag, which is checked like any other."""
    assert config().logging.forward_tag is None
    assert config(logging={"forward_tag": "fluent_plugin_amp.log"}).logging.forward_tag == "fluent_plugin_amp.log"
    assert "white space" in refusals(Config, streams=[STREAM], logging={"forward_tag": "a b"})["logging.forward_tag"]


def test_state() -> None:
    """Nothing outlives the process unless a file is named; the broker's ten days are covered."""
    assert config().state.path is None
    assert config().state.remember == 11 * 86400
    assert config(state={"remember": "2d"}).state.remember == 2 * 86400
    assert "at least 1m" in refusals(Config, streams=[STREAM], state={"remember": "1s"})["state.remember"]


def test_a_polled_stream_cannot_be_exclusive() -> None:
    """Nobody keeps others away who disconnects."""
    with pytest.raises(ValidationError, match="cannot be used with `exclusive`"):
        Config.model_validate({"streams": [{**STREAM, "exclusive": True, "poll_interval": "60s"}]})
    for keys in ({"exclusive": True}, {"poll_interval": "60s"}, {"exclusive": True, "poll_interval": None}):
        Config.model_validate({"streams": [{**STREAM, **keys}]})


def test_silence_is_longer_than_a_poll() -> None:
    """Between two polls no event can come: each of them would be a warning."""
    with pytest.raises(ValidationError, match="must be longer than `poll_interval`"):
        Config.model_validate({"streams": [{**STREAM, "silent_after": "5m", "poll_interval": "5m"}]})
    for keys in ({"silent_after": "1m"}, {"silent_after": "6m", "poll_interval": "5m"}):
        Config.model_validate({"streams": [{**STREAM, **keys}]})


def test_shape_by_its_name_or_with_options() -> None:
    """`ocsf` is short for the mapping; what OCSF alone has is a mistake with `ecs`."""
    short, long = (config(transform={"shape": shape}) for shape in ("ocsf", {"to": "ocsf", "version": "1.6.0"}))
    assert short.transform.shape == long.transform.shape is not None
    for key, value in (("version", "1.6.0"), ("observables", True)):
        with pytest.raises(ValidationError, match="is for `to: ocsf` only"):
            config(transform={"shape": {"to": "ecs", key: value}})
