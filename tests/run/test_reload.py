from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.config.keys import keys_of
from fluent_plugin_amp.run.reload import Changes, compare, tls_files

STREAM = {"url": "amqps://h", "username": "u", "password": "p", "queue": "q"}


def config(*streams: dict[str, Any], **keys: Any) -> Config:
    """A configuration with these streams; one named a when there are none."""
    return Config.model_validate(
        {"streams": [{**STREAM, **stream} for stream in streams or ({"name": "a"},)], **keys}
    )


def names(changes: Changes) -> dict[str, list[str]]:
    """What becomes of which stream; nothing for those that go on as they are."""
    found = {
        "added": [stream.name for stream in changes.added],
        "removed": list(changes.removed),
        "restarted": [stream.name for stream in changes.restarted],
        "transformed": [stream.name for stream in changes.transformed],
    }
    return {what: those for what, those in found.items() if those}


def test_nothing_changed() -> None:
    """The same file again."""
    changes = compare(config(), config())
    assert not changes
    assert changes.fixed == ()
    assert str(changes) == "nothing changed"


def test_streams_come_and_go() -> None:
    """By their names; one that stays does not notice."""
    changes = compare(config({"name": "a"}, {"name": "b"}), config({"name": "c"}, {"name": "b"}))
    assert names(changes) == {"added": ["c"], "removed": ["a"]}
    assert str(changes) == "added: c; removed: a"
    assert bool(changes)


@pytest.mark.parametrize(
    "stream",
    [
        {"url": "amqps://other"},
        {"username": "v"},
        {"password": "new"},
        {"queue": "other"},
        {"heartbeat": "30s"},
        {"exclusive": True},
        {"poll_interval": "60s"},
        {"prefetch_count": 7},
        {"tls": {"server_name": "x"}},
    ],
)
def test_a_stream_whose_way_to_the_broker_changed_begins_anew(stream: dict[str, Any]) -> None:
    """With what it is now."""
    changes = compare(config({"name": "a"}, {"name": "b"}), config({"name": "a", **stream}, {"name": "b"}))
    assert names(changes) == {"restarted": ["a"]}
    assert changes.restarted[0] == changes.config.streams[0]


@pytest.mark.parametrize(
    "stream", [{"tag": "x.y"}, {"max_tags": 5}, {"add": {"tenant": "acme"}}, {"transform": {"serialize": "message"}}]
)
def test_other_transforms_need_no_new_connection(stream: dict[str, Any]) -> None:
    """The stream goes on consuming."""
    assert names(compare(config(), config({"name": "a", **stream}))) == {"transformed": ["a"]}


def test_the_global_transform_is_every_streams() -> None:
    """Unless it has one of its own."""
    streams = ({"name": "a"}, {"name": "b", "transform": {"pulling_id": False}})
    changes = compare(config(*streams), config(*streams, transform={"pulling_id": True}))
    assert names(changes) == {"transformed": ["a"]}
    assert changes.config.transform.pulling_id


def test_another_size_of_events_is_every_streams() -> None:
    """Who is told to raise it need not start the process again."""
    changes = compare(
        config({"name": "a"}, {"name": "b"}), config({"name": "a"}, {"name": "b"}, max_event_size="64MiB")
    )
    assert names(changes) == {"restarted": ["a", "b"]}
    assert changes.config.max_event_size == 64 * 2**20


def test_both_at_once_is_a_new_beginning() -> None:
    """Not twice."""
    changes = compare(config(), config({"name": "a", "queue": "other", "tag": "x"}))
    assert names(changes) == {"restarted": ["a"]}


def test_another_shard() -> None:
    """Streams come and go by their share."""
    streams = [{"name": name} for name in "abcdefgh"]
    one, two = (config(*streams, shard={"index": index, "of": 2}) for index in (0, 1))
    changes = compare(one, two)
    assert names(changes) == {
        "added": [stream.name for stream in two.own_streams],
        "removed": [stream.name for stream in one.own_streams],
    }


@pytest.mark.parametrize(
    "forward",
    [
        {"servers": [{"port": 5}]},
        {"servers": [{"weight": 1}]},
        {"tls": {}},
        {"security": {"shared_key": "new"}},
        {"compress": "gzip"},
        {"connect_timeout": "1s"},
        {"ack_response_timeout": "1s"},
        {"max_in_flight": 1},
    ],
)
def test_servers_and_the_way_to_them(forward: dict[str, Any]) -> None:
    """The sink is exchanged; the streams go on."""
    changes = compare(config(), config(forward=forward))
    assert changes.servers
    assert names(changes) == {}
    assert changes.fixed == ()
    assert changes.config.forward == config(forward=forward).forward


