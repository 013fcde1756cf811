"""HTML documents with everything in them, from templates: the status page, and the calendar of `verify`.  Pure.

They have no scripts and load nothing from elsewhere.  Every value in a template is kept to one line and escaped.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.text import one_line

if TYPE_CHECKING:
    from jinja2 import Template


def template(package: str, name: str, **known: Any) -> Template:
    """The template ``name`` of a package; ``known`` stands beside the values that it is rendered with."""
    # Imported here: a plugin whose page nobody opens needs no templates.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def on_one_line(value: object) -> str:
        return value if isinstance(value, Markup) else one_line(str(value))

    environment = Environment(
        autoescape=True,
        finalize=on_one_line,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(known)
    return environment.from_string(text_of(package, name))


def text_of(package: str, name: str) -> str:
    """A text file of a package."""
    return resources.files(package).joinpath(name).read_text("utf-8")
