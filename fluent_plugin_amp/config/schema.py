"""JSON Schema of the configuration, for editors and `fluent-plugin-amp schema`.  Pure."""

from __future__ import annotations

from typing import Any

from fluent_plugin_amp.config.models import Config

_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what may be written; ``${NAME}`` may stand for any plain value.

    It accepts what `load` accepts but for what lies outside the file: the environment and other files.
    """
    made = Config.model_json_schema()
    for section in (made, *made["$defs"].values()):
        section["properties"] = {key: _editable(field) for key, field in section["properties"].items()}
    made["properties"]["include"]["anyOf"] = [
        {"type": "string"},
        {"type": "array", "items": made["properties"]["include"].pop("items")},
    ]
    del made["properties"]["include"]["type"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "fluent-plugin-amp configuration",
    }


def _editable(field: dict[str, Any]) -> dict[str, Any]:
    """Let a variable stand for a number, a truth value or a choice; leave out defaults that are whole
    sections, or no value that may be written, and titles that only repeat the key."""
    notes = {key: field[key] for key in ("description", "default") if key in field}
    default = notes.get("default")
    if (isinstance(default, (dict, list)) and default) or (default is None and field.get("type") == "string"):
        notes.pop("default", None)
    rest = {key: value for key, value in field.items() if key not in ("title", "description", "default")}
    options = rest.pop("anyOf", None) or [rest]
    if any(_excludes_variables(option) for option in options):
        options = [*options, _VARIABLE]
    return {**(options[0] if len(options) == 1 else {"anyOf": options}), **notes}


def _excludes_variables(option: dict[str, Any]) -> bool:
    kind = option.get("type")
    return "enum" in option or "const" in option or "pattern" in option or kind in ("integer", "boolean")
