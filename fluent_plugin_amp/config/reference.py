"""The reference of the configuration, ``docs/configuration.md``, made from the models.  Pure.

``python -m fluent_plugin_amp.config.reference`` prints the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fluent_plugin_amp.config.keys import nested, parts
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.config.problems import join
from fluent_plugin_amp.config.section import Section
from fluent_plugin_amp.config.units import Quantity
from fluent_plugin_amp.proxy import Proxy

_INTRODUCTION = """\
# Configuration

One YAML file, `/etc/fluent-plugin-amp/config.yml` unless `-c` or `$FLUENT_PLUGIN_AMP_CONFIG` names another.
[`conf/minimal.yml`](../conf/minimal.yml) is the least that is needed,
[`conf/fluent-plugin-amp.yml`](../conf/fluent-plugin-amp.yml) shows every key with its default.
`fluent-plugin-amp check` tries a configuration with all peers that it names.

An editor with YAML support explains keys and marks mistakes when the first line names the JSON Schema beside the
file, as the files that `init` writes do: `# yaml-language-server: $schema=fluent-plugin-amp.schema.json`.
`fluent-plugin-amp schema` prints it; after an upgrade, print it anew into that file.

This page is made from the code: `make docs`.

## How the file is read

- **Mistakes** are reported all at once, in included files too, each with file, line and path of the key, and exit
  code 78. What keys need of each other (`state.path`, a stream with this `organisation`) is looked at when each of
  them is right by itself. Keys that are not listed here are mistakes; so is a key given twice.
- **Environment**: `${NAME}` in any value stands for a variable, which must be set; `${NAME:-default}` has a default
  for one that is unset or empty; `$${` stands for the characters `${`. A value is put in after the YAML was read, so
  it may hold any character.
- **Secrets** are best kept out of the file: in the environment, or in a file of their own named by `password_file`
  or `shared_key_file` (a line end after the secret is left out). They appear in no log line and no message. A file
  that holds one and can be read by every user draws a warning.
- **File names** that are relative begin at the folder of the file that holds them.
- **Durations** are numbers with a unit, `ms`, `s`, `m`, `h` or `d`: `250ms`, `10s`, `1.5h`. A bare number counts
  seconds.
- **Sizes** are numbers with a unit, `kB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB` (powers of 1024).
  A bare number counts bytes.
- **null**, or nothing behind the colon, means the default; keys without a default have a – in the tables.
- **Bounds**: every file that is named must be a regular file of at most 4 MiB, 64 KiB for a secret (a pipe, as a
  shell's `<(…)` makes one, is none). YAML may nest 64 levels deep and hold 200,000 values, aliases followed; at most
  10,000 files are included. `**` in `include` follows no links. On a reload all of it must be read within a minute.
- **YAML**: `true` and `false` are truth values; `no`, `22:22`, `010` and `2024-01-01` are texts. Anchors, aliases and
  `<<` work.
"""


def reference() -> str:
    """The whole page."""
    places: dict[type[Section], list[str]] = {}
    for section, place in _places(Config, ""):
        places.setdefault(section, []).append(place)
    return "\n".join([_INTRODUCTION, *(_chapter(section, where) for section, where in places.items())])


def _places(section: type[Section], place: str) -> Iterator[tuple[type[Section], str]]:
    """Each section with each place where it may stand."""
    yield section, place
    for name, field in _fields(section):
        if inner := nested(field):
            here = join(place, name)
            yield from _places(inner.section, f"{here}[]" if inner.is_list else here)


def _fields(section: type[Section]) -> list[tuple[str, FieldInfo]]:
    """The keys as a reader wants them: what is needed goes first."""
    return sorted(section.model_fields.items(), key=lambda item: item[0] not in ("streams", "include"))


def _chapter(section: type[Section], places: list[str]) -> str:
    title = ", ".join(f"`{place}`" for place in places if place) or "Top level"
    about = (section.__doc__ or "").strip()
    rows = [
        f"| `{name}` | {_type(field)} | {_unit(field)} | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in _fields(section)
    ]
    head = ["| Key | Type | Unit | Default | Meaning |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", about, "", *head, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _quantity(field: FieldInfo) -> Quantity | None:
    inside = [*field.metadata, *parts(field.annotation)]
    return next((each for each in inside if isinstance(each, Quantity)), None)


def _unit(field: FieldInfo) -> str:
    quantity = _quantity(field)
    return quantity.unit if quantity else ""


def _type(field: FieldInfo) -> str:
    inside = list(parts(field.annotation))
    names = {bool: "true or false", Path: "file name", SecretStr: "secret", dict: "mapping", str: "text"}
    if inner := nested(field):
        return "list of mappings" if inner.is_list else "mapping"
    if quantity := _quantity(field):
        word = f"`{quantity.word}` or " if quantity.word else ""
        most = f" … {quantity.at_most}" if quantity.at_most else " or more"
        return f"{word}{quantity.kind}, {quantity.at_least}{most}"
    for each in inside:
        if get_origin(each) is Literal:
            return ("URL or " if Proxy in inside else "") + " or ".join(f"`{choice}`" for choice in get_args(each))
        if get_origin(each) is tuple:
            return "list of texts" if str in inside else "list of names or ids"
        if (get_origin(each) or each) in names:
            return names[get_origin(each) or each]
    raise TypeError(f"the reference has no word for {field.annotation}")


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    quantity = _quantity(field)
    may_be_null = type(None) in parts(field.annotation)
    if field.is_required() or field.default_factory is not None or (default is None and not may_be_null):
        return "–"
    if default is None:
        return "`null`"
    if quantity:
        return f"`{default if default == quantity.word else quantity.write(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return "`[{}]`" if default else "`[]`"
    return "`{}`" if isinstance(default, (Section, dict)) else f"`{default}`"


if __name__ == "__main__":
    print(reference(), end="")
