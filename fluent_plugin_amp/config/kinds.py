"""Files of another kind, given as the configuration by mistake.  Pure.

They would bring a mistake for each of their keys, and none that says what is wrong.
"""

from __future__ import annotations

import re
from typing import Any

_SECTIONS = re.compile(r"\s*\[(?:SERVICE|INPUT|OUTPUT|FILTER|PARSER|CUSTOM|MULTILINE_PARSER)\]", re.IGNORECASE)
_DIRECTIVES = re.compile(r"\s*<(?:source|match|system|label|filter|worker)\b")
_CREDENTIALS = {"url", "username", "password", "queue"}


def kind_of_text(text: str) -> str | None:
    """What a file is that is no YAML, and what to do; None: nothing that is known here."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "@")))
    first = next(lines, "")
    if _SECTIONS.match(first):
        return _OF_BIT
    return _OF_FLUENTD if _DIRECTIVES.match(first) else None


def kind_of_tree(tree: Any) -> str | None:
    """What a YAML or JSON file is, and what to do; None: perhaps a configuration of this plugin."""
    if isinstance(tree, list):
        listed = tree and all(isinstance(item, dict) for item in tree)
        return (
            _A_LIST if listed and any({"url", "queue", "credentials_file"} & item.keys() for item in tree) else None
        )
    if not isinstance(tree, dict) or {"streams", "include"} & tree.keys():
        return None
    keys = tree.keys()
    answer = tree.get("data")
    if keys >= _CREDENTIALS or (isinstance(answer, dict) and "amqp_credentials" in answer):
        return "holds the credentials of a stream: name it in a configuration, `streams: [{credentials_file: …}]`"
    if {"credentials_file"} & keys or {"url", "queue"} <= keys:
        return "holds one stream: put it under `streams:` as an item of a list, or name the file with `include:`"
    if "tenants" in keys:
        return "is a fleet file, for `amp-streams apply`"
    if {"pipeline"} <= keys or {"service", "inputs"} <= keys:
        return _OF_BIT
    if {"inputs", "outputs"} <= keys:
        return (
            "is the configuration of a Devo collector: this plugin has one of its own; the key of its `credentials` "
            "goes into a stream's `api:`"
        )
    if {"apiVersion", "kind"} <= keys:
        return "is a Kubernetes manifest: the configuration is what it mounts"
    return None


_OF_BIT = (
    "is a configuration of Fluent Bit: this plugin has one of its own, and sends to Fluent Bit's `forward` input"
)
_OF_FLUENTD = "is a configuration of Fluentd: this plugin has one of its own, and sends to Fluentd's `forward` source"
_A_LIST = "holds a list of streams: put it under `streams:`, or name the file with `include:`"
