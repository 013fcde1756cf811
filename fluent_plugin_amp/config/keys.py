"""The keys that the models know, as a walk over them: for spelling hints, secrets and the reference.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fluent_plugin_amp.config.problems import join
from fluent_plugin_amp.config.section import Section


class Nested(NamedTuple):
    """What a field's value consists of."""

    section: type[Section]
    is_list: bool


class Key(NamedTuple):
    """A key: where it may stand (``streams[].tls.verify``), its name and its field."""

    path: str
    name: str
    field: FieldInfo


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation and everything inside it: ``tuple[X, ...] | None`` gives also ``X``."""
    yield annotation
    for inner in get_args(annotation):
        yield from parts(inner)


def nested(field: FieldInfo) -> Nested | None:
    """The mapping, or list of mappings, that a field holds; None when it holds plain values."""
    inside = list(parts(field.annotation))
    for inner in inside:
        if isinstance(inner, type) and issubclass(inner, Section):
            return Nested(inner, any(getattr(outer, "__origin__", None) is tuple for outer in inside))
    return None


def keys_of(section: type[Section], path: str = "") -> Iterator[Key]:
    """Every key of a section and, after it, those inside it, however deep."""
    for name, field in section.model_fields.items():
        here = join(path, name)
        yield Key(here, name, field)
        if inner := nested(field):
            yield from keys_of(inner.section, f"{here}[]" if inner.is_list else here)


def section_at(root: type[Section], loc: tuple[str | int, ...]) -> type[Section] | None:
    """The section that may stand at a place below ``root``; None where plain values stand."""
    section: type[Section] | None = root
    for step in loc:
        if section is None or isinstance(step, int):
            continue
        field = section.model_fields.get(step)
        inner = nested(field) if field else None
        section = inner.section if inner else None
    return section


def secret_names(root: type[Section]) -> frozenset[str]:
    """The names of keys that hold a secret."""
    return frozenset(key.name for key in keys_of(root) if SecretStr in parts(key.field.annotation))
