"""Holds records against OCSF itself: its own schema, and the rules that a JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

Record = dict[str, Any]


@cache
def schema(version: str) -> dict[str, Any]:
    """All of one version."""
    found: dict[str, Any] = get_ocsf_schema(version=version)
    return found


@cache
def validator(version: str, class_uid: int, profiles: tuple[str, ...]) -> Validator:
    """Of a class with these profiles."""
    embedded = OcsfJsonSchemaEmbedded(schema(version))
    name = embedded.lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(embedded.get_class_schema(name, list(profiles)))


@cache
def class_of(version: str, class_uid: int) -> dict[str, Any]:
    """Its definition."""
    found: dict[str, Any] = next(each for each in schema(version)["classes"].values() if each["uid"] == class_uid)
    return found


def faults(record: Record) -> list[str]:
    """What OCSF does not allow in a record, or advises against."""
    version, class_uid = record["metadata"]["version"], record["class_uid"]
    profiles = tuple(record["metadata"].get("profiles", ()))
    found = [
        f"{error.json_path}: {error.message[:200]}"
        for error in validator(version, class_uid, profiles).iter_errors(record)
    ]
    definition = class_of(version, class_uid)
    if set(profiles) - set(definition["profiles"]):
        found.append(f"profiles: {profiles}")
    if record["type_uid"] != class_uid * 100 + record["activity_id"]:
        found.append("type_uid")
    found += _rules(record, definition["attributes"], version, "$")
    return found


def _rules(record: Record, attributes: dict[str, Any], version: str, path: str) -> Iterator[str]:
    """Deprecated attributes, texts that belong to other numbers, and null."""
    for name, value in record.items():
        attribute = attributes.get(name)
        if attribute is None or name == "unmapped":
            continue
        if value is None:
            yield f"{path}.{name}: null"
        if "@deprecated" in attribute:
            yield f"{path}.{name}: deprecated"
        yield from _enum(record, name, value, attribute, path)
        if attribute["type"] == "object_t":
            inside = schema(version)["objects"][attribute["object_type"]]["attributes"]
            for item in value if isinstance(value, list) else [value]:
                yield from _rules(item, inside, version, f"{path}.{name}")


def _enum(record: Record, name: str, value: Any, attribute: dict[str, Any], path: str) -> Iterator[str]:
    captions = {number: each["caption"] for number, each in attribute.get("enum", {}).items()}
    sibling = attribute.get("sibling")
    if not captions or sibling not in record or name == "type_uid":
        return
    beside = record[sibling]
    for number, text in zip(value, beside, strict=True) if isinstance(value, list) else [(value, beside)]:
        if number != 99 and text != captions[str(number)]:
            yield f"{path}.{sibling}: {text!r} beside {number}"
        if number == 99 and text in set(captions.values()) - {"Other"}:
            yield f"{path}.{sibling}: {text!r} has a number of its own"
