"""What is done with the events: for all streams, or for one.  Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from fluent_plugin_amp.config.section import Section
from fluent_plugin_amp.config.units import Whole
from fluent_plugin_amp.config.values import (
    EventTypeId,
    FieldPath,
    Secret,
    StaticFields,
    Text,
    repeated,
)
from fluent_plugin_amp.pipeline.presets import Preset


class FlattenConfig(Section):
    """Nested objects become one level of fields, as most syslog receivers want them: `{}` turns it on."""

    separator: Text = Field(default="_", description="What joins the names of nested fields.")
    lists: Literal["json", "index", "keep"] = Field(
        default="keep",
        description="`json`: a list becomes one JSON text; `index`: a field for each item (`tactics_0`); "
        "`keep`: lists stay lists.",
    )
    depth: Annotated[int, Whole("1", "100")] | None = Field(
        default=None,
        description="How many levels are joined at most; null: all of them. Where an event's names would grow by "
        "more than 8 MiB in all, what lies deeper stays nested.",
    )


class ShapeConfig(Section):
    """Events in a public schema; docs/shapes.md. `shape: ocsf` is short for `shape: {to: ocsf}`."""

    to: Literal["ocsf", "ecs"] = Field(description="The schema.")
    version: Literal["1.1.0", "1.5.0", "1.6.0", "1.8.0"] = Field(
        default="1.6.0", description="Of OCSF; ECS is 8.11. Amazon Security Lake takes 1.1.0."
    )
    raw_data: bool = Field(
        default=False,
        description="The event goes along as JSON, after `obfuscate` and `links`: in `raw_data`, ECS: "
        "`event.original`.",
    )
    observables: bool = Field(
        default=True,
        description="Names, addresses, hashes and other values to search for are listed once more; of OCSF.",
    )

    @field_validator("version", "observables")
    @classmethod
    def _is_of_ocsf(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("to") == "ecs":
            raise ValueError("is for `to: ocsf` only")
        return value

    @model_validator(mode="before")
    @classmethod
    def _or_its_name(cls, given: Any) -> Any:
        return {"to": given} if isinstance(given, str) else given


def _or_a_schema(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"enum": ["ocsf", "ecs"]})


class ObfuscateConfig(Section):
    """A field that must not leave this machine as it is, or all fields and texts that tell of the same."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["field"]}, {"required": ["preset"]}]})

    preset: Preset | None = Field(
        default=None,
        description="Instead of `field`: all places where Cisco writes the computer, its user or its addresses, and "
        "these values in all other texts of the event; docs/records.md has the list.",
    )
    field: FieldPath | None = Field(
        default=None,
        validate_default=True,
        description="Its path, with `[]` for each item of a list: `computer.network_addresses[].ip`; what it says "
        "goes before a `preset`.",
    )
    key: Secret | None = Field(
        default=None, description="The key for `hash`, or in `key_file`; keep it, the hashes depend on it."
    )
    key_file: Path | None = Field(default=None, description="File that holds nothing but the key.")
    method: Literal["mask", "hash", "drop"] = Field(
        description="`mask`: `***` in its place; `hash`: its HMAC-SHA-256, equal for equal values; `drop`: it goes."
    )

    @field_validator("field")
    @classmethod
    def _either_field_or_preset(cls, field: str | None, info: ValidationInfo) -> str | None:
        if field is None and info.data.get("preset", "") is None:
            raise PydanticKnownError("missing")
        if field is not None and info.data.get("preset"):
            raise ValueError("given together with `preset`: remove one of them")
        return field

    @field_validator("method")
    @classmethod
    def _has_a_key_for_hash(cls, method: str, info: ValidationInfo) -> str:
        if method == "hash" and info.data.get("key", method) is None:
            raise ValueError("`hash` needs `key_file`")
        return method


class TransformConfig(Section):
    """What is done with each event, in the order of these keys. A stream may override any of them."""

    drop_event_types: tuple[EventTypeId, ...] = Field(
        default=(),
        description="Event types to drop, by name, older name, or id; counted and acked.",
    )
    obfuscate: tuple[ObfuscateConfig, ...] = Field(
        default=(),
        description="Fields to mask, hash or drop before anything is written or sent; dead letters are then masked "
        "whole, see `dead_letters.raw`.",
    )
    links: bool = Field(
        default=False,
        description="Adds `console_links`, the pages of Cisco's console about the event; see a stream's `cloud`.",
    )
    add: StaticFields = Field(
        default={},
        description="Static fields for every event, at the top of the record. Where the event has that name, the new "
        "one gets a suffix.",
    )
    pulling_id: bool = Field(
        default=False,
        description="Adds `@devo_pulling_id`, as Devo's own collectors do: the time of arrival, or with "
        "`poll_interval` that of the poll.",
    )
    shape: ShapeConfig | None = Field(
        default=None,
        description="Records in a public schema: `ocsf` or `ecs`; null: as Cisco sends them.",
        json_schema_extra=_or_a_schema,
    )
    ids: Literal["number", "text"] = Field(
        default="number",
        description="`text`: `id`, `event_ids` and every integer beyond 2^53 become texts, for receivers that round "
        "such numbers.",
    )
    flatten: FlattenConfig | None = Field(
        default=None, description="Flattens nested objects; null: events keep their shape."
    )
    serialize: Text | None = Field(
        default=None,
        description="The whole record as one JSON text in the field of this name, for outputs that take a text.",
    )

    @field_validator("obfuscate")
    @classmethod
    def _each_field_once(cls, rules: tuple[ObfuscateConfig, ...]) -> tuple[ObfuscateConfig, ...]:
        if twice := repeated(rule.field for rule in rules if rule.field is not None):
            raise ValueError(f"has the field `{twice}` twice")
        if twice := repeated(rule.preset for rule in rules if rule.preset is not None):
            raise ValueError(f"has the preset `{twice}` twice")
        return rules

    def over(self, base: TransformConfig) -> TransformConfig:
        """``base``, with the keys that were given here replaced."""
        return base.model_copy(update={key: getattr(self, key) for key in self.model_fields_set})
