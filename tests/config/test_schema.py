from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.config import schema
from fluent_plugin_amp.config.keys import keys_of
from fluent_plugin_amp.config.models import Config

ROOT = Path(__file__).parents[2]
SCHEMA = schema()


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """The node, or what its `$ref` points to."""
    return SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node


def fits(value: Any, node: dict[str, Any]) -> bool:
    """The little of JSON Schema that ours uses."""
    node = resolved(node)
    if "anyOf" in node and not any(fits(value, option) for option in node["anyOf"]):
        return False
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    kinds = node.get("type", [])
    kind = "null" if value is None else names[type(value)]
    if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
        return False
    if value != node.get("const", value) or value not in node.get("enum", [value]):
        return False
    if isinstance(value, dict):
        known = node.get("properties", {})
        if node.get("additionalProperties") is False and not value.keys() <= known.keys():
            return False
        return set(node.get("required", [])) <= value.keys() and all(
            fits(value[key], known[key]) for key in value.keys() & known.keys()
        )
    if isinstance(value, list):
        return len(value) >= node.get("minItems", 0) and all(fits(item, node.get("items", {})) for item in value)
    if isinstance(value, str):
        return re.search(node.get("pattern", ""), value) is not None
    if isinstance(value, (int, float)):
        return bool(node.get("minimum", value) <= value <= node.get("maximum", value))
    return True


def every_property() -> Iterator[tuple[str, dict[str, Any]]]:
    """The properties of all sections."""
    for section in (SCHEMA, *SCHEMA["$defs"].values()):
        yield from section["properties"].items()


def test_the_file_for_editors_is_current() -> None:
    """conf/fluent-plugin-amp.schema.json is what the command prints; `make docs` writes it anew."""
    printed = CliRunner().invoke(cli, ["schema"]).stdout
    assert (ROOT / "conf/fluent-plugin-amp.schema.json").read_text("utf-8") == printed


def test_each_configuration_names_the_file_for_editors() -> None:
    """In its first line, beside itself, so that it holds in a checkout and where `init` writes."""
    for path in (ROOT / "conf").glob("*.yml"):
        first = path.read_text("utf-8").partition("\n")[0]
        assert first == "# yaml-language-server: $schema=fluent-plugin-amp.schema.json"


def test_every_key_is_described() -> None:
    """An editor shows what a key is for."""
    assert {name for name, _ in every_property()} == {key.name for key in keys_of(Config)}
    for name, node in every_property():
        assert node["description"], name


def test_references_lead_somewhere() -> None:
    """Each `$ref` is defined in the schema itself."""
    references = set(re.findall(r"'\$ref': '([^']*)'", str(SCHEMA)))
    assert references == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


@pytest.mark.parametrize("name", ["minimal.yml", "fluent-plugin-amp.yml"])
def test_the_examples_fit(name: str) -> None:
    """What we ship raises no squiggle in an editor."""
    assert fits(yaml.safe_load((ROOT / "conf" / name).read_text("utf-8")), SCHEMA)


STREAM = {"url": "amqps://h", "queue": "q"}


@pytest.mark.parametrize(
    "value",
    [
        {"streams": [STREAM]},
        {"streams": [{"credentials_file": "c.yml"}]},
        {"include": "streams.d/*.yml"},
        {"include": ["a.yml", "b.yml"], "memory_limit": 1048576},
        {"streams": [STREAM], "memory_limit": "64MiB", "forward": {"pause_after": 60, "connect_timeout": "1.5s"}},
        {"streams": [STREAM], "forward": {"servers": [{"port": "${PORT}"}], "compress": "${C:-none}", "tls": {}}},
        {"streams": [STREAM], "forward": {"security": {"shared_key_file": "k"}}},
        {"streams": [{**STREAM, "prefetch_count": "auto"}, {**STREAM, "prefetch_count": 5}]},
        {"streams": [STREAM], "transform": {"drop_event_types": ["Policy Update", 5], "flatten": {"depth": None}}},
    ],
)
def test_what_may_be_written(value: dict[str, Any]) -> None:
    """Units, bare numbers, variables and the ways to leave keys out are all allowed."""
    assert fits(value, SCHEMA)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"streams": []},
        {"streams": [{"url": "amqps://h"}]},
        {"streams": [STREAM], "memory_limit": "64m"},
        {"streams": [STREAM], "memory_limit": 10},
        {"streams": [STREAM], "observe": {"statistics_every": "5 minutes"}},
        {"streams": [STREAM], "forward": {"servers": [{"port": 70000}]}},
        {"streams": [STREAM], "forward": {"compress": "zstd"}},
        {"streams": [STREAM], "forward": {"security": {}}},
        {"streams": [{**STREAM, "prefetch_count": "many"}]},
        {"streams": [STREAM], "loging": {}},
    ],
)
def test_what_may_not_be_written(value: dict[str, Any]) -> None:
    """An editor sees wrong units, ranges, choices and keys."""
    assert not fits(value, SCHEMA)


def test_secrets_are_marked() -> None:
    """Tools that know the mark hide a password."""
    stream = SCHEMA["$defs"]["StreamConfig"]["properties"]
    assert stream["password"]["format"] == "password"
