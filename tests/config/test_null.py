"""null means the default, for each key that has one."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.config.keys import keys_of
from fluent_plugin_amp.config.models import Config

STREAM = {"url": "amqps://h", "username": "u", "password": "p", "queue": "q", "name": "s"}
SECTIONS: dict[str, dict[str, Any]] = {
    "forward.servers[]": {"host": "h"},
    "forward.security": {"shared_key": "k", "self_hostname": "me"},
    "shard": {"index": 0, "of": 1},
    "streams[].api": {"client_id": "c", "api_key": "k"},
    "streams[].cloud": {"api": "eu"},
    "transform.shape": {"to": "ocsf"},
    "streams[].transform.shape": {"to": "ocsf"},
    "transform.obfuscate[]": {"field": "f", "method": "mask"},
    "organisations[]": {"name": "o", "cloud": "eu", "api": {"client_id": "c", "api_key": "k"}},
    "organisations[].api": {"client_id": "c", "api_key": "k"},
    "organisations[].cloud": {"api": "eu"},
    "streams[].transform.obfuscate[]": {"field": "f", "method": "mask"},
}
"""What a section needs to hold; others nothing."""
NEEDED = {
    *("streams", "streams[].cloud.api"),
    *("transform.obfuscate[].field", "streams[].transform.obfuscate[].field"),
    *("transform.obfuscate[].key", "streams[].transform.obfuscate[].key"),
    "organisations[].cloud.api",
}


def tree(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration with the section of a key, and that section."""
    root: dict[str, Any] = {"streams": [dict(STREAM)]}
    if path.startswith("completeness"):
        root = {"streams": [{**STREAM, "api": SECTIONS["streams[].api"]}], "state": {"path": "/s"}}
    section, where = root, ""
    for step in path.split(".")[:-1]:
        where = f"{where}.{step}".lstrip(".")
        if where == "streams[]":
            section = root["streams"][0]
            continue
        inner = dict(SECTIONS.get(where, {}))
        section[step.removesuffix("[]")] = [inner] if step.endswith("[]") else inner
        section = inner
    return root, section


FIXED = {*STREAM} | {"listen"}
OPTIONAL = [
    key.path
    for key in keys_of(Config)
    if not key.field.is_required() and key.path not in NEEDED and key.name not in FIXED
]


@pytest.mark.parametrize("path", OPTIONAL)
def test_as_if_it_were_not_there(path: str) -> None:
    """The same configuration with the key as null and without it."""
    name = path.rpartition(".")[2]
    without, section = tree(path)
    section.pop(name, None)
    root, section = tree(path)
    section[name] = None
    with_null = Config.model_validate(root)
    if path.startswith("streams[].transform."):  # there null is a value: it turns off what is on for all
        return
    assert with_null == Config.model_validate(without)


def test_a_cloud_of_nulls() -> None:
    """It is no cloud: the broker's host tells which one it is."""
    for keys in ({"api": None}, {"api": None, "console": None}, {"console": None, "ca_file": None}):
        (stream,) = Config.model_validate({"streams": [{**STREAM, "cloud": keys}]}).streams
        assert stream.cloud is None


def test_tls_of_nulls_without_tls() -> None:
    """It has no effect, and none was asked for."""
    tls = {"ca_file": None, "server_name": None}
    (stream,) = Config.model_validate({"streams": [{**STREAM, "url": "amqp://h", "tls": tls}]}).streams
    assert not stream.use_tls