@pytest.mark.parametrize("key", ["chunk_limit_size", "pause_after", "shutdown_timeout"])
def test_keys_of_forward_that_are_fixed(key: str) -> None:
    """Said, and kept as they were; other keys of the section change all the same."""
    value = {"chunk_limit_size": "64KiB", "pause_after": "2m", "shutdown_timeout": "1s"}[key]
    changes = compare(config(), config(forward={key: value}))
    assert changes.fixed == (f"forward.{key}",)
    assert not changes
    assert changes.config.forward == config().forward
    both = compare(config(), config(forward={key: value, "compress": "gzip"}))
    assert both.servers
    assert getattr(both.config.forward, key) == getattr(config().forward, key)
    assert both.config.forward.compress == "gzip"


@pytest.mark.parametrize(
    ("keys", "fixed"),
    [
        ({"memory_limit": "8MiB"}, "memory_limit"),
        ({"state": {"path": "/s", "remember": "1d"}}, "state.path, state.remember"),
        ({"dead_letters": {"tag": "x"}}, "dead_letters.tag"),
    ],
)
def test_what_is_fixed_is_said_and_kept(keys: dict[str, Any], fixed: str) -> None:
    """With the path of each key that changed."""
    changes = compare(config(), config(**keys))
    assert ", ".join(changes.fixed) == fixed
    assert not changes
    assert all(getattr(changes.config, key) == getattr(config(), key) for key in keys)


def test_log_and_endpoints() -> None:
    """Each for itself."""
    log = compare(config(), config(logging={"level": "debug"}))
    assert (log.logging, log.observe, str(log)) == (True, False, "log changed")
    observe = compare(config(), config(observe={"listen": None}))
    assert (observe.logging, observe.observe, str(observe)) == (False, True, "observe changed")


def test_no_key_is_silently_without_effect() -> None:
    """Whatever sections there will be: a change is applied or said."""
    sample: dict[str, Any] = {
        "transform": {"pulling_id": True},
        "proxy": "http://proxy:1",
        "shard": {"index": 0, "of": 2},
        "forward": {"compress": "gzip"},
        "dead_letters": {"tag": "x"},
        "memory_limit": "8MiB",
        "max_event_size": "8MiB",
        "state": {"path": "/s"},
        "observe": {"listen": None},
        "logging": {"level": "debug"},
        "detections": {"window": "5s"},
        "incidents": {"window": "5s"},
        "organisations": [{"name": "o", "cloud": "eu", "api": {"client_id": "c", "api_key": "k"}}],
        "completeness": {"repair": True},
        "heartbeat": {"every": "1m"},
    }
    streams = [{"name": name, "api": {"client_id": "c", "api_key": "k"}} for name in "abcdefgh"]
    for key in Config.model_fields.keys() - {"streams", "include"}:
        beside = {"state": {"path": "/s"}} if key == "completeness" else {}
        changes = compare(config(*streams, **beside), config(*streams, **beside, **{key: sample[key]}))
        assert changes or changes.fixed, key
    assert {key.name for key in keys_of(Config)} >= set(sample)


def test_names_of_an_organisation_reach_its_streams() -> None:
    """Turned on, and off again; other streams, and other changes of the organisation, are left alone."""
    streams = [{"name": "a", "organisation": "o"}, {"name": "b"}]

    def made(**keys: Any) -> Config:
        section = {"name": "o", "cloud": "eu", "api": {"client_id": "c", "api_key": "k"}, **keys}
        return config(*streams, organisations=[section])

    assert names(compare(made(), made(names=True))) == {"transformed": ["a"]}
    assert names(compare(made(names=True), made())) == {"transformed": ["a"]}
    assert names(compare(made(names=True), made(names=True, rate_limit_share=0.1))) == {}


def test_renewed_certificates() -> None:
    """A file of the same name with another content: whoever uses it begins anew."""
    tls = {"ca_file": "/ca.pem", "cert_file": "/c.pem", "key_file": "/k.pem"}
    made = config({"name": "a", "tls": tls}, {"name": "b"}, forward={"tls": {"ca_file": "/f.pem"}})
    assert tls_files(made) == {Path(name) for name in ("/ca.pem", "/c.pem", "/k.pem", "/f.pem")}
    assert names(compare(made, made, [Path("/k.pem")])) == {"restarted": ["a"]}
    assert compare(made, made, [Path("/f.pem")]).servers
    assert not compare(made, made, [Path("/x.pem")])
    assert tls_files(config()) == set()


def test_all_in_one_line() -> None:
    """What the log says."""
    changes = compare(
        config({"name": "a"}, {"name": "b"}, {"name": "c"}),
        config(
            {"name": "b", "queue": "x"}, {"name": "c", "tag": "x"}, {"name": "d"}, {"name": "e"}, forward={"tls": {}}
        ),
    )
    assert str(changes) == "added: d, e; removed: a; restarted: b; with other transforms: c; servers changed"
