"""What the models refuse, in the words of somebody who edits the file.  Pure.

pydantic's own words are replaced one kind of error at a time; none of ours repeats a value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fluent_plugin_amp.config.document import BROKEN
from fluent_plugin_amp.config.keys import keys_of, section_at
from fluent_plugin_amp.config.section import Section

_NO_STREAM = "no stream is configured: list it here, or include its file"
_MISSING = {
    "url": "missing; give it here or through `credentials_file`",
    "username": "missing; give it here, in `url`, or through `credentials_file`",
    "password": "missing; give it here, in `url`, as `password_file`, or through `credentials_file`",
    "queue": "missing; give it here or through `credentials_file`",
    "api_key": "missing; give it here or as `api_key_file`",
    "console": "missing; give the console, or the `api`",
    "shared_key": "missing; give it here or as `shared_key_file`",
}


def explain(error: ErrorDetails, root: type[Section]) -> str | None:
    """One refusal by the model ``root`` in plain words; None when its value was reported before."""
    kind, loc = error["type"], error["loc"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(root, str(loc[-1]), loc[:-1])
    if error["input"] is BROKEN:
        return None
    match kind:
        case "missing" | "too_short" if loc == ("streams",) and not error["input"]:
            return _NO_STREAM
        case "missing":
            return _MISSING.get(str(loc[-1])) or _missing(root, loc)
        case "too_short" if error["input"]:
            return None  # a list whose every item was refused, each on its own account
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_type" if isinstance(error["input"], (int, float)):
            return "must be a text: put it in quotes"
        case "string_type":
            return "must be a text"
        case "string_unicode":  # from a variable: the environment holds bytes
            return "must be UTF-8"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "literal_error":
            return _one_of(str(context["expected"]), error["input"])
        case "model_type" | "dict_type":
            return "must be a mapping (key: value)" + _switch(root, error["input"], loc)
        case "tuple_type":
            return "must be a list"
        case "value_error":
            return str(context["error"])
    return error["msg"]  # pydantic's own words, which don't hold the value either


def _missing(root: type[Section], loc: tuple[str | int, ...]) -> str:
    """What has a few words to choose from names them."""
    section = section_at(root, loc[:-1])
    field = section.model_fields.get(str(loc[-1])) if section else None
    if field is None or get_origin(field.annotation) is not Literal:
        return "missing"
    return f"missing; {_choices(get_args(field.annotation))}"


def _choices(words: Iterable[str]) -> str:
    return "must be " + " or ".join(f"`{word}`" for word in words)


def _switch(root: type[Section], value: object, loc: tuple[str | int, ...]) -> str:
    """How to turn on or off what is given as true or false."""
    section = section_at(root, loc)
    field = (section_at(root, loc[:-1]) or root).model_fields.get(str(loc[-1]))
    if not isinstance(value, bool) or section is None or field is None or field.default is not None:
        return ""
    if not value:
        return "; null turns it off"
    try:
        section.model_validate({})
    except ValidationError:
        return ""
    return "; `{}` turns it on"


def _unknown_key(root: type[Section], key: str, loc: tuple[str | int, ...]) -> str:
    """A key of another section was put in the wrong place; any other is perhaps a typo of one of this section."""
    elsewhere = dict.fromkeys(known.path.rpartition(".")[0] for known in keys_of(root) if known.name == key)
    if elsewhere:
        places = " or ".join(f"under `{place}`" if place else "at the top" for place in elsewhere)
        return f"unknown key; `{key}` belongs {places}"
    section = section_at(root, loc)
    close = difflib.get_close_matches(_like_ours(key), section.model_fields, n=1) if section else []
    return f"unknown key; did you mean `{close[0]}`?" if close else "unknown key"


def _like_ours(key: str) -> str:
    """``prefetchCount`` and ``prefetch-count`` as we would write them."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).replace("-", "_").lower()


def _one_of(expected: str, value: object) -> str:
    """``expected`` is pydantic's list of the literals: ``'none' or 'gzip'``."""
    choices = re.findall(r"'([^']*)'", expected)
    close = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    hint = f"; did you mean `{close[0]}`?" if close else ""
    return _choices(choices) + hint
